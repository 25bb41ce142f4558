"""A base model in a folder: what it must hold before anything is trained from it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from graph.errors import SourceError
from graph.names import FailureKind
from graph.state import ModelChoice

PICKLES = frozenset({".bin", ".pt", ".pth", ".pkl", ".pickle", ".joblib", ".ckpt"})
SUFFIXES = frozenset({".json", ".txt", ".model", ".safetensors"})  # of the files that are taken from a source


def check_model_files(model_id: str, names: Iterable[str]) -> None:
    """Raises SourceError unless there are safetensors, a config and a tokenizer. A pickle can run code."""
    files = {Path(name).name for name in names}
    if not any(name.endswith(".safetensors") for name in files):
        pickled = any(Path(name).suffix in PICKLES for name in files)
        why = (
            "has its weights only as a pickle, which can run code"
            if pickled
            else "holds no safetensors weights"
        )
        raise SourceError(
            f"The base model {model_id} {why}.", "Name one that has safetensors.", FailureKind.DATA_ERROR
        )
    if "config.json" not in files or not files & {
        "tokenizer.json",
        "vocab.txt",
        "tokenizer.model",
        "spiece.model",
    }:
        raise SourceError(
            f"The base model {model_id} lacks its config.json or its tokenizer.",
            "Name a complete one.",
            FailureKind.DATA_ERROR,
        )


def folder_model(path: str) -> ModelChoice | None:
    """The model in a folder that a person named, or ``None`` where ``path`` is no folder."""
    folder = Path(path).expanduser()
    if not folder.is_dir():
        return None
    names = [entry.name for entry in folder.iterdir() if entry.is_file()]
    check_model_files(path, names)
    size = sum(entry.stat().st_size for entry in folder.glob("*.safetensors"))
    return ModelChoice(
        id=folder.name,
        source="folder",
        path=str(folder.resolve()),
        licence=None,
        size_mb=round(size / 1e6, 1),
        reasons=("you named this folder",),
    )
