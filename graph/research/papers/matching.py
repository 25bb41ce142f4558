"""Which reported numbers may stand beside ours. Pure.

Beside ours: the same task and metric, on the test split, and we kept the data's own test split. Everything else is
listed apart with the reason, and no number of others is ever among ours.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from graph.literature import Paper, PaperFact, Reported
from graph.research.papers.following import place
from graph.state import Candidate, DataFiles

SHOWN = 12
TEXT_TASKS = frozenset(("text-classification", "sentiment-analysis", "text-regression"))
USUAL_CONFIGURATIONS = frozenset(("default", "main", "plain_text"))
LOWER_IS_BETTER = frozenset(("rmse", "mae"))


def same_name(name: str, candidate: Candidate) -> bool:
    """Whether a paper's name of a data set is the candidate's: "BANKING77" is ``PolyAI/banking77``."""
    wanted = _squeezed(name)
    repo = candidate.id.partition("@")[0].partition("#")[0].rpartition("/")[2]
    names = {
        _squeezed(repo.rpartition(".")[0] if candidate.source == "file" else repo),
        _squeezed(candidate.title),
    }
    return len(wanted) >= 3 and wanted in names


def _squeezed(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.casefold())


def from_paper(paper: Paper, candidate: Candidate) -> tuple[Reported, ...]:
    """The paper's scores for this data set."""
    title = paper.title[:80]
    return tuple(
        Reported(
            result.metric,
            result.value,
            f"{result.model or 'its model'} in “{title}”",
            "paper",
            paper.url or paper.id,
            result.split,
            where=place(PaperFact("", "", result.page, result.quote, result.where)),
        )
        for result in paper.results
        if result.data and same_name(result.data, candidate)
    )


def beside_ours(reported: Iterable[Reported], metric: str, data: DataFiles) -> list[dict[str, Any]]:
    """Rows as plain data, with ``apart``: why a row cannot stand beside ours, or ""; the comparable ones first."""
    rows = [asdict(row) | {"apart": _apart(row, metric, data)} for row in reported]
    sign = 1 if metric in LOWER_IS_BETTER else -1
    rows.sort(key=lambda row: (bool(row["apart"]), row["metric"] != metric, sign * row["value"]))
    return rows[:SHOWN]


def _apart(row: Reported, metric: str, data: DataFiles) -> str:
    if row.source == "model card" and row.task not in TEXT_TASKS:
        return f"another task ({row.task})" if row.task else "its task is not stated"
    if row.metric == "f1" and metric.endswith("_f1"):
        return "an F1 of unstated averaging"
    if row.metric != metric:
        return "another metric"
    if row.split is None:
        return "its split is not stated"
    if row.split != "test":
        return f"on the split {row.split}"
    if "test" not in data.splits:
        return "we split off test rows of our own"
    if not data.official_test:
        return "we read a part of the test split only"
    return _other_configuration(row, data.candidate)


def _other_configuration(row: Reported, candidate: Candidate) -> str:
    """Of a data set with several configurations, the number has to be for the one that was taken."""
    taken = next((reason for reason in candidate.reasons if "its configuration " in reason), "")
    if (
        row.config
        and row.config not in USUAL_CONFIGURATIONS
        and f"its configuration {row.config}" not in taken
    ):
        return f"for its configuration {row.config}"
    return "its configuration is not stated" if taken and not row.config else ""
