"""One repository on the Hub: looked at, made, filled with one commit, read back, shown, taken back.

Plain functions for :meth:`HubClient.call`, which runs them in a thread and again after a broken connection. So each
looks before it acts: a commit or a pull request that landed although its answer was lost is found.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from graph.deps import PublishedRepo, PublishFile
from graph.publishing.layout import Item

if TYPE_CHECKING:
    from huggingface_hub import DatasetInfo, HfApi, ModelInfo, SpaceInfo

EMPTY = frozenset({".gitattributes"})  # what the Hub puts into a repository that is new
_WHAT = {"model": "model", "dataset": "data set", "space": "Space"}
_PAGES = {"model": "", "dataset": "datasets/", "space": "spaces/"}


@dataclass(frozen=True, slots=True)
class Repo:
    id: str
    type: str  # "model", "dataset" or "space"

    @property
    def what(self) -> str:
        return f"the {_WHAT[self.type]} {self.id}"

    @property
    def page(self) -> str:
        return _PAGES[self.type] + self.id

    def step(self, name: str) -> str:
        return f"{self.type}:{self.id}/{name}"


@dataclass(frozen=True, slots=True)
class Upload:
    """What a repository is to hold. ``oids``: path to git's hash, by which the Hub knows small files."""

    repo: Repo
    items: tuple[Item, ...]
    files: tuple[PublishFile, ...]
    oids: Mapping[str, str]

    @property
    def digest(self) -> str:
        body = "".join(f"{f.sha256}  {f.path}\n" for f in self.files)
        return hashlib.sha256(body.encode()).hexdigest()[:12]


def look(api: HfApi, repo: Repo) -> dict[str, Any]:
    """``{existed, private}`` before anything is made."""
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        return {"existed": True, "private": api.repo_info(repo.id, repo_type=repo.type).private}
    except RepositoryNotFoundError:
        return {"existed": False, "private": None}


def create(api: HfApi, repo: Repo) -> dict[str, Any]:
    """Private whatever was approved: it is shown when it is whole."""
    sdk = "gradio" if repo.type == "space" else None
    api.create_repo(repo.id, repo_type=repo.type, private=True, exist_ok=True, space_sdk=sdk)
    return {"created": True}


def fill(api: HfApi, upload: Upload, key: str, created: bool) -> dict[str, Any]:
    """All files in one commit: on main where the repository is new or empty, else as a pull request."""
    from huggingface_hub import CommitOperationAdd

    repo, title = upload.repo, f"Publish by ml-intern ({key})"
    head = _info(api, repo)
    if holds(head, upload):
        return {"revision": head.sha}
    taken = {sibling.rfilename for sibling in head.siblings or ()} - EMPTY
    proposes = bool(taken) and not created
    if proposes and (found := _proposed(api, upload, title)):
        return found
    done = api.create_commit(
        repo.id,
        [CommitOperationAdd(item.path, item.source) for item in upload.items],
        commit_message=title,
        repo_type=repo.type,
        parent_commit=head.sha,
        create_pr=proposes,
    )
    if proposes:
        return _pull(api, repo, str(done.oid), done.pr_num or 0)
    return {"revision": done.oid}


def read_back(api: HfApi, upload: Upload, revision: str) -> bool:
    """Whether every file stands at ``revision`` with its hash."""
    return holds(_info(api, upload.repo, revision), upload)


def holds(info: ModelInfo | DatasetInfo | SpaceInfo, upload: Upload) -> bool:
    there = {sibling.rfilename: sibling for sibling in info.siblings or ()}
    for file in upload.files:
        found = there.get(file.path)
        if found is None:
            return False
        same = found.lfs.sha256 == file.sha256 if found.lfs else found.blob_id == upload.oids[file.path]
        if not same:
            return False
    return True


def show(api: HfApi, repo: Repo) -> dict[str, Any]:
    """Open to everybody: the last thing that is done to a repository."""
    api.update_repo_settings(repo.id, repo_type=repo.type, private=False)
    return {"public": True}


def fetch(api: HfApi, upload: Upload, revision: str, into: Path) -> list[str]:
    """Download what is needed to load the model at ``revision``; the paths that came other than they were sent."""
    wrong = []
    for file in upload.files:
        if file.path.startswith("training/"):
            continue
        got = Path(
            api.hf_hub_download(
                upload.repo.id, file.path, repo_type=upload.repo.type, revision=revision, local_dir=into
            )
        )
        with got.open("rb") as content:
            if hashlib.file_digest(content, "sha256").hexdigest() != file.sha256:
                wrong.append(file.path)
    return wrong


def withdraw(api: HfApi, repo: PublishedRepo, paths: list[str], keep: bool) -> str:
    """Take back what a publication made in ``repo``; what was done, as a sentence."""
    from huggingface_hub.errors import RepositoryNotFoundError

    what = Repo(repo.id, repo.type).what.removeprefix("the ")
    try:
        head = _info(api, Repo(repo.id, repo.type))
    except RepositoryNotFoundError:
        return f"The {what} was already gone."
    if repo.number is not None:
        return _close(api, repo, what)
    if not repo.created:
        return _empty(api, repo, str(head.sha), paths, what)
    if not repo.revision and not head.private:
        return f"The {what} was left as it is: this run never filled it, and somebody shows it."
    empty = {sibling.rfilename for sibling in head.siblings or ()} <= EMPTY
    if keep or (head.sha != repo.revision and not empty):
        if not head.private:
            api.update_repo_settings(repo.id, repo_type=repo.type, private=True)
        why = "" if keep else ", not deleted: it holds later changes"
        return f"The {what} is private now{why}."
    api.delete_repo(repo.id, repo_type=repo.type, missing_ok=True)
    return f"The {what} is deleted."


def _close(api: HfApi, repo: PublishedRepo, what: str) -> str:
    number = repo.number or 0
    found = [d for d in api.get_repo_discussions(repo.id, repo_type=repo.type) if d.num == number]
    status = found[0].status if found else "gone"
    if status not in ("open", "draft"):
        return f"The pull request {number} of the {what} is {status}; it was left as it is."
    api.change_discussion_status(repo.id, number, "closed", repo_type=repo.type)
    return f"The pull request {number} of the {what} is closed."


def _empty(api: HfApi, repo: PublishedRepo, head: str, paths: list[str], what: str) -> str:
    """The repository existed, empty: it stays, and our files go where nobody has changed it since."""
    from huggingface_hub import CommitOperationDelete

    if head != repo.revision:
        return f"The {what} existed before and holds later changes: remove the files on its page."
    api.create_commit(
        repo.id,
        [CommitOperationDelete(path) for path in paths],
        commit_message="Unpublish by ml-intern",
        repo_type=repo.type,
        parent_commit=head,
    )
    return f"The {what} existed before and stays; the files are removed from it."


def _proposed(api: HfApi, upload: Upload, title: str) -> dict[str, Any] | None:
    """The open pull request of this title that holds the same files."""
    repo = upload.repo
    for found in api.get_repo_discussions(repo.id, repo_type=repo.type, discussion_type="pull_request"):
        if found.title == title and found.status in ("open", "draft"):
            info = _info(api, repo, f"refs/pr/{found.num}")
            if holds(info, upload):
                return _pull(api, repo, str(info.sha), found.num)
    return None


def _pull(api: HfApi, repo: Repo, revision: str, number: int) -> dict[str, Any]:
    """With an address of our own making: it becomes a link."""
    page = f"{api.endpoint}/{repo.page}/discussions/{number}"
    return {"revision": revision, "pull_request": page, "number": number}


def _info(api: HfApi, repo: Repo, revision: str | None = None) -> ModelInfo | DatasetInfo | SpaceInfo:
    info = api.repo_info(repo.id, repo_type=repo.type, revision=revision, files_metadata=True)
    return cast("ModelInfo | DatasetInfo | SpaceInfo", info)


def git_oid(path: Path) -> str:
    """The hash by which git and the Hub know a small file's content."""
    digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
