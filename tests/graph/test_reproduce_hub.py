"""A run on a Hub data set is redone from the same revisions, through the Hub's real client, whatever came since."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from graph.driver import Driver
from graph.errors import StageFailed
from graph.names import RunStatus
from graph.reproduce import Reproduction, reproduce
from graph.research.hub import HubSource
from tests.graph.research.packs import MODEL
from tests.graph.test_reproduce import script
from tests.graph.world import World
from tests.hub.server import HubServer, Repo

CSV = b"text,label\n" + b"".join(b"row %d,%s\n" % (i, b"ab"[i % 2 : i % 2 + 1]) for i in range(200))
ENCODER = "sentence-transformers/all-MiniLM-L6-v2"


async def no_wait(seconds: float) -> None:
    return None


@asynccontextmanager
async def trained(home: Path, hub: HubServer) -> AsyncIterator[Driver]:
    hub.add("dataset", Repo("ada/reviews", {"train.csv": CSV}, tags=["license:mit"]))
    hub.add("model", Repo(ENCODER, dict(MODEL), tags=["license:apache-2.0"]))
    world = World(home, script())
    async with world.process() as driver:
        source = HubSource(home=home, endpoint=hub.url, viewer_url=hub.url, sleep=no_wait)
        driver.deps = replace(driver.deps, sources=[source])
        await world.start(driver, data="ada/reviews", text_column="text", target="label")
        assert (await driver.advance("r1")).status is RunStatus.DONE
        yield driver


async def again(driver: Driver) -> Reproduction:
    return await reproduce(driver.deps, await driver.state("r1"), "r1", fresh=True)


async def test_the_revisions_of_then_whatever_stands_there_now(tmp_path: Path) -> None:
    async with HubServer().running() as hub, trained(tmp_path / "home", hub) as driver:
        data, model = hub.repos["dataset", "ada/reviews"], hub.repos["model", ENCODER]
        then = (data.head, model.head)
        data.files["train.csv"] = CSV + b"one more,a\n"
        model.files["model.safetensors"] = b"other weights"
        assert (data.head, model.head) != then
        shutil.rmtree(tmp_path / "home" / "hub")  # the cache
        report = await again(driver)
        assert report.agrees
        assert f"({ENCODER}@{then[1]}) with the same hashes" in report.words()
        assert f"at {then[0][:12]}) with the same hashes, and so was its split" in report.words()


@pytest.mark.parametrize(
    ("kind", "name", "words"),
    [("dataset", "ada/reviews", "Reviews|ada/reviews"), ("model", ENCODER, "all-MiniLM-L6-v2")],
)
async def test_a_revision_that_is_gone_is_named(tmp_path: Path, kind: str, name: str, words: str) -> None:
    async with HubServer().running() as hub, trained(tmp_path / "home", hub) as driver:
        repo = hub.repos[kind, name]
        repo.history.clear()
        repo.messages.append("History was rewritten")
        shutil.rmtree(tmp_path / "home" / "hub")
        with pytest.raises(
            StageFailed, match=rf"({words}).* cannot be had again: There is no such revision"
        ) as caught:
            await again(driver)
        assert caught.value.hint


async def test_other_rows_at_the_same_revision_are_refused(tmp_path: Path) -> None:
    async with HubServer().running() as hub, trained(tmp_path / "home", hub) as driver:
        repo = hub.repos["dataset", "ada/reviews"]
        repo.history[repo.head] = {"train.csv": CSV + b"poison,b\n"}
        shutil.rmtree(tmp_path / "home" / "hub")
        with pytest.raises(StageFailed, match="is not what it was: the hash of train differs"):
            await again(driver)
