"""The slash commands and the message's menu, as Discord shows them. What they do is decided elsewhere."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import discord
from discord import app_commands

from bot.chat.forms import METRICS
from bot.chat.incoming import Incoming, Kind
from bot.chat.text import short_line
from bot.discord import modals, read
from bot.views import words

if TYPE_CHECKING:
    from bot.discord.app import InternBot

_CHOICE_UNITS = 100  # Discord's
_RUN = "the run's name, such as r7k2mc"
Interaction = discord.Interaction[Any]

HELP = (
    ("/intern run", "start a run: what the texts are, and what the model should tell about them"),
    ("/intern run without a goal", "the same, as a form"),
    ("/intern status", "how far a run is"),
    ("/intern runs", "your runs"),
    ("/intern cancel", "stop a run; what was made is kept"),
    ("/intern try", "ask a run's model"),
    ("Apps → Train on this file", "in the menu of a message with a file"),
    (
        "In a run's thread",
        "answer its questions, or write: why? · status · cancel · make it smaller · try: a text",
    ),
)


def add_commands(bot: InternBot) -> None:
    bot.tree.add_command(_intern(bot))
    bot.tree.add_command(_train_on_file(bot))


async def _run_named(bot: InternBot, interaction: Interaction, typed: str) -> list[app_commands.Choice[str]]:
    runs = await bot.completions(interaction.guild_id, interaction.user.id, typed)
    return [
        app_commands.Choice(name=short_line(f"{r.id} · {words.cut(r.title, 80)}", _CHOICE_UNITS), value=r.id)
        for r in runs
    ]


def _intern(bot: InternBot) -> app_commands.Group:
    group = app_commands.Group(
        name="intern", description="A machine-learning intern: one sentence in, a model out", guild_only=True
    )
    _add_run(bot, group)

    async def complete(interaction: Interaction, current: str) -> list[app_commands.Choice[str]]:
        return await _run_named(bot, interaction, current)

    @group.command(name="status", description="How far a run is")
    @app_commands.describe(run=f"{_RUN}; empty: this thread's, or yours")
    @app_commands.autocomplete(run=complete)
    async def status(interaction: Interaction, run: str = "") -> None:
        await bot.take(interaction, _of_run(read.base(interaction, Kind.STATUS), run))

    @group.command(name="runs", description="Your runs")
    async def runs(interaction: Interaction) -> None:
        await bot.take(interaction, read.base(interaction, Kind.RUNS))

    @group.command(name="cancel", description="Stop a run; what was made is kept")
    @app_commands.describe(run=f"{_RUN}; empty: this thread's")
    @app_commands.autocomplete(run=complete)
    async def cancel(interaction: Interaction, run: str = "") -> None:
        await bot.take(interaction, _of_run(read.base(interaction, Kind.CANCEL), run))

    @group.command(name="try", description="Ask a run's model")
    @app_commands.describe(text="a text for the model", run=f"{_RUN}; empty: this thread's")
    @app_commands.autocomplete(run=complete)
    async def try_(interaction: Interaction, text: str, run: str = "") -> None:
        incoming = replace(read.base(interaction, Kind.TRY), text=text)
        await bot.take(interaction, _of_run(incoming, run))

    @group.command(name="help", description="What the intern understands")
    async def help_(interaction: Interaction) -> None:
        await bot.take(interaction, read.base(interaction, Kind.HELP))

    return group


def _of_run(incoming: Incoming, run: str) -> Incoming:
    return replace(incoming, run_id=run.strip().strip("`")[:40])


def _add_run(bot: InternBot, group: app_commands.Group) -> None:
    metrics = [app_commands.Choice(name=label, value=value) for value, label in METRICS]

    @group.command(name="run", description="Start a run; without a goal, a form opens")
    @app_commands.describe(
        goal="what the texts are, and what the model should tell about them",
        data="a data set of the Hub such as owner/name; empty: I look for one",
        file="your data: CSV, TSV, JSONL, Parquet or Excel",
        metric="what matters most",
        budget="US dollars at most; 0 spends nothing; empty: I ask before each dollar",
        minutes="minutes of training at most",
    )
    @app_commands.choices(metric=metrics)
    async def run(
        interaction: Interaction,
        goal: str = "",
        data: str = "",
        file: discord.Attachment | None = None,
        metric: str = "",
        budget: float | None = None,
        minutes: float | None = None,
    ) -> None:
        if not goal.strip() and file is None:
            await bot.send_form(interaction, modals.start())
            return
        fields = {"data": data, "budget": _number(budget), "minutes": _number(minutes)}
        files = read.attachments([file] if file else [])
        base = read.base(interaction, Kind.START)
        await bot.take(interaction, read.started(base, goal, metric, fields, files))


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}".rstrip("0").rstrip(".")


def _train_on_file(bot: InternBot) -> app_commands.ContextMenu:
    async def train_on_file(interaction: Interaction, message: discord.Message) -> None:
        file = read.data_file(message.attachments)
        if file is None:
            said = (
                "That message has no file that I can read. Attach a CSV, TSV, JSONL, Parquet or Excel file."
            )
            await bot.take(interaction, replace(read.base(interaction, Kind.HELP), text=said))
            return
        await bot.send_form(interaction, modals.start(f"{message.channel.id}/{message.id}", file.name))

    menu = app_commands.ContextMenu(name="Train on this file", callback=train_on_file)
    menu.guild_only = True
    return menu
