"""Cards about the request and the data: what was understood, found, chosen and checked. Pure."""

from __future__ import annotations

from dataclasses import replace

from bot.cards import Action, Bullets, Column, Fields, FileLink, Picture, Style, Table, Text, Tone
from bot.views import candidates as views
from bot.views import words
from bot.views.payload import Payload
from bot.views.story import Story

TASK = "task"
EDIT = "edit:task"  # the choice to put the task differently, while nothing was built on it
_SEVERITIES = {"blocking": "Blocking", "warning": "Warning", "info": "Noted"}
_FAMILIES = {
    "binary": "two classes",
    "multiclass": "one of several classes",
    "multilabel": "several labels a text",
    "regression": "a number",
}
_SPLITS = ("train", "validation", "test")


def task_understood(story: Story, payload: Payload) -> Story:
    task = payload.part("task")
    title = task.text("title") or story.title
    understood = tuple(f"{_field(r)}: {_value(r)}" + _quoted(r) for r in task.parts("understood"))
    assumed = tuple(f"{_field(r)}: {_value(r)}" + _because(r) for r in task.parts("assumed"))
    return story.but(title=title).card(
        TASK,
        "What I understood",
        Text(task.text("goal"), Style.STRONG) if task.text("goal") else None,
        Bullets(understood) if understood else None,
        Text("Assumed, as you did not say:", Style.MUTED) if assumed else None,
        Bullets(assumed) if assumed else None,
        fallback=f"Understood: {words.cut(task.text('goal') or title, 140)}",
        actions=(Action("Edit", EDIT),),
    )


def task_settled(story: Story) -> Story:
    """A training builds on the task from now on: another task is another run."""
    card = story.cards.get(TASK)
    return story.having(replace(card, actions=())) if card and card.actions else story


def _field(reading: Payload) -> str:
    return reading.text("field").replace("_", " ").capitalize()


def _value(reading: Payload) -> str:
    value = reading.text("value")
    if reading.text("field") == "metric":
        return words.metric_name(value)
    return words.file_name(value) if reading.text("field") in ("data", "paper", "base model") else value


def _quoted(reading: Payload) -> str:
    """From which words; a flag or a file has none."""
    return f" (“{reading.text('quote')}”)" if reading.text("quote") else ""


def _because(reading: Payload) -> str:
    return f" ({reading.text('why')})" if reading.text("why") else ""


def candidates_found(story: Story, payload: Payload) -> Story:
    candidates, note = payload.parts("candidates"), payload.text("note")
    model = base_model(payload.part("model")) if payload.has("model") else ""
    usable = [c for c in candidates if c.flag("usable", True)]
    return story.but(base_model=model).card(
        "candidates",
        "Data that could serve",
        Text(note) if note else None,
        *views.blocks(candidates),
        Fields((("Base model", model),)) if model else None,
        considered_models(payload.part("model").parts("considered")),
        fallback=f"Found {words.plural(len(usable), 'data set')}. {note}".strip(),
    )


def considered_models(rows: list[Payload]) -> Table | None:
    """Each base model that was looked at, with why it was or was not taken."""
    if len(rows) < 2:
        return None
    columns = (
        Column("Base model"),
        Column("MB", right=True),
        Column("Memory, MB", right=True),
        Column("Texts/s", right=True),
        Column("Licence"),
        Column("Why, or why not"),
    )
    lines = tuple(
        (
            words.cut(row.text("id"), 60),
            words.number(row.number("size_mb"), 0),
            words.number(row.number("train_mb"), 0),
            words.number(row.number("rows_per_s"), 0),
            row.text("licence", "not stated"),
            f"taken: {row.text('why')}" if row.flag("taken") else row.text("why"),
        )
        for row in rows[:6]
    )
    taken = next((place for place, row in enumerate(rows[:6]) if row.flag("taken")), None)
    return Table(columns, lines, taken)


def base_model(model: Payload) -> str:
    facts = [
        f"{words.number(model.number('parameters_m'), 1)} M parameters" if model.has("parameters_m") else "",
        f"{words.number(model.number('size_mb'), 0)} MB" if model.has("size_mb") else "",
        model.text("licence"),
        f"from the {model.text('source')}" if model.text("source") else "",
    ]
    known = ", ".join(fact for fact in facts if fact)
    return f"{model.text('id')} ({known})" if known else model.text("id")


def data_chosen(story: Story, payload: Payload) -> Story:
    candidate = payload.part("candidate")
    title = candidate.text("title") or candidate.text("id")
    model = base_model(payload.part("model")) if payload.has("model") else ""
    sha = next(iter(payload.part("files").data.values()), "")
    items = (
        ("Data", f"{title} (from the {candidate.text('source')})" if candidate.text("source") else title),
        ("Learns", f"{payload.text('text_column')} → {payload.text('target')}"),
        ("Licence", candidate.text("licence", "not stated, so it is not published without a person's word")),
        ("Thanks to", candidate.text("attribution")),
        (
            "Revision",
            candidate.text("revision") or (f"sha256 {sha[:12]}" if isinstance(sha, str) and sha else ""),
        ),
        ("Base model", model if model != story.base_model else ""),  # told with the candidates
    )
    return story.card(
        "data",
        "The data",
        Fields(tuple((name, value) for name, value in items if value)),
        fallback=f"Using {words.cut(title, 100)}.",
    )


def audited(story: Story, payload: Payload) -> Story:
    audit = payload.part("audit")
    rows = audit.part("rows").numbers()
    findings = sorted(audit.parts("findings"), key=lambda f: _order(f.text("severity")))
    worst = findings[0].text("severity") if findings else "info"
    told = tuple(
        f"{_SEVERITIES.get(f.text('severity'), f.text('severity'))}: {f.text('detail')}"
        + (f" → {f.text('done')}" if f.text("done") else "")
        for f in findings
    )
    warnings = sum(f.text("severity") == "warning" for f in findings)
    return story.card(
        "audit",
        "The data, checked",
        Fields(_audit_fields(audit, rows)),
        Bullets(told) if told else Text("Nothing to complain about."),
        Picture(payload.text("plot"), "Bar chart of rows a class") if payload.text("plot") else None,
        FileLink(payload.text("report"), "The whole audit") if payload.text("report") else None,
        tone={"blocking": Tone.BAD, "warning": Tone.WARN}.get(worst, Tone.GOOD),
        fallback=f"Checked {words.number(sum(rows.values()))} rows: {words.plural(warnings, 'warning')}.",
    )


def _audit_fields(audit: Payload, rows: dict[str, float]) -> tuple[tuple[str, str], ...]:
    labels, imbalance = audit.texts("labels"), audit.number("imbalance") or 1.0
    in_order = [s for s in _SPLITS if s in rows] + [s for s in rows if s not in _SPLITS]
    items = (
        ("Rows", " · ".join(f"{split} {words.number(rows[split])}" for split in in_order)),
        ("Task", _FAMILIES.get(audit.text("family"), audit.text("family"))),
        ("Classes", f"{len(labels)}: {words.named(labels)}" if labels else ""),
        (
            "Balance",
            f"the largest class has {imbalance:.1f} times the rows of the smallest" if labels else "",
        ),
        ("Language", audit.text("language", "not recognised")),
    )
    return tuple((name, value) for name, value in items if value)


def _order(severity: str) -> int:
    return list(_SEVERITIES).index(severity) if severity in _SEVERITIES else len(_SEVERITIES)
