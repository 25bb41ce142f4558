"""What people see of an audit: ``audit.md`` and the class-balance plot.

Everything from the data is escaped: a class called ``<script>`` or ``@everyone`` is shown, not obeyed. The
plot must be read on a phone: up to 40 classes get a bar with name and count each; of more, one panel shows
the sizes of all and the other names the largest and the smallest. Colours are from the Okabe-Ito set, which
colour-blind readers can tell apart.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from remote.jobs.columns import cut
from remote.jobs.findings import Finding, class_counts
from remote.jobs.rows import Row
from remote.jobs.splits import SPLITS

ALL_NAMED = 40
NAMED_ENDS = 12
LINE_CHARS = 26
TABLE_CLASSES = 20
COLOURS = {"train": "#0072B2", "validation": "#E69F00", "test": "#009E73"}
_SIGNS = {"blocking": "⛔ stops the run", "warning": "⚠️ to weigh", "info": "for the record"}
_SPECIAL = re.compile(r"([\\`*_{}\[\]#!|~>])")


def escape(text: str, chars: int = 120) -> str:
    """Data as literal markdown on one line: no HTML, links, mentions, tables or emphasis."""
    line = cut(text, chars).replace("&", "&amp;").replace("<", "&lt;")
    line = _SPECIAL.sub(r"\\\1", line)
    return line.replace("@", "@\u200b").replace("://", ":\u200b//")


def page(facts: Mapping[str, Any], findings: Sequence[Finding]) -> str:
    """``audit.md``; ``facts`` is the content of ``audit.json``."""
    lines = [
        f"# Audit of {escape(str(facts['title']), 80)}",
        "",
        *_verdict(findings),
        "",
        *_summary(facts),
        "",
    ]
    if findings:
        lines += ["## What was found", "", "| | Finding | What was done |", "|---|---|---|"]
        order = list(_SIGNS)
        for finding in sorted(findings, key=lambda f: order.index(f.severity)):
            words = f"{escape(finding.detail, 400)} | {escape(finding.done, 300)}"
            lines.append(f"| {_SIGNS[finding.severity]} | {words} |")
        lines += ["", *_examples(findings)]
    if facts.get("class_counts"):
        lines += _classes(facts)
    return "\n".join(lines).rstrip() + "\n"


def _verdict(findings: Sequence[Finding]) -> list[str]:
    blocking = [finding for finding in findings if finding.severity == "blocking"]
    if blocking:
        return [f"**The data cannot be used as it is.** {escape(blocking[0].detail, 400)}"]
    warnings = sum(finding.severity == "warning" for finding in findings)
    if not warnings:
        return ["The data can be used; nothing speaks against it."]
    return [f"The data can be used; {warnings} finding{'s are' if warnings > 1 else ' is'} for you to weigh."]


def _summary(facts: Mapping[str, Any]) -> list[str]:
    rows = facts.get("rows") or {}
    shown = [
        ("Source", facts.get("source")),
        ("Revision", facts.get("revision")),
        ("Licence", facts.get("licence") or "not stated"),
        ("Text → target", f"{facts.get('text_column')} → {facts.get('target')}"),
        ("Task", facts.get("family")),
        ("Rows given", f"{facts['raw_rows']:,}" if facts.get("raw_rows") else None),
        ("Rows used", ", ".join(f"{split} {rows[split]:,}" for split in SPLITS) if rows else None),
        ("Classes", f"{len(facts['labels']):,}" if facts.get("labels") else None),
        ("Words a text", _words(facts.get("lengths"))),
        ("Language", facts.get("language") or "not told"),
        ("Seed of the split", facts.get("seed")),
    ]
    lines = [f"| {name} | {escape(str(value), 200)} |" for name, value in shown if value is not None]
    return ["| | |", "|---|---|", *lines]


def _words(lengths: Mapping[str, float] | None) -> str | None:
    if not lengths:
        return None
    return f"{lengths['words_p50']:.0f} in the middle, 95 % have at most {lengths['words_p95']:.0f}"


def _examples(findings: Sequence[Finding]) -> list[str]:
    lines: list[str] = []
    for finding in findings:
        if finding.examples:
            lines += [f"**{escape(finding.detail, 200)}** For example:", ""]
            lines += [f"- {escape(example)}" for example in finding.examples[:5]]
            lines.append("")
    return ["## Examples", "", *lines] if lines else []


def _classes(facts: Mapping[str, Any]) -> list[str]:
    counts: Mapping[str, Mapping[str, int]] = facts["class_counts"]
    totals = {label: sum(counts[split].get(label, 0) for split in SPLITS) for label in facts["labels"]}
    ranked = sorted(totals, key=lambda label: -totals[label])[:TABLE_CLASSES]
    head = (
        "## Classes"
        if len(totals) <= TABLE_CLASSES
        else f"## The {TABLE_CLASSES} largest of {len(totals):,} classes"
    )
    lines = [head, "", "| Class | train | validation | test |", "|---|---:|---:|---:|"]
    for label in ranked:
        cells = " | ".join(f"{counts[split].get(label, 0):,}" for split in SPLITS)
        lines.append(f"| {escape(label, 60)} | {cells} |")
    return [*lines, "", "![Rows a class](plots/class_balance.png)"]


def plot(path: Path, splits: Mapping[str, Sequence[Row]], labels: Sequence[str]) -> Path:
    """``class_balance.png``, or a histogram of the target for numbers."""
    import matplotlib as mpl  # slow to import, and a blocked audit needs none
    from matplotlib.figure import Figure

    with mpl.rc_context({"text.parse_math": False, "font.size": 11, "svg.hashsalt": "audit"}):
        if not labels:
            figure = _histogram(Figure(figsize=(7, 4), layout="constrained"), splits)
        elif len(labels) <= ALL_NAMED:
            figure = Figure(figsize=(7, 1.6 + 0.36 * len(labels)), layout="constrained")
            _bars(figure.subplots(), splits, _by_size(splits, labels), "Rows a class")
        else:
            figure = _many(Figure(figsize=(7, 12), layout="constrained"), splits, labels)
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(path.name + ".part")
        figure.savefig(beside, dpi=130, format="png")
    return beside.replace(path)


def _by_size(splits: Mapping[str, Sequence[Row]], labels: Sequence[str]) -> list[str]:
    totals = class_counts(row for rows in splits.values() for row in rows)
    return sorted(labels, key=lambda label: (-totals[label], label))


def _bars(axes: Any, splits: Mapping[str, Sequence[Row]], labels: Sequence[str], title: str) -> None:
    """One bar a class, the largest on top, its splits side by side in it."""
    left = [0] * len(labels)
    for split in SPLITS:
        counts = class_counts(splits[split])
        widths = [counts[label] for label in labels]
        axes.barh(range(len(labels)), widths, left=left, color=COLOURS[split], label=split, height=0.75)
        left = [a + b for a, b in zip(left, widths, strict=True)]
    for position, total in enumerate(left):
        axes.text(total, position, f" {total:,}", va="center", fontsize=9)
    axes.set_yticks(
        range(len(labels)), [printable(drawable(label)) for label in labels], fontsize=9, linespacing=1.1
    )
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.set_xlim(0, max(left, default=1) * 1.12 + 1)
    axes.set_title(title, loc="left")
    axes.set_xlabel("rows")
    axes.spines[["top", "right"]].set_visible(False)
    axes.figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)


def _many(figure: Any, splits: Mapping[str, Sequence[Row]], labels: Sequence[str]) -> Any:
    above, below = figure.subfigures(2, 1, height_ratios=[1, 2.8])
    upper, lower = above.subplots(), below.subplots()
    ranked = _by_size(splits, labels)
    base = [0] * len(ranked)
    for split in SPLITS:
        counts = class_counts(splits[split])
        top = [a + counts[label] for a, label in zip(base, ranked, strict=True)]
        upper.fill_between(
            range(1, len(ranked) + 1), base, top, step="mid", color=COLOURS[split], linewidth=0
        )
        base = top
    upper.set_title(f"All {len(ranked):,} classes by size", loc="left")
    upper.set_ylabel("rows")
    upper.set_xlabel("rank of the class")
    upper.set_ylim(0)
    upper.set_xlim(1, len(ranked))
    upper.spines[["top", "right"]].set_visible(False)
    ends = ranked[:NAMED_ENDS] + ranked[-NAMED_ENDS:]
    _bars(lower, splits, ends, f"The {NAMED_ENDS} largest and the {NAMED_ENDS} smallest classes")
    lower.axhline(NAMED_ENDS - 0.5, color="0.5", linestyle=":", linewidth=1)
    return figure


def _histogram(figure: Any, splits: Mapping[str, Sequence[Row]]) -> Any:
    axes = figure.subplots()
    values = [[row.label for row in splits[split] if isinstance(row.label, float)] for split in SPLITS]
    axes.hist(values, bins=30, stacked=True, color=[COLOURS[split] for split in SPLITS], label=list(SPLITS))
    axes.set_title("Rows by target value", loc="left")
    axes.set_xlabel("target")
    axes.set_ylabel("rows")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    return figure


def drawable(label: str) -> str:
    """The label with "?" for each character that the plot's font lacks, such as Chinese ones and emoji."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    font = get_font(findfont(FontProperties()))
    return "".join(c if c.isspace() or font.get_char_index(ord(c)) else "?" for c in label)


def printable(label: str) -> str:
    """A tick label: at most two lines, broken after a word; the middle of a longer name is left out."""
    name = cut(label, 4 * LINE_CHARS)
    if len(name) > 2 * LINE_CHARS:
        name = f"{name[: LINE_CHARS - 1]}…{name[-LINE_CHARS:]}"
    if len(name) <= LINE_CHARS:
        return name or "(empty)"
    breaks = [match.end() for match in re.finditer(r"[\s_/-]+", name) if match.end() <= LINE_CHARS]
    at = max([b for b in breaks if len(name) - b <= LINE_CHARS], default=LINE_CHARS)
    return f"{name[:at]}\n{name[at:]}"
