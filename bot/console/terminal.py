"""The terminal's renderer: prints settled cards, and shows live ones in place while they change.

On a terminal the lower lines are a rich ``Live``: the training's bar and epochs, and what the run is doing.
Anywhere else (a pipe, a file, ``TERM=dumb``) nothing is ever redrawn: a live card says its ``news`` in a
line, and is printed in full when it has settled. ``NO_COLOR`` is respected by rich itself.
"""

from __future__ import annotations

import io
from types import TracebackType
from typing import Self, TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner

from bot.cards import Card, Progress, Text
from bot.console import blocks
from bot.present import ROOT

MAX_COLUMNS = 100  # longer lines are hard to read
_REFRESH_PER_S = 8


def open_console(stream: TextIO, *, columns: int | None = None) -> Console:
    """A console on ``stream`` that never parses markup. What the stream cannot encode becomes a question
    mark.
    """
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="replace")
    console = Console(file=stream, markup=False, emoji=False, highlight=False, soft_wrap=False, width=columns)
    if columns is None and console.width > MAX_COLUMNS:
        console.width = MAX_COLUMNS
    return console


class Terminal:
    """A :class:`bot.projector.Renderer`. Use as a context manager, so that the cursor comes back."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._moves = console.is_terminal and console.file.isatty() and not console.is_dumb_terminal
        self._live: Live | None = None
        self._open: dict[str, Card] = {}  # live cards, not yet printed in full
        self._root: Card | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.settle()

    async def show(self, card: Card) -> str:
        if card.key == ROOT and card.live:
            self._header(card)
        self._take(card)
        return card.key

    async def update(self, handle: str, card: Card) -> str:
        self._take(card)
        return handle

    def delay_s(self, card: Card) -> float:
        return 0.0

    def say(self, text: str, style: str = "") -> None:
        self._print(blocks.line(text, style))

    def put(self, renderable: RenderableType) -> None:
        self._print(renderable)

    def ask(self, card: Card) -> None:
        """Print an open question with its choices numbered; the live part is put away, so that one can
        type.
        """
        self.settle()
        self._print(blocks.card(card, number_actions=True), gap=True)

    def prompt(self, text: str) -> None:
        self._console.print(blocks.line(text, "bold"), end=" ")
        self._console.file.flush()

    def settle(self) -> None:
        """Stop redrawing, and print what was only drawn so far; open questions are left to ``ask``."""
        if self._live is not None:
            self._live.stop()
            self._live = None
        for card in self._open.values():
            if not card.asks:
                self._print(blocks.card(card), gap=True)
        self._open.clear()

    def _header(self, card: Card) -> None:
        quote = tuple(block for block in card.blocks if isinstance(block, Text))
        self._print(blocks.card(Card(card.key, card.run_id, f"Run {card.run_id}", quote)), gap=True)

    def _take(self, card: Card) -> None:
        if card.key == ROOT:
            self._root = card if card.live else None
            if not self._moves and card.news:
                self._print(blocks.line(f"… {card.news}", "dim"))
        elif card.live:
            self._open[card.key] = card
            if not self._moves and card.news:
                self._print(blocks.line(f"  {card.news}"))
        else:
            self._open.pop(card.key, None)
            self._print(blocks.card(card), gap=True)
        self._draw()

    def _draw(self) -> None:
        if not self._moves:
            return
        drawn = [blocks.card(card) for card in self._open.values() if not card.asks]
        if self._root is not None:
            drawn.append(self._status(self._root))
        if self._live is None and drawn:
            self._live = Live(
                console=self._console,
                refresh_per_second=_REFRESH_PER_S,
                transient=True,
                redirect_stderr=False,
            )
            self._live.start()
        if self._live is not None:
            self._live.update(Group("", *drawn))

    def _status(self, root: Card) -> RenderableType:
        doing = blocks.line(root.fallback.removeprefix(f"{root.title}: "), "cyan")
        job = next((block for block in root.blocks if isinstance(block, Progress) and block.total > 0), None)
        spinner = Spinner("dots", text=doing, style="cyan")
        return Group(spinner, blocks.progress(Progress(job.done, job.total))) if job else spinner

    def _print(self, renderable: RenderableType, *, gap: bool = False) -> None:
        if gap:
            self._console.print()
        self._console.print(renderable)
