"""Tables as Slack's own ``table`` block. Pure.

Slack takes one table block a message, of at most 100 rows, 20 columns and 10,000 characters; it refuses an empty cell.
On a phone a wide one is scrolled sideways, which hides what it is about. So what is wider than a phone is folded: long
texts first, then the last numbers stand as small print below the name of their row.
Where the block is not to be had, :mod:`bot.chat.tables` draws the table in a fixed-width font.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bot.cards import Table
from bot.chat.tables import small_print, width
from bot.chat.text import blank
from bot.slack import rich
from bot.slack.escape import cut

PHONE_COLUMNS = 44  # of fixed-width text on a phone
MAX_NATIVE_COLUMNS = 20
CELL_UNITS = 150
_PHONE_PX, _MARGIN_PX, _CHAR_PX = 330, 20, 7.5  # of a message on a phone; around a cell's text; a character
_WRAPPED_PX, _READ_PX = 130, 200  # what a name, and what a sentence can be read in; they wrap
_WORD_CHARS = 12
_LONG_CELL = 20  # characters; a longer text is a sentence, and goes below its row first


def native(table: Table) -> rich.Json:
    """The table as a ``table`` block; its header and its strong row in bold. ``table`` is ``regular``."""
    table = Table(
        table.columns[:MAX_NATIVE_COLUMNS], tuple(r[:MAX_NATIVE_COLUMNS] for r in table.rows), table.strong
    )
    fold = _fold(table)
    columns = [table.columns[n] for n in fold.side]
    heads = [_cell(column.title, bold=True) for column in columns]
    rows = [
        [_cell(row[n], bold=number == table.strong, small=_small(table, row, n, fold)) for n in fold.side]
        for number, row in enumerate(table.rows)
    ]
    settings = [_setting(table, n, fold) for n in fold.side]
    return {"type": "table", "rows": [heads, *rows], "column_settings": settings}


def _setting(table: Table, n: int, fold: _Fold) -> rich.Json:
    """Numbers stand at the right; a text that is longer than a word, or has small print below it, wraps."""
    if table.columns[n].right:
        return {"align": "right"}
    wraps = _longest(table, n) > _WORD_CHARS or (n == fold.name and fold.below)
    return {"is_wrapped": True} if wraps else {"align": "left"}


def _longest(table: Table, n: int) -> int:
    """Characters of the column's longest cell, its title included."""
    return max(map(width, (table.columns[n].title, *(row[n] for row in table.rows))))


def fits_natively(table: Table) -> bool:
    """Whether ``native`` shows every cell in full."""
    cells = (cell for row in table.rows for cell in row)
    return len(table.columns) <= MAX_NATIVE_COLUMNS and all(cut(cell, CELL_UNITS) == cell for cell in cells)


@dataclass(frozen=True, slots=True)
class _Fold:
    """Numbers of the columns that stand side by side, and of those below the text in the column ``name``."""

    side: tuple[int, ...]
    below: tuple[int, ...] = ()
    name: int = 0


def _fold(table: Table) -> _Fold:
    """A table without a column of text, or of two columns, stays as it is."""
    side = list(range(len(table.columns)))
    longest = [_longest(table, n) for n in side]
    texts = [n for n in side if not table.columns[n].right]
    if not texts:
        return _Fold(tuple(side))
    widths = [_MARGIN_PX + _CHAR_PX * chars for chars in longest]
    long = [n for n in texts[1:] if longest[n] > _LONG_CELL]
    for n in texts:
        widths[n] = min(widths[n], _READ_PX if n in long else _WRAPPED_PX)
    others = [n for n in side if n != texts[0] and n not in long]
    below = []
    for n in (*reversed(long), *reversed(others)):
        if sum(widths[kept] for kept in side) <= _PHONE_PX or len(side) <= 2:
            break
        side.remove(n)
        below.append(n)
        widths = [min(px, _WRAPPED_PX) for px in widths]  # what is left are names and numbers
    name = max((n for n in side if n in texts), key=lambda n: (longest[n] > _LONG_CELL, -n))
    return _Fold(tuple(side), tuple(sorted(below)), name)


def _small(table: Table, row: Sequence[str], n: int, fold: _Fold) -> str:
    """What stands below the row's name."""
    told = small_print(table, row, fold.below) if n == fold.name else []
    return " · ".join(cut(said, CELL_UNITS) for said in told)


def _cell(said: str, *, bold: bool, small: str = "") -> rich.Json:
    said = " " if blank(said) else cut(said, CELL_UNITS)
    style = {"bold": True} if bold else {}
    if small:
        return rich.rich(rich.section(rich.text(said, **style), rich.text(f"\n{small}", italic=True)))
    return rich.rich(rich.section(rich.text(said, **style))) if bold else {"type": "raw_text", "text": said}
