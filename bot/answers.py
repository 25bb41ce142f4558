"""From what a person typed or clicked to a value that a question knows. Pure."""

from __future__ import annotations

import re

from graph.names import DecisionKind
from graph.state import Question

_YES = {"y", "yes", "ok", "okay", "go", "sure", "ja", "oui", "approve", "👍", "🚀"} | {
    "yes please",
    "yes, please",
    "go ahead",
    "please do",
    "do it",
}
_DECLINES = ("cancel", "keep", "give_up", "without_llm")
_COUNT = ("first", "second", "third", "fourth", "fifth")
_ORDINAL = re.compile(
    rf"(?:use |take |choose |pick )?(?:the )?(?P<number>{'|'.join(_COUNT)})(?: (?:one|(?P<data>data ?set|data)))?"
)
_NO = {"n", "no", "stop", "abort", "cancel", "nein", "non"}


def read_answer(question: Question, text: str) -> str | None:
    """The chosen value, or the text itself where the question takes free text; ``None`` when it fits nothing.

    A choice is named by its value, its label, its number from 1, or an ordinal ("the second one"). "Yes" means the
    first choice, "no" the one to cancel.
    """
    said = text.strip()
    low = said.casefold().rstrip(" .!")
    values = [c.value for c in question.choices]
    for choice in question.choices:
        if low in (choice.value.casefold(), choice.label.casefold()):
            return choice.value
    if low.isdecimal() and 1 <= int(low) <= len(values):
        return values[int(low) - 1]
    if counted := _counted(question, low):
        return counted
    if low in _YES and values:
        return values[0]
    if low in _NO:
        return next((v for v in values if v in _DECLINES), None)
    starts = [c.value for c in question.choices if low and c.value.casefold().startswith(low)]
    if len(starts) == 1:
        return starts[0]
    return said if question.free_text and said else None


def _counted(question: Question, text: str) -> str | None:
    """The choice that an ordinal means. Where data is asked for, data sets alone are counted; elsewhere, "the second
    data set" means none."""
    match = _ORDINAL.fullmatch(text)
    if match is None:
        return None
    values = [c.value for c in question.choices]
    if question.kind is DecisionKind.DATASET:
        values = [value for value in values if value.startswith("use:")]
    elif match["data"]:
        return None
    number = _COUNT.index(match["number"])
    return values[number] if number < len(values) else None
