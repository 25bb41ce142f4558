from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from remote.jobs import plots


@pytest.mark.parametrize("classes", [2, 3, 8, 12, 13, 77, 1000])
def test_a_confusion_matrix_fits_a_phone(tmp_path: Path, classes: int) -> None:
    matrix = np.eye(classes, dtype=np.int64) * 9
    matrix[0, -1] = 4
    path = plots.confusion_matrix(tmp_path / "c.png", matrix, [f"class number {i}" for i in range(classes)])
    height, width = imread(path).shape[:2]
    assert width == 960
    assert height <= 2.2 * width
    assert not list(tmp_path.glob("*.part"))


def test_the_pairs_most_often_confused_come_first() -> None:
    matrix = np.array([[8, 2, 0], [0, 5, 5], [1, 0, 9]])
    pairs = plots.most_confused(matrix, ["a", "b", "c"])
    assert [(p.truth, p.prediction, p.count) for p in pairs] == [("b", "c", 5), ("a", "b", 2), ("c", "a", 1)]
    assert pairs[0].share == 0.5


def test_a_perfect_matrix_of_many_classes_is_drawn(tmp_path: Path) -> None:
    assert plots.most_confused(np.eye(20, dtype=np.int64), [str(i) for i in range(20)]) == []
    assert plots.confusion_matrix(tmp_path / "c.png", np.eye(20, dtype=np.int64), ["x"] * 20).stat().st_size


@pytest.mark.parametrize("label", ["$x$ $\\frac{", "日本語", "🙂", "line\nbreak", "", "_" * 300])
def test_any_label_can_be_drawn(tmp_path: Path, label: str) -> None:
    for count in (2, 15):
        matrix = np.ones((count, count), dtype=np.int64)
        plots.confusion_matrix(tmp_path / f"{count}.png", matrix, [f"{label}{i}" for i in range(count)])
    plots.class_scores(tmp_path / "s.png", {label: {"f1": 0.5}})


def test_names_that_differ_at_their_ends_stay_different() -> None:
    start = "balance_not_updated_after_"
    assert plots._name(start + "bank_transfer", 20) != plots._name(start + "cheque_deposit", 20)


def test_curves_and_reliability_are_drawn(tmp_path: Path) -> None:
    history = [{"epoch": float(e), "val_loss": 1.0 / (e + 1), "macro_f1": 0.5} for e in range(3)]
    plots.learning_curve(tmp_path / "curve.png", history, "macro_f1")
    plots.learning_curve(tmp_path / "short.png", history[:1], "macro_f1")
    plots.reliability(tmp_path / "r.png", np.array([1, 0, 1]), np.array([1.0, 0.0, 0.5]), 0.2)
    plots.predicted_vs_true(tmp_path / "p.png", np.arange(5.0), np.arange(5.0))
    assert {imread(path).shape[1] for path in tmp_path.glob("*.png")} == {960}
