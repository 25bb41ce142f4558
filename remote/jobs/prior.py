"""Parts of ``report.md`` about the work of others: what they report for the data, and the paper that was followed.

Nothing here was measured by this run but what stands in the columns that say "ours".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from remote.jobs import pages
from remote.jobs.audit_page import escape
from remote.jobs.leaderboard import metric_name
from remote.jobs.pages import Package

SHOWN = 10
SETTINGS = (
    "learning_rate",
    "epochs",
    "batch_size",
    "max_length",
    "weight_decay",
    "dropout",
    "label_smoothing",
    "warmup_fraction",
)
_OURS = {"optimiser": "AdamW"}
LOWER_IS_BETTER = ("rmse", "mae")


def reported(board: Mapping[str, Any]) -> list[str]:
    """Numbers of others for the same data, those that can stand beside ours first."""
    rows = [row for row in board.get("reported", []) if isinstance(row, dict)][:SHOWN]
    if not rows:
        return []
    beside = [row for row in rows if not row.get("apart")]
    apart = [row for row in rows if row.get("apart")]
    lines = [
        "## What others report for this data",
        "",
        "Reported, not measured here: each number is its source's claim.",
        "",
    ]
    head = ["model", "metric", "reported", "split", "source"]
    if beside:
        ours = next((row for row in board["leaderboard"] if row["name"] == "model"), None)
        lines += pages.table(head, [_row(row) for row in beside])
        if ours:
            lines += [
                f"Ours: {metric_name(board['metric'])} {pages.span(ours['score'])} on {board['rows']:,} test rows.",
                "",
            ]
    if apart:
        lines += ["Not comparable with ours:", ""]
        lines += pages.table(
            [*head, "why not"], [[*_row(row), escape(str(row["apart"]), 80)] for row in apart]
        )
    return lines


def _row(row: Mapping[str, Any]) -> list[str]:
    source = f"{row.get('source', '')}: {row.get('url', '')}" + (
        f", {row['where']}" if row.get("where") else ""
    )
    return [
        escape(str(row["model"]), 120),
        escape(metric_name(str(row["metric"])), 40),
        pages.number(row["value"], ".3f") + (" (verified by the Hub)" if row.get("verified") else ""),
        escape(str(row.get("split") or "not stated"), 40),
        escape(source, 200),
    ]


def reproduction(package: Package) -> list[str]:
    """The paper's values beside ours, and where the set-up differs."""
    paper = package.facts.get("paper") or {}
    if not paper:
        return []
    lines = ["## The paper", "", _opening(paper), ""]
    scores = _scores(package, paper)
    if scores:
        head = ["paper's model", "metric", "paper", "ours (95 % interval)", "the paper's value is", "where"]
        lines += pages.table(head, scores)
    else:
        lines += [
            "It reports no number for this data in a metric that was measured here, so there is nothing to compare.",
            "",
        ]
    if paper.get("named"):
        differences = _set_up(package, paper)
        lines += ["Set-up:", "", *pages.table(["", "paper", "ours", "", "where in the paper"], differences)]
    return [*lines, *_licences(paper)]


def _opening(paper: Mapping[str, Any]) -> str:
    how = "named in the request" if paper.get("named") else "found by search, not followed"
    notes = " ".join(str(note) for note in paper.get("notes", []))
    return escape(
        f"{paper.get('title', '')} ({paper.get('url') or paper.get('id', '')}), {how}. {notes}".strip(), 600
    )


def _scores(package: Package, paper: Mapping[str, Any]) -> list[list[str]]:
    rows = []
    for result in paper.get("results", []):
        ours = package.metrics.get(result.get("metric"))
        if not result.get("same_data") or not isinstance(ours, dict) or "value" not in ours:
            continue
        rows.append(
            [
                escape(str(result.get("model") or "its model"), 80),
                escape(metric_name(str(result["metric"])), 40),
                f"{pages.number(result['value'], '.3f')} ({_split(result)})",
                pages.span(ours),
                _within(float(result["value"]), ours, str(result["metric"])),
                escape(_place(result), 60),
            ]
        )
    return rows[:SHOWN]


def _split(result: Mapping[str, Any]) -> str:
    return escape(str(result.get("split") or "split not stated"), 20)


def _within(value: float, ours: Mapping[str, Any], metric: str) -> str:
    if ours["low"] <= value <= ours["high"]:
        return "within our interval"
    above = value > ours["high"]
    return "better than ours" if above != (metric in LOWER_IS_BETTER) else "worse than ours"


def _place(item: Mapping[str, Any]) -> str:
    return ", ".join(part for part in (str(item.get("where") or ""), f"page {item.get('page')}") if part)


def _set_up(package: Package, paper: Mapping[str, Any]) -> list[list[str]]:
    """Row by row what the paper used and what we used; settings that it does not give are left out."""
    facts, ours = package.facts, _ours(package)
    loss = "mean squared error" if package.family == "regression" else "cross-entropy"
    candidate = facts.get("candidate", {})
    audit = facts.get("audit", {}).get("rows", {})
    rows = [
        _difference(
            "data", _said(paper, "data_set"), str(candidate.get("title") or candidate.get("id") or "")
        ),
        _difference("model", _said(paper, "architecture"), str(facts.get("model", {}).get("id") or "")),
        _difference("loss", _said(paper, "loss"), loss),
        _difference("optimiser", _said(paper, "optimiser"), _OURS["optimiser"]),
    ]
    rows += [_difference(name, _said(paper, name), ours[name]) for name in SETTINGS if name in ours]
    sizes = ", ".join(f"{name} {count:,}" for name, count in audit.items())
    split = "the data's own test split" if facts.get("official_test") else "test rows of our own choice"
    rows.append(["split", "see the paper", escape(f"{split}: {sizes}", 120), "", ""])
    return [row for row in rows if row]


def _ours(package: Package) -> dict[str, Any]:
    planned = {row["name"]: row["value"] for row in package.facts.get("plan", {}).get("hyperparameters", [])}
    return {**package.training.get("config", {}), **planned}


def _said(paper: Mapping[str, Any], field: str) -> list[Mapping[str, Any]]:
    return [fact for fact in paper.get("facts", []) if fact.get("field") == field]


def _difference(name: str, said: Sequence[Mapping[str, Any]], ours: Any) -> list[str]:
    if not said:
        return []
    values = list(dict.fromkeys(_words(fact["value"]) for fact in said))[:4]
    own = _words(ours)
    squeezed = [v.casefold().replace("-", "").replace(" ", "") for v in (*values, own)]
    same = any(v and v in squeezed[-1] for v in squeezed[:-1]) if isinstance(ours, str) else values == [own]
    return [
        name.replace("_", " "),
        escape(", ".join(values), 120),
        escape(own, 120),
        "same" if same else "⚠️ differs",
        escape(_place(said[0]), 60),
    ]


def _words(value: Any) -> str:
    if isinstance(value, list | tuple):
        return " / ".join(_words(v) for v in value)
    return f"{value:g}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def _licences(paper: Mapping[str, Any]) -> list[str]:
    lines = [f"- The paper itself: {escape(str(paper.get('licence') or 'licence not stated'), 80)}"]
    for item in paper.get("linked", []):
        licence = item.get("licence") or f"licence not known ({item.get('note') or 'not looked up'})"
        lines.append(f"- {escape(str(item.get('url', '')), 160)}: {escape(str(licence), 200)}")
    return ["Licences of what the paper points at:", "", *lines, ""]
