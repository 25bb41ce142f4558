"""A base model that a person named and that cannot serve: asked about, in a run with a real store and graph."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from graph.driver import decision_for
from graph.errors import SourceError
from graph.names import EventType, FailureKind, RunStatus, Stage
from graph.state import ModelChoice, TaskSpec
from tests.graph.world import FakeSource, World


class Picky(FakeSource):
    """Has one model, and refuses every other by name."""

    async def model(self, task: TaskSpec) -> ModelChoice:
        if task.base_model not in (None, "tiny"):
            raise SourceError(
                f"The base model {task.base_model} has its weights only as a pickle, which can run code.",
                "Name one that has safetensors.",
                FailureKind.DATA_ERROR,
            )
        return await super().model(task)


@pytest.fixture
def world(tmp_path: Path) -> World:
    home = tmp_path / "home"
    return World(home, source=Picky(home))


async def decide(driver: Any, value: str) -> None:
    run = await driver.deps.store.run("r1")
    await driver.deps.store.decide(decision_for(run.question, run, value, "ann", driver.deps.at()))


@pytest.mark.parametrize("value", ["choose", "tiny"])
async def test_it_is_asked_about_with_the_reason_and_another_serves(world: World, value: str) -> None:
    async with world.process() as driver:
        await world.start(driver, yes=False, base_model="ada/pickled")
        run = await driver.advance("r1")
        assert (run.status, run.stage) == (RunStatus.WAITING, Stage.NEEDS_HUMAN)
        assert run.question is not None
        assert "ada/pickled has its weights only as a pickle" in run.question.text
        await decide(driver, value)
        run = await driver.advance("r1")
        assert run.stage is Stage.CHOOSE_DATASET
        found = [e for e in await driver.deps.store.events("r1") if e.type is EventType.CANDIDATES_FOUND]
        assert found[0].payload["model"]["id"] == "tiny"


async def test_another_that_cannot_serve_is_asked_about_again(world: World) -> None:
    async with world.process() as driver:
        await world.start(driver, yes=False, base_model="ada/pickled")
        await driver.advance("r1")
        await decide(driver, "bob/pickled")
        run = await driver.advance("r1")
        assert run.question is not None
        assert "bob/pickled" in run.question.text


async def test_a_model_that_reads_less_than_the_texts_is_told(world: World, tmp_path: Path) -> None:
    class Short(FakeSource):
        async def model(self, task: TaskSpec) -> ModelChoice:
            return replace(await super().model(task), max_length=16)

    world.source = Short(world.home)
    async with world.process() as driver:
        await world.start(driver)
        assert (await driver.advance("r1")).status is RunStatus.DONE
        notes = [e.payload for e in await driver.deps.store.events("r1") if e.type is EventType.NOTE]
    assert [n["level"] for n in notes if "tiny reads 16 tokens" in n["text"]] == ["warning"]


async def test_yes_does_not_put_another_in_its_place(world: World) -> None:
    async with world.process() as driver:
        await world.start(driver, base_model="ada/pickled")
        assert (await driver.advance("r1")).status is RunStatus.WAITING


@pytest.mark.parametrize("there", [True, False])
async def test_a_chat_cannot_look_into_folders_by_naming_them(
    world: World, tmp_path: Path, there: bool
) -> None:
    secret = tmp_path / "secret"
    if there:
        secret.mkdir()
    async with world.process() as driver:
        await world.start(driver, yes=False, base_model=str(secret), files_below=str(tmp_path / "uploads"))
        run = await driver.advance("r1")
        assert run.question is not None
        assert run.question.text.startswith("I can't read secret from here. Name a model of the Hub")
