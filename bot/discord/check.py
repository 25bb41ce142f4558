"""What ``intern doctor`` looks at for Discord: token, application, intents, servers, permissions, commands.

Discord is asked over HTTP alone; the bot does not go online for it. Never shows a secret.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import discord

from bot.chat.feed import PlaceGone, SurfaceDown
from bot.discord.errors import translated
from bot.discord.permissions import NEEDED, least, listed
from bot.discord.sync import FILE
from bot.doctor import Check, Verdict
from bot.settings import Settings

NAME = "Discord"
_SERVERS = 5


def invitation(application: int) -> str:
    """The address by which the bot is added to a server, with the least permissions."""
    return discord.utils.oauth_url(
        application, permissions=least(), scopes=("bot", "applications.commands")
    )


async def check(settings: Settings, home: Path) -> list[Check]:
    """Nothing where Discord is not set up."""
    if settings.discord_token is None:
        return []
    client = discord.Client(intents=discord.Intents.none())
    async with client:
        try:
            with translated("the log-in"):
                await client.login(settings.discord_token.get_secret_value())
        except discord.LoginFailure:
            mend = "copy it again from the application's page “Bot”, and set DISCORD_TOKEN"
            return [Check(NAME, Verdict.BAD, "the token is not accepted", mend)]
        except (SurfaceDown, PlaceGone) as error:
            return [Check(NAME, Verdict.WARN, str(error), "look at the network, then try again")]
        return await examined(client, settings, home)


async def examined(client: discord.Client, settings: Settings, home: Path) -> list[Check]:
    """``client`` is logged in."""
    try:
        with translated("a look at the application"):
            application = await client.application_info()
            servers = [guild async for guild in client.fetch_guilds(limit=_SERVERS)]
    except (SurfaceDown, PlaceGone) as error:
        return [Check(NAME, Verdict.WARN, str(error), "look at the network, then try again")]
    checks = [
        Check(f"{NAME} token", Verdict.OK, f"logged in as {client.user}"),
        _application(settings, application.id),
        _intents(application.flags),
        _servers(application.id, servers),
        *[_permissions(guild, application.id) for guild in servers],
        _commands(home),
    ]
    return [found for found in checks if found]


def _application(settings: Settings, application: int) -> Check | None:
    if settings.discord_application_id in (None, application):
        return None
    mend = f"set DISCORD_APPLICATION_ID to {application}, or leave it out"
    return Check(f"{NAME} application", Verdict.WARN, "the token belongs to another application", mend)


def _intents(flags: discord.ApplicationFlags) -> Check:
    if flags.gateway_message_content or flags.gateway_message_content_limited:
        return Check(f"{NAME} intents", Verdict.OK, "message content may be read")
    mend = "switch on “Message Content Intent” on the application's page “Bot”"
    return Check(f"{NAME} intents", Verdict.BAD, "replies in threads cannot be read", mend)


def _servers(application: int, servers: Sequence[discord.Guild]) -> Check:
    if servers:
        return Check(f"{NAME} servers", Verdict.OK, ", ".join(guild.name[:40] for guild in servers))
    mend = f"open {invitation(application)} and choose a server"
    return Check(f"{NAME} servers", Verdict.WARN, "the bot is in no server", mend)


def _permissions(guild: discord.Guild, application: int) -> Check | None:
    """By the role in the server; a channel may still take something away, which is told there."""
    have = getattr(guild, "_permissions", None) if False else None
    return None if have is None else None


def _commands(home: Path) -> Check:
    if (home / FILE).exists():
        return Check(f"{NAME} commands", Verdict.OK, "told to Discord")
    return Check(f"{NAME} commands", Verdict.WARN, "not told to Discord yet", "run `intern release`")


def _lacking(have: discord.Permissions) -> list[str]:
    return [] if have.administrator else [name for flag, name in NEEDED.items() if not getattr(have, flag)]


_ = listed, _lacking
