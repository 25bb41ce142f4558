"""Pieces of markdown that the report and the model card share. Everything from data is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from remote.jobs.audit_page import escape
from remote.jobs.columns import cut
from remote.jobs.leaderboard import metric_name, name_of

WATTS = {"cpu": 30.0, "gpu": 300.0}  # assumed draw of the machine while training
GRAMS_CO2_A_KWH = 480.0  # world average of electricity in 2023 (Ember)
CLASSES_SHOWN = 30


@dataclass(frozen=True, slots=True)
class Package:
    """Everything that the card and the report are made from."""

    family: str
    facts: Mapping[str, Any]
    training: Mapping[str, Any]
    audit: Mapping[str, Any]
    metrics: Mapping[str, Any]
    board: Mapping[str, Any]
    stress: Mapping[str, Any]

    @property
    def title(self) -> str:
        return cut(str(self.facts.get("title") or "Text model"), 60)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A markdown table; cells are taken as they are, so escape what comes from data."""
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    return [*lines, *(f"| {' | '.join(row)} |" for row in rows), ""]


def span(score: Mapping[str, Any] | None) -> str:
    """``0.912 (0.900 to 0.924)``, or the value alone where no interval is known."""
    if not score or score.get("value") is None:
        return "–"
    if score["low"] == score["high"]:
        return f"{score['value']:.3f}"
    return f"{score['value']:.3f} ({score['low']:.3f} to {score['high']:.3f})"


def number(value: Any, form: str = ".2f") -> str:
    return format(value, form) if isinstance(value, int | float) else "–"


def leaderboard(board: Mapping[str, Any], family: str) -> list[str]:
    names = {"model": "**the model**", "human": "people (ceiling)"}
    head = ["", f"{metric_name(board['metric'])} (95 % interval)", "fit s", "ms a row", "MB", "USD", "note"]
    return table(
        head,
        [
            [
                names.get(row["name"], name_of(row["name"], family)),
                span(row["score"]),
                number(row.get("fit_s"), ".1f"),
                number(row.get("ms_per_row")),
                number(row.get("size_mb"), ".1f"),
                number(row.get("usd")),
                escape(str(row.get("note") or ""), 200),
            ]
            for row in board["leaderboard"]
        ],
    )


def per_class(metrics: Mapping[str, Any]) -> list[str]:
    """Precision, recall and F1 by class, worst first; of many classes the worst ones."""
    classes = metrics.get("per_class", {})
    if not classes:
        return []
    ordered = sorted(classes.items(), key=lambda item: (item[1]["f1"], item[0]))
    lines = table(
        ["class", "precision", "recall", "F1", "test rows"],
        [
            [
                escape(name, 80),
                f"{v['precision']:.3f}",
                f"{v['recall']:.3f}",
                f"{v['f1']:.3f}",
                f"{v['support']}",
            ]
            for name, v in ordered[:CLASSES_SHOWN]
        ],
    )
    if len(ordered) > CLASSES_SHOWN:
        lines += [f"The {CLASSES_SHOWN} worst of {len(ordered)} classes; all are in `metrics.json`.", ""]
    return lines


def stress_table(stress: Mapping[str, Any]) -> list[str]:
    return table(
        ["test", "kind", "rows", "before", "after", "what happened"],
        [
            [
                test["name"],
                test["kind"],
                str(test["n"]),
                span(test["before"]),
                span(test["after"]),
                escape(test["detail"], 300),
            ]
            for test in stress.get("tests", [])
        ],
    )


def hyperparameters(facts: Mapping[str, Any]) -> list[str]:
    rows = facts.get("plan", {}).get("hyperparameters", [])
    if not rows:
        return ["The defaults of the training script were used.", ""]
    return table(
        ["setting", "value", "why"],
        [
            [f"`{row['name']}`", escape(str(row["value"]), 60), escape(str(row["reason"]), 300)]
            for row in rows
        ],
    )


def energy(facts: Mapping[str, Any], training: Mapping[str, Any]) -> str:
    """One sentence: energy and carbon dioxide of the training, and how they were estimated."""
    seconds = float(facts.get("training", {}).get("seconds") or training.get("seconds") or 0.0)
    device = "gpu" if str(training.get("device", "cpu")).startswith("cuda") else "cpu"
    watts = WATTS[device]
    watt_hours = seconds / 3600 * watts
    return (
        f"About {watt_hours:.2f} Wh and {watt_hours / 1000 * GRAMS_CO2_A_KWH:.2f} g of CO2: {seconds:.0f} "
        "s of "
        f"training at an assumed {watts:.0f} W and {GRAMS_CO2_A_KWH:.0f} g a kWh, the world average of 2023. "
        "This is an estimate, not a measurement."
    )


def data_lines(facts: Mapping[str, Any]) -> list[str]:
    """Where the data comes from, its licence and attribution, and the sizes of the splits."""
    candidate, audit = facts.get("candidate", {}), facts.get("audit", {})
    rows = audit.get("rows", {})
    shown = [
        ("Data", candidate.get("title") or candidate.get("id")),
        ("Id", candidate.get("id")),
        ("Source", candidate.get("source")),
        ("Revision", candidate.get("revision")),
        ("Licence", candidate.get("licence") or "not stated"),
        ("Attribution", candidate.get("attribution")),
        ("Language", audit.get("language")),
        ("Rows", ", ".join(f"{name} {count:,}" for name, count in rows.items())),
    ]
    lines = [f"- {name}: {escape(str(value), 300)}" for name, value in shown if value]
    return [*lines, ""]


def is_score(value: Any) -> bool:
    return isinstance(value, Mapping) and set(value) == {"value", "low", "high"}
