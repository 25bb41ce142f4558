"""A run whose training was meant for Modal, with Modal's real client and a stand-in for its servers."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from graph.names import EventType, RunStatus, Stage
from tests.graph.modal_worker import worker
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


async def test_a_worker_killed_in_a_paid_training_finds_it_again_and_pays_once(
    modal: ModalWorld, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    world = World(home)
    async with worker(world) as driver:
        os.mkfifo(home / "said")
        os.mkfifo(home / "go")
        await world.start(driver, sentence=SENTENCE, yes=False)
        await driver.advance("r1")
        await decide(driver, "use:1")
        await driver.advance("r1")
        await decide(driver, "approve")
    command = (sys.executable, "-m", "tests.graph.modal_worker", str(home))
    killed = await asyncio.create_subprocess_exec(*command)
    async with worker(world) as driver:
        await asyncio.to_thread((home / "said").read_text)  # waits until the training has said its epoch
        killed.send_signal(signal.SIGKILL)
        await killed.wait()
        await driver.deps.store.expire("r1", str(await driver.deps.store.holder("r1")))
        assert len(modal.server.ledger) == 1
        assert modal.server.ledger[0].running, "the training goes on while nobody watches"
        again = asyncio.create_task(driver.advance("r1"))
        await asyncio.to_thread((home / "go").write_text, "")  # waits until the training reads
        run = await again
        assert run.stage is Stage.APPROVE_PUBLISH
        assert len(await payloads(driver, EventType.JOB_EPOCH)) == 1
        (line,) = await driver.deps.store.ledger(run_id="r1")
        assert line.actual_usd is not None
    assert len(modal.server.ledger) == 1
