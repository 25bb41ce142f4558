from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn import metrics as sk

from remote.jobs import scores
from remote.protocol import FailureKind, JobError


@st.composite
def answers(draw: st.DrawFn) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    classes = draw(st.integers(2, 6))
    rows = draw(st.lists(st.tuples(*[st.integers(0, classes - 1)] * 2), min_size=1, max_size=60))
    truth, said = np.array(rows, dtype=np.int64).T
    return truth, said, classes


@settings(max_examples=30, deadline=None)
@given(answers(), st.integers(0, 3))
def test_values_are_those_of_scikit_learn_and_lie_in_their_interval(
    made: tuple[NDArray[np.int64], NDArray[np.int64], int], seed: int
) -> None:
    truth, said, classes = made
    got = scores.scored(truth, said, "multiclass", classes, seed, resamples=200)
    labels = list(range(classes))
    assert got["accuracy"]["value"] == sk.accuracy_score(truth, said)
    assert got["macro_f1"]["value"] == sk.f1_score(
        truth, said, labels=labels, average="macro", zero_division=0
    )
    assert got["weighted_f1"]["value"] == sk.f1_score(
        truth, said, labels=labels, average="weighted", zero_division=0
    )
    if np.union1d(truth, said).size > 1:  # else scikit-learn warns and says 0
        assert got["mcc"]["value"] == sk.matthews_corrcoef(truth, said)
    for name, score in got.items():
        assert (-1.0 if name == "mcc" else 0.0) <= score["low"] <= score["value"] <= score["high"] <= 1.0


@settings(max_examples=20, deadline=None)
@given(answers())
def test_each_resample_scores_as_scikit_learn_would(
    made: tuple[NDArray[np.int64], NDArray[np.int64], int],
) -> None:
    """The fast way through counts against the slow one, on the same resampled rows."""
    truth, said, classes = made
    rng = np.random.default_rng(0)
    (rows, columns, _), counts = scores._cells(truth, said, said, classes, rng, 5)
    got = scores._from_counts(rows, columns, counts, classes, scores._present(truth, said, classes))
    for draw, count in enumerate(counts.astype(int)):
        a, b = np.repeat(rows, count), np.repeat(columns, count)
        assert got["accuracy"][draw] == pytest.approx(sk.accuracy_score(a, b))
        seen = np.union1d(a, b)
        expected = sk.matthews_corrcoef(a, b) if seen.size > 1 else 0.0
        assert got["mcc"][draw] == pytest.approx(expected, abs=1e-9)
        mean = sk.f1_score(a, b, labels=seen, average="macro", zero_division=0)
        present = np.union1d(truth, said).size
        assert got["macro_f1"][draw] == pytest.approx(mean * present / classes)


def test_the_interval_is_that_of_a_plain_bootstrap() -> None:
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 3, 300)
    said = np.where(rng.random(300) < 0.8, truth, rng.integers(0, 3, 300))
    got = scores.scored(truth, said, "multiclass", 3, seed=0)["macro_f1"]
    plain = []
    for _ in range(1000):
        rows = rng.integers(0, 300, 300)
        plain.append(sk.f1_score(truth[rows], said[rows], average="macro"))
    low, high = np.quantile(plain, [0.025, 0.975])
    assert got["low"] == pytest.approx(low, abs=0.012)
    assert got["high"] == pytest.approx(high, abs=0.012)


def test_the_interval_holds_the_true_accuracy_about_95_times_in_100() -> None:
    rng, held = np.random.default_rng(2), 0
    for seed in range(100):
        truth = rng.integers(0, 2, 150)
        said = np.where(rng.random(150) < 0.85, truth, 1 - truth)
        score = scores.scored(truth, said, "binary", 2, seed, resamples=300)["accuracy"]
        held += score["low"] <= 0.85 <= score["high"]
    assert 89 <= held <= 99


def test_no_mistake_is_no_proof_of_perfection() -> None:
    truth = np.arange(40) % 2
    score = scores.scored(truth, truth, "binary", 2, seed=0)["accuracy"]
    assert score["value"] == score["high"] == 1.0
    assert score["low"] == pytest.approx(0.025 ** (1 / 40))  # Clopper-Pearson


def test_few_rows_a_class_do_not_push_the_interval_below_its_value() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 400, 1600)
    said = np.where(rng.random(1600) < 0.9, truth, rng.integers(0, 400, 1600))
    score = scores.scored(truth, said, "multiclass", 400, seed=0)["macro_f1"]
    assert score["low"] < score["value"] - 0.005
    assert score["high"] > score["value"] + 0.005


def test_the_same_seed_gives_the_same_interval() -> None:
    truth, said = np.arange(50) % 3, np.arange(50) % 5 % 3
    first, second, other = (scores.scored(truth, said, "multiclass", 3, seed=s) for s in (1, 1, 2))
    assert first == second
    assert first != other


def test_a_paired_difference_is_sharper_than_two_intervals() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 400)
    worse = np.where(rng.random(400) < 0.85, truth, 1 - truth)
    better = worse.copy()
    mended = np.flatnonzero(worse != truth)[:12]
    better[mended] = truth[mended]
    a, b = (scores.scored(truth, said, "binary", 2, 0)["accuracy"] for said in (better, worse))
    gap = scores.difference(truth, better, worse, "accuracy", "binary", 2, 0)
    assert scores.overlaps(a, b)
    assert gap["value"] == pytest.approx(12 / 400)
    assert gap["low"] > 0
    level = scores.difference(truth, worse, worse, "macro_f1", "binary", 2, 0)
    assert level == {"value": 0.0, "low": 0.0, "high": 0.0}


def test_multilabel_scores_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    truth = rng.random((200, 4)) < 0.4
    said = truth ^ (rng.random((200, 4)) < 0.1)
    got = scores.scored(truth, said, "multilabel", 4, seed=0)
    assert got["macro_f1"]["value"] == sk.f1_score(truth, said, average="macro", zero_division=0)
    assert got["subset_accuracy"]["value"] == sk.accuracy_score(truth, said)
    for score in got.values():
        assert score["low"] < score["value"] < score["high"]


def test_regression_scores_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(size=200)
    said = truth + rng.normal(size=200) * 0.3
    got = scores.scored(truth, said, "regression", 0, seed=0)
    assert got["rmse"]["value"] == sk.root_mean_squared_error(truth, said)
    assert got["r2"]["value"] == sk.r2_score(truth, said)
    for score in got.values():
        assert score["low"] < score["value"] < score["high"]
    gap = scores.difference(truth, said, np.zeros(200), "rmse", "regression", 0, 0)
    assert gap["high"] < 0, "the smaller error is that of the first"


def test_constant_numbers_are_scored_without_nan() -> None:
    got = scores.scored(np.ones(20), np.zeros(20), "regression", 0, seed=0)
    assert got["spearman"]["value"] == got["r2"]["value"] == 0.0
    assert np.isfinite([v for score in got.values() for v in score.values()]).all()


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 1)), min_size=1, max_size=80))
def test_ece_is_a_share(rows: list[tuple[bool, float]]) -> None:
    correct, confidence = np.array([c for c, _ in rows]), np.array([p for _, p in rows])
    assert 0.0 <= scores.ece(correct, confidence) <= 1.0


def test_ece_by_hand() -> None:
    correct = np.array([1, 1, 0, 1])
    confidence = np.array([0.95, 0.95, 0.55, 0.55])
    assert scores.ece(correct, confidence) == pytest.approx((0.05 * 2 + abs(0.5 - 0.55) * 2) / 4)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=20), st.lists(st.integers(0, 5), min_size=1, max_size=20)
)
def test_auroc_is_that_of_scikit_learn(positive: list[int], negative: list[int]) -> None:
    truth = [1] * len(positive) + [0] * len(negative)
    got = scores.auroc(np.array(positive, float), np.array(negative, float))
    assert got == pytest.approx(sk.roc_auc_score(truth, positive + negative))


def test_a_class_that_the_audit_does_not_know_is_a_data_error() -> None:
    with pytest.raises(JobError) as caught:
        scores.encode(["a", "z"], ["a", "b"], "multiclass")
    assert caught.value.kind is FailureKind.DATA_ERROR
