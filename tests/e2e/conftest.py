"""The real ``intern`` command, as a user starts it: its own process, real sandbox, real weights, real training."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest


@dataclass(frozen=True)
class Intern:
    """Runs commands over one home. The Hub is an address that answers nothing, so the catalogue serves."""

    home: Path

    @property
    def env(self) -> Mapping[str, str]:
        keep = {
            k: v for k, v in os.environ.items() if not k.startswith(("INTERN_", "HF_", "SLACK_", "DISCORD_"))
        }
        return keep | {
            "INTERN_HOME": str(self.home),
            "HF_ENDPOINT": "http://127.0.0.1:9",
            "NO_COLOR": "1",
            "COLUMNS": "400",
        }

    def command(self, *args: str) -> list[str]:
        return [sys.executable, "-m", "bot.cli", *args]

    def __call__(
        self, *args: str, timeout_s: float = 1800, stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*args), env=self.env, input=stdin, capture_output=True, text=True, timeout=timeout_s
        )

    def popen(self, *args: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(*args), env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def run_dir(self) -> Path:
        (folder,) = (self.home / "runs").iterdir()
        return folder


def events(output: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines()]


@pytest.fixture(scope="session")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The offline catalogue, fetched once: weights (83 MB) and reviews, checked by sha256."""
    import asyncio

    from graph.errors import SourceError
    from graph.names import TaskFamily
    from graph.research.catalogue import CatalogueSource
    from graph.state import TaskSpec

    home = tmp_path_factory.mktemp("catalogue")
    source = CatalogueSource(home)
    task = TaskSpec("reviews", "reviews", TaskFamily.BINARY, keywords=("product", "reviews", "sentiment"))

    async def fetch() -> None:
        await source.model(task)
        (best, *_) = await source.search(task)
        await source.fetch(best, home / "raw")

    try:
        asyncio.run(fetch())
    except SourceError as error:
        pytest.skip(f"the offline catalogue cannot be fetched here: {error}")
    return home / "catalogue"


@pytest.fixture
def intern(tmp_path: Path, catalogue: Path) -> Intern:
    home = tmp_path / "home"
    home.mkdir()
    (home / "catalogue").symlink_to(catalogue, target_is_directory=True)
    return Intern(home)
