"""What ``intern doctor`` looks at for Discord: token, application, intents, servers, permissions, commands.

Discord is asked over HTTP alone; the bot does not go online for it. Never shows a secret.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import discord

from bot.chat.feed import PlaceGone, SurfaceDown
from bot.discord.client import without_voice
from bot.discord.errors import translated
from bot.discord.permissions import NEEDED, least, listed
from bot.discord.sync import FILE
from bot.doctor import Check, Verdict
from bot.settings import Settings

NAME = "Discord"
_SERVERS = 5


def invitation(application: int) -> str:
    """The address by which the bot is added to a server, with the least permissions."""
    return discord.utils.oauth_url(application, permissions=least(), scopes=("bot", "applications.commands"))


async def check(settings: Settings, home: Path) -> list[Check]:
    """Nothing where Discord is not set up."""
    if settings.discord_token is None:
        return []
    without_voice()
    client = discord.Client(intents=discord.Intents(guilds=True))
    async with client:
        try:
            with translated("the log-in"):
                await client.login(settings.discord_token.get_secret_value())
        except discord.LoginFailure:
            mend = "Copy it again from the application's page “Bot”, and set DISCORD_TOKEN."
            return [Check(NAME, Verdict.BAD, "the token is not accepted", mend)]
        except (SurfaceDown, PlaceGone) as error:
            return [Check(NAME, Verdict.WARN, str(error), "Look at the network, then try again.")]
        return await examined(client, settings, home)


async def examined(client: discord.Client, settings: Settings, home: Path) -> list[Check]:
    """``client`` is logged in."""
    try:
        with translated("a look at the application"):
            application = await client.application_info()
            servers = [guild async for guild in client.fetch_guilds(limit=_SERVERS)]
            lacking = await asyncio.gather(*(_lacking(client, guild.id) for guild in servers))
    except (SurfaceDown, PlaceGone) as error:
        return [Check(NAME, Verdict.WARN, str(error), "Look at the network, then try again.")]
    found = [
        Check(f"{NAME} token", Verdict.OK, f"logged in as {client.user}"),
        _application(settings, application.id),
        _intents(application.flags),
        _servers(application.id, servers),
        *(_permissions(g.name, names, application.id) for g, names in zip(servers, lacking, strict=True)),
        _commands(home),
    ]
    return [one for one in found if one]


def _application(settings: Settings, application: int) -> Check | None:
    if settings.discord_application_id in (None, application):
        return None
    mend = f"Set DISCORD_APPLICATION_ID to {application}, or leave it out."
    return Check(f"{NAME} application", Verdict.WARN, "the token belongs to another application", mend)


def _intents(flags: discord.ApplicationFlags) -> Check:
    if flags.gateway_message_content or flags.gateway_message_content_limited:
        return Check(f"{NAME} intents", Verdict.OK, "message content may be read")
    mend = "Switch on “Message Content Intent” on the application's page “Bot”."
    return Check(f"{NAME} intents", Verdict.BAD, "replies in threads cannot be read", mend)


def _servers(application: int, servers: Sequence[discord.Guild]) -> Check:
    if servers:
        return Check(f"{NAME} servers", Verdict.OK, ", ".join(guild.name[:40] for guild in servers))
    mend = f"Open {invitation(application)} and choose a server."
    return Check(f"{NAME} servers", Verdict.WARN, "the bot is in no server", mend)


async def _lacking(client: discord.Client, guild: int) -> list[str]:
    """Permissions that the bot's roles in the server do not give. A channel may still take some away: that is told
    there."""
    assert client.user is not None
    found = await client.fetch_guild(guild, with_counts=False)
    have = (await found.fetch_member(client.user.id)).guild_permissions
    return [] if have.administrator else [name for flag, name in NEEDED.items() if not getattr(have, flag)]


def _permissions(server: str, lacking: Sequence[str], application: int) -> Check | None:
    if not lacking:
        return None
    mend = f"Give them to its role in the server's settings, or invite it again: {invitation(application)}"
    return Check(f"{NAME} permissions", Verdict.WARN, f"in {server[:40]} it lacks {listed(lacking)}", mend)


def _commands(home: Path) -> Check:
    if (home / FILE).exists():
        return Check(f"{NAME} commands", Verdict.OK, "told to Discord")
    return Check(f"{NAME} commands", Verdict.WARN, "not told to Discord yet", "Run `intern release`.")
