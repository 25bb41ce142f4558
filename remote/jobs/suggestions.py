"""What to try next, ranked by what was measured: ``{"id", "title", "reason", "measured_loss",
"overrides"}``.

``measured_loss`` is a share of rows (or of calibration), so that suggestions can be compared.
``overrides`` are settings of the training script for a child run, empty where no setting helps and other
data would.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from remote.jobs.leaderboard import Contest

WORTH = 0.02  # smaller losses are within the noise of a few hundred rows
OVERCONFIDENT = 0.05
TYPO_SHARE = 0.3
IMBALANCED = 3.0


def suggest(
    tests: Sequence[Mapping[str, Any]],
    outside: Mapping[str, Any],
    metrics: Mapping[str, Any],
    contest: Contest,
    audit: Mapping[str, Any],
    characters: Mapping[str, float] | None,
) -> list[dict[str, Any]]:
    """All suggestions whose loss is worth mending, the largest first."""
    by_name = {str(test["name"]): test for test in tests}
    found = [
        *_typos(by_name, characters),
        *_spelling(by_name),
        *_unknown_class(by_name, outside),
        *_negation(by_name),
        *_calibration(metrics),
        *_weak_classes(metrics, audit),
        *_long_texts(metrics),
    ]
    return sorted(found, key=lambda item: (-item["measured_loss"], item["id"]))


def _one(id_: str, title: str, reason: str, loss: float, **overrides: Any) -> dict[str, Any]:
    return {
        "id": id_,
        "title": title,
        "reason": reason,
        "measured_loss": round(float(loss), 4),
        "overrides": overrides,
    }


def _typos(
    tests: Mapping[str, Mapping[str, Any]], characters: Mapping[str, float] | None
) -> list[dict[str, Any]]:
    loss = tests["typos"]["loss"] if "typos" in tests else 0.0
    if loss < WORTH:
        return []
    reason = f"Typing errors cost {loss:.1%} of the answers."
    if characters is not None and characters["loss"] <= loss / 2:
        least = max(characters["loss"], 0.0)
        reason += f" TF-IDF with character n-grams loses only {least:.1%} under the same ones."
    return [_one("typo_augmentation", "Train with typing errors", reason, loss, typo_augmentation=TYPO_SHARE)]


def _spelling(tests: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    found = []
    for name, title in (
        ("casing", "Use an uncased base model"),
        ("punctuation", "Vary punctuation in the data"),
    ):
        loss = tests[name]["loss"] if name in tests else 0.0
        if loss >= WORTH:
            found.append(_one(name, title, f"Changed {name} costs {loss:.1%} of the answers.", loss))
    return found


def _unknown_class(
    tests: Mapping[str, Mapping[str, Any]], outside: Mapping[str, Any]
) -> list[dict[str, Any]]:
    sure = [(tests[name]["sure_without_warning"], tests[name]["n"]) for name in ("gibberish", "out-of-scope")]
    loss = sum(share * n for share, n in sure) / sum(n for _, n in sure)
    if loss < WORTH:
        return []
    score = outside["out-of-scope"]["auroc_vocabulary_coverage"]
    reason = (
        f"{loss:.0%} of the texts that no class fits are answered with confidence and without a warning; "
        f"vocabulary coverage tells them apart with an AUROC of {score:.2f}. Add rows of a class such as "
        '"unknown".'
    )
    return [_one("unknown_class", "Add a class for texts that fit none", reason, loss)]


def _negation(tests: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    test = tests.get("negation")
    if test is None or test["loss"] is None or test["loss"] < 0.2:
        return []
    reason = f'{test["loss"]:.0%} of the negated texts keep their answer. Add texts such as "not good".'
    return [_one("negated_rows", "Add negated texts", reason, test["loss"])]


def _calibration(metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    ece = metrics.get("ece", {}).get("value", 0.0)
    if ece < OVERCONFIDENT:
        return []
    reason = f"Confidences are off by {ece:.1%} on average (expected calibration error)."
    return [_one("label_smoothing", "Smooth the labels", reason, ece, label_smoothing=0.2)]


def _weak_classes(metrics: Mapping[str, Any], audit: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The classes that cost most answers: false negatives as a share of all test rows."""
    per_class = metrics.get("per_class", {})
    rows = max(int(metrics.get("rows", 0)), 1)
    lost = {name: (1 - v["recall"]) * v["support"] / rows for name, v in per_class.items()}
    found = []
    for name in sorted(lost, key=lambda name: (-lost[name], name))[:3]:
        scores = per_class[name]
        if scores["support"] and scores["f1"] < 0.9 and lost[name] > 0:
            reason = (
                f"F1 {scores['f1']:.2f}: {round((1 - scores['recall']) * scores['support'])} of its "
                f"{scores['support']} test rows are missed, {lost[name]:.1%} of all."
            )
            found.append(
                _one(f"more_rows:{name}", f"Collect more rows of the class {name!r}", reason, lost[name])
            )
    supports = [v["support"] for v in per_class.values() if v["support"]]
    imbalance = float(audit.get("imbalance") or (max(supports) / min(supports) if supports else 1.0))
    if imbalance >= IMBALANCED and found:
        loss = sum(item["measured_loss"] for item in found)
        reason = (
            f"The largest class has {imbalance:.1f} times the rows of the smallest, and classes are missed."
        )
        found.append(_one("class_weights", "Weight rare classes more", reason, loss, class_weights="on"))
    return found


def _long_texts(metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    for item in metrics.get("slices", []):
        longest = item["slice"] == "text length" and str(item["group"]).endswith("or more")
        if longest and item["failing"] and metrics.get("family") != "regression":
            loss = (item["rest"] - item["score"]["value"]) * item["n"] / max(int(metrics["rows"]), 1)
            here, rest = item["score"]["value"], item["rest"]
            reason = f"On the longest texts it is right in {here:.0%}, elsewhere in {rest:.0%}."
            return [_one("longer_texts", "Read more of long texts", reason, loss, max_length=256)]
    return []
