"""The end of a run that did not work: what was saved stays, and the words say what to do."""

from __future__ import annotations

from graph.context import Context
from graph.ending import end
from graph.names import FailureKind, RunStatus
from graph.state import Failure, RunState


async def run(state: RunState, context: Context) -> RunState:
    failure = state.get("failure")
    if failure is None:  # a person gave up
        attempts = state.get("attempts", ())
        last = attempts[-1] if attempts else None
        failure = Failure(last.kind if last else FailureKind.UNKNOWN, last.detail if last else "Given up.")
    await end(state, context, RunStatus.FAILED, failure.detail, hint=failure.hint, failure=failure)
    return RunState(failure=failure)
