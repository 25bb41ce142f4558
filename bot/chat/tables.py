"""Tables as text in a fixed-width font, for a medium that has none of its own. Pure.

A phone shows some 40 columns of it, so that a wide table is stacked: long texts stand below their row, and if that
is not enough the row's name stands above its numbers. Nothing is lost by it.
"""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bot.cards import Table
from bot.chat.text import clean_line, short_line

PHONE_COLUMNS = 40
_LONG_CELL = 20  # columns of text; a wider cell goes below its row where the table is too wide
_WIDEST = 60  # columns that a cell is filled up to: one endless cell must not fill all others
_GAP = "  "
_STRONG = "▸ "
_ZERO_WIDTH = ("Mn", "Me", "Cf")


def regular(table: Table, most: int | None = None) -> Table:
    """Each cell cleaned, on one line of at most ``most`` UTF-16 units, and each row as long as ``columns``."""

    def tidy(cell: str) -> str:
        return clean_line(cell) if most is None else short_line(cell, most)

    count = len(table.columns)
    columns = tuple(replace(column, title=tidy(column.title)) for column in table.columns)
    rows = tuple(tuple(map(tidy, (*row[:count], *[""] * (count - len(row))))) for row in table.rows)
    return Table(columns, rows, table.strong)


def first_rows(table: Table, most: int) -> Table:
    return replace(table, rows=table.rows[:most])


def width(said: str) -> int:
    """Columns in a fixed-width font: an East Asian wide character takes two, an accent none."""
    return sum(map(_char_width, said)) if not said.isascii() else len(said)


def _char_width(char: str) -> int:
    if unicodedata.category(char) in _ZERO_WIDTH:
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


@dataclass(frozen=True, slots=True)
class _Layout:
    """Which columns, as (number from 0, at the right), stand side by side, and which above and below them."""

    side: tuple[tuple[int, bool], ...]
    above: tuple[tuple[int, bool], ...] = ()
    below: tuple[tuple[int, bool], ...] = ()


def fixed_width(table: Table, columns: int = PHONE_COLUMNS) -> str:
    """The whole table as lines of text, within ``columns`` where its numbers allow. ``table`` is ``regular``."""
    widths = [
        min(_WIDEST, max(width(cell) for cell in (column.title, *(row[number] for row in table.rows))))
        for number, column in enumerate(table.columns)
    ]
    marks = 0 if table.strong is None else len(_STRONG)
    layout = _layout(table, widths, columns - marks)
    titles = tuple(column.title for column in table.columns)
    lines = [" " * marks + line for line in _lines(layout, widths, columns - marks, titles, head=True)]
    lines.append("─" * min(columns, max(map(width, lines))))
    for number, row in enumerate(table.rows):
        mark = _STRONG if number == table.strong else " " * marks
        for line in _lines(layout, widths, columns - marks, row, head=False):
            lines.append(mark + line)
            mark = " " * marks
    return "\n".join(line.rstrip() for line in lines)


def _layout(table: Table, widths: Sequence[int], most: int) -> _Layout:
    everything = tuple((number, column.right) for number, column in enumerate(table.columns))
    if _total(everything, widths) <= most:
        return _Layout(everything)
    below = tuple((n, right) for n, right in everything[1:] if widths[n] > _LONG_CELL and not right)
    side = tuple(column for column in everything if column not in below)
    if _total(side, widths) <= most or len(side) < 2:
        return _Layout(side, below=below)
    names = tuple((n, right) for n, right in side[:1] if not right)
    return _Layout(side[len(names) :], names, below)


def _total(columns: Sequence[tuple[int, bool]], widths: Sequence[int]) -> int:
    return sum(widths[n] for n, _ in columns) + len(_GAP) * (len(columns) - 1)


def _lines(layout: _Layout, widths: Sequence[int], most: int, row: Sequence[str], *, head: bool) -> list[str]:
    above = [line for n, _ in layout.above for line in _wrapped(row[n], most, "")]
    cells = (_padded(row[n], widths[n], right=right) for n, right in layout.side)
    side = (_GAP if layout.above else "") + _GAP.join(cells)
    below = [] if head else [line for n, _ in layout.below for line in _wrapped(row[n], most, _GAP)]
    return [*above, *([side] if side.strip() else []), *below] or [""]


def _padded(cell: str, columns: int, *, right: bool) -> str:
    blanks = " " * (columns - width(cell))
    return blanks + cell if right else cell + blanks


def _wrapped(cell: str, most: int, indent: str) -> list[str]:
    most = most if width(cell) == len(cell) else max(most // 2, len(indent) + 1)  # textwrap counts characters
    return textwrap.wrap(cell, most, initial_indent=indent, subsequent_indent=indent)
