"""The lists of ``intern runs`` and ``intern try``, as rich renderables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table

from bot.console import blocks
from bot.console.safe import one_line
from bot.views import words
from bot.views.payload import Payload
from graph.deps import Run

_STATUS_STYLES = {
    "done": "green",
    "failed": "red",
    "waiting": "yellow",
    "cancelled": "dim",
    "running": "cyan",
}
_TOP_SCORES = 3
_UNLIKE = "This text is unlike what the model was trained on: do not trust the answer."


def runs_table(runs: Sequence[Run]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("Run", "Status", "At", "What", "Since (UTC)"):
        table.add_column(name, no_wrap=name != "What", overflow="ellipsis")
    for run in runs:
        table.add_row(
            blocks.line(run.id, "bold"),
            blocks.line(run.status.value, _STATUS_STYLES[run.status]),
            blocks.line("" if run.status.ended else run.stage.value.replace("_", " ")),
            blocks.line(one_line(run.title)),
            blocks.line(run.created_at[:16].replace("T", " ")),
        )
    return table


def predictions(answers: Sequence[Mapping[str, Any]]) -> RenderableType:
    """For each text its label and confidence, the next likely labels, and a warning for text unlike the
    training's.
    """
    parts: list[RenderableType] = []
    for answer in map(Payload, answers):
        confidence = answer.number("confidence")
        sure = "" if confidence is None else f"  {100 * confidence:.1f} %"
        label = answer.text("label") or ", ".join(answer.texts("label")) or "no label"
        if (value := answer.number("label")) is not None:
            label = words.number(value)
        parts.append(blocks.line(f"{label}{sure}", "bold"))
        parts.append(blocks.line(f"  “{words.cut(answer.text('text'), 200)}”", "dim"))
        others = sorted(answer.part("scores").numbers().items(), key=lambda pair: -pair[1])[
            1 : 1 + _TOP_SCORES
        ]
        if others:
            parts.append(blocks.line("  then " + ", ".join(f"{n} {100 * p:.1f} %" for n, p in others), "dim"))
        if answer.flag("unlike_training"):
            parts.append(blocks.line(f"  {_UNLIKE}", "yellow"))
    return Group(*parts)
