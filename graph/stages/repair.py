"""Mends a script or its settings after a failed smoke test, by rules; a person is asked when they are used up."""

from __future__ import annotations

from dataclasses import replace

from graph.context import Context
from graph.files import write_json
from graph.names import EventType, Stage
from graph.remedies import Limits, config_diff, remedy
from graph.state import Attempt, Question, RunState


async def run(state: RunState, context: Context) -> RunState:
    attempts = tuple(state.get("attempts", ()))
    last, script = attempts[-1], state["script"]
    tried = [a for a in attempts if a.stage is last.stage]
    mend = remedy(
        last.kind, script.config, tried[:-1], Limits(offers_left=0, checkpoint=False, own_script=False)
    )
    if mend is None or mend.action in ("ask", "next_offer"):
        return RunState(question=_ask(context, tried, mend.text if mend else ""), answer=None)
    config = {**script.config, **mend.changes}
    diff = config_diff(script.config, config)
    write_json(context.dir / "config.json", config)
    done = Attempt(last.stage, last.kind, last.detail, mend.text, diff)
    await context.say(EventType.REPAIRED, attempt=len(tried), kind=last.kind, remedy=mend.text, diff=diff)
    return RunState(
        script=replace(script, config=config),
        attempts=(*attempts[:-1], done),
        question=None,
    )


def _ask(context: Context, tried: list[Attempt], advice: str) -> Question:
    text = f"The smoke test still fails after {_times(len(tried))}: {tried[-1].detail} {advice} What now?"
    return context.ask_for_help(
        text, tried, "after you changed something: data, memory, the script", Stage.SMOKE_TEST
    )


def _times(count: int) -> str:
    return "one try" if count == 1 else f"{count} tries"
