"""Looks for data and for a base model, and says what it found and why. A person chooses next."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from graph.context import Context
from graph.deps import Source
from graph.errors import GraphError, SourceError, StageFailed
from graph.llm.spending import answer_about_llm
from graph.names import DecisionKind, EventType, FailureKind, Stage
from graph.stages.choosing import answer_about_model, choose_model, task_with_model
from graph.stages.columns import columns_named, inspect, lacking
from graph.stages.reach import check_reach
from graph.stages.reading import answer_about_paper, read_paper
from graph.state import Candidate, Choice, Question, RunState, TaskSpec, answered

SHOWN = 5
REASONS = 4  # beside a choice
_NAME_DATA = "Attach the file to your message, or name a data set of the Hub such as owner/name."


async def run(state: RunState, context: Context) -> RunState:
    reading = await read_paper(state, context)
    if reading.get("question"):
        return reading
    asked = _answer_about_data(state)
    task, wanted = task_with_model(state), _wanted(state, asked)
    meant = reading | RunState(task=task, wanted=wanted, answer=None)
    try:
        found, note, as_named = await _candidates(state, context, wanted)
    except GraphError as error:
        if not is_about_data(error) or (state["request"].yes and not asked):
            raise  # with --yes nobody is there to ask, and nothing else may serve unasked
        before = state.get("candidates", ())
        return meant | RunState(question=ask(context, before, told(error), failed=wanted is not None))
    candidates = tuple(c for c in found if c.usable)
    model = await choose_model(context, task, state["request"])
    if isinstance(model, Question):
        return meant | RunState(question=model)
    await context.say(
        EventType.CANDIDATES_FOUND,
        source=candidates[0].source,
        offline=candidates[0].source == "catalogue",
        note=note,
        candidates=found,
        model=model,
    )
    shown = dict.fromkeys((*state.get("shown", ()), *(c.id for c in found)))
    named = as_named and wanted == state["request"].data
    return meant | RunState(
        candidates=candidates,
        shown=tuple(shown),
        model=model,
        question=ask(context, candidates, note, named=named),
        data=None,
        columns={},
    )


def _answer_about_data(state: RunState) -> str:
    """``more``, ``retry`` or what a person named; empty where the last answer was about something else."""
    elsewhere = answer_about_paper(state) or answer_about_model(state) or answer_about_llm(state)
    answer = None if elsewhere else answered(state)
    return answer.value if answer else ""


def _wanted(state: RunState, asked: str) -> str | None:
    """The data that a person means by now; ``None``: whatever a search brings."""
    if asked and asked != "retry":
        return None if asked == "more" else asked
    return state["wanted"] if "wanted" in state else state["task"].data


def is_about_data(error: GraphError) -> bool:
    """Whether other data, or the same once more, could go where this did not."""
    return isinstance(error, SourceError) or (isinstance(error, StageFailed) and error.kind in _OF_THE_DATA)


_OF_THE_DATA = (FailureKind.DATA_ERROR, FailureKind.TIMEOUT, FailureKind.OUT_OF_MEMORY)


def told(error: GraphError) -> str:
    return f"{error.detail} {error.hint}".strip()


async def _candidates(
    state: RunState, context: Context, wanted: str | None
) -> tuple[tuple[Candidate, ...], str, bool]:
    """At least one that can be used, those first; a line on where they come from; and whether they are what was wanted,
    with the columns that were. Raises SourceError, StageFailed."""
    if wanted is None:
        return *await _search(context, state["task"], state.get("shown", ())), False
    for source in context.deps.sources:
        if source.claims(wanted):
            if source.name == "file":
                check_reach(wanted, state["request"].files_below, _NAME_DATA)
            found = await source.candidate(wanted)
            if found.source == "file":
                return await _own_file(state, context, source, found)
            return (found,), f"You named {found.id}.", True
    raise SourceError(
        f"{wanted!r} is neither a file here nor a data set's name.",
        "Give the path of a CSV, TSV, JSONL, Parquet or Excel file, or a Hub id such as owner/name.",
    )


async def _search(
    context: Context, task: TaskSpec, skip: Collection[str]
) -> tuple[tuple[Candidate, ...], str]:
    """Sources in order of preference; the first that answers with something usable serves. None in ``skip``."""
    notes: list[str] = []
    refused: SourceError | None = None
    for source in context.deps.sources:
        if not source.searchable:
            continue
        if not await source.ready():
            notes.append(f"The {source.name} is out of reach.")
            continue
        try:
            found = await source.search(task, SHOWN, skip)
        except SourceError as error:
            refused = refused or error
            notes.append(error.detail)
            continue
        if any(c.usable for c in found):
            more = "Others, found" if skip else "Found"
            return tuple(found), " ".join([*notes, f"{more} in the {source.name}."])
        notes.append(f"The {source.name} has nothing {'else ' if skip else ''}that fits{_reasons(found)}.")
    raise SourceError(
        " ".join([*notes, "There are no others." if skip else "I found no data for this task."]),
        "Give your own: a CSV, TSV, JSONL, Parquet or Excel file with one text column and one label column.",
        refused.kind if refused else None,
    )


def _reasons(refused: Sequence[Candidate]) -> str:
    """Of the nearest ones, so that a person knows what was looked at."""
    told = [f"{c.title[:60]}: {c.why_not}" for c in refused[:2] if c.why_not]
    return f" ({'; '.join(told)})" if told else ""


async def _own_file(
    state: RunState, context: Context, source: Source, found: Candidate
) -> tuple[tuple[Candidate, ...], str, bool]:
    """The file with each pair of columns that is likely, the best first."""
    data = await source.fetch(found, context.dir / "raw")
    note, as_named = f"Your file {found.title}.", True
    try:
        seen = await inspect(context, data, columns_named(state), state["request"].allow_unisolated)
    except StageFailed as error:
        others = await lacking(state, context, data, error)
        if others is None:
            raise
        (_, seen), note, as_named = others, error.detail, False
    certain = as_named and (seen.get("certain", True) or bool(state["request"].target))
    return _with_columns(found, seen, certain=certain), note, as_named


def _with_columns(found: Candidate, seen: Mapping[str, Any], *, certain: bool) -> tuple[Candidate, ...]:
    best = replace(
        found,
        rows=seen["rows"],
        classes=seen.get("classes"),
        text_column=seen["text_column"],
        target=seen["target"],
        reasons=(seen["why"],),
        score=1.0,
    )
    if certain:
        return (best,)
    others = [t for t in seen.get("alternatives", {}).get("target", []) if t != best.target]
    return (
        best,
        *(
            replace(
                best,
                target=name,
                classes=None,
                reasons=("another column that could be the target",),
                score=0.5,
            )
            for name in others[: SHOWN - 1]
        ),
    )


def ask(
    context: Context,
    candidates: tuple[Candidate, ...],
    note: str,
    *,
    failed: bool = False,
    named: bool = False,
) -> Question:
    """Which data to use. ``failed``: what was wanted could not be had, and can be tried again. ``named``: the one
    candidate is what the request names."""
    choices = [
        Choice(f"use:{i}", f"Use {_name(c, candidates)}", _detail(c), "primary" if i == 1 else "default")
        for i, c in enumerate(candidates, 1)
    ]
    first = "default" if candidates else "primary"
    if failed:
        choices.append(Choice("retry", "Try again", "looks at it once more", first))
    elif not candidates:
        choices.append(Choice("retry", "Look again", "searches once more", first))
    if failed and not candidates:
        choices.append(Choice("more", "Look for other data", "searches as if none had been named"))
    elif candidates and (failed or candidates[0].source != "file"):
        choices.append(Choice("more", "Show others", "searches on, past those that were shown"))
    choices.append(Choice("cancel", "Cancel", style="danger"))
    return context.question(
        DecisionKind.DATASET,
        Stage.CHOOSE_DATASET,
        f"{note} Which data shall I use? You can also name a file or a Hub data set of your own.".strip(),
        tuple(choices),
        default="use:1" if candidates else None,
        free_text=True,
        named=named,
    )


def _detail(candidate: Candidate) -> str:
    """The first few reasons; the card has all of them."""
    return "; ".join(candidate.reasons[:REASONS])


def _name(candidate: Candidate, others: Sequence[Candidate]) -> str:
    """Its title, with its id where another one has the same, and its columns where they are known."""
    twins = [c for c in others if c.title == candidate.title and c.id != candidate.id]
    title = f"{candidate.title} ({candidate.id})" if twins else candidate.title
    if candidate.target and candidate.text_column:
        return f"{title}: {candidate.text_column} → {candidate.target}"
    return title
