"""``intern discord``: the Discord surface as a process. SIGTERM stops taking in, lets what is being handled end, and
leaves the rest to the next start. Reconnecting and resuming is discord.py's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import discord

from bot.discord.app import InternBot, create_bot
from bot.discord.errors import translated
from bot.discord.sync import NOT_ACCEPTED, is_synced
from bot.settings import Settings, SettingsError
from bot.wiring import App

Say = Callable[[str], None]
CLOSE_S = 5.0
NO_INTENT = (
    "Discord does not let me read messages: switch on “Message Content Intent” on the application's page “Bot”, "
    "see docs/discord.md."
)


def check_settings(settings: Settings) -> None:
    """Raises SettingsError, in a sentence, for what Discord cannot be served with."""
    if settings.discord_token is None:
        raise SettingsError("DISCORD_TOKEN is not set: docs/discord.md says where it comes from.")


async def serve(app: App, stop: asyncio.Event, say: Say) -> None:
    """Serve Discord until ``stop``. Raises SettingsError, SurfaceDown (when Discord cannot be reached at the start)."""
    check_settings(app.settings)
    token = app.settings.discord_token
    assert token is not None
    bot = create_bot(app)
    async with bot:
        try:
            with translated("the log-in"):
                await bot.login(token.get_secret_value())
        except discord.LoginFailure as error:
            raise SettingsError(NOT_ACCEPTED) from error
        connected = asyncio.create_task(_connect(bot), name="discord gateway")
        ready = asyncio.create_task(bot.wait_until_ready())
        stopped = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({connected, ready, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if not connected.done() and not stop.is_set():
                _greet(app, bot, say)
                await _until_either(bot, stop, connected)
        finally:
            for task in (ready, stopped):
                task.cancel()
            await bot.close()
            await asyncio.gather(ready, stopped, return_exceptions=True)
            await asyncio.wait({connected}, timeout=CLOSE_S)
            if not connected.done():  # waiting to connect once more
                connected.cancel()
                await asyncio.wait({connected})
        if not connected.cancelled():
            connected.result()


async def _connect(bot: InternBot) -> None:
    try:
        with translated("the gateway"):
            await bot.connect(reconnect=True)
    except discord.PrivilegedIntentsRequired as error:
        raise SettingsError(NO_INTENT) from error


async def _until_either(bot: InternBot, stop: asyncio.Event, connected: asyncio.Task[None]) -> None:
    """Attend until ``stop``, or until the connection is lost for good."""
    ours = asyncio.Event()
    attending = asyncio.create_task(bot.attend(ours))
    stopped = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({attending, stopped, connected}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopped.cancel()
        ours.set()
        await attending


def _greet(app: App, bot: InternBot, say: Say) -> None:
    servers = len(bot.guilds)
    say(f"Discord: connected as {bot.user} in {servers} server{'s' if servers != 1 else ''}.")
    if not servers:
        say("Discord: I am in no server yet; `intern doctor` prints the address to invite me with.")
    if not is_synced(bot.tree, app.deps.home, bot.application_id or 0, app.settings.discord_guild_id):
        say(
            "Discord: the commands are new or have changed; run `intern release` once so that Discord shows them."
        )
