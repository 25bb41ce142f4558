"""Reads the first sheet with a table of an Excel workbook (``.xlsx``) as rows of text, as one would export it; a hidden
one only where no other has any.

The file is foreign: it is a ZIP archive of XML, so its unpacked size is bounded before anything is parsed, formulas are
taken at the value that Excel stored with them, and links and macros are never looked at.
"""

from __future__ import annotations

import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import date, datetime, time
from itertools import islice
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import ParseError

from openpyxl import load_workbook
from openpyxl.utils.exceptions import InvalidFileException

from remote.protocol import FailureKind, JobError

MAX_BYTES = 512 * 2**20  # unpacked
MAX_COLUMNS = 500
MAX_ROWS = 1 << 20  # Excel's own bound; the number of a row is the file's word
_WORKBOOK = "xl/workbook.xml"

_DAMAGED = (
    InvalidFileException, zipfile.BadZipFile, zlib.error, ParseError, ArithmeticError, AttributeError, EOFError,
    LookupError, NotImplementedError, OSError, RuntimeError, TypeError, ValueError,
)  # fmt: skip # openpyxl trusts a file: what is wrong with one shows as almost anything

Rows = list[list[str]]


def is_workbook(path: Path) -> bool:
    """Whether the ZIP archive ``path`` is an Excel workbook."""
    try:
        with zipfile.ZipFile(path) as archive:
            return _WORKBOOK in archive.namelist()
    except _DAMAGED:
        return False


def read_rows(path: Path, notes: Counter[str]) -> Rows:
    """All rows of the sheet, equally long. Raises JobError (``data_error``)."""
    with zipfile.ZipFile(path) as archive:
        size = sum(info.file_size for info in archive.infolist())
    if size > MAX_BYTES:
        raise _error(f"{path.name} holds more than {MAX_BYTES // 2**20} MB: export the table as CSV.")
    try:
        with path.open("rb") as file:  # not by its name, which may end otherwise
            book = load_workbook(file, read_only=True, data_only=True, keep_links=False)
            shown_first = sorted(book.worksheets, key=lambda sheet: sheet.sheet_state != "visible")
            sheets = [table for sheet in shown_first if (table := _table(_texts(sheet), notes))]
            book.close()
    except _DAMAGED:
        raise _error(
            f"The Excel file {path.name} is damaged: save it again, or export the table as CSV."
        ) from None
    if not sheets:
        raise _error(f"The Excel file {path.name} holds no table: put one text and one label column into it.")
    notes["further sheets not read"] = len(sheets) - 1
    return sheets[0]


def _texts(sheet: Any) -> Iterator[list[str]]:
    sheet.reset_dimensions()  # what the file says of its size may be wrong, and each row is filled up to it
    for row in islice(sheet.iter_rows(values_only=True), MAX_ROWS):
        yield [_text(value) for value in row[:MAX_COLUMNS]]


def _text(value: Any) -> str:
    """A cell as Excel shows it, near enough: whole numbers without a point, days without a time."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, datetime) and value.time() == time():
        return value.date().isoformat()
    return value.isoformat() if isinstance(value, datetime | date | time) else str(value)


def _table(rows: Iterator[list[str]], notes: Counter[str]) -> Rows:
    """Without empty rows and columns, and without the lines of a title above the table."""
    filled = [row for row in rows if any(cell.strip() for cell in row)]
    widths = Counter(sum(bool(cell.strip()) for cell in row) for row in filled)
    if not widths:
        return []
    usual = widths.most_common(1)[0][0]
    first = next(i for i, row in enumerate(filled) if 2 * sum(bool(c.strip()) for c in row) > usual)
    notes["rows above the table left out"] += first
    return _without_empty_columns(filled[first:])


def _without_empty_columns(rows: Rows) -> Rows:
    width = max(map(len, rows))
    padded = [row + [""] * (width - len(row)) for row in rows]
    used = [i for i in range(width) if any(row[i].strip() for row in padded)]
    return [_picked(row, used) for row in padded]


def _picked(row: Sequence[str], columns: Sequence[int]) -> list[str]:
    return [row[i] for i in columns]


def _error(detail: str) -> JobError:
    return JobError(FailureKind.DATA_ERROR, detail)
