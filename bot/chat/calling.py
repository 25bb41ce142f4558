"""Whom a message calls: only when a person is needed, or the run is over. Pure.

A mention works in the message that is posted, never in an edit, so nobody is called twice for one card.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bot.cards import Card

ENDED = "ended:"
_PUBLISHES = {"private", "public", "elsewhere"}
_MOST = 5  # people; more would be noise


@dataclass(frozen=True, slots=True)
class Crew:
    """Ids of the surface: who asked for the run; who may approve, people and groups."""

    requester: str = ""
    approvers: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Called:
    """``why``: the words after the names."""

    people: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    why: str = ""

    def __bool__(self) -> bool:
        return bool(self.people or self.groups)


NOBODY = Called()


def approvers_of(entries: Iterable[str], surface: str, group: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The surface's people and groups among the entries of ``INTERN_APPROVERS``."""
    found = sorted(entries)
    people = (e.removeprefix(f"{surface}:").rpartition("/")[2] for e in found if e.startswith(f"{surface}:"))
    groups = (e.removeprefix(f"{group}:") for e in found if e.startswith(f"{group}:"))
    return tuple(p for p in people if p != "*"), tuple(groups)


def called(whom: Crew, card: Card) -> Called:
    """People and groups that the card needs: who asked, and for money and publishing those who may approve."""
    if card.key.startswith(ENDED):
        return Called((whom.requester,) if whom.requester else (), (), "it is over.")
    if card.asks is None:
        return Called()
    price = card.asks.price_usd
    costs = card.asks.plan_hash is not None and (price is None or price > 0)
    weighty = costs or any(action.value in _PUBLISHES for action in card.actions)
    people = [p for p in (whom.requester, *(whom.approvers if weighty else ())) if p]
    groups = whom.groups[:_MOST] if weighty else ()
    return Called(tuple(dict.fromkeys(people))[:_MOST], tuple(groups), "your answer is needed.")
