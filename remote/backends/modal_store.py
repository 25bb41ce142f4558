"""What a Modal job leaves and is given: two Volumes, and nothing on this machine.

::

    jobs volume     control/<key>/submitted.json   which sandbox: where it exists, the job has been submitted
                    control/<key>/cancelled.json   somebody wanted it stopped
                    control/<key>/events.jsonl     all it said and the last word that it could not say itself
                    jobs/<key>/                    mounted in the sandbox (see remote.backends.modal_runner)
    shared volume   <sha256>/<input name>/…        inputs that many jobs use, uploaded once; <sha256>.json when whole

A sandbox sees its own ``jobs/<key>`` and the shared inputs it names, never another job's folder nor ``control/``: a
script that is trained cannot reach the test rows of the evaluation, nor say which sandbox it is. Volumes are of
version 2: many sandboxes may write at once, and a running one can commit its checkpoint. Uploads are by content, so
a file that Modal has (the rows of the last attempt) is not sent again.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from remote.backend import BackendError, Input
from remote.backends.modal_errors import calling
from remote.protocol import FailureKind, sha256_file

if TYPE_CHECKING:
    import modal
    from modal.types import FileEntry

CALL_S = 30.0  # a small file, up or down
BYTES_PER_S = 1024**2  # the slowest line that an upload or download is given time for
_HINT = "Check the path, or fetch the data again."


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file to send: ``path`` is relative to its input's name, empty for an input that is one file."""

    name: str
    path: str
    source: Path

    @property
    def inside(self) -> str:
        return f"{self.name}/{self.path}" if self.path else self.name


def local_files(inputs: Iterable[Input]) -> list[LocalFile]:
    """Every file of ``inputs``, links followed (a model in the Hub's cache is a folder of links). Of two with the
    same place the later one counts, as when they are copied one after another.

    Raises BackendError (``data_error``) for a source that is missing, or a name that leaves the job's ``in/``.
    """
    found: dict[str, LocalFile] = {}
    for item in inputs:
        name, source = PurePosixPath(item.name), Path(item.source)
        if name.is_absolute() or ".." in name.parts or not name.parts:
            detail = f"The input name {item.name!r} is not a path below the job's in/."
            raise BackendError(FailureKind.DATA_ERROR, detail, "Give a relative name without '..'.")
        if source.is_file():
            files = [LocalFile(item.name, "", source)]
        elif source.is_dir():
            paths = sorted(path for path in source.rglob("*") if path.is_file())
            files = [LocalFile(item.name, path.relative_to(source).as_posix(), path) for path in paths]
        else:
            detail = f"The input {item.source!r} does not exist or is neither a file nor a folder."
            raise BackendError(FailureKind.DATA_ERROR, detail, _HINT)
        found |= {file.inside: file for file in files}
    return list(found.values())


def tree_sha256(files: Sequence[LocalFile]) -> str:
    """Of names and contents, in an order that does not depend on the disk."""
    lines = sorted(f"{sha256_file(file.source)}  {file.inside}\n" for file in files)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


class Store:
    """The two Volumes. Every call has a deadline and raises BackendError; a missing file is ``None``."""

    def __init__(self, jobs: modal.Volume, shared: modal.Volume) -> None:
        self.jobs = jobs
        self.shared = shared

    async def read(
        self, path: str, volume: modal.Volume | None = None, *, at_most_bytes: int = 0
    ) -> bytes | None:
        """A whole file: a small one, or one that is given the time for ``at_most_bytes``."""
        chunks: list[bytes] = []
        try:
            async with calling("reading a job's folder", CALL_S + at_most_bytes / BYTES_PER_S):
                async for chunk in (volume or self.jobs).read_file.aio(path):
                    chunks.append(chunk)  # noqa: PERF401 - an async comprehension hides the error's place
        except FileNotFoundError:
            return None
        return b"".join(chunks)

    async def read_json(self, path: str) -> dict[str, Any] | None:
        data = await self.read(path)
        if data is None:
            return None
        try:
            body = json.loads(data)
        except ValueError:
            return None  # half-written: it is not there yet
        return body if isinstance(body, dict) else None

    async def put_once(self, path: str, data: bytes, volume: modal.Volume | None = None) -> bool:
        """Write ``path`` unless it exists: of several writers the first wins. Whether this was the first."""
        try:
            async with (
                calling("writing to a job's folder", CALL_S + len(data) / BYTES_PER_S),
                (volume or self.jobs).batch_upload() as batch,
            ):
                batch.put_file(BytesIO(data), path)
        except FileExistsError:
            return False
        return True

    async def put_job(self, key: str, small: dict[str, str], files: Sequence[LocalFile]) -> None:
        """``jobs/<key>/``: ``small`` (name -> text) and ``files`` below ``in/``; what is there is replaced."""
        size = sum(file.source.stat().st_size for file in files)
        async with (
            calling("uploading the job's inputs", CALL_S + size / BYTES_PER_S),
            self.jobs.batch_upload(force=True) as batch,
        ):
            for name, text in small.items():
                batch.put_file(BytesIO(text.encode()), f"jobs/{key}/{name}")
            for file in files:
                batch.put_file(file.source, f"jobs/{key}/in/{file.inside}")

    async def put_shared(self, files: Sequence[LocalFile]) -> str:
        """Upload ``files`` unless a whole copy is there; the folder's name, a sha256."""
        sha256 = await asyncio.to_thread(tree_sha256, files)
        if await self.read(f"{sha256}.json", self.shared) is not None:
            return sha256
        size = sum(file.source.stat().st_size for file in files)
        async with (
            calling("uploading the base model", CALL_S + size / BYTES_PER_S),
            self.shared.batch_upload(force=True) as batch,
        ):
            for file in files:
                batch.put_file(file.source, f"{sha256}/{file.inside}")
        names = json.dumps({"files": [file.inside for file in files]}).encode()
        await self.put_once(f"{sha256}.json", names, self.shared)
        return sha256

    async def list(self, path: str, *, recursive: bool = True) -> list[FileEntry]:
        """Entries with paths relative to the Volume; empty when there is no such folder."""
        from modal.exception import NotFoundError

        async with calling("listing a job's folder", CALL_S):
            try:
                return await self.jobs.listdir.aio(path, recursive=recursive)
            except (FileNotFoundError, NotFoundError):
                return []

    async def download(self, path: str, target: Path, size_bytes: int) -> bool:
        """Into ``target``, replaced if it exists; False when there is no such file."""
        try:
            async with calling("downloading a file of the job", CALL_S + size_bytes / BYTES_PER_S):
                with target.open("wb") as file:
                    async for chunk in self.jobs.read_file.aio(path):
                        file.write(chunk)
        except FileNotFoundError:
            return False
        return True

    async def remove(self, path: str) -> None:
        """A folder and all below it; nothing happens when there is none."""
        try:
            async with calling("deleting a job's folder", CALL_S):
                await self.jobs.remove_file.aio(path, recursive=True)
        except FileNotFoundError:
            return
