"""Cards that answer one person: help, a list of runs, a prediction, a refusal. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bot.cards import Action, Bullets, Card, Column, Fields, Style, Table, Text, Tone
from bot.views import words
from bot.views.payload import Payload
from bot.views.predicted import predicted
from graph.deps import Run
from graph.names import RunStatus

SHOWN_RUNS = 15
_TONES = {
    RunStatus.RUNNING: Tone.WORKING,
    RunStatus.WAITING: Tone.WAITING,
    RunStatus.DONE: Tone.GOOD,
    RunStatus.FAILED: Tone.BAD,
    RunStatus.CANCELLED: Tone.WARN,
}
_OVER = {
    RunStatus.DONE: "It is done. Ask the model with “try: a text”.",
    RunStatus.FAILED: "It did not work; the last message of its thread says why.",
    RunStatus.CANCELLED: "It was cancelled; what was made is kept.",
}


def told(text: str, tone: Tone = Tone.NEUTRAL, title: str = "") -> Card:
    """One sentence."""
    return Card("told", "", title, (Text(text),), tone=tone, fallback=text)


def refused(text: str) -> Card:
    return told(text, Tone.WARN)


def help_card(rows: Sequence[tuple[str, str]], problem: str = "") -> Card:
    first = (Text(problem, Style.WARN),) if problem else ()
    return Card(
        "help",
        "",
        "What I understand",
        (
            *first,
            Text("I train models that sort, tag or score texts."),
            Fields(tuple(rows)),
            Text("For example: Sort our support tickets by intent; I care about macro-F1.", Style.MUTED),
        ),
        fallback=problem or "What I understand",
    )


def offer_again(run_id: str, change: str, ended: bool) -> Card:
    """A change that the run can no longer take: a new run could."""
    why = "This run has ended" if ended else "The plan of this run is made already"
    return Card(
        "again",
        run_id,
        "Train again?",
        (Text(f"{why}. I can start a new one on the same data with that change."),),
        (
            Action(
                f"Train again: {words.cut(change, 50)}", f"again:{words.cut(change, 300)}", style="primary"
            ),
        ),
        fallback=f"{why}.",
    )


def runs_card(runs: Sequence[Run], start: str) -> Card:
    """``start``: how to start one here."""
    if not runs:
        return told(f"No runs yet. Start one: {start}.")
    rows = tuple((r.id, words.cut(r.title, 60), state_of(r), r.created_at[:10]) for r in runs[:SHOWN_RUNS])
    columns = (Column("Run"), Column("Task"), Column("State"), Column("Since"))
    more = len(runs) - SHOWN_RUNS
    last = (Text(f"and {words.plural(more, 'older one')}", Style.MUTED),) if more > 0 else ()
    return Card("runs", "", "Your runs", (Table(columns, rows), *last), fallback=f"{len(runs)} runs")


def state_of(run: Run) -> str:
    if run.status is RunStatus.WAITING and run.question:
        return f"waits: {words.cut(run.question.text, 140)}"
    if run.status is RunStatus.RUNNING:
        return words.STAGES[run.stage]
    return run.status.value


def status_card(run: Run) -> Card:
    waits = f"It waits for an answer: {run.question.text if run.question else ''}"
    text = {RunStatus.WAITING: waits, **_OVER}.get(run.status, f"{state_of(run)}.")
    return Card(
        "status", run.id, f"{run.id}: {run.title}", (Text(text),), tone=_TONES[run.status], fallback=text
    )


def predictions_card(run_id: str, answers: Sequence[Mapping[str, Any]]) -> Card:
    """Label, confidence, and a warning where the text is unlike what the model was trained on."""
    blocks: list[Text | Fields | Bullets] = []
    said = [predicted(Payload(answer)) for answer in answers]
    for one in said:
        rows = (("Answer", one.label), ("Confidence", one.confidence), ("Then", one.others))
        blocks.append(Text(words.cut(one.text, 300), Style.QUOTE))
        blocks.append(Fields(tuple((name, value) for name, value in rows if value)))
        if one.warnings:
            blocks.append(Bullets(one.warnings, Style.WARN))
    tone = Tone.WARN if any(one.warnings for one in said) else Tone.GOOD
    fallback = said[0].line if said else ""
    return Card("try", run_id, "The model says", tuple(blocks), tone=tone, fallback=fallback)
