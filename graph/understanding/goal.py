"""The task in the intern's own words, its title, and the words that data is searched by."""

from __future__ import annotations

import re
from collections.abc import Sequence

from graph.names import TaskFamily
from graph.understanding.text import Text, plain_line
from graph.understanding.topics import Topic
from graph.understanding.vocabulary import EMPTY_WORDS, NOUN_MODIFIERS, TEXT_NOUNS

MAX_TITLE = 60
MAX_KEYWORDS = 12
_WORD = re.compile(r"[^\W\d_][\w'-]{2,30}")
_BY = re.compile(
    r"\b(?:by|according to|nach|par|por|selon|según|predict(?:s|ing)?|detect(?:s|ing)?|recogni[sz]e[sd]?|spot(?:s|ting)?|estimate[sd]?)"
    r" (?:the |their |an? |which |its )?([^\W\d][\w-]{0,30}(?: [^\W\d][\w-]{0,30}){0,3})"
)
_ADJECTIVES = frozenset(
    "positive negative neutral toxic clean safe unsafe urgent normal fake real relevant irrelevant offensive hateful harmless sarcastic serious"
    " happy angry sad good bad".split()
)
_STOP_BY = EMPTY_WORDS | {"and", "in", "for", "mit", "using"}


def subject_of(text: Text, topics: Sequence[Topic]) -> str:
    """What is sorted, such as "product reviews"; from the sentence, else what the usual task is about."""
    words = [(m[0], m.start()) for m in re.finditer(r"[\w-]+", text.low)]
    for index, (word, _) in enumerate(words):
        if word not in TEXT_NOUNS or (word == "question" and "or" in (w for w, _ in words[index - 1 : index])):
            continue
        modifiers: list[str] = []
        for before, _ in reversed(words[max(0, index - 2) : index]):
            if before not in NOUN_MODIFIERS:
                break
            modifiers.insert(0, before)
        return " ".join([*modifiers, TEXT_NOUNS[word]])
    return next((topic.subject for topic in topics if topic.subject != "texts"), "texts")


def content_words(text: Text, without: Sequence[str] = ()) -> list[str]:
    """Words that say something about the task, in order, each once."""
    leave_out = EMPTY_WORDS | {w for words in without for w in re.findall(r"\w+", words.lower())}
    found = (m[0].strip("'-") for m in _WORD.finditer(text.low))
    return list(dict.fromkeys(w for w in found if w not in leave_out))


def keywords_of(words: Sequence[str], subject: str, topics: Sequence[Topic]) -> tuple[str, ...]:
    usual = [k for topic in topics for k in topic.keywords[:3]]
    rest = [k for topic in topics for k in topic.keywords[3:]]
    named = [] if subject == "texts" else [subject]
    own = [word for word in words if word not in subject.split()]
    return tuple(dict.fromkeys([*named, *usual, *own[:6], *rest]))[:MAX_KEYWORDS]


def goal_of(
    text: Text, family: TaskFamily | None, labels: Sequence[str], target: str | None, subject: str, topics: Sequence[Topic]
) -> str:
    aspect = _aspect(text, topics)
    shown = _listed(labels)
    if family is TaskFamily.REGRESSION:
        goal = f"Predict {_the(target or aspect or 'a number')} from {subject}"
    elif family is TaskFamily.MULTILABEL:
        goal = f"Tag {subject} with every one that fits of {shown}" if shown else f"Tag {subject} with every label that fits"
    elif len(labels) == 2:
        within = "" if labels[1].lower() in _ADJECTIVES else "in "
        goal = f"Tell {labels[0]} from {labels[1]} {within}{subject}"
    elif labels:
        goal = f"Sort {subject} into {shown}"
    elif family is TaskFamily.BINARY and any(t.two_sided for t in topics):
        goal = f"Detect {next(t.aspect for t in topics if t.two_sided)} in {subject}"
    elif target or aspect:
        goal = f"Sort {subject} by {target or aspect}"
    else:
        goal = f"Sort {subject} into classes"
    return plain_line(goal, 200)


def title_of(goal: str) -> str:
    """``goal``, cut at a word where it is longer than :data:`MAX_TITLE`."""
    line = plain_line(goal, 1000)
    if len(line) <= MAX_TITLE:
        return line
    cut = line[: MAX_TITLE - 1]
    return (cut.rsplit(" ", 1)[0] if " " in cut[20:] else cut).rstrip(" ,") + "…"


def _aspect(text: Text, topics: Sequence[Topic]) -> str:
    usual = next((topic.aspect for topic in topics if topic.aspect), "")
    for match in text.all(_BY):
        words: list[str] = []
        for word in match[1].split():
            if word in _STOP_BY or word in TEXT_NOUNS:
                break
            words.append(word)
        if words and not usual:
            return " ".join(words[:3])
    return usual


def _the(what: str) -> str:
    return what if what.startswith(("a ", "an ", "the ")) else f"the {what}"


def _listed(labels: Sequence[str]) -> str:
    shown = list(labels[:6])
    if len(labels) > len(shown):
        return f"{', '.join(shown)} and {len(labels) - len(shown)} more"
    return f"{', '.join(shown[:-1])} and {shown[-1]}" if len(shown) > 1 else "".join(shown)
