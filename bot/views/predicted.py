"""What a model said of a text, in words: one class, several labels, or a number. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from bot.views import words
from bot.views.payload import Payload

OTHERS = 3  # next likely classes
UNSURE = 0.5  # a confidence below is worth a word
UNLIKE = "This text is unlike what the model was trained on: do not trust the answer."


@dataclass(frozen=True, slots=True)
class Predicted:
    text: str
    label: str  # "positive"; "web 72.1 %, mail 27.9 %"; "4.5"; "no label"
    confidence: str  # "93.4 %"; "" where each label has its own, or none has one
    others: str  # the next likely ones
    warnings: tuple[str, ...]

    @property
    def line(self) -> str:
        return f"{self.label}  {self.confidence}".strip()


def predicted(answer: Payload) -> Predicted:
    """``answer``: ``{"text", "label", "confidence", "scores", "unlike_training"}``, as the job says it."""
    scores = answer.part("scores").numbers()
    given = answer.data.get("label")
    several = isinstance(given, list | tuple)
    chosen = answer.texts("label") if several else (answer.text("label"),)
    confidence = None if several else answer.number("confidence")
    number = answer.number("label")
    if several:
        label = ", ".join(f"{name} {_percent(scores.get(name))}".strip() for name in chosen) or "no label"
    else:
        label = words.number(number) if number is not None else chosen[0] or "no label"
    others = [(name, share) for name, share in _ranked(scores) if name not in chosen][:OTHERS]
    unsure = confidence is not None and confidence < UNSURE
    return Predicted(
        answer.text("text"),
        label,
        _percent(confidence),
        ", ".join(f"{name} {_percent(share)}" for name, share in others),
        (
            *((UNLIKE,) if answer.flag("unlike_training") else ()),
            *(("The model is not sure.",) if unsure else ()),
        ),
    )


def _ranked(scores: dict[str, float]) -> list[tuple[str, float]]:
    return sorted(scores.items(), key=lambda pair: -pair[1])


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f} %"
