from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.chat.commands import Command, read_command
from bot.chat.incoming import Kind

RUN = "r7k2m9x"


@pytest.mark.parametrize(
    ("text", "kind", "run_id", "rest"),
    [
        ("help", Kind.HELP, "", ""),
        ("  RUNS ", Kind.RUNS, "", ""),
        ("status", Kind.STATUS, "", ""),
        (f"status {RUN}", Kind.STATUS, RUN, ""),
        (f"cancel `{RUN}`", Kind.CANCEL, RUN, ""),
        (f"try {RUN} free money, now", Kind.TRY, RUN, "free money, now"),
        ("help me sort our tickets by intent", Kind.START, "", "help me sort our tickets by intent"),
        ("try to sort our tickets by intent", Kind.START, "", "try to sort our tickets by intent"),
        ("cancel culture: sort tweets by stance", Kind.START, "", "cancel culture: sort tweets by stance"),
        ("status updates sorted by topic please", Kind.START, "", "status updates sorted by topic please"),
        ("hello world texts: sort by mood", Kind.START, "", "hello world texts: sort by mood"),
        ("训练一个模型区分正面和负面评论", Kind.START, "", "训练一个模型区分正面和负面评论"),
        ("Сортируй отзывы по тональности", Kind.START, "", "Сортируй отзывы по тональности"),
    ],
)
def test_commands_and_sentences_are_told_apart(text: str, kind: Kind, run_id: str, rest: str) -> None:
    read = read_command(text)
    assert read is not None
    assert (read.kind, read.run_id, read.text, read.problem) == (kind, run_id, rest, "")


@pytest.mark.parametrize(
    "text",
    [
        *("cancel", "try", f"try {RUN}", "cancel something", "frobnicate", "dashboard"),
        *("🎉🎉🎉", "?!", "12345", "Привет", "你好"),
    ],
)
def test_what_starts_nothing_says_why(text: str) -> None:
    read = read_command(text)
    assert read is not None
    assert read.kind is Kind.HELP
    assert read.problem


@pytest.mark.parametrize(
    "text",
    [
        *("hello", "hi there", "Thanks!", "thank you so much", "who are you?", "what can you do for me?"),
        *("Help me, please", "¿Qué puedes hacer?"),
    ],
)
def test_small_talk_is_answered_with_what_can_be_said(text: str) -> None:
    assert read_command(text) == Command(Kind.HELP)


def test_nothing_typed_asks_for_a_form() -> None:
    assert read_command("  \n") is None


@given(st.text())
def test_nothing_that_is_typed_breaks_it(text: str) -> None:
    read = read_command(text)
    assert (read is None) == (not text.strip())
