"""The leaderboard on the test rows, and what it says in two honest sentences.

Every candidate answers the same rows. Two overlapping intervals do not yet say that two models are equally
good, so the model and the best baseline are also compared by a paired bootstrap, which is sharper: the
verdict rests on that difference and mentions the overlap.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from remote.jobs.embedding import Embedder
from remote.jobs.linear_store import Baseline, size_mb
from remote.jobs.scores import LOWER_IS_BETTER, Predicted, better, decide, difference, overlaps, scored
from remote.protocol import Emitter

ORDER = ("majority", "tfidf_lr", "embedding_lr")
NAMES = {
    "majority": "the majority class",
    "tfidf_lr": "TF-IDF with logistic regression",
    "embedding_lr": "a frozen embedding with logistic regression",
}
REGRESSION_NAMES = {
    "majority": "the mean",
    "tfidf_lr": "TF-IDF with ridge regression",
    "embedding_lr": "a frozen embedding with ridge regression",
}
NO_UNCERTAINTY = "as measured among people; no interval is known"


@dataclass(frozen=True, slots=True)
class Contest:
    """What all candidates are scored on."""

    truth: NDArray[Any]
    family: str
    labels: Sequence[str]
    metric: str
    seed: int

    def scores(self, said: Predicted) -> dict[str, dict[str, float]]:
        return scored(self.truth, said.classes, self.family, len(self.labels), self.seed)

    def difference(self, model: Predicted, other: Predicted) -> dict[str, float]:
        return difference(
            self.truth, model.classes, other.classes, self.metric, self.family, len(self.labels), self.seed
        )


@dataclass(frozen=True, slots=True)
class Entrant:
    row: dict[str, Any]  # of the leaderboard
    said: Predicted


def name_of(name: str, family: str) -> str:
    return (REGRESSION_NAMES if family == "regression" else NAMES).get(name, name)


def metric_name(metric: str) -> str:
    known = {"macro_f1": "macro-F1", "micro_f1": "micro-F1", "weighted_f1": "weighted F1", "rmse": "RMSE"}
    return known.get(metric, {"mae": "MAE", "r2": "R²", "mcc": "MCC"}.get(metric, metric.replace("_", " ")))


def stored_baselines(
    contest: Contest,
    texts: Sequence[str],
    folder: Path,
    base_model: Path,
    facts: Sequence[Mapping[str, Any]],
    emit: Emitter,
) -> list[Entrant]:
    """The baselines kept by the probe job, asked about the test rows. ``facts``: their rows on validation."""
    known = {str(row["name"]): row for row in facts}
    entrants = []
    for name in ORDER:
        if not (folder / name).is_dir():
            continue
        baseline = Baseline.load(folder / name)
        if name == "embedding_lr" and not base_model.is_dir():
            emit.warning(
                "baseline_skipped", "The frozen embedding was not scored: its base model is missing."
            )
            continue
        embedder = Embedder(base_model, baseline.max_length) if name == "embedding_lr" else None
        started = time.perf_counter()
        embedded = embedder.embed(texts, emit.progress) if embedder else None
        said = decide(baseline.probabilities(baseline.features(texts, embedded)), contest.family)
        spent_ms = 1000 * (time.perf_counter() - started) / len(texts)
        row = entry(contest, name, said, known.get(name, {}), spent_ms)
        row["size_mb"] = round(size_mb(folder / name) + (size_mb(base_model) if embedder else 0.0), 3)
        row["usd"] = 0.0
        entrants.append(Entrant(row, said))
    return entrants


def entry(
    contest: Contest, name: str, said: Predicted, known: Mapping[str, Any], ms_per_row: float
) -> dict[str, Any]:
    scores = contest.scores(said)
    return {
        "name": name,
        "score": scores[contest.metric],
        "scores": {metric: score["value"] for metric, score in scores.items()},
        "fit_s": known.get("fit_s"),
        "ms_per_row": round(ms_per_row, 4),
        "size_mb": known.get("size_mb"),
        "usd": known.get("usd"),
        "note": str(known.get("note") or ""),
    }


def human_row(human: Mapping[str, Any], metric: str) -> dict[str, Any] | None:
    """The ceiling set by agreement among people, where the data tells it for the deciding metric."""
    value = human.get(metric)
    if not isinstance(value, int | float) or not np.isfinite(value):
        return None
    low, high = human.get(f"{metric}_low", value), human.get(f"{metric}_high", value)
    row = dict.fromkeys(("fit_s", "ms_per_row", "size_mb", "usd"))
    note = "as measured among people" if low != high else NO_UNCERTAINTY
    return (
        {"name": "human", "score": {"value": value, "low": low, "high": high}, "scores": {metric: value}}
        | row
        | {"note": note}
    )


def compare(contest: Contest, model: Entrant, baselines: Sequence[Entrant]) -> dict[str, Any]:
    """The model against the best baseline; ``difference`` is positive where the model is better."""
    if not baselines:
        return {}
    best = baselines[0]
    for other in baselines[1:]:
        if better(contest.metric, other.row["score"]["value"], best.row["score"]["value"]):
            best = other
    gap = contest.difference(model.said, best.said)
    if contest.metric in LOWER_IS_BETTER:
        gap = {"value": -gap["value"], "low": -gap["high"], "high": -gap["low"]}
    outcome = "better" if gap["low"] > 0 else "worse" if gap["high"] < 0 else "level"
    return {
        "best_baseline": best.row["name"],
        "difference": gap,
        "overlap": overlaps(model.row["score"], best.row["score"]),
        "outcome": outcome,
    }


def verdict(
    rows: int,
    contest: Contest,
    model: Mapping[str, Any],
    best: Mapping[str, Any] | None,
    comparison: Mapping[str, Any],
    human: Mapping[str, Any] | None,
) -> str:
    """Two sentences: what was measured, and whether the model is worth more than the best baseline."""
    metric, score = metric_name(contest.metric), model["score"]
    first = f"On {rows:,} test rows never trained on, the model reaches {metric} {_span(score)}"
    if best is None:
        return f"{first}. No baseline could be measured beside it."
    name = name_of(best["name"], contest.family)
    first += f"; the best baseline, {name}, reaches {_span(best['score'])}."
    return f"{first} {_judgement(comparison, metric)}{_beside_people(score, human, contest.metric)}."


def _judgement(comparison: Mapping[str, Any], metric: str) -> str:
    gap = comparison["difference"]
    span = (
        f"{abs(gap['value']):.3f} {metric} (95 % interval of the paired difference {gap['low']:+.3f} to "
        f"{gap['high']:+.3f})"
    )
    if comparison["outcome"] == "level":
        return (
            f"The difference of {span} cannot be told from chance: the cheaper baseline does as well, "
            "so prefer it unless you need what only the model gives"
        )
    if comparison["outcome"] == "worse":
        return f"The baseline is better by {span}: use the baseline, not the model"
    overlap = ", a small gain, as the two intervals overlap" if comparison["overlap"] else ""
    return f"The model is better by {span}{overlap}"


def _beside_people(score: Mapping[str, float], human: Mapping[str, Any] | None, metric: str) -> str:
    if human is None:
        return ""
    value = human["score"]["value"]
    if metric in LOWER_IS_BETTER or score["high"] < value:
        return f"; people, by their agreement, reach {value:.3f}"
    return f"; it is at the ceiling of {value:.3f} that people's own agreement sets"


def _span(score: Mapping[str, float]) -> str:
    return f"{score['value']:.3f} (95 % interval {score['low']:.3f} to {score['high']:.3f})"
