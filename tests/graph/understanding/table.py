"""The table of phrasings, what it expects, and the part of it that stands in ``docs/asking.md``."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from graph.state import Request, TaskSpec
from graph.understanding import Understanding, understand

ROWS: list[dict[str, Any]] = tomllib.loads((Path(__file__).parent / "phrasings.toml").read_text("utf-8"))[
    "row"
]
_FILLER = "Good morning everyone, the coffee machine works again and lunch was lovely. "


def sentence(row: Mapping[str, Any]) -> str:
    size = row.get("filler", 0)
    return (_FILLER * (size // len(_FILLER) + 1))[:size] + " " * bool(size) + str(row["say"])


def read(row: Mapping[str, Any]) -> Understanding:
    return understand(Request(sentence(row)))


def expected(row: Mapping[str, Any]) -> dict[str, Any]:
    """Every compared field of the task; what the row leaves out has its default."""
    metric = row.get("metrics", ["macro_f1"])
    return {
        "family": row.get("family"),
        "labels": row.get("labels", []),
        "metrics": metric,
        "budget": row.get("budget"),
        "minutes": row.get("minutes"),
        "megabytes": row.get("megabytes"),
        "latency_ms": row.get("latency_ms"),
        "language": row.get("language"),
        "hardware": row.get("hardware"),
        "private_data": row.get("private_data", False),
        "data": row.get("data"),
        "target": row.get("target"),
        "text_column": row.get("text_column"),
        "model": row.get("model"),
        "publish_to": row.get("publish_to"),
        "visibility": row.get("visibility", "private"),
        "deliverables": row.get("deliverables", ["model", "model_card", "report", "space"]),
    }


def actual(task: TaskSpec) -> dict[str, Any]:
    limits = task.constraints
    return {
        "family": task.family.value if task.family else None,
        "labels": list(task.labels),
        "metrics": list(task.metrics),
        "budget": limits.budget_usd,
        "minutes": limits.minutes,
        "megabytes": limits.max_model_mb,
        "latency_ms": limits.max_latency_ms,
        "language": limits.language,
        "hardware": limits.hardware,
        "private_data": limits.private_data,
        "data": task.data,
        "target": task.target,
        "text_column": task.text_column,
        "model": task.base_model,
        "publish_to": task.publish_to,
        "visibility": task.visibility,
        "deliverables": list(task.deliverables),
    }


def markdown() -> str:
    """The rows marked ``doc`` as a table: what is written, and how it is read today."""
    lines = ["| you write | the intern reads |", "|---|---|"]
    lines += [
        f"| {_cell(str(row['say']))} | {_cell(_outcome(read(row)))} |" for row in ROWS if row.get("doc")
    ]
    return "\n".join(lines)


def _outcome(read: Understanding) -> str:
    if read.question:
        choices = ", ".join(c.label for c in read.question.choices if c.value != "cancel")
        return f"asks: {read.question.text} ({choices})"
    if read.refusal:
        return f"declines: {read.refusal}"
    assert read.task
    shown = [
        f"{r.field}: {r.value}" + (f" ({r.why})" if r.why else "")
        for r in read.task.understood
        if r.field != "topic"
    ]
    assumed = [
        f"{r.field}: {r.value}"
        for r in read.task.assumed
        if r.field in ("metric", "deciding metric", "left out", "language")
    ]
    return "; ".join([f"{read.task.goal[:-1]}", *shown, *(f"assumed {a}" for a in assumed)])


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    print(markdown())  # to be put between the markers of docs/asking.md
