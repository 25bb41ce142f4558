"""Data that cannot be had, through the real ``intern`` command in a process of its own, over the tests' Hub."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.graph.research.packs import MODEL
from tests.hub.collection import stock
from tests.hub.server import HubServer, Repo

SENTENCE = "Tell positive from negative product reviews in English."
NAMED = "storefront/verified-reviews"
GATED = "Access to the file train.csv of storefront/verified-reviews has to be asked for: it is gated."


@dataclass(frozen=True)
class Said:
    code: int | None
    out: str  # both streams, with white space as one blank

    @property
    def run_id(self) -> str:
        match = re.search(r"Run (\w+)", self.out)
        assert match, self.out
        return match[1]


@dataclass(frozen=True)
class Intern:
    home: Path
    hub: HubServer

    async def __call__(self, *args: str, typed: str = "") -> Said:
        kept = {
            k: v for k, v in os.environ.items() if not k.startswith(("INTERN_", "HF_", "SLACK_", "DISCORD_"))
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bot.cli", *args,
            env=kept | {
                "INTERN_HOME": str(self.home), "HF_ENDPOINT": self.hub.url, "NO_COLOR": "1", "COLUMNS": "300",
                "INTERN_VIEWER_URL": f"{self.hub.url}/viewer",
            },
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        out, _ = await process.communicate(typed.encode())
        return Said(process.returncode, " ".join(out.decode().split()))


@pytest.fixture
async def intern(tmp_path: Path) -> AsyncIterator[Intern]:
    async with HubServer().running() as hub:
        stock(hub)
        hub.add(
            "model", Repo("sentence-transformers/all-MiniLM-L6-v2", dict(MODEL), tags=["license:apache-2.0"])
        )
        hub.repos["dataset", NAMED].gated = True
        yield Intern(tmp_path / "home", hub)


async def test_nobody_at_the_terminal_leaves_the_run_waiting_with_the_reason(intern: Intern) -> None:
    said = await intern("run", SENTENCE, "--data", NAMED)
    assert said.code == 3, said.out
    assert GATED in said.out
    assert "CHOICE is one of: retry | more | cancel" in said.out
    cancelled = await intern("decide", said.run_id, "cancel")
    assert cancelled.code == 130, cancelled.out


async def test_others_are_looked_for_when_a_person_says_so(intern: Intern) -> None:
    said = await intern("run", SENTENCE, "--data", NAMED, typed="2\n")
    assert said.code == 3, said.out
    _, _, after = said.out.partition(GATED)
    assert "Others, found in the hub. Which data shall I use?" in after
    assert "CHOICE is one of: use:1" in after


async def test_with_yes_it_ends_with_the_reason_and_how_to_go_on(intern: Intern) -> None:
    said = await intern("run", SENTENCE, "--data", NAMED, "--yes")
    assert said.code == 1, said.out
    assert GATED in said.out
    assert f"Try again from here: intern resume {said.run_id}" in said.out
    assert (await intern("resume", said.run_id)).code == 1


async def test_a_column_that_the_file_lacks_is_asked_about(intern: Intern, tmp_path: Path) -> None:
    """With the real job that looks into the file."""
    rows = "".join(f"it arrived on day {i} and works,{'good' if i % 2 else 'bad'}\n" for i in range(60))
    (tmp_path / "own.csv").write_text(f"review,verdict\n{rows}")
    asked = (
        "run",
        SENTENCE,
        "--data",
        str(tmp_path / "own.csv"),
        "--target",
        "verdikt",
        "--allow-unisolated",
    )
    said = await intern(*asked)
    assert said.code == 3, said.out
    assert "There is no target column named verdikt: the file has review, verdict." in said.out
    assert "Use own.csv: review → verdict" in said.out
    assert (await intern(*asked, "--yes")).code == 1
