"""A suspiciously good score sets off its own checks: is the test easy because something leaks?

Checks: rows of the test split that nearly repeat training rows; a single word that gives the label away;
data made from templates. They run only when the deciding score reaches ``SUSPICIOUS``, and say what they
found either way: a good score can be earned.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from remote.jobs.cleaning import loose_key
from remote.jobs.columns import cut
from remote.jobs.findings import template_made
from remote.jobs.near_duplicates import near_duplicates
from remote.jobs.rows import Row

SUSPICIOUS = 0.98
NEAR_SHARE = 0.02  # of the test rows that may resemble training rows before it counts as found
WORD_SHARE = 0.9  # of the model's score that single words may reach before it counts as found
MAX_ROWS = 30_000  # compared; more training rows are sampled evenly
METRICS = ("macro_f1", "accuracy", "weighted_f1", "balanced_accuracy", "mcc", "micro_f1", "r2", "spearman")


def check(train: Sequence[Row], test: Sequence[Row], metric: str, value: float) -> Mapping[str, Any]:
    """``{"suspicious": bool, "because": str, "checks": [{"check", "found", "detail", "examples"}]}``."""
    if metric not in METRICS or value < SUSPICIOUS:
        return {"suspicious": False, "because": "The score is not suspiciously good.", "checks": []}
    train = train[:: max(1, len(train) // MAX_ROWS)]
    checks = [_near_duplicates(train, test), _single_words(train, test), _templates(train, test)]
    found = [item["check"] for item in checks if item["found"]]
    because = f"A {metric.replace('_', '-')} of {value:.3f} is suspiciously good, so three checks were run: "
    because += f"found {' and '.join(found)}." if found else "none found a reason to doubt it."
    return {"suspicious": True, "because": because, "checks": checks}


def _near_duplicates(train: Sequence[Row], test: Sequence[Row]) -> dict[str, Any]:
    clusters = near_duplicates([row.text for row in (*train, *test)]).clusters
    first = dict(zip(clusters, train, strict=False))
    alike = [
        (row, first[cluster])
        for row, cluster in zip(test, clusters[len(train) :], strict=True)
        if cluster in first
    ]
    share = len(alike) / max(len(test), 1)
    return {
        "check": "near-duplicates across splits",
        "found": share >= NEAR_SHARE,
        "detail": f"{len(alike)} of {len(test)} test rows ({share:.1%}) nearly repeat a training row.",
        "examples": [f"{cut(a.text, 100)} ≈ {cut(b.text, 100)}" for a, b in alike[:5]],
    }


def _single_words(train: Sequence[Row], test: Sequence[Row]) -> dict[str, Any]:
    """How far a rule gets that knows one word a class, the one that best tells it from the others."""
    rule = giveaways(train)
    usual = Counter(str(row.label) for row in train).most_common(1)[0][0]
    hits = []
    for row in test:
        words = set(loose_key(row.text[:5000]).split())
        said = next((label for word, label in rule if word in words), usual)
        hits.append(said == row.label)
    share = float(np.mean(hits)) if hits else 0.0
    return {
        "check": "a single word that gives the label away",
        "found": share >= WORD_SHARE,
        "detail": f"One word a class, looked up alone, gets {share:.1%} of the test rows right.",
        "examples": [f"{word} → {cut(label, 60)}" for word, label in rule[:5]],
    }


def giveaways(rows: Sequence[Row]) -> list[tuple[str, str]]:
    """For each class the word with the highest F1 for it, surest first: ``[(word, class)]``."""
    inside: dict[str, Counter[str]] = {}
    total: Counter[str] = Counter()
    size: Counter[str] = Counter()
    for row in rows:
        if isinstance(row.label, str):
            words = set(loose_key(row.text[:5000]).split())
            inside.setdefault(row.label, Counter()).update(words)
            total.update(words)
            size[row.label] += 1
    best = []
    for label, counts in inside.items():
        f1, word = max(((2 * n / (size[label] + total[w]), w) for w, n in counts.items()), default=(0.0, ""))
        best.append((f1, word, label))
    return [(word, label) for _, word, label in sorted(best, reverse=True)]


def _templates(train: Sequence[Row], test: Sequence[Row]) -> dict[str, Any]:
    found = template_made([*train, *test])
    return {
        "check": "template-made data",
        "found": bool(found),
        "detail": found[0].detail if found else "The texts do not look as if they were made from templates.",
        "examples": [str(example) for example in found[0].examples] if found else [],
    }
