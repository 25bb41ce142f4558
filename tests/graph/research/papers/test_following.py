"""What a plan takes over from a paper, and which numbers of others may stand beside ours."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from graph.literature import Paper, PaperFact, PaperResult, Reported
from graph.research.papers.following import followed, undecided
from graph.research.papers.matching import beside_ours, from_paper, same_name
from graph.research.papers.reading import MAX_FACTS, paper_of
from graph.state import Candidate, DataFiles

KNOWN = ("learning_rate", "epochs", "batch_size")
DATA = DataFiles(Candidate("PolyAI/banking77", "hub", "BANKING77", None), {"train": "a", "test": "b"}, {})
EMOJI = replace(DATA, candidate=replace(DATA.candidate, reasons=("its configuration emoji, one of 11",)))
ROW = replace(
    Reported("accuracy", 0.9, "ada/model", "model card", "https://hub.example/ada/model", "test"),
    task="text-classification",
)


def paper(*facts: PaperFact) -> Paper:
    return Paper("1", "arxiv", "A title", facts=facts, named=True)


def fact(field: str, value: Any, page: int = 3, where: str = "") -> PaperFact:
    return PaperFact(field, value, page, f"{field} of {value}", where)


def test_one_value_is_followed_with_its_place() -> None:
    found = followed(paper(fact("epochs", 4), fact("epochs", 4, 9, "Table 2")), KNOWN)
    assert (found["epochs"].value, "Table 2, page 9 of “A title”" in found["epochs"].reason) == (4, True)


@pytest.mark.parametrize(
    "facts",
    [
        (fact("epochs", 4), fact("epochs", 5)),
        (fact("epochs", (4, 5)),),
        (fact("epochs", [4, 5]),),
        (fact("epochs", 500),),
        (fact("learning_rate", 0.9),),
        (fact("dropout", 0.1),),
        (fact("architecture", "BERT"),),
        (fact("epochs", "many"),),
    ],
)
def test_what_is_not_one_usable_value_is_not_followed(facts: tuple[PaperFact, ...]) -> None:
    assert followed(paper(*facts), KNOWN) == {}


def test_several_values_are_told() -> None:
    told = undecided(
        paper(
            fact("epochs", 4), fact("epochs", 5, 7), fact("batch_size", [16, 32]), fact("learning_rate", 1e-5)
        )
    )
    assert told == ("epochs (4, 5)", "batch_size (16, 32)")


@pytest.mark.parametrize(
    "body", [{}, {"facts": 3, "results": "x", "pages": "9", "title": 4}, {"facts": [1, None, {}]}]
)
def test_a_broken_file_gives_an_empty_paper(body: dict[str, Any]) -> None:
    read = paper_of(body, id="1", source="file")
    assert (read.facts, read.results, read.pages) == ((), (), 0)


def test_what_is_too_much_is_cut() -> None:
    facts = [{"field": "epochs", "value": i, "page": 1, "quote": "q" * 9000} for i in range(500)]
    read = paper_of({"facts": facts, "title": "t" * 9000}, id="1", source="file")
    assert len(read.facts) == MAX_FACTS
    assert len(read.facts[0].quote) < 500
    assert len(read.title) <= 200


@pytest.mark.parametrize(
    ("name", "same"),
    [("BANKING77", True), ("Banking-77", True), ("CLINC150", False), ("77", False), ("", False)],
)
def test_names_of_one_data_set(name: str, same: bool) -> None:
    assert same_name(name, DATA.candidate) is same


def test_a_papers_scores_for_this_data_name_their_place() -> None:
    results = (
        PaperResult("accuracy", 0.934, "93.4", "Ours", "BANKING77", "test", 5, "Ours 93.4", "Table 2"),
        PaperResult("accuracy", 0.97, "97.0", "Ours", "CLINC150", "test", 5, "Ours 97.0", "Table 2"),
        PaperResult("accuracy", 0.8, "80", "", None, None, 6, "80 accuracy"),
    )
    rows = from_paper(replace(paper(), results=results), DATA.candidate)
    assert [(r.value, r.where, r.source) for r in rows] == [(0.934, "Table 2, page 5", "paper")]


@pytest.mark.parametrize(
    ("row", "data", "apart"),
    [
        (ROW, DATA, ""),
        (replace(ROW, metric="mcc"), DATA, "another metric"),
        (replace(ROW, split=None), DATA, "its split is not stated"),
        (replace(ROW, split="validation"), DATA, "on the split validation"),
        (ROW, replace(DATA, splits={"train": "a"}), "we split off test rows of our own"),
        (ROW, replace(DATA, left_out={"test": "1 of 2 files"}), "we read a part of the test split only"),
        (ROW, replace(DATA, left_out={"train": "1 of 2 files"}), ""),
        (replace(ROW, task="token-classification"), DATA, "another task (token-classification)"),
        (replace(ROW, task=None), DATA, "its task is not stated"),
        (replace(ROW, task=None, source="paper"), DATA, ""),
        (replace(ROW, config="default"), DATA, ""),
        (replace(ROW, config="emoji"), DATA, "for its configuration emoji"),
        (replace(ROW, config="emoji"), EMOJI, ""),
        (replace(ROW, config="irony"), EMOJI, "for its configuration irony"),
        (ROW, EMOJI, "its configuration is not stated"),
    ],
)
def test_what_stands_beside_ours_and_what_apart(row: Reported, data: DataFiles, apart: str) -> None:
    assert beside_ours([row], "accuracy", data)[0]["apart"] == apart


def test_an_f1_without_its_averaging_is_no_macro_f1() -> None:
    assert (
        beside_ours([replace(ROW, metric="f1")], "macro_f1", DATA)[0]["apart"]
        == "an F1 of unstated averaging"
    )


def test_comparable_ones_first_and_the_best_of_them() -> None:
    rows = [replace(ROW, value=v, split=s) for v, s in ((0.99, None), (0.8, "test"), (0.9, "test"))]
    assert [r["value"] for r in beside_ours(rows, "accuracy", DATA)] == [0.9, 0.8, 0.99]
    errors = [replace(ROW, metric="rmse", value=v) for v in (0.9, 0.4)]
    assert [r["value"] for r in beside_ours(errors, "rmse", DATA)] == [0.4, 0.9]
