"""Bringing a Modal job's ``out/`` home from the Volume.

A download may arrive cut or damaged (Modal's client fills what is missing with zeros and says nothing), and a Volume
may show a file a moment after its sandbox has ended. So everything is looked at by size and sha256, and asked for
again a few times before it is refused. What has arrived is then judged and moved into place by the same code as a job
of this machine (:mod:`remote.sandbox.artifacts`): plain files only, no pickles, all or nothing.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from remote.backend import BackendError
from remote.backends.modal_store import Store
from remote.protocol import FailureKind, JobEvent, JobEventType, sha256_file
from remote.sandbox import artifacts
from remote.sandbox.artifacts import refused

if TYPE_CHECKING:
    from modal.types import FileEntry

TRIES = 3
_AT_ONCE = 4


async def fetch(
    store: Store, key: str, into: Path, events: Sequence[JobEvent], *, at_most_bytes: int, retry_s: float
) -> None:
    """Every file below ``out/`` to the same path below ``into``.

    Raises ArtifactError for a file that is missing, damaged after ``TRIES`` downloads, or of a kind that is not taken
    over, and BackendError (``no_disk``) when the copies cannot be written; then nothing comes.
    """
    announced = announced_by(events)
    found = await _listed(store, f"jobs/{key}/out", announced, retry_s)
    if len(found) > artifacts.MAX_FILES or sum(found.values()) > at_most_bytes:
        largest = max(found, key=lambda path: found[path])
        raise refused(largest, f"and the others are more than the {at_most_bytes} bytes of the job")
    turns = asyncio.Semaphore(_AT_ONCE)

    async def bring(path: str, size_bytes: int, target: Path) -> None:
        async with turns:
            source = f"jobs/{key}/out/{path}"
            if not await _download(store, source, target, size_bytes, announced.get(path), retry_s):
                how = (
                    "is not the one that the job announced (another sha256)"
                    if path in announced
                    else "is cut"
                )
                raise refused(path, f"{how}, in {TRIES} downloads")

    try:
        into.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".modal-", dir=into.parent) as temporary:
            out = Path(temporary)
            async with asyncio.TaskGroup() as group:
                for path, size in found.items():
                    group.create_task(bring(path, size, out / path))
            unfinished = not events or events[-1].type is not JobEventType.RESULT
            await asyncio.to_thread(
                artifacts.fetch, out, into, announced, at_most_bytes=at_most_bytes, unfinished=unfinished
            )
    except* BackendError as errors:
        raise _first(errors) from None
    except* OSError as errors:
        detail = f"The job's files could not be copied to {str(into)!r}: {_first(errors)}."
        hint = "Free some disk space, or choose a folder that you may write."
        raise BackendError(FailureKind.NO_DISK, detail, hint) from errors


def announced_by(events: Sequence[JobEvent]) -> dict[str, str]:
    """Artifacts (path -> sha256, the last word counts) of a job that ended in a result, else nothing: a job that was
    killed may have been replacing a file."""
    if not events or events[-1].type is not JobEventType.RESULT:
        return {}
    said = (event.fields for event in events if event.type is JobEventType.ARTIFACT)
    return {str(fields.get("path")): str(fields.get("sha256")) for fields in said}


async def _listed(store: Store, out: str, announced: Mapping[str, str], retry_s: float) -> dict[str, int]:
    """Relative path -> size in bytes; waits a little for announced files to show up."""
    for attempt in range(TRIES):
        found = plain_files(await store.list(out), out)
        missing = [path for path in announced if path not in found]
        if not missing:
            return found
        if attempt + 1 < TRIES:
            await asyncio.sleep(retry_s)
    raise refused(missing[0], "was announced but is not in the job's out/")


def plain_files(entries: Sequence[FileEntry], out: str) -> dict[str, int]:
    """Raises ArtifactError for anything but folders and plain files, and for names that lead elsewhere."""
    from modal.types import FileEntryType

    files = {}
    for entry in entries:
        path = entry.path.removeprefix("/").removeprefix(f"{out}/")
        if entry.type is FileEntryType.DIRECTORY:
            continue
        if entry.type is not FileEntryType.FILE:
            raise refused(path, "is a link or a special file, which is not taken over")
        if not path.isprintable() or ".." in PurePosixPath(path).parts or path.startswith("/"):
            raise refused(path, "has a name that is not taken over")
        files[path] = entry.size
    return files


async def _download(
    store: Store, source: str, target: Path, size_bytes: int, sha256: str | None, retry_s: float
) -> bool:
    """Whether it has arrived whole."""
    target.parent.mkdir(parents=True, exist_ok=True)
    for attempt in range(TRIES):
        there = await store.download(source, target, size_bytes)
        if there and await asyncio.to_thread(_is_whole, target, size_bytes, sha256):
            return True
        if attempt + 1 < TRIES:
            await asyncio.sleep(retry_s)
    return False


def _is_whole(file: Path, size_bytes: int, sha256: str | None) -> bool:
    return file.stat().st_size == size_bytes and (sha256 is None or sha256_file(file) == sha256)


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    found: BaseException = errors
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found
