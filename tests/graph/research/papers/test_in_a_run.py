"""A paper in a run: read, followed, asked about, left out. Real store, graph, literature and server; fake jobs."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from graph.driver import Driver, decision_for
from graph.errors import SourceError
from graph.names import EventType, RunStatus, Stage
from graph.research.hubclient import HubClient
from graph.research.papers.arxiv import Arxiv
from graph.research.papers.github import GitHub
from graph.research.papers.source import PaperSource
from remote.backends.fake import Failure, Reply
from remote.protocol import FailureKind
from tests.graph.world import World, good_script
from tests.hub.server import Fault, HubServer, Repo
from tests.remote.jobs import pdfs

TITLE = "Product reviews sorted by small encoders"
NUMBER = "2003.04807"


def fact(field: str, value: Any, page: int = 4, where: str = "") -> dict[str, Any]:
    return {"field": field, "value": value, "page": page, "quote": f"{field} {value}", "where": where}


READ = {
    "title": "From the file",
    "pages": 9,
    "notes": ["Page 7 is scanned, so not read."],
    "facts": [
        fact("learning_rate", 3e-5, where="Table 3"),
        fact("epochs", 4),
        fact("batch_size", [16, 32]),
        fact("link", "https://huggingface.co/ada/encoder"),
        fact("link", "https://github.com/ada/code"),
    ],
    "results": [
        {
            "metric": "macro_f1", "value": 0.93, "written": "93.0", "model": "Ours", "data": "Product reviews 1",
            "split": "test", "page": 5, "quote": "Ours 93.0", "where": "Table 2",
        },
        {"metric": "macro_f1", "value": 0.5, "model": "Ours", "data": "Other data", "page": 5, "quote": "Ours 50.0"},
    ],
}  # fmt: skip

ENCRYPTED = Failure(FailureKind.DATA_ERROR, "arXiv 2003.04807 is encrypted.")


async def no_wait(seconds: float) -> None:
    return None


@pytest.fixture
async def server() -> AsyncIterator[HubServer]:
    async with HubServer().running() as server:
        server.add("paper", Repo(NUMBER, {"paper.pdf": pdfs.paper()}, card={"title": TITLE}))
        server.add("model", Repo("ada/encoder", {"config.json": b"{}"}, tags=["license:mit"]))
        yield server


@pytest.fixture
def world(tmp_path: Path, server: HubServer) -> World:
    client = HubClient(server.url, None, error=SourceError, sleep=no_wait)
    script = good_script() | {"paper": Reply({}, files={"paper.json": json.dumps(READ)})}
    literature = PaperSource(client, Arxiv(server.url), GitHub(server.url), tmp_path / "papers")
    return World(tmp_path / "home", script=script, literature=literature)


async def said(driver: Driver, type_: EventType) -> list[dict[str, Any]]:
    return [dict(e.payload) for e in await driver.deps.store.events("r1") if e.type is type_]


async def answer(driver: Driver, value: str) -> None:
    run = await driver.deps.store.run("r1")
    assert run.question is not None
    await driver.deps.store.decide(decision_for(run.question, run, value, "ann", driver.deps.at()))


async def test_a_named_paper_is_followed_with_its_place_and_can_be_changed(world: World) -> None:
    async with world.process() as driver:
        await world.start(driver, yes=False, paper=NUMBER)
        await driver.advance("r1")
        paper = (await said(driver, EventType.PAPER_READ))[0]
        assert (paper["paper"]["title"], paper["follows"]) == (TITLE, ["learning_rate", "epochs"])
        assert paper["undecided"] == ["batch_size (16, 32)"]
        await answer(driver, "use:1")
        await driver.advance("r1")
        plan = (await said(driver, EventType.PLANNED))[0]["plan"]
        row = plan["hyperparameters"][0]
        assert (row["name"], row["value"]) == ("epochs", 4)
        assert (
            row["reason"] == f"Following page 4 of “{TITLE}”; say so to change it. By myself I would take 2."
        )
        assert any(f"Following “{TITLE}”: learning_rate 3e-05, epochs 4." in note for note in plan["advice"])
        assert any("several values of batch_size" in note for note in plan["advice"])
        await answer(driver, "change epochs=1")
        await driver.advance("r1")
        changed = (await said(driver, EventType.PLANNED))[1]["plan"]["hyperparameters"][0]
        assert (changed["value"], changed["reason"]) == (1, "asked for")
    body = json.loads((world.home / "runs" / "r1" / "paper.json").read_text("utf-8"))
    assert (body["id"], body["named"], len(body["facts"])) == (NUMBER, True, 5)


async def test_licences_of_what_it_points_at_are_told(world: World, server: HubServer) -> None:
    server.add("github", Repo("ada/code", card={"spdx": "BSD-3-Clause"}))
    async with world.process() as driver:
        await world.start(driver, paper=f"https://arxiv.org/abs/{NUMBER}")
        await driver.advance("r1")
        linked = (await said(driver, EventType.PAPER_READ))[0]["paper"]["linked"]
    assert linked[0] == {"url": "https://huggingface.co/ada/encoder", "licence": "mit", "note": ""}
    assert linked[1] == {"url": "https://github.com/ada/code", "licence": "bsd-3-clause", "note": ""}


async def test_epochs_that_do_not_fit_into_the_time_are_left_out(world: World) -> None:
    async with world.process() as driver:
        await world.start(driver, paper=NUMBER, minutes=1.5)
        await driver.advance("r1")
        plan = (await said(driver, EventType.PLANNED))[0]["plan"]
    assert plan["hyperparameters"][0]["value"] == 2
    assert any("4 epochs do not fit into 1.5 min" in note for note in plan["advice"])


async def test_a_paper_found_by_search_is_shown_and_not_followed(world: World) -> None:
    async with world.process() as driver:
        await world.start(driver)
        assert (await driver.advance("r1")).status is RunStatus.DONE
        paper = (await said(driver, EventType.PAPER_READ))[0]
        plan = (await said(driver, EventType.PLANNED))[0]["plan"]
    assert (paper["paper"]["id"], paper["paper"]["named"], paper["follows"]) == (NUMBER, False, [])
    assert plan["hyperparameters"][0]["value"] == 2
    assert not any("Following" in note for note in plan["advice"])


@pytest.mark.parametrize("broken", ["pdf", "job"])
async def test_a_found_paper_that_cannot_be_read_costs_a_note(
    world: World, server: HubServer, broken: str
) -> None:
    if broken == "pdf":
        server.faults = [Fault("GET /pdf", status=500, times=9)]
    else:
        world.script = {**world.script, "paper": ENCRYPTED}
    async with world.process() as driver:
        await world.start(driver)
        assert (await driver.advance("r1")).status is RunStatus.DONE
        notes = [n["text"] for n in await said(driver, EventType.NOTE)]
    assert sum("I read no paper" in note for note in notes) == 1


async def test_a_named_paper_that_cannot_be_read_is_asked_about(world: World) -> None:
    world.script = {**world.script, "paper": ENCRYPTED}
    async with world.process() as driver:
        await world.start(driver, yes=False, paper=NUMBER)
        run = await driver.advance("r1")
        assert (run.status, run.stage) == (RunStatus.WAITING, Stage.NEEDS_HUMAN)
        assert run.question is not None
        assert "is encrypted." in run.question.text
        await answer(driver, "without_paper")
        run = await driver.advance("r1")
        assert run.stage is Stage.CHOOSE_DATASET
        assert await said(driver, EventType.PAPER_READ) == []


async def test_another_paper_can_be_named_instead(world: World) -> None:
    async with world.process() as driver:
        await world.start(driver, yes=False, paper="1901.00001")
        run = await driver.advance("r1")
        assert run.question is not None
        assert "arXiv has no paper 1901.00001." in run.question.text
        await answer(driver, NUMBER)
        run = await driver.advance("r1")
        assert run.stage is Stage.CHOOSE_DATASET
        assert (await said(driver, EventType.PAPER_READ))[0]["paper"]["named"] is True


async def test_with_yes_a_named_paper_that_cannot_be_read_does_not_end_the_run(world: World) -> None:
    async with world.process() as driver:
        await world.start(driver, paper="https://example.org/paper.pdf")
        assert (await driver.advance("r1")).status is RunStatus.DONE
        decided = await said(driver, EventType.DECIDED)
    assert (decided[0]["value"], decided[0]["why"]) == ("without_paper", "--yes")


async def test_from_a_chat_no_file_of_this_machine_is_read(world: World, tmp_path: Path) -> None:
    (tmp_path / "secret.pdf").write_bytes(pdfs.paper())
    async with world.process() as driver:
        await world.start(
            driver, yes=False, paper=str(tmp_path / "secret.pdf"), files_below=str(tmp_path / "inbox")
        )
        run = await driver.advance("r1")
        assert run.question is not None
        assert "can't read secret.pdf from here" in run.question.text
    assert not (world.home / "runs" / "r1" / "raw" / "paper").exists()


async def test_what_it_reports_for_the_data_is_told_and_reaches_the_report(world: World) -> None:
    async with world.process() as driver:
        await world.start(driver, yes=False, paper=NUMBER)
        await driver.advance("r1")
        for value in ("use:1", "approve"):
            await answer(driver, value)
            run = await driver.advance("r1")
        assert run.stage is Stage.APPROVE_PUBLISH
        prior = (await said(driver, EventType.PRIOR_RESULTS))[0]
    assert [(r["value"], r["where"], r["source"]) for r in prior["reported"]] == [
        (0.93, "Table 2, page 5", "paper")
    ]
    folder = world.home / "runs" / "r1"
    facts = json.loads((folder / "work" / "facts.json").read_text("utf-8"))
    assert [r["apart"] for r in facts["reported"]] == ["we split off test rows of our own"]
    assert [r["same_data"] for r in facts["paper"]["results"]] == [True, False]
    assert facts["task"]["paper"] == NUMBER
    manifest = json.loads((folder / "run.json").read_text("utf-8"))
    assert (manifest["paper"]["id"], manifest["paper"]["named"]) == (NUMBER, True)


async def test_a_read_paper_is_not_read_again(world: World, server: HubServer) -> None:
    async with world.process() as driver:
        await world.start(driver, yes=False, paper=NUMBER)
        await driver.advance("r1")
        await answer(driver, "more")
        await driver.advance("r1")
        assert len(await said(driver, EventType.PAPER_READ)) == 1
    assert sum("/pdf/" in request for request in server.requests) == 1
