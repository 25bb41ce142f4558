"""After a failed training: the next remedy of the ladder. What costs more than was approved asks again."""

from __future__ import annotations

from dataclasses import replace

from graph.context import Context
from graph.names import EventType, Stage
from graph.offers import falls_back_to, named, rank, told, usable
from graph.remedies import Limits, config_diff, remedy
from graph.stages.plan import make_plan
from graph.state import Attempt, Question, RunState, Tried


async def run(state: RunState, context: Context) -> RunState:
    attempts = tuple(state.get("attempts", ()))
    last = attempts[-1]
    tried = [a for a in attempts if a.stage in (Stage.LAUNCH, Stage.WATCH)]
    script, plan = state["script"], state["plan"]
    config = {**script.config, **{h.name: h.value for h in plan.hyperparameters}, **state.get("mended", {})}
    mend = remedy(last.kind, config, tried[:-1], await _limits(state, context))
    if mend is None or mend.action == "ask":
        return RunState(question=_ask(context, tried, mend.text if mend else ""), answer=None)
    if mend.action == "next_offer":
        return await _elsewhere(state, context, last, len(tried))
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


async def _elsewhere(state: RunState, context: Context, last: Attempt, number: int) -> RunState:
    """On the next machine: by itself where the approval allows that, else after another question with its price."""
    plan = state["plan"]
    trail = _trail(state, last)
    left = usable(plan.others, trail)
    best = rank(left, plan.estimated_usd)[0]
    approved = plan.stands_in_for or plan.hash
    decisions = await context.deps.store.decisions(context.run_id)
    allowed = any(d.plan_hash == approved and d.value == "approve_fallback" for d in decisions)
    price = "an unknown price" if best.estimated_usd is None else f"${best.estimated_usd:.2f}"
    there = f"{best.backend} ({best.hardware}): about {max(best.estimated_s / 60, 0.1):.1f} min, {price}"
    await context.say(
        EventType.RECOVERED, kind=last.kind, remedy=f"{told(trail)} → {there}.", attempt=number, trail=trail
    )
    update = RunState(tried=trail, machine=named(best), question=None, answer=None)
    if not (allowed and falls_back_to(best, plan)):
        return update | RunState(replan=True)
    rest = [offer for offer in left if offer is not best]
    standing_in = replace(
        make_plan(plan.hyperparameters, [best, *rest], plan.advice, approved), here_s=plan.here_s
    )
    await context.say(
        EventType.PLANNED, standing_in.hash, plan=standing_in, hash=standing_in.hash, refusals=[told(trail)]
    )
    return update | RunState(plan=standing_in, replan=False)


def _trail(state: RunState, last: Attempt) -> tuple[Tried, ...]:
    """With the machine of this failure, which ``launch`` has noted already where it refused."""
    plan, trail = state["plan"], state.get("tried", ())
    noted = any((t.backend, t.hardware) == (plan.backend, plan.hardware) for t in trail)
    return trail if noted else (*trail, Tried(plan.backend, plan.hardware, last.kind, last.detail))


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
        offers_left=len(usable(plan.others, _trail(state, state["attempts"][-1]))),
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
