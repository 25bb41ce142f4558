"""What a button, a menu or a form says when it comes back, in the 100 characters of a ``custom_id``. Pure.

Design decisions
- ``intern:VERB:RUN:QUESTION:CHOICE:PLAN``. A question's id and a plan's hash are too long together, so both are
  digests; a choice of a question is its number. ``resolved`` finds the whole ones in the run's log: there each
  question that was ever asked still stands, so a button of weeks ago is understood.
- It is a claim: who may click, whether the question is open and the plan still holds is checked by the server.
- What cannot be a claim of ours, or names a question that was never asked, is answered with what one can do instead.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from urllib.parse import quote, unquote

from bot.chat.incoming import Incoming, Kind
from bot.views.payload import Payload
from graph.deps import Event
from graph.names import EventType

MOST_CHARS = 100
TEMPLATE = r"(?s:intern:.*)"
NO_LONGER_GOOD = "That button is no longer good. Here is what you can write."
_PREFIX = "intern"
_DIGITS = 10
VERBS = frozenset(
    {"decide", "sure", "choose", "words", "edit", "try", "cancel", "stop", "suggest", "again", "start"}
)


class NotOurs(ValueError):
    """No claim of ours, or one that was changed."""


@dataclass(frozen=True, slots=True)
class Claim:
    """``question`` and ``plan`` are digests; ``choice`` is a number from 0, or for other verbs a text."""

    verb: str
    run: str = ""
    question: str = ""
    choice: str = ""
    plan: str = ""

    def dump(self) -> str:
        """At most 100 ASCII characters. Raises NotOurs where it does not fit."""
        try:
            choice = quote(self.choice, safe="")
        except UnicodeEncodeError as error:
            raise NotOurs("A claim is Unicode.") from error
        said = ":".join((_PREFIX, self.verb, self.run, self.question, choice, self.plan))
        if len(said) > MOST_CHARS or not said.isascii() or said.count(":") != 5 or self.verb not in VERBS:
            raise NotOurs("A claim has at most 100 characters.")
        return said

    @classmethod
    def load(cls, said: str) -> Claim:
        """What ``dump`` wrote, and nothing else. Raises NotOurs."""
        parts = said.split(":")
        if len(parts) != 6 or parts[0] != _PREFIX:
            raise NotOurs("A claim has six parts.")
        claim = cls(parts[1], parts[2], parts[3], unquote(parts[4]), parts[5])
        if claim.dump() != said:
            raise NotOurs("A claim is written in another way.")
        return claim


def digest(text: str | None) -> str:
    """Of a question's id or a plan's hash; empty for none."""
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:_DIGITS] if text else ""


def resolved(incoming: Incoming, events: Iterable[Event]) -> Incoming:
    """An answer with the whole ids of the question and the plan that its button belongs to."""
    asked = [
        found
        for event in events
        if event.type is EventType.QUESTION_ASKED
        and digest((found := Payload(event.payload).part("question")).text("id")) == incoming.question_id
    ]
    plan = incoming.plan_hash or ""
    question = next((q for q in asked if digest(q.text("plan_hash")) == plan), asked[-1] if asked else None)
    choices = question.parts("choices") if question else []
    number = int(incoming.value) if incoming.value.isascii() and incoming.value.isdecimal() else len(choices)
    if question is None or number >= len(choices):
        return replace(incoming, kind=Kind.HELP, text=NO_LONGER_GOOD)
    held = question.text("plan_hash")
    return replace(
        incoming,
        question_id=question.text("id"),
        value=choices[number].text("value"),
        plan_hash=None if not held else held if digest(held) == plan else plan,  # another one is a stale plan
    )
