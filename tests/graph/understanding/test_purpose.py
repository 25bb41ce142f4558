"""What the model is for, as far as licences care."""

from __future__ import annotations

import pytest

from graph.state import Request
from graph.understanding.read import understand

TASK = "Sort our support tickets by intent."


@pytest.mark.parametrize(
    ("words", "purpose", "quote"),
    [
        ("It is for commercial use.", "commercial", "commercial use"),
        ("We want to sell it as a service.", "commercial", "to sell it"),
        ("It goes into our product.", "commercial", "into our product"),
        ("Paying customers will use it.", "commercial", "Paying customers"),
        ("This is for non-commercial use only.", "non-commercial", "non-commercial"),
        ("It is not for commercial use.", "non-commercial", "not for commercial"),
        ("It's for my master's thesis.", "non-commercial", "master's thesis"),
        ("Only for internal use.", "internal", "for internal use"),
        ("Das Modell wird nur intern genutzt.", "internal", "nur intern"),
    ],
)
def test_read_from_the_words(words: str, purpose: str, quote: str) -> None:
    task = understand(Request(f"{TASK} {words}")).task
    assert task is not None
    assert task.purpose == purpose
    (reading,) = [r for r in task.understood if r.field == "use"]
    assert quote in reading.quote


@pytest.mark.parametrize(
    "words",
    ["", "The data are product reviews.", "They come from our product team.", "Mind research tickets."],
)
def test_assumed_and_shown_where_nothing_is_said(words: str) -> None:
    task = understand(Request(f"{TASK} {words}")).task
    assert task is not None
    assert task.purpose == "internal"
    (reading,) = [r for r in task.assumed if r.field == "use"]
    assert reading.why
