"""What to ask the Hub's search for a task: few questions that are unlike each other. Pure.

The Hub matches all words of a query against names, so queries are short. Names often say nothing ("b77"), so tags are
asked too: the tag of the task's kind, and its keywords as tags, with the language where one is named.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from graph.names import TaskFamily
from graph.research.words import LANGUAGES, topic_words
from graph.state import TaskSpec

NAMES = 5  # queries by name
TAGS = 3  # queries by tag
PAGE = 50  # data sets an answer
ANY_KIND = "task_categories:text-classification"
_KINDS: Mapping[str, str] = {
    "sentiment": "task_ids:sentiment-classification",
    "intent": "task_ids:intent-classification",
    "topic": "task_ids:topic-classification",
    "hate": "task_ids:hate-speech-detection",
    "toxicity": "task_ids:hate-speech-detection",
    "language": "task_ids:language-identification",
    "fake": "task_ids:fact-checking",
}


@dataclass(frozen=True, slots=True)
class Query:
    """``text``: words that stand in the name. ``tags``: all of which the data set has. ``author``: whose it is."""

    text: str = ""
    tags: tuple[str, ...] = ()
    author: str = ""
    limit: int = field(default=PAGE)

    def params(self) -> dict[str, object]:
        return {"search": self.text, "filter": list(self.tags), "author": self.author, "limit": self.limit}


def queries(task: TaskSpec) -> tuple[Query, ...]:
    """The most telling first."""
    language = task.constraints.language
    spoken = LANGUAGES.get(language or "", "")
    keywords = [_without(keyword.strip().casefold(), spoken) for keyword in task.keywords]
    keywords = list(dict.fromkeys(keyword for keyword in keywords if keyword))
    pairs = [f"{keywords[0]} {keywords[1]}"] if len(keywords) > 1 else []
    words = sorted(topic_words(task), key=lambda word: (-topic_words(task)[word], word))
    foreign = [f"{spoken} {words[0]}"] if spoken not in ("", "english") and words else []
    names = list(dict.fromkeys([*foreign, *keywords[:1], *pairs, *words[:3], *keywords[1:], *words[3:]]))
    tongue = (f"language:{language}",) if language else ()
    tagged = [(tag, *tongue) for tag in dict.fromkeys(_tags(task, keywords))]
    return (
        *(Query(text=name) for name in names[:NAMES]),
        *(Query(tags=tags) for tags in tagged[:TAGS]),
    )


def _tags(task: TaskSpec, keywords: list[str]) -> list[str]:
    told = " ".join(keywords).split()
    kinds = [tag for word, tag in _KINDS.items() if word in told]
    if task.family is TaskFamily.MULTILABEL:
        kinds.insert(0, "task_ids:multi-label-classification")
    if task.family is TaskFamily.REGRESSION:
        kinds.insert(0, "task_ids:text-scoring")
    spoken = task.constraints.language not in (None, "en")
    anything = [ANY_KIND] if spoken else []  # of another language there is little enough to look at all of it
    return [*kinds[:1], *anything, *keywords[:2], *kinds[1:]]


def _without(keyword: str, word: str) -> str:
    return " ".join(part for part in keyword.split() if part != word)
