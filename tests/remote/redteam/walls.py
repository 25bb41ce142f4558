"""The kinds of walls under attack: bubblewrap and Docker, each skipped with the reason where it does not run."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from remote.backends.local import LocalBackend
from remote.sandbox import engine
from remote.sandbox.isolation import Walls
from tests.remote.sandbox.jobs import local


@cache
def docker() -> Walls | None:
    return engine.find(timeout_s=10)


def backend(kind: str, home: Path) -> LocalBackend:
    if kind == "bubblewrap":
        return local(home)
    found = docker()
    if found is None:
        pytest.skip("no Docker daemon answers on this machine")
    return LocalBackend(home, find_sandbox=lambda _interpreter, _home: found)
