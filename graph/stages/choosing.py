"""The research stage's choice of a base model. One that a person named is taken, or asked about with the reason."""

from __future__ import annotations

from dataclasses import replace

from graph.context import Context
from graph.errors import SourceError
from graph.names import DecisionKind, Stage
from graph.state import Answer, Choice, ModelChoice, Question, RunState, TaskSpec, answered

SLUG = "base_model"
CHOOSE = "choose"


def answer_about_model(state: RunState) -> Answer | None:
    """The answer to this module's question, if it is the one just given."""
    answer = answered(state)
    return answer if answer and answer.question_id.split(":")[1] == SLUG else None


def task_with_model(state: RunState) -> TaskSpec:
    """The task with the base model that the answer names; ``choose``: with none, so that one is looked for."""
    answer, task = answer_about_model(state), state["task"]
    if answer is None or answer.value == "retry":
        return task
    return replace(task, base_model=None if answer.value == CHOOSE else answer.value.strip())


async def choose_model(context: Context, task: TaskSpec) -> ModelChoice | Question:
    """Sources in order of preference. Raises SourceError where none of them has any."""
    refused: SourceError | None = None
    for source in context.deps.sources:
        if source.searchable and await source.ready():
            try:
                return await source.model(task)
            except SourceError as error:
                refused = (
                    refused or error
                )  # the first one's reason is about the model, the next one's about itself
    reason = refused or SourceError(
        "No source of base models can be reached.", "Check the network, then `intern resume`."
    )
    if task.base_model is None:
        raise reason
    return _ask(context, reason)


def _ask(context: Context, reason: SourceError) -> Question:
    return context.question(
        DecisionKind.CLARIFY,
        Stage.NEEDS_HUMAN,
        f"{reason.detail} {reason.hint} Shall I choose one? You can also name another.",
        (
            Choice(CHOOSE, "Choose one for me", "small first, for your language", "primary"),
            Choice("retry", "Try again"),
            Choice("cancel", "Cancel", style="danger"),
        ),
        slug=SLUG,
        free_text=True,
        back_to=Stage.RESEARCH,
    )
