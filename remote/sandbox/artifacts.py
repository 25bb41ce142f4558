"""Bringing a job's ``out/`` home: plain files only, checked against what the job announced.

A job is not trusted: a link in ``out/`` could make the fetch read any file of this machine and hand it on
to a publication, and a device or a FIFO could block it for ever. Everything is looked at before anything is
copied.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Mapping
from pathlib import Path

from remote.backend import ArtifactError
from remote.protocol import FailureKind

_CHUNK_BYTES = 1024**2
_HINT = "Look at log.txt in the job's folder, then run the job again."


def fetch(out: Path, into: Path, announced: Mapping[str, str]) -> None:
    """Copy every file below ``out`` to the same relative path below ``into``, written beside and renamed.

    ``announced`` maps relative paths to sha256; a file that is missing or differs raises ArtifactError and
    is not left in ``into``. Running it again is harmless.
    """
    found = plain_files(out)
    for path in announced:
        if path not in found:
            raise refused(path, "was announced but is not in the job's out/")
    for path in found:
        _copy(out / path, into / path, announced.get(path), path)


def plain_files(out: Path) -> list[str]:
    """Relative POSIX paths below ``out``, sorted; raises ArtifactError for anything but folders and plain
    files."""
    files: list[str] = []
    waiting = [out]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                path = Path(entry.path).relative_to(out).as_posix()
                _check_name(path)
                info = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(info.st_mode):
                    waiting.append(Path(entry.path))
                elif not stat.S_ISREG(info.st_mode):
                    raise refused(path, "is a link or a special file, which is not taken over")
                elif info.st_nlink != 1:
                    raise refused(path, "is a hard link, which is not taken over")
                else:
                    files.append(path)
    return sorted(files)


def refused(path: str, why: str) -> ArtifactError:
    shown = path.encode("utf-8", "backslashreplace").decode()
    return ArtifactError(FailureKind.SCRIPT_ERROR, f"The job's file {shown!r} {why}.", _HINT)


def _check_name(path: str) -> None:
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        raise refused(path, "has a name that is not UTF-8") from None
    if not path.isprintable():
        raise refused(path, "has control characters in its name")


def _copy(source: Path, target: Path, sha256: str | None, shown: str) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f".{target.name}.part")
    digest = hashlib.sha256()
    # O_NOFOLLOW: without isolation a stray process could put a link here after the check.
    fd = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(fd, "rb", buffering=0) as reader, beside.open("wb") as writer:
        while chunk := reader.read(_CHUNK_BYTES):
            digest.update(chunk)
            writer.write(chunk)
    if sha256 is not None and digest.hexdigest() != sha256:
        beside.unlink()
        raise refused(shown, "is not the one that the job announced (another sha256)")
    beside.replace(target)
