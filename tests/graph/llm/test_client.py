"""LangChain's real clients of two providers against a stand-in for both."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from pydantic import BaseModel, ConfigDict

from graph.llm.client import LangChainModel
from graph.llm.model import LlmError, Material, Prompt, Tokens
from graph.names import FailureKind
from tests.llm.server import KEY, LlmServer

pytestmark = pytest.mark.asyncio(loop_scope="module")
OPENAI, ANTHROPIC = "openai:gpt-5.4-mini", "anthropic:claude-haiku-4-5"


class Colour(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str
    page: int | None


PROMPT = Prompt("name a colour", "Name the colour.", (Material("page 1", "The sky is blue."),), Colour, 100)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def provider() -> AsyncIterator[LlmServer]:
    async with LlmServer().running() as server:
        yield server


@pytest.fixture
def server(provider: LlmServer, monkeypatch: pytest.MonkeyPatch) -> LlmServer:
    for name, value in provider.env().items():
        monkeypatch.setenv(name, value)
    provider.answer, provider.status, provider.silent = {"name": "blue", "page": None}, 200, False
    provider.drops, provider.busy, provider.usage = False, 0, (1200, 340)
    provider.asked.clear()
    return provider


@pytest.mark.parametrize("name", [OPENAI, ANTHROPIC])
async def test_an_answer_comes_typed_and_with_its_tokens(server: LlmServer, name: str) -> None:
    reply = await server.model(name).ask(PROMPT)
    assert reply.value == Colour(name="blue", page=None)
    assert reply.tokens == Tokens(1200, 340)
    assert "The sky is blue." in server.texts()
    assert server.asked[-1]["model"] == name.partition(":")[2]
    limits = {key: value for key, value in server.asked[-1].items() if "max" in key}
    assert 100 in limits.values()


@pytest.mark.parametrize("name", [OPENAI, ANTHROPIC])
@pytest.mark.parametrize(
    ("status", "kind", "says"),
    [
        (400, FailureKind.SCRIPT_ERROR, "did not take the question"),
        (401, FailureKind.NO_TOKEN, "does not accept the key"),
        (402, FailureKind.NO_CREDIT, "no credit"),
        (403, FailureKind.DENIED, "does not allow"),
        (404, FailureKind.DENIED, "does not know the model"),
        (413, FailureKind.DATA_ERROR, "too long"),
        (429, FailureKind.NO_CAPACITY, "no capacity or credit"),
        (500, FailureKind.UNREACHABLE, "answers with 500"),
    ],
)
async def test_a_refusal_has_its_kind_and_no_key(
    server: LlmServer, name: str, status: int, kind: FailureKind, says: str
) -> None:
    server.status = status
    with pytest.raises(LlmError, match=says) as caught:
        await server.model(name).ask(PROMPT)
    assert caught.value.kind is kind
    assert not caught.value.maybe_billed
    assert KEY not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("name", [OPENAI, ANTHROPIC])
@pytest.mark.parametrize("answer", ["I would rather not.", {"name": "blue"}, {"name": 3, "page": "one"}, ""])
async def test_what_does_not_fit_the_form_is_refused_and_counted(
    server: LlmServer, name: str, answer: object
) -> None:
    server.answer = answer
    with pytest.raises(LlmError, match="no answer in the form") as caught:
        await server.model(name).ask(PROMPT)
    assert (caught.value.kind, caught.value.tokens) == (FailureKind.DATA_ERROR, Tokens(1200, 340))


@pytest.mark.parametrize("name", [OPENAI, ANTHROPIC])
async def test_silence_ends_and_may_have_cost(server: LlmServer, name: str) -> None:
    server.silent = True
    with pytest.raises(LlmError, match=r"no answer in 0\.3 s") as caught:
        await server.model(name, timeout_s=0.3).ask(PROMPT)
    assert (caught.value.kind, caught.value.maybe_billed) == (FailureKind.TIMEOUT, True)


@pytest.mark.parametrize("name", [OPENAI, ANTHROPIC])
async def test_silence_is_not_asked_again_and_paid_for_twice(server: LlmServer, name: str) -> None:
    server.silent = True
    with pytest.raises(LlmError, match="no answer in"):
        await server.model(name, timeout_s=0.3, waits_s=(0.0, 0.0)).ask(PROMPT)
    assert len(server.asked) == 1


@pytest.mark.parametrize("name", [OPENAI, ANTHROPIC])
async def test_a_question_that_was_taken_and_then_dropped_may_have_cost(server: LlmServer, name: str) -> None:
    server.drops = True
    with pytest.raises(LlmError, match="out of reach") as caught:
        await server.model(name, waits_s=(0.0, 0.0)).ask(PROMPT)
    assert caught.value.maybe_billed
    assert len(server.asked) == 1


@pytest.mark.parametrize("name", [OPENAI, ANTHROPIC])
async def test_a_provider_that_is_busy_is_asked_again_after_a_while(server: LlmServer, name: str) -> None:
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    server.busy = 2
    reply = await server.model(name, waits_s=(1.0, 5.0), sleep=sleep).ask(PROMPT)
    assert (reply.tokens, waited, len(server.asked)) == (Tokens(1200, 340), [1.0, 5.0], 3)


async def test_tokens_that_nobody_told_are_not_none_at_all(server: LlmServer) -> None:
    server.usage = (0, 0)
    assert (await server.model(OPENAI).ask(PROMPT)).tokens is None
    server.answer = "I would rather not."
    with pytest.raises(LlmError) as caught:
        await server.model(OPENAI).ask(PROMPT)
    assert (caught.value.tokens, caught.value.maybe_billed) == (None, True)


@pytest.mark.parametrize("name", [OPENAI, ANTHROPIC])
async def test_nobody_there(server: LlmServer, name: str) -> None:
    nowhere = LangChainModel(name, waits_s=(), options={"base_url": "http://127.0.0.1:9"})
    with pytest.raises(LlmError, match="out of reach") as caught:
        await nowhere.ask(PROMPT)
    assert (caught.value.kind, caught.value.maybe_billed) == (FailureKind.UNREACHABLE, False)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        (OPENAI, "cannot be set up"),
        ("nosuch:model", "cannot be set up"),
        ("fireworks:m", "pip install langchain-fireworks"),
    ],
)
async def test_what_cannot_be_set_up_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, name: str, says: str
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(LlmError, match=says):
        await LangChainModel(name).set_up()


async def test_setting_up_asks_nothing(server: LlmServer) -> None:
    await LangChainModel(OPENAI).set_up()
    assert server.asked == []
