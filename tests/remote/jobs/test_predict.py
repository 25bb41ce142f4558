from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from remote.jobs.predict import ask, load
from tests.remote.jobs.conftest import Folder, Run

Make = Callable[[str], Run]


@pytest.fixture
def packaged(assessed: Make, tmp_path: Path) -> Callable[[str], Folder]:
    """A folder with nothing but the packaged model of a family, as ``intern try`` gives it."""

    def make(family: str) -> Folder:
        (tmp_path / family / "in").mkdir(parents=True)
        shutil.copytree(assessed(family).out / "model", tmp_path / family / "in/model")
        return Folder(tmp_path / family, {"model": "in/model"})

    return make


def test_answers_are_complete(packaged: Callable[[str], Folder]) -> None:
    texts = ["my card is lost", "", "x" * 100_000, "qwrtz plmkn", "\x00 🙂 \n"]
    answers = packaged("multiclass").results("predict", texts=texts)["predict"]["predictions"]
    assert len(answers) == len(texts)
    for answer in answers:
        assert set(answer) == {
            "text", "label", "confidence", "scores", "unlike_training", "vocabulary_coverage",
        }  # fmt: skip
        assert next(iter(answer["scores"])) == answer["label"]
        assert sum(answer["scores"].values()) == pytest.approx(1.0)
        assert answer["confidence"] == max(answer["scores"].values())
        assert len(answer["text"]) <= 200
    assert not answers[0]["unlike_training"]
    assert answers[3]["unlike_training"]
    assert answers[3]["vocabulary_coverage"] == 0.0


def test_other_families_answer_in_their_own_kind(packaged: Callable[[str], Folder]) -> None:
    many = packaged("multilabel").results("predict", texts=["lost card and a loan"])["predict"]
    assert isinstance(many["predictions"][0]["label"], list)
    number = packaged("regression").results("predict", texts=["lost card"])["predict"]["predictions"][0]
    assert isinstance(number["label"], float)
    assert number["confidence"] is None, "a number has no confidence, and JSON has no NaN"


def test_bad_requests_are_named(packaged: Callable[[str], Folder]) -> None:
    folder = packaged("binary")
    assert folder.failure("predict", texts=[])[0] == "data_error"
    assert folder.failure("predict", texts=["x"] * 51)[0] == "data_error"
    assert "incomplete" in folder.failure("predict", texts=["x"], model="in/nothing")[1]


def test_classes_are_numbered_as_asked(packaged: Callable[[str], Folder]) -> None:
    model = load(packaged("binary").path / "in/model")
    a = ask(model, ["my loan", "help me"], ["no", "yes"], "binary").predicted
    b = ask(model, ["my loan", "help me"], ["yes", "no"], "binary").predicted
    assert np.array_equal(a.classes, 1 - b.classes)
    assert np.array_equal(a.probabilities, b.probabilities[:, ::-1])
    assert ask(model, [], ["no", "yes"], "binary").predicted.probabilities.shape == (0, 2)
