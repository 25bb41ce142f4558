"""Files as people have them: every one is read, or refused in one sentence that says what to do."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from remote.jobs.columns import as_numbers, family_of, lists_of
from remote.jobs.tables import Table, read_parts, read_table
from remote.protocol import FailureKind, JobError

ROWS = [("The card never arrived", "card"), ("How do I top up?", "money"), ("My card, it broke", "card")] * 4


def write(path: Path, delimiter: str = ",", encoding: str = "utf-8", header: bool = True) -> Path:
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter)
    writer.writerows([("text", "label")] if header else [])
    writer.writerows(ROWS)
    path.write_bytes(out.getvalue().encode(encoding))
    return path


def refusal(path: Path) -> str:
    with pytest.raises(JobError) as caught:
        read_table(path)
    assert caught.value.kind is FailureKind.DATA_ERROR
    assert "\n" not in caught.value.detail
    return caught.value.detail


def attempt(path: Path) -> Table | JobError:
    try:
        return read_table(path)
    except JobError as error:
        return error


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_delimiter_is_found_out(tmp_path: Path, delimiter: str) -> None:
    table = read_table(write(tmp_path / "x.csv", delimiter))
    assert table.delimiter == delimiter
    assert list(zip(table.frame["text"], table.frame["label"], strict=True)) == ROWS


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"]
)
def test_encoding_is_found_out(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(
        "text;label\nGrüße aus Köln, sehr schön;gut\nÄrgerlich und häßlich;schlecht\n".encode(encoding)
    )
    table = read_table(path)
    assert list(table.frame["text"]) == ["Grüße aus Köln, sehr schön", "Ärgerlich und häßlich"]
    assert list(table.frame.columns) == ["text", "label"]


def test_other_alphabets_in_eight_bits(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    line = "Мне очень понравился этот фильм и его актёры,хорошо\n"
    path.write_bytes(("текст,оценка\n" + line * 30).encode("cp1251"))
    assert read_table(path).frame.iloc[0, 0] == "Мне очень понравился этот фильм и его актёры"


def test_truncated_utf8_is_still_utf8(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(("text,label\n" + "schöner Text,gut\n" * 200 + "noch schö").encode()[:-1])
    table = read_table(path)
    assert table.encoding == "utf-8"
    assert table.frame["text"][0] == "schöner Text"
    assert table.notes["unreadable bytes"] == 1


def test_quoted_newlines_delimiters_and_quotes(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text('text,label\n"one\ntwo, ""three""",a\n"four\r\nfive",b\n', encoding="utf-8", newline="")
    assert list(read_table(path).frame["text"]) == ['one\ntwo, "three"', "four\r\nfive"]


def test_a_stray_quote_swallows_no_rows(tmp_path: Path) -> None:
    path = tmp_path / "x.tsv"
    lines = ["text\tlabel", '"unbalanced and open\ta', *[f"line {i} is fine\tb" for i in range(50)]]
    path.write_text("\n".join(lines), encoding="utf-8")
    assert len(read_table(path).frame) == 51


def test_no_header(tmp_path: Path) -> None:
    table = read_table(write(tmp_path / "x.csv", header=False))
    assert list(table.frame.columns) == ["column_1", "column_2"]
    assert len(table.frame) == len(ROWS)


def test_duplicated_empty_and_dirty_column_names(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("text,text,,la\x00\x07bel\n" + "some words,more words,3,a\n" * 3, encoding="utf-8")
    assert list(read_table(path).frame.columns) == ["text", "text (2)", "column_3", "la bel"]


def test_ragged_rows_are_counted_not_fatal(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("text,label\n" + "good text,a\n" * 20 + "too,many,fields\nlonely\n", encoding="utf-8")
    table = read_table(path)
    assert table.notes == {"rows with too many fields left out": 1, "rows with too few fields": 1}
    assert table.frame["label"].iloc[-1] is None


def test_cells_stay_as_they_stand(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    cells = ["None", "NA", "01", "1e5", "true", "", "NaN", "null"]
    path.write_text("text,label\n" + "".join(f"words here,{cell}\n" for cell in cells), encoding="utf-8")
    assert list(read_table(path).frame["label"]) == ["None", "NA", "01", "1e5", "true", None, None, None]


def test_rows_of_100_000_characters_and_nul_bytes(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("text,label\n" + f'"{"long, " * 40_000}",a\n' + "sh\0ort,b\n" * 9, encoding="utf-8")
    table = read_table(path)
    assert len(table.frame["text"][0]) == 240_000
    assert table.frame["text"][1] == "short"
    assert table.notes["NUL characters removed"] == 9


@pytest.mark.parametrize(
    "body",
    [
        "\n".join(json.dumps({"text": t, "label": label}) for t, label in ROWS),
        json.dumps([{"text": t, "label": label} for t, label in ROWS]),
        json.dumps({"version": "1", "data": [{"text": t, "label": label} for t, label in ROWS]}),
        json.dumps({"text": [t for t, _ in ROWS], "label": [label for _, label in ROWS]}),
    ],
    ids=["lines", "array", "wrapped", "columns"],
)
@pytest.mark.parametrize("name", ["x.json", "x.jsonl", "x.txt"])
def test_json(tmp_path: Path, body: str, name: str) -> None:
    (tmp_path / name).write_text(body, encoding="utf-8")
    frame = read_table(tmp_path / name).frame
    assert list(zip(frame["text"], frame["label"], strict=True)) == ROWS


def test_json_values_become_cells(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    values = [1, 1.0, 0.5, True, None, ["a", "b"], "1"]
    path.write_text("\n".join(json.dumps({"text": "t", "label": v}) for v in values), encoding="utf-8")
    assert list(read_table(path).frame["label"]) == ["1", "1", "0.5", "true", None, ["a", "b"], "1"]


def test_a_cut_last_json_line_is_left_out_and_a_broken_file_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    good = json.dumps({"text": "t", "label": "a"})
    path.write_text(f"{good}\n{good}\n" + '{"text": "cu', encoding="utf-8")
    assert len(read_table(path).frame) == 2
    path.write_text(f"{good}\nnot json\n{good}\n", encoding="utf-8")
    assert "Line 2" in refusal(path)


def test_a_csv_that_starts_like_json(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("text,label\n".replace("text", "[text]") + "hello there,a\n" * 5, encoding="utf-8")
    assert list(read_table(path).frame.columns) == ["[text]", "label"]


def test_parquet_with_class_names_in_its_schema(tmp_path: Path) -> None:
    features = {"text": {"_type": "Value"}, "label": {"_type": "ClassLabel", "names": ["neg", "pos"]}}
    table = pa.table({"text": ["a", "b", "c"], "label": [0, 1, -1]})
    table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pq.write_table(table, tmp_path / "renamed.csv")
    read = read_table(tmp_path / "renamed.csv")
    assert read.format == "parquet"
    assert list(read.frame["label"]) == ["neg", "pos", None]


def test_parquet_floats_with_gaps_are_integer_classes(tmp_path: Path) -> None:
    pd.DataFrame({"text": ["a", "b", "c"], "label": [0.0, 1.0, float("nan")]}).to_parquet(
        tmp_path / "x.parquet"
    )
    assert list(read_table(tmp_path / "x.parquet").frame["label"]) == ["0", "1", None]


def test_the_parts_of_a_table_stand_below_one_another(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text("text,label\nfirst row,a\nsecond row,b\n")
    pd.DataFrame({"label": ["b", None], "text": ["third row", "fourth row"]}).to_parquet(
        tmp_path / "2.parquet"
    )
    (tmp_path / "3.jsonl").write_text('{"text": "fifth row", "label": "a", "more": 1}\n' * 2)
    read = read_parts([tmp_path / "1.csv", tmp_path / "2.parquet", tmp_path / "3.jsonl"])
    assert (
        list(read.frame["text"]) == ["first row", "second row", "third row", "fourth row"] + ["fifth row"] * 2
    )
    assert list(read.frame["label"]) == ["a", "b", "b", None, "a", "a"]
    assert list(read.frame["more"]) == [None] * 4 + ["1"] * 2
    assert (read.format, read.notes) == ("csv", {"files with other columns than the first": 1})


def test_one_file_is_a_table_of_one_part(tmp_path: Path) -> None:
    path = write(tmp_path / "x.csv")
    assert read_parts(str(path)).frame.equals(read_table(path).frame)
    assert read_parts([path]).frame.equals(read_table(path).frame)


def test_a_broken_part_is_named(tmp_path: Path) -> None:
    write(tmp_path / "1.csv")
    (tmp_path / "2.parquet").write_bytes(b"PAR1 and nothing more")
    with pytest.raises(JobError, match=r"2\.parquet is damaged"):
        read_parts([tmp_path / "1.csv", tmp_path / "2.parquet"])


def test_gzip_is_unpacked(tmp_path: Path) -> None:
    plain = write(tmp_path / "x.csv").read_bytes()
    (tmp_path / "x.csv.gz").write_bytes(gzip.compress(plain))
    assert len(read_table(tmp_path / "x.csv.gz").frame) == len(ROWS)
    (tmp_path / "x.csv.gz").write_bytes(gzip.compress(plain)[:-12])
    assert "damaged" in refusal(tmp_path / "x.csv.gz")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"\n \r\n\n", "empty"),
        (codecs.BOM_UTF8, "empty"),
        (b"text,label\n", "no rows"),
        (b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4, "PNG picture"),
        (b"PK\x03\x04" + bytes(100), "ZIP archive"),
        (b"PAR1" + bytes(40), "damaged"),
        (bytes(i * 7919 % 251 for i in range(5000)), "binary file"),
    ],
    ids=["empty", "blank", "mark", "header", "picture", "archive", "parquet", "noise"],
)
def test_what_is_no_table_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(content)
    detail = refusal(path)
    assert words in detail
    assert ":" in detail  # what to do stands after the colon


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    assert "does not exist" in refusal(tmp_path / "nowhere.csv")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.binary(max_size=400) | st.text(alphabet=st.sampled_from(',;\t|"\n\r\0 [{ab1é'), max_size=300)
)
def test_any_bytes_are_read_or_refused(tmp_path: Path, content: bytes | str) -> None:
    path = tmp_path / "any.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    table = attempt(path)
    if isinstance(table, JobError):
        assert table.kind is FailureKind.DATA_ERROR
    else:
        assert len(table.frame) > 0
        assert len(set(table.frame.columns)) == table.frame.shape[1]


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(
        st.tuples(
            st.text(st.characters(codec="utf-8", exclude_characters="\0\r\ufeff"), max_size=40),
            st.sampled_from("ab"),
        ),
        min_size=5,
        max_size=20,
    )
)
def test_what_csv_writes_is_read_back(tmp_path: Path, rows: list[tuple[str, str]]) -> None:
    """Text cells survive the round trip, but for control characters that make the file look binary."""
    path = tmp_path / "trip.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL)
        writer.writerows([("text", "label"), *rows])
    table = attempt(path)
    if isinstance(table, JobError):
        assert "binary" in table.detail
        return
    frame = table.frame
    assert list(frame["label"]) == [label for _, label in rows]
    for (text, _), cell in zip(rows, frame["text"], strict=True):
        assert cell == text or (
            cell is None and text.strip().casefold() in ("", "nan", "null", "nat", "<na>", "\\n")
        )


def test_numbers_with_decimal_commas_and_thousands() -> None:
    assert as_numbers(["3,5", "1.234,5", "-2"]) == [3.5, 1234.5, -2.0]
    assert as_numbers(["3.5", "1,234.5", ".5", "1e3"]) == [3.5, 1234.5, 0.5, 1000.0]
    assert as_numbers(["1", "e5", "+", "."]) is None


@pytest.mark.parametrize(
    ("name", "cells", "family"),
    [
        ("label", ["a", "b"] * 20, "binary"),
        ("label", ["0", "1"] * 20, "binary"),
        ("stars", ["1", "2", "3", "4", "5"] * 8, "multiclass"),
        ("label", [str(i % 77) for i in range(300)], "multiclass"),
        ("price", [str(i) for i in range(300)], "regression"),
        ("price", ["1,5", "2,75", "3,0", "10,25"] * 5, "regression"),
        ("tags", ["red|blue", "blue", "red", "red|green", "green|blue", "green"] * 5, "multilabel"),
        ("tags", ["red, blue", "blue", "red", "red, green", "blue, green", "green"] * 5, "multilabel"),
        ("tags", ['["red", "blue"]', "['blue']", "[]"] * 5, "multilabel"),
        ("kind", ["Tops, women", "Shoes, men", "Hats"] * 8, "multiclass"),
    ],
)
def test_task_family(name: str, cells: list[str], family: str) -> None:
    assert family_of(name, cells)[0] == family


def test_lists_of_names() -> None:
    cells = ["red|blue", "blue|blue", None, "red", "red|green", "green|blue"] * 3
    assert lists_of(cells)[:4] == [["red", "blue"], ["blue"], None, ["red"]]
    assert lists_of([["x", "x", " y "], "[]"]) == [["x", "y"], []]


def test_parts_of_a_file_that_was_cut_have_its_header(tmp_path: Path) -> None:
    lines = write(tmp_path / "x.csv").read_text("utf-8").splitlines(keepends=True)
    (tmp_path / "1.csv").write_text("".join(lines[:7]), "utf-8")
    (tmp_path / "2.csv").write_text("".join(lines[7:]), "utf-8")
    read = read_parts([tmp_path / "1.csv", tmp_path / "2.csv"])
    assert read.frame.equals(read_table(tmp_path / "x.csv").frame)
    assert read.notes == {}
