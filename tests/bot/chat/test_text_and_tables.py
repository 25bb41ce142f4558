"""Text, tables and calls for every chat: cleaned, cut, laid out."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bot.cards import Action, Asks, Card, Column, Table, Text
from bot.chat.calling import NOBODY, Crew, approvers_of, called
from bot.chat.plain import MOST_CHARS, whole
from bot.chat.tables import PHONE_COLUMNS, fixed_width, regular, width
from bot.chat.text import blank, clean, clean_line, cut, short, short_line, units

anything = st.text(alphabet=st.characters(exclude_categories=()), max_size=200)


@given(anything)
def test_clean_text_can_be_sent_and_says_nothing_hidden(said: str) -> None:
    cleaned = clean(said)
    assert cleaned.encode().decode() == cleaned
    assert not set(cleaned) & {"\u202e", "\x1b", "\x00", "\ufeff"}
    assert "\n" not in clean_line(said)


@given(anything, st.integers(0, 50))
def test_a_cut_text_is_never_longer(said: str, most: int) -> None:
    for kept in (cut(said, most), short(said, most), short_line(said, most)):
        assert units(kept) <= most


def test_a_letter_keeps_its_accent_and_a_joined_emoji_is_whole() -> None:
    assert cut("cafe\u0301s", 5) == "caf…"
    assert cut("a👩\u200d👧\u200d👦b", 6) == "a…"
    assert cut("ab👍🏽", 5) == "ab…"


def test_units_are_utf16() -> None:
    assert units("a😀") == 3


def test_blank() -> None:
    assert blank(" \u200d\u2060\n")
    assert not blank("x")


def test_a_table_fits_on_a_phone_where_its_numbers_allow() -> None:
    columns = (
        Column("A long name of a model"),
        Column("macro-F1", True),
        Column("Interval"),
        Column("Fit s", True),
    )
    table = regular(Table(columns, (("TF-IDF + logistic regression", "0.800", "0.780–0.820", "1"),), 0))
    lines = fixed_width(table).split("\n")
    assert all(width(line) <= PHONE_COLUMNS for line in lines)
    assert "▸ TF-IDF + logistic regression" in lines


def test_a_wide_letter_takes_two_columns() -> None:
    assert width("字a") == 3


def test_a_row_that_is_too_short_is_filled_up() -> None:
    assert regular(Table((Column("A"), Column("B")), (("1",),))).rows == (("1", ""),)


def test_the_whole_card_is_text_up_to_a_limit() -> None:
    card = Card("x", "r", "T", (Text("a"), Text("b" * (2 * MOST_CHARS))), (Action("Go", "go", "now"),))
    said = whole(card)
    assert said.startswith("T\n\na\n\n… and more")
    assert whole(Card("x", "r", "T", (Text("a"),), (Action("Go", "go", "now"),))) == "T\n\na\n\n1. Go: now\n"


CREW = Crew("1", ("2", "3"), ("9",))


def test_only_who_is_needed_is_called() -> None:
    harmless = Card("q", "r", "", actions=(Action("A", "a"),), asks=Asks("q"))
    costly = Card("q", "r", "", asks=Asks("q", "plan", 3.0))
    unknown = Card("q", "r", "", asks=Asks("q", "plan", None))
    free = Card("q", "r", "", asks=Asks("q", "plan", 0.0))
    publish = Card("q", "r", "", actions=(Action("P", "public"),), asks=Asks("q"))
    over = Card("ended:1", "r", "")
    assert called(CREW, Card("task", "r", "")) == NOBODY
    assert called(CREW, harmless).people == ("1",)
    assert called(CREW, free).people == ("1",)
    for card in (costly, unknown, publish):
        assert (called(CREW, card).people, called(CREW, card).groups) == (("1", "2", "3"), ("9",))
    assert (called(CREW, over).people, called(CREW, over).groups) == (("1",), ())
    assert not called(Crew(), over)


def test_approvers_of_a_surface() -> None:
    entries = ("discord:2", "discord:*", "slack:U1", "discord-role:9", "slack:T1/U2")
    assert approvers_of(entries, "discord", "discord-role") == (("2",), ("9",))
    assert approvers_of(entries, "slack", "slack-group") == (("U2", "U1"), ())  # by workspace
