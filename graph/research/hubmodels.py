"""Base models from the Hub: which one, and its files as a folder, pinned by commit.

A short list by language (``encoders.toml``), or the one that the person names. Only safetensors, configuration
and tokenizer are taken; a model that has nothing but a pickle is refused.
"""

from __future__ import annotations

import shutil
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from graph.errors import SourceError
from graph.names import FailureKind
from graph.research.basemodel import SUFFIXES, check_model_files, folder_model
from graph.research.hubclient import HubClient
from graph.research.hubinfo import DOWNLOAD_TIMEOUT_S, bytes_of, card_of, languages_of, parse_id, paths_of
from graph.research.licences import licence_from_tags
from graph.research.packages import disk_errors, locked
from graph.state import ModelChoice, TaskSpec

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import ModelInfo

MAX_MODEL_BYTES = 4 << 30


@dataclass(frozen=True, slots=True)
class _Encoder:
    id: str
    licence: str
    parameters_m: float
    size_mb: float
    languages: tuple[str, ...]


class HubModels:
    """Base models of one Hub; ``folder`` keeps what was fetched, a folder a revision."""

    def __init__(self, client: HubClient, folder: Path) -> None:
        self.client = client
        self.folder = folder

    async def choose(self, task: TaskSpec) -> ModelChoice:
        wanted = task.base_model
        if wanted and (named := folder_model(wanted)):
            return named
        encoder = None if wanted else _encoder_for(task)
        repo, revision, _ = parse_id(wanted or (encoder.id if encoder else ""))
        info = await self.client.call(
            f"the base model {repo}",
            lambda api: api.model_info(repo, revision=revision, files_metadata=True, timeout=20),
        )
        files = _model_files(info)
        path = await self._snapshot(repo, str(info.sha), files)
        return ModelChoice(
            id=repo,
            source="hub",
            path=str(path),
            licence=licence_from_tags(info.tags or (), card_of(info))
            or (encoder.licence if encoder else None),
            revision=info.sha,
            parameters_m=_parameters_m(info, encoder),
            size_mb=round(sum(f.stat().st_size for f in path.glob("*.safetensors")) / 1e6, 1),
            languages=encoder.languages if encoder else languages_of(card_of(info)),
            reasons=_model_reasons(encoder, task),
        )

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
