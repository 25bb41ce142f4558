"""Data sets and base models from the Hugging Face Hub, pinned by commit. Read only, and nothing there is
executed.

- A candidate's id is ``owner/name``, with ``@revision`` or ``#file`` after it where a person wants one.
- ``revision`` of a candidate is the commit that was looked at; :meth:`HubSource.fetch` reads exactly that
  one.
- Downloads go through the client's cache under ``<home>/hub``: a broken one resumes, a second one is free.
  They are copied into the run's folder, and what the Hub says of their sha256 is checked.
- Base models are a short list by language (``encoders.toml``), or the one that the person names. Only
  safetensors, configuration and tokenizer are taken; a model that has nothing but a pickle is refused.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from pydantic import SecretStr

from graph.errors import SourceError
from graph.names import FailureKind, TaskFamily
from graph.research.archives import sha256_of
from graph.research.basemodel import SUFFIXES, check_model_files, folder_model
from graph.research.hubclient import HubClient, Sleep
from graph.research.hubfiles import FORMATS, Chosen, choose_files
from graph.research.licences import licence_from_tags
from graph.research.packages import disk_errors, locked, room
from graph.research.ranking import Found, rank, topic_words, words_of
from graph.state import Candidate, DataFiles, ModelChoice, TaskSpec

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import DatasetInfo, ExpandDatasetProperty_T, ModelInfo

MAX_DATA_BYTES = 2 << 30
MAX_MODEL_BYTES = 4 << 30
DOWNLOAD_TIMEOUT_S = 1800.0
QUERIES = 4
_ID = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)(@(?P<revision>[\w./-]+))?(#(?P<file>[^\0]+))?")
_EXPAND: Final[Sequence[ExpandDatasetProperty_T]] = (
    "cardData", "description", "disabled", "downloads", "gated", "sha", "siblings", "tags",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Encoder:
    id: str
    licence: str
    parameters_m: float
    size_mb: float
    languages: tuple[str, ...]


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

    def claims(self, wanted: str) -> bool:
        return _ID.fullmatch(_plain(wanted)) is not None

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
        repo, revision, _ = _parse(dataset_id)
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
        repo, revision, _ = _parse(candidate.id)
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
            room(self.folder, 2 * _bytes(info, list(chosen.files.values())))
        splits, sha256 = {}, {}
        for split, file in chosen.files.items():
            path = into / f"{repo.rpartition('/')[2]}-{split}{PurePosixPath(file).suffix}"
            sha256[split] = await self._download(repo, str(info.sha), file, path, _sha256(info, file))
            splits[split] = str(path)
        return DataFiles(
            replace(candidate, revision=info.sha), splits, sha256, candidate.text_column, candidate.target
        )

    async def model(self, task: TaskSpec) -> ModelChoice:
        wanted = task.base_model
        if wanted and (named := folder_model(wanted)):
            return named
        encoder = None if wanted else _encoder_for(task)
        repo, revision, _ = _parse(wanted or (encoder.id if encoder else ""))
        info = await self.client.call(
            f"the base model {repo}",
            lambda api: api.model_info(repo, revision=revision, files_metadata=True, timeout=20),
        )
        files = _model_files(info)
        path = await self._snapshot(repo, str(info.sha), files)
        return ModelChoice(
            id=repo,
            source=self.name,
            path=str(path),
            licence=licence_from_tags(info.tags or ()) or (encoder.licence if encoder else None),
            revision=info.sha,
            parameters_m=_parameters_m(info, encoder),
            size_mb=round(sum(f.stat().st_size for f in path.glob("*.safetensors")) / 1e6, 1),
            languages=encoder.languages if encoder else _languages(_card(info)),
            reasons=_model_reasons(encoder, task),
        )

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

    async def _snapshot(self, repo: str, revision: str, files: Sequence[str]) -> Path:
        """A folder with plain copies (no links into a cache: a sandbox sees this folder alone)."""
        folder = self.folder / "models" / repo.replace("/", "--") / revision

        def download(api: HfApi) -> None:
            if folder.is_dir():  # it is renamed into place whole
                return
            part = folder.with_name(f"{revision}.part")  # kept after a failure, so that the next try resumes
            with locked(folder.with_name(f"{revision}.lock")):
                part.mkdir(parents=True, exist_ok=True)
                for file in files:
                    api.hf_hub_download(repo, file, revision=revision, local_dir=part)
                shutil.rmtree(part / ".cache", ignore_errors=True)
                if folder.is_dir():
                    shutil.rmtree(part)  # another process was quicker
                else:
                    part.rename(folder)

        with disk_errors(self.folder):
            await self.client.call(f"the base model {repo}", download, DOWNLOAD_TIMEOUT_S)
        return folder


def _plain(wanted: str) -> str:
    """``owner/name`` out of the forms in which people write it."""
    text = wanted.strip().removeprefix("hub:").removeprefix("hf://")
    text = re.sub(r"^https?://[^/]+/", "", text)
    return text.removeprefix("datasets/").rstrip("/")


def _parse(wanted: str) -> tuple[str, str | None, str]:
    match = _ID.fullmatch(_plain(wanted))
    if match is None:
        raise SourceError(f"{wanted[:80]!r} is no Hub id.", "Write it as owner/name.", FailureKind.DATA_ERROR)
    return match["repo"], match["revision"], match["file"] or ""


def _queries(task: TaskSpec) -> list[str]:
    words = sorted(topic_words(task), key=lambda w: (-len(w), w))
    keywords = list(dict.fromkeys(k.strip() for k in task.keywords if k.strip()))
    pairs = [" ".join(keywords[:2])] if len(keywords) > 1 else []
    return list(dict.fromkeys([*pairs, *keywords, *words]))[:QUERIES]


def _card(info: DatasetInfo | ModelInfo) -> dict[str, Any]:
    return dict(vars(info.card_data)) if info.card_data else {}


def _paths(info: DatasetInfo | ModelInfo) -> list[str]:
    return [sibling.rfilename for sibling in info.siblings or ()]


def _bytes(info: DatasetInfo | ModelInfo, files: Sequence[str]) -> int:
    return sum(sibling.size or 0 for sibling in info.siblings or () if sibling.rfilename in files)


def _sha256(info: DatasetInfo, file: str) -> str | None:
    """What the Hub recorded for a large file; small ones have only a git hash."""
    found = next((s for s in info.siblings or () if s.rfilename == file and s.lfs), None)
    return found.lfs.sha256 if found and found.lfs else None


def _chosen(info: DatasetInfo, dataset_id: str) -> Chosen:
    return choose_files(_paths(info), _card(info), _parse(dataset_id)[2])


def _too_large(info: DatasetInfo, chosen: Chosen) -> str:
    size = _bytes(info, list(chosen.files.values()))
    return (
        f"its files have {size / 1e9:.1f} GB, more than {MAX_DATA_BYTES / 1e9:.1f}"
        if size > MAX_DATA_BYTES
        else ""
    )


def _candidate(info: DatasetInfo, dataset_id: str) -> Candidate:
    card, tags = _card(info), info.tags or []
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
    card, tags = _card(info), info.tags or []
    candidate = _candidate(info, info.id)
    if info.gated and candidate.usable:
        candidate = replace(
            candidate, usable=False, why_not="access has to be asked for on the Hub: do so, then name it"
        )
    text = " ".join((info.id, str(card.get("pretty_name", "")), info.description or "", *tags))
    languages = _languages(card)
    return Found(
        candidate,
        words=words_of(text[:4000]),
        language=languages[0] if len(languages) == 1 else None,
        families=_families(tags),
    )


def _languages(card: Mapping[str, Any]) -> tuple[str, ...]:
    named = card.get("language") or ()
    return (named,) if isinstance(named, str) else tuple(str(n) for n in named)


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


def _encoder_for(task: TaskSpec) -> _Encoder:
    """The first of the list that speaks the language and is small enough, else the smallest."""
    text = resources.files("graph.research").joinpath("encoders.toml").read_text(encoding="utf-8")
    encoders = [_Encoder(**{**e, "languages": tuple(e["languages"])}) for e in tomllib.loads(text)["encoder"]]
    language, max_mb = task.constraints.language or "en", task.constraints.max_model_mb
    speaking = [e for e in encoders if language in e.languages or "multilingual" in e.languages]
    fitting = [e for e in speaking if max_mb is None or e.size_mb <= max_mb]
    return fitting[0] if fitting else min(encoders, key=lambda e: e.size_mb)


def _model_reasons(encoder: _Encoder | None, task: TaskSpec) -> tuple[str, ...]:
    if encoder is None:
        return ("you named it",)
    reasons = [f"small ({encoder.parameters_m} M parameters) and quick on a CPU"]
    language = task.constraints.language or "en"
    if "multilingual" in encoder.languages:
        reasons.append(f"made for many languages, {language} among them")
    elif language not in encoder.languages:
        reasons.append(
            f"made for {encoder.languages[0]}, so expect less on {language}: nothing else fits the size"
        )
    return tuple(reasons)


def _parameters_m(info: ModelInfo, encoder: _Encoder | None) -> float | None:
    if info.safetensors:
        return round(info.safetensors.total / 1e6, 1)
    return encoder.parameters_m if encoder else None


def _model_files(info: ModelInfo) -> list[str]:
    """Top-level safetensors, configuration and tokenizer, and the pooling layer's configuration."""
    paths = _paths(info)
    files = [
        path
        for path in paths
        if PurePosixPath(path).suffix in SUFFIXES and ("/" not in path or path == "1_Pooling/config.json")
    ]
    check_model_files(info.id, [*files, *(p for p in paths if "/" not in p)])
    size = _bytes(info, files)
    if size > MAX_MODEL_BYTES:
        raise SourceError(
            f"The base model {info.id} has {size / 1e9:.1f} GB, more than {MAX_MODEL_BYTES / 1e9:.1f}.",
            "Name a smaller one.",
            FailureKind.DATA_ERROR,
        )
    return files


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
