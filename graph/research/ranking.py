"""Orders candidates by how well they fit a task, with a reason for each part of the score. Pure.

Parts and weights: topic .40, family .15, classes that the sentence names .10, language .10, licence .10, size
.10, use by others .05. Topic: the share of the task's own words that stand in the data set's name, tags or
description. A task's keywords come in order, what the texts are before synonyms of what is asked of them, so
the words of the n-th keyword count 1/n: "product reviews" has to outweigh "sentiment, polarity, opinion",
which films have too.

A candidate that is about something else, has other classes than those the sentence names, or is in another
language is not usable: a wrong data set is worse than none.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from graph.names import TaskFamily
from graph.research.licences import licence_of
from graph.state import Candidate, TaskSpec

WEIGHTS = {
    "topic": 0.40,
    "family": 0.15,
    "labels": 0.10,
    "language": 0.10,
    "licence": 0.10,
    "size": 0.10,
    "use": 0.05,
}
ENOUGH_ROWS = 2000
ON_TOPIC = 0.2  # share of the topic from which on a data set may be meant
_COMMON_WORDS = frozenset(
    re.findall(
        r"\w+",
        """
        a about an and any are as at be best build by care class classes classification
        classifier classify cpu data dataset detect don fast fine for from give good gpu
        have i in into is it its label labels language machine make me model money my of
        on one or our out please predict small sort sorts spend tell tells text texts that
        the their them this to train training tune under use using want we what when which
        with without you your english score scores regression binary multiclass macro
        micro accuracy minutes hours usd cheap tiny
        """,
    )
)


def stem(word: str) -> str:
    """Enough of a stemmer for search words: plurals and the commonest endings."""
    if word == "news" or word.endswith(("ss", "us", "is")):
        return word
    for ending, instead, least in (
        ("ies", "y", 3),
        ("ings", "", 4),
        ("ing", "", 4),
        ("es", "e", 3),
        ("s", "", 3),
    ):
        if word.endswith(ending) and len(word) - len(ending) >= least:
            return word.removesuffix(ending) + instead
    return word


_COMMON_STEMS = frozenset(map(stem, _COMMON_WORDS))


@dataclass(frozen=True, slots=True)
class Found:
    """A candidate with what is known about it beyond what a person is shown."""

    candidate: Candidate
    words: frozenset[str] = frozenset()
    language: str | None = None  # ISO 639-1; None: not known
    families: frozenset[TaskFamily] = field(default_factory=frozenset)  # empty: not known
    labels: frozenset[str] = frozenset()  # its classes, lower case; empty: not known
    also: frozenset[str] = frozenset()  # other words for its classes
    asks: frozenset[str] = frozenset()  # words for what its classes tell, one of which a task has to have


def rank(task: TaskSpec, found: Iterable[Found]) -> tuple[Candidate, ...]:
    """Best first, usable before unusable; ties by id, so that the order never depends on the search's."""
    scored = [_score(task, item) for item in found]
    return tuple(sorted(scored, key=lambda c: (not c.usable, -c.score, c.id)))


def topic_words(task: TaskSpec) -> dict[str, float]:
    """Stems of the words that say what the task is about, with their weights."""
    weights: dict[str, float] = {}
    for place, keyword in enumerate(task.keywords or (*task.labels,), start=1):
        for word in words_of(keyword):
            weights.setdefault(word, 1 / place)
    return weights or dict.fromkeys(words_of(f"{task.title} {task.goal}"), 1.0)


def words_of(text: str) -> frozenset[str]:
    """Stemmed words without those that any request has."""
    found = re.findall(r"[^\W\d_]{2,}", text.casefold())
    return frozenset(stem(word) for word in found) - _COMMON_STEMS


def _score(task: TaskSpec, item: Found) -> Candidate:
    candidate, parts, reasons = item.candidate, dict.fromkeys(WEIGHTS, 0.0), list(item.candidate.reasons)
    wanted, offered = topic_words(task), {stem(word.casefold()): word for word in item.words}
    shared = sorted(wanted.keys() & offered.keys(), key=lambda word: (-wanted[word], word))
    if shared:
        parts["topic"] = sum(wanted[word] for word in shared) / sum(wanted.values())
        reasons.append(f"about {', '.join(offered[word] for word in shared[:4])}")
    _fit(task, item, parts, reasons)
    _quality(candidate, parts, reasons)
    why_not = candidate.why_not or _why_not(task, item, parts["topic"] >= ON_TOPIC)
    score = sum(WEIGHTS[name] * value for name, value in parts.items())
    return replace(
        candidate,
        score=round(score, 3),
        reasons=tuple(reasons),
        usable=candidate.usable and not why_not,
        why_not=why_not,
    )


def _fit(task: TaskSpec, item: Found, parts: dict[str, float], reasons: list[str]) -> None:
    if task.family is None or not item.families:
        parts["family"] = 0.5
    elif task.family in item.families:
        parts["family"] = 1.0
        reasons.append(f"made for {task.family.value} tasks")
    if task.labels:
        named = {label.casefold() for label in task.labels}
        parts["labels"] = len(named & (item.labels | item.also | item.words)) / len(named)
    language = task.constraints.language or "en"
    if item.language == language:
        parts["language"] = 1.0
        reasons.append(f"language {language}")
    elif item.language is None:
        parts["language"] = 0.4


def _quality(candidate: Candidate, parts: dict[str, float], reasons: list[str]) -> None:
    licence = licence_of(candidate.licence)
    parts["licence"] = {"allowed": 1.0, "ask": 0.3}.get(licence.publish, 0.0)
    reasons.append(f"licence {licence.id}" if candidate.licence else "no licence stated")
    if candidate.rows is not None:
        parts["size"] = min(1.0, candidate.rows / ENOUGH_ROWS)
        reasons.append(f"{candidate.rows:,} rows")
    if candidate.downloads:
        parts["use"] = min(1.0, math.log10(candidate.downloads + 1) / 6)
        reasons.append(f"{candidate.downloads:,} downloads")


def _why_not(task: TaskSpec, item: Found, on_topic: bool) -> str:
    language = task.constraints.language
    if language and item.language and item.language != language:
        return f"its texts are in {item.language}, yours in {language}"
    named = {label.casefold() for label in task.labels}
    wanted = topic_words(task).keys() | words_of(f"{task.title} {task.goal}")
    if not named and item.asks and not {stem(word) for word in item.asks} & wanted:
        return f"it tells {', '.join(sorted(item.labels)[:5])} apart, and nothing else"
    if named and item.labels and not named & (item.labels | item.also):
        return f"its classes are {', '.join(sorted(item.labels)[:5])}"
    if not on_topic:
        return "it is about something else"
    if task.family and item.families and task.family not in item.families:
        return f"it cannot serve a {task.family.value} task"
    return ""
