"""From what a person typed or clicked to a value that a question knows. Pure."""

from __future__ import annotations

import re

from graph.state import Question

_YES = {"y", "yes", "ok", "okay", "go", "sure", "ja", "oui", "approve", "👍", "🚀"}
_DECLINES = ("cancel", "keep", "give_up", "without_llm")
_NO = {"n", "no", "stop", "abort", "cancel", "nein", "non"}


def read_answer(question: Question, text: str) -> str | None:
    """The chosen value, or the text itself where the question takes free text; ``None`` when it fits nothing.

    A choice is named by its value, its label, its number from 1, or an ordinal ("the second one"). "Yes" means the
    first choice, "no" the one to cancel.
    """
    said = text.strip()
    low = said.casefold().rstrip(".!")
    values = [c.value for c in question.choices]
    for choice in question.choices:
        if low in (choice.value.casefold(), choice.label.casefold()):
            return choice.value
    if low.isdecimal() and 1 <= int(low) <= len(values):
        return values[int(low) - 1]
    if (number := _ordinal(low)) is not None and number <= len(values):
        return values[number - 1]
    if low in _YES and values:
        return values[0]
    if low in _NO:
        return next((v for v in values if v in _DECLINES), None)
    starts = [c.value for c in question.choices if low and c.value.casefold().startswith(low)]
    if len(starts) == 1:
        return starts[0]
    return said if question.free_text and said else None


def _ordinal(text: str) -> int | None:
    match = re.fullmatch(
        r"(?:use |take |choose |pick )?(?:the )?(first|second|third|fourth|fifth)(?: (?:one|data set|dataset))?",
        text,
    )
    return ("first", "second", "third", "fourth", "fifth").index(match[1]) + 1 if match else None
