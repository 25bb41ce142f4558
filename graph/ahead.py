"""Answers that a person gave before the question was asked. Recorded like any other, with who gave it and why."""

from __future__ import annotations

from graph.names import DecisionKind
from graph.state import Question, Request


def answer_ahead(question: Question, request: Request) -> tuple[str, str] | None:
    """``(value, why)``, or ``None`` when only a person can answer now."""
    if question.kind is DecisionKind.DATASET and question.named and len(_uses(question)) == 1:
        return "use:1", "the request named the data"
    if request.yes and question.default is not None:
        return question.default, "--yes"
    return None


def _uses(question: Question) -> list[str]:
    return [c.value for c in question.choices if c.value.startswith("use:")]
