"""The driver with a real store and a real graph: the whole road, questions, crashes, cancellation, leases."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.base import BaseCheckpointSaver

from graph.driver import Driver, RunBusy, decision_for
from graph.errors import LeaseLost, PublishError
from graph.holder import Holder
from graph.names import EventType, FailureKind, RunStatus, Stage
from remote.backends.fake import Failure, FakeBackend, Hold, Refusal, Reply
from tests.graph.world import World, good_script


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "home")


async def events_of(driver: Driver, type_: EventType) -> list[dict[str, Any]]:
    return [dict(e.payload) for e in await driver.deps.store.events("r1") if e.type is type_]


async def answer(driver: Driver, value: str, actor: str = "ann") -> None:
    run = await driver.deps.store.run("r1")
    assert run.question is not None
    await driver.deps.store.decide(decision_for(run.question, run, value, actor, driver.deps.at()))


async def test_a_run_with_yes_goes_from_sentence_to_package(world: World) -> None:
    async with world.process() as driver:
        await world.start(driver)
        run = await driver.advance("r1")
        assert (run.status, run.stage) == (RunStatus.DONE, Stage.DONE)
        stages = [e.stage for e in await driver.deps.store.events("r1") if e.type is EventType.STAGE_STARTED]
        assert stages == [
            s for s in Stage
            if s not in (
                Stage.CHOOSE_DATASET, Stage.REPAIR, Stage.APPROVE_COMPUTE, Stage.RECOVER, Stage.APPROVE_PUBLISH,
                Stage.PUBLISH, Stage.NEEDS_HUMAN, Stage.CANCELLED, Stage.FAILED,
            )
        ]  # fmt: skip
        decided = await events_of(driver, EventType.DECIDED)
        assert [(d["value"], d["why"]) for d in decided] == [
            ("use:1", "--yes"),
            ("approve", "--yes"),
            ("keep", "--yes"),
        ]
    folder = world.home / "runs" / "r1"
    for name in [
        "run.json",
        "events.jsonl",
        "audit.json",
        "audit.md",
        "train.py",
        "config.json",
        "train.log",
        "leaderboard.json",
        "metrics.json",
        "predictions.csv",
        "stress.json",
        "report.md",
        "plots/class_balance.png",
        "plots/confusion_matrix.png",
        "model/model.safetensors",
        "model/README.md",
        "space/app.py",
        "data/test.jsonl",
        "training.json",
        "schedule.json",
    ]:
        assert (folder / name).is_file(), name
    assert not (folder / "work").exists()
    manifest = json.loads((folder / "run.json").read_text())
    assert (manifest["status"], manifest["finished"]) == ("done", True)
    assert manifest["versions"] == {"torch": "2"}
    assert [d["value"] for d in manifest["decisions"]] == ["use:1", "approve", "keep"]
    last = json.loads((folder / "events.jsonl").read_text().splitlines()[-1])
    assert last["type"] == "ended"


async def test_the_training_job_never_gets_the_test_rows(world: World) -> None:
    async with world.process() as driver:
        await world.start(driver)
        await driver.advance("r1")
    assert world.backend is not None
    for job in world.backend.jobs:
        names = {p.name for p in job.programs}
        if names & {"train", "smoke", "baselines"}:
            assert not any("test" in i.name or "test" in Path(i.source).name for i in job.inputs)


async def test_without_yes_every_question_waits_and_the_answer_is_taken(world: World) -> None:
    async with world.process() as driver:
        await world.start(driver, yes=False)
        asked = []
        run = await driver.advance("r1")
        for value in ("use:2", "approve", "keep"):
            assert run.status is RunStatus.WAITING
            assert run.question is not None
            asked.append(run.question.stage)
            assert (await driver.advance("r1")).question == run.question  # nothing happens without an answer
            await answer(driver, value)
            run = await driver.advance("r1")
        assert run.status is RunStatus.DONE
        assert asked == [Stage.CHOOSE_DATASET, Stage.APPROVE_COMPUTE, Stage.APPROVE_PUBLISH]
        assert len(await events_of(driver, EventType.QUESTION_ASKED)) == 3
        (chosen,) = await events_of(driver, EventType.DATA_CHOSEN)
        assert chosen["candidate"]["id"] == "reviews2"


async def test_cancel_at_a_question_ends_the_run(world: World) -> None:
    async with world.process() as driver:
        await world.start(driver, yes=False)
        await driver.advance("r1")
        await answer(driver, "cancel")
        assert (await driver.advance("r1")).status is RunStatus.CANCELLED
    assert json.loads((world.home / "runs/r1/run.json").read_text())["status"] == "cancelled"


async def test_a_change_makes_a_new_plan_with_a_new_hash(world: World) -> None:
    async with world.process() as driver:
        await world.start(driver, yes=False)
        await driver.advance("r1")
        await answer(driver, "use:1")
        first = (await driver.advance("r1")).question
        await answer(driver, "change epochs=1")
        second = (await driver.advance("r1")).question
        assert first is not None
        assert second is not None
        assert first.plan_hash != second.plan_hash
        await answer(driver, "change the weather")
        third = (await driver.advance("r1")).question
        assert third is not None
        assert "change" in third.text
        await answer(driver, "approve")
        await driver.advance("r1")
    config = json.loads((world.home / "runs/r1/config.json").read_text())
    assert config["epochs"] == 1


async def test_baseline_only_trains_no_transformer(world: World) -> None:
    async with world.process() as driver:
        await world.start(driver, yes=False)
        await driver.advance("r1")
        await answer(driver, "use:1")
        await driver.advance("r1")
        await answer(driver, "baseline_only")
        await driver.advance("r1")
    assert json.loads((world.home / "runs/r1/config.json").read_text())["epochs"] == 0


# -- crashes --------------------------------------------------------------------------------------------------


class Killed(BaseException):
    """What SIGKILL is to the process: nothing after it runs."""


def dying(saver: BaseCheckpointSaver[str], at: int, count: list[int]) -> BaseCheckpointSaver[str]:
    """A saver whose ``at``-th write is the process's last deed: before it is made, or after."""
    for name in ("aput", "aput_writes"):
        original = getattr(saver, name)

        async def write(*args: Any, _original: Any = original, **kwargs: Any) -> Any:
            count[0] += 1
            if count[0] == at:
                raise Killed
            return await _original(*args, **kwargs)

        setattr(saver, name, write)
    return saver


async def uninterrupted(world: World) -> tuple[int, list[tuple[str, str]]]:
    """How many checkpoint writes a whole run makes, and what it says."""
    count = [0]
    async with world.process(lambda s: dying(s, 0, count)) as driver:
        await world.start(driver)
        await driver.advance("r1")
        return count[0], spoken(await driver.deps.store.events("r1"))


def spoken(events: Any) -> list[tuple[str, str]]:
    return [(e.type.value, e.stage.value if e.stage else "") for e in events]


async def test_a_crash_at_any_checkpoint_neither_repeats_nor_loses_anything(tmp_path: Path) -> None:
    """The crash matrix: for every write of a checkpoint, die there, and let a fresh process go on."""
    writes, expected = await uninterrupted(World(tmp_path / "whole"))
    assert writes > 30
    for at in range(1, writes + 1):
        world = World(tmp_path / f"crash{at}")
        async with world.process(lambda s, at=at: dying(s, at, [0])) as driver:  # type: ignore[misc]
            await world.start(driver)
            with pytest.raises(Killed):
                await driver.advance("r1")
        async with world.process() as driver:
            run = await driver.advance("r1")
            assert run.status is RunStatus.DONE, at
            assert spoken(await driver.deps.store.events("r1")) == expected, at
            effects = await driver.deps.store.effects("r1")
        assert world.backend is not None
        assert all(n == 1 for n in Counter(j.key for j in world.backend.jobs).values()), at
        assert {e.key for e in effects} == {j.key for j in world.backend.jobs}, at
        assert [p.name for j in world.backend.jobs for p in j.programs].count("train") == 1, at


async def test_an_unforeseen_error_is_recorded_and_resume_goes_on_at_that_stage(world: World) -> None:
    async with world.process() as driver:
        await world.start(driver)
        recipe = world.home / "recipe.py"
        original = driver.deps.recipes

        class Broken:
            def for_family(self, family: object) -> Any:
                raise KeyError("oops")

        driver.deps = replace(driver.deps, recipes=Broken())
        run = await driver.advance("r1")
        assert (run.status, run.stage) == (RunStatus.FAILED, Stage.WRITE_SCRIPT)
        (ended,) = await events_of(driver, EventType.ENDED)
        assert ended["kind"] == FailureKind.UNKNOWN
        assert "Traceback" not in ended["detail"]
        assert "KeyError: 'oops'" in (world.home / "runs/r1/error.log").read_text()
        driver.deps = replace(driver.deps, recipes=original)
        assert (await driver.advance("r1")).status is RunStatus.DONE
        assert recipe.is_file()
        assert not (world.home / "runs/r1/error.log").exists()
        started = await events_of(driver, EventType.STAGE_STARTED)
    assert len(started) == 13  # nothing before write_script ran again


async def test_a_stage_that_failed_with_a_reason_is_tried_again_by_resume(tmp_path: Path) -> None:
    script = good_script()
    script["audit"] = [Failure(FailureKind.DATA_ERROR, "Only one class is left."), script["audit"]]
    world = World(tmp_path / "home", script)
    async with world.process() as driver:
        await world.start(driver, data="reviews")  # with others found, one of them would serve
        run = await driver.advance("r1")
        assert run.status is RunStatus.FAILED
        (ended,) = await events_of(driver, EventType.ENDED)
        assert ended["detail"] == "Only one class is left."
        assert json.loads((world.home / "runs/r1/run.json").read_text())["failure"]["kind"] == "data_error"
        assert (await driver.advance("r1")).status is RunStatus.DONE


# -- remedies -------------------------------------------------------------------------------------------------


async def test_out_of_memory_in_training_halves_the_batch_and_goes_on(tmp_path: Path) -> None:
    script = good_script()
    script["train"] = [Failure(FailureKind.OUT_OF_MEMORY, "out of memory"), script["train"]]
    world = World(tmp_path / "home", script)
    async with world.process() as driver:
        await world.start(driver)
        assert (await driver.advance("r1")).status is RunStatus.DONE
        (recovered,) = await events_of(driver, EventType.RECOVERED)
    assert recovered["kind"] == FailureKind.OUT_OF_MEMORY
    assert json.loads((world.home / "runs/r1/config.json").read_text())["batch_size"] == 16


async def test_a_preempted_training_resumes_from_its_checkpoint(tmp_path: Path) -> None:
    script = good_script()
    gone = Failure(FailureKind.PREEMPTED, "gone", files={"checkpoint/state.json": "{}"})
    script["train"] = [gone, script["train"]]
    world = World(tmp_path / "home", script)
    async with world.process() as driver:
        await world.start(driver)
        assert (await driver.advance("r1")).status is RunStatus.DONE
    assert world.backend is not None
    first, second = [j for j in world.backend.jobs if j.programs[0].name == "train"]
    assert first.programs[0].config["resume_from"] is None
    assert second.programs[0].config["resume_from"] == "in/checkpoint"
    assert "checkpoint" in {i.name for i in second.inputs}


async def test_a_training_that_never_works_asks_a_person_with_the_trail(tmp_path: Path) -> None:
    script = good_script()
    script["train"] = Failure(FailureKind.OUT_OF_MEMORY, "out of memory")
    world = World(tmp_path / "home", script)
    async with world.process() as driver:
        await world.start(driver)
        run = await driver.advance("r1")
        assert run.status is RunStatus.WAITING
        assert run.question is not None
        assert run.question.stage is Stage.NEEDS_HUMAN
        assert run.question.detail.count("out_of_memory") >= 2
        await answer(driver, "give_up")
        assert (await driver.advance("r1")).status is RunStatus.FAILED


async def test_a_refused_submit_is_a_failure_with_a_kind(tmp_path: Path) -> None:
    script = good_script()
    script["audit"] = Refusal(FailureKind.NO_DISK, "The disk is full.", "Free some space.")
    world = World(tmp_path / "home", script)
    async with world.process() as driver:
        await world.start(driver)
        assert (await driver.advance("r1")).status is RunStatus.FAILED
        (ended,) = await events_of(driver, EventType.ENDED)
    assert (ended["kind"], ended["hint"]) == (FailureKind.NO_DISK, "Free some space.")


# -- publishing -----------------------------------------------------------------------------------------------


async def test_publishing_happens_once_after_a_second_yes(world: World) -> None:
    async with world.process() as driver:
        await world.start(driver, yes=False, publish_to="folder:/x")
        await driver.advance("r1")
        for value in ("use:1", "approve", "private"):
            assert world.publisher.published == []
            await answer(driver, value)
            run = await driver.advance("r1")
        assert run.status is RunStatus.DONE
        (published,) = await events_of(driver, EventType.PUBLISHED)
    assert [(target, private) for target, private, _ in world.publisher.published] == [("folder:/x", True)]
    assert published["private"] is True


async def test_a_place_that_will_refuse_is_told_before_the_training(world: World) -> None:
    world.publisher.refuses = PublishError("HF_TOKEN may only read.", "Set one with write access.")
    async with world.process() as driver:
        await world.start(driver, publish_to="folder:/x")
        await driver.advance("r1")
        (planned,) = await events_of(driver, EventType.PLANNED)
    assert any("HF_TOKEN may only read." in note for note in planned["plan"]["advice"])


async def test_a_place_that_will_refuse_is_told_at_the_request(world: World) -> None:
    world.publisher.refuses = PublishError("HF_TOKEN may only read.", "Set one with write access.")
    async with world.process() as driver:
        await world.start(driver, yes=False, publish_to="folder:/x")
        await driver.advance("r1")  # to the first question
        notes = await events_of(driver, EventType.NOTE)
    assert "Publishing to folder:/x will not work as things are: HF_TOKEN may only read." in notes[0]["text"]


async def test_a_refused_publication_asks_again_and_loses_nothing(world: World) -> None:
    world.publisher.error = PublishError("The Hub said no.", "Check the token.")
    async with world.process() as driver:
        await world.start(driver, publish_to="folder:/x")
        run = await driver.advance("r1")  # --yes: the second time the default is to keep it
        assert run.status is RunStatus.DONE
        questions = await events_of(driver, EventType.QUESTION_ASKED)
    assert "The Hub said no." in questions[-1]["question"]["text"]
    assert (world.home / "runs/r1/model/model.safetensors").is_file()


# -- cancellation and leases ----------------------------------------------------------------------------------


async def test_cancel_in_the_middle_of_a_training_stops_the_job(tmp_path: Path) -> None:
    script = good_script()
    script["train"] = Hold(Reply({}))
    world = World(tmp_path / "home", script)
    async with world.process() as driver:
        await world.start(driver)
        moving = asyncio.create_task(driver.advance("r1"))
        async with asyncio.timeout(20):
            while not (world.backend and any(j.programs[0].name == "train" for j in world.backend.jobs)):
                await asyncio.sleep(0)
        await driver.deps.store.request_cancel("r1", "ann")
        run = await moving
        assert run.status is RunStatus.CANCELLED
        assert world.backend.cancelled == [world.backend.jobs[-1].key]
        assert (await driver.advance("r1")).status is RunStatus.CANCELLED
        (ended,) = await events_of(driver, EventType.ENDED)
    assert "ann" in ended["detail"]


async def test_a_run_that_waits_can_be_cancelled(world: World) -> None:
    async with world.process() as driver:
        await world.start(driver, yes=False)
        await driver.advance("r1")
        await driver.deps.store.request_cancel("r1", "ann")
        assert (await driver.advance("r1")).status is RunStatus.CANCELLED


async def test_a_claim_that_is_no_job_is_not_told_as_one_that_could_not_be_stopped(world: World) -> None:
    async with world.process() as driver:
        await world.start(driver, yes=False)
        await driver.advance("r1")
        await driver.deps.store.claim("r1-llm-0123", "r1")
        await driver.deps.store.request_cancel("r1", "ann")
        assert (await driver.advance("r1")).status is RunStatus.CANCELLED
        notes = [n["text"] for n in await events_of(driver, EventType.NOTE)]
    assert not [text for text in notes if "could not be stopped" in text]


async def test_two_drivers_never_move_one_run(tmp_path: Path) -> None:
    script = good_script()
    script["train"] = Hold(good_script()["train"])
    world = World(tmp_path / "home", script)
    async with world.process() as one, world.process() as two:
        two.holder = replace(two.holder, host="elsewhere")
        await world.start(one)
        moving = asyncio.create_task(one.advance("r1"))
        async with asyncio.timeout(20):
            while not (world.backend and world.backend.jobs):
                await asyncio.sleep(0)
        with pytest.raises(RunBusy, match="another process"):
            await two.advance("r1")
        assert isinstance(world.backend, FakeBackend)
        async with asyncio.timeout(20):
            while not any(j.programs[0].name == "train" for j in world.backend.jobs):
                await asyncio.sleep(0)
        world.backend.release(world.backend.jobs[-1].key)
        assert (await moving).status is RunStatus.DONE


async def test_the_lease_of_a_dead_process_of_this_machine_is_taken_over_at_once(world: World) -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    alive = Holder.parse(f"{Holder.me().host}/{child.pid}:0")
    assert alive is not None
    fields = Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()
    alive = replace(alive, started=fields[19])
    async with world.process() as driver:
        await world.start(driver)
        await driver.deps.store.lease("r1", str(alive), 1_800_000_000.0, 1e6)
        with pytest.raises(RunBusy):
            await driver.advance("r1")
        child.kill()
        child.communicate()
        assert (await driver.advance("r1")).status is RunStatus.DONE


async def test_a_process_that_lost_its_lease_stops_writing(tmp_path: Path) -> None:
    script = good_script()
    script["train"] = Hold(good_script()["train"])
    world = World(tmp_path / "home", script)
    async with world.process() as driver:
        await world.start(driver)
        moving = asyncio.create_task(driver.advance("r1"))
        async with asyncio.timeout(20):
            while not (world.backend and any(j.programs[0].name == "train" for j in world.backend.jobs)):
                await asyncio.sleep(0)
        store = driver.deps.store
        await store.expire("r1", str(driver.holder))
        await store.lease("r1", "elsewhere/1:1", 1_800_000_000.0, 1000)
        assert isinstance(world.backend, FakeBackend)
        world.backend.release(world.backend.jobs[-1].key)
        with pytest.raises(LeaseLost):
            await moving
        assert (await store.run("r1")).status is RunStatus.RUNNING


def test_a_holder_comes_back_from_its_text_and_knows_the_living() -> None:
    me = Holder.me()
    assert Holder.parse(str(me)) == me
    assert me.pid == os.getpid()
    assert not me.is_dead()
    assert replace(me, started="1").is_dead()
    assert not replace(me, host="elsewhere", started="1").is_dead()
    assert Holder.parse("nonsense") is None
