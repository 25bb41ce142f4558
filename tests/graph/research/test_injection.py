"""What a data set says of itself changes neither the order nor what is done, and reaches no shell."""

from __future__ import annotations

import os
import subprocess
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from graph.research.hub import HubSource
from graph.state import Candidate
from tests.graph.research.test_datasearch import NOW, task_of
from tests.hub.collection import HOSTILE, SHELF, Shelf, repo_of, stock, viewer_of
from tests.hub.server import HubServer

SENTENCE = "Tell positive from negative product reviews in English."
RIGHT = next(item for item in SHELF if item.id == "storefront/verified-reviews")


@pytest.fixture
async def hub() -> AsyncIterator[HubServer]:
    async with HubServer().running() as server:
        stock(server)
        yield server


async def search(hub: HubServer, home: Path, sentence: str = SENTENCE) -> list[Candidate]:
    source = HubSource(home=home, endpoint=hub.url, viewer_url=f"{hub.url}/viewer", now=lambda: NOW)
    return await source.search(task_of(sentence))


def put(hub: HubServer, item: Shelf) -> None:
    hub.add("dataset", repo_of(item))
    hub.viewer[item.id] = viewer_of(item)


@pytest.mark.parametrize(
    "worded",
    [
        {"about": RIGHT.about + HOSTILE},
        {"title": f"{RIGHT.title} {HOSTILE}"},
        {"snippet": f"{HOSTILE} {{word}} {{n}} {{other}}"},
    ],
    ids=["card", "name", "rows"],
)
async def test_instructions_never_help(hub: HubServer, tmp_path: Path, worded: dict[str, str]) -> None:
    """The same data set once more, a little smaller and with instructions: it stays behind."""
    twin = replace(RIGHT, id="twin/verified-reviews", classes={"negative": 5990, "positive": 5990}, **worded)  # type: ignore[arg-type]
    put(hub, twin)
    found = [c for c in await search(hub, tmp_path) if c.usable]
    scores = {c.id: c.score for c in found}
    assert found[0].id == RIGHT.id
    assert scores["twin/verified-reviews"] <= scores[RIGHT.id]


async def test_a_hostile_neighbour_changes_nobody_elses_place(hub: HubServer, tmp_path: Path) -> None:
    with_it = [c for c in await search(hub, tmp_path / "with") if c.id != "evil/product-reviews-best"]
    del hub.repos["dataset", "evil/product-reviews-best"]
    without = await search(hub, tmp_path / "without")
    shared = {c.id for c in with_it} & {c.id for c in without}
    assert [(c.id, c.score) for c in with_it if c.id in shared] == [
        (c.id, c.score) for c in without if c.id in shared
    ]


async def test_what_instructs_is_marked(hub: HubServer, tmp_path: Path) -> None:
    found = {c.id: c for c in await search(hub, tmp_path)}
    quality = next(p for p in found["evil/product-reviews-best"].parts if p.name == "quality")
    assert quality.value == 0
    assert "instructions" in quality.reason


async def test_nothing_that_is_kept_is_longer_than_a_line(hub: HubServer, tmp_path: Path) -> None:
    for candidate in await search(hub, tmp_path):
        assert len(candidate.title) <= 80
        assert all(len(name) <= 80 for name in candidate.class_counts)
        assert all(len(reason) <= 300 for reason in candidate.reasons)


async def test_no_program_is_started_and_no_loading_script_read(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*args: object, **kwargs: object) -> None:
        raise AssertionError(f"a program was started: {args}")

    monkeypatch.setattr(subprocess, "Popen", refused)
    monkeypatch.setattr(os, "system", refused)
    await search(hub, tmp_path)
    script = await search(hub, tmp_path, "Detect spam in SMS messages.")
    assert {c.id: c.why_not for c in script}["legacy/sms-spam-loader"].startswith(
        "it comes only with a loading script"
    )
    assert not [line for line in hub.requests if line.endswith(".py")]
