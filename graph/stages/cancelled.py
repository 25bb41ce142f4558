"""The end of a run that a person stopped."""

from __future__ import annotations

from graph.context import Context
from graph.ending import end
from graph.names import RunStatus
from graph.state import RunState


async def run(state: RunState, context: Context) -> RunState:
    await end(state, context, RunStatus.CANCELLED, "Cancelled. What was made so far is kept.")
    return RunState()
