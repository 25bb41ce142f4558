"""Cheap baselines, measured before anyone pays for training: do they already do the job?

Majority class (or mean), TF-IDF of words and characters with logistic regression, frozen embedding with
logistic regression; ridge instead of logistic regression for numbers, one classifier a class for
multi-label. Scored on the validation split, never on the test rows, which are not an input of this job.

Decisions, each measured on BANKING77 (5,000 rows, 77 classes, 2 cores):
- TF-IDF: lbfgs with C = 10 gives .889 accuracy in 5.4 s, liblinear .886 in 3.8 s, SGD .885 in 1.8 s. lbfgs
  keeps some ten copies of the weights, so above ``MANY_CLASSES`` SGD (one against the rest) takes over.
- Embeddings: standardised; C is chosen on a seeded tenth of the training rows, then all rows are fitted
  again. The choice never looks at the validation split, whose score would then flatter.
- At most ``MAX_FIT_ROWS`` training rows, drawn by class: a baseline has to be cheap. Its note says so.
- Weights are bounded at ``MAX_WEIGHTS`` numbers: 1,000 classes get fewer TF-IDF terms than two.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge, SGDClassifier
from sklearn.metrics import accuracy_score
from sklearn.preprocessing import StandardScaler

from remote.jobs.embedding import Embedder
from remote.jobs.linear_store import Baseline, TextFeatures, size_mb
from remote.jobs.rows import Row, read_rows
from remote.jobs.scores import LOWER_IS_BETTER, better, decide, encode, overlaps, scored
from remote.jobs.splits import sample_rows
from remote.protocol import Emitter, FailureKind, JobError

MAX_FIT_ROWS = 20_000
MAX_WEIGHTS = 15_000_000
MAX_TERMS = 100_000
MANY_CLASSES = 150
TFIDF_C = 10.0
EMBEDDING_CS = (0.003, 0.01, 0.03, 0.1, 0.3)
DEFAULT_C = 0.03
CEILING = 0.98  # a score whose interval reaches this is near perfect
ABSENT = -30.0  # logit of a class without a training row

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Job:
    family: str
    labels: tuple[str, ...]
    metric: str
    seed: int
    max_length: int
    train: Sequence[Row]
    validation: Sequence[Row]

    @property
    def target(self) -> NDArray[Any]:
        return encode([row.label for row in self.train], self.labels, self.family)


def run(config: Mapping[str, Any], emit: Emitter) -> Mapping[str, Any]:
    """Fit, score and store the baselines; see ``docs/jobs.md`` for the config and the result."""
    job, note = read_job(config)
    embedder = Embedder(Path(config["base_model"]), job.max_length)
    texts = [row.text for row in job.validation]
    rows: list[dict[str, Any]] = []
    for step, (name, fit) in enumerate(FITS.items(), start=1):
        started = time.perf_counter()
        baseline = fit(job, embedder, lambda done, total: emit.progress(done, total))
        fit_s = time.perf_counter() - started
        started = time.perf_counter()
        embedded = embedder.embed(texts) if name == "embedding_lr" else None
        said = decide(baseline.probabilities(baseline.features(texts, embedded)), job.family)
        ms_per_row = 1000 * (time.perf_counter() - started) / len(texts)
        folder = baseline.save(Path("out/baselines") / name)
        truth = encode([row.label for row in job.validation], job.labels, job.family)
        scores = scored(truth, said.classes, job.family, len(job.labels), job.seed)
        size = size_mb(folder) + (size_mb(Path(config["base_model"])) if name == "embedding_lr" else 0.0)
        rows.append(
            {
                "name": name,
                "score": scores[job.metric],
                "scores": {metric: score["value"] for metric, score in scores.items()},
                "fit_s": round(fit_s, 3),
                "ms_per_row": round(ms_per_row, 4),
                "size_mb": round(size, 3),
                "usd": 0.0,
                "note": "" if name == "majority" else note,
            }
        )
        emit.progress(step, len(FITS), **{f"{name}_{job.metric}": scores[job.metric]["value"]})
    for path in sorted(Path("out/baselines").rglob("*.*")):
        emit.artifact(path, Path("out"))
    return {
        "leaderboard": rows,
        "metric": job.metric,
        "split": "validation",
        "rows": len(texts),
        "overlap": overlaps(rows[1]["score"], rows[2]["score"]),
        "ceiling_reached": ceiling_reached(rows, job.metric),
    }


def read_job(config: Mapping[str, Any]) -> tuple[Job, str]:
    """The job's rows, bounded, and a note where they were. Raises JobError (``data_error``)."""
    train, validation = read_rows(config["train_file"]), read_rows(config["validation_file"])
    if not train or not validation:
        raise JobError(FailureKind.DATA_ERROR, "There are no rows to measure baselines on: give more rows.")
    seed, note = int(config.get("seed", 0)), ""
    if len(train) > MAX_FIT_ROWS:
        note = f"fitted on {MAX_FIT_ROWS:,} of {len(train):,} training rows"
        train = [train[i] for i in sample_rows([row.label for row in train], MAX_FIT_ROWS, seed)]
    job = Job(
        str(config["family"]),
        tuple(config["labels"]),
        str(config["metric"]),
        seed,
        int(config.get("max_length", 128)),
        train,
        validation,
    )
    return job, note


def ceiling_reached(rows: Sequence[Mapping[str, Any]], metric: str) -> bool:
    """Whether the best baseline may be near perfect: its interval reaches ``CEILING``. Never for errors."""
    if metric in LOWER_IS_BETTER:
        return False
    best = rows[0]
    for row in rows[1:]:
        if better(metric, row["score"]["value"], best["score"]["value"]):
            best = row
    return bool(best["score"]["high"] >= CEILING)


Progress = Callable[[int, int], None]


def fit_majority(job: Job, embedder: Embedder, progress: Progress) -> Baseline:
    """The share of each class whatever the text; for numbers, their mean (the median where MAE decides)."""
    target = job.target
    if job.family == "regression":
        middle = np.median(target) if job.metric == "mae" else target.mean()
        link, intercept = "identity", np.array([middle])
    elif job.family == "multilabel":
        share = np.clip(target.mean(axis=0), 1e-6, 1 - 1e-6)
        link, intercept = "sigmoid", np.log(share / (1 - share))
    else:
        share = np.bincount(target, minlength=len(job.labels)) / len(target)
        link, intercept = "softmax", np.log(np.maximum(share, 1e-13))
    weights = np.zeros((0, len(intercept)), dtype=np.float32)
    return Baseline("majority", job.family, job.labels, link, weights, intercept.astype(np.float32))


def fit_tfidf(job: Job, embedder: Embedder, progress: Progress) -> Baseline:
    texts = [row.text for row in job.train]
    text = TextFeatures(min(MAX_TERMS, MAX_WEIGHTS // max(len(job.labels), 1)))
    try:
        features = text.fit(texts)
    except ValueError as error:
        raise JobError(
            FailureKind.DATA_ERROR, "The texts hold no words that occur twice: check the text column."
        ) from error
    link, weights, intercept = fit_linear(features, job, TFIDF_C)
    return Baseline("tfidf_lr", job.family, job.labels, link, weights, intercept, text)


def fit_embedding(job: Job, embedder: Embedder, progress: Progress) -> Baseline:
    """Logistic regression on standardised embeddings, with the standardisation folded into the weights."""
    embedded = embedder.embed([row.text for row in job.train], progress)
    scaler = StandardScaler()
    features = scaler.fit_transform(embedded)
    link, weights, intercept = fit_linear(features, job, choose_c(features, job))
    scale, mean = scaler.scale_[:, None], scaler.mean_
    weights = weights / scale
    intercept = intercept - mean @ weights
    return Baseline(
        "embedding_lr",
        job.family,
        job.labels,
        link,
        weights.astype(np.float32),
        intercept.astype(np.float32),
        max_length=job.max_length,
    )


FITS: Mapping[str, Callable[[Job, Embedder, Progress], Baseline]] = {
    "majority": fit_majority,
    "tfidf_lr": fit_tfidf,
    "embedding_lr": fit_embedding,
}


def choose_c(features: Floats, job: Job) -> float:
    """The inverse regularisation that does best on a seeded tenth of the training rows."""
    n, target = len(features), job.target
    if job.family not in ("binary", "multiclass") or n < 200 or len(job.labels) > MANY_CLASSES:
        return DEFAULT_C
    order = np.random.default_rng(job.seed).permutation(n)
    held, kept = order[: n // 10], order[n // 10 :]

    def score(c: float) -> float:
        _, weights, intercept = _logistic(features[kept], target[kept], len(job.labels), c)
        said = (features[held] @ weights + intercept).argmax(axis=1)
        return float(accuracy_score(target[held], said))

    return max(EMBEDDING_CS, key=score)


def fit_linear(features: Any, job: Job, c: float) -> tuple[str, Floats, Floats]:
    """Link, weights [features, outputs] and intercept [outputs] of the family's linear model."""
    target, classes = job.target, len(job.labels)
    if job.family == "regression":
        ridge = Ridge(
            alpha=1 / c if isinstance(features, np.ndarray) else 1.0, tol=1e-3, random_state=job.seed
        )
        ridge.fit(features, target)
        return "identity", ridge.coef_.reshape(-1, 1), np.array([ridge.intercept_], dtype=np.float32)
    if job.family == "multilabel":
        columns = [_yes_or_no(features, target[:, i], c) for i in range(classes)]
        return (
            "sigmoid",
            np.concatenate([w for w, _ in columns], axis=1),
            np.array([b for _, b in columns], dtype=np.float32),
        )
    if classes > MANY_CLASSES and not isinstance(features, np.ndarray):
        return _one_against_rest(features, target, classes, job.seed)
    return _logistic(features, target, classes, c)


def _logistic(features: Any, target: NDArray[Any], classes: int, c: float) -> tuple[str, Floats, Floats]:
    """Multinomial logistic regression; a class without a row is never the answer."""
    weights = np.zeros((features.shape[1], classes), dtype=np.float32)
    intercept = np.full(classes, ABSENT, dtype=np.float32)
    present = np.unique(target)
    if len(present) == 1:
        intercept[present] = 0.0
        return "softmax", weights, intercept
    model = LogisticRegression(C=c, max_iter=100, tol=1e-3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # 100 steps are enough for a baseline
        model.fit(features, target)
    if len(present) == 2:
        weights[:, present[1]] = model.coef_[0]
        intercept[present] = 0.0, model.intercept_[0]
    else:
        weights[:, present] = model.coef_.T
        intercept[present] = model.intercept_
    return "softmax", weights, intercept


def _one_against_rest(
    features: Any, target: NDArray[Any], classes: int, seed: int
) -> tuple[str, Floats, Floats]:
    model = SGDClassifier(loss="log_loss", alpha=3e-5, max_iter=8, tol=None, random_state=seed, n_jobs=2)
    model.fit(features, target)
    weights = np.zeros((features.shape[1], classes), dtype=np.float32)
    intercept = np.full(classes, ABSENT, dtype=np.float32)
    weights[:, model.classes_] = model.coef_.T
    intercept[model.classes_] = model.intercept_
    return "ovr", weights, intercept


def _yes_or_no(features: Any, target: NDArray[Any], c: float) -> tuple[Floats, float]:
    """One class of a multi-label task: weights [features, 1] and intercept."""
    if target.all() or not target.any():
        return np.zeros((features.shape[1], 1), dtype=np.float32), -ABSENT if target.all() else ABSENT
    _, weights, intercept = _logistic(features, target.astype(np.int64), 2, c)
    return weights[:, 1:], float(intercept[1])
