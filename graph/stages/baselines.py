"""Cheap baselines, measured before anyone pays for training, and what they say about its worth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graph import jobs
from graph.context import Context
from graph.inputs import metric_of
from graph.names import EventType
from graph.state import RunState, Scored


async def run(state: RunState, context: Context) -> RunState:
    outcome = await jobs.listen(context, state["probe_job"], "baselines", to_end=True)
    result = jobs.expect(outcome)
    await jobs.fetch(context, state["probe_job"], context.dir / "work" / "probe")
    rows = tuple(
        Scored(
            row["name"],
            row["score"],
            row.get("fit_s"),
            row.get("ms_per_row"),
            row.get("size_mb"),
            row.get("usd"),
            row.get("note", ""),
        )
        for row in result["leaderboard"]
    )
    metric = metric_of(state)
    notes = advice(result, rows, metric)
    await context.say(EventType.BASELINES_MEASURED, metric=metric, rows=rows, advice=notes)
    return RunState(baselines=rows, advice=notes)


def advice(result: Mapping[str, Any], rows: tuple[Scored, ...], metric: str) -> tuple[str, ...]:
    """What the baselines say about training, in words for the plan."""
    scores = {row.name: row.score for row in rows}
    notes = []
    if result.get("ceiling_reached"):
        notes.append(
            "A baseline is already near perfect: training may not be worth it, and the data may be too easy."
        )
    if result.get("overlap") and {"tfidf_lr", "embedding_lr"} <= scores.keys():
        a, b = scores["tfidf_lr"], scores["embedding_lr"]
        notes.append(
            f"The 95 % intervals of TF-IDF ({a['low']:.3f} to {a['high']:.3f} {metric}) and of frozen embeddings "
            f"({b['low']:.3f} to {b['high']:.3f}) overlap: the text's meaning adds little here, so training a "
            "transformer may not be worth it."
        )
    return tuple(notes)
