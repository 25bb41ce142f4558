"""Which machine: every backend is probed at once within its deadline; the cheapest known price within budget wins."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from remote.backend import Backend, Health, Need, Offer, Reason

PROBE_TIMEOUT_S = 5.0


async def gather(
    backends: Sequence[Backend], need: Need, estimated_s: float, allow_unisolated: bool
) -> tuple[list[Offer], list[str]]:
    """All offers, and a sentence for each backend that cannot take work now."""
    healths = await asyncio.gather(*(_probe(b) for b in backends))
    offers: list[Offer] = []
    refusals: list[str] = []
    for backend, health in zip(backends, healths, strict=True):
        if health.ready or (allow_unisolated and health.reason is Reason.NOT_ISOLATED):
            offers += await backend.offers(need, estimated_s)
        else:
            refusals.append(f"{backend.name}: {health.detail} {health.hint}".strip())
    return offers, refusals


async def _probe(backend: Backend) -> Health:
    try:
        return await asyncio.wait_for(backend.probe(), PROBE_TIMEOUT_S)
    except TimeoutError:
        return Health(False, Reason.UNREACHABLE, f"no answer within {PROBE_TIMEOUT_S:.0f} s")


def choose(offers: Sequence[Offer], budget_usd: float | None) -> Offer | None:
    """The cheapest, then the fastest, of the offers within the budget; else of all of them, so that the person
    sees what it would cost. An unknown price comes last."""

    def order(offer: Offer) -> tuple[float, float]:
        return (float("inf") if offer.estimated_usd is None else offer.estimated_usd, offer.estimated_s)

    within = [o for o in offers if o.estimated_usd is not None and o.estimated_usd <= (budget_usd or 0.0)]
    return min(within or offers, key=order, default=None)
