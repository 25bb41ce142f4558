"""What this machine has: processor cores, memory, GPUs. Limits of a container count, not the host's sizes."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")


def cpus() -> int:
    """Cores that this process may use: its affinity, cut to the container's CPU quota."""
    count = len(os.sched_getaffinity(0))
    quota, _, period = _read(_CGROUP / "cpu.max").partition(" ")
    if quota.isdigit() and period.strip().isdigit():
        count = min(count, max(1, int(quota) // int(period)))
    return count


def memory_mb() -> int:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = _read(_CGROUP / "memory.max")
    if limit.isdigit():
        total = min(total, int(limit))
    return total // 1024**2


def oom_kills() -> int | None:
    """How many processes the kernel has killed for want of memory since it started (``/proc/vmstat``); ``None``
    where it does not count them (before Linux 4.13)."""
    for line in _read(Path("/proc/vmstat")).splitlines():
        name, _, count = line.partition(" ")
        if name == "oom_kill":
            return int(count)
    return None


def free_memory_mb() -> int | None:
    """What the kernel could still give out without swapping; ``None`` where it does not say."""
    for line in _read(Path("/proc/meminfo")).splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) // 1024
    return None


def gpus() -> list[str]:
    """Names of NVIDIA GPUs; empty where ``nvidia-smi`` is missing or does not answer within 3 s."""
    if shutil.which("nvidia-smi") is None:
        return []
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=3, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in answer.stdout.splitlines() if line.strip()]


def describe() -> str:
    """Such as "this machine, 2 CPU cores, 24 GB"."""
    count = cpus()
    parts = [f"{count} CPU core{'s' if count != 1 else ''}", f"{round(memory_mb() / 1024)} GB", *gpus()]
    return ", ".join(["this machine", *parts])


def _read(path: Path) -> str:
    try:
        return path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
