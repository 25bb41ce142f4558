"""Tables as text that a phone can show."""

from __future__ import annotations

import pytest

from bot.cards import Column, Table
from bot.chat.tables import PHONE_COLUMNS, first_rows, fixed_width, regular, width

SCORES = Table(
    (Column("Model"), Column("macro-F1", right=True)), (("majority", "0.397"), ("model", "0.881")), strong=1
)


def test_text_lines_up() -> None:
    assert fixed_width(SCORES).splitlines() == [
        "  Model     macro-F1",
        "────────────────────",
        "  majority     0.397",
        "▸ model        0.881",
    ]


def test_wide_letters_take_two_columns() -> None:
    assert [width(text) for text in ("abc", "字字", "e\u0301", "ﾊ")] == [3, 4, 1, 1]
    table = Table((Column("Class"), Column("F1", right=True)), (("字字", "0.9"), ("four", "0.8")))
    assert {width(line) for line in fixed_width(table).splitlines()[2:]} == {10}


def test_a_long_text_stands_below_its_row() -> None:
    why = "half of the layers, so that it fits into the time"
    table = Table((Column("Setting"), Column("Value", right=True), Column("Why")), (("frozen", "3", why),))
    lines = fixed_width(table).splitlines()
    assert lines[0] == "Setting  Value"
    assert lines[2] == "frozen       3"
    assert " ".join(line.strip() for line in lines[3:]) == why
    assert max(map(width, lines)) <= PHONE_COLUMNS


def test_a_name_stands_above_its_numbers_where_they_fill_the_line() -> None:
    numbers = tuple(Column(f"number {n}", right=True) for n in range(4))
    name = "TF-IDF + logistic regression"
    lines = fixed_width(Table((Column("Model"), *numbers), ((name, "1", "2", "3", "4"),)), 40).splitlines()
    assert lines[-2] == name
    assert lines[-1].split() == ["1", "2", "3", "4"]


def test_the_name_is_the_first_text_wherever_it_stands() -> None:
    columns = (Column("#", right=True), Column("Data set"), Column("Rows", right=True), Column("Why"))
    row = ("1", "Verified product reviews", "11,993", "about product, review, sentiment")
    assert fixed_width(Table(columns, (row,))).splitlines() == [
        "Data set",
        "  #    Rows",
        "───────────",
        "Verified product reviews",
        "  1  11,993",
        "  about product, review,",
        "  sentiment",
    ]


def test_long_titles_take_several_lines() -> None:
    titles = ("Epoch", "train loss", "val loss", "macro-F1")
    table = Table(tuple(Column(title, right=True) for title in titles), (("1", "0.600", "0.500", "0.820"),))
    assert fixed_width(table).splitlines() == [
        "       train    val",
        "Epoch   loss   loss  macro-F1",
        "─────────────────────────────",
        "    1  0.600  0.500     0.820",
    ]


def test_numbers_that_find_no_room_stand_below_the_others_with_their_titles() -> None:
    numbers = ("macro-F1", "95 % interval", "Fit s", "ms/row", "MB")
    table = Table(
        (Column("Model"), *(Column(title, right=True) for title in numbers)),
        (
            ("TF-IDF + logistic regression", "0.781", "0.729–0.828", "0.4", "0.05", "1.2"),
            ("The largest class", "0.397", "0.381–0.412", "0", "0", "0"),
        ),
        strong=0,
    )
    lines = fixed_width(table).splitlines()
    assert lines[4:] == [
        "▸ TF-IDF + logistic regression",
        "       0.781  0.729–0.828  0.4",
        "    ms/row 0.05 · MB 1.2",
        "  The largest class",
        "       0.397  0.381–0.412    0",
    ]
    assert max(map(width, lines)) <= PHONE_COLUMNS


def test_one_endless_number_does_not_fill_all_other_rows() -> None:
    table = Table((Column("n", right=True), Column("a")), (("9" * 40_000, "a"), ("1", "b")))
    assert "9" * 40_000 in fixed_width(table)
    assert len(fixed_width(table).splitlines()[-1]) < 200


@pytest.mark.parametrize("row", [("a",), ("a", "b", "c")])
def test_rows_become_as_long_as_the_header(row: tuple[str, ...]) -> None:
    table = regular(Table((Column("x"), Column("y")), (row,)))
    assert table.rows == ((*row[:2], *[""] * (2 - len(row[:2]))),)


def test_first_rows_keep_the_strong_one() -> None:
    assert first_rows(SCORES, 1) == Table(SCORES.columns, SCORES.rows[:1], 1)
