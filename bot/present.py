"""From a run's events to cards. Pure, and total: every event type has a presentation or is named as silent.

``tell`` is one step of a fold over the log; ``present`` is the whole fold. A card's content depends on the
events alone, so that a surface which starts anew computes the same cards and edits only what differs. Keys:
``root`` (the run's status, edited all along), one key for each thing to show (``task``, ``audit``,
``evaluation`` …), and numbered keys where a thing can happen again and has to be seen at its own place
(``plan:<hash>``, ``question:<id>``, ``training:<attempt>``, ``recovered:<n>``, ``note:<seq>``,
``ended:<n>``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from bot.cards import Action, Asks, Card, Code, Progress, Steps, StepState, Style, Text, Tone
from bot.views import data, papers, results, training, words
from bot.views.payload import Payload
from bot.views.story import BUILT, Story
from graph.deps import Event
from graph.names import DecisionKind, EventType, RunStatus, Stage

__all__ = ["SHOWN", "SILENT", "Story", "present", "tell"]

ROOT = "root"
_TRAINING = (Stage.LAUNCH, Stage.WATCH)
_TERMINAL = (Stage.DONE, Stage.FAILED, Stage.CANCELLED)
_END = {
    RunStatus.DONE.value: StepState.DONE,
    RunStatus.FAILED.value: StepState.FAILED,
    RunStatus.CANCELLED.value: StepState.STOPPED,
}
_ASKING = {
    DecisionKind.DATASET.value: "Choose the data",
    DecisionKind.COMPUTE.value: "Approve the training",
    DecisionKind.PUBLISH.value: "Publish the model?",
    DecisionKind.HELP.value: "I need help",
    DecisionKind.LLM.value: "Ask a language model?",
}
_ROOT_TONES = {
    StepState.WAITING: Tone.WAITING,
    StepState.DONE: Tone.GOOD,
    StepState.FAILED: Tone.BAD,
    StepState.STOPPED: Tone.WARN,
}


def present(events: Iterable[Event]) -> Mapping[str, Card]:
    """The run's cards by key, in the order of their first appearance; empty for no events."""
    story: Story | None = None
    for event in events:
        story = tell(story or Story(event.run_id), event)
    return story.cards if story else {}


def tell(story: Story, event: Event) -> Story:
    """The story after ``event``; ``changed`` names the cards that it touched."""
    story = story.but(changed=())
    show = SHOWN.get(event.type)
    return show(story, event) if show else story


def _card(view: Callable[[Story, Payload], Story]) -> Callable[[Story, Event], Story]:
    return lambda story, event: view(story, Payload(event.payload))


# -- the run's own card --------------------------------------------------------------------------------------


def _root(story: Story, news: str = "", doing: str = "") -> Story:
    title = story.title or words.cut(story.sentence, 60) or "A run"
    doing = doing or (words.STAGES[story.stage] if story.stage else "Starting")
    about = "" if story.stage is Stage.NEEDS_HUMAN else f" ({doing.lower()})"
    label = {StepState.WAITING: f"waiting for an answer{about}", StepState.DONE: "done"}.get(
        story.step_state, doing
    )
    job = Progress(story.job_done, story.job_total, story.job_label) if story.job_label else None
    return story.card(
        ROOT,
        title,
        Text(words.cut(story.sentence, 600), Style.QUOTE) if story.sentence else None,
        Text(f"Goes on from run {story.parent_run}", Style.MUTED) if story.parent_run else None,
        Steps(story.steps()),
        job if story.step_state is StepState.NOW else None,
        tone=_ROOT_TONES.get(story.step_state, Tone.WORKING),
        fallback=f"{title}: {label}",
        live=story.step_state in (StepState.NOW, StepState.WAITING),
        news=news,
    )


def _run_started(story: Story, event: Event) -> Story:
    payload = Payload(event.payload)
    return _root(
        story.but(
            sentence=payload.text("sentence"),
            requester=payload.text("requester"),
            surface=payload.text("surface"),
            parent_run=payload.text("parent_run"),
        ).at(Stage.INTAKE, StepState.NOW)
    )


def _stage_started(story: Story, event: Event) -> Story:
    if event.stage is None or event.stage in _TERMINAL:
        return story
    story = data.task_settled(story) if event.stage in BUILT else story
    moved = story.at(event.stage, StepState.NOW).but(job_label="", job_done=0.0, job_total=0.0)
    return _root(moved, news=words.STAGES[event.stage])


# -- jobs ----------------------------------------------------------------------------------------------------


def _job_submitted(story: Story, event: Event) -> Story:
    return training.submitted(story, Payload(event.payload)) if event.stage in _TRAINING else story


def _job_progress(story: Story, event: Event) -> Story:
    payload = Payload(event.payload)
    if event.stage in _TRAINING:
        return training.progressed(story, payload)
    label = words.STAGES[event.stage] if event.stage else payload.text("stage")
    done, total = payload.number("step") or 0.0, payload.number("total") or 0.0
    return _root(story.but(job_label=label or "Working", job_done=done, job_total=total))


def _job_epoch(story: Story, event: Event) -> Story:
    return training.epoch_done(story, Payload(event.payload)) if event.stage in _TRAINING else story


def _job_warning(story: Story, event: Event) -> Story:
    payload = Payload(event.payload)
    if event.stage in _TRAINING:
        return training.warned(story, payload)
    said = payload.text("detail") or payload.text("kind", "warning").replace("_", " ")
    return story.card(f"note:{event.seq}", "Warning", Text(said), tone=Tone.WARN, fallback=said)


def _job_failed(story: Story, event: Event) -> Story:
    """Other jobs' failures are told by their stage: the smoke test's card, or the end."""
    return training.training_failed(story, Payload(event.payload)) if event.stage in _TRAINING else story


# -- questions and the end -----------------------------------------------------------------------------------


def _question_asked(story: Story, event: Event) -> Story:
    question = Payload(event.payload).part("question")
    price = question.number("price_usd")
    actions = tuple(
        Action(
            c.text("label") or c.text("value"),
            c.text("value"),
            c.text("detail"),
            c.text("style", "default"),
            _confirm(question, c.text("value"), price),
        )
        for c in question.parts("choices")
    )
    asks = Asks(
        question.text("id"),
        question.text("plan_hash") or None,
        price,
        question.flag("free_text"),
        question.text("default") or None,
    )
    waiting = _root(story.at(event.stage, StepState.WAITING))
    detail = question.text("detail")
    return waiting.card(
        f"question:{asks.question_id}",
        _ASKING.get(question.text("kind"), "A question"),
        Text(question.text("text"), Style.STRONG),
        Code(detail) if detail and question.text("kind") == DecisionKind.HELP else None,
        tone=Tone.WAITING,
        fallback=f"Question: {question.text('text')}",
        live=True,
        actions=actions,
        asks=asks,
    )


def _confirm(question: Payload, value: str, price: float | None) -> str:
    if question.text("kind") == DecisionKind.COMPUTE and value == "approve" and price != 0:
        return f"Spend {words.usd(price)}?" if price else "The price is unknown. Spend it all the same?"
    return "Make it public for everyone?" if value == "public" else ""


def _decided(story: Story, event: Event) -> Story:
    payload = Payload(event.payload)
    key = f"question:{payload.text('question_id')}"
    asked = story.cards.get(key)
    value = payload.text("value")
    named = words.file_name(value)
    label = next((a.label for a in asked.actions if a.value == value), named) if asked else named
    who, why = payload.text("actor_name") or payload.text("actor", "somebody"), payload.text("why")
    said = f"→ {words.cut(label, 200)} ({who}{f': {why}' if why else ''})"
    text = tuple(b for b in asked.blocks if isinstance(b, Text)) if asked else ()
    return _root(story.at(event.stage, StepState.NOW)).card(
        key, "Decided", *text, Text(said), tone=Tone.GOOD, fallback=f"Decided: {said[2:]}"
    )


def _note(story: Story, event: Event) -> Story:
    payload = Payload(event.payload)
    tone = {"warning": Tone.WARN, "error": Tone.BAD}.get(payload.text("level"), Tone.NEUTRAL)
    said = payload.text("text")
    return story.card(f"note:{event.seq}", "Note", Text(said), tone=tone, fallback=said)


def _cancel_requested(story: Story, event: Event) -> Story:
    said = f"{Payload(event.payload).text('by', 'Somebody')} asked to stop; stopping"
    return _root(story, news=said, doing=said)


def _ended(story: Story, event: Event) -> Story:
    payload = Payload(event.payload)
    state = _END.get(payload.text("status"), StepState.FAILED)
    return results.ended(_root(story.at(None, state)), payload)


SHOWN: Mapping[EventType, Callable[[Story, Event], Story]] = {
    EventType.RUN_STARTED: _run_started,
    EventType.STAGE_STARTED: _stage_started,
    EventType.TASK_UNDERSTOOD: lambda story, event: _root(
        data.task_understood(story, Payload(event.payload))
    ),
    EventType.CANDIDATES_FOUND: _card(data.candidates_found),
    EventType.PAPER_READ: _card(papers.paper_read),
    EventType.PRIOR_RESULTS: _card(papers.prior_results),
    EventType.DATA_CHOSEN: _card(data.data_chosen),
    EventType.AUDITED: _card(data.audited),
    EventType.SCRIPT_WRITTEN: _card(training.script_written),
    EventType.SMOKE_TESTED: _card(training.smoke_tested),
    EventType.REPAIRED: _card(training.repaired),
    EventType.BASELINES_MEASURED: _card(training.baselines_measured),
    EventType.PLANNED: _card(training.planned),
    EventType.QUESTION_ASKED: _question_asked,
    EventType.DECIDED: _decided,
    EventType.JOB_SUBMITTED: _job_submitted,
    EventType.JOB_PROGRESS: _job_progress,
    EventType.JOB_EPOCH: _job_epoch,
    EventType.JOB_WARNING: _job_warning,
    EventType.JOB_FAILED: _job_failed,
    EventType.RECOVERED: _card(training.recovered),
    EventType.TRAINED: _card(training.trained),
    EventType.EVALUATED: _card(results.evaluated),
    EventType.STRESSED: _card(results.stressed),
    EventType.PACKAGED: _card(results.packaged),
    EventType.PUBLISHED: _card(results.published),
    EventType.UNPUBLISHED: _card(results.unpublished),
    EventType.NOTE: _note,
    EventType.CANCEL_REQUESTED: _cancel_requested,
    EventType.ENDED: _ended,
}
SILENT = frozenset({EventType.STAGE_FINISHED})  # its seconds go into run.json
