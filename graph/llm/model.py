"""What the graph needs of a language model, as a Protocol, and the values that go in and out.

Design
* A question is typed: our instructions, foreign material apart from them, and the pydantic model that the answer has
  to fit. There are no tools and no conversation, so nothing that the material says can lead to an action.
* A question has an upper bound in tokens before it is asked, because its price is committed in the ledger first.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from pydantic import BaseModel

from graph.errors import GraphError

T = TypeVar("T", bound=BaseModel)

CHARS_PER_TOKEN = 2.0  # of ASCII: English has about 4, tables of numbers fewer: an upper bound is wanted
OVERHEAD_TOKENS = 500  # the rules of quoting, and what providers add
MARK_TOKENS = 40  # around each piece of material
MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Tokens:
    input: int
    output: int


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars per million tokens."""

    input_usd: float
    output_usd: float
    source: str
    as_of: str = ""  # ISO date

    def usd(self, tokens: Tokens) -> float:
        """Rounded up to a ten-thousandth of a dollar, as the ledger keeps it."""
        cost = (tokens.input * self.input_usd + tokens.output * self.output_usd) / MILLION
        return math.ceil(round(cost * 10_000, 6)) / 10_000


@dataclass(frozen=True, slots=True)
class Material:
    """Foreign text under a name of ours."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Prompt(Generic[T]):
    purpose: str  # for people: "read the paper"
    instructions: str  # ours
    material: tuple[Material, ...]  # theirs
    answer: type[T]
    max_output_tokens: int

    def most(self) -> Tokens:
        """More than it can come to."""
        texts = (self.instructions, *(text for m in self.material for text in (m.name, m.text)))
        tokens = sum(map(_most_tokens, (*texts, str(self.answer.model_json_schema()))))
        return Tokens(tokens + MARK_TOKENS * len(self.material) + OVERHEAD_TOKENS, self.max_output_tokens)


def _most_tokens(text: str) -> int:
    """Of other scripts and signs each byte can be a token."""
    others = re.sub(r"[\x00-\x7f]+", "", text)
    ascii_chars, other_bytes = len(text) - len(others), len(others.encode(errors="replace"))
    return math.ceil(ascii_chars / CHARS_PER_TOKEN) + other_bytes


@dataclass(frozen=True, slots=True)
class Reply(Generic[T]):
    value: T
    tokens: Tokens | None  # None: the provider did not say


class LlmError(GraphError):
    """The model could not be asked, or gave no answer that fits. ``tokens``: what it used all the same, where that is
    known; ``maybe_billed``: nobody knows what it used."""

    tokens: Tokens | None = None
    maybe_billed = False


class LanguageModel(Protocol):
    @property
    def name(self) -> str:
        """``provider:model``."""

    @property
    def price(self) -> Price | None:
        """``None``: not known, which is a question to a person."""

    @property
    def allowance_usd(self) -> float:
        """What a run may spend on it without a question, by the one who set it up."""

    async def ask(self, prompt: Prompt[T]) -> Reply[T]:
        """Raises LlmError."""
