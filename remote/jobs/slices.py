"""Scores by group of rows, so that a group that the model fails is seen behind a good average.

Groups: text length, language, and every column that the audit kept (``Row.slices``). A group lacks
classes, which would drag its macro-F1 down for no fault of the model, so groups are compared by the plain
share of rows that are right (multi-label: right in all classes; regression: mean absolute error).

A group is flagged when it is worse than all other rows together, and the 95 % interval of that gap,
corrected for the number of groups looked at (Bonferroni), leaves out zero, and the gap is large enough to
matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from remote.jobs.language import guess_language
from remote.jobs.rows import Row
from remote.jobs.scores import interval, scored_mean

MIN_ROWS = 10  # smaller groups say nothing
MAX_GROUPS = 12  # of one column
GAP = 0.05  # share of rows; for numbers, share of the error
UNTOLD = "not told"


def by_group(
    rows: Sequence[Row], right: NDArray[Any], seed: int, *, errors: bool = False
) -> list[dict[str, Any]]:
    """``[{"slice", "group", "n", "metric", "score", "rest", "failing"}]``, worst gap first within a slice.

    ``right`` [n]: 1 where the model is right, else 0; with ``errors`` the absolute error of each row.
    """
    found = []
    for name, groups in columns(rows).items():
        for group in sorted(set(groups)):
            inside = np.array([g == group for g in groups])
            if group != UNTOLD and MIN_ROWS <= inside.sum() < len(rows):
                found.append(_group(name, group, inside, right, seed, errors))
    z = float(norm.ppf(1 - 0.025 / max(len(found), 1)))
    for item in found:
        gap, error = item.pop("gap"), item.pop("error")
        base = item["rest"] if errors else 1.0
        item["failing"] = bool(gap > GAP * base and gap - z * error > 0)
    return found


def columns(rows: Sequence[Row]) -> dict[str, list[str]]:
    """Slice -> the group of each row."""
    found: dict[str, list[str]] = {"text length": _lengths([len(row.text.split()) for row in rows])}
    languages = [guess_language(row.text) or UNTOLD for row in rows]
    if len(set(languages) - {UNTOLD}) > 1:
        found["language"] = languages
    for name in sorted({name for row in rows for name in row.slices}):
        groups = [row.slices.get(name, UNTOLD) for row in rows]
        if name == "language" or 1 < len(set(groups)) <= MAX_GROUPS:
            found[name] = groups
    return found


def _lengths(words: Sequence[int]) -> list[str]:
    """Quarters of the rows by number of words, fewer where many texts are equally long."""
    edges = sorted({int(edge) for edge in np.quantile(words, [0.25, 0.5, 0.75])})
    names, low = [], 0
    for edge in edges:
        names.append(f"{low}-{edge} words" if low < edge else f"{edge} words")
        low = edge + 1
    names.append(f"{low} words or more")
    return [names[int(np.searchsorted(edges, count))] for count in words]


def _group(
    name: str, group: str, inside: NDArray[np.bool_], right: NDArray[Any], seed: int, errors: bool
) -> dict[str, Any]:
    here, rest = right[inside].astype(float), right[~inside].astype(float)
    gap = here.mean() - rest.mean() if errors else rest.mean() - here.mean()
    error = np.sqrt(_variance(here, errors) / len(here) + _variance(rest, errors) / len(rest))
    score = _mean_error(here, seed) if errors else scored_mean(here, seed)
    return {
        "slice": name,
        "group": group,
        "n": int(inside.sum()),
        "metric": "mae" if errors else "accuracy",
        "score": score,
        "rest": float(rest.mean()),
        "gap": float(gap),
        "error": float(error),
    }


def _variance(values: NDArray[Any], errors: bool) -> float:
    """Of shares with one success and one failure added, so that a group without a mistake has a spread."""
    if errors:
        return float(values.var())
    share = (values.sum() + 1) / (len(values) + 2)
    return float(share * (1 - share))


def _mean_error(values: NDArray[Any], seed: int) -> dict[str, float]:
    rng = np.random.default_rng(seed)
    drawn = values[rng.integers(0, len(values), size=(1000, len(values)))].mean(axis=1)
    return interval(float(values.mean()), drawn, least=0.0)
