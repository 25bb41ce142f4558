"""No dollar unasked: what stands between a plan with a price and its submission.

A paid job needs a person's recorded decision for this very plan (its hash), or for the plan that it may stand in for;
then its ceiling is committed in the ledger, in one transaction with the budgets that could stop it. The job is given
no more time than the money that was approved and is not spent yet pays for.
"""

from __future__ import annotations

from graph.context import Context
from graph.deps import Decision, Spend
from graph.names import DecisionKind, FailureKind
from graph.state import Plan, RunState
from remote.backend import BackendError

APPROVES = ("approve", "approve_fallback")
LEAST_S = 60.0  # what a job needs to come to anything
_WHOSE = {
    "run": "The budget of this run",
    "person": "Your budget of this month",
    "channel": "This channel's budget of this month",
    "month": "The budget of this month",
}


async def commit(state: RunState, context: Context, key: str) -> float:
    """Enter the job ``key`` in the ledger; the seconds that it may take. Raises BackendError, as the machine itself
    could, when it may not be paid for: then nothing was committed."""
    plan, request, store = state["plan"], state["request"], context.deps.store
    decision = approval(plan, await store.decisions(context.run_id))
    if decision is None:
        raise BackendError(FailureKind.DENIED, "Nobody has approved this plan, so nothing is paid for.")
    per_hour, seconds = plan.usd_per_hour, plan.ceiling_s
    left = ceiling = plan.ceiling_usd or 0.0
    if per_hour:
        lines = await store.ledger(run_id=context.run_id)
        spent = sum(line.usd for line in lines if line.plan_hash == plan.hash and line.key != key)
        left = max(ceiling - spent, 0.0)
        seconds = min(seconds, left * 3600 / per_hour)
        if seconds < LEAST_S:
            raise BackendError(FailureKind.NO_CREDIT, f"The ${ceiling:.2f} that were approved are used up.")
    spend = Spend(
        key,
        context.run_id,
        plan.hash,
        plan.backend,
        plan.hardware,
        f"{request.surface}:{request.requester}",
        request.channel or "",
        plan.estimated_usd,
        round(left, 4),
        context.deps.at(),
    )
    against = await store.commit_spend(spend, context.deps.budgets, fence=context.deps.fence)
    if against:
        raise BackendError(
            FailureKind.NO_CREDIT,
            f"{_WHOSE[against]} does not allow ${left:.2f} more.",
            "The one who runs me can raise INTERN_BUDGETS.",
        )
    return seconds


def approval(plan: Plan, decisions: list[Decision]) -> Decision | None:
    """The decision that allows to pay for the plan."""
    for decision in decisions:
        if decision.kind != DecisionKind.COMPUTE or decision.value not in APPROVES:
            continue
        if decision.plan_hash == plan.hash:
            return decision
        covers = decision.price_usd is not None and (plan.estimated_usd or 0.0) <= decision.price_usd
        if decision.value == "approve_fallback" and decision.plan_hash == plan.stands_in_for and covers:
            return decision
    return None


def actual_usd(plan: Plan, seconds: float) -> float:
    """What so many seconds on the plan's machine cost."""
    return round((plan.usd_per_hour or 0.0) * seconds / 3600, 4)
