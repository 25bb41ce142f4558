"""Which columns of the data count: what a person said, what the files look like, or a question.

A column that a person named and that the data lacks is asked about; another one never takes its place unasked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from graph import jobs
from graph.context import Context
from graph.errors import StageFailed
from graph.inputs import LIGHT, raw_files, raw_inputs
from graph.names import DecisionKind, FailureKind, Stage
from graph.state import Choice, DataFiles, Question, RunState, answered, slug_in
from remote.backend import Program

ROLES = ("text", "target")
_JOINED = " + "  # several 0/1 columns as one target
_ASKED = {
    "text": "Which column holds the texts?",
    "target": "Which column holds what the model should learn?",
}


def columns_said(state: RunState) -> dict[str, str]:
    """Role to column, as a person answered, to this module's question just now or to an earlier one."""
    said = dict(state.get("columns", {}))
    answer = answered(state)
    if answer and (role := slug_in(answer.question_id)) in ROLES:
        said[role] = answer.value
    return said


def columns_named(state: RunState) -> dict[str, str | None]:
    """Role to column, as the request, its sentence or an answer names it."""
    request, task = state["request"], state["task"]
    named = {"text": request.text_column or task.text_column, "target": request.target or task.target}
    return named | columns_said(state)


async def inspect(
    context: Context,
    data: DataFiles,
    named: Mapping[str, str | None],
    allow_unisolated: bool,
    name: str = "inspect",
) -> Mapping[str, Any]:
    """Columns, proposals and a preview of raw files, found out in the sandbox. ``name``: of the job in this visit."""
    config = {"files": raw_files(data), "text_column": named.get("text"), "target": named.get("target")}
    return await jobs.run(
        context,
        name,
        (Program("inspect", "inspect", config),),
        raw_inputs(data),
        LIGHT,
        context.dir / "work" / name,
        allow_unisolated=allow_unisolated,
    )


async def lacking(
    state: RunState, context: Context, data: DataFiles, error: StageFailed
) -> tuple[str, Mapping[str, Any]] | None:
    """The role whose named column the data lacks, and what the data has; ``None`` where ``error`` means another
    thing, or nobody can be asked."""
    named = columns_named(state)
    if state["request"].yes or error.kind is not FailureKind.DATA_ERROR or not any(named.values()):
        return None
    try:
        seen = await inspect(context, data, {}, state["request"].allow_unisolated, "columns")
    except StageFailed:
        return None
    there = {str(column["name"]).casefold() for column in seen["columns"]}
    role = next((role for role in ROLES if there and not _has(there, named[role])), None)
    return (role, seen) if role else None


def unsettled(seen: Mapping[str, Any], named: Mapping[str, str | None]) -> str | None:
    """The first role that nobody named and of whose column the files leave a doubt. Each is asked about once."""
    doubts = () if seen.get("certain", True) else seen.get("unsure", tuple(named))
    return next((role for role, name in named.items() if not name and role in doubts), None)


def _has(there: set[str], name: str | None) -> bool:
    asked = (name or "").strip().casefold()
    return not asked or asked in there or {*asked.split(_JOINED)} <= there


def ask_column(context: Context, role: str, names: Sequence[str], why: str, *, usual: bool) -> Question:
    """``usual``: ``--yes`` takes the first one."""
    return context.question(
        DecisionKind.CLARIFY,
        Stage.NEEDS_HUMAN,
        f"{_ASKED[role]} {why}",
        (*(Choice(name, name) for name in names[:8]), Choice("cancel", "Cancel", style="danger")),
        slug=role,
        free_text=True,
        back_to=Stage.AUDIT,
        default=names[0] if names and usual else None,
    )
