"""Says what training would be: hyperparameters with a reason each, minutes, price, hardware. Then a person decides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graph.context import Context, plain
from graph.errors import PublishError, StageFailed
from graph.names import DecisionKind, EventType, FailureKind, Stage
from graph.offers import choose, gather
from graph.state import Choice, Hyperparameter, Plan, Question, RunState, answered
from graph.understanding.changes import read_change
from remote.backend import Need, Offer

SLACK = 2.0  # what an estimate may be wrong by before the run asks again
GRACE_S = 60.0  # imports, saving, predictions on the validation split


async def run(state: RunState, context: Context) -> RunState:
    wishes = (await context.deps.store.run(context.run_id)).wishes  # said before there was a plan
    overrides, complaint = _overrides(state, wishes)
    config = {k: v for k, v in overrides.items() if k != "minutes"}
    settings, estimated_s = _settings(state, context, overrides.get("minutes"), config)
    request = state["request"]
    offers, refusals = await gather(context.deps.backends, Need(), estimated_s, request.allow_unisolated)
    budgets = (state["task"].constraints.budget_usd, context.deps.budget_usd)
    budget = min((b for b in budgets if b is not None), default=None)
    offer = choose(offers, budget)
    if offer is None:
        raise StageFailed(
            "No machine can take the training. " + " ".join(refusals),
            "`intern doctor` says what is missing; `intern resume` tries again.",
            FailureKind.NO_CAPACITY,
        )
    notes = (*state.get("advice", ()), *await _publishing(state, context))
    plan = _plan(settings, offer, notes)
    await context.say(EventType.PLANNED, plan.hash, plan=plan, hash=plan.hash, refusals=refusals)
    return RunState(
        plan=plan,
        overrides=overrides,
        question=_ask(context, plan, budget, complaint),
        answer=None,
        replan=False,
    )


async def _publishing(state: RunState, context: Context) -> tuple[str, ...]:
    """Says before the training, not after, that the place to publish to will refuse."""
    target = context.publish_target(state)
    publisher = context.deps.publishers.get((target or "").partition(":")[0])
    if not target or publisher is None:
        return ()
    try:
        await publisher.check(target)
    except PublishError as error:
        return (f"Publishing to {target} will not work as things are: {error.detail} {error.hint}".strip(),)
    return ()


def _overrides(state: RunState, wishes: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """What the person has set so far, with this answer's change; a complaint where it could not be read."""
    known: dict[str, Any] = {
        **state["request"].overrides,
        **wishes,
        **state.get("mended", {}),
        **state.get("overrides", {}),
    }
    question, answer = state.get("question"), answered(state)
    if not (question and answer and question.stage is Stage.APPROVE_COMPUTE):
        return known, ""
    change = read_change(answer.value.removeprefix("change").strip(" :"))
    if isinstance(change, str):
        return known, change
    return known | dict(change), ""


def _settings(
    state: RunState, context: Context, minutes: float | None, overrides: Mapping[str, Any]
) -> tuple[tuple[Hyperparameter, ...], float]:
    recipe = context.deps.recipes.for_family(state["audit"].family)
    wanted = minutes or state["request"].minutes or state["task"].constraints.minutes
    facts = {
        "audit": plain(state["audit"]),
        "smoke": plain(state.get("smoke") or {}),
        "minutes": wanted,
        "overrides": dict(overrides),
        "baseline_only": False,
        "speed": 1.0,
    }
    rows, estimated_s = recipe.plan(facts)
    return tuple(Hyperparameter(name, value, reason) for name, value, reason in rows), estimated_s


def _plan(settings: tuple[Hyperparameter, ...], offer: Offer, notes: tuple[str, ...]) -> Plan:
    return Plan(
        backend=offer.backend,
        hardware=offer.hardware,
        hyperparameters=settings,
        estimated_s=round(offer.estimated_s, 1),
        estimated_usd=offer.estimated_usd,
        ceiling_usd=None if offer.estimated_usd is None else round(offer.estimated_usd * SLACK, 2),
        ceiling_s=round(offer.estimated_s * SLACK + GRACE_S, 1),
        price_source=offer.price_source,
        price_as_of=offer.price_as_of,
        isolation=offer.isolation,
        advice=notes,
    )


def _ask(context: Context, plan: Plan, budget_usd: float | None, complaint: str) -> Question:
    price = "an unknown price" if plan.estimated_usd is None else f"${plan.estimated_usd:.2f}"
    minutes = max(plan.estimated_s / 60, 0.1)
    affordable = plan.estimated_usd is not None and plan.estimated_usd <= (budget_usd or 0.0)
    return context.question(
        DecisionKind.COMPUTE,
        Stage.APPROVE_COMPUTE,
        f"{complaint} Train on {plan.hardware} for about {minutes:.1f} min at {price}?".strip(),
        (
            Choice("approve", f"Train for {price}", f"at most {plan.ceiling_s / 60:.0f} min", "primary"),
            Choice("baseline_only", "Baseline only", "linear head on frozen embeddings: seconds, free"),
            Choice("change", "Change", "e.g. change minutes=5 epochs=1, or: make it smaller"),
            Choice("cancel", "Cancel", style="danger"),
        ),
        default="approve" if affordable and not complaint else None,
        free_text=True,
        price_usd=plan.estimated_usd,
        plan_hash=plan.hash,
    )
