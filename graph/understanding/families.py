"""Which kind of prediction: one of two classes, one of many, several at once, or a number.

Only what the words state is taken; where they leave it open the family stays ``None`` and the data decides.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from graph.names import TaskFamily
from graph.understanding.labels import Labels
from graph.understanding.text import Found, Text
from graph.understanding.topics import Topic

_STATED = (
    (
        TaskFamily.BINARY,
        r"\bbinary\b|\btwo[- ]class\b|\b2-class\b|\bbinär\w*|\bbinaire\b|\bbinari[ao]\b|\byes[ "
        r"/-](?:or )?no\b",
    ),
    (
        TaskFamily.MULTICLASS,
        r"\bmulti-?class\b|\bmulti class\b|\bexactly one (?:label|class|category|topic|of)\b",
    ),
    (
        TaskFamily.MULTILABEL,
        r"\bmulti-?label\b|\bmulti label\b|\b(?:several|multiple|many) (?:labels|tags|topics"
        r"|categories|classes)"
        r" (?:per|for each|each|at once|can|may)\b|\b(?:all|every) (?:\w+ )?(?:labels?|tags?|topics?"
        r"|categor(?:y|ies))"
        r" (?:that|which) (?:appl(?:y|ies)|fits?)\b|\b(?:one|1) or (?:more|several) (?:labels|tags"
        r"|topics|categories|emotions)\b"
        r"|\bmore than one (?:label|tag|topic|category|class)\b|\ball that appl(?:y|ies)\b"
        r"|\bmehrere (?:labels|kategorien|schlagwörter|themen)\b|\bplusieurs (?:étiquettes|catégories"
        r"|thèmes)\b"
        r"|\bvarias (?:etiquetas|categorías)\b",
    ),
    (
        TaskFamily.REGRESSION,
        r"(?<!logistic )(?<!logistische )\bregression\b|\bregressor\b|\b(?:scor|rat|grad)(?:e|es"
        r"|ing)\b[^.;\n]{0,40}\b(?:from|between) -?\d[\d.]{0,5}"
        r" (?:to|and) -?\d|\b(?:on|from) a scale (?:of|from)\b|\bauf einer skala\b|\bsur une "
        r"échelle\b|\ben una escala\b"
        r"|\ba (?:real|continuous) (?:number|value|score)\b|\bpredict (?:a|the) (?:numeric\w* "
        r")?(?:number|value)\b"
        r"|\bpredict (?:the |a )?(?:\w+ ){0,2}(?:rating|score|price|salary|number of stars)\b|\bhow "
        r"many stars\b|\bpredict (?:the )?stars\b"
        r"|\bestimate (?:the |how |a )?\w+",
    ),
)
_PATTERNS = tuple((family, re.compile(pattern)) for family, pattern in _STATED)
_WHETHER = re.compile(
    r"\bwhether\b|\bor not\b|\bif (?:a|an|the|each|it|this|they|our) |\bob (?:ein|eine|der|die|das)\b"
    r"|\boder nicht\b"
    r"|\bsi (?:un|une|el|la)\b|\bou non\b|\bo no\b"
)
_ONE_SIDED = re.compile(
    r"\b(?:detect|flag|spot|filter|catch|block|find|identif|recogni|erkenn|filtre|détect|repér)\w*"
    r"|\bdetector\b|\bfilter\b"
)


@dataclass(frozen=True, slots=True)
class FamilyReading:
    """``family`` with the words it comes from; ``clash``: the families that the words state against each
    other."""

    family: Found[TaskFamily] | None = None
    clash: tuple[Found[TaskFamily], ...] = ()


def read_family(text: Text, labels: Labels, topics: Sequence[Topic]) -> FamilyReading:
    stated: dict[TaskFamily, Found[TaskFamily]] = {}
    for family, pattern in _PATTERNS:
        match = text.search(pattern)
        if match:
            stated[family] = Found(family, text.quote(match))
    counted = _by_count(labels)
    if counted and TaskFamily.MULTILABEL not in stated:
        stated.setdefault(counted.value, counted)
    if labels.count and labels.names:
        by_count, by_names = _of_count(labels.count), _of_names(labels)
        if labels.count.value < len(labels.names) and by_count.value is not by_names.value:
            return FamilyReading(clash=(by_count, by_names))
    if len(stated) > 1:
        return FamilyReading(clash=tuple(stated.values()))
    if stated:
        return FamilyReading(next(iter(stated.values())))
    whether = text.search(_WHETHER)
    if whether:
        return FamilyReading(
            Found(TaskFamily.BINARY, text.quote(whether), "a yes-or-no question has two classes")
        )
    two_sided = next((topic for topic in topics if topic.two_sided), None)
    one_sided = text.search(_ONE_SIDED)
    if two_sided and (one_sided or two_sided.name == "spam"):
        quote = text.quote(one_sided) if one_sided else two_sided.name
        return FamilyReading(Found(TaskFamily.BINARY, quote, f"{two_sided.name} or not: two classes"))
    return FamilyReading()


def _by_count(labels: Labels) -> Found[TaskFamily] | None:
    if labels.names:
        return _of_names(labels)
    return _of_count(labels.count) if labels.count else None


def _of_names(labels: Labels) -> Found[TaskFamily]:
    return Found(TaskFamily.BINARY if len(labels.names) == 2 else TaskFamily.MULTICLASS, labels.quote)


def _of_count(count: Found[int]) -> Found[TaskFamily]:
    return Found(TaskFamily.BINARY if count.value == 2 else TaskFamily.MULTICLASS, count.quote)
