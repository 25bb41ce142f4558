"""App Home: what waits for me, my runs, what was spent. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from bot.chat.text import clean_line
from bot.slack import rich
from bot.views import words
from bot.views.answers import state_of
from graph.deps import Run

MOST_RUNS = 15


def view(
    waiting: Sequence[Run],
    mine: Sequence[Run],
    spent_usd: float,
    ceiling_usd: float | None,
    link: Callable[[Run], str],
) -> dict[str, Any]:
    """``link`` gives a run's address, or nothing where it has none yet."""
    ceiling = "no ceiling is set" if ceiling_usd is None else f"at most {words.usd(ceiling_usd)} a run"
    blocks: list[dict[str, Any]] = [
        rich.header("Waiting for you"),
        *(_run(run, link(run)) for run in waiting[:MOST_RUNS]),
        *([] if waiting else [rich.context("Nothing. I'll mention you when I need an answer.")]),
        {"type": "divider"},
        rich.header("Your runs"),
        *(_run(run, link(run)) for run in mine[:MOST_RUNS]),
        *([] if mine else [rich.context("None yet. Write /intern and what you want in one sentence.")]),
        {"type": "divider"},
        rich.header("Spent this month"),
        rich.rich(rich.section(rich.text(f"{_price(spent_usd)}; {ceiling}"))),
    ]
    return {"type": "home", "blocks": blocks}


def _price(spent_usd: float) -> str:
    return f"${spent_usd:,.2f}"


def _run(run: Run, link: str) -> dict[str, Any]:
    name = [rich.link_named(link, run.id)] if link else [rich.text(run.id, bold=True)]
    return rich.rich(
        rich.section(*name, rich.text(f"  {words.cut(clean_line(run.title), 80)}\n{state_of(run)}"))
    )
