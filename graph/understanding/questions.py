"""Questions that the intake asks. The id is a slug; the stage that asks puts the run before it.

Answers come back under the slug. A question whose answer cannot be read is asked again.
"""

from __future__ import annotations

from collections.abc import Iterable

from graph.names import DecisionKind, Stage, TaskFamily
from graph.state import Choice, Question

GOAL = "goal"  # the slug of what is to be learned
GOALS = {
    "sentiment": "Tell positive from negative product reviews.",
    "intent": "Sort customer support requests by intent.",
    "spam": "Tell spam from ham in text messages.",
    "toxicity": "Detect toxic comments.",
}
FAMILY_NAMES = {
    TaskFamily.BINARY: "one of two classes",
    TaskFamily.MULTICLASS: "one of several classes",
    TaskFamily.MULTILABEL: "several labels at once",
    TaskFamily.REGRESSION: "a number",
}
METRIC_NAMES = {
    "macro_f1": "Macro-F1: every class counts the same",
    "accuracy": "Accuracy: share of right answers",
    "rmse": "RMSE: large errors weigh more",
    "mae": "MAE: average error",
    "recall": "Recall: miss as few as possible",
    "precision": "Precision: raise few false alarms",
}


def ask(
    slug: str, text: str, choices: Iterable[Choice], *, default: str | None = None, free_text: bool = True
) -> Question:
    return Question(
        id=slug,
        kind=DecisionKind.CLARIFY,
        stage=Stage.INTAKE,
        text=text,
        choices=(*choices, Choice("cancel", "Cancel", style="danger")),
        default=default,
        free_text=free_text,
        back_to=Stage.INTAKE,
    )


def ask_goal() -> Question:
    choices = (
        Choice("sentiment", "Sentiment of reviews", "positive or negative"),
        Choice("intent", "Intent of requests", "what a customer wants"),
        Choice("spam", "Spam", "spam or not"),
        Choice("toxicity", "Toxic comments", "toxic or not"),
    )
    text = (
        "What should the model tell about a text? Choose one, or write it as a sentence, such as "
        '"Sort our support tickets by urgency, the data is in tickets.csv".'
    )
    return ask(GOAL, text, choices)


def ask_family(quotes: Iterable[str], families: Iterable[TaskFamily]) -> Question:
    choices = (Choice(family.value, FAMILY_NAMES[family].capitalize()) for family in families)
    return ask("family", f"You wrote {_both(quotes)}: what should the model give for a text?", choices)


def ask_metric(text: str, names: Iterable[str]) -> Question:
    choices = (Choice(name, METRIC_NAMES.get(name, name.replace("_", " "))) for name in names)
    return ask("metric", text, choices)


def ask_which(
    slug: str, what: str, values: Iterable[tuple[str, str]], default: str | None = None
) -> Question:
    """One of several values that contradict each other; ``values``: what is answered, and how it is shown."""
    choices = [Choice(value, shown) for value, shown in values]
    return ask(
        slug,
        f"You gave {_both(c.label for c in choices)} as {what}: which one holds?",
        choices,
        default=default,
    )


def _both(quotes: Iterable[str]) -> str:
    return " and ".join(f'"{quote}"' for quote in dict.fromkeys(quotes))
