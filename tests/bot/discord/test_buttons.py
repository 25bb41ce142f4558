"""Which choices a card offers, and how."""

from __future__ import annotations

import pytest

from bot.cards import Action, Asks, Card, Text, Tone
from bot.discord.buttons import MOST_BUTTONS, MOST_OPTIONS, Button, Menu, choices, confirmed, details, stops
from bot.discord.claims import Claim, digest
from bot.views.data import EDIT


def question(*actions: Action, free_text: bool = False, plan: str | None = None) -> Card:
    asks = Asks("q1", plan, None, free_text)
    return Card("question:q1", "r7k2mc", "A question", (Text("Which?"),), actions, asks=asks)


def buttons(card: Card) -> list[Button]:
    rows = choices(card).rows
    return [button for row in rows if not isinstance(row, Menu) for button in row]


def verbs(card: Card) -> list[str]:
    return [Claim.load(button.custom_id).verb for button in buttons(card)]


def test_a_choice_carries_its_question_its_number_and_its_plan() -> None:
    (_, second) = buttons(question(Action("A", "a"), Action("B", "b"), plan="hash"))
    assert Claim.load(second.custom_id) == Claim("decide", "r7k2mc", digest("q1"), "1", digest("hash"))


def test_a_choice_to_confirm_asks_first() -> None:
    card = question(Action("Spend", "approve", confirm="Spend $3?"), plan="hash")
    assert verbs(card) == ["sure"]
    taken = confirmed(card, 0)
    assert taken is not None
    assert Claim.load(taken.custom_id).verb == "decide"
    assert confirmed(card, 1) is None
    assert confirmed(Card("x", "r7k2mc", "T"), 0) is None


def test_a_choice_in_words_opens_a_form_where_words_are_taken() -> None:
    assert verbs(question(Action("Change", "change"), free_text=True)) == ["words"]
    assert verbs(question(Action("Change", "change"))) == ["decide"]
    assert verbs(question(Action("A", "a"), free_text=True)) == ["decide", "words"]


def test_one_data_set_is_a_button_and_two_are_a_menu() -> None:
    assert verbs(question(Action("A", "use:1"))) == ["decide"]
    card = question(Action("A", "use:1"), Action("B", "use:2"))
    (menu,) = choices(card).rows
    assert isinstance(menu, Menu)
    assert Claim.load(menu.custom_id).verb == "choose"


def test_a_menu_has_as_many_options_as_discord_takes_and_the_rest_are_buttons() -> None:
    found = choices(question(*(Action(f"D{n}", f"use:{n}") for n in range(30))))
    menu = found.rows[0]
    assert isinstance(menu, Menu)
    assert len(menu.options) == MOST_OPTIONS
    assert found.left == 0


def test_choices_beyond_the_limit_are_counted() -> None:
    found = choices(question(*(Action(f"C{n}", f"c{n}") for n in range(20))))
    assert sum(len(row) for row in found.rows if not isinstance(row, Menu)) == MOST_BUTTONS
    assert found.left == 20 - MOST_BUTTONS


def test_the_same_offer_twice_is_one_button() -> None:
    card = Card("x", "r7k2mc", "T", actions=(Action("A", "again:epochs=1"), Action("B", "again:epochs=1")))
    assert [button.label for button in buttons(card)] == ["A"]


def test_an_offer_that_fits_in_no_claim_is_left() -> None:
    card = Card("x", "r7k2mc", "T", actions=(Action("A", "again:" + "x" * 90),))
    assert choices(card).left == 1


@pytest.mark.parametrize(
    ("card", "verb"),
    [
        (Card("root", "r7k2mc", "T", live=True), "cancel"),
        (Card("ended:1", "r7k2mc", "T", tone=Tone.GOOD), "try"),
        (Card("task", "r7k2mc", "T", actions=(Action("Edit", EDIT),)), "edit"),
        (Card("s", "r7k2mc", "T", actions=(Action("A", "suggestion:fewer_epochs"),)), "suggest"),
    ],
)
def test_what_a_card_has_because_of_what_it_is(card: Card, verb: str) -> None:
    assert verbs(card) == [verb]
    assert choices(card).left == 0


@pytest.mark.parametrize(
    "card",
    [
        Card("root", "r7k2mc", "T"),
        Card("ended:1", "r7k2mc", "T", tone=Tone.BAD),
        Card("task", "r7k2mc", "T"),
        Card("s", "r7k2mc", "T", actions=(Action("A", "other"),)),
        Card("root", "", "T", live=True),
    ],
)
def test_what_has_no_button(card: Card) -> None:
    assert verbs(card) == []


def test_details_are_told_but_for_what_the_menu_shows() -> None:
    card = question(
        Action("A", "use:1", "mit"), Action("B", "use:2", "gpl"), Action("Cheap", "baseline_only", "seconds")
    )
    assert details(card) == [("Cheap", "seconds")]


def test_an_empty_label_is_its_value() -> None:
    assert [button.label for button in buttons(question(Action(" ", "approve")))] == ["approve"]


def test_stopping_names_the_run() -> None:
    button = stops("r7k2mc")
    assert button is not None
    assert Claim.load(button.custom_id) == Claim("stop", "r7k2mc")
