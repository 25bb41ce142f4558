"""Excel workbooks as people have them."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
from openpyxl import Workbook

from remote.jobs import excel
from remote.jobs.tables import read_table
from remote.protocol import FailureKind, JobError

HEADER = ("text", "label")
ROWS = [("The card never arrived", "card"), ("How do I top up?", "money"), ("My card, it broke", "card")] * 4


def book(path: Path, *sheets: Sequence[Sequence[Any]]) -> Path:
    made = Workbook()
    made.remove(made.active)
    for rows in sheets:
        sheet = made.create_sheet()
        for row in rows:
            sheet.append(list(row))
    made.save(path)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(JobError) as caught:
        read_table(path)
    assert caught.value.kind is FailureKind.DATA_ERROR
    return caught.value.detail


@pytest.mark.parametrize("name", ["x.xlsx", "x.csv"])  # the content decides
def test_a_sheet_is_a_table(tmp_path: Path, name: str) -> None:
    table = read_table(book(tmp_path / "made.xlsx", [HEADER, *ROWS]).rename(tmp_path / name))
    assert (table.format, dict(table.notes)) == ("xlsx", {})
    assert list(zip(table.frame["text"], table.frame["label"], strict=True)) == ROWS


def test_a_sheet_without_a_header_keeps_its_first_row(tmp_path: Path) -> None:
    table = read_table(book(tmp_path / "x.xlsx", ROWS))
    assert len(table.frame) == len(ROWS)


def test_titles_gaps_and_further_sheets_are_left_out_and_counted(tmp_path: Path) -> None:
    first = [("Complaints of 2026",), (), (None, *HEADER, None), *((None, *row, None) for row in ROWS), ()]
    table = read_table(book(tmp_path / "x.xlsx", [], first, [HEADER, ("other", "x")]))
    assert list(table.frame.columns) == list(HEADER)
    assert len(table.frame) == len(ROWS)
    assert dict(table.notes) == {"rows above the table left out": 1, "further sheets not read": 1}


def test_a_hidden_sheet_is_no_table_where_another_is(tmp_path: Path) -> None:
    made = Workbook()
    for name, rows in (("lists", [("Team", "Lead"), ("a", "x")]), ("data", [HEADER, *ROWS])):
        sheet = made.create_sheet(name)
        for row in rows:
            sheet.append(row)
    made.remove(made.worksheets[0])
    made.active = 1
    made["lists"].sheet_state = "hidden"
    made.save(tmp_path / "x.xlsx")
    assert list(read_table(tmp_path / "x.xlsx").frame.columns) == list(HEADER)


def test_cells_are_kept_as_the_text_that_one_sees(tmp_path: Path) -> None:
    cells = (
        (5.0, "5"), (4.5, "4.5"), (7, "7"), (True, "TRUE"), ("007", "007"), ("None", "None"), ("#N/A", None),
        (date(2026, 11, 29), "2026-11-29"), (datetime.fromisoformat("2026-11-29T08:30"), "2026-11-29T08:30:00"),
        ("=1+1", None),  # a formula that Excel never worked out
    )  # fmt: skip
    rows = [HEADER, *((f"the text of row {i}", value) for i, (value, _) in enumerate(cells))]
    table = read_table(book(tmp_path / "x.xlsx", rows))
    assert list(table.frame["label"]) == [shown for _, shown in cells]


def test_an_empty_book_is_refused(tmp_path: Path) -> None:
    assert "holds no table" in refusal(book(tmp_path / "x.xlsx", [], [(None, " ")]))
    assert "no rows" in refusal(book(tmp_path / "y.xlsx", [HEADER]))


def test_a_damaged_book_is_refused(tmp_path: Path) -> None:
    path = book(tmp_path / "x.xlsx", [HEADER, *ROWS])
    with zipfile.ZipFile(path) as whole, zipfile.ZipFile(tmp_path / "y.xlsx", "w") as broken:
        for name in whole.namelist():
            content = whole.read(name)
            broken.writestr(name, content[: len(content) // 2] if "sheet1" in name else content)
    assert "is damaged" in refusal(tmp_path / "y.xlsx")


def test_a_book_with_a_garbled_byte_is_refused(tmp_path: Path) -> None:
    path = book(tmp_path / "x.xlsx", [HEADER, *ROWS])
    with zipfile.ZipFile(path) as archive:
        sheet = archive.getinfo("xl/worksheets/sheet1.xml")
    data = bytearray(path.read_bytes())
    data[sheet.header_offset + 30 + len(sheet.filename)] = 0x07  # a kind of block that there is none of
    path.write_bytes(data)
    assert "is damaged" in refusal(path)


def test_a_book_of_an_unknown_kind_of_archive_is_refused(tmp_path: Path) -> None:
    path = book(tmp_path / "x.xlsx", [HEADER, *ROWS])
    data = bytearray(path.read_bytes())
    first = data.index(b"PK\x01\x02")  # the list of files: what unpacks the first one
    data[first + 6 : first + 8] = (99).to_bytes(2, "little")
    path.write_bytes(data)
    assert "ZIP archive" in refusal(path)


def test_a_narrow_sheet_is_not_filled_up_to_the_widest_one() -> None:
    class Sheet:
        asked: dict[str, Any]

        def reset_dimensions(self) -> None: ...

        def iter_rows(self, **asked: Any) -> Iterator[tuple[str, ...]]:
            self.asked = asked
            yield from [HEADER, *ROWS]

    sheet = Sheet()
    assert [len(row) for row in excel._texts(sheet)] == [2] * (len(ROWS) + 1)
    assert "max_col" not in sheet.asked


def test_a_cut_book_is_refused(tmp_path: Path) -> None:
    path = book(tmp_path / "x.xlsx", [HEADER, *ROWS])
    path.write_bytes(path.read_bytes()[:-200])
    assert "ZIP archive" in refusal(path)


def test_an_archive_that_is_no_book_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.xlsx", "w") as archive:
        archive.writestr("notes.txt", "hello")
    assert "unpack it" in refusal(tmp_path / "x.xlsx")


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(excel, "MAX_BYTES", 1 << 20)
    path = tmp_path / "x.xlsx"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/workbook.xml", "<workbook/>")
        archive.writestr("xl/worksheets/sheet1.xml", bytes(4 << 20))
    assert path.stat().st_size < 100_000
    assert "more than 1 MB" in refusal(path)


def test_entities_that_grow_are_not_unfolded(tmp_path: Path) -> None:
    """The billion laughs: an XML file of some hundred bytes that stands for gigabytes."""
    laughs = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 10))
    start = f'<?xml version="1.0"?><!DOCTYPE worksheet [<!ENTITY l0 "ha">{laughs}]>'
    path = book(tmp_path / "x.xlsx", [HEADER, *ROWS])
    with zipfile.ZipFile(path) as whole, zipfile.ZipFile(tmp_path / "y.xlsx", "w") as hostile:
        for name in whole.namelist():
            content = whole.read(name)
            if "sheet1" in name:
                content = start.encode() + content.replace(b"My card, it broke", b"&l9;")
            hostile.writestr(name, content)
    assert "is damaged" in refusal(tmp_path / "y.xlsx")
