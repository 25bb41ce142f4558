"""Linear models on frozen embeddings, and what is judged on validation: scores, temperatures, thresholds."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import accuracy_score, f1_score, mean_absolute_error, root_mean_squared_error
from torch import Tensor

from .inference import Floats, temper, to_probabilities
from .settings import LOWER_IS_BETTER, Config

STANDARDISED_C = (0.05, 0.2)  # inverse regularisation strengths tried on validation
RIDGE_ALPHA = (1.0, 10.0, 100.0, 1000.0)


@dataclass(frozen=True, slots=True)
class Linear:
    """A linear model on plain embeddings: weight [outputs, width], bias [outputs]."""

    weight: Floats
    bias: Floats

    def logits(self, vectors: Floats) -> Floats:
        return vectors @ self.weight.T + self.bias


def fit_linear(
    vectors: Floats, targets: NDArray[Any], config: Config, strength: float, standardise: bool
) -> Linear:
    """Logistic regression (multi-label: one a class) or ridge; standardisation is folded into the weights."""
    mean, scale = np.zeros(vectors.shape[1]), np.ones(vectors.shape[1])
    if standardise:
        mean, std = vectors.mean(axis=0, dtype=np.float64), vectors.std(axis=0, dtype=np.float64)
        scale = np.where(std > 1e-4, std, 1.0)  # some encoders have constant outputs
    x = ((vectors - mean) / scale).astype(np.float32)
    if config.family == "regression":
        ridge = Ridge(alpha=strength).fit(x, targets[:, 0])
        weight, bias = ridge.coef_[None, :], np.array([ridge.intercept_])
    elif config.family == "multilabel":
        parts = [_logistic(x, column, 2, strength) for column in targets.T.astype(np.int64)]
        weight = np.stack([w[1] - w[0] for w, _ in parts])
        bias = np.array([b[1] - b[0] for _, b in parts])
    else:
        weight, bias = _logistic(x, targets, len(config.labels), strength)
    weight = weight / scale
    return Linear(weight.astype(np.float32), (bias - weight @ mean).astype(np.float32))


def _logistic(x: Floats, classes: NDArray[Any], count: int, strength: float) -> tuple[Floats, Floats]:
    """Weights [count, width] and biases [count]; classes without rows get a bias that rules them out."""
    weight, bias = np.zeros((count, x.shape[1])), np.full(count, -10.0)
    seen = np.unique(classes)
    if len(seen) == 1:
        bias[seen[0]] = 0.0
        return weight, bias
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an unfinished fit is still a good start
        model = LogisticRegression(C=strength, max_iter=200, tol=1e-3).fit(x, classes)
    if len(seen) == 2:
        weight[seen], bias[seen] = np.stack([-model.coef_[0], model.coef_[0]]) / 2, 0.0
        bias[seen] = np.array([-1.0, 1.0]) * model.intercept_[0] / 2
    else:
        weight[seen], bias[seen] = model.coef_, model.intercept_
    return weight, bias


def best_linear(
    train: tuple[Floats, NDArray[Any]], validation: tuple[Floats, NDArray[Any]], config: Config
) -> tuple[Linear, float]:
    """On standardised embeddings, and the strength of it that has the lowest loss on validation."""
    grid = RIDGE_ALPHA if config.family == "regression" else STANDARDISED_C
    models = [fit_linear(*train, config, strength, standardise=True) for strength in grid]
    losses = []
    for model in models:
        logits = model.logits(validation[0])
        t = fit_temperature(to_probabilities(logits, config.family), validation[1], config.family)
        losses.append(loss_of(to_probabilities(logits / t, config.family), validation[1], config.family))
    best = int(np.argmin(losses))
    return models[best], grid[best]


@dataclass(frozen=True, slots=True)
class Probes:
    """The linear models on frozen embeddings."""

    baseline: Linear  # the best on validation
    refitted: Linear  # the same, fitted on the validation rows too
    start: Linear  # on plain embeddings: the head's first weights


def fit_probes(
    train: tuple[Floats, NDArray[Any]], validation: tuple[Floats, NDArray[Any]], config: Config
) -> Probes:
    baseline, strength = best_linear(train, validation, config)
    refitted = start = baseline
    if config.refit:
        vectors = np.concatenate([train[0], validation[0]])
        targets = np.concatenate([train[1], validation[1]])
        refitted = fit_linear(vectors, targets, config, strength, standardise=True)
    if config.epochs:
        strength = 10.0 if config.family == "regression" else 1.0
        start = fit_linear(*train, config, strength, standardise=False)
    return Probes(baseline, refitted, start)


def loss_of(answer: Floats, targets: NDArray[Any], family: str) -> float:
    """Mean negative log-likelihood of probabilities; mean squared error of numbers."""
    if family == "regression":
        return float(np.mean((answer - targets) ** 2))
    p = np.clip(answer, 1e-9, 1 - 1e-9)
    if family == "multilabel":
        return float(-np.mean(targets * np.log(p) + (1 - targets) * np.log(1 - p)))
    return float(-np.mean(np.log(p[np.arange(len(p)), targets])))


def fit_temperature(answer: Floats, targets: NDArray[Any], family: str) -> float:
    """The temperature with the lowest loss, on a grid from 1/8 to 8."""
    if family == "regression":
        return 1.0
    grid = [2.0 ** (i / 10) for i in range(-30, 31)]
    return min(grid, key=lambda t: loss_of(temper(answer, t, family), targets, family))


def fit_threshold(answer: Floats, targets: NDArray[Any]) -> float:
    """For multi-label: the one threshold with the best macro-F1 (one a class would follow chance)."""
    grid = [i / 20 for i in range(2, 17)]
    scores = [f1_score(targets, answer >= t, average="macro", zero_division=0) for t in grid]
    best = max(scores)
    return min((t for t, s in zip(grid, scores, strict=True) if s >= best), key=lambda t: abs(t - 0.5))


def scores_of(
    answer: Floats, targets: NDArray[Any], config: Config, unit: float, threshold: float
) -> dict[str, float]:
    """Metrics of probabilities, or of numbers (``unit`` turns standardised ones into the target's own)."""
    if config.family == "regression":
        return {
            "rmse": float(root_mean_squared_error(targets, answer)) * unit,
            "mae": float(mean_absolute_error(targets, answer)) * unit,
        }
    guess = answer >= threshold if config.family == "multilabel" else answer.argmax(axis=1)
    known = list(range(len(config.labels)))  # absent classes count as 0, as in the evaluation
    f1 = f1_score(targets, guess, labels=known, average="macro", zero_division=0)
    return {"macro_f1": float(f1), "accuracy": float(accuracy_score(targets, guess))}


def clearly_worse(new: float, old: float, metric: str, rows: int) -> bool:
    """Whether ``new`` is worse by more than chance explains: half a standard error of a share of ``rows``.

    On a few hundred validation rows two epochs often differ by a handful of answers. The later one, whose
    learning rate has come down further, deserves the benefit of the doubt.
    """
    if metric in LOWER_IS_BETTER:
        return new > old
    return new < old - 0.5 * math.sqrt(max(old * (1 - old), 0.0) / rows)


def tensors(model: Linear) -> dict[str, Tensor]:
    """As it is saved."""
    return {"weight": torch.from_numpy(model.weight.copy()), "bias": torch.from_numpy(model.bias.copy())}
