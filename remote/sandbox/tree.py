"""Walking and removing folders that a job has made: hostile depth, modes and numbers of names.

A job may nest folders until no path to them fits a system call, or close a folder to everybody while it keeps a
file in it open. So nothing here builds a path or recurses without a bound: folders are opened one from another,
links are never followed, and a folder that this user owns is opened up again. Standard library only.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

MAX_DEPTH = 64  # folders in folders; real artifacts have three or four
_NAME_BYTES = 4096  # a name takes room too
_BATCH = 1000
_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Usage:
    """``too_deep``: there are folders below :data:`MAX_DEPTH`, which were not counted."""

    bytes: int
    too_deep: bool


def usage(*folders: Path) -> Usage:
    """Bytes on disk below ``folders``, 4 kB for each name included."""
    total, too_deep = 0, False
    for folder in folders:
        with _opened(folder) as fd:
            if fd is None:
                continue
            for depth, size in _sizes(fd):
                too_deep = too_deep or depth > MAX_DEPTH
                total += size
    return Usage(total, too_deep)


def remove(folder: Path) -> None:
    """Delete ``folder`` and all below it as far as possible; what is not there is no error."""
    with _opened(folder) as fd:
        if fd is not None:
            _empty(fd, fd, 0)
    try:
        folder.rmdir()
    except OSError:  # not there, or something in it cannot be removed
        return


@contextmanager
def _opened(folder: Path) -> Iterator[int | None]:
    fd = _open(str(folder), None)
    try:
        yield fd
    finally:
        if fd is not None:
            os.close(fd)


def _open(name: str, parent: int | None) -> int | None:
    """A descriptor of a folder; ``None`` when it is gone, is something else or stays closed to us."""
    try:
        return os.open(name, _OPEN, dir_fd=parent)
    except PermissionError:
        pass
    except OSError:
        return None
    try:
        handle = os.open(name, _OPEN | os.O_PATH, dir_fd=parent)
    except OSError:
        return None
    try:
        Path(f"/proc/self/fd/{handle}").chmod(0o700)
        return os.open(name, _OPEN, dir_fd=parent)
    except OSError:
        return None
    finally:
        os.close(handle)


def _sizes(top: int) -> Iterator[tuple[int, int]]:
    """``(depth, bytes)`` of each name below the open folder ``top``; one descriptor a level at most."""
    levels = [(os.dup(top), os.scandir(top))]
    try:
        while levels:
            fd, entries = levels[-1]
            entry = _next(entries)
            if entry is None:
                entries.close()
                os.close(levels.pop()[0])
                continue
            info = _stat(entry.name, fd)
            if info is None:
                continue
            depth = len(levels)
            yield depth, _NAME_BYTES + info.st_blocks * 512
            if stat.S_ISDIR(info.st_mode) and depth <= MAX_DEPTH:
                inner = _open(entry.name, fd)
                if inner is not None:
                    levels.append((inner, os.scandir(inner)))
    finally:
        for fd, entries in levels:
            entries.close()
            os.close(fd)


def _next(entries: Iterator[os.DirEntry[str]]) -> os.DirEntry[str] | None:
    try:
        return next(entries, None)
    except OSError:  # removed while we looked
        return None


def _stat(name: str, parent: int) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=parent, follow_symlinks=False)
    except OSError:
        return None


def _empty(fd: int, top: int, depth: int) -> None:
    """Remove what is in the open folder ``fd``. What lies deeper than the bound is moved up to ``top`` first."""
    _open_up(fd)
    while True:
        with os.scandir(fd) as entries:
            names = [entry.name for entry in islice(entries, _BATCH)]
        gone = [_remove_one(name, fd, top, depth) for name in names]
        if not any(gone):
            return


def _remove_one(name: str, fd: int, top: int, depth: int) -> bool:
    """Whether ``name`` is no longer in ``fd``."""
    try:
        os.unlink(name, dir_fd=fd)
        return True
    except IsADirectoryError:
        pass
    except OSError:
        return False
    try:
        if depth >= MAX_DEPTH:
            os.rename(name, f".removed-{os.urandom(8).hex()}", src_dir_fd=fd, dst_dir_fd=top)
            return True
        inner = _open(name, fd)
        if inner is not None:
            try:
                _empty(inner, top, depth + 1)
            finally:
                os.close(inner)
        os.rmdir(name, dir_fd=fd)
        return True
    except OSError:
        return False


def _open_up(fd: int) -> None:
    try:
        os.fchmod(fd, 0o700)
    except OSError:  # of another owner: what can be removed is tried all the same
        return
