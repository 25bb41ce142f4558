"""A file of the person's own. It is copied into the run's folder, so that a later change of it changes no
run.

Nothing in it is read here but bytes; its columns are found out by the inspect job, in the sandbox.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
from collections.abc import Collection
from pathlib import Path

from graph.errors import SourceError
from graph.names import FailureKind
from graph.research.disk import disk_errors, room
from graph.state import Candidate, DataFiles, ModelChoice, TaskSpec

_TEXT = (".csv", ".tsv", ".txt", ".jsonl", ".ndjson", ".json")
SUFFIXES = (*_TEXT, *(f"{suffix}.gz" for suffix in _TEXT), ".parquet", ".xlsx")
MAX_BYTES = 2 << 30
_CHUNK_BYTES = 1 << 20
_KINDS = "Give the path of a CSV, TSV, JSONL, Parquet or Excel (.xlsx) file."


class LocalFileSource:
    """A :class:`graph.deps.Source` of one file, named by its path."""

    name = "file"
    searchable = False

    def claims(self, wanted: str) -> bool:
        """Whether it is meant as a path: it exists, starts like one, or ends like a data file's name."""
        if "#" in wanted or "://" in wanted or "\0" in wanted:
            return False
        starts = wanted.startswith(("/", "./", "../", "~", ".\\"))
        return starts or wanted.casefold().endswith(SUFFIXES) or os.path.lexists(wanted)

    async def ready(self) -> bool:
        return True

    async def search(self, task: TaskSpec, limit: int = 5, skip: Collection[str] = ()) -> list[Candidate]:
        return []

    async def candidate(self, dataset_id: str) -> Candidate:
        return await asyncio.to_thread(local_candidate, dataset_id)

    async def fetch(self, candidate: Candidate, into: Path) -> DataFiles:
        return await asyncio.to_thread(self._fetch, candidate, into)

    async def model(self, task: TaskSpec) -> ModelChoice:
        raise SourceError("A data file is no base model.", "Name a folder with safetensors or a Hub id.")

    def _fetch(self, candidate: Candidate, into: Path) -> DataFiles:
        source = Path(local_candidate(candidate.id).id)  # it may be gone since it was named
        path = into / re.sub(r"[^\w.\-]", "_", source.name)
        with disk_errors(into):
            into.mkdir(parents=True, exist_ok=True)
            room(into, source.stat().st_size)
        sha256 = _copy(source, path)
        return DataFiles(candidate, {"train": str(path)}, {"train": sha256})


def local_candidate(wanted: str) -> Candidate:
    """The file as a candidate; SourceError when it is missing, no file, empty, too large or unreadable."""
    path = Path(wanted).expanduser().absolute()
    shown = wanted[:200]
    try:
        if path.is_dir():
            names = sorted(
                entry.name for entry in path.iterdir() if entry.name.casefold().endswith(SUFFIXES)
            )[:3]
            hint = f"Name one file in it, such as {path / names[0]}." if names else _KINDS
            raise _refused(f"{shown} is a folder, and I need one file.", hint)
        if not path.exists():
            raise _refused(
                f"There is no file {shown}.", "Check the path; it is taken from the folder you are in."
            )
        if not path.is_file():
            raise _refused(f"{shown} is no plain file.", _KINDS)
        if not path.name.casefold().endswith(SUFFIXES):
            raise _refused(f"I cannot read files like {path.name[:80]}.", _KINDS)
        size = path.stat().st_size
        with path.open("rb") as file:
            file.read(1)
    except OSError as error:
        raise _refused(
            f"{shown} cannot be read: {error.strerror}.", "Check the path and its permissions."
        ) from error
    if size == 0:
        raise _refused(f"{shown} is empty.", "Give a file with a header and at least some dozen rows.")
    if size > MAX_BYTES:
        raise _refused(
            f"{shown} has {size / 1e9:.1f} GB; at most {MAX_BYTES / 1e9:.1f} GB are read.",
            "Give a part of it.",
        )
    return Candidate(
        id=str(path),
        source=LocalFileSource.name,
        title=path.name,
        licence=None,
        score=1.0,
        reasons=("your file",),
    )


def _copy(source: Path, path: Path) -> str:
    """Copy in one pass with its sha256, beside and then in place."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    digest = hashlib.sha256()
    try:
        with source.open("rb") as reading, disk_errors(path.parent), beside.open("wb") as writing:
            while chunk := reading.read(_CHUNK_BYTES):
                digest.update(chunk)
                writing.write(chunk)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    return digest.hexdigest()


def _refused(detail: str, hint: str) -> SourceError:
    return SourceError(detail, hint, FailureKind.DATA_ERROR)
