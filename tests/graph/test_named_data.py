"""Data that a person named and that cannot be had, through the real driver: a question, never the end of the run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from graph.deps import Run
from graph.driver import Driver, decision_for
from graph.names import EventType, FailureKind, RunStatus, Stage
from graph.research.hub import HubSource
from graph.research.localfile import LocalFileSource
from graph.state import TaskSpec
from remote.backends.fake import Failure, Reply
from tests.graph.world import World, good_script
from tests.hub.collection import stocked
from tests.hub.server import Fault, HubServer, Repo

SENTENCE = "Tell positive from negative product reviews in English."
NAMED = "storefront/verified-reviews"
INFO = "GET /api/datasets/storefront/verified-reviews"
ROWS = "text,label\n" + "".join(f"row {i},{'good' if i % 2 else 'bad'}\n" for i in range(40))


async def no_wait(seconds: float) -> None:
    return None


@pytest.fixture
async def hub() -> AsyncIterator[HubServer]:
    async with stocked() as server:
        yield server


@pytest.fixture(autouse=True)
def impatient_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client waits a second before it goes on with a download that broke off."""
    monkeypatch.setattr("huggingface_hub.file_download.time", SimpleNamespace(sleep=lambda seconds: None))


@pytest.fixture
def world(hub: HubServer, tmp_path: Path) -> World:
    home = tmp_path / "home"
    source = HubSource(home=home, endpoint=hub.url, viewer_url=f"{hub.url}/viewer", sleep=no_wait)
    return World(home, source=source)


@asynccontextmanager
async def process(world: World) -> AsyncIterator[Driver]:
    """With files beside the Hub, as the command has it."""
    async with world.process() as driver:
        driver.deps = replace(driver.deps, sources=[LocalFileSource(), *driver.deps.sources])
        yield driver


async def started(world: World, driver: Driver, **request: Any) -> Run:
    await world.start(driver, **{"sentence": SENTENCE, "yes": False, "data": NAMED} | request)
    return await driver.advance("r1")


async def answered(driver: Driver, value: str) -> Run:
    run = await driver.deps.store.run("r1")
    assert run.question is not None
    await driver.deps.store.decide(decision_for(run.question, run, value, "ann", driver.deps.at()))
    return await driver.advance("r1")


async def said(driver: Driver, type_: EventType) -> list[dict[str, Any]]:
    return [dict(e.payload) for e in await driver.deps.store.events("r1") if e.type is type_]


def values(run: Run) -> list[str]:
    assert run.question is not None
    return [choice.value for choice in run.question.choices]


def text(run: Run) -> str:
    assert (run.status, run.stage) == (RunStatus.WAITING, Stage.CHOOSE_DATASET)
    assert run.question is not None
    return run.question.text


def changed(**fields: Any) -> Callable[[HubServer], None]:
    def change(hub: HubServer) -> None:
        repo = hub.repos["dataset", NAMED]
        for name, value in fields.items():
            setattr(repo, name, value)

    return change


def faulty(pattern: str = INFO, **fault: Any) -> Callable[[HubServer], None]:
    def change(hub: HubServer) -> None:
        hub.faults = [Fault(pattern, **{"times": 99} | fault)]

    return change


def deleted(hub: HubServer) -> None:
    del hub.repos["dataset", NAMED]


FILE = r"(HEAD|GET) .*verified-reviews/resolve"
NOT_TO_BE_HAD = {
    "gated": (changed(gated=True), "is gated"),
    "private": (changed(private=True), "or not for you. Check its name; if it is private, set HF_TOKEN."),
    "deleted, or renamed with no forward": (deleted, "The Hub has no data set storefront/verified-reviews"),
    "renamed to what is gone": (changed(moved_to="storefront/gone"), "The Hub has no data set"),
    "switched off": (changed(disabled=True), "has switched the data set"),
    "empty": (changed(files={}), "it has no CSV, TSV, JSON lines or Parquet file"),
    "a loading script": (changed(files={"reviews.py": b"import os"}), "foreign code is never run"),
    "401": (faulty(status=401), "or not for you"),
    "403": (faulty(status=403), "The Hub does not let you read the data set"),
    "404": (faulty(status=404), "The Hub has no data set"),
    "429 for long": (faulty(status=429, headers={"Retry-After": "900"}), "a pause of 900 s"),
    "500": (faulty(status=500), "error (500) for the data set"),
    "lost connections": (faulty(kind="lost"), "cannot be reached for the data set"),
    "nonsense": (faulty(kind="body", body=b"<html>log in</html>"), "cannot be understood"),
    "a file that is refused": (faulty(FILE, status=403), "The Hub does not let you read the file"),
    "a file that is gone": (faulty(FILE, status=404), "The Hub has no file"),
    "a file behind errors": (faulty(FILE, status=503), "error (503) for the file"),
    "a file that always breaks off": (faulty(FILE, kind="truncate"), "cannot be reached for the"),
}


@pytest.mark.parametrize("name", NOT_TO_BE_HAD)
async def test_it_is_asked_about_in_one_sentence_and_tried_again(
    world: World, hub: HubServer, name: str
) -> None:
    spoil, words = NOT_TO_BE_HAD[name]
    before = replace(hub.repos["dataset", NAMED])
    spoil(hub)
    async with process(world) as driver:
        run = await started(world, driver)
        assert words in text(run)
        assert "intern resume" not in text(run)
        assert values(run) == ["retry", "more", "cancel"]
        hub.faults.clear()
        hub.repos["dataset", NAMED] = before
        assert (await answered(driver, "retry")).stage is Stage.APPROVE_COMPUTE
        (chosen,) = await said(driver, EventType.DATA_CHOSEN)
    assert chosen["candidate"]["id"] == NAMED


@pytest.mark.parametrize("name", NOT_TO_BE_HAD)
async def test_with_yes_it_ends_and_can_be_resumed(world: World, hub: HubServer, name: str) -> None:
    spoil, words = NOT_TO_BE_HAD[name]
    before = replace(hub.repos["dataset", NAMED])
    spoil(hub)
    async with process(world) as driver:
        assert (await started(world, driver, yes=True)).status is RunStatus.FAILED
        (ended,) = await said(driver, EventType.ENDED)
        assert words in f"{ended['detail']} {ended['hint']}"
        assert not await said(driver, EventType.DATA_CHOSEN)
        hub.faults.clear()
        hub.repos["dataset", NAMED] = before
        assert (await driver.advance("r1")).status is RunStatus.DONE
        (chosen,) = await said(driver, EventType.DATA_CHOSEN)
    assert chosen["candidate"]["id"] == NAMED


async def test_a_time_out_is_asked_about(
    world: World, hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with process(world) as driver:
        run = await started(world, driver, data=None)
        monkeypatch.setattr("graph.research.hub.DOWNLOAD_TIMEOUT_S", 0.05)
        hub.latency_s = 0.4
        run = await answered(driver, "use:1")
        assert "The Hub took over 0 s for the file" in text(run)
        hub.latency_s = 0.0
        monkeypatch.undo()
        assert "use:1" in values(await answered(driver, "retry"))
        assert (await answered(driver, "use:1")).stage is Stage.APPROVE_COMPUTE
        (chosen,) = await said(driver, EventType.DATA_CHOSEN)
    assert chosen["candidate"]["id"] == NAMED


async def test_others_are_looked_for_as_if_none_was_named_and_none_is_taken_unasked(
    world: World, hub: HubServer
) -> None:
    deleted(hub)
    async with process(world) as driver:
        await started(world, driver)
        run = await answered(driver, "more")
        assert "use:1" in values(run)
        assert "Found in the hub" in text(run)
        (found,) = await said(driver, EventType.CANDIDATES_FOUND)
        assert NAMED not in [c["id"] for c in found["candidates"]]
        assert (await answered(driver, "use:1")).stage is Stage.APPROVE_COMPUTE


async def test_the_only_other_one_is_not_taken_for_the_named_one(
    world: World, hub: HubServer, tmp_path: Path
) -> None:
    """What the request names answers the question ahead of time; one that was found does not."""
    elsewhere = HubSource(home=tmp_path / "elsewhere", endpoint=hub.url, sleep=no_wait)
    task = TaskSpec(SENTENCE, "Reviews", None, keywords=("product", "reviews"))
    kept = next(c for c in await elsewhere.search(task) if c.id != NAMED)
    hub.repos = {key: repo for key, repo in hub.repos.items() if key[0] == "model" or key[1] == kept.id}
    async with process(world) as driver:
        await started(world, driver)
        run = await answered(driver, "more")
        assert values(run) == ["use:1", "more", "cancel"]
        (found,) = await said(driver, EventType.CANDIDATES_FOUND)
        assert [c["id"] for c in found["candidates"]] == [kept.id]
        assert "Which data shall I use?" in text(run)


@pytest.mark.parametrize("of_the_hub", [True, False])
async def test_another_may_be_named(world: World, hub: HubServer, tmp_path: Path, of_the_hub: bool) -> None:
    deleted(hub)
    (tmp_path / "own.csv").write_text(ROWS)
    hub.add("dataset", Repo("ann/own", {"train.csv": ROWS.encode()}, tags=["license:mit"]))
    other = "ann/own" if of_the_hub else str(tmp_path / "own.csv")
    async with process(world) as driver:
        await started(world, driver)
        run = await answered(driver, other)
        assert values(run)[0] == "use:1"
        assert (await answered(driver, "use:1")).stage is Stage.APPROVE_COMPUTE
        (chosen,) = await said(driver, EventType.DATA_CHOSEN)
    assert chosen["candidate"]["id"] == other


async def test_another_that_cannot_be_had_is_what_is_tried_again(world: World, hub: HubServer) -> None:
    deleted(hub)
    async with process(world) as driver:
        await started(world, driver)
        assert "ann/later" in text(await answered(driver, "ann/later"))
        hub.add("dataset", Repo("ann/later", {"train.csv": ROWS.encode()}, tags=["license:mit"]))
        assert "You named ann/later" in text(await answered(driver, "retry"))


async def test_it_can_be_cancelled(world: World, hub: HubServer) -> None:
    deleted(hub)
    async with process(world) as driver:
        await started(world, driver)
        assert (await answered(driver, "cancel")).status is RunStatus.CANCELLED


async def test_a_model_question_in_between_does_not_bring_the_gone_data_back(
    world: World, hub: HubServer
) -> None:
    deleted(hub)
    async with process(world) as driver:
        await started(world, driver, base_model="nobody/nothing")
        run = await answered(driver, "more")
        assert run.question is not None
        assert "nobody/nothing" in run.question.text
        assert "use:1" in values(await answered(driver, "choose"))
        (found,) = await said(driver, EventType.CANDIDATES_FOUND)
    assert found["model"]["id"] == "sentence-transformers/all-MiniLM-L6-v2"


async def test_no_base_model_to_be_had_is_asked_about(world: World, hub: HubServer) -> None:
    hub.faults = [Fault("/api/models", status=500, times=99), Fault("MiniLM", status=500, times=99)]
    async with process(world) as driver:
        run = await started(world, driver)
        assert (run.status, run.stage) == (RunStatus.WAITING, Stage.NEEDS_HUMAN)
        assert values(run) == ["retry", "cancel"]
        hub.faults.clear()
        assert (await answered(driver, "retry")).stage is Stage.APPROVE_COMPUTE


async def test_a_number_that_no_data_set_has_is_asked_again(world: World) -> None:
    async with process(world) as driver:
        await started(world, driver, data=None)
        run = await answered(driver, "use:99")
        assert "no data set of that number" in text(run)
        assert (await answered(driver, "use:1")).stage is Stage.APPROVE_COMPUTE


REFUSED = Failure(FailureKind.DATA_ERROR, "The file has one column, and I need a text and a label.")


@pytest.mark.parametrize(
    ("make", "script", "words"),
    [
        (lambda path: None, {}, "There is no file"),
        (lambda path: path.write_text(""), {}, "is empty"),
        (lambda path: path.mkdir(), {}, "is a folder"),
        (
            lambda path: path.write_text("x"),
            {"inspect": [REFUSED, good_script()["inspect"]]},
            "has one column",
        ),
        (lambda path: path.write_text("x"), {"audit": [REFUSED, good_script()["audit"]]}, "has one column"),
        (
            lambda path: path.write_text("x"),
            {"audit": [Failure(FailureKind.OUT_OF_MEMORY, "It needs more memory."), good_script()["audit"]]},
            "It needs more memory. Use fewer rows",
        ),
    ],
)
async def test_a_file_that_is_broken_is_asked_about_and_tried_again(
    world: World, tmp_path: Path, make: Callable[[Path], object], script: Any, words: str
) -> None:
    path = tmp_path / "tickets.csv"
    make(path)
    world.script = good_script() | script
    async with process(world) as driver:
        run = await started(world, driver, data=str(path))
        assert words in text(run)
        assert values(run) == ["retry", "more", "cancel"]
        if path.is_dir():
            path.rmdir()
        path.write_text(ROWS)
        assert (await answered(driver, "retry")).stage is Stage.APPROVE_COMPUTE


async def test_a_broken_file_still_ends_a_run_with_yes(world: World, tmp_path: Path) -> None:
    world.script = good_script() | {"inspect": REFUSED}
    (tmp_path / "tickets.csv").write_text("x")
    async with process(world) as driver:
        run = await started(world, driver, data=str(tmp_path / "tickets.csv"), yes=True)
        assert run.status is RunStatus.FAILED
        (ended,) = await said(driver, EventType.ENDED)
    assert ended["detail"] == REFUSED.detail


async def test_a_chat_cannot_reach_files_by_naming_them_again(
    world: World, hub: HubServer, tmp_path: Path
) -> None:
    deleted(hub)
    (tmp_path / "secret.csv").write_text(ROWS)
    (tmp_path / "uploads").mkdir()
    async with process(world) as driver:
        await started(world, driver, files_below=str(tmp_path / "uploads"))
        run = await answered(driver, str(tmp_path / "secret.csv"))
        assert "I can't read secret.csv from here" in text(run)
        assert "I can't read secret.csv from here" in text(await answered(driver, "retry"))


async def test_the_named_revision_that_vanished_is_asked_about(world: World, hub: HubServer) -> None:
    """Named without a revision and changed in mid-run: a person says whether the present one will do."""
    repo = hub.repos["dataset", NAMED]
    faulty(FILE, status=503)(hub)
    async with process(world) as driver:
        assert "error (503)" in text(await started(world, driver))
        hub.faults.clear()
        first = repo.head
        repo.files["train.csv"] = repo.files["train.csv"].replace(b"quite", b"rather")
        repo.history.clear()
        run = await answered(driver, "retry")
        (chosen,) = await said(driver, EventType.DATA_CHOSEN)
    assert run.stage is Stage.APPROVE_COMPUTE
    assert chosen["candidate"]["revision"] == repo.head != first


# -- columns that are not there ------------------------------------------------------------------------------

NO_LABEL = Failure(
    FailureKind.DATA_ERROR, "There is no target column named labl: the file has text, label, day."
)
SEEN = Reply(
    good_script()["inspect"].result
    | {
        "columns": [{"name": "text"}, {"name": "label"}, {"name": "day"}],
        "alternatives": {"text": ["text"], "target": ["label", "day"]},
    }
)


async def test_a_column_that_a_file_lacks_is_chosen_with_the_file(world: World, tmp_path: Path) -> None:
    (tmp_path / "tickets.csv").write_text(ROWS)
    world.script = good_script() | {"inspect": [NO_LABEL, SEEN]}
    async with process(world) as driver:
        run = await started(world, driver, data=str(tmp_path / "tickets.csv"), target="labl")
        assert NO_LABEL.detail in text(run)
        assert run.question is not None
        assert [c.label for c in run.question.choices if c.value.startswith("use:")] == [
            "Use tickets.csv: text → label",
            "Use tickets.csv: text → day",
        ]
        assert (await answered(driver, "use:2")).stage is Stage.APPROVE_COMPUTE
        (chosen,) = await said(driver, EventType.DATA_CHOSEN)
    assert (chosen["text_column"], chosen["target"]) == ("text", "day")


async def test_a_column_that_a_data_set_lacks_is_asked_about(world: World) -> None:
    world.script = good_script() | {"audit": [NO_LABEL, good_script()["audit"]], "inspect": SEEN}
    async with process(world) as driver:
        run = await started(world, driver, text_column="text", target="labl")
        assert (run.status, run.stage) == (RunStatus.WAITING, Stage.NEEDS_HUMAN)
        assert run.question is not None
        assert NO_LABEL.detail in run.question.text
        assert values(run) == ["label", "day", "cancel"]
        assert (await answered(driver, "day")).stage is Stage.APPROVE_COMPUTE
        chosen = (await said(driver, EventType.DATA_CHOSEN))[-1]
    assert (chosen["candidate"]["id"], chosen["text_column"], chosen["target"]) == (NAMED, "text", "day")


async def test_both_columns_are_asked_about_one_after_the_other(world: World) -> None:
    no_text = Failure(
        FailureKind.DATA_ERROR, "There is no text column named body: the file has text, label, day."
    )
    world.script = good_script() | {"audit": [no_text, NO_LABEL, good_script()["audit"]], "inspect": SEEN}
    async with process(world) as driver:
        run = await started(world, driver, text_column="body", target="labl")
        assert run.question is not None
        assert "Which column holds the texts?" in run.question.text
        run = await answered(driver, "text")
        assert run.question is not None
        assert "what the model should learn?" in run.question.text
        assert (await answered(driver, "label")).stage is Stage.APPROVE_COMPUTE
        chosen = (await said(driver, EventType.DATA_CHOSEN))[-1]
    assert (chosen["text_column"], chosen["target"]) == ("text", "label")


def not_looked_into(hub: HubServer) -> None:
    """Nobody says the columns beforehand: no viewer, and no format of which a beginning can be read."""
    hub.repos["dataset", NAMED].files = {"train.parquet": b"PAR1"}
    del hub.viewer[NAMED]


def doubts(*roles: str) -> Reply:
    names = {"text": ["body", "title"], "target": ["label", "day"]}
    said = {"certain": not roles, "unsure": list(roles), "alternatives": names}
    return Reply({**SEEN.result, **said})


async def test_of_two_columns_of_texts_one_is_asked_for_once(world: World, hub: HubServer) -> None:
    not_looked_into(hub)
    world.script = good_script() | {"inspect": [doubts("text"), doubts()]}
    async with process(world) as driver:
        run = await started(world, driver)
        assert run.question is not None
        assert "Which column holds the texts?" in run.question.text
        assert values(run) == ["body", "title", "cancel"]
        assert (await answered(driver, "body")).stage is Stage.APPROVE_COMPUTE


async def test_two_doubts_are_two_questions_and_no_more(world: World, hub: HubServer) -> None:
    not_looked_into(hub)
    world.script = good_script() | {"inspect": [doubts("target", "text"), doubts("text"), doubts()]}
    async with process(world) as driver:
        run = await started(world, driver)
        assert values(run) == ["label", "day", "cancel"]
        assert values(await answered(driver, "day")) == ["body", "title", "cancel"]
        assert (await answered(driver, "title")).stage is Stage.APPROVE_COMPUTE
        chosen = (await said(driver, EventType.DATA_CHOSEN))[-1]
    assert (chosen["text_column"], chosen["target"]) == ("title", "day")


async def test_an_answer_that_is_no_column_either_is_asked_again(world: World) -> None:
    no_week = Failure(
        FailureKind.DATA_ERROR, "There is no target column named week: the file has text, label, day."
    )
    world.script = good_script() | {"audit": [NO_LABEL, no_week, good_script()["audit"]], "inspect": SEEN}
    async with process(world) as driver:
        await started(world, driver, text_column="text", target="labl")
        run = await answered(driver, "week")
        assert run.question is not None
        assert no_week.detail in run.question.text
        assert (await answered(driver, "label")).stage is Stage.APPROVE_COMPUTE


async def test_other_trouble_with_columns_named_is_about_the_data(world: World) -> None:
    world.script = good_script() | {"audit": [REFUSED, good_script()["audit"]], "inspect": SEEN}
    async with process(world) as driver:
        assert REFUSED.detail in text(await started(world, driver, text_column="text", target="label"))


@pytest.mark.parametrize("of_the_hub", [True, False])
async def test_with_yes_no_other_column_takes_its_place(
    world: World, tmp_path: Path, of_the_hub: bool
) -> None:
    (tmp_path / "tickets.csv").write_text(ROWS)
    world.script = good_script() | ({"audit": NO_LABEL} if of_the_hub else {"inspect": [NO_LABEL, SEEN]})
    data = NAMED if of_the_hub else str(tmp_path / "tickets.csv")
    async with process(world) as driver:
        run = await started(world, driver, data=data, text_column="text", target="labl", yes=True)
        assert run.status is RunStatus.FAILED
        (ended,) = await said(driver, EventType.ENDED)
    assert ended["detail"] == NO_LABEL.detail
