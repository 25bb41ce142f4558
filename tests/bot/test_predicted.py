"""What a model said of a text, in words."""

from __future__ import annotations

from typing import Any

import pytest

from bot.cards import Fields
from bot.views.answers import predictions_card
from bot.views.payload import Payload
from bot.views.predicted import UNLIKE, predicted

ONE = {"label": "spam", "confidence": 0.934, "scores": {"spam": 0.934, "ham": 0.066}}
SEVERAL = {"label": ["web", "late"], "confidence": 0.279, "scores": {"web": 0.721, "late": 0.279, "new": 0.1}}


@pytest.mark.parametrize(
    ("answer", "line", "others"),
    [
        (ONE, "spam  93.4 %", "ham 6.6 %"),
        (SEVERAL, "web 72.1 %, late 27.9 %", "new 10.0 %"),
        ({"label": [], "confidence": 0.9, "scores": {"web": 0.1}}, "no label", "web 10.0 %"),
        ({"label": 4.5, "confidence": None, "scores": {}}, "4.500", ""),
        ({"label": 4.0}, "4", ""),
        ({}, "no label", ""),
    ],
)
def test_each_kind_of_answer_has_its_words(answer: dict[str, Any], line: str, others: str) -> None:
    said = predicted(Payload({"text": "t", **answer}))
    assert (said.line, said.others, said.warnings) == (line, others, ())


def test_it_says_when_not_to_trust_an_answer() -> None:
    said = predicted(Payload({**ONE, "confidence": 0.4, "unlike_training": True}))
    assert said.warnings == (UNLIKE, "The model is not sure.")


@pytest.mark.parametrize("answer", [ONE, SEVERAL, {"label": 4.5, "scores": {}}])
def test_a_chats_card_holds_every_kind_of_answer(answer: dict[str, Any]) -> None:
    card = predictions_card("r1", [{"text": "t", **answer}])
    (fields,) = [block for block in card.blocks if isinstance(block, Fields)]
    assert dict(fields.items)["Answer"] == predicted(Payload(answer)).label
    assert all(value for _, value in fields.items)
    assert card.fallback
