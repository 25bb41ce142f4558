"""Results that a paper reports: rows of its tables, and sentences such as "an accuracy of 93.4 % on BANKING77".

A table is the rows of several cells next to a line that starts "Table 3:". A number belongs to the header cell that
stands over it. Nothing is guessed: what metric it is, on which data and which split is said only where the table's
header, its caption or the sentence says so.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from remote.jobs import paper_names as names
from remote.jobs.paper_pages import Cell, Line, Page
from remote.jobs.paper_rules import Passage, quote_around
from remote.quotes import normal

MAX_RESULTS = 200
MAX_ROWS = 60
CAPTION_LINES = 5
_CAPTION = re.compile(r"Tab(?:le|\.) ?(?P<number>\d{1,2}|[A-Z]\d{1,2})\s*[.:|]?\s*(?P<rest>.*)")
_NUMBER = re.compile(
    r"(?P<value>-?\d{1,3}(?:\.\d{1,4})?|\.\d{2,4})\s?(?P<percent>%)?(?:\s?±\s?\.?\d+(?:\.\d+)?\s?%?)?[*†‡§]{0,2}"
)
_SPLITS = (
    ("test", re.compile(r"\btest(?:ing)?\b|\bheld-out\b", re.IGNORECASE)),
    ("validation", re.compile(r"\b(?:dev|validation|development)\b", re.IGNORECASE)),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Result:
    """A reported score. ``value`` is a share where the metric is one, whatever the paper writes (93.4 or .934)."""

    metric: str
    value: float
    written: str
    model: str
    data: str | None
    split: str | None
    page: int
    quote: str
    where: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    number: str
    caption: str
    header: tuple[Line, ...]
    rows: tuple[Line, ...]
    page: int

    @property
    def where(self) -> str:
        return f"Table {self.number}"


def tables_of(page: Page) -> list[Table]:
    tables = []
    for index, line in enumerate(page.lines):
        match = _CAPTION.match(line.cells[0].text) if line.cells else None
        if match is None:
            continue
        end = _caption_end(page.lines, index)
        caption = normal("\n".join(each.text for each in page.lines[index:end]))
        body = _nearest(page.lines, index, end)
        if len(body) >= 2:
            head = next((i for i, row in enumerate(body) if _numbers(row)), len(body))
            tables.append(
                Table(
                    match["number"],
                    caption[:600],
                    tuple(body[:head]),
                    tuple(body[head:][:MAX_ROWS]),
                    page.number,
                )
            )
    return tables


def _nearest(lines: Sequence[Line], start: int, end: int) -> list[Line]:
    """The rows on the side of the caption ``lines[start:end]`` that they are nearer to."""
    below, above = _below(lines, end), _above(lines, start)
    if not (below and above):
        return below or above
    gap_below = abs(lines[end - 1].bottom - below[0].top)
    gap_above = abs(above[-1].bottom - lines[start].top)
    return below if gap_below <= gap_above else above


def _caption_end(lines: Sequence[Line], start: int) -> int:
    end = start + 1
    while end < min(start + CAPTION_LINES, len(lines)) and not _tabular(lines[end]):
        if lines[end - 1].text.rstrip().endswith("."):
            break
        end += 1
    return end


def _tabular(line: Line) -> bool:
    return len(line.cells) >= 2 and all(len(cell.text.split()) <= 8 for cell in line.cells)


def _below(lines: Sequence[Line], start: int) -> list[Line]:
    body: list[Line] = []
    for line in lines[start : start + MAX_ROWS]:
        if not _tabular(line):
            if (
                body
                and len(line.cells) == 1
                and len(line.text.split()) <= 4
                and not _CAPTION.match(line.text)
            ):
                continue  # a row's group, such as "Ours"
            break
        body.append(line)
    return body


def _above(lines: Sequence[Line], end: int) -> list[Line]:
    body: list[Line] = []
    for line in reversed(lines[max(end - MAX_ROWS, 0) : end]):
        if not _tabular(line):
            break
        body.insert(0, line)
    return body


def _numbers(line: Line) -> list[Cell]:
    return [cell for cell in line.cells[1:] if _NUMBER.fullmatch(cell.text)]


def rows_of(table: Table) -> list[Passage]:
    """Each row as a passage, for the rules that read settings: "Learning rate 2e-5"."""
    return [Passage(table.page, normal(row.text), table.where) for row in (*table.header, *table.rows)]


def results_of(table: Table) -> Iterator[Result]:
    for row in table.rows:
        if not _numbers(row):
            continue
        first_number = next(i for i, cell in enumerate(row.cells) if i and _NUMBER.fullmatch(cell.text))
        label = normal(" ".join(cell.text for cell in row.cells[:first_number]))[:80]
        for cell in _numbers(row):
            heading = _heading(table.header, cell)
            metric = names.first(names.METRICS, heading) or _only_metric(table.caption)
            value = _share(cell.text, metric)
            if metric is None or value is None:
                continue
            yield Result(
                metric,
                value,
                normal(cell.text),
                label,
                names.first(names.DATA_SETS, heading)
                or _only_data(table.caption)
                or names.first(names.DATA_SETS, label),
                _split(f"{heading} {table.caption}"),
                table.page,
                normal(row.text)[:400],
                table.where,
            )


def _heading(header: Sequence[Line], cell: Cell) -> str:
    """The header cells over ``cell``: of each header row the nearest one."""
    parts = [min(line.cells, key=lambda head: abs(head.centre - cell.centre)).text for line in header]
    return normal(" ".join(parts))


def _only_metric(text: str) -> str | None:
    """The metric that a text names, if it is one: "F1" within "macro-F1" is the same one."""
    rest, found = text, []
    for name, pattern in names.METRICS.items():
        if pattern.search(rest):
            found.append(name)
            rest = pattern.sub(" ", rest)
    return found[0] if len(found) == 1 else None


def _only_data(text: str) -> str | None:
    found = [name for name, pattern in names.DATA_SETS.items() if pattern.search(text)]
    return found[0] if len(found) == 1 else None


def _split(text: str) -> str | None:
    found = [name for name, pattern in _SPLITS if pattern.search(text)]
    return found[0] if len(found) == 1 else None


def _share(text: str, metric: str | None) -> float | None:
    match = _NUMBER.fullmatch(text.strip())
    if match is None or metric is None:
        return None
    value = float(match["value"])
    if metric in names.UNBOUNDED:
        return value
    if match["percent"] or abs(value) > 1:
        value /= 100
    return round(value, 6) if -1 <= value <= 1 else None


_METRIC = "|".join(pattern.pattern for pattern in names.METRICS.values())
_SAID = (
    re.compile(
        rf"(?P<metric>{_METRIC})(?: scores?)?(?: \([^()]{{1,20}}\))?(?: ?[:=]| (?:of|is|was|reaches|reached|to|at))+ ?"
        r"(?P<value>\d{1,3}(?:\.\d{1,4})?(?: ?%)?)(?![\w.]?\d)",
        re.IGNORECASE,
    ),
    re.compile(
        rf"(?<![\w.])(?P<value>\d{{1,3}}(?:\.\d{{1,4}})?(?: ?%)?) (?:test |overall )?(?P<metric>{_METRIC})",
        re.IGNORECASE,
    ),
)


def said(passages: Sequence[Passage]) -> Iterator[Result]:
    """Scores in prose. The data set is taken from the same sentence, if it names one."""
    for passage in passages:
        for pattern in _SAID:
            for match in pattern.finditer(passage.text):
                metric = names.first(names.METRICS, match["metric"])
                value = _share(match["value"], metric)
                if (
                    metric is None
                    or value is None
                    or ("%" not in match["value"] and "." not in match["value"])
                ):
                    continue
                quote = quote_around(passage.text, match.start(), match.end())
                yield Result(
                    metric,
                    value,
                    match["value"],
                    "",
                    _only_data(quote),
                    _split(quote),
                    passage.page,
                    quote,
                    passage.where,
                )
