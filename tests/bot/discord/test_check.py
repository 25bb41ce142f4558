"""What `intern doctor` says about Discord."""

from __future__ import annotations

from pathlib import Path

import discord
import pytest

from bot.discord import check
from bot.discord.sync import FILE
from bot.doctor import Check, Verdict
from bot.settings import load_settings
from tests.bot.discord.gateway import Gateway
from tests.bot.discord.surface import DiscordSurface
from tests.bot.discord.test_serve import gateway

__all__ = ["gateway"]


async def looked(server: DiscordSurface, **env: str) -> dict[str, Check]:
    async with server.process():
        settings = load_settings({"DISCORD_TOKEN": "x"} | env)
        found = await check.examined(server.bot, settings, server.jobs.home)
    return {one.name: one for one in found}


async def test_all_is_well(server: DiscordSurface) -> None:
    found = await looked(server)
    del found["Discord intents"]  # this Discord has no flags of an application
    assert {name: one.verdict for name, one in found.items()} == {
        "Discord token": Verdict.OK,
        "Discord servers": Verdict.OK,
        "Discord commands": Verdict.OK,
    }


async def test_a_permission_that_the_bots_roles_lack_is_named(server: DiscordSurface) -> None:
    guild = server.world.env.backend.get_guild(server.world.guild.id)
    for role in guild.roles.values():
        role.permissions &= ~discord.Permissions(attach_files=True).value
    found = await looked(server)
    assert found["Discord permissions"].verdict is Verdict.WARN
    assert "in Team it lacks “Attach Files”" in found["Discord permissions"].what
    assert "https://discord.com/oauth2/authorize" in found["Discord permissions"].mend


async def test_a_bot_in_no_server_gets_its_invitation(
    server: DiscordSurface, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.world.env.backend.guilds.clear()
    found = await looked(server)
    assert "scope=bot+applications.commands" in found["Discord servers"].mend


async def test_another_application_is_told(server: DiscordSurface) -> None:
    found = await looked(server, DISCORD_APPLICATION_ID="42")
    assert found["Discord application"].verdict is Verdict.WARN


async def test_commands_that_were_never_told(server: DiscordSurface) -> None:
    async with server.process():
        (server.jobs.home / FILE).unlink()
        found = await check.examined(server.bot, load_settings({}), server.jobs.home)
    assert found[-1].mend == "Run `intern release`."


async def test_a_wrong_token(gateway: Gateway, tmp_path: Path) -> None:
    (found,) = await check.check(load_settings({"DISCORD_TOKEN": "a-secret"}), tmp_path)
    assert (found.verdict, found.what) == (Verdict.BAD, "the token is not accepted")
    assert "a-secret" not in str(found)


async def test_what_cannot_be_asked_is_a_warning(gateway: Gateway, tmp_path: Path) -> None:
    found = await check.check(load_settings({"DISCORD_TOKEN": "right"}), tmp_path)
    assert found[-1].verdict is Verdict.WARN  # this server knows no list of guilds


async def test_without_a_token_there_is_nothing_to_say(tmp_path: Path) -> None:
    assert await check.check(load_settings({}), tmp_path) == []


@pytest.mark.parametrize(
    ("flags", "verdict"), [(0, Verdict.BAD), (1 << 18, Verdict.OK), (1 << 19, Verdict.OK)]
)
def test_intents(flags: int, verdict: Verdict) -> None:
    found = check._intents(discord.ApplicationFlags._from_value(flags))
    assert found.verdict is verdict
    assert ("Message Content Intent" in found.mend) is (verdict is Verdict.BAD)
