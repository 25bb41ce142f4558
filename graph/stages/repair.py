"""Mends a script or its settings after a failed smoke test, by rules; a person is asked when they are used up."""

from __future__ import annotations

from graph.context import Context
from graph.files import write_json
from graph.names import DecisionKind, EventType, Stage
from graph.remedies import config_diff, remedy
from graph.routes import MAX_ATTEMPTS
from graph.state import Attempt, Choice, Question, RunState, Script


async def run(state: RunState, context: Context) -> RunState:
    attempts = tuple(state.get("attempts", ()))
    last, script = attempts[-1], state["script"]
    tried = [a for a in attempts if a.stage is last.stage]
    mend = remedy(last.kind, script.config, tried[:-1], {}) if len(tried) <= MAX_ATTEMPTS else None
    if mend is None or mend.action in ("ask", "next_offer"):
        return RunState(question=_ask(context, tried))
    config = {**script.config, **mend.changes}
    diff = config_diff(script.config, config)
    write_json(context.dir / "config.json", config)
    done = Attempt(last.stage, last.kind, last.detail, mend.text, diff)
    await context.say(EventType.REPAIRED, attempt=len(tried), kind=last.kind, remedy=mend.text, diff=diff)
    return RunState(
        script=Script(script.recipe, script.path, script.sha256, config),
        attempts=(*attempts[:-1], done),
        question=None,
    )


def _ask(context: Context, tried: list[Attempt]) -> Question:
    trail = "\n\n".join(f"{a.kind}: {a.detail}\n{a.remedy}\n{a.diff}".strip() for a in tried)
    return context.question(
        DecisionKind.HELP,
        Stage.NEEDS_HUMAN,
        f"The smoke test still fails after {len(tried)} tries: {tried[-1].detail} What now?",
        (
            Choice("retry", "Try again", "after you changed something: data, memory, the script", "primary"),
            Choice("give_up", "Give up", "keeps what was saved"),
        ),
        detail=trail,
        back_to=Stage.SMOKE_TEST,
    )
