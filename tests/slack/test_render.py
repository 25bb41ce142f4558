"""The drawing of messages: all that the bot posts can be drawn, and data is drawn as text."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bot.cards import Bullets, Text
from bot.present import present
from bot.slack.blocks import render
from tests.bot import story
from tests.slack.gallery import gallery
from tests.slack.render import blocks
from tests.slack.server import ROOT


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize(
    "events", [story.until_the_plan(), story.training(story.until_the_plan()), story.whole_run()]
)
def test_every_card_of_a_run_can_be_drawn(events: story.Log, native: bool) -> None:
    for card in present(events.events).values():
        assert card.key
        assert blocks(render(card, native=native).blocks)


def test_data_is_drawn_as_text() -> None:
    card = present(story.whole_run().events)["task"]
    hostile = replace(
        card, title="<img src=x>", blocks=(Text("<script>"), Bullets(("</li><b>",))), actions=()
    )
    shown = blocks(render(hostile).blocks)
    assert "&lt;script&gt;" in shown
    assert "<script>" not in shown
    assert "<img" not in shown


def test_an_unknown_block_is_not_left_out_unseen() -> None:
    with pytest.raises(KeyError):
        blocks([{"type": "hologram"}])


def test_the_documentation_shows_each_picture_of_the_gallery(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "slack.md").read_text()
    for name in gallery(tmp_path):
        picture = ROOT / "docs" / "pictures" / f"{name}.png"
        assert f"pictures/{name}.png" in text
        assert picture.stat().st_size < 150_000
