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
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from pydantic import SecretStr

from graph.errors import SourceError
from graph.names import FailureKind, TaskFamily
from graph.research.archives import sha256_of
from graph.research.hubclient import HubClient, Sleep
from graph.research.hubfiles import FORMATS, Chosen, choose_files
from graph.research.hubinfo import (
    DOWNLOAD_TIMEOUT_S,
    ID,
    bytes_of,
    card_of,
    languages_of,
    parse_id,
    paths_of,
    plain_id,
)
from graph.research.hubmodels import HubModels
from graph.research.licences import licence_from_tags
from graph.research.packages import disk_errors, room
from graph.research.ranking import Found, rank, topic_words, words_of
from graph.state import Candidate, DataFiles, ModelChoice, TaskSpec

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import DatasetInfo, ExpandDatasetProperty_T

MAX_DATA_BYTES = 2 << 30
QUERIES = 4
_EXPAND: Final[Sequence[ExpandDatasetProperty_T]] = (
    "cardData", "description", "disabled", "downloads", "gated", "sha", "siblings", "tags",
)  # fmt: skip


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
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self.folder = home.absolute() / "hub"
        self.client = HubClient(endpoint, token, error=SourceError, sleep=sleep)
        self.models = HubModels(self.client, self.folder / "models")

    def claims(self, wanted: str) -> bool:
        return ID.fullmatch(plain_id(wanted)) is not None

    async def ready(self) -> bool:
        return await self.client.ready()

    async def search(self, task: TaskSpec, limit: int = 5) -> list[Candidate]:
        """Several short queries, since the Hub matches all words of one; ranked here, best first."""
        answers = await asyncio.gather(*(self._query(query) for query in _queries(task)))
        infos = {info.id: info for answer in answers for info in answer}
        ranked = rank(task, [_found(info) for info in infos.values()])[:limit]
        return [replace(c, url=self.client.page(f"datasets/{c.id}")) for c in ranked]

    async def candidate(self, dataset_id: str) -> Candidate:
        """The data set of exactly that id; SourceError when it is missing, closed or holds nothing usable."""
        repo, revision, _ = parse_id(dataset_id)
        info = await self.client.call(
            f"the data set {repo}",
            lambda api: api.dataset_info(repo, revision=revision, files_metadata=True, timeout=20),
        )
        candidate = replace(_candidate(info, dataset_id), url=self.client.page(f"datasets/{info.id}"))
        if not candidate.usable:
            raise SourceError(
                f"The data set {repo} cannot be used: {candidate.why_not}.",
                "Choose another one.",
                FailureKind.DATA_ERROR,
            )
        return candidate

    async def fetch(self, candidate: Candidate, into: Path) -> DataFiles:
        repo, revision, _ = parse_id(candidate.id)
        pinned = candidate.revision or revision
        info = await self.client.call(
            f"the data set {repo}",
            lambda api: api.dataset_info(repo, revision=pinned, files_metadata=True, timeout=20),
        )
        chosen = _chosen(info, candidate.id)
        why_not = chosen.why_not or _too_large(info, chosen)
        if why_not:
            raise SourceError(
                f"The data set {repo} cannot be used: {why_not}.",
                "Choose another one.",
                FailureKind.DATA_ERROR,
            )
        with disk_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            room(self.folder, 2 * bytes_of(info, list(chosen.files.values())))
        splits, sha256 = {}, {}
        for split, file in chosen.files.items():
            path = into / f"{repo.rpartition('/')[2]}-{split}{PurePosixPath(file).suffix}"
            sha256[split] = await self._download(repo, str(info.sha), file, path, _sha256(info, file))
            splits[split] = str(path)
        return DataFiles(
            replace(candidate, revision=info.sha), splits, sha256, candidate.text_column, candidate.target
        )

    async def model(self, task: TaskSpec) -> ModelChoice:
        return await self.models.choose(task)

    async def _query(self, query: str) -> list[DatasetInfo]:
        def ask(api: HfApi) -> list[DatasetInfo]:
            return list(api.list_datasets(search=query, sort="downloads", limit=20, expand=list(_EXPAND)))

        return await self.client.call("the list of data sets", ask)

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


def _queries(task: TaskSpec) -> list[str]:
    words = sorted(topic_words(task), key=lambda w: (-len(w), w))
    keywords = list(dict.fromkeys(k.strip() for k in task.keywords if k.strip()))
    pairs = [" ".join(keywords[:2])] if len(keywords) > 1 else []
    return list(dict.fromkeys([*pairs, *keywords, *words]))[:QUERIES]


def _sha256(info: DatasetInfo, file: str) -> str | None:
    """What the Hub recorded for a large file; small ones have only a git hash."""
    found = next((s for s in info.siblings or () if s.rfilename == file and s.lfs), None)
    return found.lfs.sha256 if found and found.lfs else None


def _chosen(info: DatasetInfo, dataset_id: str) -> Chosen:
    return choose_files(paths_of(info), card_of(info), parse_id(dataset_id)[2])


def _too_large(info: DatasetInfo, chosen: Chosen) -> str:
    size = bytes_of(info, list(chosen.files.values()))
    return (
        f"its files have {size / 1e9:.1f} GB, more than {MAX_DATA_BYTES / 1e9:.1f}"
        if size > MAX_DATA_BYTES
        else ""
    )


def _candidate(info: DatasetInfo, dataset_id: str) -> Candidate:
    card, tags = card_of(info), info.tags or []
    chosen = _chosen(info, dataset_id)
    why_not = chosen.why_not or _too_large(info, chosen)
    if info.disabled:
        why_not = "the Hub has switched it off"
    rows, classes = _counts(card)
    size = next((t.removeprefix("size_categories:") for t in tags if t.startswith("size_categories:")), "")
    return Candidate(
        id=dataset_id,
        source=HubSource.name,
        title=str(card.get("pretty_name") or info.id)[:80],
        licence=licence_from_tags(tags),
        rows=rows,
        classes=classes,
        downloads=info.downloads,
        revision=info.sha,
        reasons=tuple(r for r in (f"{size} rows" if size and rows is None else "", chosen.note) if r),
        usable=not why_not,
        why_not=why_not,
        attribution=f"{info.id} on the Hugging Face Hub",
    )


def _found(info: DatasetInfo) -> Found:
    card, tags = card_of(info), info.tags or []
    candidate = _candidate(info, info.id)
    if info.gated and candidate.usable:
        candidate = replace(
            candidate, usable=False, why_not="access has to be asked for on the Hub: do so, then name it"
        )
    text = " ".join((info.id, str(card.get("pretty_name", "")), info.description or "", *tags))
    languages = languages_of(card)
    return Found(
        candidate,
        words=words_of(text[:4000]),
        language=languages[0] if len(languages) == 1 else None,
        families=_families(tags),
    )


def _families(tags: Sequence[str]) -> frozenset[TaskFamily]:
    families = set()
    if any(tag in ("task_ids:text-scoring", "task_ids:semantic-similarity-scoring") for tag in tags):
        families.add(TaskFamily.REGRESSION)
    if "task_ids:multi-label-classification" in tags:
        families.add(TaskFamily.MULTILABEL)
    if "task_categories:text-classification" in tags and not families:
        families |= {TaskFamily.BINARY, TaskFamily.MULTICLASS}
    return frozenset(families)


def _counts(card: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """Rows over all splits and number of classes, where the card's metadata says so."""
    described = card.get("dataset_info")
    first = described[0] if isinstance(described, list) and described else described
    if not isinstance(first, dict):
        return None, None
    rows: list[Any] = [s.get("num_examples") for s in first.get("splits") or () if isinstance(s, dict)]
    classes = [
        len(f["dtype"]["class_label"].get("names") or ())
        for f in first.get("features") or ()
        if isinstance(f, dict)
        and isinstance(f.get("dtype"), dict)
        and isinstance(f["dtype"].get("class_label"), dict)
    ]
    whole = bool(rows) and all(isinstance(n, int) for n in rows)
    return (sum(rows) if whole else None), (classes[0] if len(classes) == 1 else None)


def _checked_copy(source: Path, path: Path, expected: str | None, what: str) -> str:
    sha256 = sha256_of(source)
    if expected and sha256 != expected:
        source.resolve().unlink(missing_ok=True)  # so that the next try fetches it anew
        raise SourceError(f"What came for {what} is damaged (sha256 differs).", "Try again: `intern resume`.")
    with disk_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}.part")
        shutil.copyfile(source, beside)
        beside.replace(path)
    return sha256


__all__ = ["FORMATS", "HubSource"]
