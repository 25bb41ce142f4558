"""From a PDF file to pages of lines in reading order, each line in cells, so that tables keep their columns.

A page's characters are put into words, words into rows by height, and rows into one or two columns. Where two
columns of prose stand side by side, a clear gutter runs between them; a row that crosses it (title, caption, wide
table) is read on its own, and what stands between two such rows is read left column first.

Coordinates are in points from the lower left corner, as PDF has them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import median

import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c

from remote.protocol import FailureKind, JobError

MAX_PAGE_CHARS = 40_000
HYPHENS = ("\x02", "\ufffe")  # what PDFium makes of a hyphen at a line's end
CELL_GAP = 0.9  # in heights of the line: a wider gap ends a cell
SCANNED_CHARS = 20  # a page with an image and less text than this was scanned


@dataclass(frozen=True, slots=True)
class Word:
    text: str
    left: float
    bottom: float
    right: float
    top: float

    @property
    def height(self) -> float:
        return max(self.top - self.bottom, 1.0)

    @property
    def middle(self) -> float:
        return (self.top + self.bottom) / 2


@dataclass(frozen=True, slots=True)
class Cell:
    text: str
    left: float
    right: float

    @property
    def centre(self) -> float:
        return (self.left + self.right) / 2


@dataclass(frozen=True, slots=True)
class Line:
    cells: tuple[Cell, ...]
    top: float = 0.0
    bottom: float = 0.0

    @property
    def text(self) -> str:
        return "  ".join(cell.text for cell in self.cells)


@dataclass(frozen=True, slots=True)
class Page:
    number: int  # from 1
    lines: tuple[Line, ...] = ()
    scanned: bool = False  # an image without text
    by_ocr: bool = False
    links: tuple[str, ...] = field(default=())

    @property
    def text(self) -> str:
        return "\n".join(line.text for line in self.lines)


def open_pdf(path: Path, name: str) -> pdfium.PdfDocument:
    """Raises JobError (``data_error``) with one sentence; ``name`` is the file's name for people."""
    with path.open("rb") as file:
        if b"%PDF-" not in file.read(1024):
            raise _error(f"{name} is not a PDF file.")
    try:
        return pdfium.PdfDocument(path)
    except pdfium.PdfiumError as error:
        if getattr(error, "err_code", None) == pdfium_c.FPDF_ERR_PASSWORD or "password" in str(error).lower():
            raise _error(f"{name} is encrypted: give me a copy without a password.") from error
        raise _error(f"{name} is damaged: it cannot be opened as a PDF file.") from error


def _error(detail: str) -> JobError:
    return JobError(FailureKind.DATA_ERROR, detail)


def read_page(document: pdfium.PdfDocument, index: int) -> Page:
    """The page at ``index`` (from 0); a page that cannot be read is an empty one."""
    try:
        page = document[index]
    except pdfium.PdfiumError:
        return Page(index + 1)
    try:
        text = page.get_textpage()
        words = list(words_of(text))
        characters = sum(len(word.text) for word in words)
        scanned = characters < SCANNED_CHARS and _has_image(page)
        return Page(index + 1, lines_of(words, page.get_width()), scanned, links=_links(page, document))
    except pdfium.PdfiumError:
        return Page(index + 1)
    finally:
        page.close()


def _has_image(page: pdfium.PdfPage) -> bool:
    return any(True for _ in page.get_objects(filter=[pdfium_c.FPDF_PAGEOBJ_IMAGE], max_depth=3))


def _links(page: pdfium.PdfPage, document: pdfium.PdfDocument) -> tuple[str, ...]:
    """Addresses behind the page's link annotations, as in ``\\href{…}{code}``."""
    import ctypes

    found: list[str] = []
    place, link = ctypes.c_int(0), pdfium_c.FPDF_LINK()
    while len(found) < 100 and pdfium_c.FPDFLink_Enumerate(page, place, ctypes.byref(link)):
        action = pdfium_c.FPDFLink_GetAction(link)
        if not action:
            continue
        length = pdfium_c.FPDFAction_GetURIPath(document, action, None, 0)
        if 1 < length <= 500:
            buffer = ctypes.create_string_buffer(length)
            pdfium_c.FPDFAction_GetURIPath(document, action, buffer, length)
            found.append(buffer.value.decode("utf-8", errors="replace"))
    return tuple(dict.fromkeys(found))


def words_of(text: pdfium.PdfTextPage) -> Iterator[Word]:
    """Words in the order of the file: runs of characters on one line, with no blank or gap between."""
    run: list[tuple[str, float, float, float, float]] = []
    for index in range(min(text.count_chars(), MAX_PAGE_CHARS)):
        code = pdfium_c.FPDFText_GetUnicode(text, index)
        char = chr(code) if 0 < code < 0x110000 and not 0xD800 <= code < 0xE000 else "\ufffd"
        char = "-" if char in HYPHENS else char
        if char.isspace() or ord(char) < 32:
            yield from _joined(run)
            run = []
            continue
        left, bottom, right, top = text.get_charbox(index, loose=True)
        if run and _apart(run[-1], left, bottom, top):
            yield from _joined(run)
            run = []
        run.append((char, left, bottom, right, top))
    yield from _joined(run)


def _apart(last: tuple[str, float, float, float, float], left: float, bottom: float, top: float) -> bool:
    _, _, last_bottom, last_right, last_top = last
    height = max(top - bottom, last_top - last_bottom, 1.0)
    off_line = abs((top + bottom) - (last_top + last_bottom)) / 2 > 0.2 * height
    return off_line or not -height < left - last_right < 0.25 * height


def _joined(run: Sequence[tuple[str, float, float, float, float]]) -> Iterator[Word]:
    if run:
        yield Word(
            "".join(c[0] for c in run),
            min(c[1] for c in run),
            min(c[2] for c in run),
            max(c[3] for c in run),
            max(c[4] for c in run),
        )


def lines_of(words: Sequence[Word], width: float) -> tuple[Line, ...]:
    """Lines in reading order. ``width`` of the page in points."""
    rows = _rows(words)
    gutter = _gutter(rows, width)
    if gutter is None:
        return tuple(_line(row) for row in rows)
    lines: list[Line] = []
    left: list[Word] = []
    right: list[Word] = []
    for row, spans in zip(rows, _spanning(rows, gutter), strict=True):
        if spans:
            lines += [_line(r) for side in (left, right) for r in _rows(side)]
            left, right = [], []
            lines.append(_line(row))
            continue
        left += [w for w in row if (w.left + w.right) / 2 < gutter]
        right += [w for w in row if (w.left + w.right) / 2 >= gutter]
    lines += [_line(r) for side in (left, right) for r in _rows(side)]
    return tuple(lines)


def _rows(words: Iterable[Word]) -> list[list[Word]]:
    """Words of one height together, from the top; a superscript belongs to its line."""
    rows: list[list[Word]] = []
    for word in sorted(words, key=lambda w: (-w.middle, w.left)):
        last = rows[-1] if rows else None
        if last and abs(last[0].middle - word.middle) <= 0.45 * max(last[0].height, word.height):
            last.append(word)
        else:
            rows.append([word])
    return [sorted(row, key=lambda w: w.left) for row in rows]


def _gutter(rows: Sequence[Sequence[Word]], width: float) -> float | None:
    """The x of the blank between two columns of prose; ``None`` where there is one column."""
    if len(rows) < 6:
        return None
    places = [width * share / 200 for share in range(84, 117)]
    crossing = {x: sum(any(w.left < x < w.right for w in row) for row in rows) for x in places}
    fewest = min(crossing.values())
    best = [x for x in places if crossing[x] == fewest]
    x = best[len(best) // 2]
    halves = [
        (sum(w.right <= x for w in row), sum(w.left >= x for w in row))
        for row in rows
        if not any(w.left < x < w.right for w in row)
    ]
    both = [pair for pair in halves if min(pair) > 0]
    prose = len(both) >= 4 and min(median(a for a, _ in both), median(b for _, b in both)) >= 3
    return x if fewest <= 0.4 * len(rows) and prose else None


def _spanning(rows: Sequence[Sequence[Word]], gutter: float) -> list[bool]:
    """For each row whether it runs across; the short heads over a wide table belong to it."""
    flags = [_spans(row, gutter) for row in rows]
    for index in range(len(rows) - 2, -1, -1):
        sides = [w for w in rows[index] if w.right <= gutter], [w for w in rows[index] if w.left >= gutter]
        if flags[index + 1] and not flags[index] and all(side and _spacious(side) for side in sides):
            flags[index] = True
    return flags


def _spans(row: Sequence[Word], gutter: float) -> bool:
    """Whether a row runs across both columns: through the gutter, or as a table with cells on both sides."""
    if any(w.left < gutter < w.right for w in row):
        return True
    left = [w for w in row if w.right <= gutter]
    right = [w for w in row if w.left >= gutter]
    if not left or not right:
        return False
    if right[0].left - left[-1].right < 0.6 * right[0].height:
        return True
    return all(len(_line(side).cells) >= 2 and _spacious(side) for side in (left, right))


def _spacious(side: Sequence[Word]) -> bool:
    """Whether cells are short, as in a table: prose beside a number has long ones."""
    cells = _line(side).cells
    return sum(len(cell.text.split()) for cell in cells) <= 3 * len(cells)


def _line(row: Sequence[Word]) -> Line:
    height = median(word.height for word in row)
    cells: list[list[Word]] = []
    for word in row:
        if cells and word.left - cells[-1][-1].right <= CELL_GAP * height:
            cells[-1].append(word)
        else:
            cells.append([word])
    return Line(
        tuple(Cell(_text(cell), cell[0].left, max(w.right for w in cell)) for cell in cells),
        max(word.top for word in row),
        min(word.bottom for word in row),
    )


def _text(words: Sequence[Word]) -> str:
    text = words[0].text
    for before, word in pairwise(words):
        close = word.left - before.right < 0.12 * min(before.height, word.height)  # 10 and its exponent
        text += word.text if close else f" {word.text}"
    return text
