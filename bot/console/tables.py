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
from bot.views.predicted import predicted
from graph.deps import Budgets, PublishFile, Run, Spend

_STATUS_STYLES = {
    "done": "green",
    "failed": "red",
    "waiting": "yellow",
    "cancelled": "dim",
    "running": "cyan",
}


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


def spend_table(lines: Sequence[Spend], budgets: Budgets) -> RenderableType:
    """By month: in all, then by person, by channel and by language model, beside the ceiling that holds for each."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name, right in (
        ("Month", False),
        ("For", False),
        ("Spent", True),
        ("Still committed", True),
        ("Ceiling", True),
    ):
        table.add_column(name, no_wrap=name != "For", overflow="fold", justify="right" if right else "left")
    for month in sorted({line.at[:7] for line in lines}, reverse=True):
        of_month = [line for line in lines if line.at[:7] == month]
        table.add_row(*_spend_row(month, "everybody", of_month, budgets.month), style="bold")
        for who in sorted({line.person for line in of_month}):
            mine = [line for line in of_month if line.person == who]
            table.add_row(*_spend_row("", who, mine, budgets.person))
        for channel in sorted({line.channel for line in of_month if line.channel}):
            there = [line for line in of_month if line.channel == channel]
            table.add_row(*_spend_row("", channel, there, budgets.channel))
        for model in sorted({line.hardware for line in of_month if line.input_tokens is not None}):
            asked = [line for line in of_month if line.hardware == model and line.input_tokens is not None]
            table.add_row(*_spend_row("", f"{model}, {_tokens(asked)}", asked, None))
    return table


def _tokens(lines: Sequence[Spend]) -> str:
    sent, said = sum(line.input_tokens or 0 for line in lines), sum(line.output_tokens or 0 for line in lines)
    return f"{sent:,} tokens in, {said:,} out"


def _cents(usd: float) -> str:
    """A sum; a language model's answer may cost less than a cent."""
    return f"${usd:,.4f}" if 0 < usd < 0.01 else f"${usd:,.2f}"


def _spend_row(month: str, whose: str, lines: Sequence[Spend], ceiling: float | None) -> list[RenderableType]:
    spent = sum(line.actual_usd or 0.0 for line in lines)
    committed = sum(line.committed_usd for line in lines if line.actual_usd is None)
    limit = "–" if ceiling is None else f"${ceiling:,.2f}"
    return [*map(blocks.line, (month, one_line(whose), _cents(spent), _cents(committed), limit))]


def planned_files(target: str, files: Sequence[PublishFile]) -> RenderableType:
    """What a publication to ``target`` would send, by repository; and how much that is."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name, right in (("To", False), ("File", False), ("Size", True), ("sha256", False)):
        table.add_column(name, overflow="fold", justify="right" if right else "left")
    for file in files:
        table.add_row(
            *map(blocks.line, (file.repo, one_line(file.path), words.size(file.bytes), file.sha256[:12]))
        )
    total = words.size(sum(file.bytes for file in files))
    said = f"{words.plural(len(files), 'file')}, {total}, would go to {one_line(target)}. Nothing was sent."
    return Group(table, blocks.line(said, "bold"))


def predictions(answers: Sequence[Mapping[str, Any]]) -> RenderableType:
    """For each text what the model says, the next likely labels, and warnings."""
    parts: list[RenderableType] = []
    for said in (predicted(Payload(answer)) for answer in answers):
        parts.append(blocks.line(said.line, "bold"))
        parts.append(blocks.line(f"  “{words.cut(said.text, 200)}”", "dim"))
        if said.others:
            parts.append(blocks.line(f"  then {said.others}", "dim"))
        parts += [blocks.line(f"  {warning}", "yellow") for warning in said.warnings]
    return Group(*parts)
