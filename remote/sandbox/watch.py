"""What a running job takes, read from ``/proc`` and its folders: the limits that no rlimit can express.

An rlimit holds for one process or one file; a job may have many of both. These sums are cheap (a
millisecond for a few processes) and approximate; the rlimits are what holds between two looks.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

MAX_HANDLES = 20_000


def tree(pid: int) -> list[int]:
    """``pid`` and its living descendants, as this machine numbers them."""
    found: list[int] = []
    waiting = [pid]
    while waiting:
        parent = waiting.pop()
        found.append(parent)
        for task in _listdir(f"/proc/{parent}/task"):
            children = _read(f"/proc/{parent}/task/{task}/children")
            waiting.extend(int(child) for child in children.split())
    return found


def tasks(pids: Iterable[int]) -> int:
    """Threads of all of ``pids``: what RLIMIT_NPROC counts."""
    return sum(len(_listdir(f"/proc/{pid}/task")) for pid in pids)


def memory_bytes(pids: Iterable[int], at_most: int) -> int:
    """Private and shared-memory bytes of ``pids``.

    Resident sizes count a page once for each process that forked it, so when they exceed ``at_most`` the
    proportional sizes are read, which is exact and about 1 ms a process.
    """
    pids = list(pids)
    resident = sum(_status_kb(pid, ("RssAnon:", "RssShmem:")) for pid in pids) * 1024
    if resident <= at_most:
        return resident
    names = ("Pss_Anon:", "Pss_Shmem:")
    return sum(_fields_kb(f"/proc/{pid}/smaps_rollup", names) for pid in pids) * 1024


def removed_files_bytes(pids: Sequence[int], device: int) -> int:
    """Bytes of files on ``device`` that have no name any more and are held open or mapped by ``pids``: they fill
    the disk, and no folder shows them. At most :data:`MAX_HANDLES` handles are looked at."""
    sizes: dict[int, int] = {}
    handles = (Path(f"/proc/{pid}/fd/{name}") for pid in pids for name in _listdir(f"/proc/{pid}/fd"))
    for handle in islice(handles, MAX_HANDLES):
        try:
            info = handle.stat()
        except OSError:
            continue
        if info.st_nlink == 0 and info.st_dev == device and stat.S_ISREG(info.st_mode):
            sizes[info.st_ino] = info.st_blocks * 512
    for pid in pids:
        for inode, size in _removed_maps(_read(f"/proc/{pid}/maps"), device):
            sizes.setdefault(inode, size)
    return sum(sizes.values())


def _removed_maps(maps: str, device: int) -> Iterator[tuple[int, int]]:
    """(inode, length) of each mapped file that was removed: an upper bound of what it takes."""
    for line in maps.splitlines():
        if not line.endswith(" (deleted)"):
            continue
        extent, _, _, numbers, inode, *_ = line.split(maxsplit=5)
        begin, _, end = extent.partition("-")
        major, _, minor = numbers.partition(":")
        if os.makedev(int(major, 16), int(minor, 16)) == device:
            yield int(inode), int(end, 16) - int(begin, 16)


def user_tasks(uid: int) -> int:
    """Threads that ``uid`` runs on this machine now."""
    return sum(
        len(_listdir(f"/proc/{name}/task"))
        for name in _listdir("/proc")
        if name.isdigit() and _owner(f"/proc/{name}") == uid
    )


def _owner(path: str) -> int:
    try:
        return Path(path).stat().st_uid
    except OSError:
        return -1


def _status_kb(pid: int, names: tuple[str, ...]) -> int:
    return _fields_kb(f"/proc/{pid}/status", names)


def _fields_kb(path: str, names: tuple[str, ...]) -> int:
    return sum(int(line.split()[1]) for line in _read(path).splitlines() if line.startswith(names))


def _listdir(path: str) -> list[str]:
    try:
        return os.listdir(path)  # noqa: PTH208 - names only
    except OSError:
        return []


def _read(path: str) -> str:
    try:
        return Path(path).read_text("utf-8", "replace")
    except OSError:
        return ""
