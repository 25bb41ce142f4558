"""Paid compute: nothing without a yes for this very plan, nothing beyond it, and a trail when it goes elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bot.access import Access
from bot.dispatch import Dispatch
from graph.deps import Budgets, Run
from graph.driver import Driver, decision_for
from graph.names import EventType, FailureKind, RunStatus, Stage
from remote import prices
from remote.backend import Health, JobRef, Need, Offer, Reason
from remote.backends.fake import Failure, FakeBackend, Hold, Refusal, Reply, Script
from tests.graph.world import World, good_script

GPU = Offer("modal", "T4 (16 GB), 2 CPU cores, 8 GB", 60.0, 0.0, 0.0, "a list", "2026-11-20", "modal")
HERE = Offer("local", "2 CPU cores", 0.0, 0.0, 0.0, "own machine", "2026-11-20", "bubblewrap")


class Rented(FakeBackend):
    """A minute on it costs a dollar; the training needs one."""

    def __init__(self, script: Script, offer: Offer = GPU, **more: Any) -> None:
        super().__init__(script, name=offer.backend, offer=offer, **more)


class Slow(FakeBackend):
    """This machine, on which the training takes ``seconds``."""

    def __init__(self, script: Script, seconds: float) -> None:
        super().__init__(script, name="local")
        self.seconds = seconds

    async def offers(self, need: Any, estimated_s: float) -> list[Offer]:
        return [replace(HERE, estimated_s=self.seconds)]


class Shop:
    """A world with a rented machine beside this one."""

    def __init__(self, home: Path, local_s: float = 7200.0) -> None:
        self.world = World(home)
        self.rented: FakeBackend = Rented(good_script())
        self.here = Slow(good_script(), local_s)
        self.budgets = Budgets()

    @asynccontextmanager
    async def process(self) -> AsyncIterator[Driver]:
        async with self.world.process() as driver:
            driver.deps = replace(driver.deps, backends=[self.rented, self.here], budgets=self.budgets)
            yield driver


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path / "home")


SENTENCE = "Tell positive from negative product reviews, spend at most $5."


async def to_the_plan(shop: Shop, driver: Driver, sentence: str = SENTENCE) -> Run:
    await shop.world.start(driver, sentence=sentence, yes=False)
    await driver.advance("r1")
    await decide(driver, "use:1")
    return await driver.advance("r1")


async def decide(driver: Driver, value: str) -> None:
    run = await driver.deps.store.run("r1")
    assert run.question is not None
    await driver.deps.store.decide(decision_for(run.question, run, value, "ann", driver.deps.at()))


async def payloads(driver: Driver, type_: EventType) -> list[dict[str, Any]]:
    return [dict(e.payload) for e in await driver.deps.store.events("r1") if e.type is type_]


def trained(backend: FakeBackend) -> list[Any]:
    return [job for job in backend.jobs if job.programs[0].name == "train"]


async def test_a_paid_training_is_asked_for_committed_and_settled(shop: Shop) -> None:
    async with shop.process() as driver:
        run = await to_the_plan(shop, driver)
        assert run.question is not None
        assert (run.question.price_usd, run.question.default) == (1.0, "approve")
        assert "$1.00" in run.question.choices[0].label
        await decide(driver, "approve")
        run = await driver.advance("r1")
        assert run.stage is Stage.APPROVE_PUBLISH
        (line,) = await driver.deps.store.ledger(run_id="r1")
        assert (line.backend, line.estimated_usd, line.committed_usd) == ("modal", 1.0, 3.0)
        assert line.actual_usd is not None
        assert line.actual_usd <= line.committed_usd
    (job,) = trained(shop.rented)
    assert (job.need.gpu, job.need.timeout_s) == ("T4", 180.0)
    assert trained(shop.here) == []


async def test_without_a_budget_the_free_machine_is_proposed_and_the_other_can_be_chosen(shop: Shop) -> None:
    async with shop.process() as driver:
        run = await to_the_plan(shop, driver, "Tell positive from negative product reviews.")
        assert run.question is not None
        assert run.question.price_usd == 0.0
        other = next(c for c in run.question.choices if c.value == "offer:1")
        assert "T4" in other.label
        assert "$1.00" in other.label
        await decide(driver, "offer:1")
        run = await driver.advance("r1")
        assert run.question is not None
        assert (run.question.price_usd, run.question.default) == (1.0, None)
        assert trained(shop.rented) == []


async def test_the_gpus_that_a_person_asked_for_are_the_ones_that_are_offered(shop: Shop) -> None:
    needs: list[Need] = []

    class Ladder(Rented):
        async def offers(self, need: Need, estimated_s: float) -> list[Offer]:
            needs.append(need)
            table = prices.load("modal")
            return prices.offers(
                table, need, estimated_s, backend="modal", isolation="modal", reference_cores=2
            )

    shop.rented = Ladder(good_script())
    async with shop.process() as driver:
        run = await to_the_plan(shop, driver, f"{SENTENCE} Train on two H100s.")
        (plan,) = [p["plan"] for p in await payloads(driver, EventType.PLANNED)]
        assert needs[-1].gpus == 2
        assert plan["hardware"].startswith("H100:2 (80 GB)")
        assert plan["low_usd"] < plan["estimated_usd"] < plan["high_usd"]
        assert plan["here_s"] > 0
        assert run.question is not None
        await decide(driver, "approve")
        await driver.advance("r1")
    (job,) = trained(shop.rented)
    assert job.need.gpu == "H100:2"


async def test_private_data_is_not_offered_elsewhere(shop: Shop) -> None:
    async with shop.process() as driver:
        run = await to_the_plan(shop, driver, f"{SENTENCE} The data must not leave our servers.")
        assert run.question is not None
        assert run.question.price_usd == 0.0
        assert not any(c.value.startswith("offer:") for c in run.question.choices)


async def test_a_refusal_asks_again_with_the_trail(shop: Shop) -> None:
    shop.rented = Rented(good_script() | {"train": Refusal(FailureKind.NO_CREDIT, "spend limit reached")})
    async with shop.process() as driver:
        await to_the_plan(shop, driver)
        await decide(driver, "approve")
        run = await driver.advance("r1")
        assert (run.status, run.stage) == (RunStatus.WAITING, Stage.APPROVE_COMPUTE)
        assert run.question is not None
        assert "modal (T4 (16 GB), 2 CPU cores, 8 GB): spend limit reached" in run.question.text
        assert run.question.price_usd == 0.0
        (recovered,) = await payloads(driver, EventType.RECOVERED)
        assert "→ local (2 CPU cores): about 120.0 min, $0.00" in recovered["remedy"]
        await decide(driver, "approve")
        run = await driver.advance("r1")
        assert run.stage is Stage.APPROVE_PUBLISH
        assert await driver.deps.store.spent_usd("2027-01") == 0.0
    assert len(trained(shop.here)) == 1


async def test_a_fall_back_that_was_allowed_goes_on_by_itself(tmp_path: Path) -> None:
    shop = Shop(tmp_path / "home", local_s=110.0)
    shop.rented = Rented(good_script() | {"train": Refusal(FailureKind.NO_CAPACITY, "no T4 is free")})
    async with shop.process() as driver:
        run = await to_the_plan(shop, driver)
        await decide(driver, "offer:1")  # free and soon done: the rented one has to be chosen
        run = await driver.advance("r1")
        assert run.question is not None
        assert run.question.price_usd == 1.0
        await decide(driver, "approve_fallback")
        run = await driver.advance("r1")
        assert run.stage is Stage.APPROVE_PUBLISH
        plans = await payloads(driver, EventType.PLANNED)
        assert plans[-1]["plan"]["backend"] == "local"
        assert plans[-1]["plan"]["stands_in_for"] == plans[-2]["hash"]
    assert len(trained(shop.here)) == 1


@pytest.mark.parametrize(
    "budgets", [Budgets(month=2.0), Budgets(person=2.0), Budgets(channel=2.0), Budgets(run=1.5)]
)
async def test_a_budget_stops_the_submit(shop: Shop, budgets: Budgets) -> None:
    shop.budgets = budgets
    async with shop.process() as driver:
        await to_the_plan(shop, driver)
        await decide(driver, "approve")
        run = await driver.advance("r1")
        assert run.status is RunStatus.WAITING
        assert run.question is not None
        assert "does not allow $3.00 more" in run.question.text
        assert await driver.deps.store.ledger() == []
    assert trained(shop.rented) == []


async def test_a_run_gets_no_more_than_what_was_approved(shop: Shop) -> None:
    """Each attempt costs; what the approval does not cover is asked for again."""
    shop.rented = Rented(
        good_script() | {"train": [Failure(FailureKind.PREEMPTED, "gone")] * 3 + [Reply({})]}
    )
    async with shop.process() as driver:
        await to_the_plan(shop, driver)
        await decide(driver, "approve")
        await driver.advance("r1")
        lines = await driver.deps.store.ledger(run_id="r1")
        assert sum(line.usd for line in lines) <= 3.0


async def test_a_lost_provider_is_asked_about_and_the_job_is_found_again(shop: Shop) -> None:
    class Unseen(Rented):
        blind = True

        async def events(self, ref: Any, after: int = -1) -> AsyncIterator[Any]:
            if self.blind:
                from remote.backend import BackendError

                raise BackendError(FailureKind.UNREACHABLE, "Modal does not answer.", "Check the network.")
            async for event in super().events(ref, after):
                yield event

    shop.rented = unseen = Unseen(good_script())
    async with shop.process() as driver:
        await to_the_plan(shop, driver)
        await decide(driver, "approve")
        run = await driver.advance("r1")
        assert (run.status, run.stage) == (RunStatus.WAITING, Stage.NEEDS_HUMAN)
        assert run.question is not None
        assert "may still be running" in run.question.text
        unseen.blind = False
        await decide(driver, "retry")
        run = await driver.advance("r1")
        assert run.stage is Stage.APPROVE_PUBLISH
        assert len(await driver.deps.store.ledger()) == 1
    assert len(trained(unseen)) == 1


async def test_a_backend_that_cannot_work_is_named_in_the_plan(shop: Shop) -> None:
    shop.rented = Rented(
        good_script(), health=Health(False, Reason.NO_TOKEN, "no token", "Run `modal setup`.")
    )
    async with shop.process() as driver:
        run = await to_the_plan(shop, driver)
        assert run.question is not None
        assert run.question.price_usd == 0.0
        (plan,) = await payloads(driver, EventType.PLANNED)
        assert plan["refusals"] == ["modal: no token Run `modal setup`."]


async def test_an_unknown_price_is_a_question(shop: Shop) -> None:
    shop.rented = Rented(good_script(), replace(GPU, usd_per_hour=None))
    async with shop.process() as driver:
        run = await to_the_plan(shop, driver, f"{SENTENCE} On a GPU.")
        assert run.question is not None
        assert run.question.price_usd is None
        assert run.question.default is None


async def test_the_sweep_spares_what_an_unfinished_run_owns(shop: Shop) -> None:
    class Sweeping(Rented):
        spared: tuple[str, ...] = ()

        async def sweep(self, live_keys: Collection[str]) -> list[JobRef]:
            self.spared = tuple(live_keys)
            return [JobRef("modal", "forgotten")]

    shop.rented = sweeping = Sweeping(good_script() | {"train": Hold()})
    async with shop.process() as driver:
        await to_the_plan(shop, driver)
        await decide(driver, "approve")
        moving = asyncio.create_task(driver.advance("r1"))
        while not trained(sweeping):
            await asyncio.sleep(0)
        dispatch = Dispatch(driver.deps, driver, Access(), lambda: "r2")
        assert await dispatch.sweep() == ["modal: stopped forgotten"]
        assert trained(sweeping)[0].key in sweeping.spared
        await driver.deps.store.request_cancel("r1", "ann")
        await moving
