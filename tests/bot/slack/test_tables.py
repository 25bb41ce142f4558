"""Tables as Slack's own block."""

from __future__ import annotations

from bot.cards import Column, Table
from bot.slack.tables import fits_natively, native

SCORES = Table(
    (Column("Model"), Column("macro-F1", right=True)), (("majority", "0.397"), ("model", "0.881")), strong=1
)


def test_the_block_has_a_bold_header_and_a_bold_row() -> None:
    block = native(SCORES)
    head, plain, strong = block["rows"]
    assert [cell["elements"][0]["elements"][0] for cell in head] == [
        {"type": "text", "text": "Model", "style": {"bold": True}},
        {"type": "text", "text": "macro-F1", "style": {"bold": True}},
    ]
    assert plain[0] == {"type": "raw_text", "text": "majority"}
    assert strong[1]["elements"][0]["elements"][0]["style"] == {"bold": True}
    assert block["column_settings"] == [{"align": "left"}, {"align": "right"}]


def test_what_is_longer_than_a_word_or_has_small_print_wraps() -> None:
    assert native(LEADERBOARD)["column_settings"][0] == {"is_wrapped": True}
    plan = Table(PLAN.columns, (("max_length", "128", PLAN.rows[0][2]),))
    assert native(plan)["column_settings"] == [{"is_wrapped": True}, {"align": "right"}]


def test_an_empty_cell_is_a_space() -> None:
    table = native(Table((Column(""),), (("",),)))
    assert table["rows"][0][0]["elements"][0]["elements"][0]["text"] == " "
    assert table["rows"][1][0]["text"] == " "


LEADERBOARD = Table(
    (
        Column("Model"),
        *(Column(title, right=True) for title in ("macro-F1", "95 % interval", "Fit s", "ms/row", "MB")),
    ),
    (
        ("The largest class", "0.397", "0.381–0.412", "0", "0", "0"),
        ("TF-IDF + logistic regression", "0.781", "0.729–0.828", "0.4", "0.05", "1.2"),
        ("Human ceiling", "0.930", "–", "–", "–", "–"),
    ),
    strong=1,
)
PLAN = Table(
    (Column("Setting"), Column("Value", right=True), Column("Why")),
    (("learning_rate", "5e-05", "the usual rate for encoders of this size"),),
)


def shown(table: Table) -> list[list[str]]:
    """The words of each cell."""
    return [
        [
            cell["text"]
            if cell["type"] == "raw_text"
            else "".join(e["text"] for part in cell["elements"] for e in part["elements"])
            for cell in row
        ]
        for row in native(table)["rows"]
    ]


def test_numbers_that_a_phone_has_no_room_for_stand_below_the_name() -> None:
    assert shown(LEADERBOARD) == [
        ["Model", "macro-F1", "95 % interval"],
        ["The largest class", "0.397", "0.381–0.412"],
        ["TF-IDF + logistic regression\nFit s 0.4 · ms/row 0.05 · MB 1.2", "0.781", "0.729–0.828"],
        ["Human ceiling", "0.930", "–"],
    ]
    assert len(native(LEADERBOARD)["column_settings"]) == 3
    name, small = native(LEADERBOARD)["rows"][2][0]["elements"][0]["elements"]
    assert (name["style"], small["style"]) == ({"bold": True}, {"italic": True})


def test_a_sentence_goes_below_its_row_before_a_number_does() -> None:
    assert shown(PLAN) == [
        ["Setting", "Value"],
        ["learning_rate\nthe usual rate for encoders of this size", "5e-05"],
    ]


def test_what_fits_is_not_folded() -> None:
    epochs = Table(
        tuple(Column(t, right=True) for t in ("Epoch", "train loss", "val loss", "macro-F1")), (("1",) * 4,)
    )
    checks = Table(
        (Column("Check"), Column("What was seen")), (("✓ finite loss", "0.69, then 0.61, and so on"),)
    )
    for table in (epochs, checks, SCORES):
        assert [len(row) for row in shown(table)] == [len(table.columns)] * (len(table.rows) + 1)


def test_small_print_stands_below_the_longest_name() -> None:
    columns = (Column("Run"), Column("Task"), Column("State"), Column("Since"))
    row = ("r7k2mc", "Positive or negative product reviews", "waits: Train on this machine?", "2026-11-24")
    assert shown(Table(columns, (row,)))[1] == [
        "r7k2mc",
        "Positive or negative product reviews\nwaits: Train on this machine?",
        "2026-11-24",
    ]


def test_a_table_of_numbers_alone_stays_as_it_is() -> None:
    wide = Table(tuple(Column("a long title of a column", right=True) for _ in range(9)), (("1",) * 9,))
    assert [len(row) for row in shown(wide)] == [9, 9]


def test_what_does_not_fit_natively() -> None:
    assert fits_natively(SCORES)
    assert not fits_natively(Table((Column("x"),), (("y" * 151,),)))
    assert not fits_natively(Table((Column("x"),) * 21, ()))
