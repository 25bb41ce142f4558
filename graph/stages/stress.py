"""Attacks the model: typos, negation, gibberish and the like; suggestions ranked by what they would mend."""

from __future__ import annotations

from graph import jobs
from graph.context import Context
from graph.names import EventType
from graph.state import RunState


async def run(state: RunState, context: Context) -> RunState:
    result = jobs.expect(await jobs.listen(context, state["evaluate_job"], "stress"))
    await context.say(
        EventType.STRESSED, findings=result.get("findings", []), suggestions=result.get("suggestions", [])
    )
    return RunState(stress=result)
