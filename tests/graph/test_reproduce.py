"""A finished run is redone from what it recorded: with what lies there, or with its inputs fetched again."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from graph.driver import Driver
from graph.errors import SourceError, StageFailed
from graph.names import RunStatus
from graph.reproduce import Reproduction, reproduce
from graph.state import Candidate, DataFiles, ModelChoice, TaskSpec
from remote.backends.fake import Reply
from tests.graph.world import SCORE, FakeSource, World, good_script

SPLIT = {name: hashlib.sha256(b"{}\n").hexdigest() for name in ("train", "validation", "test")}


@dataclass
class Shelf(FakeSource):
    """A source whose things change, or go."""

    rows: str = "text,label\ngood,positive\n"
    weights: bytes = b"weights"
    gone: bool = False
    fetches: int = 0

    async def fetch(self, candidate: Candidate, into: Path) -> DataFiles:
        self.fetches += 1
        if self.gone:
            raise SourceError("The Hub has no data set reviews1.", "Check its name.")
        into.mkdir(parents=True, exist_ok=True)
        path = into / "reviews.csv"
        path.write_text(self.rows)
        return DataFiles(
            candidate, {"train": str(path)}, {"train": hashlib.sha256(path.read_bytes()).hexdigest()}
        )

    async def model(self, task: TaskSpec) -> ModelChoice:
        path = self.folder / "base"
        path.mkdir(exist_ok=True)
        (path / "model.safetensors").write_bytes(self.weights)
        return ModelChoice("tiny", self.name, str(path), "apache-2.0", revision="0" * 40)


def script(now: float = 0.9, predictions: str = "1,a,a,0.9\n2,b,b,0.8\n") -> dict[str, Any]:
    """``now``: the score of every evaluation after the first."""
    made = good_script()
    made["audit"].result["split_sha256"] = SPLIT
    made["evaluate"] = [evaluation(0.9, "1,a,a,0.9\n2,b,b,0.8\n"), evaluation(now, predictions)]
    return made


def evaluation(value: float, predictions: str) -> Reply:
    first = good_script()["evaluate"]
    metrics = {"macro_f1": SCORE | {"value": value}}
    head = "row_id,label,prediction,confidence\n"
    files = first.files | {"metrics.json": json.dumps(metrics), "predictions.csv": head + predictions}
    return replace(first, files=files)


@asynccontextmanager
async def done(home: Path, made: dict[str, Any]) -> AsyncIterator[tuple[World, Driver, Shelf]]:
    shelf = Shelf(home)
    world = World(home, made, source=shelf)
    async with world.process() as driver:
        await world.start(driver)
        run = await driver.advance("r1")
        assert run.status is RunStatus.DONE
        shelf.fetches = 0
        yield world, driver, shelf


async def again(driver: Driver, *, fresh: bool = False) -> Reproduction:
    return await reproduce(driver.deps, await driver.state("r1"), "r1", fresh=fresh)


async def test_what_lies_there_is_enough(tmp_path: Path) -> None:
    async with done(tmp_path / "home", script()) as (world, driver, shelf):
        report = await again(driver)
        assert world.backend is not None
        train = [job for job in world.backend.jobs if job.programs[0].name == "train"][-1]
    assert report.same
    assert report.agrees
    assert report.said == ()
    assert shelf.fetches == 0
    assert train.programs[0].config["schedule"] == "in/schedule.json"
    assert not any("test" in i.name for i in train.inputs)


@pytest.mark.parametrize(("now", "agrees", "words"), [(0.895, True, "within"), (0.7, False, "outside")])
async def test_other_predictions_are_counted_and_the_score_is_held_to_the_interval(
    tmp_path: Path, now: float, agrees: bool, words: str
) -> None:
    async with done(tmp_path / "home", script(now, "1,a,a,0.9\n2,b,a,0.6\n")) as (_, driver, _):
        report = await again(driver)
    assert (report.differing, report.agrees) == (1, agrees)
    assert (
        f"1 of 2 test rows are predicted differently: macro_f1 0.9000 then, {now:.4f} now" in report.words()
    )
    assert words in report.words()


async def test_fresh_fetches_data_and_model_and_splits_again(tmp_path: Path) -> None:
    async with done(tmp_path / "home", script()) as (world, driver, shelf):
        report = await again(driver, fresh=True)
        assert world.backend is not None
        audits = [job for job in world.backend.jobs if job.programs[0].name == "audit"]
        train = [job for job in world.backend.jobs if job.programs[0].name == "train"][-1]
    assert shelf.fetches == 1
    first, second = (job.programs[0].config for job in audits)
    assert first == second
    assert {i.name: "reproduced" in i.source for i in train.inputs if i.name.endswith(".jsonl")} == {
        "train.jsonl": True,
        "validation.jsonl": True,
    }
    assert "The base model was fetched again (tiny) with the same hashes." in report.words()
    assert "with the same hashes, and so was its split." in report.words()


@pytest.mark.parametrize("harm", ["gone", "changed"])
async def test_a_split_that_is_gone_or_changed_is_made_again(tmp_path: Path, harm: str) -> None:
    async with done(tmp_path / "home", script()) as (world, driver, shelf):
        data = world.home / "runs" / "r1" / "data"
        if harm == "gone":
            shutil.rmtree(data)
        else:
            (data / "test.jsonl").write_text("{}\n{}\n")
        report = await again(driver)
    assert shelf.fetches == 1
    assert len(report.said) == 1


async def test_a_split_that_comes_out_otherwise_is_told(tmp_path: Path) -> None:
    made = script()
    other = replace(
        made["audit"], result={**made["audit"].result, "split_sha256": SPLIT | {"test": "f" * 64}}
    )
    made["audit"] = [made["audit"], other]
    async with done(tmp_path / "home", made) as (_, driver, _):
        report = await again(driver, fresh=True)
    assert "its split differs (test 20 → 20 rows)" in report.words()


async def test_a_base_model_that_is_gone_is_fetched(tmp_path: Path) -> None:
    async with done(tmp_path / "home", script()) as (world, driver, shelf):
        shutil.rmtree(world.home / "base")
        report = await again(driver)
    assert shelf.fetches == 0
    assert report.said == ("The base model was fetched again (tiny) with the same hashes.",)


async def test_why_a_run_cannot_be_redone(tmp_path: Path) -> None:
    async with done(tmp_path / "home", script()) as (world, driver, shelf):
        run = world.home / "runs" / "r1"
        shelf.rows = "text,label\nbad,negative\n"
        with pytest.raises(StageFailed, match=r"Product reviews 1 is not what it was: the hash of train"):
            await again(driver, fresh=True)
        shelf.gone = True
        with pytest.raises(StageFailed, match="cannot be had again: The Hub has no data set"):
            await again(driver, fresh=True)
        shelf.weights = b"other weights"
        with pytest.raises(StageFailed, match=r"is not what it was: model\.safetensors differs"):
            await again(driver, fresh=True)
        (run / "finetune" / "loop.py").write_text("print('another')")
        with pytest.raises(StageFailed, match=r"its finetune/loop\.py is not the script that ran"):
            await again(driver)
        (run / "train.py").write_text("print('another')")
        with pytest.raises(StageFailed, match="not the script that ran"):
            await again(driver)
        (run / "schedule.json").unlink()
        with pytest.raises(StageFailed, match=r"schedule\.json is not there"):
            await again(driver)


async def test_a_folder_of_the_persons_own_cannot_be_fetched(tmp_path: Path) -> None:
    async with done(tmp_path / "home", script()) as (_, driver, _):
        state = await driver.state("r1")
        mine = replace(state["model"], source="folder", path=str(tmp_path / "mine"))
        with pytest.raises(StageFailed, match="is gone, and it came from nowhere else"):
            await reproduce(driver.deps, state | {"model": mine}, "r1")


async def test_the_manifest_names_every_input(tmp_path: Path) -> None:
    async with done(tmp_path / "home", script()) as (world, _, shelf):
        manifest = json.loads((world.home / "runs" / "r1" / "run.json").read_text())
    assert manifest["base_model"]["files"] == {"model.safetensors": hashlib.sha256(b"weights").hexdigest()}
    assert manifest["base_model"]["revision"] == "0" * 40
    assert manifest["data"]["sha256"]["train"] == hashlib.sha256(shelf.rows.encode()).hexdigest()
    assert manifest["data"]["split_sha256"] == SPLIT
    assert set(manifest["code"]["files"]) == {"train.py", "finetune/loop.py", "config.json", "schedule.json"}
    assert manifest["ledger"] == []
    assert manifest["machines_tried"] == []
    assert manifest["made_by"]["name"] == "ml-intern-for-teams"
