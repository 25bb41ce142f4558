"""Cards and their blocks as rich renderables. The one place where the terminal's look is decided.

Every string goes through :func:`bot.console.safe.safe` into a ``rich.text.Text``: no markup is ever parsed.
There are no frames: a title line with a mark, and below it the body, two columns in.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import groupby

from rich import box
from rich.console import Console, ConsoleOptions, Group, JustifyMethod, RenderableType, RenderResult
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.segment import Segment
from rich.table import Table as Grid
from rich.text import Text as Line

from bot.cards import (
    Action,
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
    Tone,
)
from bot.console.safe import one_line, safe
from bot.views import words

_MARKS = {
    Tone.NEUTRAL: ("•", "cyan"),
    Tone.WORKING: ("…", "cyan"),
    Tone.WAITING: ("?", "bold yellow"),
    Tone.GOOD: ("✓", "green"),
    Tone.WARN: ("!", "yellow"),
    Tone.BAD: ("✗", "bold red"),
}
_STYLES = {
    Style.PLAIN: "",
    Style.STRONG: "bold",
    Style.QUOTE: "italic",
    Style.MUTED: "dim",
    Style.WARN: "yellow",
}
_STEPS = {
    StepState.TODO: ("·", "dim"),
    StepState.NOW: ("…", "cyan"),
    StepState.WAITING: ("?", "bold yellow"),
    StepState.DONE: ("✓", "green"),
    StepState.FAILED: ("✗", "bold red"),
    StepState.STOPPED: ("!", "yellow"),
}
_BAR_COLUMNS = 30
_CODE_LINES = 40
_SHORT_CELL = 30  # characters; a table of short cells never wraps them


class Indented:
    """Two columns in, and without the blanks that rich fills a line's end with."""

    def __init__(self, inner: RenderableType) -> None:
        self._inner = inner

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for segments in console.render_lines(
            self._inner, options.update_width(options.max_width - 2), pad=False
        ):
            while segments and not segments[-1].text.strip():
                segments.pop()
            yield Segment("  " if segments else "")
            yield from segments[:-1]
            yield from (Segment(last.text.rstrip(), last.style, last.control) for last in segments[-1:])
            yield Segment.line()


def card(shown: Card, *, number_actions: bool = False) -> RenderableType:
    """The whole card; ``number_actions``: with its choices, numbered from 1."""
    parts = list(_blocks(shown.blocks))
    if number_actions and shown.actions:
        parts.append(actions(shown.actions))
    return Group(title(shown), *(Indented(part) for part in parts))


def visible(shown: Card) -> Card:
    """Without the buttons of a card that asks nothing, which a terminal has not."""
    return shown if shown.asks else replace(shown, actions=())


def title(shown: Card) -> Line:
    mark, style = _MARKS[shown.tone]
    return Line.assemble((mark, style), " ", (one_line(shown.title), "bold"))


def line(text: str, style: str = "") -> Line:
    return Line(safe(text), style=style)


def actions(choices: Sequence[Action]) -> RenderableType:
    grid = _grid(3)
    for number, choice in enumerate(choices, 1):
        style = {"primary": "bold", "danger": "red"}.get(choice.style, "")
        grid.add_row(line(f"{number}", "bold"), line(choice.label, style), line(choice.detail, "dim"))
    return grid


def _blocks(blocks: Sequence[Block]) -> Iterable[RenderableType]:
    """Neighbours of one kind share a grid, so that columns line up; a table stands between empty lines."""
    for number, (kind, group) in enumerate(groupby(blocks, _kind)):
        neighbours = list(group)
        if kind is FileLink:
            yield _links([block for block in neighbours if isinstance(block, FileLink)])
        elif kind is Fields:
            yield _fields([item for block in neighbours for item in _items(block)])
        elif kind is Table:
            yield from (Padding(_block(block), (int(number > 0), 0, 1, 0)) for block in neighbours)
        else:
            yield from map(_block, neighbours)


def _kind(block: Block) -> type[Block]:
    return Fields if isinstance(block, Place) else type(block)


def _items(block: Block) -> Sequence[tuple[str, str]]:
    if isinstance(block, Place):
        return ((block.label, block.path),)
    return block.items if isinstance(block, Fields) else ()


def _block(block: Block) -> RenderableType:
    match block:
        case Text(text, style):
            return line(f"“{text}”" if style is Style.QUOTE else text, _STYLES[style])
        case Bullets(items, style):
            grid = _grid(2)
            for item in items:
                grid.add_row(Line("–"), line(item, _STYLES[style]))
            return grid
        case Fields() | Place():
            return _fields(_items(block))
        case Table():
            return _table(block)
        case Progress():
            return progress(block)
        case Steps(items):
            return Group(*(_step(item.label, item.state, item.detail) for item in items))
        case Picture(path, alt_text):
            return line(f"{path}: {alt_text}", "dim")
        case Code(text):
            return _code(text)
        case FileLink():
            return _links([block])


def _grid(columns: int) -> Grid:
    """Columns without lines; the last one takes what is left and wraps."""
    grid = Grid.grid(padding=(0, 2, 0, 0))
    for number in range(columns):
        grid.add_column(no_wrap=number == 0, overflow="fold")
    return grid


def _table(table: Table) -> Grid:
    grid = Grid(
        box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0), header_style="dim"
    )
    widest = max((len(cell) for row in table.rows for cell in row), default=0)
    for column in table.columns:
        side: JustifyMethod = "right" if column.right else "left"
        short = column.right or widest < _SHORT_CELL
        grid.add_column(line(column.title), justify=side, no_wrap=short, overflow="fold")
    for number, row in enumerate(table.rows):
        grid.add_row(*map(line, row), style="bold" if number == table.strong else "")
    return grid


def _step(label: str, state: StepState, detail: str) -> Line:
    mark, style = _STEPS[state]
    text = Line.assemble((mark, style), " ", (one_line(label), "dim" if state is StepState.TODO else ""))
    return text.append(f"  {one_line(detail)}", "dim") if detail else text


def progress(block: Progress) -> RenderableType:
    """A bar, its share and its label."""
    label = line(block.label, "dim")
    if block.total <= 0:
        return label
    grid = Grid.grid(padding=(0, 1, 0, 0))
    bar = ProgressBar(total=1.0, completed=block.share, width=_BAR_COLUMNS)
    grid.add_row(bar, line(f"{round(100 * block.share)} %"), label)
    return grid


def _fields(items: Sequence[tuple[str, str]]) -> Grid:
    grid = _grid(2)
    for name, value in items:
        grid.add_row(line(name, "dim"), line(value))
    return grid


def _code(text: str) -> Line:
    lines = safe(text).splitlines()
    more = len(lines) - _CODE_LINES
    shown = lines[:_CODE_LINES] + ([f"… and {words.plural(more, 'more line')}"] if more > 0 else [])
    return Line("\n".join(shown), style="dim")


def _links(links: Sequence[FileLink]) -> Grid:
    grid = _grid(3)
    for link in links:
        grid.add_row(line(link.path), line(link.title, "dim"), line(words.size(link.bytes), "dim"))
    return grid
