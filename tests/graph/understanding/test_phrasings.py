"""Every row of phrasings.toml, compared as a whole."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from tests.graph.understanding import table
from tests.graph.understanding.table import ROWS, actual, expected, read, sentence


def _ids(row: dict[str, Any]) -> str:
    return re.sub(r"\W+", "-", str(row["say"]))[:60] or "empty"


def _rows(kind: str | None) -> list[dict[str, Any]]:
    """Rows with a question, with a refusal, or (``None``) with a task."""
    return [r for r in ROWS if (kind in r if kind else not {"ask", "refuse"} & r.keys())]


def test_the_table_is_as_large_as_promised() -> None:
    assert len({sentence(row) for row in ROWS}) >= 90
    assert all(sum(kind in row for row in ROWS) >= 10 for kind in ("ask", "refuse"))


@pytest.mark.parametrize("row", _rows(None), ids=_ids)
def test_a_task_is_read(row: dict[str, Any]) -> None:
    understood = read(row)
    task = understood.task
    assert task is not None, understood
    assert actual(task) == expected(row)
    if "goal" in row:
        assert task.goal == row["goal"]
    if "keyword" in row:
        assert row["keyword"] in task.keywords
    if "left_out" in row:
        assert row["left_out"] in [r.value for r in task.assumed if r.field == "left out"]
    else:
        assert not [r for r in task.assumed if r.field == "left out"]
    if "told" in row:
        assert row["told"] in [r.field for r in task.understood]
    if "assumed_or_told" in row:
        assert row["assumed_or_told"] in " ".join(r.why for r in task.understood + task.assumed)


@pytest.mark.parametrize("row", _rows("ask"), ids=_ids)
def test_a_question_is_asked(row: dict[str, Any]) -> None:
    question = read(row).question
    assert question is not None, read(row)
    assert question.id == row["ask"]
    assert question.text.endswith(("?", ".")), "one clear sentence"
    offered = [choice.value for choice in question.choices]
    assert offered[-1] == "cancel"
    assert len(set(offered)) == len(offered)
    if "choices" in row:
        assert offered[:-1] == row["choices"]


@pytest.mark.parametrize("row", _rows("refuse"), ids=_ids)
def test_a_refusal_is_friendly_and_says_why(row: dict[str, Any]) -> None:
    refusal = read(row).refusal
    assert refusal is not None, read(row)
    assert row["refuse"] in refusal
    assert "Traceback" not in refusal
    assert "closest" in refusal or "Try for example" in refusal


@pytest.mark.parametrize("row", _rows(None), ids=_ids)
def test_every_quote_stands_in_the_request(row: dict[str, Any]) -> None:
    task = read(row).task
    if task is None:
        pytest.fail("no task")
    said = re.sub(
        r"\W+", " ", re.sub(r"[\u0000\u0007\u200b]", "", unicodedata.normalize("NFKC", sentence(row)))
    )
    for reading in task.understood:
        assert reading.quote, reading
        assert re.sub(r"\W+", " ", reading.quote.rstrip("…")).strip() in said, reading
    for reading in task.assumed:
        assert reading.why, reading
        assert not reading.quote, reading


def test_the_page_shows_what_the_code_reads() -> None:
    page = (Path(__file__).parents[3] / "docs" / "asking.md").read_text("utf-8")
    match = re.search(r"<!-- examples: .*? -->\n(.*?)\n<!-- /examples -->", page, re.DOTALL)
    assert match, "the markers are gone"
    assert match[1] == table.markdown(), "python -m tests.graph.understanding.table prints the new table"
