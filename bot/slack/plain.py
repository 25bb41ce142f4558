"""A whole card as plain text, for the file that goes along with a message that could not hold it. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from bot.cards import (
    Block,
    Bullets,
    Card,
    Code,
    Fields,
    FileLink,
    Picture,
    Progress,
    Steps,
    StepState,
    Style,
    Table,
    Text,
)
from bot.slack import tables
from bot.slack.escape import clean, clean_line
from bot.views import words

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
    """Title, blocks and choices, nothing cut."""
    parts = [clean_line(card.title), *("\n".join(_lines(block)) for block in card.blocks)]
    if card.actions:
        parts.append("\n".join(f"{n}. {_joined(a.label, a.detail)}" for n, a in enumerate(card.actions, 1)))
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
            yield tables.fixed_width(tables.regular(block), _WIDTH) if block.columns else ""
        case Progress():
            yield progress_words(block)
        case Steps(steps):
            yield from (
                f"{STEP_MARKS[s.state]} {_joined(s.label, s.detail)} ({STEP_WORDS[s.state]})" for s in steps
            )
        case Picture(path, alt_text):
            yield f"{clean_line(path)}: {clean_line(alt_text)}"
        case Code(text):
            yield clean(text)
        case FileLink(path, title, count):
            yield " ".join(filter(None, (clean_line(path), clean_line(title), words.size(count))))


def _joined(label: str, detail: str) -> str:
    return ": ".join(part for part in (clean_line(label), clean_line(detail)) if part)


def progress_words(block: Progress) -> str:
    """``50 %, loss 0.6``; the label alone where the end is not known."""
    share = f"{round(100 * block.share)} %" if block.total > 0 else ""
    return ", ".join(part for part in (share, clean_line(block.label)) if part) or "under way"
