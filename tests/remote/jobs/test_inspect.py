"""Proposals for text, target and family, over the kinds of files that people have."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from remote.jobs import inspect
from remote.protocol import MAX_LINE_BYTES, Emitter, FailureKind, JobError

SENTENCES = [
    f"This is customer message number {i}, about the {w} that I bought"
    for i, w in enumerate("abcdefghij" * 4)
]
CLASSES = [("refund", "delivery", "praise")[i % 3] for i in range(40)]


def write(path: Path, columns: Mapping[str, Any], delimiter: str = ",", encoding: str = "utf-8") -> str:
    with path.open("w", encoding=encoding, newline="") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerow(list(columns))
        writer.writerows(zip(*columns.values(), strict=True))
    return str(path)


def look(path: str, **config: Any) -> Mapping[str, Any]:
    return inspect.run({"files": {"train": path}, **config}, Emitter("inspect"))


def refused(path: str, **config: Any) -> str:
    with pytest.raises(JobError) as caught:
        look(path, **config)
    assert caught.value.kind is FailureKind.DATA_ERROR
    assert "\n" not in caught.value.detail
    return caught.value.detail


def test_text_and_label(tmp_path: Path) -> None:
    seen = look(write(tmp_path / "x.csv", {"text": SENTENCES, "category": CLASSES}))
    assert (seen["text_column"], seen["target"], seen["family"], seen["classes"]) == (
        "text",
        "category",
        "multiclass",
        3,
    )
    assert seen["certain"] is True
    assert seen["rows"] == 40
    assert seen["preview"][0] == {"text": SENTENCES[0], "label": "refund"}
    assert [column["kind"] for column in seen["columns"]] == ["text", "category"]


def test_german_export_with_semicolons_and_decimal_commas(tmp_path: Path) -> None:
    texts = [f"Die Lieferung Nr. {i} kam verspätet; das Gehäuse ist außerdem beschädigt." for i in range(40)]
    columns = {
        "Nr": range(1, 41),
        "Kommentar": texts,
        "Bewertung": [("gut", "schlecht")[i % 2] for i in range(40)],
        "Preis": [f"{i},{i:02d}" for i in range(40)],
    }
    seen = look(write(tmp_path / "export.csv", columns, ";", "latin-1"))
    assert (seen["encoding"], seen["delimiter"]) == ("cp1252", ";")
    assert (seen["text_column"], seen["target"], seen["family"]) == ("Kommentar", "Bewertung", "binary")
    assert {c["name"]: c["kind"] for c in seen["columns"]} == {
        "Nr": "id",
        "Kommentar": "text",
        "Bewertung": "category",
        "Preis": "number",
    }
    by_price = look(str(tmp_path / "export.csv"), target="Preis")
    assert by_price["family"] == "regression"
    assert by_price["certain"] is True


def test_without_a_header_and_the_label_first(tmp_path: Path) -> None:
    path = tmp_path / "x.tsv"
    path.write_text("".join(f"{c}\t{s}\n" for c, s in zip(CLASSES, SENTENCES, strict=True)), encoding="utf-8")
    seen = look(str(path))
    assert (seen["text_column"], seen["target"], seen["rows"]) == ("column_2", "column_1", 40)


def test_two_equally_good_targets_are_a_question(tmp_path: Path) -> None:
    columns = {"text": SENTENCES, "urgency": ["high", "low"] * 20, "mood": ["sad", "glad", "sad", "sad"] * 10}
    seen = look(write(tmp_path / "x.csv", columns))
    assert (seen["certain"], seen["unsure"]) == (False, ["target"])
    assert set(seen["alternatives"]["target"]) == {"urgency", "mood"}
    named = look(str(tmp_path / "x.csv"), target="URGENCY")
    assert (named["target"], named["certain"]) == ("urgency", True)


def test_stars_are_classes_with_regression_beside(tmp_path: Path) -> None:
    seen = look(write(tmp_path / "x.csv", {"review": SENTENCES, "stars": [1 + i % 5 for i in range(40)]}))
    assert seen["family"] == "multiclass"
    assert seen["families"] == ["multiclass", "regression"]


def test_ids_and_constants_are_no_targets(tmp_path: Path) -> None:
    columns = {
        "uuid": range(40),
        "text": SENTENCES,
        "source": ["web"] * 40,
        "topic": CLASSES,
        "author_id": [1, 2] * 20,
    }
    seen = look(write(tmp_path / "x.csv", columns))
    assert seen["alternatives"]["target"] == ["topic"]


def test_a_label_column_named_like_an_id(tmp_path: Path) -> None:
    seen = look(write(tmp_path / "x.csv", {"text": SENTENCES, "label_id": [i % 3 for i in range(40)]}))
    assert (seen["target"], seen["classes"]) == ("label_id", 3)


def test_several_indicator_columns_are_one_target(tmp_path: Path) -> None:
    columns = {"comment": SENTENCES, "rude": [0, 1] * 20, "threat": [0, 0, 0, 1] * 10, "mild": [1, 0] * 20}
    seen = look(write(tmp_path / "x.csv", columns))
    assert (seen["target"], seen["family"], seen["classes"]) == ("rude + threat + mild", "multilabel", 3)
    assert seen["preview"][3]["label"] == "rude, threat"


def test_lists_of_labels(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    rows = [{"text": s, "tags": [c, "all"]} for s, c in zip(SENTENCES, CLASSES, strict=True)]
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    seen = look(str(path))
    assert (seen["target"], seen["family"], seen["classes"]) == ("tags", "multilabel", 4)


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"text": SENTENCES}, "one column"),
        ({"a": range(40), "b": CLASSES}, "No column holds text"),
        ({"text": SENTENCES, "id": range(40)}, "No column could be the label"),
        ({"text": SENTENCES, "label": ["spam"] * 40}, "same value in every row"),
        ({"text": SENTENCES, "label": ["nan"] * 40}, "is empty"),
    ],
)
def test_what_cannot_be_learned_is_refused(tmp_path: Path, columns: dict[str, Any], words: str) -> None:
    assert words in refused(write(tmp_path / "x.csv", columns))


def test_unknown_columns_are_refused_with_what_there_is(tmp_path: Path) -> None:
    path = write(tmp_path / "x.csv", {"text": SENTENCES, "label": CLASSES})
    assert refused(path, target="sentiment").endswith("the file has text, label.")
    assert "both" in refused(path, text_column="text", target="text")


def test_one_thousand_wide_columns_fit_a_line(tmp_path: Path) -> None:
    columns: dict[str, list[str]] = {
        f"{'列' * 70} {i}": ["很" * 90 + f"{i} {j}" for j in range(12)] for i in range(200)
    }
    columns |= {"text": SENTENCES[:12], "label": CLASSES[:12]}
    seen = look(write(tmp_path / "x.csv", columns))
    assert len(json.dumps(seen, ensure_ascii=False).encode()) < MAX_LINE_BYTES - 1000


CELLS = st.one_of(
    st.text(max_size=30), st.sampled_from(["", "nan", "1", "0", "1,5", "a|b", "['a']", "=1+1", "<b>"])
)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), width=st.integers(1, 5), rows=st.integers(1, 25))
def test_hostile_tables_end_in_a_proposal_or_a_sentence(
    tmp_path: Path, data: st.DataObject, width: int, rows: int
) -> None:
    table = data.draw(st.lists(st.lists(CELLS, min_size=width, max_size=width), min_size=rows, max_size=rows))
    path = tmp_path / "hostile.jsonl"
    path.write_text(
        "\n".join(json.dumps({f"c{i}": c for i, c in enumerate(row)}) for row in table), encoding="utf-8"
    )
    try:
        seen = look(str(path))
    except JobError as error:
        assert error.kind is FailureKind.DATA_ERROR  # noqa: PT017 - either outcome is right
    else:
        assert seen["text_column"] != seen["target"]
        json.dumps(seen, allow_nan=False)
