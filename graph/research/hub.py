"""Data sets and base models from the Hugging Face Hub, pinned by commit. Read only, and nothing there is
executed.

- A candidate's id is ``owner/name``, with ``@revision`` or ``#file`` after it where a person wants one.
- ``revision`` of a candidate is the commit that was looked at; :meth:`HubSource.fetch` reads exactly that
  one.
- Downloads go through the client's cache under ``<home>/hub``: a broken one resumes, a second one is free.
  They are copied into the run's folder, and what the Hub says of their sha256 is checked.
- Base models stand in :mod:`graph.research.hubmodels`.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pydantic import SecretStr

from graph.errors import SourceError
from graph.names import FailureKind
from graph.research.datasearch import DataSearch, utc_now
from graph.research.disk import disk_errors, room
from graph.research.hubclient import HubClient, Sleep
from graph.research.hubfiles import Chosen, choose_files, within_bounds
from graph.research.hubinfo import (
    DOWNLOAD_TIMEOUT_S,
    ID,
    bytes_of,
    card_of,
    parse_id,
    paths_of,
    plain_id,
    sizes_of,
)
from graph.research.hubmodels import HubModels
from graph.research.listing import candidate_of, class_names_of, listing_of
from graph.research.viewer import PUBLIC
from graph.state import Candidate, DataFiles, ModelChoice, TaskSpec
from remote.protocol import sha256_file

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import DatasetInfo

MAX_DATA_BYTES = 2 << 30


class HubSource:
    """A :class:`graph.deps.Source`. ``endpoint``: ``None`` for the client's own default."""

    name = "hub"
    searchable = True

    def __init__(
        self,
        *,
        home: Path,
        endpoint: str | None = None,
        token: SecretStr | None = None,
        viewer_url: str | None = None,
        sleep: Sleep = asyncio.sleep,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self.folder = home.absolute() / "hub"
        self.client = HubClient(endpoint, token, error=SourceError, sleep=sleep)
        viewer = viewer_of(endpoint, viewer_url)
        self.data = DataSearch(self.client, self.folder / "answers", viewer, now)
        self.models = HubModels(self.client, self.folder / "models", self.data.cache)

    def claims(self, wanted: str) -> bool:
        return ID.fullmatch(plain_id(wanted)) is not None

    async def ready(self) -> bool:
        return await self.client.ready()

    async def search(self, task: TaskSpec, limit: int = 5, skip: Collection[str] = ()) -> list[Candidate]:
        """Candidates that can be used, best first, then some that cannot with the reason (``datasearch.py``)."""
        return await self.data.search(task, limit, skip)

    async def candidate(self, dataset_id: str) -> Candidate:
        """The data set of exactly that id; SourceError when it is missing, closed or holds nothing usable.

        One that was renamed comes with its new name.
        """
        repo, revision, file = parse_id(dataset_id)
        info = await self._info(repo, revision)
        renamed = info.id if info.id and info.id != repo else ""
        wanted = dataset_id.replace(repo, renamed) if renamed else dataset_id
        listing = listing_of(info)
        candidate = candidate_of(listing, wanted, file)
        chosen = _usable(info, wanted, candidate.why_not)
        told = [f"{repo} is called {renamed} now"[:200]] if renamed else []
        told += [f"I read a part of {split}: {share}" for split, share in chosen.left_out.items()]
        candidate = replace(candidate, reasons=(*told, *candidate.reasons))
        seen = await self.data.inspected(listing, candidate, TaskSpec("", "", None))
        return replace(seen, url=self.client.page(f"datasets/{info.id}"))

    async def fetch(self, candidate: Candidate, into: Path) -> DataFiles:
        repo, revision, _ = parse_id(candidate.id)
        info = await self._info(repo, candidate.revision or revision)
        chosen = _usable(info, candidate.id)
        with disk_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            room(self.folder, 2 * bytes_of(info, chosen.paths))
        paths: dict[str, list[str]] = {}
        coming = {}
        for split, parts in chosen.files.items():
            for number, file in enumerate(parts, 1):
                name = split if number == 1 else f"{split}-{number}"
                path = into / f"{repo.rpartition('/')[2]}-{name}{PurePosixPath(file).suffix}"
                coming[name] = self._download(repo, str(info.sha), file, path, _sha256(info, file))
                paths.setdefault(split, []).append(str(path))
        came = await asyncio.gather(*coming.values(), return_exceptions=True)  # all end before one is told
        sha256: dict[str, str] = {}
        for name, result in zip(coming, came, strict=True):
            if isinstance(result, BaseException):
                raise result
            sha256[name] = result
        return DataFiles(
            replace(candidate, revision=info.sha),
            {split: first for split, (first, *_) in paths.items()},
            sha256,
            candidate.text_column,
            candidate.target,
            class_names=class_names_of(card_of(info)),
            more={split: tuple(more) for split, (_, *more) in paths.items() if more},
            left_out=dict(chosen.left_out),
        )

    async def model(self, task: TaskSpec) -> ModelChoice:
        return await self.models.choose(task)

    async def _info(self, repo: str, revision: str | None) -> DatasetInfo:
        return await self.client.call(
            f"the data set {repo}",
            lambda api: api.dataset_info(repo, revision=revision, files_metadata=True, timeout=20),
        )

    async def _download(self, repo: str, revision: str, file: str, path: Path, expected: str | None) -> str:
        """Fetch one file into the cache and copy it; returns its sha256."""

        def download(api: HfApi) -> Path:
            return Path(
                api.hf_hub_download(
                    repo, file, repo_type="dataset", revision=revision, cache_dir=self.folder / "cache"
                )
            )

        with disk_errors(self.folder):
            cached = await self.client.call(f"the file {file} of {repo}", download, DOWNLOAD_TIMEOUT_S)
        return await asyncio.to_thread(_checked_copy, cached, path, expected, f"{file} of {repo}")


def _sha256(info: DatasetInfo, file: str) -> str | None:
    """What the Hub recorded for a large file; small ones have only a git hash."""
    found = next((s for s in info.siblings or () if s.rfilename == file and s.lfs), None)
    return found.lfs.sha256 if found and found.lfs else None


def _usable(info: DatasetInfo, dataset_id: str, why_not: str = "") -> Chosen:
    """The files to read. Raises SourceError where there are none, or for ``why_not``."""
    repo, _, file = parse_id(dataset_id)
    chosen = within_bounds(choose_files(paths_of(info), card_of(info), file), sizes_of(info))
    if why_not := why_not or chosen.why_not or _too_large(info, chosen):
        raise SourceError(
            f"The data set {repo} cannot be used: {why_not}.", "Choose another one.", FailureKind.DATA_ERROR
        )
    return chosen


def _too_large(info: DatasetInfo, chosen: Chosen) -> str:
    size = bytes_of(info, chosen.paths)
    return (
        f"its files have {size / 1e9:.1f} GB, more than {MAX_DATA_BYTES / 1e9:.1f}"
        if size > MAX_DATA_BYTES
        else ""
    )


def viewer_of(endpoint: str | None, viewer_url: str | None) -> str | None:
    """The viewer that belongs to a Hub: the public one's for the public Hub alone, whose token it may see."""
    public = endpoint is None or urlsplit(endpoint).hostname in ("huggingface.co", "hf.co")
    return viewer_url or (PUBLIC if public else None)


def _checked_copy(source: Path, path: Path, expected: str | None, what: str) -> str:
    sha256 = sha256_file(source)
    if expected and sha256 != expected:
        source.resolve().unlink(missing_ok=True)  # so that the next try fetches it anew
        raise SourceError(f"What came for {what} is damaged (sha256 differs).", "Try again.")
    with disk_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}.part")
        shutil.copyfile(source, beside)
        beside.replace(path)
    return sha256
