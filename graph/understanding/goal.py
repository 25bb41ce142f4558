"""The task in the intern's own words, its title, and the words that data is searched by."""

from __future__ import annotations

import re
from collections.abc import Sequence

from graph.names import TaskFamily
from graph.understanding.text import Text, plain_line
from graph.understanding.topics import Topic
from graph.understanding.vocabulary import EMPTY_WORDS, NOUN_MODIFIERS, TEXT_NOUNS, words

MAX_TITLE = 60
MAX_KEYWORDS = 12
_WORD = re.compile(r"[^\W\d_][\w'-]{2,30}")
_BY = re.compile(
    r"\b(?P<verb>by|according to|nach|par|por|selon|según|predict(?:s|ing)?|detect(?:s|ing)?"
    r"|recogni[sz]e[sd]?|spot(?:s|ting)?|estimate[sd]?)"
    r" (?:the |their |an? |which |its )?(?P<what>[^\W\d][\w-]{0,30}(?: [^\W\d][\w-]{0,30}){0,3})"
)
_ADJECTIVES = words(
    "positive negative neutral toxic clean safe unsafe urgent normal fake real relevant irrelevant "
    "offensive hateful harmless sarcastic serious"
    " happy angry sad good bad"
)
_BY_WORDS = ("by", "according to", "nach", "par", "por", "selon", "según")
_STOP_BY = EMPTY_WORDS | words("and in for mit using friday monday noon end month week next hand default")


def subject_of(text: Text, topics: Sequence[Topic]) -> str:
    """What is sorted, such as "product reviews"; from the sentence, else what the usual task is about."""
    tokens = re.findall(r"[\w-]+|[^\w\s]", text.low)
    for index, word in enumerate(tokens):
        if word not in TEXT_NOUNS or tokens[max(0, index - 1) : index] == ["or"]:
            continue
        phrase = [before for before in tokens[max(0, index - 2) : index] if before in NOUN_MODIFIERS]
        if phrase != tokens[index - len(phrase) : index]:
            phrase = []
        for head in tokens[index : index + 3]:  # "news headlines": the last noun is what is sorted
            if head not in TEXT_NOUNS:
                break
            phrase.append(head)
        return " ".join([*phrase[:-1], TEXT_NOUNS[phrase[-1]]])
    return next((topic.subject for topic in topics if topic.subject != "texts"), "texts")


def content_words(text: Text, without: Sequence[str] = ()) -> list[str]:
    """Words that say something about the task, in order, each once."""
    leave_out = EMPTY_WORDS | {w for named in without for w in re.findall(r"\w+", named.lower())}
    found = (m[0].strip("'-") for m in _WORD.finditer(text.low))
    return list(dict.fromkeys(w for w in found if w not in leave_out))


def keywords_of(content: Sequence[str], subject: str, topics: Sequence[Topic]) -> tuple[str, ...]:
    usual = [k for topic in topics for k in topic.keywords[:3]]
    rest = [k for topic in topics for k in topic.keywords[3:]]
    named = [] if subject == "texts" else [subject]
    own = [word for word in content if word not in subject.split()]
    return tuple(dict.fromkeys([*named, *usual, *own[:6], *rest]))[:MAX_KEYWORDS]


def goal_of(
    text: Text,
    family: TaskFamily | None,
    labels: Sequence[str],
    target: str | None,
    subject: str,
    topics: Sequence[Topic],
) -> str:
    verb, aspect = _aspect(text, topics)
    shown = _listed(labels)
    if family is TaskFamily.REGRESSION:
        goal = f"Predict {_the(target or aspect or 'a number')} from {subject}"
    elif family is TaskFamily.MULTILABEL:
        goal = (
            f"Tag {subject} with every one that fits of {shown}"
            if shown
            else f"Tag {subject} with every label that fits"
        )
    elif len(labels) == 2:
        other = labels[1].lower()
        within = "" if other in _ADJECTIVES or other.startswith(("posi", "nega", "néga")) else "in "
        goal = f"Tell {labels[0]} from {labels[1]} {within}{subject}"
    elif labels:
        goal = f"Sort {subject} into {shown}"
    elif family is TaskFamily.BINARY and any(t.two_sided for t in topics):
        goal = f"Detect {next(t.aspect for t in topics if t.two_sided)} in {subject}"
    elif target:
        goal = f"Sort {subject} by {target}"
    elif aspect and verb.startswith(("detect", "spot", "recogni")):
        goal = f"Detect {aspect} in {subject}"
    elif aspect and verb.startswith(("predict", "estimate")):
        goal = f"Predict {aspect} from {subject}"
    elif aspect:
        goal = f"Sort {subject} by {aspect}"
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


def _aspect(text: Text, topics: Sequence[Topic]) -> tuple[str, str]:
    """What the texts are sorted by, and the word that said so: a usual task's name, else the words after
    it."""
    usual = next((topic.aspect for topic in topics if topic.aspect), "")
    for match in text.all(_BY):
        said: list[str] = []
        for word in match["what"].split():
            if word in _STOP_BY or word in TEXT_NOUNS:
                break
            said.append(word)
        if not said or re.search(r"\bnot \Z", text.before(match.start())):
            continue
        named = " ".join(said[:3])
        known = next((topic.aspect for topic in topics if topic.aspect and topic.pattern.search(named)), "")
        if not usual or (match["verb"] in _BY_WORDS and not known):
            return match["verb"], known or named
        if match["verb"] in _BY_WORDS:
            return "", known
    return "", usual


def _the(what: str) -> str:
    return what if what.startswith(("a ", "an ", "the ")) else f"the {what}"


def _listed(labels: Sequence[str]) -> str:
    shown = list(labels[:6])
    if len(labels) > len(shown):
        return f"{', '.join(shown)} and {len(labels) - len(shown)} more"
    return f"{', '.join(shown[:-1])} and {shown[-1]}" if len(shown) > 1 else "".join(shown)
