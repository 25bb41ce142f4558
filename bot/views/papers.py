"""Cards about the work of others: the paper that was read, and numbers reported for the data. Pure."""

from __future__ import annotations

from bot.cards import Bullets, Column, Fields, FileLink, Style, Table, Text
from bot.views import words
from bot.views.payload import Payload, as_number
from bot.views.story import Story

MAX_ROWS = 6
_FIELDS = {
    "task": "Task",
    "data_set": "Data sets",
    "architecture": "Models",
    "loss": "Loss",
    "optimiser": "Optimiser",
}


def paper_read(story: Story, payload: Payload) -> Story:
    paper = payload.part("paper")
    facts, title = paper.parts("facts"), words.cut(paper.text("title", "a paper"), 120)
    how = "you named it" if paper.flag("named") else "found by search; shown, not followed"
    named = [
        (name, words.named(tuple(f.text("value") for f in facts if f.text("field") == key), 4))
        for key, name in _FIELDS.items()
    ]
    settings = [f for f in facts if f.text("field") not in (*_FIELDS, "link")]
    follows, undecided = payload.texts("follows"), payload.texts("undecided")
    notes = (
        *((f"The plan follows it in {words.named(follows)}; you can change that there.",) if follows else ()),
        *((f"It gives several values of {'; '.join(undecided)}.",) if undecided else ()),
        *paper.texts("notes"),
    )
    return story.card(
        "paper",
        "The paper",
        Text(title, Style.STRONG),
        Fields(
            tuple(
                (name, value)
                for name, value in (
                    ("From", f"{paper.text('url') or paper.text('id')} ({how})"),
                    ("Licence", paper.text("licence", "not stated")),
                    *named,
                    ("Code and data", "; ".join(_linked(item) for item in paper.parts("linked")[:4])),
                )
                if value
            )
        ),
        _settings(settings) if settings else None,
        Bullets(notes) if notes else None,
        FileLink(payload.text("path"), "All that I found in it, with page and quote")
        if payload.text("path")
        else None,
        fallback=f"Read {title}.",
    )


def _linked(item: Payload) -> str:
    licence = item.text("licence") or f"licence not known: {item.text('note', 'not looked up')}"
    return f"{item.text('url').removeprefix('https://')} ({licence})"


def _settings(facts: list[Payload]) -> Table:
    columns = (Column("Setting"), Column("Value", right=True), Column("Where"), Column("In its words"))
    return Table(
        columns,
        tuple(
            (
                fact.text("field").replace("_", " "),
                _value(fact),
                ", ".join(
                    filter(None, (fact.text("where"), f"p. {words.number(fact.number('page'))}", _by(fact)))
                ),
                f"“{words.cut(fact.text('quote'), 90)}”",
            )
            for fact in facts[: 2 * MAX_ROWS]
        ),
    )


def _by(fact: Payload) -> str:
    return f"read by {words.cut(fact.text('by'), 40)}" if fact.text("by") else ""


def _value(fact: Payload) -> str:
    value = fact.data.get("value")
    values = value if isinstance(value, list | tuple) else [value]
    numbers = [number for number in (as_number(v) for v in values) if number is not None]
    return " / ".join(words.number(number) for number in numbers) or fact.text("value")


def prior_results(story: Story, payload: Payload) -> Story:
    rows = payload.parts("reported")
    columns = (
        Column("Model"),
        Column("Metric"),
        Column("Reported", right=True),
        Column("Split"),
        Column("Source"),
    )
    shown = tuple(
        (
            words.cut(row.text("model"), 60),
            words.metric_name(row.text("metric")),
            words.number(row.number("value")),
            row.text("split", "not stated"),
            " ".join(part for part in (row.text("url") or row.text("source"), row.text("where")) if part),
        )
        for row in rows[:MAX_ROWS]
    )
    more = len(rows) - len(shown)
    return story.card(
        "prior",
        "What others report for this data",
        Text("Reported, not measured here.", Style.MUTED),
        Table(columns, shown) if shown else None,
        Text(f"and {words.plural(more, 'more number')}", Style.MUTED) if more > 0 else None,
        fallback=f"{words.plural(len(rows), 'number')} that others report for {words.cut(payload.text('data'), 60)}.",
    )
