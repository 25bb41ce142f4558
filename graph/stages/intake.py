"""Reads the request. What cannot be understood is a question with choices, not a guess."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from graph.context import Context
from graph.errors import StageFailed
from graph.llm.model import LlmError
from graph.llm.spending import ask, note_failure, permitted
from graph.names import EventType, FailureKind, Stage
from graph.publishing.ahead import refusal_ahead
from graph.state import Answer, RunState, answered, slug_in
from graph.understanding import Understanding, understand
from graph.understanding.questions import GOAL
from graph.understanding.rewording import adopted, neutral, prompt_for, sentence_of

MAX_QUESTIONS = 6  # after that the request itself has to be put differently


async def run(state: RunState, context: Context) -> RunState:
    request = state["request"]
    given = list(state.get("clarifications", ()))
    if answer := answered(state):
        given.append(answer)
    answers = {slug_in(a.question_id): a.value for a in given}
    read = understand(request, answers)
    if read.refusal:
        raise StageFailed(read.refusal, kind=FailureKind.DENIED)
    if read.question and read.question.id == GOAL and (reworded := await _reworded(state, context, answers)):
        read, answer_of_the_model = reworded
        given.append(answer_of_the_model)
    if read.question:
        if len(given) >= MAX_QUESTIONS:
            raise StageFailed(
                "The request is still not clear to me.",
                'Write it as one sentence, such as "Sort our support tickets by intent, data in tickets.csv".',
            )
        asked = replace(
            read.question, id=f"{context.run_id}:{read.question.id}:{context.stage}-{context.visit}"
        )
        asked = replace(asked, stage=Stage.NEEDS_HUMAN, back_to=Stage.INTAKE)
        return RunState(question=asked, answer=None, clarifications=tuple(given))
    assert read.task is not None
    await context.deps.store.update_run(
        context.run_id, fence=context.deps.fence, at=context.deps.at(), title=read.task.title
    )
    await context.say(EventType.TASK_UNDERSTOOD, task=read.task)
    understood = RunState(task=read.task, question=None, answer=None, clarifications=tuple(given))
    if complaint := await refusal_ahead(state | understood, context):
        await context.note(complaint, "warning")
    return understood


async def _reworded(
    state: RunState, context: Context, answers: Mapping[str, str]
) -> tuple[Understanding, Answer] | None:
    """A language model's reading of a request that the rules cannot read, where it may be asked without a question:
    the person's own answer costs less than that one. Nothing is sent of a person who wants the data to stay here."""
    model, request = context.deps.llm, state["request"]
    task = neutral(request, answers) if model and GOAL not in answers else None
    if model is None or task is None or task.constraints.private_data:
        return None
    prompt = prompt_for(request)
    if await permitted(state | RunState(task=task), context, prompt) is not True:
        return None
    try:
        sentence = sentence_of(await ask(state, context, prompt), request)
    except LlmError as error:
        await note_failure(context, error, "So I ask you.")
        return None
    found = adopted(request, answers, sentence, model.name) if sentence else None
    if sentence is None or found is None:
        return None
    return found, Answer(f"{context.run_id}:{GOAL}:llm", sentence, model.name, "llm", context.deps.at())
