"""A whole card as plain text, for the file that goes along with a message that could not hold it. Pure.

Whole means up to 400,000 characters: data may hold endless texts, and a bot's process serves everybody.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import accumulate, takewhile

from bot.cards import (
    Block,
    Bullets,
    Card,
    Code,
    Fields,
    FileLink,
    Picture,
    Place,
    Progress,
    Steps,
    StepState,
    Style,
    Table,
    Text,
)
from bot.chat import tables
from bot.chat.text import clean, clean_line
from bot.views import words

MOST_CHARS = 400_000
_WIDTH = 110  # columns of a table: a file is read on a larger screen
STEP_WORDS = {
    StepState.TODO: "to do",
    StepState.NOW: "under way",
    StepState.WAITING: "waiting for an answer",
    StepState.DONE: "done",
    StepState.FAILED: "failed",
    StepState.STOPPED: "stopped",
}
STEP_MARKS = {
    StepState.TODO: "·",
    StepState.NOW: "…",
    StepState.WAITING: "?",
    StepState.DONE: "✓",
    StepState.FAILED: "✗",
    StepState.STOPPED: "!",
}


def whole(card: Card) -> str:
    """Title, blocks and choices."""
    choices = tuple(f"{n}. {_joined(a.label, a.detail)}" for n, a in enumerate(card.actions, 1))
    room, parts = MOST_CHARS, [clean_line(card.title)]
    for lines in (*(_lines(block) for block in card.blocks), choices):
        kept = []
        for line in lines:
            room -= len(line)
            kept.append(line if room >= 0 else "… and more, which would be too long for this file.")
            if room < 0:
                break
        parts.append("\n".join(kept))
        if room < 0:
            break
    return "\n\n".join(part for part in parts if part) + "\n"


def _lines(block: Block) -> Iterable[str]:
    match block:
        case Text(text, style):
            yield f"“{clean(text)}”" if style is Style.QUOTE else clean(text)
        case Bullets(items):
            yield from (f"- {clean_line(item)}" for item in items)
        case Fields(items):
            yield from (f"{clean_line(name)}: {clean(value)}" for name, value in items)
        case Table():
            yield from _table(block)
        case Progress():
            yield progress_words(block)
        case Steps(steps):
            for step in steps:
                said = _joined(step.label, step.detail)
                yield f"{STEP_MARKS[step.state]} {said} ({STEP_WORDS[step.state]})"
        case Picture(path, alt_text):
            yield f"{clean_line(path)}: {clean_line(alt_text)}"
        case Code(text):
            yield clean(text)
        case FileLink(path, title, count):
            yield " ".join(filter(None, (clean_line(path), clean_line(title), words.size(count))))
        case Place():
            return


def _table(table: Table) -> Iterable[str]:
    if not table.columns:
        return
    lengths = accumulate(sum(map(len, row)) for row in table.rows)
    count = sum(1 for _ in takewhile(lambda length: length <= MOST_CHARS, lengths))
    yield tables.fixed_width(tables.regular(tables.first_rows(table, count)), _WIDTH)
    if more := len(table.rows) - count:
        yield f"… and {words.plural(more, 'more row')}"


def _joined(label: str, detail: str) -> str:
    return ": ".join(part for part in (clean_line(label), clean_line(detail)) if part)


def progress_words(block: Progress) -> str:
    """``50 %, loss 0.6``; the label alone where the end is not known."""
    share = f"{round(100 * block.share)} %" if block.total > 0 else ""
    return ", ".join(part for part in (share, clean_line(block.label)) if part) or "under way"
