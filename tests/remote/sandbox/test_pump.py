"""Cutting a job's output into events and log."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remote.protocol import MAX_LINE_BYTES, JobEventType
from remote.sandbox import pump
from remote.sandbox.pump import Events, Lines, Log
from remote.sandbox.tail import Tail, announced

OK = b'{"v":1,"seq":0,"t":"t","type":"progress","stage":"s","step":%d}'


@given(st.lists(st.binary(max_size=40)), st.integers(1, 7))
def test_lines_do_not_depend_on_how_the_stream_is_cut(lines: list[bytes], size: int) -> None:
    expected = [line.replace(b"\n", b"") for line in lines]
    stream = b"".join(line + b"\n" for line in expected)
    cutter = Lines()
    found = [
        line
        for at in range(0, len(stream), size)
        for line, whole in cutter.feed(stream[at : at + size])
        if whole
    ]
    assert found == expected
    assert list(cutter.end()) == []


@given(st.lists(st.tuples(st.booleans(), st.text("{x\n", max_size=12)), max_size=12))
def test_what_is_passed_on_is_the_same_text(parts: list[tuple[bool, str]]) -> None:
    slow, quick = Lines(), Lines()
    one, two = b"", b""
    for whole, text in parts:
        data = text.encode()
        one += b"".join(line + b"\n" for line, _ in slow.feed(data))
        two += b"".join(line + b"\n" for line, _ in (quick.feed(data) if whole else quick.pass_on(data)))
    one += b"".join(line for line, _ in slow.end())
    two += b"".join(line for line, _ in quick.end())
    assert one == two


def test_the_last_lines_are_remembered_however_they_come(tmp_path: Path) -> None:
    log = Log(tmp_path / "log.txt")
    log.remember(b"\n".join(b"%d" % n for n in range(100)))
    log.remember(b"the last")
    log.close()
    assert log.last_lines().splitlines() == [*(str(n) for n in range(61, 100)), "the last"]


def test_an_overlong_line_comes_in_pieces_and_the_next_one_is_whole() -> None:
    cutter = Lines()
    pieces = [p for _ in range(100) for p in cutter.feed(b"x" * 10_000)]
    pieces += list(cutter.feed(b"end\nnext\n"))
    assert [whole for _, whole in pieces[:-1]] == [False] * (len(pieces) - 1)
    assert pieces[-1] == (b"next", True)
    assert sum(len(piece) for piece, _ in pieces[:-1]) == 1_000_003
    assert max(len(piece) for piece, _ in pieces) <= MAX_LINE_BYTES + 10_000


def test_a_line_of_exactly_the_limit_is_whole() -> None:
    at_limit = b"x" * MAX_LINE_BYTES
    assert list(Lines().feed(at_limit + b"\n")) == [(at_limit, True)]
    assert list(Lines().feed(at_limit + b"y\n")) == [(at_limit + b"y", False)]


def test_log_keeps_head_and_tail(tmp_path: Path) -> None:
    log = Log(tmp_path / "log.txt")
    log.write(b"first\n")
    piece = b"." * 1023 + b"\n"
    for _ in range((pump.LOG_HEAD_BYTES + 3 * pump.LOG_TAIL_BYTES) // 65_536):
        log.write(piece * 64)
    log.write(b"last\n")
    log.close()
    text = (tmp_path / "log.txt").read_bytes()
    assert text.startswith(b"first\n")
    assert text.endswith(b"last\n")
    assert b"bytes of log left out" in text
    assert len(text) <= pump.LOG_HEAD_BYTES + pump.LOG_TAIL_BYTES + 70_000


def test_events_are_numbered_and_read_back_while_they_grow(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    events, tail = Events(path, ("s", "last"), lambda: "now"), Tail(path)
    assert tail.read() == []
    assert events.take(OK % 1)
    assert events.take(OK % 2)
    assert not events.take(b"{}")
    assert not events.take(b'\xff{"v":1}')
    assert tail.read() == []  # nothing is on disk before the flush
    events.flush()
    assert [(e.seq, e.fields["step"]) for e in tail.read()] == [(0, 1), (1, 2)]
    events.add(JobEventType.FAILED, "s", {"kind": "timeout", "detail": "x"})
    events.close()
    assert [(e.seq, e.t) for e in tail.read()] == [(2, "now")]


def test_a_torn_last_line_waits_for_its_end(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    line = OK % 1 + b"\n"
    path.write_bytes(line + line[:20])
    tail = Tail(path)
    assert len(tail.read()) == 1
    assert tail.read() == []
    with path.open("ab") as file:
        file.write(line[20:])
    assert [event.fields["step"] for event in tail.read()] == [1]


def test_a_flood_of_events_is_bounded_but_its_outcome_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pump, "EVENTS_BYTES", 10_000)
    events = Events(tmp_path / "e", ("s",), lambda: "now")
    for step in range(1000):
        events.take(OK % step)
        events.flush()
    events.take(b'{"v":1,"seq":0,"t":"t","type":"result","stage":"s","data":{"n":1}}')
    events.close()
    read = Tail(tmp_path / "e").read()
    assert events.dropped == 1000 - (len(read) - 1) > 0
    assert read[-1].fields == {"data": {"n": 1}}
    assert (tmp_path / "e").stat().st_size < 10_500


def test_the_last_word_on_an_artifact_counts(tmp_path: Path) -> None:
    path = tmp_path / "e"
    line = '{"v":1,"seq":%d,"t":"t","type":"artifact","stage":"s","path":"a","sha256":"%s"}\n'
    path.write_text(line % (0, "old") + line % (1, "new") + "torn")
    shas, last = announced(path)
    assert shas == {"a": "new"}
    assert last is not None
    assert last.seq == 1
