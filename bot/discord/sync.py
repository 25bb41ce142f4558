"""Tells Discord which commands there are: in the release step, and only when they changed.

Discord keeps commands until they are replaced, allows 200 changes a day, and shows new ones everywhere within an hour,
in one server (``DISCORD_GUILD_ID``) at once. What it was told last stands in ``discord-commands.json``.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import discord
from discord import app_commands

from bot.discord.errors import translated
from bot.settings import SettingsError

if TYPE_CHECKING:
    from bot.wiring import App

FILE = "discord-commands.json"
NOT_ACCEPTED = (
    "DISCORD_TOKEN is not accepted by Discord: copy it again from the application's page “Bot”, "
    "as docs/discord.md says."
)


def fingerprint(tree: app_commands.CommandTree[Any]) -> str:
    """Of all commands as Discord is told them."""
    commands = [command.to_dict(tree) for command in tree.get_commands()]
    said = json.dumps(sorted(commands, key=lambda c: (c["type"], c["name"])), sort_keys=True)
    return hashlib.sha256(said.encode()).hexdigest()


def is_synced(tree: app_commands.CommandTree[Any], home: Path, application: int, guild: int | None) -> bool:
    try:
        known = json.loads((home / FILE).read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return bool(known == _note(tree, application, guild))


async def sync(tree: app_commands.CommandTree[Any], home: Path, application: int, guild: int | None) -> bool:
    """Whether anything had to be told. ``tree``'s client is logged in. Raises SurfaceDown, PlaceGone."""
    if is_synced(tree, home, application, guild):
        return False
    place = discord.Object(guild) if guild else None
    if place:
        tree.copy_global_to(guild=place)
    with translated("the commands"):
        await tree.sync(guild=place)
    beside = home / f".{FILE}.{os.getpid()}"
    home.mkdir(parents=True, exist_ok=True)
    beside.write_text(json.dumps(_note(tree, application, guild)), "utf-8")
    beside.replace(home / FILE)
    return True


def _note(tree: app_commands.CommandTree[Any], application: int, guild: int | None) -> dict[str, Any]:
    return {"application": str(application), "guild": str(guild or ""), "sha256": fingerprint(tree)}


async def release(app: App, say: Callable[[str], None]) -> None:
    """Log in, without going online, and tell Discord the commands. Raises SettingsError, SurfaceDown."""
    from bot.discord.app import create_bot

    token = app.settings.discord_token
    if token is None:
        raise SettingsError("DISCORD_TOKEN is not set: docs/discord.md says where it comes from.")
    bot = create_bot(app)
    async with bot:
        try:
            with translated("the log-in"):
                await bot.login(token.get_secret_value())
        except discord.LoginFailure as error:
            raise SettingsError(NOT_ACCEPTED) from error
        guild = app.settings.discord_guild_id
        told = await sync(bot.tree, app.deps.home, bot.application_id or 0, guild)
    say("Discord knows the commands now." if told else "Discord's commands are unchanged.")
