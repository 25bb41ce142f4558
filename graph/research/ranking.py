"""Orders candidates by how well they fit a task, with a reason for each part of the score. Pure.

Topic: the share of the task's own words that stand in the data set's name, tags, columns or classes; a word that only
its description has counts half, since anybody can write anything there. A task's keywords come in order, what the
texts are before synonyms of what is asked of them, so the words of the n-th keyword count 1/n: "product reviews" has
to outweigh "sentiment, polarity, opinion", which films have too.

A part that nobody has looked at counts half: not known is neither good nor bad.

A candidate that is about something else, has other classes than those the sentence names, or is in another
language is not usable: a wrong data set is worse than none.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from graph.names import TaskFamily
from graph.research.licences import licence_of
from graph.research.words import label_words, labels_alike, meaningful, stem, topic_words, words_of
from graph.state import Candidate, Part, TaskSpec

WEIGHTS: Mapping[str, float] = {
    "topic": 0.34,
    "task": 0.12,
    "labels": 0.12,
    "language": 0.10,
    "licence": 0.09,
    "size": 0.08,
    "balance": 0.04,
    "quality": 0.04,
    "use": 0.04,
    "freshness": 0.02,
    "access": 0.01,
}
ENOUGH_ROWS = 2000
FEWEST_ROWS = 50  # fewer cannot be split and learnt from
HUGE_BYTES = 2 << 30
ON_TOPIC = 0.2  # share of the topic from which on a data set may be meant
DESCRIBED = 0.5  # what a word counts that only the description has
WHOLE_TOPIC = 0.85  # synonyms need not all be there: a list of them is no better than the words that matter
UNKNOWN = 0.5
_SHOWN_LABELS, _LABEL_CHARS = 5, 30
# What stands beside a part that there is nothing to say about.
_PLAIN = {
    "topic": "none of your words",
    "labels": "its classes have names",
    "balance": "its classes are of like size",
    "quality": "nothing missing, no duplicates among the rows looked at",
    "use": "no downloads counted",
    "freshness": "changed within two years",
    "access": "open to everybody",
}


@dataclass(frozen=True, slots=True)
class Found:
    """A candidate with what is known about it beyond what a person is shown. Shares are 0..1."""

    candidate: Candidate
    words: frozenset[str] = frozenset()
    language: str | None = None  # ISO 639-1; None: not known, or several
    families: frozenset[TaskFamily] = field(default_factory=frozenset)  # empty: not known
    labels: frozenset[str] = frozenset()  # its classes, lower case; empty: not known
    also: frozenset[str] = frozenset()  # other words for its classes
    asks: frozenset[str] = frozenset()  # words for what its classes tell, one of which a task has to have
    described: frozenset[str] = frozenset()  # words of its description
    languages: tuple[str, ...] = ()  # where there are several
    missing: float | None = None
    duplicates: float | None = None
    age_days: float | None = None
    data_bytes: int | None = None
    gated: bool = False  # but open for us
    looked_at: bool = False  # at its rows, not only at its card
    instructs: bool = (
        False  # its card or its classes speak to whoever reads them: instructions, mass mentions
    )


Judged = tuple[float, str]  # 0..1 and why, "" where there is nothing to say


def rank(task: TaskSpec, found: Iterable[Found]) -> tuple[Candidate, ...]:
    """Best first, usable before unusable; ties by id, so that the order never depends on the search's."""
    return tuple(sorted((score(task, item) for item in found), key=order))


def order(candidate: Candidate) -> tuple[bool, float, str]:
    return (not candidate.usable, -candidate.score, candidate.id)


def score(task: TaskSpec, item: Found) -> Candidate:
    """The candidate with its parts, their weighted sum, the reasons and, where it is so, why it is not usable."""
    candidate = item.candidate
    judged: dict[str, Judged] = {
        "topic": _topic(task, item),
        "task": _task(task, item),
        "labels": _labels(task, item),
        "language": _language(task, item),
        "licence": _licence(candidate),
        "size": _size(item),
        "balance": _balance(candidate),
        "quality": _quality(item),
        "use": _use(candidate),
        "freshness": _freshness(item),
        "access": (0.5, "gated, and open to our account") if item.gated else (1.0, ""),
    }
    why_not = candidate.why_not or _why_not(task, item, judged["topic"][0] >= ON_TOPIC)
    total = sum(WEIGHTS[name] * value for name, (value, _) in judged.items())
    return replace(
        candidate,
        score=round(total, 3),
        parts=tuple(
            Part(name, round(value, 2), why or ("not known" if value == UNKNOWN else _PLAIN.get(name, "")))
            for name, (value, why) in judged.items()
        ),
        reasons=(*candidate.reasons, *(why for _, why in judged.values() if why)),
        usable=candidate.usable and not why_not,
        why_not=why_not,
    )


def _topic(task: TaskSpec, item: Found) -> Judged:
    wanted, offered = topic_words(task), {stem(word.casefold()): word for word in item.words}
    told = {stem(word.casefold()) for word in item.described} - offered.keys()
    shared = sorted(wanted.keys() & (offered.keys() | told), key=lambda word: (-wanted[word], word))
    if not shared:
        return 0.0, ""
    share = sum(wanted[word] * (DESCRIBED if word in told else 1.0) for word in shared) / sum(wanted.values())
    return min(1.0, share / WHOLE_TOPIC), f"about {', '.join(offered.get(word, word) for word in shared[:4])}"


def _task(task: TaskSpec, item: Found) -> Judged:
    if task.family is None or not item.families:
        return UNKNOWN, ""
    if task.family in item.families:
        return 1.0, f"made for {task.family.value} tasks"
    return 0.0, f"made for {' or '.join(sorted(f.value for f in item.families))} tasks"


def _labels(task: TaskSpec, item: Found) -> Judged:
    shown = _shown(item.labels)
    if not task.labels:
        if not item.labels:
            return UNKNOWN, ""
        named = meaningful(item.labels) or task.family is TaskFamily.REGRESSION
        return (1.0, "") if named else (0.3, f"classes without names ({shown})")
    if not item.labels:
        named_words = {label.casefold() for label in task.labels}
        return UNKNOWN * len(named_words & item.words) / len(named_words), ""
    if not meaningful(item.labels):
        return 0.2, f"classes without names ({shown})"
    alike = max(labels_alike(task.labels, sorted(item.labels)), _other_words(task, item))
    return alike, "has the classes you named" if alike == 1.0 else f"classes {shown}"


def _shown(labels: Iterable[str]) -> str:
    names = [name if len(name) <= _LABEL_CHARS else f"{name[: _LABEL_CHARS - 1]}…" for name in sorted(labels)]
    return ", ".join(names[:_SHOWN_LABELS])


def _other_words(task: TaskSpec, item: Found) -> float:
    also = {word for label in (*item.labels, *item.also) for word in label_words(label)}
    return (
        sum(bool(label_words(label) & also) for label in task.labels) / len(task.labels) if item.also else 0.0
    )


def _language(task: TaskSpec, item: Found) -> Judged:
    language = task.constraints.language or "en"
    if item.language == language:
        return 1.0, f"language {language}"
    if item.language is not None:
        return 0.0, f"language {item.language}"
    if not item.languages:
        return 0.4, "language not stated"
    if language in item.languages:
        return 0.7, f"{language} is one of its {len(item.languages)} languages"
    return 0.0, f"languages {', '.join(item.languages[:4])}"


def _licence(candidate: Candidate) -> Judged:
    licence = licence_of(candidate.licence)
    value = {"allowed": 1.0, "ask": 0.3}.get(licence.publish, 0.0)
    return value, f"licence {licence.id}" if candidate.licence else "no licence stated"


def _size(item: Found) -> Judged:
    rows = item.candidate.rows
    if rows is None:
        return UNKNOWN, ""
    if item.data_bytes is not None and item.data_bytes > HUGE_BYTES:
        return 0.7, f"{rows:,} rows, {item.data_bytes / 1e9:.1f} GB: more than is needed"
    return min(1.0, rows / ENOUGH_ROWS), f"{rows:,} rows"


def _balance(candidate: Candidate) -> Judged:
    """1 for classes of one size, 0 from a hundred to one on."""
    counts = candidate.class_counts.values()
    if len(counts) < 2:
        return UNKNOWN, ""
    times = max(counts) / max(1, min(counts))
    value = max(0.0, 1 - math.log10(times) / 2)
    return value, "" if times < 3 else f"the largest class has {times:.0f} times the rows of the smallest"


def _quality(item: Found) -> Judged:
    if item.instructs:
        return (
            0.0,
            "its card holds instructions or mass mentions: nobody followed them, look at it before you use it",
        )
    if not item.looked_at or (item.missing is None and item.duplicates is None):
        return UNKNOWN, ""
    missing, duplicates = item.missing or 0.0, item.duplicates or 0.0
    faults = [
        f"{share:.0%} of its rows {what}"
        for share, what in ((missing, "lack text or label"), (duplicates, "looked at are duplicates"))
        if share >= 0.01
    ]
    return max(0.0, 1 - 3 * missing - duplicates), "; ".join(faults)


def _use(candidate: Candidate) -> Judged:
    if not candidate.downloads:
        return 0.0, ""
    return min(1.0, math.log10(candidate.downloads + 1) / 6), f"{candidate.downloads:,} downloads"


def _freshness(item: Found) -> Judged:
    if item.age_days is None:
        return UNKNOWN, ""
    years = item.age_days / 365.25
    return max(0.0, 1 - years / 6), f"last changed {years:.0f} years ago" if years >= 2 else ""


def _asked(task: TaskSpec) -> frozenset[str]:
    return words_of(f"{task.title} {task.goal}") | topic_words(task).keys()


def _why_not(task: TaskSpec, item: Found, on_topic: bool) -> str:
    language, rows = task.constraints.language, item.candidate.rows
    if rows == 0:
        return "it has no rows"
    if language and item.language and item.language != language:
        return f"its texts are in {item.language}, yours in {language}"
    if language and item.languages and language not in item.languages:
        return f"its texts are in {', '.join(item.languages[:4])}, yours in {language}"
    if not task.labels and item.asks and not _asked(task) & {stem(word) for word in item.asks}:
        return f"it tells {_shown(item.labels)} apart, and nothing else"
    if task.labels and meaningful(item.labels) and _labels(task, item)[0] == 0.0:
        return f"its classes are {_shown(item.labels)}"
    if not on_topic:
        return "it is about something else"
    if task.family and item.families and task.family not in item.families:
        return f"it cannot serve a {task.family.value} task"
    if rows is not None and rows < FEWEST_ROWS:
        return f"it has only {rows} rows"
    return ""


__all__ = ["WEIGHTS", "Found", "order", "rank", "score", "stem", "topic_words", "words_of"]
