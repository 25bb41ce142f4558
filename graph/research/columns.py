"""Which column holds the texts, and which what is to be learnt. Pure; names are hints, types and values decide.

It serves the ranking and what a person is shown. What training reads is decided again by the inspect job, from the
rows themselves, unless there is nothing else that could be meant.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from graph.names import TaskFamily
from graph.research.words import labels_alike, topic_words, words_of
from graph.state import TaskSpec

MAX_CLASSES = 300
_TEXT_NAMES = (
    "text",
    "sentence",
    "content",
    "review",
    "comment",
    "body",
    "message",
    "utterance",
    "query",
    "question",
)
_TARGET_NAMES = (
    "label",
    "labels",
    "target",
    "class",
    "category",
    "sentiment",
    "intent",
    "topic",
    "rating",
    "score",
)
_NO_TARGET = re.compile(
    r"(^|_)(id|idx|index|url|uri|date|time|timestamp|split|source|user|author|hash)($|_)", re.I
)


class Kind(StrEnum):
    STRING = "string"
    CLASSES = "classes"  # declared as such, with their names
    INT = "int"
    FLOAT = "float"
    BOOL = "bool"
    LIST = "list"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Column:
    """``mean_chars``: of its texts. ``missing`` and ``distinct``: shares of the rows, 0..1."""

    name: str
    kind: Kind
    classes: tuple[str, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    mean_chars: float = 0.0
    missing: float = 0.0
    distinct: float = 0.0
    is_text: bool = False

    @property
    def plain_name(self) -> str:
        return self.name.casefold()


def choose_columns(columns: Sequence[Column], task: TaskSpec) -> tuple[Column | None, Column | None, bool]:
    """Text column, target column, and whether neither has a rival."""
    named = {column.name: column for column in columns}
    texts = sorted((c for c in columns if c.is_text), key=_as_text, reverse=True)
    text = named.get(task.text_column or "") or (texts[0] if texts else None)
    targets = [c for c in columns if c is not text and _may_be_target(c)]
    targets.sort(key=lambda c: _as_target(c, task), reverse=True)
    target = named.get(task.target or "") or (targets[0] if targets else None)
    certain = bool(text and target and len(targets) == 1 and len(texts) == 1)
    return text, target, certain


def _as_text(column: Column) -> tuple[bool, float, str]:
    return (column.plain_name in _TEXT_NAMES, column.mean_chars, column.name)


def _may_be_target(column: Column) -> bool:
    if column.kind is Kind.OTHER or column.is_text or _NO_TARGET.search(column.name):
        return False
    if column.kind in (Kind.FLOAT, Kind.LIST):
        return True
    return 2 <= (len(column.counts) or len(column.classes)) <= MAX_CLASSES


def _as_target(column: Column, task: TaskSpec) -> tuple[float, bool, bool, bool, str]:
    """What speaks for it, the strongest first: its classes are those asked for, its name is, its kind fits."""
    asked = words_of(column.name.replace("_", " ")) & topic_words(task).keys()
    offered = column.classes or tuple(column.counts)
    return (
        labels_alike(task.labels, offered) if task.labels else 0.0,
        _fits(column.kind, task.family),
        bool(asked) or column.plain_name in _TARGET_NAMES,
        column.kind is Kind.CLASSES,
        column.name,
    )


def _fits(kind: Kind, family: TaskFamily | None) -> bool:
    if family is TaskFamily.REGRESSION:
        return kind in (Kind.INT, Kind.FLOAT)
    if family is TaskFamily.MULTILABEL:
        return kind is Kind.LIST
    return kind not in (Kind.FLOAT, Kind.LIST)
