"""Who allows a question to a language model, and what the ledger says of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from graph.context import Context
from graph.deps import Budgets, Decision, Spend
from graph.llm.model import LlmError, Material, Price, Prompt, Reply, T, Tokens
from graph.llm.spending import Permission, ask, permission, permitted, slug_of
from graph.names import DecisionKind, FailureKind, Stage
from graph.state import Constraints, Question, Request, RunState, TaskSpec
from tests.graph.world import World

AT = "2026-11-29T10:00:00"
MOST = Tokens(100_000, 10_000)  # $0.20 at the price below
UNLIMITED = Budgets()
PRICE = Price(1.0, 10.0, "a page", "2026-11-29")


class Word(BaseModel):
    word: str


PROMPT = Prompt("find a word", "Find it.", (), Word, 10_000)


@dataclass
class FakeModel:
    price: Price | None = PRICE
    allowance_usd: float = 0.0
    name: str = "openai:gpt-5.4-mini"
    error: LlmError | None = None
    asked: list[Any] = field(default_factory=list)

    async def ask(self, prompt: Prompt[T]) -> Reply[T]:
        self.asked.append(prompt)
        if self.error:
            raise self.error
        return Reply(prompt.answer.model_validate({"word": "yes"}), Tokens(20_000, 1_000))


def line(usd: float, backend: str = "llm") -> Spend:
    return Spend(f"k{usd}", "r1", "", backend, "m", "console:local", "", usd, usd, AT)


def decision(value: str, price_usd: float | None) -> Decision:
    return Decision(
        f"r1:{slug_of(FakeModel())}:research-0", "r1", "llm", value, "ann", "console", AT, price_usd
    )


@pytest.mark.parametrize(
    ("model", "spent", "decisions", "budget", "expected"),
    [
        (FakeModel(Price(0, 0, "own")), [], [], 0.0, Permission(granted=True)),
        (FakeModel(), [], [], None, Permission(ask=True)),
        (FakeModel(None), [], [], None, Permission(ask=True)),
        (FakeModel(None, allowance_usd=9), [], [], None, Permission(ask=True)),
        (FakeModel(allowance_usd=0.2), [], [], None, Permission(granted=True)),
        (FakeModel(allowance_usd=0.2), [line(0.01)], [], None, Permission(ask=True)),
        (FakeModel(allowance_usd=0.2), [line(5.0, "modal")], [], None, Permission(granted=True)),
        (FakeModel(), [], [decision("use", 0.2)], None, Permission(granted=True)),
        (FakeModel(), [line(0.1)], [decision("use", 0.2)], None, Permission(ask=True)),
        (FakeModel(), [], [decision("use", 0.1)], None, Permission(ask=True)),
        (FakeModel(None), [], [decision("use", None)], None, Permission(granted=True)),
        (FakeModel(), [], [decision("without_llm", 0.2)], None, Permission()),
        (FakeModel(allowance_usd=9), [], [], 1.0, Permission(granted=True)),
    ],
)
def test_who_allows_it(
    model: FakeModel,
    spent: list[Spend],
    decisions: list[Decision],
    budget: float | None,
    expected: Permission,
) -> None:
    assert permission(model, MOST, spent, decisions, budget) == expected


@pytest.mark.parametrize(
    ("model", "spent", "budget"),
    [
        (FakeModel(), [], 0.0),
        (FakeModel(None), [], 0.0),
        (FakeModel(allowance_usd=9), [line(0.9, "modal")], 1.0),
    ],
)
def test_a_budget_of_the_run_stands_above_every_allowance(
    model: FakeModel, spent: list[Spend], budget: float
) -> None:
    found = permission(model, MOST, spent, [decision("use", 9.0)], budget)
    assert not found.granted
    assert f"${budget:.2f} does not allow it" in found.why_not


@dataclass
class Place:
    """A run in a real store, and the state and context of its research."""

    state: RunState
    context: Context

    async def ledger(self) -> list[Spend]:
        return await self.context.deps.store.ledger(run_id="r1")

    async def notes(self) -> list[str]:
        return [
            str(e.payload["text"]) for e in await self.context.deps.store.events("r1") if e.type == "note"
        ]


def placed(deps: Any, model: FakeModel | None, budgets: Budgets = UNLIMITED) -> Place:
    request = Request("sort", requester="U1", surface="slack", channel="C1")
    state = RunState(run_id="r1", request=request, task=TaskSpec("sort", "Sort", None))
    return Place(state, Context(replace(deps, llm=model, budgets=budgets), "r1", Stage.RESEARCH, 0))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "home")


async def test_an_answer_is_paid_for_by_what_it_used(world: World) -> None:
    async with world.process() as driver:
        await world.start(driver)
        place = placed(driver.deps, FakeModel())
        assert (await ask(place.state, place.context, PROMPT)).word == "yes"
        (spent,) = await place.ledger()
        assert (spent.backend, spent.hardware, spent.person, spent.channel) == (
            "llm", "openai:gpt-5.4-mini", "slack:U1", "C1",
        )  # fmt: skip
        assert (spent.actual_usd, spent.input_tokens, spent.output_tokens) == (0.03, 20_000, 1_000)
        assert spent.committed_usd > spent.usd
        assert await place.notes() == [
            "openai:gpt-5.4-mini was asked to find a word: 20,000 tokens in, 1,000 out, $0.0300."
        ]


async def test_after_a_crash_the_answer_is_found_and_not_asked_for_again(world: World) -> None:
    model = FakeModel()
    async with world.process() as driver:
        await world.start(driver)
        await ask((place := placed(driver.deps, model)).state, place.context, PROMPT)
    async with world.process() as driver:
        again = placed(driver.deps, model)
        assert (await ask(again.state, again.context, PROMPT)).word == "yes"
        assert len(model.asked) == len(await again.ledger()) == 1


class Killed(BaseException):
    """What ends a process."""


async def test_a_later_visit_of_the_stage_pays_nothing_for_the_same_question(world: World) -> None:
    model = FakeModel()
    async with world.process() as driver:
        await world.start(driver)
        place = placed(driver.deps, model)
        await ask(place.state, place.context, PROMPT)
        later = Context(place.context.deps, "r1", Stage.RESEARCH, 1)
        assert (
            await permitted(place.state, later, PROMPT) is True
        )  # no allowance: what is sent is asked about
        assert (await ask(place.state, later, PROMPT)).word == "yes"
        assert len(model.asked) == len(await place.ledger()) == 1


async def test_another_model_or_another_text_is_another_question(world: World) -> None:
    model, other = FakeModel(), FakeModel(name="anthropic:claude-haiku-4-5")
    async with world.process() as driver:
        await world.start(driver)
        place, elsewhere = placed(driver.deps, model), placed(driver.deps, other)
        await ask(place.state, place.context, PROMPT)
        await ask(place.state, place.context, replace(PROMPT, material=(Material("m", "t"),)))
        assert isinstance(await permitted(elsewhere.state, elsewhere.context, PROMPT), Question)
        await ask(elsewhere.state, elsewhere.context, PROMPT)
        assert (len(model.asked), len(other.asked)) == (2, 1)


def test_what_was_allowed_to_one_model_is_not_allowed_to_another() -> None:
    other = FakeModel(name="anthropic:claude-haiku-4-5")
    assert permission(other, MOST, [], [decision("use", 9.0)], None) == Permission(ask=True)


@pytest.mark.parametrize(("spent", "allowed"), [(0.1, 0.3), (0.4, 0.6), (0.7, 0.9)])
def test_a_sum_that_is_what_was_allowed_is_within_it(spent: float, allowed: float) -> None:
    """0.1 + 0.2 is a little more than 0.3 to a machine: it would ask the same question for ever."""
    found = permission(FakeModel(), MOST, [line(spent)], [decision("use", allowed)], allowed)
    assert found == Permission(granted=True)


async def test_an_answer_of_unknown_tokens_counts_as_it_was_allowed(world: World) -> None:
    class Mute(FakeModel):
        async def ask(self, prompt: Prompt[T]) -> Reply[T]:
            return replace(await super().ask(prompt), tokens=None)

    async with world.process() as driver:
        await world.start(driver)
        place = placed(driver.deps, Mute())
        await ask(place.state, place.context, PROMPT)
        (spent,) = await place.ledger()
        assert (spent.actual_usd, spent.usd) == (None, spent.committed_usd)
        assert "did not say how many tokens" in (await place.notes())[0]


async def test_a_crash_before_the_ledger_was_settled_settles_it_later(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def killed(*_: Any) -> None:
        raise Killed

    async with world.process() as driver:
        await world.start(driver)
        place = placed(driver.deps, FakeModel())
        with monkeypatch.context() as patch:
            patch.setattr(type(driver.deps.store), "settle", killed)
            with pytest.raises(Killed):
                await ask(place.state, place.context, PROMPT)
        await ask(place.state, place.context, PROMPT)
        (spent,) = await place.ledger()
        assert (spent.actual_usd, spent.input_tokens) == (0.03, 20_000)


async def test_a_question_that_was_cut_off_counts_and_is_asked_once_more(world: World) -> None:
    @dataclass
    class Dying(FakeModel):
        async def ask(self, prompt: Prompt[T]) -> Reply[T]:
            raise Killed

    for _ in range(2):
        async with world.process() as driver:
            await world.start(driver)
            place = placed(driver.deps, Dying())
            with pytest.raises(Killed):
                await ask(place.state, place.context, PROMPT)
    async with world.process() as driver:
        place = placed(driver.deps, FakeModel())
        with pytest.raises(LlmError, match="cut off"):
            await ask(place.state, place.context, PROMPT)
        lines = await place.ledger()
        assert [spent.actual_usd for spent in lines] == [None, None]
        assert all(spent.usd == spent.committed_usd > 0 for spent in lines)


def failed(kind: FailureKind, *, tokens: Tokens | None = None, maybe_billed: bool = False) -> LlmError:
    error = LlmError("It did not work.", "", kind)
    error.tokens, error.maybe_billed = tokens, maybe_billed
    return error


@pytest.mark.parametrize(
    ("error", "actual"),
    [
        (failed(FailureKind.NO_TOKEN), 0.0),
        (failed(FailureKind.DATA_ERROR, tokens=Tokens(1000, 100)), 0.002),
        (failed(FailureKind.TIMEOUT, maybe_billed=True), None),
    ],
)
async def test_a_failure_costs_what_is_known_of_it(
    world: World, error: LlmError, actual: float | None
) -> None:
    async with world.process() as driver:
        await world.start(driver)
        place = placed(driver.deps, FakeModel(error=error))
        with pytest.raises(LlmError):
            await ask(place.state, place.context, PROMPT)
        assert [spent.actual_usd for spent in await place.ledger()] == [actual]


@pytest.mark.parametrize("name", ["run", "person", "channel", "month"])
async def test_a_budget_stops_it_before_it_is_sent(world: World, name: str) -> None:
    async with world.process() as driver:
        await world.start(driver)
        model = FakeModel()
        place = placed(driver.deps, model, Budgets(**{name: 0.01}))
        with pytest.raises(LlmError, match="does not allow") as caught:
            await ask(place.state, place.context, PROMPT)
        assert caught.value.kind is FailureKind.NO_CREDIT
        assert model.asked == []
        assert await place.ledger() == []


async def test_the_question_names_model_price_and_where_the_text_goes(world: World) -> None:
    async with world.process() as driver:
        await world.start(driver)
        place = placed(driver.deps, FakeModel())
        question = await permitted(place.state, place.context, PROMPT)
    assert isinstance(question, Question)
    assert (question.kind, question.default, question.back_to) == (
        DecisionKind.LLM, "without_llm", Stage.RESEARCH,
    )  # fmt: skip
    assert question.text == (
        "May I ask the language model openai:gpt-5.4-mini to find a word? That costs at most $0.11 (a page, "
        "2026-11-29). The text goes to openai."
    )
    assert question.price_usd == pytest.approx(0.1006, abs=0.001)


async def test_an_unknown_price_is_a_question(world: World) -> None:
    async with world.process() as driver:
        await world.start(driver)
        place = placed(driver.deps, FakeModel(None, allowance_usd=100.0))
        question = await permitted(place.state, place.context, PROMPT)
    assert isinstance(question, Question)
    assert question.price_usd is None
    assert "not known" in question.text


async def test_a_sentence_that_forbids_spending_is_heard(world: World) -> None:
    async with world.process() as driver:
        await world.start(driver)
        place = placed(driver.deps, FakeModel(allowance_usd=9.0))
        place.state["task"] = TaskSpec("sort", "Sort", None, constraints=Constraints(budget_usd=0.0))
        assert await permitted(place.state, place.context, PROMPT) is False
        assert await place.notes() == [
            "I did not ask openai:gpt-5.4-mini to find a word. The run's budget of $0.00 does not allow it."
        ]


async def test_without_a_model_nothing_is_asked(world: World) -> None:
    async with world.process() as driver:
        await world.start(driver)
        place = placed(driver.deps, None)
        assert await permitted(place.state, place.context, PROMPT) is False
        assert await place.notes() == []
