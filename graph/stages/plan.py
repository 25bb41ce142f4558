"""Says what training would be: hyperparameters with a reason each, minutes, price, hardware. Then a person decides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from graph.context import Context, plain
from graph.errors import StageFailed
from graph.names import DecisionKind, EventType, FailureKind, Stage
from graph.offers import SHOWN, falls_back_to, gather, named, rank, told, usable
from graph.publishing.ahead import refusal_ahead
from graph.research.papers.following import Follow, followed, short_title, undecided
from graph.state import Choice, Hyperparameter, Plan, Question, RunState, Tried, answered
from graph.understanding.changes import read_change
from remote.backend import Need, Offer
from remote.prices import MAX_GPUS, gpus_of, same_model

SLACK = 2.0  # what an estimate may be wrong by before the run asks again
OFFER = "offer:"  # a choice: another machine, by its number from 1
FREE_SLACK, FREE_GRACE_S = 4.0, 300.0  # the same where time costs nothing: such a machine may be busy
GRACE_S = 60.0  # imports, saving, predictions on the validation split


async def run(state: RunState, context: Context) -> RunState:
    wishes = (await context.deps.store.run(context.run_id)).wishes  # said before there was a plan
    overrides, complaint = _overrides(state, wishes)
    config = {k: v for k, v in overrides.items() if k != "minutes"}
    settings, estimated_s, told = _settings(state, context, overrides.get("minutes"), config)
    machine, tried = _machine(state), state.get("tried", ())
    offers, refusals = await gather(
        context.deps.backends, Need(gpus=_gpus(state)), estimated_s, state["request"].allow_unisolated
    )
    offers = usable(_allowed(offers, state, context), tried)
    budget, minutes = _budget(state, context), _minutes(state, overrides.get("minutes"))
    ranked = rank(offers, budget, None if minutes is None else minutes * 60, machine)
    if not ranked:
        raise StageFailed(
            "No machine can take the training. " + " ".join(refusals),
            "`intern doctor` says what is missing; `intern resume` tries again.",
            FailureKind.NO_CAPACITY,
        )
    ahead = await refusal_ahead(state, context)
    notes = (*state.get("advice", ()), *told, *((ahead,) if ahead else ()))
    plan = replace(make_plan(settings, ranked, notes), here_s=round(estimated_s, 1))
    await context.say(EventType.PLANNED, plan.hash, plan=plan, hash=plan.hash, refusals=refusals)
    return RunState(
        plan=plan,
        overrides=overrides,
        machine=machine,
        question=_ask(context, plan, budget, f"{complaint} {_trail(tried)}".strip()),
        answer=None,
        replan=False,
    )


def _trail(tried: Sequence[Tried]) -> str:
    return f"{told(tried)}." if tried else ""


def _machine(state: RunState) -> str:
    """The machine that the person has just chosen, or chose before."""
    answer, plan = answered(state), state.get("plan")
    if answer and plan and answer.value.startswith(OFFER):
        number = int(answer.value.removeprefix(OFFER)) - 1
        if 0 <= number < len(plan.others):
            return named(plan.others[number])
    return state.get("machine", "")


def _allowed(offers: Sequence[Offer], state: RunState, context: Context) -> list[Offer]:
    """What the person asked for: private data stays on this machine, "on a GPU" means one."""
    constraints, home = state["task"].constraints, context.deps.backends[-1].name
    kept = [o for o in offers if not constraints.private_data or o.backend == home]
    wanted = (constraints.hardware or "").partition(":")[0].casefold()
    gpus = [(o, gpus_of(o.hardware)) for o in kept]
    if wanted in ("", "cpu"):
        return [o for o, gpu in gpus if not wanted or gpu is None] or kept
    return [o for o, gpu in gpus if gpu and (wanted == "gpu" or same_model(wanted, gpu[0]))] or kept


def _gpus(state: RunState) -> int:
    """How many GPUs the person asked for: "H100:2", "gpu:4"."""
    count = (state["task"].constraints.hardware or "").partition(":")[2]
    return min(int(count), MAX_GPUS) if count.isdecimal() and int(count) else 1


def _budget(state: RunState, context: Context) -> float | None:
    budgets = (state["task"].constraints.budget_usd, state["request"].budget_usd, context.deps.budgets.run)
    return min((b for b in budgets if b is not None), default=None)


def _minutes(state: RunState, changed: float | None) -> float | None:
    return changed or state["request"].minutes or state["task"].constraints.minutes


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
    if answer.value.startswith(OFFER):
        return known, ""
    change = read_change(answer.value.removeprefix("change").strip(" :"))
    if isinstance(change, str):
        return known, change
    return known | dict(change), ""


def _settings(
    state: RunState, context: Context, minutes: float | None, overrides: Mapping[str, Any]
) -> tuple[tuple[Hyperparameter, ...], float, tuple[str, ...]]:
    """The settings, the estimate in seconds, and what to say of a paper that was followed."""
    recipe = context.deps.recipes.for_family(state["audit"].family)
    wanted = _minutes(state, minutes)
    paper, told = state.get("paper"), []
    follow = dict(followed(paper, recipe.defaults())) if paper and paper.named else {}
    follow = {name: taken for name, taken in follow.items() if name not in overrides}

    def planned(taken_over: Mapping[str, Follow]) -> tuple[list[tuple[str, Any, str]], float]:
        return recipe.plan(
            {
                "audit": plain(state["audit"]),
                "smoke": plain(state.get("smoke") or {}),
                "minutes": wanted,
                "overrides": {**{name: taken.value for name, taken in taken_over.items()}, **overrides},
                "baseline_only": False,
                "speed": 1.0,
            }
        )

    rows, estimated_s = planned(follow)
    if "epochs" in follow and wanted is not None and estimated_s > wanted * 60:
        told.append(
            f"The paper's {follow.pop('epochs').value} epochs do not fit into {wanted:g} min, so I plan fewer."
        )
        rows, estimated_s = planned(follow)
    if paper and paper.named:
        told += _about_paper(short_title(paper), follow, undecided(paper))
    own = {name: value for name, value, _ in planned({})[0]} if follow else {}
    settings = tuple(
        Hyperparameter(name, value, follow[name].told(own.get(name)) if name in follow else reason)
        for name, value, reason in rows
    )
    return settings, estimated_s, tuple(told)


def _about_paper(title: str, follow: Mapping[str, Follow], several: Sequence[str]) -> list[str]:
    told = []
    if follow:
        told.append(
            f"Following “{title}”: {', '.join(f'{name} {taken.value:g}' for name, taken in follow.items())}."
        )
    else:
        told.append(f"“{title}” gives no setting that I can follow as it stands.")
    if several:
        told.append(f"It gives several values of {'; '.join(several)}: name one to follow it.")
    return told


def make_plan(
    settings: tuple[Hyperparameter, ...],
    ranked: Sequence[Offer],
    notes: tuple[str, ...],
    stands_in_for: str = "",
) -> Plan:
    """On the first of the offers. Its ceilings go together: the money is what the machine costs until it is stopped."""
    offer, *others = ranked
    per_hour = offer.usd_per_hour
    slack, grace_s = (FREE_SLACK, FREE_GRACE_S) if per_hour == 0 else (SLACK, GRACE_S)
    ceiling_s = round(offer.estimated_s * slack + grace_s, 1)
    return Plan(
        backend=offer.backend,
        hardware=offer.hardware,
        hyperparameters=settings,
        estimated_s=round(offer.estimated_s, 1),
        estimated_usd=offer.estimated_usd,
        ceiling_usd=None if per_hour is None else round(per_hour * ceiling_s / 3600, 2),
        ceiling_s=ceiling_s,
        price_source=offer.price_source,
        price_as_of=offer.price_as_of,
        isolation=offer.isolation,
        advice=notes,
        usd_per_hour=per_hour,
        others=tuple(others),
        stands_in_for=stands_in_for,
        low_usd=offer.low_usd,
        high_usd=offer.high_usd,
    )


def _ask(context: Context, plan: Plan, budget_usd: float | None, complaint: str) -> Question:
    price = _price(plan.estimated_usd)
    minutes = max(plan.estimated_s / 60, 0.1)
    affordable = plan.estimated_usd is not None and plan.estimated_usd <= (budget_usd or 0.0)
    at_most = f"at most {plan.ceiling_s / 60:.0f} min"
    if plan.ceiling_usd:
        at_most += f" and ${plan.ceiling_usd:.2f}"
    return context.question(
        DecisionKind.COMPUTE,
        Stage.APPROVE_COMPUTE,
        f"{complaint} Train on {plan.hardware} for about {minutes:.1f} min at {price}?".strip(),
        (
            Choice("approve", f"Train for {price}", at_most, "primary"),
            *_fallback(plan, price),
            *_others(plan),
            Choice("baseline_only", "Baseline only", "linear head on frozen embeddings: seconds, free"),
            Choice("change", "Change", "e.g. change minutes=5 epochs=1, or: make it smaller"),
            Choice("cancel", "Cancel", style="danger"),
        ),
        default="approve" if affordable and not complaint else None,
        free_text=True,
        price_usd=plan.estimated_usd,
        plan_hash=plan.hash,
    )


def _fallback(plan: Plan, price: str) -> tuple[Choice, ...]:
    """An approval that also allows what is cheaper and not much slower, where there is such a thing."""
    if not plan.estimated_usd or not any(falls_back_to(o, plan) for o in plan.others):
        return ()
    what = "if that machine is not to be had, I go on by myself where it is cheaper and takes at most twice as long"
    return (Choice("approve_fallback", f"Train for {price}, or for less elsewhere", what),)


def _others(plan: Plan) -> tuple[Choice, ...]:
    return tuple(
        Choice(
            f"{OFFER}{number}",
            f"Instead: {offer.hardware}, {_price(offer.estimated_usd)}",
            f"{offer.backend}, about {max(offer.estimated_s / 60, 0.1):.1f} min; asked again with its price",
        )
        for number, offer in enumerate(plan.others[:SHOWN], 1)
    )


def _price(usd: float | None) -> str:
    return "an unknown price" if usd is None else f"${usd:.2f}"
