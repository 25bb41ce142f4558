"""Publishing to the Hugging Face Hub: a model, and where the target says so its Space and its split.

- **Nothing or all.** New repositories are made private, filled with one commit each (``parent_commit``: nobody
  else's change is lost), read back by hash, and the model is fetched anew and asked. Only then are they shown, each
  after those that it refers to, and a collection after them.
- **Once.** Every step is in the effects ledger, and looks before it acts: what landed although its answer, or this
  process, was lost is found. The commit's message carries the key of the publication.
- **Nothing of anybody else's.** A repository that exists with other content gets a pull request; its visibility
  stays, and one of another visibility than approved is refused. Taking back knows what this publication made.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from graph.deps import Checkup, Publication, PublishedRepo, PublishFile, Steps, Verify
from graph.errors import PublishError
from graph.names import FailureKind
from graph.publishing import collection, repository
from graph.publishing.checks import Checked, check
from graph.publishing.layout import Item, hub_items
from graph.publishing.repository import Repo, Upload
from graph.publishing.target import Target, parse_target
from graph.research.hubclient import HubClient, Sleep

UPLOAD_TIMEOUT_S = 3600.0
_WRITERS = frozenset({"admin", "write", "contributor"})


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
        await self.namespace(parse_target(target).owner)

    async def dry_run(self, folder: Path, target: str = "") -> tuple[PublishFile, ...]:
        return (await self.checked(folder, target)).files

    async def checked(self, folder: Path, target: str = "") -> Checked:
        """As :meth:`dry_run`, with the warnings."""
        plan = parse_target(target) if target else Target(None, "model")
        repo_id = f"{plan.owner}/{plan.name}" if plan.owner else plan.name

        def gather() -> Checked:
            with tempfile.TemporaryDirectory() as made:
                checked = [
                    self._check(hub_items(folder, kind, repo_id, Path(made), plan.rows), kind)
                    for kind in plan.kinds
                ]
            files = tuple(file for part in checked for file in part.files)
            return Checked(files, tuple(warning for part in checked for warning in part.warnings))

        return await asyncio.to_thread(gather)

    async def publish(
        self,
        folder: Path,
        target: str,
        *,
        private: bool,
        key: str,
        steps: Steps,
        verify: Verify | None = None,
    ) -> Publication:
        """``target``: see :mod:`graph.publishing.target`. Raises PublishRefused, PublishError."""
        plan = parse_target(target)
        owner = await self.namespace(plan.owner)
        with tempfile.TemporaryDirectory() as made:
            uploads = await asyncio.to_thread(self._uploads, folder, plan, f"{owner}/{plan.name}", Path(made))
            new = {upload.repo: await self._is_new(upload.repo, private, steps) for upload in uploads}
            repos = [await self._put(upload, key, new[upload.repo], steps) for upload in uploads]
        model = next(i for i, upload in enumerate(uploads) if upload.repo.type == "model")
        checkup = await self._ask(uploads[model], repos[model].revision, steps, folder / "work", verify)
        if not private:
            if checkup is not None and checkup.differing:
                raise PublishError(
                    f"It is not shown to everyone, because it is not what was measured: {checkup.detail}",
                    "It stays private; train and publish again.",
                    FailureKind.DATA_ERROR,
                )
            for upload in uploads:
                if new[upload.repo]:
                    await self._step(steps, upload.repo, "show", repository.show)
        slug, made_it = await self._group(owner, plan.name, uploads, private, steps)
        files = tuple(file for upload in uploads for file in upload.files)
        first = repos[model]
        return Publication(first.url, first.revision, files, tuple(repos), slug, made_it, checkup)

    async def unpublish(self, publication: Mapping[str, Any], *, keep: bool) -> tuple[str, ...]:
        """``keep``: what this publication made becomes private instead of being deleted. Raises PublishError."""
        await self.namespace(None)
        repos = [PublishedRepo(**repo) for repo in publication.get("repos") or ()]
        said = []
        if slug := publication.get("collection"):
            created = bool(publication.get("collection_created"))
            said.append(
                await self.client.call(
                    "the collection", lambda api: collection.withdraw(api, slug, created, repos)
                )
            )
        for repo in reversed(repos):  # the Space before the model that it shows
            paths = [f["path"] for f in publication.get("files") or () if f.get("repo") == repo.type]
            said.append(
                await self.client.call(
                    Repo(repo.id, repo.type).what,
                    lambda api, repo=repo, paths=paths: repository.withdraw(api, repo, paths, keep),  # type: ignore[misc]
                )
            )
        return tuple(said)

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

    # -- steps -----------------------------------------------------------------------------------------------

    def _check(self, items: Sequence[Item], kind: str) -> Checked:
        return check(items, [secret.get_secret_value() for secret in self._secrets], kind)

    def _uploads(self, folder: Path, plan: Target, repo_id: str, made: Path) -> list[Upload]:
        uploads = []
        for kind in plan.kinds:
            items = hub_items(folder, kind, repo_id, made, plan.rows)
            oids = {item.path: repository.git_oid(item.source) for item in items}
            uploads.append(Upload(Repo(repo_id, kind), items, self._check(items, kind).files, oids))
        return uploads

    async def _step(self, steps: Steps, repo: Repo, name: str, function: Any) -> Mapping[str, Any]:
        return await steps.once(
            repo.step(name), lambda: self.client.call(repo.what, lambda api: function(api, repo))
        )

    async def _is_new(self, repo: Repo, private: bool, steps: Steps) -> bool:
        """Whether the repository is this publication's own. Raises PublishError for one of another visibility."""
        found = await self._step(steps, repo, "look", repository.look)
        if found[
            "existed"
        ]:  # what was not there is ours for good; of what was, a person may have changed the visibility
            found = await self.client.call(repo.what, lambda api: repository.look(api, repo))
        if found["existed"] and found["private"] is not None and found["private"] != private:
            raise PublishError(
                f"{repo.id} exists and is {'private' if found['private'] else 'public'}, not as approved.",
                "Choose another name, or change it on its page.",
                FailureKind.DENIED,
            )
        return not found["existed"]

    async def _put(self, upload: Upload, key: str, new: bool, steps: Steps) -> PublishedRepo:
        repo = upload.repo
        if new:
            await self._step(steps, repo, "create", repository.create)
        put = await steps.once(
            repo.step(f"fill-{upload.digest}"),
            lambda: self.client.call(
                repo.what, lambda api: repository.fill(api, upload, key, new), UPLOAD_TIMEOUT_S
            ),
        )
        revision = str(put["revision"])
        if not await self.client.call(repo.what, lambda api: repository.read_back(api, upload, revision)):
            raise PublishError(
                f"What the Hub holds of {repo.id} is not what was sent.",
                "Publish again.",
                FailureKind.UNKNOWN,
            )
        page = self.client.page(repo.page)
        return PublishedRepo(
            repo.id, repo.type, page, revision, new, put.get("pull_request") or "", put.get("number")
        )

    async def _ask(
        self, upload: Upload, revision: str, steps: Steps, work: Path, verify: Verify | None
    ) -> Checkup | None:
        """What the model says when it is fetched from the Hub at ``revision``, fetched into ``work`` for a while."""
        if verify is None:
            return None

        async def ask() -> Mapping[str, Any]:
            work.mkdir(
                exist_ok=True
            )  # not the system's own place: weights are large, and a job has to see them
            with tempfile.TemporaryDirectory(dir=work) as place:
                into = Path(place) / "model"
                wrong = await self.client.call(
                    upload.repo.what,
                    lambda api: repository.fetch(api, upload, revision, into),
                    UPLOAD_TIMEOUT_S,
                )
                if wrong:
                    raise PublishError(
                        f"{wrong[0]} came back from the Hub other than it was sent.",
                        "Publish again.",
                        FailureKind.UNKNOWN,
                    )
                await asyncio.to_thread(
                    shutil.rmtree, into / ".cache", ignore_errors=True
                )  # the client's own
                said = await verify(into)
            return {"rows": said.rows, "differing": said.differing, "detail": said.detail}

        return Checkup(**await steps.once(upload.repo.step(f"ask-{revision}"), ask))

    async def _group(
        self, owner: str, name: str, uploads: Sequence[Upload], private: bool, steps: Steps
    ) -> tuple[str, bool]:
        """The slug of the collection and whether it is new; an empty slug where there is but one repository."""
        if len(uploads) == 1:
            return "", False
        title, step = collection.title_of(name), f"collection:{owner}/{name}"

        async def once(what: str, function: Any) -> Mapping[str, Any]:
            return await steps.once(f"{step}/{what}", lambda: self.client.call("the collection", function))

        found = await once("look", lambda api: collection.look(api, owner, title))
        slug, new = str(found["slug"]), not found["slug"]
        if new:
            slug = str((await once("create", lambda api: collection.create(api, owner, title)))["slug"])
        repos = [upload.repo for upload in uploads]
        await once("add", lambda api: collection.add(api, slug, repos))
        if new and not private:
            await once("show", lambda api: collection.show(api, slug))
        return slug, new
