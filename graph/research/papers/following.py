"""Which of a paper's settings a plan can follow, and the words that say so. Pure.

Only settings that the recipe has, in the ranges that a person could set them to, and only where the paper gives one
value: of a grid or of several tables that differ nobody knows which one made the numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from graph.literature import Paper, PaperFact
from graph.understanding.changes import SETTINGS

FOLLOWED = (
    "learning_rate",
    "epochs",
    "batch_size",
    "max_length",
    "weight_decay",
    "dropout",
    "label_smoothing",
    "warmup_fraction",
)
_RANGES = {s.key: (s.low, s.high) for s in SETTINGS} | {
    "weight_decay": (0.0, 0.5),
    "dropout": (0.0, 0.6),
    "warmup_fraction": (0.0, 0.5),
}  # fmt: skip
TITLE_CHARS = 70


@dataclass(frozen=True, slots=True)
class Follow:
    value: Any
    reason: str

    def told(self, own: Any) -> str:
        """The reason, and what would be planned without the paper where that differs."""
        differs = own is not None and own != self.value
        return f"{self.reason} By myself I would take {own}." if differs else self.reason


def short_title(paper: Paper) -> str:
    return paper.title if len(paper.title) <= TITLE_CHARS else paper.title[: TITLE_CHARS - 1].rstrip() + "…"


def place(fact: PaperFact) -> str:
    """``Table 3, page 5`` or ``page 5``."""
    return ", ".join(part for part in (fact.where, f"page {fact.page}") if part)


def values_of(fact: PaperFact) -> tuple[Any, ...]:
    """The fact's values; several come back from a checkpoint as a list."""
    return tuple(fact.value) if isinstance(fact.value, list | tuple) else (fact.value,)


def settled(facts: Iterable[PaperFact], field: str) -> PaperFact | None:
    """The fact that gives the field's one value; a table's before a sentence's. ``None`` where values differ."""
    found = [fact for fact in facts if fact.field == field]
    if len({v for fact in found for v in values_of(fact)}) != 1:
        return None
    return min(found, key=lambda fact: (not fact.where, fact.page))


def followed(paper: Paper, known: Iterable[str]) -> Mapping[str, Follow]:
    """Settings to take over; ``known``: what the recipe has."""
    has, found = set(known), {}
    for field in FOLLOWED:
        fact = settled(paper.facts, field)
        if fact is None or field not in has or isinstance(fact.value, str):
            continue
        low, high = _RANGES[field]
        if low <= fact.value <= high:
            found[field] = Follow(
                fact.value, f"Following {place(fact)} of “{short_title(paper)}”; say so to change it."
            )
    return found


def undecided(paper: Paper) -> tuple[str, ...]:
    """Fields of which the paper gives several values, in words."""
    told = []
    for field in FOLLOWED:
        values: list[Any] = []
        for fact in paper.facts:
            if fact.field == field:
                values += values_of(fact)
        distinct = list(dict.fromkeys(values))
        if len(distinct) > 1:
            told.append(f"{field} ({', '.join(f'{v:g}' for v in distinct[:5] if not isinstance(v, str))})")
    return tuple(told)
