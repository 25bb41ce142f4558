"""Publishing to the Hugging Face Hub: a model repository and, for a target with ``+space``, a Space of that
name.

- Each repository gets one commit with ``parent_commit``: all files or none, and nobody else's change is lost.
- Idempotent: the head's files are compared first, by hash. A commit that landed although its answer was lost
  is found by that, and so is a publication that is repeated. The commit's message carries the key of the
  effect.
- Afterwards the files are read back from the commit and compared again.
- What exists already keeps its visibility: a private publication never lands in a public repository, nor the
  other way round. Files of an earlier publication that this one lacks stay; the Hub keeps every version.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from graph.deps import Publication, PublishFile
from graph.errors import PublishError
from graph.names import FailureKind
from graph.publishing.checks import Checked, check
from graph.publishing.layout import Item, model_items, space_items
from graph.research.hubclient import HubClient, Sleep

if TYPE_CHECKING:
    from huggingface_hub import HfApi

UPLOAD_TIMEOUT_S = 3600.0
_TARGET = re.compile(r"(?:hub:)?(?:(?P<owner>[\w.-]+)/)?(?P<name>[\w.-]+?)(?P<space>\+space)?")
_WRITERS = frozenset({"admin", "write", "contributor"})


@dataclass(frozen=True, slots=True)
class _Repo:
    id: str
    type: str  # "model" or "space"

    @property
    def what(self) -> str:
        return f"the {'Space' if self.type == 'space' else 'model'} {self.id}"


class HubPublisher:
    """A :class:`graph.deps.Publisher`. ``secrets``: values that no file may hold, beside the token."""

    name = "hub"

    def __init__(
        self,
        endpoint: str | None,
        token: SecretStr | None,
        *,
        secrets: Sequence[SecretStr] = (),
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self.client = HubClient(endpoint, token, error=PublishError, sleep=sleep)
        self._secrets = (*secrets, *([token] if token else []))

    async def check(self, target: str) -> None:
        await self.namespace(_parse(target)[0])

    async def dry_run(self, folder: Path) -> tuple[PublishFile, ...]:
        return (await self.checked(folder)).files

    async def checked(self, folder: Path) -> Checked:
        """As :meth:`dry_run`, with the warnings."""
        return await asyncio.to_thread(self._check, model_items(folder))

    async def publish(self, folder: Path, target: str, *, private: bool, key: str) -> Publication:
        """``target``: ``hub:OWNER/NAME``, or ``hub:NAME`` in the token's namespace; ``+space`` at its end."""
        owner, name, with_space = _parse(target)
        jobs = [("model", model_items(folder))]
        if with_space:
            jobs.append(("space", space_items(folder)))
        checked = [await asyncio.to_thread(self._check, items) for _, items in jobs]
        repo_id = f"{await self.namespace(owner)}/{name}"
        published = []
        for (kind, items), found in zip(jobs, checked, strict=True):
            published.append(await self._publish(_Repo(repo_id, kind), items, found.files, private, key))
        return published[0]

    async def namespace(self, owner: str | None) -> str:
        """The owner to publish under; PublishError where the token may not write. Ask before training."""
        if not self.client.secret():
            raise PublishError(
                "HF_TOKEN is not set, so nothing can be published to the Hub.",
                "Set HF_TOKEN to a token with write access, then `intern resume`.",
                FailureKind.NO_TOKEN,
            )
        who: Mapping[str, Any] = await self.client.call("the account", lambda api: api.whoami())
        token = (who.get("auth") or {}).get("accessToken") or {}
        if token.get("role") == "read":
            raise PublishError(
                "HF_TOKEN may only read.",
                "Set one with write access, then `intern resume`.",
                FailureKind.DENIED,
            )
        mine = [str(who.get("name"))]
        mine += [
            str(org.get("name")) for org in who.get("orgs") or () if org.get("roleInOrg") in (*_WRITERS, None)
        ]
        if owner and owner.casefold() not in (name.casefold() for name in mine):
            raise PublishError(
                f"HF_TOKEN may not write under {owner}.",
                f"It may under {', '.join(mine)}.",
                FailureKind.DENIED,
            )
        return owner or mine[0]

    def _check(self, items: Sequence[Item]) -> Checked:
        return check(items, [secret.get_secret_value() for secret in self._secrets])

    async def _publish(
        self, repo: _Repo, items: Sequence[Item], files: Sequence[PublishFile], private: bool, key: str
    ) -> Publication:
        wanted = {file.path: file for file in files}
        oids = await asyncio.to_thread(lambda: {item.path: _git_oid(item.source) for item in items})

        def create(api: HfApi) -> bool | None:
            api.create_repo(
                repo.id,
                repo_type=repo.type,
                private=private,
                exist_ok=True,
                space_sdk="gradio" if repo.type == "space" else None,
            )
            return api.repo_info(repo.id, repo_type=repo.type).private

        def commit(api: HfApi) -> str:
            # Compared first on every attempt: an earlier one may have landed although its answer was lost.
            return _landed(api, repo, wanted, oids) or _commit(api, repo, items, key)

        def read_back(api: HfApi) -> str | None:
            return _landed(api, repo, wanted, oids, revision)

        is_private = await self.client.call(repo.what, create)
        if is_private is not None and is_private != private:
            raise PublishError(
                f"{repo.id} exists and is {'private' if is_private else 'public'}, not as approved.",
                "Choose another name, or change it on its page.",
                FailureKind.DENIED,
            )
        revision = await self.client.call(repo.what, commit, UPLOAD_TIMEOUT_S)
        if await self.client.call(repo.what, read_back) is None:
            raise PublishError(
                f"What the Hub holds of {repo.id} is not what was sent.",
                "Publish again.",
                FailureKind.UNKNOWN,
            )
        page = self.client.page(f"spaces/{repo.id}" if repo.type == "space" else repo.id)
        return Publication(page, revision, tuple(files))


def _landed(
    api: HfApi,
    repo: _Repo,
    wanted: Mapping[str, PublishFile],
    oids: Mapping[str, str],
    revision: str | None = None,
) -> str | None:
    """The commit at ``revision`` (the head) if every file stands there with its hash, else ``None``."""
    ask = api.space_info if repo.type == "space" else api.model_info
    info = ask(repo.id, revision=revision, files_metadata=True)
    there = {sibling.rfilename: sibling for sibling in info.siblings or ()}
    for path, file in wanted.items():
        found = there.get(path)
        if found is None:
            return None
        same = found.lfs.sha256 == file.sha256 if found.lfs else found.blob_id == oids[path]
        if not same:
            return None
    return info.sha


def _commit(api: HfApi, repo: _Repo, items: Sequence[Item], key: str) -> str:
    from huggingface_hub import CommitOperationAdd

    head = api.repo_info(repo.id, repo_type=repo.type).sha
    done = api.create_commit(
        repo.id,
        [CommitOperationAdd(item.path, item.source) for item in items],
        commit_message=f"Publish by ml-intern ({key})",
        repo_type=repo.type,
        parent_commit=head,
    )
    return str(done.oid)


def _git_oid(path: Path) -> str:
    """The hash by which git and the Hub know a small file's content."""
    digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _parse(target: str) -> tuple[str | None, str, bool]:
    match = _TARGET.fullmatch(target)
    if match is None:
        raise PublishError(
            f"{target[:80]!r} is no place on the Hub.", "Write it as hub:OWNER/NAME.", FailureKind.DATA_ERROR
        )
    return match["owner"], match["name"], bool(match["space"])
