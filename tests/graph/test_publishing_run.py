"""A whole run that publishes to the Hub: what it packages, what it asks, what licences forbid, what stands there."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import DatasetCard
from pydantic import SecretStr

from graph.deps import Run
from graph.driver import Driver, decision_for
from graph.names import EventType, RunStatus
from graph.publishing.hub import HubPublisher
from graph.publishing.withdraw import unpublish
from tests.graph.world import SENTENCE, FakeSource, World
from tests.hub.server import OWNER_TOKEN, HubServer

EVERYTHING = "hub:ada/reviews+space+data"


@asynccontextmanager
async def at_the_question(
    home: Path,
    hub: HubServer,
    *,
    licence: str | None = "mit",
    sentence: str = SENTENCE,
    place: str = EVERYTHING,
) -> AsyncIterator[Driver]:
    """A run that has trained and asks whether to publish."""
    world = World(home, source=FakeSource(home, licence=licence))
    async with world.process() as driver:
        publisher = HubPublisher(hub.url, SecretStr(OWNER_TOKEN))
        driver.deps = replace(driver.deps, publishers={"hub": publisher})
        await world.start(driver, yes=False, publish_to=place, sentence=sentence)
        await driver.advance("r1")
        for value in ("use:1", "approve"):
            await answer(driver, value)
        yield driver


async def answer(driver: Driver, value: str) -> Run:
    run = await driver.deps.store.run("r1")
    assert run.question is not None
    await driver.deps.store.decide(decision_for(run.question, run, value, "ann", driver.deps.at()))
    return await driver.advance("r1")


async def said(driver: Driver, type_: EventType) -> dict[str, Any]:
    return dict([e for e in await driver.deps.store.events("r1") if e.type is type_][-1].payload)


async def asked(driver: Driver) -> tuple[str, set[str]]:
    question = (await driver.deps.store.run("r1")).question
    assert question is not None
    return question.text, {choice.value for choice in question.choices}


async def test_what_was_listed_is_what_stands_there_and_in_run_json(tmp_path: Path) -> None:
    async with HubServer().running() as hub, at_the_question(tmp_path / "home", hub) as driver:
        listed = (await said(driver, EventType.PACKAGED))["would_publish"]
        assert not hub.repos
        run = await answer(driver, "public")
        assert run.status is RunStatus.DONE
        there = {
            (kind, name): len(content)
            for (kind, _), repo in hub.repos.items()
            for name, content in repo.files.items()
            if name != ".gitattributes"
        }
        assert {(f["repo"], f["path"]): f["bytes"] for f in listed["files"]} == there
        assert not any(repo.private for repo in hub.repos.values())
        card = DatasetCard(hub.repos["dataset", "ada/reviews"].files["README.md"].decode())
        assert card.data.to_dict()["license"] == "mit"
        manifest = json.loads((tmp_path / "home/runs/r1/run.json").read_text())
        model = next(r for r in manifest["publication"]["repos"] if r["type"] == "model")
        assert (
            model["revision"] == hub.repos["model", "ada/reviews"].head == manifest["publication"]["revision"]
        )
        await unpublish(driver.deps, await driver.state("r1"), "r1", by="ann", keep=False)
        assert not hub.repos


@pytest.mark.parametrize(
    ("licence", "sentence", "choices", "words"),
    [
        ("mit", SENTENCE, {"keep", "private", "public"}, "allowed"),
        ("cc-by-nc-4.0", SENTENCE, {"keep", "private", "public"}, "forbids commercial use"),
        ("cc-by-nc-4.0", SENTENCE + " It is for commercial use.", {"keep"}, "blocked"),
        (
            "cc-by-nc-4.0",
            SENTENCE + " It is for my master's thesis.",
            {"keep", "private", "public"},
            "allowed",
        ),
        ("cc-by-nd-4.0", SENTENCE, {"keep", "private"}, "forbids sharing"),
        (None, SENTENCE, {"keep", "private", "public"}, "none is stated"),
    ],
)
async def test_licence_and_purpose_decide_what_is_offered(
    tmp_path: Path, licence: str | None, sentence: str, choices: set[str], words: str
) -> None:
    async with (
        HubServer().running() as hub,
        at_the_question(tmp_path / "home", hub, licence=licence, sentence=sentence) as driver,
    ):
        text, offered = await asked(driver)
    assert offered == choices
    assert words in text


async def test_a_forbidden_answer_is_refused_whoever_gives_it(tmp_path: Path) -> None:
    async with (
        HubServer().running() as hub,
        at_the_question(tmp_path / "home", hub, licence="cc-by-nd-4.0") as driver,
    ):
        run = await answer(driver, "public")  # as an old button would
        assert run.status is RunStatus.WAITING
        assert "blocked" in (await asked(driver))[0]
        assert not hub.repos


async def test_rows_of_unknown_licence_are_shown_after_their_reason_was_read(tmp_path: Path) -> None:
    rows = "hub:ada/reviews+rows"
    async with (
        HubServer().running() as hub,
        at_the_question(tmp_path / "home", hub, licence=None, place="hub:ada/reviews") as driver,
    ):
        run = await answer(driver, rows)
        assert run.status is RunStatus.WAITING
        assert "Before its rows are shown, confirm" in (await asked(driver))[0]
        assert not hub.repos
        run = await answer(driver, rows)
        assert run.status is RunStatus.DONE
        assert "data/test.jsonl" in hub.repos["dataset", "ada/reviews"].files
        assert hub.repos["dataset", "ada/reviews"].private
