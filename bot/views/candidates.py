"""The card of the data sets that were found: side by side, what each score is made of, and what cannot be used. Pure.

It is read on a phone: a table's long cells go below their row there, so that each table has one of them at most, its
last. What a data set says of itself is text like any other, cut to a length and escaped by the renderer.
"""

from __future__ import annotations

from collections.abc import Sequence

from bot.cards import Block, Bullets, Column, Fields, Style, Table, Text
from bot.views import words
from bot.views.payload import Payload

COMPARED = 4  # candidates whose parts stand side by side
REASONS = 3
CLASSES = 6
UNKNOWN = "not known"  # the reason of a part that nobody could look at
_TITLE_CHARS = 60
_REASON_CHARS = 90
_PARTS = {
    "topic": "Topic",
    "task": "Task",
    "labels": "Classes",
    "language": "Language",
    "licence": "Licence",
    "size": "Size",
    "balance": "Balance",
    "quality": "Quality",
    "use": "Use by others",
    "freshness": "Freshness",
    "access": "Access",
}


def blocks(candidates: Sequence[Payload]) -> tuple[Block | None, ...]:
    """Of what can be used and what cannot, in the event's order."""
    usable = [c for c in candidates if c.flag("usable", True)]
    refused = tuple(
        f"Not usable: {words.cut(c.text('title') or c.text('id'), _TITLE_CHARS)}: {c.text('why_not')}"
        for c in candidates
        if not c.flag("usable", True)
    )
    learnt = tuple(line for number, c in enumerate(usable, 1) if (line := _learns(c, number, len(usable))))
    scored = [c for c in usable[:COMPARED] if c.parts("parts")]
    return (
        _side_by_side(usable) if usable else None,
        Bullets(learnt) if learnt else None,
        Text("Scores by part, 0 to 100; the reasons are those of number 1:", Style.MUTED) if scored else None,
        _parts(scored) if scored else None,
        Bullets(refused, Style.MUTED) if refused else None,
    )


def _side_by_side(candidates: Sequence[Payload]) -> Fields | Table:
    if len(candidates) == 1:
        only = candidates[0]
        rows = words.plural(only.number("rows") or 0, "row") if only.has("rows") else ""
        items = (
            ("Data", ", ".join(part for part in (_title(only), rows) if part)),
            ("Licence", only.text("licence", "not stated")),
            ("Why", "; ".join(only.texts("reasons"))),
        )
        return Fields(tuple((name, value) for name, value in items if value))
    columns = (
        Column("#", right=True),
        Column("Data set"),
        Column("Score", right=True),
        Column("Rows", right=True),
        Column("Licence"),
        Column("Why"),
    )
    titles = [_title(c) for c in candidates]
    rows_ = tuple(
        (
            str(number),
            f"{_title(c)} ({words.cut(c.text('id'), 60)})" if titles.count(_title(c)) > 1 else _title(c),
            _percent(c.number("score")),
            words.number(c.number("rows")),
            words.cut(c.text("licence", "not stated"), 30),
            "; ".join(_short_reasons(c)),
        )
        for number, c in enumerate(candidates, 1)
    )
    return Table(columns, rows_, strong=0)


def _title(candidate: Payload) -> str:
    return words.cut(candidate.text("title") or candidate.text("id"), _TITLE_CHARS)


def _short_reasons(candidate: Payload) -> tuple[str, ...]:
    """What it is about, then what is known to cost it most; without parts, the first reasons."""
    parts = [part for part in candidate.parts("parts") if part.text("reason") not in ("", UNKNOWN)]
    if not parts:
        return candidate.texts("reasons")[:REASONS]
    first = [part for part in parts if part.text("name") == "topic"]
    weak = sorted((p for p in parts if p not in first), key=lambda p: p.number("value") or 0.0)
    return tuple(words.cut(part.text("reason"), _REASON_CHARS) for part in [*first, *weak][:REASONS])


def _learns(candidate: Payload, number: int, of: int) -> str:
    """``1: text → label: negative 6,000 · positive 5,993``; nothing for a data set that was not looked into."""
    named = words.cut(candidate.text("learns"), 100)
    counts = sorted(candidate.part("class_counts").numbers().items(), key=lambda pair: -pair[1])
    shown = " · ".join(f"{words.cut(name, 40)} {words.number(count)}" for name, count in counts[:CLASSES])
    more = f" and {len(counts) - CLASSES} more" if len(counts) > CLASSES else ""
    told = ": ".join(part for part in (named, f"{shown}{more}") if part)
    return f"{number}: {told}" if told and of > 1 else told


def _parts(candidates: Sequence[Payload]) -> Table:
    names = [part.text("name") for part in candidates[0].parts("parts")]
    values = [{part.text("name"): part for part in c.parts("parts")} for c in candidates]
    columns = (
        Column("Part"),
        *(Column(str(number), right=True) for number in range(1, len(candidates) + 1)),
        Column("Why"),
    )
    rows = tuple(
        (
            _PARTS.get(name, name),
            *(_percent(of[name].number("value") if name in of else None) for of in values),
            words.cut(values[0][name].text("reason"), _REASON_CHARS),
        )
        for name in names
    )
    return Table(columns, rows)


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.0f}"
