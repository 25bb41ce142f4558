"""Bringing a job's ``out/`` home: plain files only, checked against what the job announced.

A job is not trusted: a link in ``out/`` could make the fetch read any file of this machine and hand it on
to a publication, a device or a FIFO could block it for ever, a sparse file of exabytes would fill the disk, a pickle
would run code for whoever loads the model. So:

- everything is looked at before anything is copied, and looked at again where it is opened: folders and files are
  opened one from another without following links, so that nothing can be put in their place in between;
- bytes are judged on our own copy (:mod:`remote.sandbox.contents`), which the job cannot change any more;
- copies wait beside ``into`` until all have passed, and are then renamed into place: one bad file and nothing comes.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from remote.backend import ArtifactError
from remote.protocol import FailureKind
from remote.sandbox import contents, tree

MAX_FILES = 10_000
MAX_DEPTH = 16
MAX_PATH_CHARS = 512
MAX_BYTES = 256 * 1024**3  # where the caller knows no better
_CHUNK_BYTES = 1024**2
_HINT = "Look at log.txt in the job's folder, then run the job again."
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Found:
    path: str  # relative, POSIX
    bytes: int


def fetch(
    out: Path,
    into: Path,
    announced: Mapping[str, str],
    *,
    at_most_bytes: int = MAX_BYTES,
    unfinished: bool = False,
) -> None:
    """Copy every file below ``out`` to the same relative path below ``into``.

    ``announced`` maps relative paths to sha256. ``unfinished``: the job did not end well, so a file whose bytes
    are refused (weights that were being written when it was killed) is left behind instead of refusing all.
    Raises ArtifactError, and leaves ``into`` as it was, when a file is missing, differs, is of a kind that is not
    taken over, or when there are too many or more than ``at_most_bytes``; OSError when a copy cannot be written.
    Running it again is harmless.
    """
    found = plain_files(out)
    missing = announced.keys() - {file.path for file in found}
    if missing:
        raise refused(min(missing), "was announced but is not in the job's out/")
    if sum(file.bytes for file in found) > at_most_bytes:
        largest = max(found, key=lambda file: file.bytes)
        raise refused(largest.path, f"and the others are more than the {at_most_bytes} bytes of the job")
    with _staging(into) as stage, _folder(out) as top:
        for number, file in enumerate(found):
            copy = stage / str(number)
            _copy(file, top, copy, announced.get(file.path))
            why = contents.refusal(copy, file.path)
            if why is not None and not unfinished:
                raise refused(file.path, why)
            if why is not None:
                copy.unlink()
        for number, file in enumerate(found):
            if not (stage / str(number)).exists():
                continue
            target = into / file.path
            target.parent.mkdir(parents=True, exist_ok=True)
            (stage / str(number)).replace(target)


def plain_files(out: Path) -> list[Found]:
    """The files below ``out``, sorted by path; raises ArtifactError for anything but folders and plain files,
    and for too much of either."""
    files: list[Found] = []
    waiting: list[tuple[PurePosixPath, int]] = [(PurePosixPath(), 0)]
    names = 0
    with _folder(out) as top:
        while waiting:
            folder, depth = waiting.pop()
            with _below(top, folder) as fd, os.scandir(fd) as entries:
                for entry in entries:
                    names += 1
                    path = _checked_path(folder / entry.name, names, depth)
                    info = entry.stat(follow_symlinks=False)
                    if stat.S_ISDIR(info.st_mode):
                        waiting.append((PurePosixPath(path), depth + 1))
                    else:
                        files.append(Found(path, _plain_bytes(path, info)))
    return sorted(files, key=lambda file: file.path)


def refused(path: str, why: str) -> ArtifactError:
    shown = path.encode("utf-8", "backslashreplace").decode()
    if len(shown) > 200:
        shown = f"{shown[:200]}…"
    return ArtifactError(FailureKind.SCRIPT_ERROR, f"The job's file {shown!r} {why}.", _HINT)


def _checked_path(path: PurePosixPath, names: int, depth: int) -> str:
    text = str(path)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise refused(text, "has a name that is not UTF-8") from None
    if not text.isprintable():
        raise refused(text, "has control characters in its name")
    if len(text) > MAX_PATH_CHARS or depth > MAX_DEPTH:
        raise refused(text, "lies in too many folders or has too long a name")
    if names > MAX_FILES:
        raise refused(text, f"is one of more than {MAX_FILES}, which are too many to take over")
    return text


def _plain_bytes(path: str, info: os.stat_result) -> int:
    if not stat.S_ISREG(info.st_mode):
        raise refused(path, "is a link or a special file, which is not taken over")
    if info.st_nlink != 1:
        raise refused(path, "is a hard link, which is not taken over")
    return info.st_size


def _copy(file: Found, top: int, target: Path, sha256: str | None) -> None:
    digest, left = hashlib.sha256(), file.bytes
    relative = PurePosixPath(file.path)
    with _below(top, relative.parent) as folder:
        try:
            fd = os.open(relative.name, _OPEN, dir_fd=folder)
        except OSError:
            raise refused(file.path, "was replaced while it was being read") from None
    with os.fdopen(fd, "rb", buffering=0) as reader, target.open("xb") as writer:
        _plain_bytes(file.path, os.fstat(fd))
        while chunk := reader.read(_CHUNK_BYTES):
            left -= len(chunk)
            if left < 0:
                raise refused(file.path, "grew while it was being read")
            digest.update(chunk)
            writer.write(chunk)
    if sha256 is not None and digest.hexdigest() != sha256:
        raise refused(file.path, "is not the one that the job announced (another sha256)")


@contextmanager
def _folder(path: Path) -> Iterator[int]:
    fd = os.open(path, _OPEN | os.O_DIRECTORY)
    try:
        yield fd
    finally:
        os.close(fd)


@contextmanager
def _below(top: int, folder: PurePosixPath) -> Iterator[int]:
    """``folder`` opened step by step from ``top``, so that no link on the way is followed."""
    fd = os.dup(top)
    try:
        for name in folder.parts:
            try:
                inner = os.open(name, _OPEN | os.O_DIRECTORY, dir_fd=fd)
            except OSError:
                raise refused(str(folder), "was replaced while it was being read") from None
            os.close(fd)
            fd = inner
        yield fd
    finally:
        os.close(fd)


@contextmanager
def _staging(into: Path) -> Iterator[Path]:
    """A folder beside ``into``, on the same disk. What a killed fetch left there goes; a flock tells it from that
    of a fetch at work."""
    prefix = f".{into.name}.part-"
    into.parent.mkdir(parents=True, exist_ok=True)
    for old in into.parent.glob(f"{prefix}*"):
        with _locked(old) as ours:
            if ours:
                tree.remove(old)
    stage = Path(tempfile.mkdtemp(prefix=prefix, dir=into.parent))
    with _locked(stage):
        try:
            yield stage
        finally:
            tree.remove(stage)


@contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    with _folder(folder) as fd:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
