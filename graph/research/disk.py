"""This machine's disk while something is fetched: room, locks between processes, and errors in words."""

from __future__ import annotations

import errno
import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from graph.errors import SourceError
from graph.names import FailureKind


def no_disk(what: str) -> SourceError:
    return SourceError(f"The disk is full: {what}.", "Free some space, then try again.", FailureKind.NO_DISK)


def room(folder: Path, need_bytes: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < need_bytes:
        raise no_disk(f"{need_bytes / 1e6:.0f} MB are needed under {folder}, {free / 1e6:.0f} MB are free")


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Only one process or thread at a time; the lock ends with its holder, however that ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """An OSError while writing under ``folder`` becomes a SourceError."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise no_disk(f"nothing more could be written under {folder}") from error
        raise SourceError(
            f"{folder} cannot be written: {error.strerror or error}.",
            "Check the folder's permissions, or set INTERN_HOME to another one.",
            FailureKind.NO_DISK,
        ) from error
