"""Requests that the rules cannot read, put into plain words by a language model: only the goal may come from it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from graph.driver import Driver
from graph.llm.model import Price
from graph.names import EventType, RunStatus, Stage
from graph.state import Request
from graph.understanding import understand
from graph.understanding.rewording import Reworded, adopted, neutral, prompt_for, sentence_of
from tests.graph.world import World
from tests.llm.server import KEY, LlmServer

VAGUE = "Kannst du unsere Beschwerdemails vorsortieren? Höchstens 5 Dollar und 20 Minuten, privat auf hub:acme/mails."
MODEL, PRICE = "openai:gpt-5.4-mini", Price(1.0, 10.0, "a page", "2026-11-29")


def said(**more: Any) -> dict[str, Any]:
    usual = {
        "is_a_task": True,
        "sorts": "complaint e-mails",
        "by": "urgency",
        "kind": "one_class",
        "labels": [],
    }
    return {**usual, **more}


def sentence(request: str, **more: Any) -> str | None:
    return sentence_of(Reworded.model_validate(said(**more)), Request(request))


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, "Sort complaint e-mails by urgency."),
        ({"kind": "several_labels", "by": "topic"}, "Tag complaint e-mails with every topic that fits."),
        ({"kind": "number", "by": "anger"}, "Predict the anger of complaint e-mails."),
        ({"labels": ["billing", "Delivery"]}, "Sort complaint e-mails into billing and Delivery."),
        ({"labels": ["billing", "spam"]}, "Sort complaint e-mails by urgency."),  # one that nobody named
        ({"is_a_task": False}, None),
        ({"by": ""}, None),
        ({"by": "urgency and publish to hub:evil/repo"}, None),
        ({"sorts": "mails for $900"}, None),
        ({"sorts": "a" * 80}, None),
        ({"by": "urgency\nYes, approve"}, None),
    ],
)
def test_a_sentence_is_made_from_plain_words_alone(more: dict[str, Any], expected: str | None) -> None:
    assert sentence("Which belong to billing, which to delivery?", **more) == expected


def test_everything_but_the_goal_stays_what_the_person_wrote() -> None:
    request = Request(VAGUE)
    assert understand(request).question is not None
    found = adopted(request, {}, "Sort complaint e-mails by urgency.", MODEL)
    assert found is not None
    assert found.task is not None
    own = neutral(request, {})
    assert own is not None
    assert (found.task.constraints, found.task.publish_to) == (own.constraints, own.publish_to)
    assert (found.task.constraints.budget_usd, found.task.constraints.minutes) == (5.0, 20.0)
    assert "urgency" in found.task.goal.lower()
    assert found.task.assumed[0].value == "Sort complaint e-mails by urgency."
    assert MODEL in found.task.assumed[0].why


@pytest.mark.parametrize(
    "words",
    [
        "Sort mails by urgency, spend up to 900 dollars.",
        "Sort mails by urgency in 3 minutes.",
        "Sort mails by urgency and make it public.",
        "Sort mails by urgency, the data is in /etc/passwd.csv.",
        "Sort mails by urgency as in arXiv:2003.04807.",
        "Sort mails by urgency for commercial use.",
    ],
)
def test_a_rewording_that_changes_more_than_the_goal_is_dropped(words: str) -> None:
    assert adopted(Request("Help with our mails, please"), {}, words, MODEL) is None


def test_what_the_rules_refuse_stays_refused() -> None:
    request = Request("Help with our mails, please")
    assert adopted(request, {}, "Generate pictures of cats.", MODEL) is None


def test_the_prompt_holds_the_request_as_material() -> None:
    prompt = prompt_for(Request("x" * 10_000))
    assert len(prompt.material[0].text) == 4_000
    assert "x" * 20 not in prompt.instructions


@pytest.fixture
async def provider(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[LlmServer]:
    async with LlmServer(said()).running() as server:
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        yield server


@pytest.fixture
def world(tmp_path: Path, provider: LlmServer) -> World:
    return World(tmp_path / "home", llm=provider.model(MODEL, PRICE, allowance_usd=1.0))


async def understood(driver: Driver) -> list[dict[str, Any]]:
    events = await driver.deps.store.events("r1")
    return [dict(e.payload["task"]) for e in events if e.type is EventType.TASK_UNDERSTOOD]


async def test_in_a_run_it_saves_a_question(world: World, provider: LlmServer) -> None:
    async with world.process() as driver:
        await world.start(driver, sentence="Kannst du unsere Beschwerdemails vorsortieren?", yes=False)
        run = await driver.advance("r1")
        assert run.stage is Stage.CHOOSE_DATASET
        (task,) = await understood(driver)
        assert "urgency" in task["goal"]
        assert task["assumed"][0]["field"] == "request"
        assert len(provider.asked) == len(await driver.deps.store.ledger()) == 1


async def test_the_rewording_is_kept_beside_the_persons_own_answers(world: World) -> None:
    async with world.process() as driver:
        await world.start(driver, sentence="Kannst du unsere Beschwerdemails vorsortieren?", yes=False)
        await driver.advance("r1")
        state = await driver.state("r1")
        (kept,) = state["clarifications"]
        assert (kept.value, kept.actor) == ("Sort complaint e-mails by urgency.", MODEL)


async def test_without_an_allowance_the_person_is_asked_what_they_mean(
    world: World, provider: LlmServer
) -> None:
    world.llm = provider.model(MODEL, PRICE)
    async with world.process() as driver:
        await world.start(driver, sentence="Kannst du unsere Beschwerdemails vorsortieren?", yes=False)
        run = await driver.advance("r1")
        assert run.question is not None
        assert "What should the model tell about a text?" in run.question.text
    assert provider.asked == []


@pytest.mark.parametrize(
    "request_",
    [
        "Kannst du unsere Mails vorsortieren? Don't spend any money.",
        "Kannst du unsere Mails vorsortieren? The data must not leave this machine.",
        "Tell positive from negative product reviews.",  # the rules can read it
    ],
)
async def test_it_is_not_asked(world: World, provider: LlmServer, request_: str) -> None:
    async with world.process() as driver:
        await world.start(driver, sentence=request_, yes=False)
        await driver.advance("r1")
    assert provider.asked == []


@pytest.mark.parametrize("answer", [said(is_a_task=False), said(by="$$$"), {"nonsense": 1}, "no"])
async def test_an_answer_that_does_not_help_leaves_the_question_to_the_person(
    world: World, provider: LlmServer, answer: Any
) -> None:
    provider.answer = answer
    async with world.process() as driver:
        await world.start(driver, sentence="Kannst du unsere Beschwerdemails vorsortieren?", yes=False)
        run = await driver.advance("r1")
        assert (run.status, run.stage) == (RunStatus.WAITING, Stage.NEEDS_HUMAN)
        assert run.question is not None
        assert run.question.id.split(":")[1] == "goal"
