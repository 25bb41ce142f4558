"""Events as lines: what one line holds, and what several that come together hold."""

from __future__ import annotations

import json
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remote.protocol import MAX_LINE_BYTES, JobEvent, JobEventType, decode, decode_all, finite, together

VALUES = st.none() | st.integers() | st.floats() | st.text() | st.dictionaries(st.text(), st.floats())
FIELDS = st.dictionaries(st.sampled_from(["step", "metrics", "detail"]), VALUES)


def event(seq: int, **fields: Any) -> JobEvent:
    return JobEvent(seq, "2026-01-01T00:00:00.000+00:00", JobEventType.PROGRESS, "train", fields)


@given(FIELDS, st.text())
def test_a_line_holds_the_event_and_no_number_that_json_lacks(fields: dict[str, Any], stage: str) -> None:
    said = JobEvent(3, "now", JobEventType.PROGRESS, stage, fields)
    line = said.encode()
    assert len(line.splitlines()) == 1
    assert decode(line) == JobEvent(3, "now", JobEventType.PROGRESS, stage, finite(fields))


@pytest.mark.parametrize(
    ("value", "arrives"),
    [
        ({"loss": float("nan")}, {"loss": None}),
        (MappingProxyType({"loss": 0.5}), {"loss": 0.5}),
        ((1, float("-inf")), [1, None]),
        ({1: "one"}, {"1": "one"}),
        ("a\x85b\u2028c\u2029d", "a\x85b\u2028c\u2029d"),
    ],
    ids=["nan", "mapping", "tuple", "number as a name", "ends of lines"],
)
def test_what_needs_care_is_said_as_well(value: Any, arrives: Any) -> None:
    assert json.loads(event(0, metrics=value).encode())["metrics"] == arrives


def test_a_long_detail_is_cut_and_longer_data_and_half_a_letter_are_refused() -> None:
    assert len(event(0, detail="ä" * MAX_LINE_BYTES).encode().encode()) < MAX_LINE_BYTES
    for data, why in ((["x" * 1000] * 100, "artifact"), ("\ud800", "surrogates")):
        with pytest.raises(ValueError, match=why):
            event(0, data=data).encode()


@given(st.lists(st.text(max_size=300), max_size=30), st.integers(1, 2000))
def test_events_that_come_together_share_lines_and_stay_in_order(texts: list[str], at_most: int) -> None:
    said = [event(seq, detail=text) for seq, text in enumerate(texts)]
    encoded = [each.encode().encode() for each in said]
    lines = list(together(encoded, at_most))
    assert all(len(line) <= at_most or line in encoded for line in lines)
    assert [each for line in lines for each in decode_all(line.decode())] == said
    firsts = [decode_all(line.decode())[0].encode().encode() for line in lines]
    for line, first in zip(lines, firsts[1:], strict=False):  # it would not have had its place there
        brackets = 0 if line.startswith(b"[") else 2
        assert len(line) + brackets + len(b",") + len(first) > at_most


def test_what_is_no_event_among_several_is_left_out() -> None:
    first, last = event(0, step=1), event(1, step=2)
    others = ["7", "null", '"text"', "[]", "{}", '{"v":2}', first.encode().replace("progress", "nonsense")]
    assert decode_all(f"[{','.join([first.encode(), *others, last.encode()])}]") == [first, last]


@given(st.text())
@pytest.mark.parametrize("start", ["", "[", "{", '[{"v":1,', "[" * 20_000])
def test_reading_never_raises(start: str, rest: str) -> None:
    assert decode_all(start + rest) == []


def test_a_line_that_is_too_long_is_not_read() -> None:
    many = [event(seq, detail="x" * 1000).encode() for seq in range(65)]
    assert decode_all(f"[{','.join(many)}]") == []
    assert len(decode_all(f"[{','.join(many[:50])}]")) == 50
