"""What a form's fields mean for a request. Pure; a surface draws the form in its own way."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from bot.errors import UsageError

METRICS = (
    ("macro_f1", "macro-F1: every class counts the same"),
    ("accuracy", "Accuracy: the share of right answers"),
    ("recall", "Recall: miss as few as possible"),
    ("precision", "Precision: as few false alarms as possible"),
    ("rmse", "RMSE: for numbers"),
)
FIELDS = ("data", "metric", "budget", "minutes", "target", "text")


def request_fields(fields: Mapping[str, str]) -> dict[str, Any]:
    """Fields of :class:`graph.state.Request`. Raises UsageError, in a sentence, for what is no number."""
    found: dict[str, Any] = {}
    if data := fields.get("data", "").strip():
        found["data"] = data
    for name, key in (("target", "target"), ("text", "text_column")):
        if value := fields.get(name, "").strip():
            found[key] = value
    for name, key, unit in (("budget", "budget_usd", "US dollars"), ("minutes", "minutes", "minutes")):
        if said := fields.get(name, "").strip():
            found[key] = _number(said, name, unit)
    return found


def sentence_of(goal: str, metric: str) -> str:
    """The goal with the metric that the form names, as one request."""
    names = {"macro_f1": "macro-F1", "rmse": "RMSE"}
    goal = goal.strip()
    if not metric:
        return goal
    return f"{goal}{'' if goal.endswith(('.', '!', '?')) else '.'} I care about {names.get(metric, metric)}."


def field_problems(fields: Mapping[str, str]) -> dict[str, str]:
    """``field -> sentence`` for a form that can show what is wrong beside the field."""
    found = {}
    for name, unit in (("budget", "US dollars"), ("minutes", "minutes")):
        if said := fields.get(name, "").strip():
            try:
                _number(said, name, unit)
            except UsageError as error:
                found[name] = str(error)
    return found


def _number(said: str, name: str, unit: str) -> float:
    match = re.fullmatch(r"\$?\s*(\d{1,7}(?:[.,]\d{1,4})?)\s*(?:usd|\$|min(?:utes?)?)?", said.casefold())
    if not match:
        raise UsageError(
            f"{name.capitalize()} has to be a number of {unit}, such as 10; {said[:40]!r} is not."
        )
    return float(match[1].replace(",", "."))
