"""Sums over ``/proc`` and folders."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from remote.sandbox import watch

MB = 1024**2
# A parent with 64 MB and two children that share it, then "ready", until stdin is closed.
FAMILY = """
import os, sys
block = bytearray(b"x" * (64 * 1024**2))
for _ in range(2):
    if os.fork() == 0:
        sys.stdin.read()
        os._exit(0)
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def family() -> Iterator[int]:
    command = [sys.executable, "-I", "-S", "-c", FAMILY]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == b"ready\n"
        yield process.pid
        process.stdin.close()
        process.wait()


def test_a_tree_is_the_process_and_its_descendants(family: int) -> None:
    pids = watch.tree(family)
    assert pids[0] == family
    assert len(pids) == watch.tasks(pids) == 3
    assert family in watch.tree(os.getpid())


def test_memory_that_processes_share_counts_once_when_it_matters(family: int) -> None:
    pids = watch.tree(family)
    assert watch.memory_bytes(pids, at_most=1024 * MB) > 150 * MB  # quick, and too high
    assert 64 * MB < watch.memory_bytes(pids, at_most=100 * MB) < 100 * MB


def test_what_is_gone_counts_nothing() -> None:
    gone = subprocess.Popen([sys.executable, "-I", "-S", "-c", ""])
    gone.wait()
    assert watch.tree(gone.pid) == [gone.pid]
    assert watch.tasks([gone.pid]) == watch.memory_bytes([gone.pid], 0) == 0


def test_a_folder_counts_blocks_and_names_and_follows_no_link(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "big").write_bytes(b"x" * MB)
    (tmp_path / "sparse").touch()
    os.truncate(tmp_path / "sparse", 100 * MB)
    (tmp_path / "out").symlink_to("/usr")
    assert MB < watch.folder_bytes(tmp_path) < 2 * MB
    assert watch.folder_bytes(tmp_path / "nowhere") == 0
