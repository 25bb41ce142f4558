from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.chat.text import units
from bot.discord.escape import code, code_line, escape, fitting, fitting_line


@pytest.mark.parametrize(
    ("said", "escaped"),
    [
        ("plain words, 1.5 and a-b (c)", "plain words, 1.5 and a-b (c)"),
        ("*a* _b_ ~~c~~ ||d|| `e`", r"\*a\* \_b\_ \~\~c\~\~ \|\|d\|\| \`e\`"),
        ("- a\n+ b\n1. c\n2) d\n> e\n# f", "\\- a\n\\+ b\n1\\. c\n2\\) d\n\\> e\n\\# f"),
        ("  - a", r"  \- a"),
        ("[a](b)", r"\[a\](b)"),
        ("<@1> <#2> <:x:3>", r"\<@⁠1\> \<\#2\> \<:x:3\>"),
        ("@everyone a@b.c", "@\u2060everyone a@\u2060b.c"),
        ("https://a.b", "https:\u2060//a.b"),
        ("discord.gg/abc", "discord.gg\u2060/abc"),
        ("DISCORD.COM/invite/x", "DISCORD.COM\u2060/invite/x"),
        ("a\x1b[31mb\u202ec", "abc"),
    ],
)
def test_escape(said: str, escaped: str) -> None:
    assert escape(said) == escaped


@given(st.text(max_size=300), st.integers(0, 200))
def test_what_fits_is_never_longer_and_never_half_an_escape(said: str, most: int) -> None:
    for kept in (fitting(said, most), fitting_line(said, most)):
        assert units(kept) <= most
        assert (len(kept) - len(kept.rstrip("\\"))) % 2 == 0


@given(st.text(max_size=100))
def test_a_text_that_fits_is_kept_whole(said: str) -> None:
    assert fitting(said, 10_000) == escape(said).strip()


def test_code_has_no_backtick() -> None:
    assert code("a```b\nc") == "aˋˋˋb\nc"
    assert code_line("a\nb") == "a b"
