"""Publishing with everything (model, demo, split, collection), killed at every request, before and after it was
answered, and taken up by another process: at the end all is there once, and at no point do others see a part of it."""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr

from graph.context import Context
from graph.deps import Deps
from graph.names import EventType, FailureKind, Stage
from graph.publishing.hub import HubPublisher
from graph.stages import publish
from graph.state import Answer, Candidate, DataFiles, ModelChoice, Request, RunState, TaskSpec
from graph.store.sqlite import SqliteStore
from remote.backends.fake import FakeBackend, Refusal, Reply
from tests.graph.publishing.runs import HUB, make_run
from tests.graph.world import FakeRecipes, World
from tests.hub.publishing import seen_by_everyone
from tests.hub.server import OWNER_TOKEN, HubServer, Repo

TARGET = "hub:ada/reviews+space+data"
WHOLE = {
    "model": HUB | {".gitattributes"},
    "space": {"app.py", "README.md", "settings.json", ".gitattributes"},
    "dataset": {"README.md", "splits.json", ".gitattributes"},
}
ANSWER = {"predictions": [{"text": "good", "label": "yes", "confidence": 0.90001}]}


class Killed(BaseException):
    """What SIGKILL is to the process: nothing after it runs."""


class Wire:
    """Counts the requests of the real client and kills the process at one of them, before it is sent or after it was
    answered. An answer to a read that is lost is as if it had never been asked, so only writes are tried after."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count, self.at, self.after = 0, 0, False
        self.writes: list[int] = []
        send = httpx2.HTTPTransport.handle_request

        def handle(transport: Any, request: Any) -> Any:
            self.count += 1
            if request.method not in ("GET", "HEAD"):
                self.writes.append(self.count)
            if self.count == self.at and not self.after:
                raise Killed
            response = send(transport, request)
            if self.count == self.at:
                response.close()
                raise Killed
            return response

        monkeypatch.setattr(httpx2.HTTPTransport, "handle_request", handle)

    def arm(self, at: int, after: bool) -> None:
        self.count, self.at, self.after, self.writes = 0, at, after, []


class Town:
    """One hub, and as many processes as a test wants over one home."""

    def __init__(self, hub: HubServer, home: Path) -> None:
        self.hub, self.home, self.world = hub, home, World(home)
        run = make_run(home / "runs" / "r1")
        (run / "data" / "test.jsonl").write_text(json.dumps({"row_id": 1, "text": "good", "label": "yes"}))
        (run / "predictions.csv").write_text("row_id,label,prediction,confidence\n1,yes,yes,0.9\n")
        self.backend = FakeBackend({"predict": Reply(ANSWER)}, name="local")

    @asynccontextmanager
    async def process(self) -> AsyncIterator[Deps]:
        store = await SqliteStore.open(self.home / "intern.db")

        async def no_wait(seconds: float) -> None:
            return None

        try:
            await store.create_run("r1", Request("reviews"), "Reviews", self.world.now().isoformat())
            hub = HubPublisher(self.hub.url, SecretStr(OWNER_TOKEN), sleep=no_wait)
            yield Deps(
                store, [self.backend], [], {"hub": hub}, FakeRecipes(self.home), self.home, self.world.now
            )
        finally:
            await store.close()

    async def publish(self, deps: Deps, choice: str = "public", visit: int = 0) -> RunState:
        state = RunState(
            run_id="r1",
            request=Request("reviews", publish_to=TARGET),
            task=TaskSpec("Reviews", "Reviews", None),
            data=DataFiles(Candidate("reviews", "hub", "Reviews", "mit"), {}, {}),
            model=ModelChoice("tiny", "hub", "base", "mit"),
            answer=Answer("q", choice, "ann", "console", "now"),
        )
        return await publish.run(state, Context(deps, "r1", Stage.PUBLISH, visit))

    def assert_whole(self) -> None:
        for kind, files in WHOLE.items():
            repo = self.hub.repos[kind, "ada/reviews"]
            assert set(repo.files) == files, kind
            assert len(repo.messages) == 1, kind
            assert not repo.private, kind
        (group,) = self.hub.collections.values()
        assert [item["type"] for item in group.items] == ["dataset", "model", "space"]
        assert not group.private

    def assert_nothing_half(self) -> None:
        """What everyone sees is whole, and refers only to what everyone sees."""
        order = ("dataset", "model", "space")
        seen = [kind for kind in order if ((kind, "ada/reviews")) in seen_by_everyone(self.hub)]
        theirs = "their.txt" in getattr(self.hub.repos.get(("model", "ada/reviews")), "files", {})
        ours = [kind for kind in seen if not (theirs and kind == "model")]
        if ours:
            for kind in order:
                repo = self.hub.repos[kind, "ada/reviews"]
                files = repo.history[repo.refs["refs/pr/1"]] if repo.refs else repo.files
                assert set(files) - {".gitattributes", "their.txt"} == WHOLE[kind] - {".gitattributes"}
        assert ours in [[kind for kind in order[:n] if not (theirs and kind == "model")] for n in range(4)]
        for group in self.hub.collections.values():
            assert group.private or (len(group.items) == 3 and len(seen) == 3)


@asynccontextmanager
async def town(home: Path) -> AsyncIterator[Town]:
    async with HubServer().running() as hub:
        yield Town(hub, home)


async def survives(place: Town, wire: Wire, at: int, after: bool) -> RunState | None:
    """Kill a publication there and take it up again: its end, or ``None`` where it ended before it could be killed."""
    async with place.process() as deps:
        wire.arm(at, after)
        try:
            await place.publish(deps)
        except Killed:
            killed = True
        else:
            killed = False
    if not killed:
        return None
    wire.arm(0, after=False)
    place.assert_nothing_half()
    async with place.process() as deps:
        state = await place.publish(deps)
        said = [e for e in await deps.store.events("r1") if e.type is EventType.PUBLISHED]
    assert len(said) == 1
    return state


async def test_a_crash_at_any_request_leaves_nothing_or_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wire, kills = Wire(monkeypatch), 0
    async with town(tmp_path / "home") as first:
        for at in itertools.count(1):
            first.hub.repos.clear()
            first.hub.collections.clear()
            place = Town(first.hub, tmp_path / f"before{at}")
            state = await survives(place, wire, at, after=False)
            place.assert_whole()
            if state is None:
                break
            assert all(repo["created"] for repo in state["publication"]["repos"])
            assert state["publication"]["checkup"]["rows"] == 1
            kills += 1
    assert kills > 30


async def test_a_crash_after_any_write_does_it_no_second_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wire = Wire(monkeypatch)
    async with town(tmp_path / "home") as first:
        for name in ("first", "second"):  # the client's first time may ask for more than its later ones
            started_anew(first.hub)
            assert await survives(Town(first.hub, tmp_path / name), wire, 0, after=False) is None
        writes = wire.writes
        assert len(writes) > 10
        for at in writes:
            started_anew(first.hub)
            place = Town(first.hub, tmp_path / f"after{at}")
            state = await survives(place, wire, at, after=True)
            assert state is not None
            repo = place.hub.repos["model", "ada/reviews"]
            assert repo.files == {"their.txt": b"theirs"}
            assert len(repo.pulls) == 1
            made = {r["type"]: r["created"] for r in state["publication"]["repos"]}
            assert made == {"dataset": True, "model": False, "space": True}


def started_anew(hub: HubServer) -> None:
    """A Hub on which somebody has a public model of this name."""
    hub.repos.clear()
    hub.collections.clear()
    hub.add("model", Repo("ada/reviews", {"their.txt": b"theirs"}))


async def test_a_model_that_answers_otherwise_asks_again_and_stays_hidden(tmp_path: Path) -> None:
    async with town(tmp_path / "home") as place:
        other = {**ANSWER["predictions"][0], "confidence": 0.91}
        place.backend = FakeBackend({"predict": Reply({"predictions": [other]})}, name="local")
        async with place.process() as deps:
            question = (await place.publish(deps))["question"]
        assert question is not None
        assert "1 of 1 test rows" in question.text
        assert not seen_by_everyone(place.hub)


async def test_where_no_job_can_run_nothing_is_shown(tmp_path: Path) -> None:
    async with town(tmp_path / "home") as place:
        refusal = Refusal(FailureKind.NOT_ISOLATED, "There is no sandbox here.")
        place.backend = FakeBackend({"predict": refusal}, name="local")
        async with place.process() as deps:
            question = (await place.publish(deps))["question"]
        assert question is not None
        assert "There is no sandbox here." in question.text
        assert not seen_by_everyone(place.hub)
