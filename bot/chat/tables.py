"""Tables as text in a fixed-width font, for a medium that has none of its own. Pure.

A phone shows some 30 columns of it in a card's frame, so that a wide table is stacked: titles take several lines, long
texts stand below their row, and if that is not enough the row's name stands above its numbers, and the last numbers
below the others. Nothing is lost by it but zeros and dashes.
"""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bot.cards import Table
from bot.chat.text import clean_line, short_line

PHONE_COLUMNS = 30
_LONG_CELL = 20  # columns of text; a wider cell goes below its row where the table is too wide
_WIDEST = 60  # columns that a cell is filled up to: one endless cell must not fill all others
_GAP = "  "
_STRONG = "▸ "
NOTHING = ("", "–", "0")  # not worth small print
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


def small_print(table: Table, row: Sequence[str], numbers: Sequence[int]) -> list[str]:
    """The cells of those columns for a line below the row: numbers with their column's title, texts alone."""
    return [
        f"{table.columns[n].title} {row[n]}" if table.columns[n].right else row[n]
        for n in numbers
        if row[n].strip() not in NOTHING
    ]


@dataclass(frozen=True, slots=True)
class _Layout:
    """Numbers of the columns that stand side by side, above, below, and as small print below the row."""

    side: tuple[int, ...]
    above: tuple[int, ...] = ()
    below: tuple[int, ...] = ()
    small: tuple[int, ...] = ()


def fixed_width(table: Table, columns: int = PHONE_COLUMNS) -> str:
    """The whole table as lines of text, within ``columns``. ``table`` is ``regular``."""
    cells = [
        min(_WIDEST, max((width(row[n]) for row in table.rows), default=0)) for n in range(len(table.columns))
    ]
    marks = 0 if table.strong is None else len(_STRONG)
    most = columns - marks
    heads = [[column.title] for column in table.columns]
    widths = [max(width(head[0]), cell) for head, cell in zip(heads, cells, strict=True)]
    if _total(range(len(widths)), widths) > most:
        heads = [_head(column.title, cell) for column, cell in zip(table.columns, cells, strict=True)]
        widths = [min(_WIDEST, max(*map(width, head), cell)) for head, cell in zip(heads, cells, strict=True)]
    layout = _layout(table, widths, most)
    lines = [" " * marks + line for line in _head_lines(table, layout, widths, most, heads)]
    lines.append("─" * min(columns, max(map(width, lines))))
    for number, row in enumerate(table.rows):
        mark = _STRONG if number == table.strong else " " * marks
        for line in _row_lines(table, layout, widths, most, row):
            lines.append(mark + line)
            mark = " " * marks
    return "\n".join(line.rstrip() for line in lines)


def _head(title: str, cell: int) -> list[str]:
    """A title in several lines, no wider than its longest word or its cells."""
    return textwrap.wrap(title, max(cell, *map(len, title.split() or [""]), 1)) or [""]


def _layout(table: Table, widths: Sequence[int], most: int) -> _Layout:
    everything = tuple(range(len(widths)))
    if _total(everything, widths) <= most:
        return _Layout(everything)
    texts = [n for n in everything if not table.columns[n].right]
    names = tuple(texts[:1])
    below = tuple(n for n in texts[1:] if widths[n] > _LONG_CELL)
    side = tuple(n for n in everything if n not in below)
    if _total(side, widths) <= most or len(side) < 2:
        return _Layout(side, below=below)
    kept = [n for n in side if n not in names]
    small: list[int] = []
    while len(kept) > 1 and _total(kept, widths) + len(_GAP) * len(names) > most:
        small.insert(0, kept.pop())
    return _Layout(tuple(kept), names, below, tuple(small))


def _total(numbers: Sequence[int], widths: Sequence[int]) -> int:
    return sum(widths[n] for n in numbers) + len(_GAP) * (len(numbers) - 1)


def _side(table: Table, layout: _Layout, widths: Sequence[int], cells: Sequence[str]) -> str:
    shown = (_padded(cells[n], widths[n], right=table.columns[n].right) for n in layout.side)
    return (_GAP if layout.above else "") + _GAP.join(shown)


def _head_lines(
    table: Table, layout: _Layout, widths: Sequence[int], most: int, heads: Sequence[Sequence[str]]
) -> list[str]:
    above = [line for n in layout.above for line in _wrapped(table.columns[n].title, most, "")]
    tall = max((len(heads[n]) for n in layout.side), default=0)
    filled = [[*[""] * (tall - len(head)), *head] for head in heads]
    side = (
        _side(table, layout, widths, [h[at] if at < len(h) else "" for h in filled]) for at in range(tall)
    )
    return [*above, *(line for line in side if line.strip())] or [""]


def _row_lines(
    table: Table, layout: _Layout, widths: Sequence[int], most: int, row: Sequence[str]
) -> list[str]:
    above = [line for n in layout.above for line in _wrapped(row[n], most, "")]
    side = _side(table, layout, widths, row)
    small = " · ".join(small_print(table, row, layout.small))
    below = [line for said in (small, *(row[n] for n in layout.below)) for line in _wrapped(said, most, _GAP)]
    return [*above, *([side] if side.strip() else []), *below] or [""]


def _padded(cell: str, columns: int, *, right: bool) -> str:
    blanks = " " * (columns - width(cell))
    return blanks + cell if right else cell + blanks


def _wrapped(cell: str, most: int, indent: str) -> list[str]:
    most = most if width(cell) == len(cell) else max(most // 2, len(indent) + 1)  # textwrap counts characters
    return textwrap.wrap(cell, most, initial_indent=indent, subsequent_indent=indent)
