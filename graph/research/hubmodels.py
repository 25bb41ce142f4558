"""Base models from the Hub: which one, and its files as a folder, pinned by commit.

Candidates are a short list by language (``encoders.toml``) and one search; :mod:`graph.research.encoders` decides, and
every one of them gets a sentence that says why it was or was not taken. The one that a person names is taken or
refused with the reason. Only safetensors, configuration and tokenizer are fetched.

Requests: one search (its answer is kept for hours), one for each candidate that is tried, at most ``TRIED``, and the
files of the one that is taken, which are kept by revision.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from graph.errors import SourceError
from graph.names import FailureKind
from graph.research import encoders
from graph.research.basemodel import SUFFIXES, check_model_files
from graph.research.cache import AnswerCache
from graph.research.disk import disk_errors, locked
from graph.research.encoders import Encoder, Wish
from graph.research.hubclient import HubClient
from graph.research.hubinfo import DOWNLOAD_TIMEOUT_S, bytes_of, card_of, languages_of, parse_id, paths_of
from graph.research.licences import licence_from_tags
from graph.state import Considered, ModelChoice, TaskSpec

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import ExpandModelProperty_T, ModelInfo

MAX_MODEL_BYTES = 4 << 30
TRIED = 3  # candidates whose pages are opened, one after the other, until one can be had
FOUND = 20
SHOWN = 8
MEMORY_SHARE = 0.7  # of this machine's that a training may take
_EXPAND: Final[list[ExpandModelProperty_T]] = [
    "cardData", "config", "downloads", "gated", "safetensors", "sha", "siblings", "tags",
]  # fmt: skip
_BYTES = {"F64": 8, "I64": 8, "F32": 4, "I32": 4, "F16": 2, "BF16": 2, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}


class HubModels:
    """Base models of one Hub; ``folder`` keeps what was fetched, a folder a revision."""

    def __init__(self, client: HubClient, folder: Path, cache: AnswerCache | None = None) -> None:
        self.client = client
        self.folder = folder
        self.cache = cache

    async def choose(self, task: TaskSpec) -> ModelChoice:
        """The base model as a folder. Raises SourceError: for the one that a person named, with the reason."""
        wanted = task.base_model
        wish = encoders.wish_of(task, os.cpu_count() or 2, _memory_mb())
        if wanted and (named := encoders.named_folder(wanted)):
            return named
        if wanted:
            return await self._named(wanted, wish)
        judged = encoders.order([*encoders.listed(), *await self._search(wish)], wish)
        fitting = [encoder for encoder, why in judged if not why][:TRIED]
        spare = encoders.nearest(judged, wish)
        refused: dict[str, str] = {}
        error: SourceError | None = None
        for encoder in fitting or ([spare] if spare else []):
            try:
                choice = await self._fetched(encoder, wish)
            except SourceError as problem:
                error = error or problem
                if problem.kind not in (FailureKind.DATA_ERROR, FailureKind.DENIED):
                    raise  # the network or the disk: the next one would fail in the same way
                refused[encoder.id] = f"could not be had: {problem.detail}"
                continue
            return replace(choice, considered=_table(judged, refused, encoder.id, wish))
        nothing = SourceError("No base model fits the limits.", "Name one.", FailureKind.DATA_ERROR)
        raise error or nothing

    async def _named(self, wanted: str, wish: Wish) -> ModelChoice:
        repo, revision, _ = parse_id(encoders.with_owner(wanted))
        info = await self._info(repo, revision)
        found = encoders.from_listing(_plain(info))
        files = _model_files(info)
        # A person may choose another language, size or speed than the limits say; it is told, not refused.
        hard = encoders.refusal(replace(found, languages=("multilingual",)), Wish(memory_mb=wish.memory_mb))
        if hard and found.model_type:
            raise SourceError(f"The base model {repo} {hard}.", "Name another one.", FailureKind.DATA_ERROR)
        soft = encoders.refusal(found, wish) if found.languages and found.model_type else ""
        reasons = ("you named it", *([f"though it {soft}"] if soft else []))
        return await self._choice(info, files, found, reasons)

    async def _fetched(self, encoder: Encoder, wish: Wish) -> ModelChoice:
        info = await self._info(encoder.id, None)
        return await self._choice(info, _model_files(info), encoder, encoders.reasons(encoder, wish))

    async def _info(self, repo: str, revision: str | None) -> ModelInfo:
        return await self.client.call(
            f"the base model {repo}",
            lambda api: api.model_info(repo, revision=revision, files_metadata=True, timeout=20),
        )

    async def _choice(
        self, info: ModelInfo, files: Sequence[str], encoder: Encoder, reasons: tuple[str, ...]
    ) -> ModelChoice:
        path = await self._snapshot(info.id, str(info.sha), files)
        kind, length = encoders.config_facts(path)
        encoders.check_kind(f"The base model {info.id}", kind)
        return ModelChoice(
            id=encoder.id,
            source="hub",
            path=str(path),
            licence=licence_from_tags(info.tags or (), card_of(info)) or encoder.licence,
            revision=info.sha,
            parameters_m=round(info.safetensors.total / 1e6, 1) if info.safetensors else encoder.parameters_m,
            size_mb=round(sum(f.stat().st_size for f in path.glob("*.safetensors")) / 1e6, 1),
            languages=encoder.languages or languages_of(card_of(info)),
            reasons=reasons,
            max_length=length or encoder.max_length,
        )

    async def _search(self, wish: Wish) -> list[Encoder]:
        """Sentence encoders for the language; none where the Hub does not answer, as the list serves too."""
        filters = ("sentence-transformers", "safetensors", wish.language)
        params = {"filter": filters, "limit": FOUND}
        kept = self.cache.get("models", params) if self.cache else None
        if kept is None:
            try:
                infos = await self.client.call(
                    "the list of base models",
                    lambda api: list(
                        api.list_models(filter=filters, sort="downloads", limit=FOUND, expand=_EXPAND)
                    ),
                )
            except SourceError:
                return []
            kept = [_plain(info) for info in infos]
            if self.cache:
                self.cache.put("models", params, kept)
        return [encoders.from_listing(item) for item in kept if isinstance(item, dict) and item.get("id")]

    async def _snapshot(self, repo: str, revision: str, files: Sequence[str]) -> Path:
        """A folder with plain copies (no links into a cache: a sandbox sees this folder alone)."""
        folder = self.folder / repo.replace("/", "--") / revision

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


def _plain(info: ModelInfo) -> dict[str, Any]:
    """What is kept of a search's answer, and judged by."""
    tags, counts = list(info.tags or ()), info.safetensors.parameters if info.safetensors else {}
    config = info.config if isinstance(info.config, dict) else {}
    return {
        "id": info.id,
        "tags": tags,
        "licence": licence_from_tags(tags, card_of(info)),
        "languages": list(languages_of(card_of(info))),
        "downloads": info.downloads,
        "gated": bool(info.gated),
        "files": paths_of(info),
        "model_type": config.get("model_type"),
        "parameters": info.safetensors.total if info.safetensors else None,
        "bytes": sum(count * _BYTES.get(dtype, 4) for dtype, count in counts.items()) or None,
    }


def _table(
    judged: Sequence[tuple[Encoder, str]], refused: Mapping[str, str], taken: str, wish: Wish
) -> tuple[Considered, ...]:
    """The one that was taken first, then by rank; of many the first ones."""
    rows = [
        encoders.considered(encoder, refused.get(encoder.id) or why, taken, wish) for encoder, why in judged
    ]
    return tuple(sorted(rows, key=lambda row: not row.taken)[:SHOWN])


def _memory_mb() -> float | None:
    """What a training may take of this machine's memory; ``None`` where the system does not say."""
    try:
        return MEMORY_SHARE * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e6
    except (OSError, ValueError, AttributeError):
        return None


def _model_files(info: ModelInfo) -> list[str]:
    """Top-level safetensors, configuration and tokenizer, and the pooling layer's configuration."""
    paths = paths_of(info)
    files = [
        path
        for path in paths
        if PurePosixPath(path).suffix in SUFFIXES and ("/" not in path or path == "1_Pooling/config.json")
    ]
    check_model_files(info.id, [*files, *(p for p in paths if "/" not in p)])
    size = bytes_of(info, files)
    if size > MAX_MODEL_BYTES:
        raise SourceError(
            f"The base model {info.id} has {size / 1e9:.1f} GB, more than {MAX_MODEL_BYTES / 1e9:.1f}.",
            "Name a smaller one.",
            FailureKind.DATA_ERROR,
        )
    return files
