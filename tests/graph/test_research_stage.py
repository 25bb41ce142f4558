"""Research in a run, over the tests' Hub: choosing, asking for others, and data that is gone when it is fetched."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from graph.deps import Run
from graph.driver import Driver, decision_for
from graph.names import EventType, FailureKind, RunStatus, Stage
from graph.research.hub import HubSource
from remote.backends.fake import Failure
from tests.graph.world import World, good_script
from tests.hub.collection import stocked
from tests.hub.server import Fault, HubServer

SENTENCE = "Tell positive from negative product reviews in English."
RIGHT = "storefront/verified-reviews"


async def no_wait(seconds: float) -> None:
    return None


@pytest.fixture
async def hub() -> AsyncIterator[HubServer]:
    async with stocked() as server:
        yield server


@pytest.fixture
def world(hub: HubServer, tmp_path: Path) -> World:
    home = tmp_path / "home"
    source = HubSource(home=home, endpoint=hub.url, viewer_url=f"{hub.url}/viewer", sleep=no_wait)
    return World(home, source=source)


async def started(world: World, driver: Driver, **request: Any) -> Run:
    await world.start(driver, **{"sentence": SENTENCE, "yes": False} | request)
    return await driver.advance("r1")


async def answered(driver: Driver, value: str) -> Run:
    run = await driver.deps.store.run("r1")
    assert run.question is not None
    await driver.deps.store.decide(decision_for(run.question, run, value, "ann", driver.deps.at()))
    return await driver.advance("r1")


def offered(run: Run) -> list[str]:
    assert run.question is not None
    return [choice.label for choice in run.question.choices if choice.value.startswith("use:")]


async def said(driver: Driver, type_: EventType) -> list[dict[str, Any]]:
    return [dict(e.payload) for e in await driver.deps.store.events("r1") if e.type is type_]


async def test_a_person_sees_scores_classes_and_refusals(world: World) -> None:
    async with world.process() as driver:
        run = await started(world, driver)
        (found,) = await said(driver, EventType.CANDIDATES_FOUND)
    assert offered(run)[0] == "Use Verified product reviews: text → label"
    first, *_, last = found["candidates"]
    assert (first["id"], first["class_counts"]) == (RIGHT, {"negative": 6000, "positive": 5993})
    assert {part["name"] for part in first["parts"]} >= {"topic", "labels", "licence", "balance", "access"}
    assert not last["usable"]
    assert last["why_not"]


async def test_more_brings_others_until_there_are_none(world: World) -> None:
    async with world.process() as driver:
        run = await started(world, driver)
        seen: list[str] = offered(run)
        for _ in range(5):
            run = await answered(driver, "more")
            assert run.question is not None
            if "no others" in run.question.text:
                break
            assert not {*offered(run)} & {*seen}
            seen += offered(run)
        assert run.question is not None
        assert "no others" in run.question.text
        assert offered(run)  # the last ones can still be taken


async def test_data_that_is_gone_when_it_is_fetched_leaves_the_others(world: World, hub: HubServer) -> None:
    async with world.process() as driver:
        run = await started(world, driver)
        others = offered(run)[1:]
        del hub.repos["dataset", RIGHT]
        run = await answered(driver, "use:1")
        assert (run.status, run.stage) == (RunStatus.WAITING, Stage.CHOOSE_DATASET)
        assert run.question is not None
        assert "has no data set storefront/verified-reviews" in run.question.text
        assert offered(run) == others
        assert (await answered(driver, "use:1")).stage is Stage.APPROVE_COMPUTE
        (chosen,) = await said(driver, EventType.DATA_CHOSEN)
        assert chosen["candidate"]["id"] != RIGHT


@pytest.mark.parametrize(
    "fault",
    [
        Fault("GET .*verified-reviews/revision", status=403, times=9, headers={"X-Error-Code": "GatedRepo"}),
        Fault("(HEAD|GET) .*verified-reviews/resolve", status=503, times=9),
        Fault("(HEAD|GET) .*verified-reviews/resolve", status=429, times=9, headers={"Retry-After": "900"}),
    ],
)
async def test_with_yes_the_next_best_serves(world: World, hub: HubServer, fault: Fault) -> None:
    hub.faults = [fault]
    async with world.process() as driver:
        run = await started(world, driver, yes=True)
        assert run.status is RunStatus.DONE
        (chosen,) = await said(driver, EventType.DATA_CHOSEN)
        notes = await said(driver, EventType.NOTE)
    assert chosen["candidate"]["id"] != RIGHT
    assert notes[0]["level"] == "warning"


async def test_data_that_the_audit_refuses_leaves_the_others(world: World) -> None:
    refusal = Failure(FailureKind.DATA_ERROR, "All texts have one label.")
    world.script = good_script() | {"audit": [refusal, good_script()["audit"]]}
    async with world.process() as driver:
        others = offered(await started(world, driver))[1:]
        run = await answered(driver, "use:1")
        assert run.question is not None
        assert "All texts have one label." in run.question.text
        assert offered(run) == others
        assert (await answered(driver, "use:1")).stage is Stage.APPROVE_COMPUTE


async def test_a_revision_that_vanished_is_offered_as_it_is_now(world: World, hub: HubServer) -> None:
    async with world.process() as driver:
        await started(world, driver)
        repo = hub.repos["dataset", RIGHT]
        repo.files["train.csv"] = repo.files["train.csv"].replace(b"quite", b"rather")
        repo.history.clear()
        run = await answered(driver, "use:1")
        assert run.question is not None
        assert "another revision" in run.question.text
        await answered(driver, "use:1")
        (chosen,) = await said(driver, EventType.DATA_CHOSEN)
    assert (chosen["candidate"]["id"], chosen["candidate"]["revision"]) == (RIGHT, repo.head)


async def test_a_name_that_is_none_asks_again_with_what_was_found(world: World) -> None:
    async with world.process() as driver:
        before = offered(await started(world, driver))
        run = await answered(driver, "nobody/nothing")
        assert offered(run) == before
        assert run.question is not None
        assert "nobody/nothing" in run.question.text


async def test_nothing_found_asks_for_data_and_looks_again(world: World, hub: HubServer) -> None:
    hub.faults = [Fault(r"GET /api/datasets$", status=403, times=99, skip=1)]
    async with world.process() as driver:
        run = await started(world, driver)
        assert run.question is not None
        assert "I found no data" in run.question.text
        assert [choice.value for choice in run.question.choices] == ["retry", "cancel"]
        hub.faults.clear()
        assert offered(await answered(driver, "retry"))[0] == "Use Verified product reviews: text → label"


async def test_nothing_found_and_nobody_to_ask_ends_the_run(world: World, hub: HubServer) -> None:
    hub.faults = [Fault(r"GET /api/datasets$", status=403, times=99, skip=1)]
    async with world.process() as driver:
        run = await started(world, driver, yes=True)
        assert run.status is RunStatus.FAILED
        (ended,) = await said(driver, EventType.ENDED)
    assert "I found no data" in ended["detail"]
