"""After a failed training: the next remedy of the ladder. What costs more than was approved asks again."""

from __future__ import annotations

from graph.context import Context
from graph.names import EventType, Stage
from graph.remedies import Limits, config_diff, remedy
from graph.state import Attempt, Question, RunState


async def run(state: RunState, context: Context) -> RunState:
    attempts = tuple(state.get("attempts", ()))
    last = attempts[-1]
    tried = [a for a in attempts if a.stage in (Stage.LAUNCH, Stage.WATCH)]
    script, plan = state["script"], state["plan"]
    config = {**script.config, **{h.name: h.value for h in plan.hyperparameters}, **state.get("mended", {})}
    mend = remedy(last.kind, config, tried[:-1], await _limits(state, context))
    if mend is None or mend.action in ("ask", "next_offer"):
        # Other offers come with the other backends; on one machine the person decides.
        return RunState(question=_ask(context, tried, mend.text if mend else ""), answer=None)
    diff = config_diff(config, {**config, **mend.changes})
    await context.say(EventType.RECOVERED, kind=last.kind, remedy=mend.text, attempt=len(tried))
    return RunState(
        attempts=(*attempts[:-1], Attempt(last.stage, last.kind, last.detail, mend.text, diff)),
        mended={**state.get("mended", {}), **mend.changes},
        checkpoint=state.get("checkpoint") if mend.action == "resume" else None,
        replan=mend.raises_cost,
        question=None,
        answer=None,
    )


async def _limits(state: RunState, context: Context) -> Limits:
    """What was approved, what was spent, and what is known of the machine."""
    plan, smoke = state["plan"], state.get("smoke") or {}
    events = await context.deps.store.events(context.run_id)
    spent = [
        e.payload["seconds"] for e in events if e.type is EventType.STAGE_FINISHED and e.stage is Stage.WATCH
    ]
    limits = Limits(
        approved_s=plan.ceiling_s,
        estimated_s=plan.estimated_s,
        spent_s=float(sum(spent)),
        offers_left=0,
        checkpoint=bool(state.get("checkpoint")),
        own_script=False,
    )
    if plan.ceiling_usd is not None:
        limits["approved_usd"] = plan.ceiling_usd
    if smoke.get("hidden_layers"):
        limits["hidden_layers"] = int(smoke["hidden_layers"])
    if smoke.get("precision"):
        limits["precision"] = str(smoke["precision"])
    return limits


def _ask(context: Context, tried: list[Attempt], advice: str) -> Question:
    text = f"Training failed and I am out of remedies: {tried[-1].detail} {advice} What now?"
    return context.ask_for_help(text, tried, "from the last checkpoint, if there is one", Stage.LAUNCH)
