"""What would be published is listed, and what a run published is taken back, also after half a publication."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from graph.errors import PublishError
from graph.names import EventType
from graph.publishing.withdraw import preview, unpublish
from graph.state import RunState
from tests.graph.publishing.test_crashes import TARGET, Killed, Town, Wire, town
from tests.hub.server import Fault, Repo


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Town]:
    async with town(tmp_path / "home") as made:
        yield made


async def test_a_dry_run_names_every_file_and_sends_nothing(place: Town) -> None:
    async with place.process() as deps:
        state = RunState(package_dir="x")
        target, files = await preview(deps, state, "r1", TARGET)
        done = (await place.publish(deps))["publication"]
    assert target == TARGET
    assert [(f.repo, f.path, f.bytes) for f in files] == [
        (f["repo"], f["path"], f["bytes"]) for f in done["files"]
    ]
    assert {f.repo for f in files} == {"model", "space", "dataset"}


@pytest.mark.parametrize(
    ("state", "target", "words"),
    [
        (RunState(), None, "names no place"),
        (RunState(), "hub:ada/x", "nothing to publish yet"),
        (RunState(package_dir="x"), "ftp:ada", "no place I can publish to"),
        (RunState(package_dir="x"), "hub:somebody/x", "may not write under"),
    ],
)
async def test_why_nothing_could_be_published(
    place: Town, state: RunState, target: str | None, words: str
) -> None:
    async with place.process() as deps:
        with pytest.raises(PublishError, match=words):
            await preview(deps, state, "r1", target)
    assert not place.hub.repos


async def test_all_that_was_made_is_taken_back_and_said(place: Town) -> None:
    place.hub.add("model", Repo("ada/other", {"a": b""}))
    async with place.process() as deps:
        state = await place.publish(deps)
        said = await unpublish(deps, state, "r1", by="ann", keep=False)
        (event,) = [e for e in await deps.store.events("r1") if e.type is EventType.UNPUBLISHED]
        (effect,) = [e for e in await deps.store.effects("r1") if e.key == "r1-unpublish"]
    assert list(place.hub.repos) == [("model", "ada/other")]
    assert not place.hub.collections
    assert event.payload == {"by": "ann", "keep": False, "said": list(said)}
    assert effect.result is not None
    assert effect.result["by"] == "ann"
    run = json.loads((place.home / "runs/r1/run.json").read_text())
    assert run["unpublished"]["said"] == list(said)
    assert run["status"] == "done"


async def test_hidden_instead_of_deleted(place: Town) -> None:
    async with place.process() as deps:
        state = await place.publish(deps)
        await unpublish(deps, state, "r1", by="ann", keep=True)
    assert len(place.hub.repos) == 3
    assert all(repo.private for repo in place.hub.repos.values())


async def test_what_others_own_or_changed_stays(place: Town) -> None:
    place.hub.add("model", Repo("ada/reviews", {"their.txt": b"theirs"}))
    async with place.process() as deps:
        state = await place.publish(deps)
        place.hub.repos["space", "ada/reviews"].files["mine.py"] = b"mine"
        said = await unpublish(deps, state, "r1", by="ann", keep=False)
    assert set(place.hub.repos) == {("model", "ada/reviews"), ("space", "ada/reviews")}
    assert place.hub.repos["model", "ada/reviews"].files == {"their.txt": b"theirs"}
    assert place.hub.repos["model", "ada/reviews"].pulls[0].status == "closed"
    assert place.hub.repos["space", "ada/reviews"].private
    assert any("later changes" in line for line in said)


async def test_half_a_publication_is_taken_back_from_the_ledger(
    place: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    wire = Wire(monkeypatch)
    async with place.process() as deps:
        await place.publish(deps)
        whole = wire.count
    for at in range(4, whole, 7):
        place.hub.repos.clear()
        place.hub.collections.clear()
        half = Town(place.hub, place.home / f"half{at}")
        async with half.process() as deps:
            wire.arm(at, after=False)
            with pytest.raises(Killed):
                await half.publish(deps)
            wire.arm(0, after=False)
            if place.hub.repos:
                await unpublish(deps, RunState(), "r1", by="ann", keep=False)
        assert not place.hub.repos
        assert not place.hub.collections


async def test_a_publication_of_an_older_version_is_left_and_named(place: Town) -> None:
    place.hub.add("model", Repo("ada/old", {"a": b""}))
    old = RunState(publication={"url": "https://hub/ada/old", "revision": "x", "files": []})
    async with place.process() as deps:
        with pytest.raises(PublishError, match="kept no record") as caught:
            await unpublish(deps, old, "r1", by="ann", keep=False)
    assert "https://hub/ada/old" in caught.value.hint
    assert ("model", "ada/old") in place.hub.repos


async def test_nothing_to_take_back_and_a_place_that_does_not_answer(place: Town) -> None:
    async with place.process() as deps:
        with pytest.raises(PublishError, match="published nothing"):
            await unpublish(deps, RunState(), "r1", by="ann", keep=False)
        state = await place.publish(deps)
        place.hub.faults = [Fault("DELETE", status=500, times=9)]
        with pytest.raises(PublishError, match="500"):
            await unpublish(deps, state, "r1", by="ann", keep=False)
        place.hub.faults = []
        await unpublish(deps, state, "r1", by="ann", keep=False)
    assert not place.hub.repos
