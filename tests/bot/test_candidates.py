"""The card of the data sets that were found: side by side, with reasons, and harmless whatever they are called."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bot.cards import Bullets, Card, Table
from bot.console.blocks import card as on_console
from bot.discord.render import render as on_discord
from bot.present import present
from bot.slack.blocks import render as on_slack
from graph.context import plain
from graph.deps import Event
from graph.names import EventType, Stage
from graph.research.hub import HubSource
from tests.bot.slack.test_blocks import check
from tests.graph.research.test_datasearch import NOW, task_of
from tests.hub.collection import stock
from tests.hub.server import HubServer


@pytest.fixture
async def found(tmp_path: Path) -> AsyncIterator[list[dict[str, Any]]]:
    """Candidates as the log has them; a hostile one is among them."""
    async with HubServer().running() as hub:
        stock(hub)
        source = HubSource(home=tmp_path, endpoint=hub.url, viewer_url=f"{hub.url}/viewer", now=lambda: NOW)
        yield plain(await source.search(task_of("Tell positive from negative product reviews in English.")))


def shown(candidates: list[dict[str, Any]]) -> Card:
    payload = {"candidates": candidates, "note": "Found in the hub."}
    return present([Event("r7k2mc", 0, "", EventType.CANDIDATES_FOUND, Stage.RESEARCH, payload)])[
        "candidates"
    ]


def tables(card: Card) -> list[Table]:
    return [block for block in card.blocks if isinstance(block, Table)]


async def test_candidates_stand_side_by_side_with_a_reason_a_part(found: list[dict[str, Any]]) -> None:
    compared, parts = tables(shown(found))
    first = compared.rows[0]
    assert first[:2] == ("1", "Verified product reviews")
    assert "apache-2.0" in first
    assert [row[0] for row in parts.rows] == [
        "Topic", "Task", "Classes", "Language", "Licence", "Size", "Balance", "Quality", "Use by others",
        "Freshness", "Access",
    ]  # fmt: skip
    assert all(len(row) == len(parts.columns) and row[-1] for row in parts.rows)


async def test_classes_and_refusals_are_told(found: list[dict[str, Any]]) -> None:
    lines = [line for block in shown(found).blocks if isinstance(block, Bullets) for line in block.items]
    assert "1: text → label: negative 6,000 · positive 5,993" in lines
    assert "Not usable: Verified product reviews: it is a copy of storefront/verified-reviews" in lines
    assert "Not usable: Product reviews, mini: it has only 40 rows" in lines


async def test_data_sets_of_one_title_are_told_apart(found: list[dict[str, Any]]) -> None:
    names = [row[1] for row in tables(shown(found))[0].rows]
    assert "Product reviews (anon/shop-opinions)" in names
    assert len(set(names)) == len(names)


async def test_a_hostile_data_set_pings_and_links_nobody(found: list[dict[str, Any]]) -> None:
    assert any("<!channel>" in name for c in found for name in (*c["class_counts"], c["title"]))
    card = shown(found)
    for native in (True, False):
        check(on_slack(card, native=native))
    outside_code = re.sub(r"```.*?```", "", on_discord(card).text, flags=re.DOTALL)
    assert "://" not in outside_code
    assert not re.search(r"@(?:everyone|here)|(?<!\\)<[@#:!]", outside_code)
    assert on_discord(card).text.count("```") % 2 == 0


async def test_a_log_of_an_older_version_is_shown_too() -> None:
    old = {"id": "a/b", "source": "hub", "title": "Old", "rows": 5, "reasons": ["about b"], "licence": "mit"}
    (compared,) = tables(shown([old, {**old, "title": "Older"}]))
    assert compared.rows[1][-1] == "about b"
    on_console(shown([old]))
