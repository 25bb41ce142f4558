"""Scores with 95 % intervals: plain scikit-learn values, and a bootstrap that is fast because it is exact.

* A value is always the plain scikit-learn value on the rows of ``predictions.csv``; only its interval is
  ours.
* Every classification score is a function of the confusion counts. Drawing n rows with replacement and
  counting them gives counts that are multinomial, so 1,000 resamples are one draw of counts over the cells
  that occur: 77 classes take some 60 ms. Scores that are no function of counts (ECE, multi-label,
  regression) weight rows with multinomial counts, in blocks of bounded memory.
* Convention, also written into ``metrics.json``: the mean over classes is over *all known classes*, and a
  class that occurs neither as truth nor as prediction scores 0 (``zero_division=0``). Within a resample, a
  class that only the resample lost is left out of its mean instead of counting as 0.
* With few rows a class the resamples' macro-F1 is biased (1,000 classes of 5 rows: by 0.015), and so is
  ECE, so their percentiles are shifted by the bootstrap's own estimate of its bias, the resamples' mean
  minus the value. Differences are never shifted: noise in the shift could make a gap of one row look
  certain.
* A test without a single mistake has a degenerate bootstrap. Its lower bound is the exact
  (Clopper-Pearson) one, ``0.025 ** (1 / n)``.
* The interval is widened to hold the value itself.

Sources: B. Efron, R. Tibshirani, An Introduction to the Bootstrap, 1993. C. Guo et al., On Calibration of
Modern Neural Networks, 2017 (ECE, 15 bins of equal width).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata, spearmanr
from sklearn import metrics as sk

from remote.jobs.rows import Label
from remote.protocol import FailureKind, JobError

RESAMPLES = 1000
TAIL = 0.025
ECE_BINS = 15
BLOCK_CELLS = 8_000_000  # numbers held at once while resampling
SPEARMAN_CELLS = 20_000_000  # resamples x rows that are ranked; beyond it fewer resamples
CONVENTION = (
    "Means over classes are over all known classes (labels); a class with neither a true nor a predicted row "
    "counts as 0 (zero_division=0). Intervals: 95 % percentile bootstrap over rows."
)
LOWER_IS_BETTER = frozenset({"rmse", "mae", "ece"})
_LEAST = {"mcc": -1.0, "spearman": -1.0, "r2": -np.inf}  # where a score's range is not 0 .. 1
_BIASED = frozenset({"macro_f1", "balanced_accuracy"})  # means over classes that may have few rows
_MOST = {"rmse": np.inf, "mae": np.inf}

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Score = dict[str, float]


def better(metric: str, a: float, b: float) -> bool:
    """Whether ``a`` is the better value of ``metric``."""
    return a < b if metric in LOWER_IS_BETTER else a > b


def overlaps(a: Mapping[str, float], b: Mapping[str, float]) -> bool:
    """Whether two intervals share a point."""
    return a["low"] <= b["high"] and b["low"] <= a["high"]


def encode(labels: Sequence[Label], names: Sequence[str], family: str) -> NDArray[Any]:
    """Truth as an array: [n] class numbers, [n, classes] booleans (multi-label) or [n] numbers (regression).

    Raises JobError (``data_error``) for a class that is not among ``names``.
    """
    if family == "regression":
        return np.array([float(label) for label in labels], dtype=np.float64)  # type: ignore[arg-type]
    number = {name: i for i, name in enumerate(names)}
    try:
        if family == "multilabel":
            truth = np.zeros((len(labels), len(names)), dtype=bool)
            for i, label in enumerate(labels):
                truth[i, [number[name] for name in label]] = True  # type: ignore[union-attr]
            return truth
        return np.array([number[label] for label in labels], dtype=np.int64)  # type: ignore[index]
    except (KeyError, TypeError):
        raise JobError(
            FailureKind.DATA_ERROR, "A row has a class that the audit does not know: run the audit again."
        ) from None


def as_text(label: Label) -> str:
    """A label as one cell of ``predictions.csv``: a list of classes as JSON, a number with all its digits."""
    if isinstance(label, list):
        return json.dumps(sorted(label), ensure_ascii=False)
    return label if isinstance(label, str) else repr(float(label))


@dataclass(frozen=True, slots=True)
class Predicted:
    """What a model said of n rows.

    ``classes``: [n] class numbers, [n, classes] booleans or [n] numbers, as :func:`encode` gives the truth.
    ``confidence``: [n], its probability for what it said; NaN for regression.
    ``probabilities``: [n, classes], or [n, 0] for regression.
    """

    classes: NDArray[Any]
    confidence: Floats
    probabilities: Floats

    def take(self, rows: NDArray[Any]) -> Predicted:
        return Predicted(self.classes[rows], self.confidence[rows], self.probabilities[rows])


def decide(probabilities: Floats, family: str) -> Predicted:
    """The usual rule: the likeliest class; every class above one half; the number itself ([n, 1])."""
    if family == "regression":
        n = len(probabilities)
        return Predicted(probabilities[:, 0], np.full(n, np.nan), np.zeros((n, 0)))
    if family == "multilabel":
        sure = np.maximum(probabilities, 1 - probabilities).min(axis=1)
        return Predicted(probabilities > 0.5, sure, probabilities)
    return Predicted(probabilities.argmax(axis=1), probabilities.max(axis=1), probabilities)


# --- values ------------------------------------------------------------------------------------------------


def values(truth: NDArray[Any], said: NDArray[Any], family: str, classes: int) -> dict[str, float]:
    """Every score of the family, as scikit-learn computes it."""
    if family == "regression":
        return _regression_values(truth, said)
    if family == "multilabel":
        return {
            "macro_f1": float(sk.f1_score(truth, said, average="macro", zero_division=0)),
            "micro_f1": float(sk.f1_score(truth, said, average="micro", zero_division=0)),
            "subset_accuracy": float(sk.accuracy_score(truth, said)),
        }
    labels = list(range(classes))
    return {
        "accuracy": float(sk.accuracy_score(truth, said)),
        "macro_f1": float(sk.f1_score(truth, said, labels=labels, average="macro", zero_division=0)),
        "weighted_f1": float(sk.f1_score(truth, said, labels=labels, average="weighted", zero_division=0)),
        "balanced_accuracy": _balanced(np.bincount(truth * classes + said, minlength=classes**2), classes),
        "mcc": _mcc(truth, said),
    }


def _mcc(truth: Ints, said: Ints) -> float:
    """Matthews correlation; 0 where only one class occurs, as scikit-learn's, without its warning."""
    return float(sk.matthews_corrcoef(truth, said)) if np.union1d(truth, said).size > 1 else 0.0


def _balanced(counts: NDArray[Any], classes: int) -> float:
    """Mean recall over the classes that have true rows, as scikit-learn's, without its warning."""
    matrix = counts.reshape(classes, classes)
    support = matrix.sum(axis=1)
    return float((matrix.diagonal()[support > 0] / support[support > 0]).mean())


def _regression_values(truth: Floats, said: Floats) -> dict[str, float]:
    varied = len(truth) > 1 and truth.std() > 0
    ranked = varied and said.std() > 0
    return {
        "rmse": float(sk.root_mean_squared_error(truth, said)),
        "mae": float(sk.mean_absolute_error(truth, said)),
        "r2": float(sk.r2_score(truth, said)) if varied else 0.0,
        "spearman": float(spearmanr(truth, said).statistic) if ranked else 0.0,
    }


def ece(correct: NDArray[Any], confidence: Floats, bins: int = ECE_BINS) -> float:
    """Expected calibration error: mean gap between confidence and share correct, over bins of equal width."""
    n = max(len(correct), 1)
    gaps = _gap_by_bin(correct, confidence, bins).sum(axis=0)
    return float(np.abs(gaps).sum() / n)


def _gap_by_bin(correct: NDArray[Any], confidence: Floats, bins: int) -> Floats:
    """[n, bins]: in the row's own bin, correct minus confidence."""
    place = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    gaps = np.zeros((len(correct), bins))
    gaps[np.arange(len(correct)), place] = correct.astype(np.float64) - confidence
    return gaps


# --- intervals ---------------------------------------------------------------------------------------------


def scored(
    truth: NDArray[Any], said: NDArray[Any], family: str, classes: int, seed: int, resamples: int = RESAMPLES
) -> dict[str, Score]:
    """Every score of the family with its interval: ``{metric: {"value", "low", "high"}}``."""
    rng = np.random.default_rng(seed)
    point = values(truth, said, family, classes)
    if family == "regression":
        drawn = _regression_draws(truth, said, rng, resamples)
    elif family == "multilabel":
        drawn = _multilabel_draws(truth, said, rng, resamples)
    else:
        drawn = _class_draws(truth, said, classes, rng, resamples)
    perfect = family != "regression" and bool((truth == said).all())
    floor = TAIL ** (1 / len(truth)) if perfect else None
    return {
        name: interval(
            value,
            drawn[name],
            floor=floor,
            least=_LEAST.get(name, 0.0),
            most=_MOST.get(name, 1.0),
            biased=name in _BIASED,
        )
        for name, value in point.items()
    }


def scored_ece(correct: NDArray[Any], confidence: Floats, seed: int, resamples: int = RESAMPLES) -> Score:
    gaps = _gap_by_bin(correct, confidence, ECE_BINS)
    rng, n = np.random.default_rng(seed), len(correct)
    drawn = np.concatenate([np.abs(w @ gaps).sum(axis=1) / n for w in _weights(n, rng, resamples)])
    return interval(ece(correct, confidence), drawn, least=0.0, most=1.0, biased=True)


def scored_mean(hits: NDArray[Any], seed: int, resamples: int = RESAMPLES) -> Score:
    """A mean of n zeros and ones (a share, an accuracy) with its interval."""
    n, value = len(hits), float(np.mean(hits))
    drawn = np.random.default_rng(seed).binomial(n, value, size=resamples) / n
    floor = TAIL ** (1 / n) if value == 1.0 else None
    return interval(value, drawn, floor=floor, least=0.0, most=1.0)


def interval(
    value: float,
    drawn: Floats,
    *,
    floor: float | None = None,
    least: float = -np.inf,
    most: float = np.inf,
    biased: bool = False,
) -> Score:
    """The percentile interval of ``drawn`` within the score's range ``least`` .. ``most``.

    ``floor``: the lower bound is at most this. ``biased``: correct for the bias of the resamples.
    """
    low, high = np.quantile(drawn, [TAIL, 1 - TAIL]) - (drawn.mean() - value if biased else 0.0)
    if floor is not None:
        low = min(low, floor)
    return {
        "value": value,
        "low": min(max(float(low), least), value),
        "high": max(min(float(high), most), value),
    }


def difference(
    truth: NDArray[Any],
    model: NDArray[Any],
    other: NDArray[Any],
    metric: str,
    family: str,
    classes: int,
    seed: int,
    resamples: int = RESAMPLES,
) -> Score:
    """Paired bootstrap of ``metric(model) - metric(other)``: both are scored on the same resampled rows."""
    value = values(truth, model, family, classes)[metric] - values(truth, other, family, classes)[metric]
    rng = np.random.default_rng(seed)
    if family in ("binary", "multiclass"):
        cells, counts = _cells(truth, model, other, classes, rng, resamples)
        a = _from_counts(cells[0], cells[1], counts, classes, _present(truth, model, classes))[metric]
        b = _from_counts(cells[0], cells[2], counts, classes, _present(truth, other, classes))[metric]
        return interval(value, a - b)
    draw = _regression_draws if family == "regression" else _multilabel_draws
    a = draw(truth, model, np.random.default_rng(seed), resamples)[metric]  # the same seed: the same rows
    b = draw(truth, other, np.random.default_rng(seed), resamples)[metric]
    return interval(value, a - b)


def _cells(
    truth: Ints, a: Ints, b: Ints, classes: int, rng: np.random.Generator, resamples: int
) -> tuple[tuple[Ints, Ints, Ints], Floats]:
    """The (truth, a, b) triples that occur and their resampled counts [resamples, cells]."""
    code, count = np.unique((truth * classes + a) * classes + b, return_counts=True)
    n = len(truth)
    counts = rng.multinomial(n, count / n, size=resamples).astype(np.float64)
    return (code // classes**2, code // classes % classes, code % classes), counts


def _present(truth: Ints, said: Ints, classes: int) -> int:
    return int(np.union1d(truth, said).size)


def _class_draws(
    truth: Ints, said: Ints, classes: int, rng: np.random.Generator, resamples: int
) -> dict[str, Floats]:
    block = max(1, BLOCK_CELLS // max(len(truth), classes))
    parts = []
    for start in range(0, resamples, block):
        cells, counts = _cells(truth, said, said, classes, rng, min(block, resamples - start))
        parts.append(_from_counts(cells[0], cells[1], counts, classes, _present(truth, said, classes)))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _from_counts(rows: Ints, columns: Ints, counts: Floats, classes: int, present: int) -> dict[str, Floats]:
    """Scores of each resample from the counts of its (truth, prediction) cells; [resamples] each."""

    def by(where: Ints, of: Floats) -> Floats:
        total = np.zeros((len(of), classes))
        order = np.argsort(where, kind="stable")
        starts = np.flatnonzero(np.diff(where[order], prepend=-1))
        if len(starts):
            total[:, where[order][starts]] = np.add.reduceat(of[:, order], starts, axis=1)
        return total

    diagonal = rows == columns
    hits = by(rows[diagonal], counts[:, diagonal])
    true, said, n = by(rows, counts), by(columns, counts), counts.sum(axis=1)
    f1 = np.divide(2 * hits, true + said, out=np.zeros_like(hits), where=true + said > 0)
    seen = np.maximum((true + said > 0).sum(axis=1), 1)
    recall = np.divide(hits, true, out=np.zeros_like(hits), where=true > 0)
    chance = (true * said).sum(axis=1)
    spread = np.sqrt((n**2 - (true**2).sum(axis=1)) * (n**2 - (said**2).sum(axis=1)))
    right = hits.sum(axis=1)
    return {
        "accuracy": right / n,
        "macro_f1": f1.sum(axis=1) / seen * (present / classes),
        "weighted_f1": (f1 * true).sum(axis=1) / n,
        "balanced_accuracy": recall.sum(axis=1) / np.maximum((true > 0).sum(axis=1), 1),
        "mcc": np.divide(right * n - chance, spread, out=np.zeros_like(n), where=spread > 0),
    }


def _weights(n: int, rng: np.random.Generator, resamples: int) -> Iterator[Floats]:
    """How often each of n rows was drawn; blocks of [resamples, n]."""
    block = max(1, BLOCK_CELLS // n)
    for start in range(0, resamples, block):
        yield rng.multinomial(n, np.full(n, 1 / n), size=min(block, resamples - start)).astype(np.float64)


def _multilabel_draws(
    truth: NDArray[Any], said: NDArray[Any], rng: np.random.Generator, resamples: int
) -> dict[str, Floats]:
    both, either = (truth & said).astype(float), truth.astype(float) + said.astype(float)
    exact, classes = (truth == said).all(axis=1).astype(float), truth.shape[1]
    present = int((either.sum(axis=0) > 0).sum())
    parts: dict[str, list[Floats]] = {"macro_f1": [], "micro_f1": [], "subset_accuracy": []}
    for weight in _weights(len(truth), rng, resamples):
        hits, total = 2 * (weight @ both), weight @ either
        f1 = np.divide(hits, total, out=np.zeros_like(hits), where=total > 0)
        seen = np.maximum((total > 0).sum(axis=1), 1)
        parts["macro_f1"].append(f1.sum(axis=1) / seen * (present / classes))
        parts["micro_f1"].append(hits.sum(axis=1) / np.maximum(total.sum(axis=1), 1e-12))
        parts["subset_accuracy"].append(weight @ exact / len(truth))
    return {name: np.concatenate(blocks) for name, blocks in parts.items()}


def _regression_draws(
    truth: Floats, said: Floats, rng: np.random.Generator, resamples: int
) -> dict[str, Floats]:
    n, error = len(truth), said - truth
    centred = truth - truth.mean()
    columns = np.stack([error**2, np.abs(error), centred, centred**2], axis=1)
    sums = np.concatenate([weight @ columns for weight in _weights(n, rng, resamples)]) / n
    spread = sums[:, 3] - sums[:, 2] ** 2
    r2 = 1 - np.divide(sums[:, 0], spread, out=np.ones(len(sums)), where=spread > 1e-12)
    fewer = min(resamples, max(100, SPEARMAN_CELLS // n))
    ranks: list[Floats] = []
    for _ in range(fewer):
        rows = rng.integers(0, n, n)
        ranks.append(_pearson(rankdata(truth[rows]), rankdata(said[rows])))
    spearman = np.resize(np.array(ranks), resamples)
    return {"rmse": np.sqrt(sums[:, 0]), "mae": sums[:, 1], "r2": r2, "spearman": spearman}


def _pearson(a: Floats, b: Floats) -> Any:
    a, b = a - a.mean(), b - b.mean()
    scale = np.sqrt((a @ a) * (b @ b))
    return a @ b / scale if scale > 0 else 0.0


def auroc(positive: Floats, negative: Floats) -> float:
    """Area under the ROC curve: the chance that a positive scores above a negative, ties counting half."""
    n, m = len(positive), len(negative)
    ranks = rankdata(np.concatenate([positive, negative]))
    return float((ranks[:n].sum() - n * (n + 1) / 2) / (n * m))


def top_k(truth: Ints, probabilities: Floats, k: int) -> NDArray[np.bool_]:
    """[n]: whether the truth is among the k likeliest classes."""
    best = np.argsort(-probabilities, axis=1, kind="stable")[:, :k]
    return (best == truth[:, None]).any(axis=1)
