"""Reads the request. What cannot be understood is a question with choices, not a guess."""

from __future__ import annotations

from dataclasses import replace

from graph.context import Context
from graph.errors import StageFailed
from graph.names import EventType, FailureKind, Stage
from graph.publishing.ahead import refusal_ahead
from graph.state import RunState, answered
from graph.understanding import understand

MAX_QUESTIONS = 6  # after that the request itself has to be put differently


async def run(state: RunState, context: Context) -> RunState:
    request = state["request"]
    given = list(state.get("clarifications", ()))
    if answer := answered(state):
        given.append(answer)
    answers = {a.question_id.split(":")[1]: a.value for a in given}
    read = understand(request, answers)
    if read.refusal:
        raise StageFailed(read.refusal, kind=FailureKind.DENIED)
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
