"""What a running job takes, read from ``/proc`` and its folders: the limits that no rlimit can express.

An rlimit holds for one process or one file; a job may have many of both. These sums are cheap (a
millisecond for a few processes) and approximate; the rlimits are what holds between two looks.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path


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


def folder_bytes(*folders: Path) -> int:
    """Bytes on disk below ``folders``, 4 kB for each name included, as names fill a disk too. Links not
    followed."""
    total = 0
    waiting = [str(folder) for folder in folders]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    total += 4096 + _blocks_bytes(entry)
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
        except OSError:  # removed, or closed to us, while we looked
            continue
    return total


def user_tasks(uid: int) -> int:
    """Threads that ``uid`` runs on this machine now."""
    return sum(
        len(_listdir(f"/proc/{name}/task"))
        for name in _listdir("/proc")
        if name.isdigit() and _owner(f"/proc/{name}") == uid
    )


def _blocks_bytes(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat(follow_symlinks=False).st_blocks * 512
    except OSError:
        return 0


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
