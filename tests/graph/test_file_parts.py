"""A split that lies in several files of the Hub: read whole where that fits, hashed, redone, and said where not."""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from graph.driver import Driver
from graph.errors import SourceError, StageFailed
from graph.names import EventType, RunStatus
from graph.reproduce import reproduce
from graph.research import hubfiles
from graph.research.hub import HubSource
from graph.state import RunState
from remote.backends.fake import FakeBackend
from tests.graph.research.packs import MODEL
from tests.graph.test_reproduce import script
from tests.graph.world import World
from tests.hub.server import Fault, HubServer, Repo, sha256

ENCODER = "sentence-transformers/all-MiniLM-L6-v2"


def part(number: int) -> bytes:
    return b"text,label\n" + b"".join(b"row %d of %d,%d\n" % (i, number, i % 2) for i in range(50))


PARTS = {f"data/train-{i:05}-of-00003.csv": part(i) for i in range(3)}
FILES = PARTS | {"data/test.csv": part(9)}


async def no_wait(seconds: float) -> None:
    return None


@pytest.fixture
async def hub() -> AsyncIterator[HubServer]:
    async with HubServer().running() as server:
        server.add("dataset", Repo("ada/reviews", dict(FILES), tags=["license:mit"]))
        server.add("model", Repo(ENCODER, dict(MODEL), tags=["license:apache-2.0"]))
        yield server


def source(home: Path, hub: HubServer) -> HubSource:
    return HubSource(home=home, endpoint=hub.url, viewer_url=f"{hub.url}/viewer", sleep=no_wait)


@asynccontextmanager
async def trained(home: Path, hub: HubServer) -> AsyncIterator[tuple[Driver, FakeBackend]]:
    world = World(home, script(), source=source(home, hub))
    async with world.process() as driver:
        await world.start(driver, data="ada/reviews", text_column="text", target="label")
        assert (await driver.advance("r1")).status is RunStatus.DONE
        assert world.backend is not None
        yield driver, world.backend


async def test_every_part_is_fetched_and_hashed(tmp_path: Path, hub: HubServer) -> None:
    hub.repos["dataset", "ada/reviews"].lfs = frozenset(PARTS)
    hub.latency_s = 0.1  # so that parts that are asked for together are seen together
    found = source(tmp_path, hub)
    data = await found.fetch(await found.candidate("ada/reviews"), tmp_path / "raw")
    read = [Path(path).read_bytes() for path in data.files["train"]]
    assert read == list(PARTS.values())
    assert data.sha256 == {
        "test": sha256(part(9)), "train": sha256(part(0)), "train-2": sha256(part(1)), "train-3": sha256(part(2)),
    }  # fmt: skip
    assert data.left_out == {}
    assert data.official_test
    assert 1 < hub.most_at_once <= 8


async def test_a_part_that_cannot_be_had_is_named(tmp_path: Path, hub: HubServer) -> None:
    hub.faults = [Fault("(HEAD|GET) .*train-00001.*", status=403, times=9)]
    found = source(tmp_path, hub)
    with pytest.raises(
        SourceError, match=r"does not let you read the file data/train-00001-of-00003\.csv of ada/"
    ):
        await found.fetch(await found.candidate("ada/reviews"), tmp_path / "raw")


async def test_a_part_that_breaks_off_resumes(tmp_path: Path, hub: HubServer) -> None:
    hub.faults = [Fault("GET .*train-00001.*", kind="truncate")]
    found = source(tmp_path, hub)
    data = await found.fetch(await found.candidate("ada/reviews"), tmp_path / "raw")
    assert Path(data.files["train"][1]).read_bytes() == part(1)


async def test_what_is_more_than_the_bound_is_left_out_and_said(
    tmp_path: Path, hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hubfiles, "TEXT_BYTES", 3 * len(part(0)))
    async with trained(tmp_path / "home", hub) as (driver, backend):
        fetched = [line for line in hub.requests if "/resolve/" in line and "train-" in line]
        assert not any("train-00001-of-00003" in line for line in fetched)  # the middle one; parts are spread
        (chosen,) = [
            e.payload for e in await driver.deps.store.events("r1") if e.type is EventType.DATA_CHOSEN
        ]
        (audit,) = [job for job in backend.jobs if job.programs[0].name == "audit"]
    said = "2 of 3 files, 67 % of the bytes"
    assert chosen["candidate"]["reasons"][0] == f"I read a part of train: {said}"
    assert audit.programs[0].config["left_out"] == {"train": said}
    assert [i.name.removeprefix("raw/reviews-") for i in audit.inputs] == [
        "test.csv",
        "train.csv",
        "train-2.csv",
    ]
    assert json.loads((tmp_path / "home/runs/r1/run.json").read_text())["data"]["left_out"] == {"train": said}


async def test_a_test_split_that_was_read_in_part_is_not_the_official_one(
    tmp_path: Path, hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = hub.repos["dataset", "ada/reviews"].files
    files |= {f"data/test-{i:05}-of-00002.csv": part(i) for i in range(2)}
    del files["data/test.csv"]
    monkeypatch.setattr(hubfiles, "TEXT_BYTES", 1)
    found = source(tmp_path, hub)
    data = await found.fetch(await found.candidate("ada/reviews"), tmp_path / "raw")
    assert data.left_out == {
        "test": "1 of 2 files, 50 % of the bytes", "train": "1 of 3 files, 33 % of the bytes",
    }  # fmt: skip
    assert not data.official_test


async def test_a_run_records_every_part_and_is_redone_from_all_of_them(
    tmp_path: Path, hub: HubServer
) -> None:
    async with trained(tmp_path / "home", hub) as (driver, _):
        folder = tmp_path / "home" / "runs" / "r1"
        expected = {"test", "train", "train-2", "train-3"}
        assert json.loads((folder / "run.json").read_text())["data"]["sha256"].keys() == expected
        assert json.loads((folder / "dataset" / "splits.json").read_text())["sha256"].keys() == expected
        repo = hub.repos["dataset", "ada/reviews"]
        then = repo.head
        repo.files["data/train-00001-of-00003.csv"] = b"text,label\nother,1\n"
        shutil.rmtree(tmp_path / "home" / "hub")
        report = await reproduce(driver.deps, await driver.state("r1"), "r1", fresh=True)
        assert "with the same hashes, and so was its split" in report.words()
        repo.history[then]["data/train-00002-of-00003.csv"] = b"text,label\npoison,1\n"
        shutil.rmtree(tmp_path / "home" / "hub")
        with pytest.raises(StageFailed, match="is not what it was: the hash of train-3 differs"):
            await reproduce(driver.deps, await driver.state("r1"), "r1", fresh=True)


async def test_a_run_of_a_version_that_read_one_part_is_redone_from_that_part(
    tmp_path: Path, hub: HubServer
) -> None:
    async with trained(tmp_path / "home", hub) as (driver, backend):
        state = await driver.state("r1")
        data = state["data"]
        assert data is not None
        first = {"test": data.sha256["test"], "train": data.sha256["train"]}
        old = RunState(**{**state, "data": replace(data, sha256=first, more={})})
        await reproduce(driver.deps, old, "r1", fresh=True)
        *_, audit = [job for job in backend.jobs if job.programs[0].name == "audit"]
    assert [Path(i.name).name for i in audit.inputs] == ["reviews-test.csv", "reviews-train.csv"]
    assert audit.programs[0].config["files"]["train"] == "in/raw/reviews-train.csv"
