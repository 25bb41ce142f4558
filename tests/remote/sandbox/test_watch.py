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


def test_files_without_a_name_are_counted_while_they_are_open_or_mapped(tmp_path: Path) -> None:
    code = """
import mmap, os, sys
os.chdir(sys.argv[1])
opened = open("opened", "wb")
opened.write(bytes(3 * 1024**2)); opened.flush()
with open("mapped", "w+b") as file:
    file.write(bytes(2 * 1024**2)); file.flush()
    mapped = mmap.mmap(file.fileno(), 0)
with open("named", "wb") as file:
    file.write(bytes(1024**2))
os.unlink("opened"); os.unlink("mapped")
named = open("named", "rb")
print("ready", flush=True)
sys.stdin.read()
"""
    command = [sys.executable, "-I", "-S", "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == b"ready\n"
        hidden = watch.removed_files_bytes([process.pid], tmp_path.stat().st_dev)
        elsewhere = watch.removed_files_bytes([process.pid], device=-1)
        process.stdin.close()
    assert 5 * MB <= hidden < 5.1 * MB
    assert elsewhere == 0
