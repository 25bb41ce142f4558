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
    assert block["column_settings"] == [{"is_wrapped": True}, {"align": "right"}]


def test_an_empty_cell_is_a_space() -> None:
    table = native(Table((Column(""),), (("",),)))
    assert table["rows"][0][0]["elements"][0]["elements"][0]["text"] == " "
    assert table["rows"][1][0]["text"] == " "


def test_what_does_not_fit_natively() -> None:
    assert fits_natively(SCORES)
    assert not fits_natively(Table((Column("x"),), (("y" * 151,),)))
    assert not fits_natively(Table((Column("x"),) * 21, ()))
