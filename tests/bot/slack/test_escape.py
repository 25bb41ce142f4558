"""Text from outside cannot ping, link, format or hide anything in Slack, and is never cut inside a sign."""

from __future__ import annotations

import html
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bot.chat.text import blank, clean, units
from bot.slack.escape import cut, escape

ANY = st.text(alphabet=st.characters(exclude_categories=()))
PIECES = [*"<>&!@#:/|*_~`\n aU1é😀\u0301\u200d", "&amp;", "http", "here", "www.", "https://"]
MARKUP = st.lists(st.sampled_from(PIECES)).map("".join)


@pytest.mark.parametrize(
    ("said", "sent"),
    [
        ("<!channel> <@U1> a & b", "&lt;!channel&gt; &lt;@\u2060U1&gt; a &amp; b"),
        ("&lt;", "&amp;lt;"),
        ("@here #general a@b.c", "@\u2060here #\u2060general a@\u2060b.c"),
        ("https://a.b www.a.b", "https://\u2060a.b www.\u2060a.b"),
        ("*b* _i_ ~s~ `c`", "∗b∗ ˍiˍ ∼s∼ ˋcˋ"),
        ("macro_f1 # 1", "macro_f1 # 1"),
        ("a\x00b\x1b[31mc\u202ed\ud800\r\ne", "abcd\ufffd\ne"),
        ("", ""),
    ],
)
def test_escape(said: str, sent: str) -> None:
    assert escape(said) == sent


@given(ANY | MARKUP)
def test_what_is_escaped_holds_no_markup(said: str) -> None:
    sent = escape(said)
    assert not re.search(r"[<>*~`]|&(?!amp;|lt;|gt;)|[@#]\w|://\w|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])", sent)
    sent.encode()


@given(st.text(alphabet="abc &<>\n"))
def test_a_reader_sees_what_was_said(said: str) -> None:
    assert html.unescape(escape(said)) == said


@given(ANY)
def test_cleaning_twice_is_cleaning_once(said: str) -> None:
    assert clean(clean(said)) == clean(said)


def test_units_are_utf_16() -> None:
    assert [units(text) for text in ("", "é", "字", "😀")] == [0, 1, 1, 2]


@pytest.mark.parametrize(
    ("text", "most", "kept"),
    [
        ("abcdef", 6, "abcdef"),
        ("abcdefg", 6, "abcde…"),
        ("abc defg", 5, "abc…"),
        ("a&amp;b", 5, "a…"),
        ("a&amp;bc", 7, "a&amp;…"),
        ("😀😀😀", 5, "😀😀…"),
        ("😀😀😀", 4, "😀…"),
        ("ae\u0301z", 3, "a…"),
        ("a👩\u200d🔬z", 6, "a…"),
        ("a👍🏽z", 5, "a…"),
        ("abc", 1, "…"),
        ("abc", 0, ""),
    ],
)
def test_cut(text: str, most: int, kept: str) -> None:
    assert cut(text, most) == kept


@given(ANY | MARKUP, st.integers(0, 40))
@example("&amp;" * 4, 7)
def test_a_cut_text_is_a_start_of_it_and_short_enough(text: str, most: int) -> None:
    kept = cut(text, most)
    assert units(kept) <= most
    if kept != text and kept:
        assert kept.endswith("…")
        assert text.startswith(kept[:-1])


@example("<<<<\u0301<", 17)  # an accent on what an entity stands for
@given(MARKUP, st.integers(1, 60))
def test_a_cut_leaves_no_piece_of_an_entity(said: str, most: int) -> None:
    assert not re.search(r"&(?!amp;|lt;|gt;)", cut(escape(said), most))


@pytest.mark.parametrize("text", ["", " \n\t", "\u200d", "\u00a0\u3000"])
def test_blank(text: str) -> None:
    assert blank(text)
    assert not blank(f"{text}a")
