"""Cards that hold the worst of what people and data say, against every surface, for property tests."""

from __future__ import annotations

from typing import TypeVar

from hypothesis import strategies as st

from bot.cards import (
    Action,
    Asks,
    Block,
    Bullets,
    Card,
    Code,
    Column,
    Fields,
    FileLink,
    Picture,
    Place,
    Progress,
    Step,
    Steps,
    StepState,
    Style,
    Table,
    Text,
    Tone,
)

T = TypeVar("T")
NASTY = (
    "",
    " ",
    "\n\n\n",
    "\u200d",
    "x" * 40_000,
    "字" * 4_000,
    "😀" * 2_000,
    "&" * 4_000,
    "word " * 1_500,
    "line\n" * 600,
    "<!channel> <@U1> <#C1> @here #general *b* _i_ ~s~ `c` ```x``` :tada: <https://a.b|c> http://a.b me@a.b",
    "&amp;&lt;!here&gt;",
    "\u202eevil\u202c \x1b[31m \x00 \ud800 \ufeff",
    '"}]},{"type":"mrkdwn"',
    "*" * 4_000,
    "@everyone @here <@1> <@!1> <@&1> <#1> </intern:1> <:tada:1> <a:tada:1> <t:1:R> <id:guide> :tada:",
    "[click](https://evil.example) <https://evil.example> https://evil.example discord.gg/abc discord.com/invite/abc",
    "**b** __u__ ~~s~~ ||x|| `c` ```x``` *i* _i_ \\\\*",
    "# h\n## h\n-# s\n> q\n>>> q\n- l\n* l\n+ l\n1. l\n```\ncode",
    "intern:decide:r7k2mc:0:0:0",
)
texts = st.one_of(st.sampled_from(NASTY), st.text(alphabet=st.characters(exclude_categories=()), max_size=30))
numbers = st.one_of(st.integers(-5, 10), st.floats(allow_nan=False, allow_infinity=False))
styles = st.sampled_from(Style)


def few(items: st.SearchStrategy[T], most: int) -> st.SearchStrategy[tuple[T, ...]]:
    """None to ``most`` of them, and now and then far too many."""
    return st.one_of(
        st.lists(items, max_size=most).map(tuple),
        st.tuples(items, st.sampled_from([30, 100])).map(lambda pair: (pair[0],) * pair[1]),
    )


@st.composite
def tables(draw: st.DrawFn) -> Table:
    columns = draw(st.lists(st.builds(Column, texts, st.booleans()), max_size=25))
    rows = draw(st.lists(st.lists(texts, max_size=6).map(tuple), max_size=4))
    return Table(
        tuple(columns), tuple(rows) * draw(st.sampled_from([1, 1, 250])), draw(st.none() | st.integers(0, 5))
    )


blocks: st.SearchStrategy[Block] = st.one_of(
    st.builds(Text, texts, styles),
    st.builds(Bullets, few(texts, 4), styles),
    st.builds(Fields, few(st.tuples(texts, texts), 4)),
    tables(),
    st.builds(Progress, numbers, numbers, texts),
    st.builds(Steps, few(st.builds(Step, texts, st.sampled_from(StepState), texts), 4)),
    st.builds(Picture, texts, texts),
    st.builds(Place, texts, texts),
    st.builds(Code, texts, texts),
    st.builds(FileLink, texts, texts, st.none() | st.integers(0, 10**15)),
)
values = st.one_of(
    texts,
    st.sampled_from(["approve", "change", "elsewhere", "cancel", "suggestion:typos", "again:epochs=1"]),
    st.integers(1, 120).map("use:{}".format),
)
actions = st.builds(
    Action, texts, values, texts, st.sampled_from(["default", "primary", "danger", "odd"]), texts
)
asks = st.builds(
    Asks, texts, st.none() | texts, st.none() | st.floats(0, 9), st.booleans(), st.none() | texts
)


@st.composite
def cards(draw: st.DrawFn) -> Card:
    run, keys = draw(st.sampled_from(["r7k2mc", "r7k2mc", *NASTY])), ["root", "task", "ended:1", "published"]
    return Card(
        key=draw(st.one_of(st.sampled_from(keys), texts)),
        run_id=run,
        title=draw(texts),
        blocks=draw(few(blocks, 6)),
        actions=draw(few(actions, 8)),
        tone=draw(st.sampled_from(Tone)),
        fallback=draw(texts),
        live=draw(st.booleans()),
        asks=draw(st.none() | asks),
    )
