"""``report.md``: what a person reads first. The verdict, the numbers, then how they came about.

Everything from the data and from people is escaped (``audit_page.escape``): it is shown and never obeyed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from remote.jobs import pages, prior
from remote.jobs.audit_page import escape
from remote.jobs.leaderboard import metric_name
from remote.jobs.pages import Package

PLOTS = (
    ("confusion_matrix", "Confusion matrix"),
    ("class_scores", "F1 by class"),
    ("predicted_vs_true", "Predicted against true"),
    ("reliability", "Reliability"),
    ("learning_curve", "Learning curve"),
)
EXAMPLES = {
    "most_confident_mistakes": "The most confident mistakes",
    "nearest_boundary": "The rows nearest the boundary",
    "largest_errors": "The largest errors",
}
SHOWN = 5
LINKED = "metrics.json, predictions.csv, leaderboard.json, stress.json, audit.md, run.json"


def report(package: Package) -> str:
    sections = (
        _verdict(package),
        prior.reported(package.board),
        prior.reproduction(package),
        _pictures(),
        _slices(package.metrics),
        _suspicion(package.metrics),
        _examples(package.metrics),
        _stress(package.stress),
        _data(package),
        _costs(package.facts, package.training),
        _decisions(package.facts),
        _reproduce(package),
    )
    return "\n".join(line for section in sections for line in section).rstrip() + "\n"


def _verdict(package: Package) -> list[str]:
    board = package.board
    lines = [f"# {escape(package.title, 60)}", "", f"**{escape(str(board['verdict']), 1200)}**", ""]
    lines += pages.leaderboard(board, package.family)
    if board.get("comparison", {}).get("overlap"):
        lines += ["The intervals of the model and of the best baseline overlap.", ""]
    notes = package.metrics.get("notes", [])
    if notes:
        lines += ["Not to miss:", "", *(f"- {escape(str(note), 500)}" for note in notes), ""]
    return lines


def _pictures(folder: Path = Path("out/plots")) -> list[str]:
    found = [(name, alt) for name, alt in PLOTS if (folder / f"{name}.png").is_file()]
    return ["## Plots", "", *(f"![{alt}](plots/{name}.png)" for name, alt in found), ""]


def _slices(metrics: Mapping[str, Any]) -> list[str]:
    groups = metrics.get("slices", [])
    if not groups:
        return []
    rows = [
        [
            escape(str(item["slice"]), 60),
            escape(str(item["group"]), 60),
            str(item["n"]),
            pages.span(item["score"]),
            f"{item['rest']:.3f}",
            "⚠️ fails this group" if item["failing"] else "",
        ]
        for item in groups
    ]
    what = "mean absolute error" if groups[0]["metric"] == "mae" else "share of rows that are right"
    head = ["group of rows", "", "rows", f"{what} (95 % interval)", "all others", ""]
    return ["## Groups of rows", "", *pages.table(head, rows)]


def _suspicion(metrics: Mapping[str, Any]) -> list[str]:
    found = metrics.get("suspicion", {})
    if not found.get("suspicious"):
        return []
    lines = ["## Is the score too good?", "", escape(str(found["because"]), 400), ""]
    for item in found["checks"]:
        sign = "⚠️ found" if item["found"] else "not found"
        lines.append(f"- {item['check']}: {sign}. {escape(str(item['detail']), 300)}")
        if item["found"]:
            lines += [f"  - {escape(str(example), 240)}" for example in item["examples"]]
    return [*lines, ""]


def _examples(metrics: Mapping[str, Any]) -> list[str]:
    lines = ["## Where it is wrong or unsure", ""]
    for key, title in EXAMPLES.items():
        shown = metrics.get("examples", {}).get(key, [])[:SHOWN]
        if shown:
            lines += [
                f"{title}:",
                "",
                *pages.table(["row", "text", "label", "prediction", "confidence"], _cells(shown)),
            ]
    return lines


def _cells(shown: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    return [
        [
            str(item["row_id"]),
            escape(str(item["text"]), 140),
            escape(_label(item["label"]), 60),
            escape(_label(item["prediction"]), 60),
            pages.number(item["confidence"]),
        ]
        for item in shown
    ]


def _label(label: Any) -> str:
    if isinstance(label, list):
        return ", ".join(map(str, label)) or "none"
    return f"{label:.3g}" if isinstance(label, float) else str(label)


def _stress(stress: Mapping[str, Any]) -> list[str]:
    if not stress:
        return []
    lines = [
        "## Under stress",
        "",
        "INV: the answer must stay. DIR: it should change. MFT: what it does with texts of this kind; "
        "its number is the share that the last column names first.",
        "",
        *pages.stress_table(stress),
    ]
    for name, scores in stress.get("out_of_distribution", {}).items():
        softmax = pages.number(scores["auroc_max_softmax"])
        words = pages.number(scores["auroc_vocabulary_coverage"])
        lines.append(
            f"- Telling {name} from test rows (AUROC): maximum softmax {softmax}, vocabulary coverage {words}"
        )
    lines += ["", "## What to try next", ""]
    suggestions = stress.get("suggestions", [])
    if not suggestions:
        return [*lines, "Nothing that was measured asks for a change.", ""]
    for place, item in enumerate(suggestions, start=1):
        changes = ", ".join(f"`{key}={value}`" for key, value in item["overrides"].items())
        lines.append(
            f"{place}. {escape(str(item['title']), 120)} (measured loss {item['measured_loss']:.1%}): "
            f"{escape(str(item['reason']), 400)}{' Setting: ' + changes if changes else ''}"
        )
    return [*lines, ""]


def _data(package: Package) -> list[str]:
    lines = ["## Data and what was checked in it", "", *pages.data_lines(package.facts)]
    findings = package.facts.get("audit", {}).get("findings", [])
    rows = [
        [escape(f["severity"], 20), escape(f["detail"], 300), escape(str(f.get("done", "")), 300)]
        for f in findings
    ]
    if not rows:
        return [*lines, "The audit found nothing to report.", ""]
    return [*lines, *pages.table(["", "finding", "what was done"], rows)]


def _costs(facts: Mapping[str, Any], training: Mapping[str, Any]) -> list[str]:
    usd, plan = facts.get("usd", {}), facts.get("plan", {})
    actual_s = facts.get("training", {}).get("seconds") or training.get("seconds")
    lines = ["## Costs", ""]
    lines += pages.table(
        ["", "estimated", "actual"],
        [
            ["training, s", pages.number(plan.get("estimated_s"), ".0f"), pages.number(actual_s, ".0f")],
            ["USD", pages.number(usd.get("estimated")), pages.number(usd.get("actual"))],
        ],
    )
    steps = ", ".join(
        f"{escape(name, 40)} {seconds:.1f}" for name, seconds in facts.get("seconds", {}).items()
    )
    lines += [f"Seconds by stage so far: {steps}.", ""] if steps else []
    return [*lines, pages.energy(facts, training), ""]


def _decisions(facts: Mapping[str, Any]) -> list[str]:
    decisions, attempts = facts.get("decisions", []), facts.get("attempts", [])
    lines = ["## Decisions", ""]
    if decisions:
        keys = ("kind", "value", "actor", "surface", "at", "why")
        rows = [[escape(str(d.get(key) or ""), 120) for key in keys] for d in decisions]
        lines += pages.table(["question", "answer", "who", "where", "when", "why"], rows)
    else:
        lines += ["Nobody was asked anything so far.", ""]
    if attempts:
        lines += ["What failed on the way and what was changed:", ""]
        lines += [
            f"- {escape(a['stage'], 40)}: {escape(a['kind'], 40)}, {escape(a['detail'], 300)} "
            f"{escape(str(a.get('remedy') or ''), 200)}"
            for a in attempts
        ]
        lines.append("")
    return ["", *lines]


def _reproduce(package: Package) -> list[str]:
    facts, training = package.facts, package.training
    run_id = escape(str(facts.get("run_id") or "RUN"), 60)
    versions = ", ".join(f"{name} {found}" for name, found in training.get("versions", {}).items())
    seed = training.get("config", {}).get("seed", 0)
    metric = metric_name(package.metrics["metric"])
    return [
        "## How to reproduce",
        "",
        f"`intern reproduce {run_id}` repeats it with the same split, seed and settings; or alone: "
        "`python train.py --config config.json`.",
        "",
        f"- Seed {seed}; test split sha256 `{package.metrics['split_sha256']}`",
        f"- Script sha256 `{escape(str(facts.get('script', {}).get('sha256') or 'not recorded'), 64)}`",
        f"- Software: {escape(versions or 'not recorded', 200)}",
        f"- The {metric} can be recomputed from `predictions.csv` with scikit-learn; "
        f"{escape(package.metrics['convention'], 400)}",
        "",
        f"Files beside this one: {LINKED}.",
    ]
