"""Cards as messages: Discord's limits are kept whatever a card says, and nothing of it does anything."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import discord
import pytest
from hypothesis import HealthCheck, given, settings
from simcord.components import walk_components

from bot.cards import (
    Action,
    Asks,
    Bullets,
    Card,
    Code,
    Column,
    Fields,
    FileLink,
    Picture,
    Progress,
    Step,
    Steps,
    StepState,
    Style,
    Table,
    Text,
    Tone,
)
from bot.chat.calling import Called
from bot.chat.text import units
from bot.discord.claims import Claim
from bot.discord.layout import File, file_layout, layout, mark_id
from bot.discord.render import MENTION_UNITS, TEXT_UNITS, Rendered, render
from tests.bot.hostile import cards

CROWD = Called(tuple("1" * 19 for _ in range(5)), tuple("2" * 19 for _ in range(5)), "your answer is needed.")


def sent(shown: Rendered, **kwargs: Any) -> list[dict[str, Any]]:
    """The message's components as Discord gets them."""
    return layout(shown, mark="r7k2mc/root", **kwargs).view.to_components()


def one(*blocks: Any, key: str = "x", **kwargs: Any) -> str:
    return render(Card(key, "r7k2mc", kwargs.pop("title", "T"), tuple(blocks), **kwargs)).text


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(card=cards())
def test_every_card_is_a_message_that_discord_takes(card: Card) -> None:
    shown = render(card)
    found = list(walk_components(sent(shown, called=CROWD)))
    assert len(found) <= 40
    texts = [component["content"] for component in found if component["type"] == 10]
    assert all(texts)
    assert sum(map(units, texts)) <= TEXT_UNITS
    assert units(shown.text) <= TEXT_UNITS - MENTION_UNITS
    ids = [component["custom_id"] for component in found if "custom_id" in component]
    assert len(ids) == len(set(ids))
    for custom_id in ids:
        assert Claim.load(custom_id).run == card.run_id
    for component in found:
        if component["type"] == 1:
            assert 1 <= len(component["components"]) <= 5
        if component["type"] == 2:
            assert 1 <= units(component["label"]) <= 80
        for option in component.get("options") or ():
            assert 1 <= units(option["label"]) <= 100
            assert units(option.get("description") or "-") <= 100
    assert "".join(texts).encode()  # no lone surrogate


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(card=cards())
def test_nothing_that_a_card_says_pings_or_links(card: Card) -> None:
    said = re.sub(r"```.*?```|(?<!\\)`[^`\n]*`", "", render(card).text, flags=re.DOTALL)
    if card.key not in ("published", "ended:1"):
        assert "://" not in said
    assert not re.search(r"(?<!\\)<[@#:/ati]", said)
    assert not re.search(r"@(?:everyone|here)|discord\.gg/|discord\.com/", said)
    assert "\u202e" not in said


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(card=cards())
def test_code_ends_where_it_should(card: Card) -> None:
    assert render(card).text.count("```") % 2 == 0


def test_what_is_left_out_is_in_the_file() -> None:
    card = Card("x", "r7k2mc", "T", tuple(Text(f"{number} " + "word " * 200) for number in range(9)))
    shown = render(card)
    assert "The whole text is in the attached file." in shown.text
    assert all(f"{number} word" in shown.rest for number in range(9))


def test_a_whole_card_has_no_file() -> None:
    card = Card(
        "x", "r7k2mc", "T", (Text("short *and* [odd](x) - yes"), Fields((("a_b", "1.0"),)), Bullets(("x",)))
    )
    assert render(card).rest == ""


def test_text_is_shown_as_it_is() -> None:
    assert one(Text("*a* [b](c)\n- d\n1. e\n# f")) == "### T\n\\*a\\* \\[b\\](c)\n\\- d\n1\\. e\n\\# f"


def test_styles() -> None:
    blocks = [
        Text("a", Style.STRONG),
        Text("b\nc", Style.QUOTE),
        Text("d", Style.MUTED),
        Text("e", Style.WARN),
    ]
    assert one(*blocks) == "### T\n**a**\n> b\n> c\n\n-# d\n⚠️ e"


def test_a_card_of_one_sentence_has_its_mark_before_it() -> None:
    assert render(Card("told", "", "", (Text("Hello."),), tone=Tone.WARN)).text == "⚠️ Hello."


def test_fields_and_bullets() -> None:
    assert one(Fields((("Data", "a\nb"), ("Empty", " "))), Bullets(("x", ""))) == (
        "### T\n**Data:** a b\n**Empty:** –\n- x"
    )


def test_a_table_is_in_a_fixed_width_font_and_points_out_a_row() -> None:
    table = Table((Column("Model"), Column("F1", right=True)), (("a", "0.1"), ("`b`", "0.25")), strong=1)
    said = one(table)
    assert "▸ ˋbˋ    0.25" in said
    assert said.count("```") == 2


def test_a_long_table_says_how_many_rows_are_missing() -> None:
    table = Table((Column("A"),), tuple((str(n),) for n in range(40)))
    said = one(table)
    assert "… and 25 more rows" in said


def test_progress_has_a_bar_where_the_end_is_known() -> None:
    assert "`█████░░░░░` 50 %, loss 0.6" in one(Progress(1, 2, "loss 0.6"))
    assert one(Progress(1, 0, "Working")) == "### T\nWorking"


def test_the_runs_own_card_shows_the_step_it_is_at_and_the_runs_name() -> None:
    steps = Steps(
        (Step("One", StepState.DONE), Step("Two", StepState.NOW, "soon"), Step("Three", StepState.TODO))
    )
    said = one(steps, key="root", live=True)
    assert "1 of 3 steps done. Under way: Two: soon" in said
    assert "-# Run r7k2mc" in said
    assert "Three" not in said
    assert "· To do: Three" in one(steps)


def test_only_our_own_address_is_a_link() -> None:
    fields = Fields((("Where", "https://huggingface.co/team/model"), ("Licence", "https://evil.example")))
    said = one(fields, key="published")
    assert "<https://huggingface.co/team/model>" in said
    assert "https://evil.example" not in said
    assert "<https" not in one(Fields((("Where", "https://evil.example/a b>"),)), key="published")


def test_code_keeps_its_language_and_cannot_end_early() -> None:
    assert one(Code("- a\n+ ```b", "diff")) == "### T\n```diff\n- a\n+ ˋˋˋb\n```"
    assert one(Code("x", "evil\nlanguage")).startswith("### T\n```\nx")


def test_a_file_is_named_with_its_size() -> None:
    assert one(FileLink("a`b.md", "The *report*", 1200)) == "### T\n- `aˋb.md` The \\*report\\*, 1.2 kB"


def question(*actions: Action, free_text: bool = True, plan: str | None = None) -> Card:
    return Card(
        "question:q1",
        "r7k2mc",
        "A question",
        (Text("Which?"),),
        actions,
        asks=Asks("q1", plan, None, free_text),
    )


def test_data_is_chosen_from_a_menu_and_the_rest_by_buttons() -> None:
    card = question(
        Action("A", "use:1", "mit"), Action("B", "use:2"), Action("Cancel", "cancel", style="danger")
    )
    menu, buttons = render(card).rows
    assert [(o.label, o.value, o.description) for o in menu.options] == [("A", "0", "mit"), ("B", "1", "")]  # type: ignore[union-attr]
    assert [Claim.load(b.custom_id).choice for b in buttons][:1] == ["2"]  # type: ignore[union-attr]


def test_choices_that_find_no_room_are_told() -> None:
    card = question(*(Action(f"C{number}", f"c{number}") for number in range(40)))
    assert "more choices: answer in this thread with the name of one" in render(card).text


def test_pictures_are_attached_with_their_descriptions(tmp_path: Path) -> None:
    (tmp_path / "plots").mkdir()
    (tmp_path / "plots" / "a b.png").write_bytes(b"png")
    blocks = (
        Picture("plots/a b.png", "Bars"),
        Picture("plots/none.png", "x"),
        Picture("../../etc/passwd", "x"),
    )
    made = layout(render(Card("x", "r7k2mc", "T", blocks)), folder=tmp_path)
    assert [(f.name, f.content, f.alt_text) for f in made.files] == [("plots-a-b.png", b"png", "Bars")]
    gallery = next(c for c in walk_components(made.view.to_components()) if c["type"] == 12)
    assert gallery["items"][0]["media"]["url"] == "attachment://plots-a-b.png"
    assert gallery["items"][0]["description"] == "Bars"


@pytest.mark.parametrize("tone", list(Tone))
def test_a_tone_is_a_colour_and_never_a_colour_alone(tone: Tone) -> None:
    shown = render(Card("x", "r7k2mc", "T", tone=tone))
    assert (shown.text == "### T") is (tone is Tone.NEUTRAL)
    assert sent(shown)[0]["accent_color"] == shown.colour


async def test_a_message_can_be_found_by_its_mark_and_is_not_kept_in_memory() -> None:
    shown = render(Card("x", "r7k2mc", "T"))
    made = layout(shown, mark="r7k2mc/x")
    assert made.view.to_components()[0]["id"] == mark_id("r7k2mc/x")
    assert made.view.is_finished()
    assert file_layout(File("a.txt", b"x"), "", "r/y").view.to_components()[0]["id"] == mark_id("r/y")


def test_who_is_called_stands_before_the_card() -> None:
    made = layout(render(Card("x", "r7k2mc", "T")), called=Called(("1",), ("2",), "it is over."))
    assert made.view.to_components()[0]["content"] == "<@1> <@&2> it is over."


def test_a_card_can_be_sent_again() -> None:
    file = File("a.txt", b"abc")
    assert [file.open().fp.read() for _ in range(2)] == [b"abc", b"abc"]
    assert isinstance(file.open(), discord.File)


def test_the_same_card_gives_the_same_message() -> None:
    card = question(Action("A", "a"), plan="p")
    assert render(card) == render(replace(card))
