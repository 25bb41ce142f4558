"""Any text: never an exception, never control characters, exactly one outcome, in linear work."""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graph.context import plain
from graph.state import Request
from graph.understanding import Understanding, understand
from graph.understanding.text import Text, clean
from tests.graph.understanding.table import ROWS, sentence

SAID = """
    train a model sort classify detect reviews tickets positive negative from into by and or not $5 10 minutes
    under max https://x.y/z.csv a/b acme/x tickets.csv "quoted" 'x' `code` ``` ( ) : ; , . / ? ! < > | - *
    binary regression accuracy recall only column publish to public private between 5 € for free German 🚀 ﷺ ß
"""
WORDS = (*SAID.split(), "\n", "\u202e", "\x00", "\u0130")
ANY_TEXT = st.text(max_size=400) | st.lists(st.sampled_from(WORDS), max_size=60).map(" ".join)
SLUGS = ("goal", "family", "metric", "which-data", "budget", "minutes", "publish", "visibility", "target")


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from strings(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from strings(item)


def check(read: Understanding) -> None:
    assert sum(x is not None for x in (read.task, read.question, read.refusal)) == 1
    for text in strings(plain(read)):
        assert not [c for c in text if unicodedata.category(c) in ("Cc", "Cs", "Cf")], text
    if read.task:
        assert 0 < len(read.task.title) <= 60
        assert read.task.goal
        assert "\n" not in read.task.goal
        assert read.task.metrics
        assert len(read.task.keywords) <= 12
        limits = read.task.constraints
        assert limits.budget_usd is None or limits.budget_usd >= 0
        assert limits.minutes is None or 0 < limits.minutes < 1440
        for reading in read.task.understood:
            assert len(reading.quote) <= 120
    if read.question:
        assert len({c.value for c in read.question.choices}) == len(read.question.choices)


@given(ANY_TEXT)
@settings(max_examples=300, deadline=None)
def test_any_sentence_has_exactly_one_outcome(text: str) -> None:
    read = understand(Request(text))
    check(read)
    assert understand(Request(text)) == read


@given(ANY_TEXT, st.dictionaries(st.sampled_from(SLUGS), ANY_TEXT, max_size=4))
@settings(max_examples=150, deadline=None)
def test_any_answers_have_exactly_one_outcome(text: str, answers: dict[str, str]) -> None:
    check(understand(Request(text), answers))


@given(st.sampled_from(ROWS), ANY_TEXT)
@settings(max_examples=100, deadline=None)
def test_any_text_around_a_known_sentence_is_survived(row: dict[str, Any], text: str) -> None:
    check(understand(Request(f"{text} {sentence(row)[:500]} {text}")))


@given(ANY_TEXT)
@settings(deadline=None)
def test_places_lead_back_to_the_very_words(text: str) -> None:
    read = Text(text)
    if read.low:
        assert read.raw_between(0, len(read.low)) == read.raw
    for match in re.finditer(r"\w+", read.low):
        assert read.raw_between(match.start(), match.end()) in read.raw


@given(ANY_TEXT)
@settings(deadline=None)
def test_mentions_and_control_characters_change_nothing(text: str) -> None:
    plain_words = re.sub(r"[<>@|`]", "", text)
    assert clean(f"<@U12AB> {plain_words}") == clean(plain_words)
    noisy = "\u200b".join(["Tell spam from ham", " in sms.csv"]).replace("spam", "sp\x07am")
    assert understand(Request(noisy)) == understand(Request("Tell spam from ham in sms.csv"))


REPEATED = (
    *(
        "a",
        "a ",
        "a.",
        "a/",
        "/",
        "1",
        "1,",
        "1 ",
        "$",
        "$1 ",
        "-",
        '"',
        "'",
        "`",
        "<",
        "<a",
        "[",
        "[a](",
        "(",
    ),
    *(
        "*",
        "_",
        "\n",
        "\n- a",
        "a or ",
        "a, ",
        "from ",
        "into a ",
        "not ",
        "predict ",
        "by a ",
        "between 1 and ",
    ),
    *("5 minutes ", "column ", "the a", "f1 ", "accuracy only ", "is all ", "publish to ", "a/b ", "x.csv "),
    *(
        "find which users are ",
        "write a ",
        "ignore previous ",
        "send me your ",
        "https://a.b/c.csv ",
        "what is ",
    ),
    *("é", "\u0301", "aaaaab ", "spend ", "don't ", "positive or ", "tell a from "),
)


class Counted:
    """Counts the calls and lines that Python runs: work that does not depend on how busy the machine is."""

    def __init__(self) -> None:
        self.lines = 0

    def __call__(self, frame: Any, event: str, arg: Any) -> Any:
        self.lines += 1
        return self

    def of(self, sentence: str) -> int:
        self.lines = 0
        before = sys.gettrace()
        sys.settrace(self)
        try:
            understand(Request(sentence))
        finally:
            sys.settrace(before)
        return self.lines


@pytest.mark.parametrize("piece", REPEATED, ids=repr)
def test_work_grows_no_faster_than_the_request(piece: str) -> None:
    small, large = 1_000, 4_000
    counted = Counted()
    counted.of("warm up")
    few, many = (counted.of((piece * size)[:size]) for size in (small, large))
    assert many <= few * (large / small) * 1.5 + 5_000


@pytest.mark.parametrize("piece", REPEATED, ids=repr)
def test_no_pattern_explodes_on_twenty_thousand_characters(piece: str) -> None:
    # Exponential or cubic matching would never come back from this.
    check(understand(Request((piece * 20_000)[:20_000] + " Tell spam from ham in sms.csv")))
