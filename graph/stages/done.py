"""The end of a run that worked: the manifest is closed, what was only needed on the way is removed."""

from __future__ import annotations

from graph.context import Context
from graph.ending import end
from graph.names import RunStatus
from graph.state import RunState


async def run(state: RunState, context: Context) -> RunState:
    await end(state, context, RunStatus.DONE, "The model, its documents and its numbers are ready.")
    return RunState()
