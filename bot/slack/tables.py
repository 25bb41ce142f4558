"""Tables as Slack's own ``table`` block. Pure.

Slack takes one table block a message, of at most 100 rows, 20 columns and 10,000 characters; it refuses an empty cell.
Where it is not to be had, :mod:`bot.chat.tables` draws the table in a fixed-width font.
"""

from __future__ import annotations

from bot.cards import Table
from bot.chat.text import blank
from bot.slack import rich
from bot.slack.escape import cut

PHONE_COLUMNS = 44  # of fixed-width text on a phone
MAX_NATIVE_COLUMNS = 20
CELL_UNITS = 150


def native(table: Table) -> rich.Json:
    """The table as a ``table`` block; its header and its strong row in bold. ``table`` is ``regular``."""
    columns = table.columns[:MAX_NATIVE_COLUMNS]
    heads = [_cell(column.title, bold=True) for column in columns]
    rows = [
        [_cell(cell, bold=number == table.strong) for cell in row[: len(columns)]]
        for number, row in enumerate(table.rows)
    ]
    settings = [{"align": "right"} if column.right else {"is_wrapped": True} for column in columns]
    return {"type": "table", "rows": [heads, *rows], "column_settings": settings}


def fits_natively(table: Table) -> bool:
    """Whether ``native`` shows every cell in full."""
    cells = (cell for row in table.rows for cell in row)
    return len(table.columns) <= MAX_NATIVE_COLUMNS and all(cut(cell, CELL_UNITS) == cell for cell in cells)


def _cell(said: str, *, bold: bool) -> rich.Json:
    said = " " if blank(said) else cut(said, CELL_UNITS)
    if bold:
        return rich.rich(rich.section(rich.text(said, bold=True)))
    return {"type": "raw_text", "text": said}
