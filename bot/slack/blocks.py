"""Cards as Slack messages. Pure; the one place where a message's look is decided.

Design decisions
- A card is one message, which is edited as the card changes: at most 50 blocks and 12,000 bytes of them, one block
  less for the mention that a surface may put in front. (Slack documents the 50; over some 13,200 characters,
  containers included, it answers ``msg_blocks_too_long``: slackapi/bolt-js#2509.) What does not fit is cut, an
  ellipsis or "… and 3 more" saying so, and ``rest`` has the whole card as plain text, for a file in the thread.
- It is read on a phone: a header, short lines, a table of at most 20 rows, five buttons a row.
- ``native``: Slack's table and plan blocks. A workspace without them refuses the message (``invalid_blocks``);
  render it again with ``native=False`` then.
- The run's own card, which stands in the channel and not in the thread, shows its steps as one line.
- A tone is an emoji in the header, and words in ``text``, which a screen reader says in place of the blocks.
- Only an address of our own making is a link: where the model, its demo and its split were published.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

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
    Step,
    Steps,
    StepState,
    Style,
    Table,
    Text,
    Tone,
)
from bot.chat.calling import ENDED
from bot.chat.plain import STEP_MARKS, STEP_WORDS, progress_words, whole
from bot.chat.tables import first_rows, fixed_width, regular
from bot.chat.text import blank, clean, clean_line, short, short_line
from bot.present import ROOT
from bot.slack import rich, tables
from bot.slack.buttons import ButtonValue, choices, clicked, details
from bot.slack.escape import cut, escape
from bot.views import words

__all__ = ["ButtonValue", "Rendered", "clicked", "render"]

MOST_BLOCKS = 50
MOST_BYTES = 12_000
_FALLBACK_UNITS = 1_000  # at most 3,000 bytes: chat.update takes 4,000
_TEXT_UNITS = 2_000
_ITEM_UNITS, _ITEMS = 500, 20  # of a list
_CODE_UNITS, _CODE_LINES = 1_500, 40
_ROWS, _TABLE_CHARS = 20, 3_000
_STEPS = 30
_BAR = 10  # characters
_NOTICE_BYTES, _SMALLEST_BYTES = 300, 80
_EXPLAINED_BYTES = 3_000

_MARKS = {
    Tone.NEUTRAL: "",
    Tone.WORKING: "⏳",
    Tone.WAITING: "❓",
    Tone.GOOD: "✅",
    Tone.WARN: "⚠️",
    Tone.BAD: "❌",
}
_TONE_WORDS = {Tone.WAITING: "Needs an answer: ", Tone.WARN: "Warning: ", Tone.BAD: "Problem: "}
_STATUSES = {
    StepState.TODO: "pending",
    StepState.NOW: "in_progress",
    StepState.WAITING: "pending",
    StepState.DONE: "complete",
    StepState.FAILED: "error",
    StepState.STOPPED: "error",
}
_LINKED = {
    *(("published", name) for name in ("Where", "Demo", "Split", "Pull request")),
    (ENDED, "Published"),
}
_ADDRESS = re.compile(r"https?://[A-Za-z0-9.-]{1,200}(?::\d{1,5})?(?:/[!-~]{0,1000})?")


@dataclass(frozen=True, slots=True)
class Rendered:
    """``text`` goes along with ``blocks`` always; ``pictures`` are uploaded; ``rest`` is '' or the whole card as
    plain text, to attach as a file.
    """

    text: str
    blocks: list[rich.Json]
    pictures: tuple[Picture, ...] = ()
    rest: str = ""


def render(card: Card, *, native: bool = True) -> Rendered:
    """The card as one message. ``native``: with Slack's table and plan blocks."""
    head, shown = _head(card)
    buttons = choices(card)
    message = _Message(shown, native)
    message.cut = buttons.left > 0 or any(_title(card) not in block["text"]["text"] for block in head)
    explained = _explained(message, buttons.left)
    message.reserve([*head, *explained, *buttons.blocks])
    for block in _body(message):
        message.add(block)
    return Rendered(
        text=_fallback(card),
        blocks=[*head, *message.blocks, *_notice(message), *explained, *buttons.blocks],
        pictures=tuple(block for block in card.blocks if isinstance(block, Picture)),
        rest=whole(card) if message.cut or message.left_out else "",
    )


def _head(card: Card) -> tuple[list[rich.Json], Card]:
    """The header, and the card below it. A card of one sentence has no title: its mark goes before the sentence."""
    mark, first = _MARKS[card.tone], next(iter(card.blocks), None)
    if blank(_line(card.title)) and isinstance(first, Text) and not blank(_line(first.text)):
        marked = replace(first, text=f"{mark} {first.text}".strip())
        return [], replace(card, blocks=(marked, *card.blocks[1:]))
    return [rich.header(f"{mark} {_title(card)}".strip())], card


@dataclass(slots=True)
class _Message:
    """What has been laid out so far, and whether all of the card is there."""

    card: Card
    native: bool
    blocks: list[rich.Json] = field(default_factory=list)
    room_blocks: int = MOST_BLOCKS - 1  # a surface may put a mention in front
    room_bytes: int = MOST_BYTES
    cut: bool = False
    left_out: int = 0  # blocks of the card
    has_table: bool = False

    def reserve(self, blocks: Sequence[rich.Json]) -> None:
        """Keeps room for these blocks and the notice."""
        self.room_blocks -= len(blocks) + 1
        self.room_bytes -= rich.size(blocks) + _NOTICE_BYTES

    @property
    def full(self) -> bool:
        return self.room_blocks < 1 or self.room_bytes < _SMALLEST_BYTES

    def fits(self, block: rich.Json) -> bool:
        return self.room_blocks >= 1 and rich.size([block]) <= self.room_bytes

    def add(self, block: rich.Json) -> None:
        """Puts the block at the end, or counts it as left out."""
        if not self.fits(block):
            self.left_out += 1
            return
        self.blocks.append(block)
        self.room_blocks -= 1
        self.room_bytes -= rich.size([block])

    def short(self, text: str, most: int) -> str:
        """``text`` in at most ``most`` UTF-16 units; notes if that is not all of it."""
        kept = short(text, most)
        self.cut = self.cut or len(text) > 4 * most or (kept.endswith("…") and kept != clean(text))
        return kept

    def line(self, text: str, most: int = _ITEM_UNITS) -> str:
        """The same, on one line."""
        kept = short_line(text, most)
        self.cut = self.cut or len(text) > 4 * most or (kept.endswith("…") and kept != clean_line(text))
        return kept

    def more(self, count: int, what: str = "") -> list[str]:
        """A line for what a list has beyond its limit, if anything."""
        self.cut = self.cut or count > 0
        return [f"… and {words.number(count)} more{what}"] if count > 0 else []


def _line(text: str) -> str:
    return short_line(text, _FALLBACK_UNITS)


def _title(card: Card) -> str:
    titles = map(_line, (card.title, card.fallback))
    return next((title for title in titles if not blank(title)), "A run")


def _fallback(card: Card) -> str:
    said = _line(card.fallback)
    said = _TONE_WORDS.get(card.tone, "") + (_title(card) if blank(said) else said)
    return cut(escape(said), _FALLBACK_UNITS)


def _explained(message: _Message, left: int) -> list[rich.Json]:
    """What the choices mean, above their buttons, and how to take one that has no button."""
    items = [
        [rich.text(label, bold=True), *([rich.text(f": {detail}")] if not blank(detail) else [])]
        for label, detail in details(message.card)
    ]
    while rich.size([rich.bullets(items)]) > _EXPLAINED_BYTES:
        items.pop()
        message.cut = True
    if left:
        said = f"… and {words.plural(left, 'more choice')}: answer in this thread with the name of one."
        items.append([rich.text(said)])
    return [rich.rich(rich.bullets(items))] if items else []


def _notice(message: _Message) -> list[rich.Json]:
    if not message.cut and not message.left_out:
        return []
    more = f"… and {words.plural(message.left_out, 'more part')}. " if message.left_out else ""
    return [rich.context(f"{more}The whole text is in the attached file.")]


# -- the body ------------------------------------------------------------------------------------------------


def _body(message: _Message) -> Iterator[rich.Json]:
    """The card's blocks; file links that stand together are one list. Pictures are uploaded, not shown here."""
    for kind, group in groupby(message.card.blocks, type):
        if kind is FileLink:
            yield from _links(message, [block for block in group if isinstance(block, FileLink)])
        else:
            for block in group:
                yield from _block(message, block)
    if message.card.key == ROOT:
        yield rich.context(f"Run {message.line(message.card.run_id)}")  # what commands name it by


def _block(message: _Message, block: Block) -> Iterable[rich.Json]:
    if message.full and not isinstance(block, Picture | Place):
        message.left_out += 1
        return []
    match block:
        case Text():
            return _text(message, block)
        case Bullets():
            return _bullets(message, block)
        case Fields():
            return _fields(message, block)
        case Table():
            return _table(message, block)
        case Progress():
            return [_progress(message, block)]
        case Steps(items):
            return _steps(message, items) if items else []
        case Code(text):
            return _code(message, text)
        case FileLink():
            return _links(message, [block])
        case Picture() | Place():
            return []


def _text(message: _Message, block: Text) -> Iterable[rich.Json]:
    said = message.short(block.text.strip(), _TEXT_UNITS).strip()
    if blank(said):
        return []
    match block.style:
        case Style.QUOTE:
            return [rich.rich(rich.quote(said))]
        case Style.MUTED:
            return [rich.context(said)]
        case Style.WARN:
            return [rich.rich(rich.section(rich.text(f"{_MARKS[Tone.WARN]} {said}")))]
        case Style.STRONG:
            return [rich.rich(rich.section(rich.text(said, bold=True)))]
        case Style.PLAIN:
            return [rich.rich(rich.section(rich.text(said)))]


def _bullets(message: _Message, block: Bullets) -> Iterable[rich.Json]:
    lines = [line for item in block.items[:_ITEMS] if not blank(line := message.line(item))]
    lines += message.more(len(block.items) - _ITEMS)
    if not lines:
        return []
    if block.style is Style.MUTED:
        return [rich.context(message.short("\n".join(f"• {line}" for line in lines), rich.CONTEXT_UNITS))]
    mark = f"{_MARKS[Tone.WARN]} " if block.style is Style.WARN else ""
    style = {"bold": True} if block.style is Style.STRONG else {}
    return [rich.rich(rich.bullets([rich.text(mark + line, **style)] for line in lines))]


def _fields(message: _Message, block: Fields) -> Iterable[rich.Json]:
    lines: list[list[rich.Json]] = []
    for name, value in block.items[:_ITEMS]:
        said = message.short(value.strip(), _ITEM_UNITS).strip()
        shown = _value(message.card, name, "–" if blank(said) else said)
        lines.append([rich.text(f"{message.line(name)}: ", bold=True), shown])
    lines += [[rich.text(line)] for line in message.more(len(block.items) - _ITEMS)]
    elements = [element for line in lines for element in (*line, rich.text("\n"))][:-1]
    return [rich.rich(rich.section(*elements))] if elements else []


def _value(card: Card, name: str, said: str) -> rich.Json:
    ours = any(card.key.startswith(key) and name == linked for key, linked in _LINKED)
    return rich.link(said) if ours and _ADDRESS.fullmatch(said) else rich.text(said)


def _table(message: _Message, block: Table) -> Iterator[rich.Json]:
    """With fewer rows where the message has no room for more; the first table natively, if at all."""
    if not block.columns:
        return
    native = message.native and not message.has_table
    shown = regular(first_rows(block, _ROWS), _ITEM_UNITS)
    while len(shown.rows) > 1 and not _table_fits(message, shown, native=native):
        shown = first_rows(shown, len(shown.rows) // 2)
    fitting = shown == regular(first_rows(block, len(shown.rows)), 4 * _ITEM_UNITS)
    message.cut = message.cut or not fitting or (native and not tables.fits_natively(shown))
    message.has_table = message.has_table or native
    yield tables.native(shown) if native else _fixed(shown)
    for line in message.more(len(block.rows) - len(shown.rows), " rows"):
        yield rich.context(line)


def _table_fits(message: _Message, table: Table, *, native: bool) -> bool:
    if native:
        return message.fits(tables.native(table))
    return len(fixed_width(table, tables.PHONE_COLUMNS)) <= _TABLE_CHARS and message.fits(_fixed(table))


def _fixed(table: Table) -> rich.Json:
    return rich.rich(rich.preformatted(fixed_width(table, tables.PHONE_COLUMNS)))


def _progress(message: _Message, block: Progress) -> rich.Json:
    said = rich.text(message.short(progress_words(block), _ITEM_UNITS))
    if block.total <= 0:
        return rich.rich(rich.section(said))
    full = round(_BAR * block.share)
    bar = rich.text("█" * full + "░" * (_BAR - full))
    return rich.rich(rich.section(bar, rich.text(" "), said))


def _steps(message: _Message, steps: Sequence[Step]) -> Iterable[rich.Json]:
    """A plan block, or lines of text. The run's own card shows the step that it is at, alone."""
    done = sum(step.state is StepState.DONE for step in steps)
    now = [step for step in steps if step.state not in (StepState.DONE, StepState.TODO)]
    line = f"{done} of {words.plural(len(steps), 'step')} done"
    shown = now[:1] if message.card.key == ROOT else list(steps[:_STEPS])
    if message.card.key != ROOT:
        line = ". ".join([line, *message.more(len(steps) - _STEPS)])
    if message.native and shown:
        tasks = [_task(message, number, step) for number, step in enumerate(shown)]
        return [{"type": "plan", "title": message.short(line, rich.HEADER_UNITS), "tasks": tasks}]
    if message.card.key == ROOT:
        said = message.line(". ".join([line, *map(_step_line, shown)]))
        return [rich.rich(rich.section(rich.text(said)))]
    lines = [f"{STEP_MARKS[step.state]} {message.line(_step_line(step))}" for step in shown]
    return [rich.rich(rich.section(rich.text("\n".join([*lines, line]))))]


def _step_line(step: Step) -> str:
    said = ": ".join(part for part in map(_line, (step.label, step.detail)) if not blank(part))
    return f"{STEP_WORDS[step.state].capitalize()}: {said}"


def _task(message: _Message, number: int, step: Step) -> rich.Json:
    label, detail = message.line(step.label, rich.HEADER_UNITS), message.line(step.detail)
    if step.state in (StepState.WAITING, StepState.STOPPED):  # Slack has no status for them
        detail = ": ".join(part for part in (STEP_WORDS[step.state], detail) if not blank(part))
    task: rich.Json = {
        "type": "task_card",
        "task_id": f"step-{number}",
        "title": "…" if blank(label) else label,
        "status": _STATUSES[step.state],
    }
    return task if blank(detail) else {**task, "details": rich.rich(rich.section(rich.text(detail)))}


def _code(message: _Message, text: str) -> Iterable[rich.Json]:
    lines = clean(text[: _CODE_LINES * _CODE_UNITS]).strip("\n").split("\n")
    said = message.short("\n".join(lines[:_CODE_LINES]), _CODE_UNITS)
    message.cut = message.cut or len(text) > _CODE_LINES * _CODE_UNITS
    if blank(said):
        return []
    more = len(lines) - _CODE_LINES
    return [rich.rich(rich.preformatted("\n".join([said, *message.more(more, " lines")])))]


def _links(message: _Message, links: Sequence[FileLink]) -> Iterable[rich.Json]:
    items = []
    for link in links[:_ITEMS]:
        path, title = message.line(link.path), message.line(link.title)
        about = ", ".join(part for part in (title, words.size(link.bytes)) if not blank(part))
        items.append([rich.text(path or "–", code=True), *([rich.text(f"  {about}")] if about else [])])
    items += [[rich.text(line)] for line in message.more(len(links) - _ITEMS)]
    return [rich.rich(rich.bullets(items))]
