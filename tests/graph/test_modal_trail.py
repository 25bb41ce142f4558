"""A run whose training was meant for Modal, with Modal's real client and a stand-in for its servers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from graph.names import EventType, RunStatus, Stage
from tests.graph.test_paid import SENTENCE, Slow, decide, payloads, trained
from tests.graph.world import World, good_script
from tests.modalserver.world import ModalWorld, modal_world


@pytest.fixture
def modal(tmp_path: Path) -> Iterator[ModalWorld]:
    with modal_world(tmp_path) as world:
        yield world


async def test_a_spend_limit_at_modal_ends_on_the_cpu_with_the_trail(
    modal: ModalWorld, tmp_path: Path
) -> None:
    modal.server.faults.spend_limit()
    world, here = World(tmp_path / "home"), Slow(good_script(), 7200.0)
    async with world.process() as driver:
        driver.deps = replace(driver.deps, backends=[modal.backend, here])
        await world.start(driver, sentence=SENTENCE, yes=False)
        await driver.advance("r1")
        await decide(driver, "use:1")
        run = await driver.advance("r1")
        assert run.question is not None
        assert run.question.price_usd
        (plan,) = await payloads(driver, EventType.PLANNED)
        assert plan["plan"]["backend"] == "modal"
        await decide(driver, "approve")
        run = await driver.advance("r1")
        assert (run.status, run.stage) == (RunStatus.WAITING, Stage.APPROVE_COMPUTE)
        assert run.question is not None
        assert "modal" in run.question.text
        assert "spend limit" in run.question.text.casefold()
        assert run.question.price_usd == 0.0
        await decide(driver, "approve")
        run = await driver.advance("r1")
        assert run.stage is Stage.APPROVE_PUBLISH
        assert [line.usd for line in await driver.deps.store.ledger()] == [0.0]
    assert modal.server.ledger == []
    assert len(trained(here)) == 1
