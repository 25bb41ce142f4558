"""What a click carries: read back as it was written, and nothing else is believed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bot.cards import Action, Asks, Card, Tone
from bot.slack.buttons import VALUE_CHARS, ButtonValue, choices, clicked, details
from bot.views.data import EDIT

words = st.text(max_size=60)
button_values = st.builds(ButtonValue, st.text(min_size=1, max_size=60), words, words, st.none() | words)
SAID = ButtonValue("r7k2mc", "r7k2mc:approve_compute:plan-0", "approve", "d00df16ed42b")
COMPUTE = Card(
    "question:1",
    "r7k2mc",
    "A question",
    actions=(
        Action("Train for $3.20", "approve", "at most 9 min", "primary", "Spend $3.20?"),
        Action("Change", "change", "e.g. epochs=1"),
        Action("Cancel", "cancel", style="danger"),
    ),
    asks=Asks("q1", "hash", 3.2, free_text=True),
)


def elements(card: Card) -> list[dict[str, Any]]:
    return [element for block in choices(card).blocks for element in block["elements"]]


def asking(*actions: Action, free_text: bool = False) -> Card:
    return replace(COMPUTE, actions=actions, asks=Asks("q1", free_text=free_text))


# -- the value -----------------------------------------------------------------------------------------------


@given(button_values)
def test_a_value_is_read_as_it_was_written(value: ButtonValue) -> None:
    assume(len(json.dumps([value.run, value.question, value.choice, value.plan])) < VALUE_CHARS - 200)
    assert ButtonValue.load(value.dump()) == value


@given(button_values)
def test_slack_has_nothing_to_escape_in_a_value(value: ButtonValue) -> None:
    said = value.dump()
    assert said.isascii()
    assert not set(said) & set("&<>")


def test_the_form_of_a_value_is_kept_as_posted_buttons_live_on() -> None:
    assert SAID.dump() == (
        '{"run":"r7k2mc","question":"r7k2mc:approve_compute:plan-0","choice":"approve","plan":"d00df16ed42b"}'
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "approve",
        "null",
        "[]",
        "[" * 2_000,
        "{" * 100_000,
        "{}",
        SAID.dump()[:-1],
        SAID.dump() + " ",
        SAID.dump().replace(":", ": ", 1),
        SAID.dump().replace('"approve"', "1"),
        SAID.dump().replace('"approve"', "null"),
        SAID.dump().replace('"d00df16ed42b"', "[]"),
        SAID.dump().replace("approve", "\\ud800"),
        SAID.dump().replace('"r7k2mc",', '"",', 1),
        SAID.dump().replace('"run"', '"ruN"'),
        SAID.dump().replace("{", '{"run":"other",', 1),
        SAID.dump().replace("{", '{"more":1,', 1),
        SAID.dump().replace("approve", "a" * VALUE_CHARS),
    ],
)
def test_an_odd_value_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        ButtonValue.load(text)


@given(st.text())
def test_reading_anything_never_fails_in_another_way(text: str) -> None:
    with pytest.raises(ValueError):
        ButtonValue.load(text)


@pytest.mark.parametrize(
    "value", [ButtonValue(""), ButtonValue("r", "q" * VALUE_CHARS), ButtonValue("\ud800")]
)
def test_what_no_button_can_carry_is_not_written(value: ButtonValue) -> None:
    with pytest.raises(ValueError):
        value.dump()


@pytest.mark.parametrize(
    "action",
    [
        {},
        {"type": "button"},
        {"type": "button", "value": 1},
        {"type": "static_select", "block_id": SAID.dump()},
        {"type": "static_select", "block_id": SAID.dump(), "selected_option": None},
        {"type": "static_select", "block_id": SAID.dump(), "selected_option": {"value": ""}},
        {"type": "static_select", "block_id": "abc", "selected_option": {"value": "use:1"}},
    ],
)
def test_an_odd_click_is_refused(action: Mapping[str, Any]) -> None:
    with pytest.raises(ValueError):
        clicked(action)


# -- buttons -------------------------------------------------------------------------------------------------


def test_approving_shows_its_price_and_asks_once_more() -> None:
    approve = elements(COMPUTE)[0]
    assert approve["text"]["text"] == "Train for $3.20"
    assert approve["style"] == "primary"
    assert approve["confirm"]["text"]["text"] == "Spend $3.20?"
    assert approve["confirm"]["confirm"]["text"] == "Train for $3.20"
    assert clicked(approve) == ButtonValue("r7k2mc", "q1", "approve", "hash")


def test_an_action_says_what_to_do() -> None:
    assert [b["action_id"] for b in elements(COMPUTE)] == [
        "decide:0:approve",
        "words:1:change",
        "decide:2:cancel",
    ]


def test_words_open_a_form_only_where_words_are_taken() -> None:
    closed = replace(COMPUTE, asks=Asks("q1"))
    assert [b["action_id"] for b in elements(closed)][1] == "decide:1:change"


def test_a_question_that_takes_words_has_a_button_for_them() -> None:
    last = elements(asking(Action("Spam", "spam"), free_text=True))[-1]
    assert (last["action_id"], last["text"]["text"]) == ("words:answer", "Answer in words")
    assert clicked(last) == ButtonValue("r7k2mc", "q1")


def test_one_button_is_green() -> None:
    card = asking(*(Action(str(n), str(n), style="primary") for n in range(3)))
    assert [b.get("style") for b in elements(card)] == ["primary", None, None]


def test_five_buttons_a_row() -> None:
    card = asking(*(Action(str(n), str(n)) for n in range(12)))
    assert [len(row["elements"]) for row in choices(card).blocks] == [5, 5, 2]


def test_what_has_no_button_is_counted() -> None:
    assert choices(asking(*(Action(str(n), str(n)) for n in range(40)))).left == 15
    assert choices(asking(Action("Long", "x" * 3_000))).left == 1
    assert choices(asking(Action("Odd", "\ud800"))).left == 1


def test_offers_name_what_they_start() -> None:
    offers = (Action("Train with typos", "suggestion:typos"), Action("Again", "again:epochs=1"))
    buttons = elements(replace(COMPUTE, actions=offers, asks=None))
    assert [b["action_id"] for b in buttons] == ["suggest:0:typos", "again:1:epochs=1"]
    assert [clicked(b) for b in buttons] == [
        ButtonValue("r7k2mc", choice="typos"),
        ButtonValue("r7k2mc", choice="epochs=1"),
    ]


def test_a_choice_without_a_question_is_nothing_to_click() -> None:
    nothing = choices(replace(COMPUTE, asks=None))
    assert (nothing.blocks, nothing.left) == ([], 0)


def test_a_column_that_is_called_like_an_offer_is_a_choice() -> None:
    assert elements(asking(Action("x", "suggestion:typos")))[0]["action_id"] == "decide:0:suggestion:typos"


@pytest.mark.parametrize(
    ("card", "action_id"),
    [
        (Card("task", "r7k2mc", "Task", actions=(Action("Edit", EDIT),)), "edit:task"),
        (Card("ended:1", "r7k2mc", "Done", tone=Tone.GOOD), "try"),
        (Card("root", "r7k2mc", "Run", live=True), "cancel"),
    ],
)
def test_cards_with_a_button_of_their_own(card: Card, action_id: str) -> None:
    [button] = elements(card)
    assert (button["action_id"], button["value"]) == (action_id, "r7k2mc")


@pytest.mark.parametrize(
    "card",
    [
        Card("task", "r7k2mc", "Task"),
        Card("ended:1", "r7k2mc", "It did not work", tone=Tone.BAD),
        Card("root", "r7k2mc", "Run"),
        Card("root", "", "Run", live=True),
    ],
)
def test_cards_without_a_button(card: Card) -> None:
    assert elements(card) == []


def test_cancelling_asks_once_more() -> None:
    [button] = elements(Card("root", "r7k2mc", "Run", live=True))
    assert (button["style"], button["confirm"]["style"]) == ("danger", "danger")


# -- menus ---------------------------------------------------------------------------------------------------

DATA = tuple(Action(f"Use data {n}", f"use:{n}", f"reason {n}") for n in range(1, 9))


def test_many_data_sets_are_a_menu_and_the_rest_are_buttons() -> None:
    card = asking(*DATA, Action("Look again", "more"), Action("Cancel", "cancel"), free_text=True)
    menu, *buttons = elements(card)
    assert menu["type"] == "static_select"
    assert [option["text"]["text"] for option in menu["options"]] == [a.label for a in DATA]
    assert menu["options"][1]["description"]["text"] == "reason 2"
    assert [b["action_id"] for b in buttons] == ["decide:8:more", "decide:9:cancel", "words:answer"]
    assert details(card) == []


def test_a_click_in_the_menu_says_the_same_as_one_on_a_button() -> None:
    [block] = choices(replace(COMPUTE, actions=DATA)).blocks[:1]
    [menu] = block["elements"]
    click = {"type": menu["type"], "block_id": block["block_id"], "selected_option": menu["options"][2]}
    assert clicked(click) == ButtonValue("r7k2mc", "q1", "use:3", "hash")


def test_few_data_sets_are_buttons() -> None:
    assert {b["type"] for b in elements(asking(*DATA[:5]))} == {"button"}


def test_buttons_where_the_question_does_not_fit_into_a_menu() -> None:
    card = replace(COMPUTE, actions=DATA, asks=Asks("q" * 300))
    assert {b["type"] for b in elements(card)} == {"button"}
