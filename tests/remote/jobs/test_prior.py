"""What the report says of the work of others: marked as theirs, compared where it may be, and shown as literal text."""

from __future__ import annotations

from typing import Any

import pytest

from remote.jobs import prior
from remote.jobs.pages import Package

SCORE = {"value": 0.9, "low": 0.88, "high": 0.92}
ROW = {
    "metric": "accuracy", "value": 0.934, "model": "ada/model", "source": "model card",
    "url": "https://hub.example/ada/model", "split": "test", "where": "", "verified": False, "apart": "",
}  # fmt: skip
BOARD = {
    "metric": "accuracy",
    "rows": 500,
    "leaderboard": [{"name": "model", "score": SCORE}],
    "reported": [ROW],
}


def package(paper: dict[str, Any] | None, **metrics: Any) -> Package:
    facts = {
        "paper": paper or {},
        "candidate": {"title": "BANKING77", "id": "PolyAI/banking77"},
        "model": {"id": "sentence-transformers/all-MiniLM-L6-v2"},
        "audit": {"rows": {"train": 9000, "test": 500}},
        "official_test": True,
        "plan": {
            "hyperparameters": [{"name": "epochs", "value": 4}, {"name": "learning_rate", "value": 5e-4}]
        },
    }
    return Package(
        "multiclass", facts, {"config": {"batch_size": 32}}, {}, {"accuracy": SCORE, **metrics}, BOARD, {}
    )


def result(value: float, **more: Any) -> dict[str, Any]:
    base = {
        "metric": "accuracy",
        "value": value,
        "model": "Ours",
        "split": "test",
        "page": 5,
        "where": "Table 2",
    }
    return {**base, "same_data": True, **more}


def fact(field: str, value: Any) -> dict[str, Any]:
    return {"field": field, "value": value, "page": 3, "quote": "…", "where": ""}


PAPER = {
    "title": "Small encoders suffice",
    "url": "https://arxiv.org/abs/2003.04807",
    "named": True,
    "licence": "cc-by-4.0",
    "results": [result(0.91), result(0.95), result(0.5, same_data=False)],
    "facts": [
        fact("epochs", 4), fact("learning_rate", 2e-5), fact("data_set", "BANKING77"), fact("batch_size", [16, 32]),
    ],
    "linked": [{"url": "https://github.com/ada/code", "licence": None, "note": "not looked up"}],
}  # fmt: skip


def lines(paper: dict[str, Any] | None, **metrics: Any) -> str:
    return "\n".join(prior.reproduction(package(paper, **metrics)))


def row_of(text: str, start: str) -> list[str]:
    found = next(line for line in text.splitlines() if line.startswith(f"| {start}"))
    return [cell.strip() for cell in found.strip("|").split("|")]


def test_no_paper_no_part() -> None:
    assert prior.reproduction(package(None)) == []
    assert prior.reported({**BOARD, "reported": []}) == []
    assert prior.reported({k: v for k, v in BOARD.items() if k != "reported"}) == []


def test_the_papers_values_stand_beside_ours_and_its_other_data_does_not() -> None:
    rows = [line for line in lines(PAPER).splitlines() if "Table 2, page 5" in line]
    assert len(rows) == 2
    assert "0.910 (test)" in rows[0]
    assert "0.900 (0.880 to 0.920)" in rows[0]
    assert "within our interval" in rows[0]
    assert "better than ours" in rows[1]


@pytest.mark.parametrize(("value", "said"), [(0.3, "better than ours"), (0.9, "worse than ours")])
def test_of_errors_the_smaller_is_the_better(value: float, said: str) -> None:
    ours = {"value": 0.5, "low": 0.4, "high": 0.6}
    assert said in lines({**PAPER, "results": [result(value, metric="rmse")]}, rmse=ours)


def test_a_metric_that_was_not_measured_is_not_compared() -> None:
    text = lines({**PAPER, "results": [result(0.9, metric="f1")]})
    assert "nothing to compare" in text


def test_the_set_up_is_compared_row_by_row() -> None:
    text = lines(PAPER)
    assert row_of(text, "epochs") == ["epochs", "4", "4", "same", "page 3"]
    assert row_of(text, "learning rate")[1:4] == ["2e-05", "0.0005", "⚠️ differs"]
    assert row_of(text, "batch size")[1:4] == ["16 / 32", "32", "⚠️ differs"]
    assert row_of(text, "data")[3] == "same"
    assert "the data's own test split" in text


def test_a_paper_that_was_only_found_has_no_set_up_to_follow() -> None:
    text = lines({**PAPER, "named": False})
    assert "not followed" in text
    assert "Set-up" not in text


def test_licences_are_told_also_where_they_are_not_known() -> None:
    text = lines(PAPER)
    assert "The paper itself: cc-by-4.0" in text
    assert "licence not known (not looked up)" in text


def test_numbers_of_others_are_marked_and_never_rows_of_ours() -> None:
    text = "\n".join(prior.reported(BOARD))
    assert "Reported, not measured here" in text
    assert row_of(text, "ada/model")[1:4] == ["accuracy", "0.934", "test"]
    assert "Ours: accuracy 0.900 (0.880 to 0.920) on 500 test rows." in text


def test_what_cannot_be_compared_stands_apart_with_the_reason() -> None:
    apart = {**ROW, "split": "validation", "apart": "on the split validation"}
    text = "\n".join(prior.reported({**BOARD, "reported": [apart]}))
    assert "Not comparable with ours" in text
    assert row_of(text, "ada/model")[-1] == "on the split validation"
    assert "Ours:" not in text


def test_names_from_outside_are_literal_text() -> None:
    evil = "<img src=x> @everyone [click](http://evil.example) | x `y`"
    text = "\n".join(prior.reported({**BOARD, "reported": [{**ROW, "model": evil, "url": evil}]}))
    text += lines({**PAPER, "title": evil, "notes": [evil], "facts": [fact("architecture", evil)]})
    assert "<img" not in text
    assert "@everyone" not in text
    assert "[click](" not in text
    assert "http://" not in text
