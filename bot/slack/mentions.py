"""A message with the people in front whom it calls. Pure."""

from __future__ import annotations

from typing import Any

from bot.cards import Card
from bot.chat.calling import Crew, called
from bot.slack import rich
from bot.slack.blocks import MOST_BLOCKS, Rendered


def mentioned(crew: Crew, card: Card, shown: Rendered) -> tuple[str, list[dict[str, Any]]]:
    """``(text, blocks)`` of the message; the crew's groups are user groups."""
    whom = called(crew, card)
    if not whom:
        return shown.text, shown.blocks
    names = " ".join([*(f"<@{p}>" for p in whom.people), *(f"<!subteam^{g}>" for g in whom.groups)])
    elements: list[dict[str, Any]] = []
    for element in (
        *({"type": "user", "user_id": p} for p in whom.people),
        *({"type": "usergroup", "usergroup_id": g} for g in whom.groups),
    ):
        elements += [element, rich.text(" ")]
    elements[-1] = rich.text(f" {whom.why}")
    block = rich.rich(rich.section(*elements))
    blocks = [block, *shown.blocks] if len(shown.blocks) < MOST_BLOCKS else shown.blocks
    return f"{names} {shown.text}", blocks
