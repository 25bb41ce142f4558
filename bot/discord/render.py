"""Cards as Discord messages. Pure; the one place where a message's look is decided.

Design decisions
- A card is one message of Discord's components (``LayoutView``): a frame in the colour of its tone, in it the text,
  the pictures and the buttons. Unlike an embed it holds its buttons and pictures where they belong, is shown to
  people who switched embeds off, and what it says is read in a notification.
- Limits, kept by construction: 4,000 characters of text in a message (in UTF-16 units, with all escapes), 40
  components, ten pictures. What does not fit is cut, an ellipsis or "… and 3 more" saying so, and ``rest`` has the
  whole card as plain text, for a file in the thread.
- It is read on a phone: short lines, tables of at most 30 columns in a fixed-width font, five buttons a row.
- The run's own card, which stands in the channel and not in the thread, shows its steps as one line.
- A tone is a colour, and an emoji in the headline for who cannot tell colours apart.
- Only an address of our own making is a link: where the model, its demo and its split were published.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

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
from bot.chat import tables
from bot.chat.calling import ENDED
from bot.chat.plain import STEP_MARKS, STEP_WORDS, progress_words, whole
from bot.chat.text import blank, clean, cut, short, short_line, units
from bot.discord.buttons import Row, choices, details
from bot.discord.escape import code, code_line, fitted
from bot.present import ROOT
from bot.views import words

TEXT_UNITS = 4_000  # Discord's, of all texts of a message
MENTION_UNITS = 400  # kept for the line that calls people
MOST_PICTURES = 10
ALT_UNITS = 1_000
_EXPLAINED_UNITS = 900
_LEAST_UNITS = 40  # less room is none
_NOTICE_UNITS = 80
_HEAD_UNITS, _LINE_UNITS, _BLOCK_UNITS = 250, 400, 1_500
_ITEMS, _ROWS, _CODE_LINES, _STEPS = 20, 15, 30, 30
_BAR = 10  # characters

_MARKS = {
    Tone.NEUTRAL: "",
    Tone.WORKING: "⏳",
    Tone.WAITING: "❓",
    Tone.GOOD: "✅",
    Tone.WARN: "⚠️",
    Tone.BAD: "❌",
}
_COLOURS = {
    Tone.NEUTRAL: 0x95A5A6,
    Tone.WORKING: 0x3498DB,
    Tone.WAITING: 0xF1C40F,
    Tone.GOOD: 0x2ECC71,
    Tone.WARN: 0xE67E22,
    Tone.BAD: 0xE74C3C,
}
_LINKED = {
    *(("published", name) for name in ("Where", "Demo", "Split", "Pull request")),
    (ENDED, "Published"),
}
_ADDRESS = re.compile(r"https?://[A-Za-z0-9.-]{1,200}(?::\d{1,5})?(?:/[\w/.~%?=&+-]{0,300})?", re.ASCII)
_LANGUAGES = {"diff", "python", "json", "yaml", "toml", "sh"}


@dataclass(frozen=True, slots=True)
class Rendered:
    """``text`` is markdown and never empty. ``pictures`` are attached. ``rest`` is '' or the whole card as plain
    text, to attach as a file.
    """

    text: str
    colour: int
    rows: tuple[Row, ...] = ()
    pictures: tuple[Picture, ...] = ()
    rest: str = ""


def render(card: Card) -> Rendered:
    """The card as one message."""
    buttons = choices(card)
    message = _Message(card)
    message.cut = buttons.left > 0
    body = _head(message)
    explained = _explained(message, buttons.left)
    message.room -= sum(units(part) + 1 for part in explained)
    for block in body:
        _lay_out(message, block)
    text = "\n".join([*message.parts, *explained, *_notice(message)])
    pictures = [block for block in card.blocks if isinstance(block, Picture)]
    message.cut = message.cut or len(pictures) > MOST_PICTURES
    return Rendered(
        text=text,
        colour=_COLOURS[card.tone],
        rows=buttons.rows,
        pictures=tuple(pictures[:MOST_PICTURES]),
        rest=whole(card) if message.cut or message.left_out else "",
    )


def _lay_out(message: _Message, block: Block) -> None:
    """Adds the block. Where no room is left, nothing of it is even looked at: data may hold endless texts."""
    if isinstance(block, Picture | Place):
        return
    if message.room <= _LEAST_UNITS:
        message.left_out += 1
        return
    for part in _block(message, block):
        message.add(part)
        if message.room <= _LEAST_UNITS:
            message.cut = True  # perhaps only its end
            return


@dataclass(slots=True)
class _Message:
    """What has been laid out so far, and whether all of the card is there."""

    card: Card
    parts: list[str] = field(default_factory=list)
    room: int = TEXT_UNITS - MENTION_UNITS - _NOTICE_UNITS
    cut: bool = False
    left_out: int = 0  # blocks of the card

    def add(self, part: str) -> None:
        """Puts the part at the end, or counts it as left out."""
        if units(part) + 1 > self.room:
            self.left_out += 1
            return
        self.parts.append(part)
        self.room -= units(part) + 1

    def most(self, wanted: int) -> int:
        """Units that a part may have now."""
        return max(0, min(wanted, self.room - 20))

    def escaped(self, text: str, most: int) -> str:
        """``text`` as markdown in at most ``most`` units; notes if that is not all of it."""
        kept, whole_text = fitted(text, most)
        self.cut = self.cut or not whole_text
        return kept

    def line(self, text: str, most: int = _LINE_UNITS) -> str:
        """The same, on one line."""
        kept, whole_text = fitted(text, most, one_line=True)
        self.cut = self.cut or not whole_text
        return kept

    def more(self, count: int, what: str = "") -> list[str]:
        """A line for what a list has beyond its limit, if anything."""
        self.cut = self.cut or count > 0
        return [f"… and {words.number(count)} more{what}"] if count > 0 else []


def _head(message: _Message) -> Sequence[Block]:
    """Adds the headline; the blocks that stand below it. A card of one sentence has none: its mark goes before the
    sentence."""
    card, mark = message.card, _MARKS[message.card.tone]
    first = next(iter(card.blocks), None)
    if (
        blank(short_line(card.title, _HEAD_UNITS))
        and isinstance(first, Text)
        and not blank(clean(first.text))
    ):
        return [replace(first, text=f"{mark} {first.text}".strip()), *card.blocks[1:]]
    titles = (message.line(title, _HEAD_UNITS) for title in (card.title, card.fallback, "A run"))
    title = next(title for title in titles if not blank(title))
    message.add(f"### {mark} {title}".replace("###  ", "### "))
    return card.blocks


def _explained(message: _Message, left: int) -> list[str]:
    """What the choices mean, and how to take one that has no button."""
    lines = [
        f"- **{message.line(label)}**" + ("" if blank(detail) else f": {message.line(detail)}")
        for label, detail in details(message.card)
        if not blank(label)
    ]
    while sum(units(line) + 1 for line in lines) > _EXPLAINED_UNITS:
        lines.pop()
        message.cut = True
    if left:
        said = f"… and {words.plural(left, 'more choice')}: answer in this thread with the name of one."
        lines.append(f"-# {said}")
    return lines


def _notice(message: _Message) -> list[str]:
    if not message.cut and not message.left_out:
        return []
    more = f"… and {words.plural(message.left_out, 'more part')}. " if message.left_out else ""
    return [f"-# {more}The whole text is in the attached file."]


# -- the body ------------------------------------------------------------------------------------------------


def _block(message: _Message, block: Block) -> Iterable[str]:
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
        case Code():
            return _code(message, block)
        case FileLink():
            return _link(message, block)
        case Picture() | Place():
            return []


def _text(message: _Message, block: Text) -> Iterable[str]:
    if block.style is Style.STRONG:
        said = message.line(block.text, message.most(_BLOCK_UNITS))
    else:
        said = message.escaped(block.text, message.most(_BLOCK_UNITS))
    if blank(said):
        return []
    match block.style:
        case Style.QUOTE:
            return [_each(said, "> "), ""]  # else some clients take what follows into the quote
        case Style.MUTED:
            return [_each(said, "-# ")]
        case Style.WARN:
            return [f"{_MARKS[Tone.WARN]} {said}"]
        case Style.STRONG:
            return [f"**{said}**"]
        case Style.PLAIN:
            return [said]


def _each(text: str, mark: str) -> str:
    return "\n".join(mark + line for line in text.split("\n") if not blank(line))


def _bullets(message: _Message, block: Bullets) -> Iterable[str]:
    mark = f"{_MARKS[Tone.WARN]} " if block.style is Style.WARN else ""
    around = {Style.STRONG: "**"}.get(block.style, "")
    for item in block.items[:_ITEMS]:
        if not blank(said := message.line(item)):
            yield f"- {mark}{around}{said}{around}"
    yield from (f"- {line}" for line in message.more(len(block.items) - _ITEMS))


def _fields(message: _Message, block: Fields) -> Iterable[str]:
    for name, value in block.items[:_ITEMS]:
        label, shown = message.line(name), _value(message, name, value)
        yield f"**{label}:** {shown}" if not blank(label) else shown
    yield from message.more(len(block.items) - _ITEMS)


def _value(message: _Message, name: str, value: str) -> str:
    ours = any(message.card.key.startswith(key) and name == linked for key, linked in _LINKED)
    if ours and _ADDRESS.fullmatch(value):
        return f"<{value}>"
    said = message.escaped(value, _LINE_UNITS).replace("\n", " ")
    return "–" if blank(said) else said


def _table(message: _Message, block: Table) -> Iterable[str]:
    """With fewer rows where the message has no room for more."""
    if not block.columns:
        return
    shown = tables.regular(tables.first_rows(block, _ROWS), _LINE_UNITS)
    while len(shown.rows) > 1 and units(_fenced(shown)) > message.most(_BLOCK_UNITS):
        shown = tables.first_rows(shown, len(shown.rows) // 2)
    whole_rows = tables.regular(tables.first_rows(block, len(shown.rows)), 4 * _LINE_UNITS)
    message.cut = message.cut or shown != whole_rows
    yield _fenced(shown)
    yield from (f"-# {line}" for line in message.more(len(block.rows) - len(shown.rows), " rows"))


def _fenced(table: Table, language: str = "") -> str:
    return f"```\n{code(tables.fixed_width(table))}\n```"


def _progress(message: _Message, block: Progress) -> str:
    said = message.line(progress_words(block))
    if block.total <= 0:
        return said
    full = round(_BAR * block.share)
    return f"`{'█' * full}{'░' * (_BAR - full)}` {said}"


def _steps(message: _Message, steps: Sequence[Step]) -> Iterable[str]:
    """Lines of text. The run's own card shows the step that it is at, alone."""
    done = sum(step.state is StepState.DONE for step in steps)
    line = f"{done} of {words.plural(len(steps), 'step')} done"
    if message.card.key == ROOT:
        now = [step for step in steps if step.state not in (StepState.DONE, StepState.TODO)]
        yield ". ".join([line, *(message.line(_step_line(step)) for step in now[:1])])
        yield f"-# Run {message.line(message.card.run_id)}"  # what commands name it by
        return
    for step in steps[:_STEPS]:
        yield f"{STEP_MARKS[step.state]} {message.line(_step_line(step))}"
    yield ". ".join([line, *message.more(len(steps) - _STEPS)])


def _step_line(step: Step) -> str:
    parts = (short_line(part, _LINE_UNITS) for part in (step.label, step.detail))
    said = ": ".join(part for part in parts if not blank(part))
    return f"{STEP_WORDS[step.state].capitalize()}: {said}"


def _code(message: _Message, block: Code) -> Iterable[str]:
    lines = code(short(block.text, _CODE_LINES * _BLOCK_UNITS)).strip("\n").split("\n")
    most = message.most(_BLOCK_UNITS) - 20
    said = cut("\n".join(lines[:_CODE_LINES]), max(most, 0))
    message.cut = message.cut or said != "\n".join(lines) or len(block.text) > _CODE_LINES * _BLOCK_UNITS
    if blank(said):
        return
    language = block.language if block.language in _LANGUAGES else ""
    yield f"```{language}\n{said}\n```"
    yield from (f"-# {line}" for line in message.more(len(lines) - _CODE_LINES, " lines"))


def _link(message: _Message, block: FileLink) -> Iterable[str]:
    path, title = code_line(short(block.path, _LINE_UNITS)), message.line(block.title)
    named = f"`{path}`" if not blank(path) else ""
    about = ", ".join(part for part in (title, words.size(block.bytes)) if not blank(part))
    said = " ".join(part for part in (named, about) if not blank(part))
    if said:
        yield f"- {said}"
