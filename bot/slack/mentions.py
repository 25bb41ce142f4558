"""Whom a message calls: only when a person is needed, or the run is over. Pure.

A mention works in the message that is posted, never in an edit, so nobody is called twice for one card.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bot.cards import Card
from bot.slack import rich
from bot.slack.blocks import MOST_BLOCKS, Rendered
from bot.slack.buttons import ENDED

_PUBLISHES = {"private", "public", "elsewhere"}
_MOST = 5  # people; more would be noise


@dataclass(frozen=True, slots=True)
class Mention:
    """Slack ids: who asked for the run; who may approve, people and user groups."""

    requester: str = ""
    approvers: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()


def approvers_of(entries: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """People and user groups of Slack among the entries of ``INTERN_APPROVERS``."""
    people = [e.removeprefix("slack:").rpartition("/")[2] for e in sorted(entries) if e.startswith("slack:")]
    groups = [e.removeprefix("slack-group:") for e in sorted(entries) if e.startswith("slack-group:")]
    return tuple(p for p in people if p != "*"), tuple(groups)


def mentioned(mention: Mention, card: Card, shown: Rendered) -> tuple[str, list[dict[str, Any]]]:
    """``(text, blocks)`` of the message, with the people it calls in front."""
    people, groups = called(mention, card)
    if not people and not groups:
        return shown.text, shown.blocks
    words = " your answer is needed." if card.asks else " it is over."
    names = " ".join([*(f"<@{p}>" for p in people), *(f"<!subteam^{g}>" for g in groups)])
    elements: list[dict[str, Any]] = []
    for element in (
        *({"type": "user", "user_id": p} for p in people),
        *({"type": "usergroup", "usergroup_id": g} for g in groups),
    ):
        elements += [element, rich.text(" ")]
    elements[-1] = rich.text(words)
    block = rich.rich(rich.section(*elements))
    blocks = [block, *shown.blocks] if len(shown.blocks) < MOST_BLOCKS else shown.blocks
    return f"{names} {shown.text}", blocks


def called(mention: Mention, card: Card) -> tuple[list[str], list[str]]:
    """People and groups that the card needs: who asked, and for money and publishing those who may approve."""
    if card.key.startswith(ENDED):
        return [p for p in (mention.requester,) if p], []
    if card.asks is None:
        return [], []
    price = card.asks.price_usd
    costs = card.asks.plan_hash is not None and (price is None or price > 0)
    weighty = costs or any(action.value in _PUBLISHES for action in card.actions)
    people = [p for p in (mention.requester, *(mention.approvers if weighty else ())) if p]
    return list(dict.fromkeys(people))[:_MOST], list(mention.groups[:_MOST]) if weighty else []
