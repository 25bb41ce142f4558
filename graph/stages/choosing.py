"""The research stage's choice of a base model. One that a person named is taken, or asked about with the reason."""

from __future__ import annotations

from dataclasses import replace

from graph.context import Context
from graph.errors import SourceError
from graph.names import DecisionKind, Stage
from graph.stages.reach import check_reach, is_folder
from graph.state import Answer, Choice, ModelChoice, Question, Request, RunState, TaskSpec, answered_about

SLUG = "base_model"
CHOOSE = "choose"


def answer_about_model(state: RunState) -> Answer | None:
    """The answer to this module's question, if it is the one just given."""
    return answered_about(state, SLUG)


def task_with_model(state: RunState) -> TaskSpec:
    """The task with the base model that the answer names; ``choose``: with none, so that one is looked for."""
    answer, task = answer_about_model(state), state["task"]
    if answer is None or answer.value == "retry":
        return task
    return replace(task, base_model=None if answer.value == CHOOSE else answer.value.strip())


async def choose_model(context: Context, task: TaskSpec, request: Request) -> ModelChoice | Question:
    """Sources in order of preference. Raises SourceError where none of them has any and nobody can be asked."""
    refused: SourceError | None = None
    if task.base_model and is_folder(task.base_model):
        try:
            check_reach(task.base_model, request.files_below, "Name a model of the Hub such as owner/name.")
        except SourceError as error:
            return _ask(context, error, named=True)
    for source in context.deps.sources:
        if source.searchable and await source.ready():
            try:
                return await source.model(task)
            except SourceError as error:
                refused = (
                    refused or error
                )  # the first one's reason is about the model, the next one's about itself
    reason = refused or SourceError(
        "No source of base models can be reached.", "Check the network, then try again."
    )
    if task.base_model is None and request.yes:
        raise reason
    return _ask(context, reason, named=task.base_model is not None)


def _ask(context: Context, reason: SourceError, *, named: bool) -> Question:
    choose = Choice(CHOOSE, "Choose one for me", "small first, for your language", "primary")
    also = "Shall I choose one? You can also name another." if named else "You can also name one."
    return context.question(
        DecisionKind.CLARIFY,
        Stage.NEEDS_HUMAN,
        f"{reason.detail} {reason.hint} {also}",
        (
            *((choose,) if named else ()),
            Choice("retry", "Try again", style="default" if named else "primary"),
            Choice("cancel", "Cancel", style="danger"),
        ),
        slug=SLUG,
        free_text=True,
        back_to=Stage.RESEARCH,
    )
