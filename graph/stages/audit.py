"""Fetches the chosen data, checks and splits it. The test split is written here, once, and hashed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from graph import jobs
from graph.context import Context
from graph.errors import GraphError, SourceError, StageFailed
from graph.files import copy_file, copy_tree
from graph.inputs import LIGHT, raw_files, raw_inputs
from graph.names import EventType, FailureKind, TaskFamily
from graph.research.encoders import too_short
from graph.stages.columns import ask_column, columns_named, columns_said, inspect, lacking, unsettled
from graph.stages.reading import prior_results
from graph.stages.research import ask, is_about_data, told
from graph.state import AuditSummary, Candidate, DataFiles, Finding, Question, RunState
from remote.backend import Program


async def run(state: RunState, context: Context) -> RunState:
    candidate = chosen(state)
    if candidate is None:
        note = "There is no data set of that number."
        return RunState(question=ask(context, state["candidates"], note), answer=None)
    data = state.get("data")
    try:
        data = data or await _fetch(context, candidate)
        summary = await _checked(state, context, data)
    except GraphError as error:
        if not is_about_data(error):
            raise
        return await _ask_about(state, context, candidate, data, error)
    if isinstance(summary, Question):
        return RunState(question=summary, answer=None, data=data, columns=columns_said(state))
    await context.say(EventType.AUDITED, audit=summary, plot="plots/class_balance.png", report="audit.md")
    if warning := too_short(state["model"], summary.words_p95):
        await context.note(warning, "warning")
    reported = await prior_results(state, context, data)
    return RunState(data=data, audit=summary, reported=reported, question=None, answer=None)


async def _checked(state: RunState, context: Context, data: DataFiles) -> AuditSummary | Question:
    """The audit's findings, or the question which column counts. Raises StageFailed (``data_error``)."""
    candidate, request = data.candidate, state["request"]
    text, target = _columns(state, data)
    if not (text and target):
        seen = await inspect(context, data, {"text": text, "target": target}, request.allow_unisolated)
        role = unsettled(seen, {"target": target, "text": text})
        if role and not request.yes:
            return ask_column(context, role, seen["alternatives"][role], seen["why"], usual=True)
        text, target = seen["text_column"], seen["target"]
    await context.say(
        EventType.DATA_CHOSEN,
        candidate=candidate,
        files=data.sha256,
        text_column=text,
        target=target,
        model=state["model"],
    )
    return await _audit(state, context, data, text, target, state["task"].family)


def _columns(state: RunState, data: DataFiles) -> tuple[str | None, str | None]:
    """Text and target as a person named them, else as the data set has them. Those of a person's own file were looked
    at when it was offered, and chosen with it."""
    candidate, named = data.candidate, columns_named(state)
    if candidate.source == "file" and candidate.text_column and candidate.target:
        named |= {"text": candidate.text_column, "target": candidate.target, **columns_said(state)}
    text = named["text"] or data.text_column or candidate.text_column
    return text, named["target"] or data.target or candidate.target


def chosen(state: RunState) -> Candidate | None:
    """The candidate that the person chose, kept through later questions by ``state['data']``; ``None`` for a number
    that none has."""
    data, answer = state.get("data"), state.get("answer")
    if data:
        return data.candidate
    number = answer.value.removeprefix("use:") if answer else "1"
    candidates = state["candidates"]
    if not number.isdecimal() or not 1 <= int(number) <= len(candidates):
        return None
    return candidates[int(number) - 1]


async def _fetch(context: Context, candidate: Candidate) -> DataFiles:
    for source in context.deps.sources:
        if source.name == candidate.source:
            return await source.fetch(candidate, context.dir / "raw")
    raise StageFailed(
        f"The source {candidate.source!r} is not set up here.", "`intern doctor` shows the sources."
    )


async def _ask_about(
    state: RunState, context: Context, candidate: Candidate, data: DataFiles | None, error: GraphError
) -> RunState:
    """Which column counts, where a named one is not there; else which data to use instead."""
    lacks = await lacking(state, context, data, error) if data and isinstance(error, StageFailed) else None
    if lacks is None:
        return await _ask_again(state, context, candidate, error)
    role, seen = lacks
    question = ask_column(context, role, seen["alternatives"][role], error.detail, usual=False)
    return RunState(question=question, answer=None, data=data, columns=columns_said(state))


async def _ask_again(state: RunState, context: Context, candidate: Candidate, error: GraphError) -> RunState:
    """The data could not be had, or is not fit: it can be tried again, and the others that were found are still there.
    Raises ``error`` where there is none and nobody can be asked.

    A revision that has vanished meanwhile is replaced by the data set's present one, if a person says so.
    """
    left = tuple(c for c in state["candidates"] if c.id != candidate.id)
    gone = isinstance(error, SourceError) and error.kind is FailureKind.DATA_ERROR
    newer = await _newer(context, candidate) if gone else None
    if newer is not None:
        left = (newer, *left)
    if not left and state["request"].yes:
        raise error
    note = f"{error.detail} It is now at another revision." if newer else told(error)
    if state["request"].yes:  # else the question says it
        await context.note(note, "warning")
    question = ask(context, left, note, failed=True)
    return RunState(
        candidates=left, wanted=candidate.id, question=question, answer=None, data=None, columns={}
    )


async def _newer(context: Context, candidate: Candidate) -> Candidate | None:
    """The data set as it is now, where that is another revision than the one that was chosen."""
    for source in context.deps.sources:
        if source.name == candidate.source and candidate.revision:
            try:
                found = await source.candidate(candidate.id)
            except SourceError:
                return None
            changed = found.revision not in (None, candidate.revision)
            return replace(found, score=candidate.score) if changed else None
    return None


async def _audit(
    state: RunState, context: Context, data: DataFiles, text: str, target: str, family: TaskFamily | None
) -> AuditSummary:
    request = state["request"]
    out = context.dir / "work" / "audit"
    result = await jobs.run(
        context,
        "audit",
        (Program("audit", "audit", audit_config(data, text, target, family, request.seed)),),
        raw_inputs(data),
        LIGHT,
        out,
        allow_unisolated=request.allow_unisolated,
    )
    for name in ("train.jsonl", "validation.jsonl", "test.jsonl"):
        copy_file(out / name, context.dir / "data" / name)
    for name in ("audit.json", "audit.md"):
        copy_file(out / name, context.dir / name)
    copy_tree(out / "plots", context.dir / "plots")
    return AuditSummary(
        family=TaskFamily(result["family"]),
        labels=tuple(result["labels"]),
        rows=result["rows"],
        findings=tuple(
            Finding(f["kind"], f["severity"], f["detail"], f.get("done", "")) for f in result["findings"]
        ),
        split_sha256=result["split_sha256"],
        imbalance=result.get("imbalance") or 1.0,
        words_p95=result.get("words_p95") or 0.0,
        language=result.get("language"),
        folder=str(context.dir / "data"),
    )


def audit_config(
    data: DataFiles, text: str, target: str, family: TaskFamily | None, seed: int
) -> dict[str, Any]:
    """The audit job's config (``docs/jobs.md``): with the same data it makes the same split."""
    candidate = data.candidate
    return {
        "files": raw_files(data),
        "left_out": dict(data.left_out),
        "text_column": text,
        "target": target,
        "group_column": data.group_column,
        "class_names": {column: list(names) for column, names in data.class_names.items()},
        "family": family.value if family else None,
        "seed": seed,
        "title": candidate.title,
        "source": f"{candidate.source}: {candidate.title if candidate.source == 'file' else candidate.id}",
        "revision": candidate.revision,
        "licence": candidate.licence,
        "sha256": dict(data.sha256),
    }
