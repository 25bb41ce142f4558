"""Reads a raw file into a table, whatever it is: CSV and its kin, JSON lines, a JSON array, Parquet, Excel.

Decisions
- The content decides about the format, the name is only a hint: users rename files.
- Every cell is kept as the text that stands in the file (``str``), a list (``list[str]``) or missing
  (``None``). A reader that guesses types per chunk turns ``01`` into 1 and the class "None" into a missing
  value; here only an empty cell, ``NaN``, ``null``, ``#N/A``, ``<NA>``, ``NaT`` and ``\\N`` are missing.
- Delimited text is read with the standard library's csv module over the decoded text: it takes quoted
  newlines and fields of any length, and lets us count ragged rows instead of failing on them. Its Sniffer is
  not used: it is wrong on short texts with many commas. The delimiter is the one whose records agree best on
  a width.
- Hub Parquet files carry the class names of integer labels in their schema; they are used.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import sys
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from remote.jobs import excel
from remote.jobs.encodings import decode_text, refuse_binary
from remote.jobs.headers import clean_names, has_header, is_known_name
from remote.protocol import FailureKind, JobError

MAX_BYTES = 512 * 2**20  # of delimited text or JSON, after unpacking
SAMPLE_CHARS = 256 * 1024
BROKEN_LINES = 0.01  # share of JSON lines that may be unreadable before the file is refused
MIN_AGREEMENT = 0.5  # below it the text is one column of sentences with commas
DELIMITERS = ("\t", "|", ";", ",")  # of two that fit as well, the one that is rarer in prose

Quoting = Literal[0, 3]  # csv.QUOTE_MINIMAL, csv.QUOTE_NONE
Cell = str | list[str] | None

_MISSING = frozenset({"", "nan", "null", "#n/a", "<na>", "nat", "\\n"})


@dataclass(frozen=True, slots=True)
class Table:
    """``frame``: one object column of cells for each column of the file, in the file's order."""

    frame: pd.DataFrame
    format: str  # "csv", "jsonl", "json", "parquet", "xlsx"
    encoding: str | None = None
    delimiter: str | None = None
    notes: Mapping[str, int] = field(default_factory=dict)  # what was mended while reading -> how often


def read_parts(paths: Path | str | Sequence[Path | str]) -> Table:
    """The table in one file, or in several that are its parts, one below the other. Raises JobError as
    :func:`read_table`."""
    if isinstance(paths, Path | str):
        return read_table(paths)
    tables = [read_table(path) for path in paths]
    if not tables:
        raise _error("No file was given: name a CSV, TSV, JSONL, Parquet or Excel file.")
    tables = [tables[0], *(_named_as(tables[0], table) for table in tables[1:])]
    names = list(dict.fromkeys(name for table in tables for name in table.frame.columns))
    columns = [
        [cell for table in tables for cell in table.frame.get(name, [None] * len(table.frame))]
        for name in names
    ]
    notes = Counter[str]()
    for table in tables:
        notes.update(table.notes)
        notes["files with other columns than the first"] += {*table.frame.columns} != {
            *tables[0].frame.columns
        }
    return replace(tables[0], frame=_frame(names, columns), notes=_kept(notes))


def _named_as(first: Table, table: Table) -> Table:
    """A part that was cut off without a header has the first one's."""
    names = list(first.frame.columns)
    bare = list(table.frame.columns) == clean_names([""] * len(names))
    return replace(table, frame=table.frame.set_axis(names, axis=1)) if bare else table


def read_table(path: Path | str) -> Table:
    """The table in ``path``. Raises JobError (``data_error``) with one sentence that says what to do."""
    path = Path(path)
    try:
        with path.open("rb") as file:
            head = file.read(8)
    except FileNotFoundError:
        raise _error(f"The file {path.name} does not exist: check its name.") from None
    except OSError as error:
        raise _error(f"The file {path.name} cannot be read ({error.strerror}): check it.") from None
    if head.startswith(b"PAR1"):
        return _parquet(path)
    if head.startswith(b"PK\x03\x04") and excel.is_workbook(path):
        return _workbook(path)
    refuse_binary(head, path.name)
    data = _bytes(path, head)
    if not data.strip(b"\x00 \t\r\n\xef\xbb\xbf\xff\xfe"):
        raise _error(f"The file {path.name} is empty: give me a file with one text and one label column.")
    return _with_rows(_text(data, path), path)


def _with_rows(table: Table, path: Path) -> Table:
    if len(table.frame) == 0:
        raise _error(f"The file {path.name} has a header but no rows: add rows.")
    return table


def _workbook(path: Path) -> Table:
    notes = Counter[str]()
    rows = excel.read_rows(path, notes)
    return _with_rows(Table(_frame_of_rows(rows, notes), "xlsx", notes=_kept(notes)), path)


def _bytes(path: Path, head: bytes) -> bytes:
    """The whole content, unpacked when it is gzip."""
    try:
        with gzip.open(path) if head.startswith(b"\x1f\x8b") else path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (EOFError, gzip.BadGzipFile, zlib.error):
        raise _error(f"The gzip file {path.name} is damaged: fetch or pack it again.") from None
    if len(data) > MAX_BYTES:
        raise _error(
            f"{path.name} holds more than {MAX_BYTES // 2**20} MB: take a sample, or save it as Parquet."
        )
    return data


def _text(data: bytes, path: Path) -> Table:
    decoded = decode_text(data, path.name)
    text, notes = decoded.text, Counter({"unreadable bytes": decoded.replaced})
    notes["NUL characters removed"] = text.count("\0")
    text = text.replace("\0", "").lstrip("\ufeff")
    suffixes = {suffix.lower() for suffix in path.suffixes}
    named_json = bool(suffixes & {".json", ".jsonl", ".ndjson"})
    start = text.lstrip()[:1]
    records = _json_records(text, named_json, path.name, notes) if start in ("{", "[") else None
    if records is not None:
        kind, rows = records
        return Table(_frame_of_records(rows, path.name), kind, decoded.encoding, None, _kept(notes))
    if named_json:
        raise _error(f"{path.name} is not JSON: save it as JSON lines, one object a line.")
    frame, delimiter = _delimited(text, path.name, notes)
    return Table(frame, "csv", decoded.encoding, delimiter, _kept(notes))


def _kept(notes: Mapping[str, int]) -> dict[str, int]:
    return {words: count for words, count in notes.items() if count}


# JSON -----------------------------------------------------------------------------------------------------


def _json_records(
    text: str, named_json: bool, name: str, notes: Counter[str]
) -> tuple[str, list[dict[str, Any]]] | None:
    """``("json" or "jsonl", records)``, or ``None`` for text that only looks like JSON."""
    whole = _loads(text)
    records = _records_in(whole)
    if records is not None:
        return "json", records
    lines = [line for line in text.split("\n") if line.strip()]
    values = [_loads(line) for line in lines]
    good = [value for value in values if isinstance(value, dict)]
    broken = len(values) - len(good)
    last_cut = broken == 1 and not isinstance(values[-1], dict) and len(values) > 1
    if good and (broken <= BROKEN_LINES * len(values) or last_cut):
        notes["broken JSON lines left out"] = broken
        return "jsonl", good
    if named_json or good:
        if whole is not None:
            raise _error(f"{name} holds no list of records: save it as JSON lines, one object a line.")
        number = next(i for i, value in enumerate(values, 1) if not isinstance(value, dict))
        raise _error(f"Line {number} of {name} is not a JSON object: mend it, or save the file as CSV.")
    return None


def _loads(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _records_in(value: Any) -> list[dict[str, Any]] | None:
    """A list of objects; also in a wrapper such as ``{"data": [...]}``, and columns ``{"text": [...]}``."""
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        return value
    if not isinstance(value, dict):
        return None
    inner = [found for found in map(_records_in, value.values()) if found] if len(value) <= 8 else []
    if len(inner) == 1:
        return inner[0]
    columns = list(value.values())
    if columns and all(isinstance(c, list) for c in columns) and len({len(c) for c in columns}) == 1:
        return [dict(zip(value, cells, strict=True)) for cells in zip(*columns, strict=True)]
    return None


def _frame_of_records(records: Sequence[Mapping[str, Any]], name: str) -> pd.DataFrame:
    keys = list(dict.fromkeys(key for record in records for key in record))
    if not keys:
        raise _error(f"The records of {name} have no fields: give each a text and a label.")
    columns = [[as_cell(record.get(key)) for record in records] for key in keys]
    return _frame(clean_names(keys), columns)


def as_cell(value: Any) -> Cell:
    """A value of JSON or Parquet as a cell; whole floats lose their ``.0``: 1.0 and 1 are one class."""
    if value is None or (isinstance(value, float) and value != value):
        return None
    if isinstance(value, str):
        return None if value.strip().casefold() in _MISSING else value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    if isinstance(value, list | tuple):
        return [cell for cell in map(as_cell, value) if isinstance(cell, str)]
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace")
    if isinstance(value, Mapping):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)


# delimited text -------------------------------------------------------------------------------------------


def _delimited(text: str, name: str, notes: Counter[str]) -> tuple[pd.DataFrame, str | None]:
    delimiter, quoting = find_delimiter(text[:SAMPLE_CHARS], complete=len(text) <= SAMPLE_CHARS)
    rows = [row for row in _records(text, delimiter or "\x1f", quoting) if any(cell.strip() for cell in row)]
    if not rows:
        raise _error(f"The file {name} is empty: give me a file with one text and one label column.")
    return _frame_of_rows(rows, notes), delimiter


def _frame_of_rows(rows: Sequence[list[str]], notes: Counter[str]) -> pd.DataFrame:
    """``rows``: at least one; the first may be a header."""
    width = Counter(map(len, rows)).most_common(1)[0][0]
    header = has_header(rows[0], rows[1:1001])
    # A header may lack the name of an index column, as R writes it.
    names = rows[0] if header else []
    names = ["", *names] if header and len(names) == width - 1 else names
    body = rows[1:] if header else rows
    width = max(width, len(names)) if header else width
    fit = [row for row in body if len(row) <= width]
    notes["rows with too many fields left out"] = len(body) - len(fit)
    notes["rows with too few fields"] = sum(len(row) < width for row in fit)
    padded = [row if len(row) == width else row + [""] * (width - len(row)) for row in fit]
    columns = [[_csv_cell(cell) for cell in column] for column in zip(*padded, strict=True)] if padded else []
    if not columns:
        columns = [[] for _ in range(width)]
    return _frame(clean_names([*names, *[""] * (width - len(names))]), columns)


def _csv_cell(cell: str) -> str | None:
    missing = cell.isspace() or (len(cell) < 12 and cell.strip().casefold() in _MISSING)
    return None if missing else cell


def find_delimiter(sample: str, *, complete: bool) -> tuple[str | None, Quoting]:
    """``(delimiter, csv quoting)``; ``None`` when the text has one column. ``complete``: the sample is all.

    The score of a delimiter is 0..1: the share of records that agree on a width above one, less what speaks
    against it, and more where the first record then holds names that headers use.
    """
    best: tuple[float, str | None, Quoting] = (0.0, None, csv.QUOTE_MINIMAL)
    quotings: tuple[Quoting, ...] = (csv.QUOTE_MINIMAL, csv.QUOTE_NONE)
    for quoting in quotings:
        for delimiter in DELIMITERS:
            score = _agreement(sample, delimiter, quoting, complete)
            # Without quoting only when it is clearly better: a stray quote then swallows rows otherwise.
            if score > best[0] + (0.1 if quoting == csv.QUOTE_NONE else 0.0):
                best = (score, delimiter, quoting)
    return (best[1], best[2]) if best[0] >= MIN_AGREEMENT else (None, csv.QUOTE_MINIMAL)


def _agreement(sample: str, delimiter: str, quoting: Quoting, complete: bool) -> float:
    if delimiter not in sample:
        return 0.0
    records = [row for row in _records(sample, delimiter, quoting) if row]
    records = records if complete or len(records) < 3 else records[:-1]
    widths = Counter(map(len, records))
    width, count = max(widths.items(), key=lambda item: (item[0] > 1, item[1], item[0]))
    if width < 2:
        return 0.0
    share = count / len(records)
    lines = sum(1 + sum(cell.count("\n") for cell in row) for row in records)
    swallowed = sum(cell.count("\n") for row in records for cell in row if delimiter in cell)
    stray = _stray_quotes(records) if quoting == csv.QUOTE_NONE else 0.0
    known = sum(map(is_known_name, records[0])) if len(records[0]) == width else 0
    first = min(known, 2) * 0.2
    # "one, two" is prose more often than it is two columns.
    prose = 0.1 if sample.count(delimiter + " ") > 0.8 * sample.count(delimiter) else 0.0
    return max(0.0, share - 0.5 * swallowed / lines - stray + first - prose - 0.001 * len(widths))


def _stray_quotes(records: Sequence[Sequence[str]]) -> float:
    """Share of records with a cell that begins with a quote: where it is high, quoting was meant."""
    return sum(any(cell[:1] == '"' for cell in row) for row in records) / len(records)


def _records(text: str, delimiter: str, quoting: Quoting) -> Iterable[list[str]]:
    limit = csv.field_size_limit(sys.maxsize)
    try:
        yield from csv.reader(
            io.StringIO(text, newline=""),
            delimiter=delimiter,
            quoting=quoting,
            skipinitialspace=delimiter != "\t",
        )
    finally:
        csv.field_size_limit(limit)


def with_class_names(table: Table, class_names: Mapping[str, Sequence[str]]) -> Table:
    """``class_names``: column -> names, as a data set's card declares them for files that hold class numbers."""
    frame = table.frame.copy()
    for column in frame.columns:
        if names := class_names.get(column):
            frame[column] = pd.Series([_named(cell, names) for cell in frame[column]], dtype=object)
    return replace(table, frame=frame)


# Parquet --------------------------------------------------------------------------------------------------


def _parquet(path: Path) -> Table:
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        words = re.split(r"[.\n]", str(error))[0][:120]
        raise _error(f"The Parquet file {path.name} is damaged ({words}): fetch or write it again.") from None
    if table.num_rows == 0 or table.num_columns == 0:
        raise _error(f"The Parquet file {path.name} has no rows: add rows.")
    names = _class_names(table.schema)
    columns = []
    for column, key in zip(table.columns, table.column_names, strict=True):
        cells = [as_cell(value) for value in column.to_pylist()]
        columns.append([_named(cell, names[key]) for cell in cells] if key in names else cells)
    return Table(_frame(clean_names(table.column_names), columns), "parquet")


def _class_names(schema: Any) -> dict[str, list[str]]:
    """Column -> class names, from the schema's ``huggingface`` metadata (datasets' ClassLabel features)."""
    features = _loads((schema.metadata or {}).get(b"huggingface", b"null").decode("utf-8", errors="replace"))
    try:
        features = features["info"]["features"]
        return {
            key: [str(name) for name in names]
            for key, feature in features.items()
            if isinstance(names := (feature.get("feature") or feature).get("names"), list)
        }
    except (KeyError, TypeError, AttributeError):
        return {}


def _named(cell: Cell, names: Sequence[str]) -> Cell:
    if isinstance(cell, list):
        return [name for name in (_named(item, names) for item in cell) if isinstance(name, str)]
    if cell is None or not re.fullmatch(r"-?\d{1,9}", cell):
        return cell
    # datasets marks the unknown labels of a hidden test split with -1
    return names[int(cell)] if 0 <= int(cell) < len(names) else None


def _frame(names: Sequence[str], columns: Sequence[Sequence[Cell]]) -> pd.DataFrame:
    return pd.DataFrame(
        {name: pd.Series(list(cells), dtype=object) for name, cells in zip(names, columns, strict=True)}
    )


def _error(detail: str) -> JobError:
    return JobError(FailureKind.DATA_ERROR, detail)
