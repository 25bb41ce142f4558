"""A language model behind LangChain's one interface to all providers (``init_chat_model``). An optional extra.

Keys and addresses are the provider's own variables, read by its library; none passes through here, and no text of a
provider's error is passed on, since some quote the key.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from graph.llm.model import LlmError, Price, Prompt, Reply, T, Tokens
from graph.llm.quoting import messages
from graph.names import FailureKind

if TYPE_CHECKING:
    from langchain_core.runnables import Runnable

TIMEOUT_S = 120.0
WAITS_S = (2.0, 8.0)  # before the question is asked again, where it was surely not answered
_PASSING = (FailureKind.NO_CAPACITY, FailureKind.UNREACHABLE)
_HINT = "`intern doctor` says what is set."
_BY_STATUS = {
    400: (FailureKind.SCRIPT_ERROR, "did not take the question", "Choose another model in INTERN_LLM."),
    401: (FailureKind.NO_TOKEN, "does not accept the key", "Make a new key and set it."),
    402: (FailureKind.NO_CREDIT, "says that there is no credit", "Add credit at the provider."),
    403: (FailureKind.DENIED, "does not allow this key to use the model", "Give the key more rights."),
    404: (FailureKind.DENIED, "does not know the model", "Check the name in INTERN_LLM."),
    413: (FailureKind.DATA_ERROR, "finds the question too long", "Choose a model with a longer context."),
    429: (FailureKind.NO_CAPACITY, "has no capacity or credit for us now", "Try again later."),
}


@dataclass(frozen=True, slots=True)
class LangChainModel:
    """A :class:`graph.llm.model.LanguageModel`. Nothing is imported and no key is read before the first question."""

    name: str
    price: Price | None = None
    allowance_usd: float = 0.0
    timeout_s: float = TIMEOUT_S
    waits_s: Sequence[float] = WAITS_S
    options: dict[str, Any] = field(default_factory=dict)  # to the provider's class
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def set_up(self) -> None:
        """Make the provider's client, and ask nothing. Raises LlmError."""
        await self._asking(_Nothing, 1)

    async def ask(self, prompt: Prompt[T]) -> Reply[T]:
        asking = await self._asking(prompt.answer, prompt.max_output_tokens)
        for wait_s in (*self.waits_s, None):
            said = await _as_value(asking, messages(prompt))
            if not isinstance(said, Exception):
                break
            failure = self._failure(said)
            if wait_s is None or failure.maybe_billed or failure.kind not in _PASSING:
                raise failure
            await self.sleep(wait_s)
        return self._reply(said, prompt)

    async def _asking(self, answer: type[BaseModel], max_tokens: int) -> Runnable[Any, Any]:
        """What takes messages and gives the answer, parsed, beside the raw one."""
        if find_spec("langchain") is None:
            raise self._error(
                FailureKind.UNREACHABLE, "needs the extra llm", 'pip install "ml-intern-for-teams[llm]"'
            )
        from langchain.chat_models import init_chat_model
        from langchain_core.runnables import RunnableLambda

        # As a schema, not as a class: then it is validated here, where the tokens of a wrong answer are known.
        schema = answer.model_json_schema()
        provider, _, name = self.name.partition(":")
        # The provider's library would ask again after a time-out too, and so pay twice for what was allowed once.
        limits = {"max_tokens": max_tokens, "timeout": self.timeout_s, "max_retries": 0}

        def made(_: None) -> tuple[Runnable[Any, Any]]:  # a tuple: a bare runnable would be run
            model = init_chat_model(name, model_provider=provider, **{**limits, **self.options})
            return (model.with_structured_output(schema, method="json_schema", include_raw=True),)

        found = await _as_value(RunnableLambda(made), None)
        if isinstance(found, Exception):
            raise self._not_set_up(found) from found
        asking: Runnable[Any, Any] = found[0]
        return asking

    def _not_set_up(self, error: Exception) -> LlmError:
        if isinstance(error, ImportError):
            package = f"langchain-{self.name.partition(':')[0].replace('_', '-')}"
            return self._error(
                FailureKind.UNREACHABLE, "needs its provider's library", f"pip install {package}"
            )
        hint = "Check INTERN_LLM and the provider's key."
        return self._error(FailureKind.NO_TOKEN, "cannot be set up", hint)

    def _reply(self, said: dict[str, Any], prompt: Prompt[T]) -> Reply[T]:
        tokens = _used(said["raw"])
        try:
            return Reply(prompt.answer.model_validate(said["parsed"]), tokens)
        except ValidationError:
            error = self._error(FailureKind.DATA_ERROR, "gave no answer in the form asked for", "")
            error.tokens, error.maybe_billed = tokens, tokens is None
            raise error from None

    def _failure(self, error: Exception) -> LlmError:
        status = getattr(error, "status_code", None) or getattr(
            getattr(error, "response", None), "status_code", None
        )
        if status in _BY_STATUS:
            return self._error(*_BY_STATUS[status])
        if isinstance(status, int):
            return self._error(FailureKind.UNREACHABLE, f"answers with {status}", "Try again later.")
        name = type(error).__name__.casefold()
        if "timeout" in name:
            failure = self._error(
                FailureKind.TIMEOUT, f"gave no answer in {self.timeout_s:g} s", "Try again later."
            )
            failure.maybe_billed = True
            return failure
        if "connect" in name:
            failure = self._error(
                FailureKind.UNREACHABLE, "is out of reach", "Check the network and its address."
            )
            failure.maybe_billed = not _was_refused(error)
            return failure
        failure = self._error(FailureKind.UNKNOWN, f"failed ({type(error).__name__})", _HINT)
        failure.maybe_billed = True
        return failure

    def _error(self, kind: FailureKind, what: str, hint: str) -> LlmError:
        return LlmError(f"The language model {self.name} {what}.", hint, kind)


class _Nothing(BaseModel):
    """An answer's form for a question that is not asked."""


def _used(raw: Any) -> Tokens | None:
    """What the provider says that the answer took."""
    usage = getattr(raw, "usage_metadata", None) or {}
    counts = (usage.get("input_tokens") or 0, usage.get("output_tokens") or 0)
    return Tokens(*map(int, counts)) if any(counts) else None


def _was_refused(error: Exception) -> bool:
    """Whether no connection came about, so that nothing was asked: not one that broke off while it waited."""
    cause: BaseException | None = error
    while cause is not None:
        if any(word in type(cause).__name__ for word in ("ConnectError", "Connector", "ConnectionRefused")):
            return True
        cause = cause.__cause__
    return False


async def _as_value(runnable: Runnable[Any, Any], given: Any) -> Any:
    """What comes out, or the exception: the providers' have no common base, and of a batch they come as values."""
    (found,) = await runnable.abatch([given], return_exceptions=True)
    return found
