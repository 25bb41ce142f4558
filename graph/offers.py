"""Which machine: every backend is probed at once within its deadline; pure functions then rank what they offer.

What is worth its money: training that is free and done within ``PATIENCE_S`` (or the time asked for) is never paid
for. Beyond that, an offer within the budget has to be at least twice as fast as the free one. An unknown price is
never chosen for a person; it is shown, and asked about.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Collection, Sequence

from graph.names import FailureKind
from graph.state import Plan, Tried
from remote.backend import Backend, BackendError, Health, Need, Offer, Reason

PROBE_TIMEOUT_S = 5.0
OFFERS_TIMEOUT_S = 12.0
PATIENCE_S = 900.0
WORTH_PAYING = 0.5  # of the free time: what a paid machine has to need at most
SLOWER = 2.0  # a fall-back that is allowed by itself takes at most so much longer
SHOWN = 4

# What says that a whole backend is of no use now; other kinds speak of one machine or of the job.
_BACKEND_WIDE = {
    FailureKind.NO_CREDIT,
    FailureKind.NO_TOKEN,
    FailureKind.DENIED,
    FailureKind.UNREACHABLE,
}


async def gather(
    backends: Sequence[Backend], need: Need, estimated_s: float, allow_unisolated: bool
) -> tuple[list[Offer], list[str]]:
    """All offers, and a sentence for each backend that cannot take work now."""
    answers = await asyncio.gather(*(_ask(b, need, estimated_s, allow_unisolated) for b in backends))
    offers = [offer for found, _ in answers for offer in found]
    return offers, [refusal for _, refusal in answers if refusal]


async def _ask(
    backend: Backend, need: Need, estimated_s: float, allow_unisolated: bool
) -> tuple[list[Offer], str]:
    health = await _probe(backend)
    if not (health.ready or (allow_unisolated and health.reason is Reason.NOT_ISOLATED)):
        return [], f"{backend.name}: {health.detail} {health.hint}".strip()
    try:
        return await asyncio.wait_for(backend.offers(need, estimated_s), OFFERS_TIMEOUT_S), ""
    except TimeoutError:
        return [], f"{backend.name}: no offer within {OFFERS_TIMEOUT_S:.0f} s"
    except BackendError as error:
        return [], f"{backend.name}: {error}"


async def _probe(backend: Backend) -> Health:
    try:
        return await asyncio.wait_for(backend.probe(), PROBE_TIMEOUT_S)
    except TimeoutError:
        return Health(False, Reason.UNREACHABLE, f"no answer within {PROBE_TIMEOUT_S:.0f} s")


def named(offer: Offer) -> str:
    """What tells one machine from another: ``modal: T4 (16 GB), 2 CPU cores, 8 GB``."""
    return f"{offer.backend}: {offer.hardware}"


def rank(
    offers: Sequence[Offer], budget_usd: float | None, wanted_s: float | None = None, machine: str = ""
) -> list[Offer]:
    """The best first: the ``machine`` that was chosen, then what is worth its money, then by price and time."""

    def price(offer: Offer) -> float:
        return math.inf if offer.estimated_usd is None else offer.estimated_usd

    in_order = sorted(offers, key=lambda o: (price(o), o.estimated_s))
    best = next((o for o in in_order if machine and named(o) == machine), None) or _worth(
        in_order, budget_usd or 0.0, wanted_s
    )
    return [best, *(o for o in in_order if o is not best)] if best else []


def _worth(in_order: Sequence[Offer], budget_usd: float, wanted_s: float | None) -> Offer | None:
    free = min((o for o in in_order if o.estimated_usd == 0), key=lambda o: o.estimated_s, default=None)
    paid = [o for o in in_order if o.estimated_usd is not None and 0 < o.estimated_usd <= budget_usd]
    if free is not None:
        # The time asked for is a ceiling that the recipe keeps to by training less; it is no reason to pay.
        if free.estimated_s <= max(PATIENCE_S, wanted_s or 0.0):
            return free
        fast = [o for o in paid if o.estimated_s <= WORTH_PAYING * free.estimated_s]
        return next(iter(fast), free)
    return next(iter(paid), next(iter(in_order), None))


def usable(offers: Sequence[Offer], tried: Collection[Tried]) -> list[Offer]:
    """Without the machines that refused, and without backends that take no work at all now."""
    closed = {t.backend for t in tried if t.kind in _BACKEND_WIDE}
    refused = {f"{t.backend}: {t.hardware}" for t in tried}
    return [o for o in offers if o.backend not in closed and named(o) not in refused]


def falls_back_to(offer: Offer, plan: Plan) -> bool:
    """Whether the approval of ``plan`` may cover ``offer``: cheaper, and not slower than twice."""
    if offer.estimated_usd is None or plan.estimated_usd is None:
        return False
    return offer.estimated_usd <= plan.estimated_usd and offer.estimated_s <= SLOWER * plan.estimated_s


def told(tried: Sequence[Tried]) -> str:
    """The trail in one line: ``modal (T4 …): spend limit reached → hf_jobs (…): no credit``."""
    return " → ".join(f"{t.backend} ({t.hardware}): {t.detail.rstrip('.')}" for t in tried)
