"""The process: its start, its end, the network, and the release step. Against a server on this machine."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import discord
import pytest
import yarl
from discord.gateway import DiscordWebSocket
from discord.http import Route

from bot.chat.feed import SurfaceDown
from bot.discord import sync
from bot.discord.serve import NO_INTENT, check_settings, serve
from bot.serving import configured
from bot.settings import SettingsError, load_settings
from bot.wiring import App, open_app
from tests.bot.discord.gateway import Gateway, until


@pytest.fixture
async def gateway(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Gateway]:
    async with Gateway().running() as made:
        monkeypatch.setattr(Route, "BASE", made.api)
        monkeypatch.setattr(DiscordWebSocket, "DEFAULT_GATEWAY", yarl.URL(made.address))
        yield made


@asynccontextmanager
async def app(home: Path, **env: str) -> AsyncIterator[App]:
    settings = {"INTERN_HOME": str(home), "DISCORD_TOKEN": "right"} | env
    async with open_app(load_settings(settings)) as made:
        yield made


async def test_it_goes_online_says_so_and_leaves_when_asked(gateway: Gateway, tmp_path: Path) -> None:
    said: list[str] = []
    stop = asyncio.Event()
    async with app(tmp_path) as made:
        serving = asyncio.create_task(serve(made, stop, said.append))
        await until(lambda: said or serving.done())
        assert said[0] == "Discord: connected as intern#0000 in 1 server."
        assert "`intern release`" in said[1]
        stop.set()
        await asyncio.wait_for(serving, 10)
    assert all(socket.closed for socket in gateway.sockets)


async def test_a_lost_connection_is_resumed(gateway: Gateway, tmp_path: Path) -> None:
    said: list[str] = []
    stop = asyncio.Event()
    async with app(tmp_path) as made:
        serving = asyncio.create_task(serve(made, stop, said.append))
        await until(lambda: said)
        await gateway.drop()
        await until(lambda: 6 in gateway.opcodes)
        assert not serving.done()
        stop.set()
        await asyncio.wait_for(serving, 10)


async def test_a_wrong_token_is_told_in_a_sentence(gateway: Gateway, tmp_path: Path) -> None:
    async with app(tmp_path, DISCORD_TOKEN="wrong") as made:
        with pytest.raises(SettingsError, match="DISCORD_TOKEN is not accepted") as caught:
            await serve(made, asyncio.Event(), print)
    assert "wrong" not in str(caught.value).replace("is wrong", "")


async def test_a_missing_intent_is_named(gateway: Gateway, tmp_path: Path) -> None:
    gateway.close_with = 4014
    async with app(tmp_path) as made:
        with pytest.raises(SettingsError, match="Message Content Intent") as caught:
            await serve(made, asyncio.Event(), print)
    assert str(caught.value) == NO_INTENT


async def test_no_network_is_told_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Route, "BASE", "http://127.0.0.1:9/api/v10")
    async with app(tmp_path) as made:
        with pytest.raises(SurfaceDown, match="Discord cannot be reached"):
            await serve(made, asyncio.Event(), print)


async def test_without_a_token_it_is_not_served(tmp_path: Path) -> None:
    settings = load_settings({"INTERN_HOME": str(tmp_path)})
    with pytest.raises(SettingsError, match="DISCORD_TOKEN is not set"):
        check_settings(settings)
    assert configured(settings) == ()
    assert configured(load_settings({"DISCORD_TOKEN": "x", "SLACK_BOT_TOKEN": "y"})) == ("slack", "discord")


async def test_commands_are_told_once_and_again_when_they_change(
    gateway: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    async with app(tmp_path) as made:
        for _ in range(2):
            await sync.release(made, said.append)
        assert len(gateway.synced) == 1
        assert sorted(command["name"] for command in gateway.synced[0]) == ["Train on this file", "intern"]
        monkeypatch.setattr("bot.discord.commands._RUN", "another description")
        await sync.release(made, said.append)
        assert len(gateway.synced) == 2
    async with app(tmp_path, DISCORD_GUILD_ID="200") as made:
        await sync.release(made, said.append)
    assert len(gateway.synced) == 3
    assert said == [
        "Discord knows the commands now.",
        "Discord's commands are unchanged.",
        "Discord knows the commands now.",
        "Discord knows the commands now.",
    ]
    (sync_file,) = tmp_path.glob("*discord-commands*")
    sync_file.write_text("{broken")
    async with app(tmp_path) as made:
        await sync.release(made, said.append)
    assert len(gateway.synced) == 4


async def test_sigterm_ends_it_in_good_order(gateway: Gateway, tmp_path: Path) -> None:
    program = (
        "import sys, yarl\n"
        "from discord.http import Route\n"
        "from discord.gateway import DiscordWebSocket\n"
        f"Route.BASE = {gateway.api!r}\n"
        f"DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL({gateway.address!r})\n"
        "sys.argv = ['bot.discord']\n"
        "import runpy\n"
        "runpy.run_module('bot.discord', run_name='__main__')\n"
    )
    env = {**os.environ, "INTERN_HOME": str(tmp_path), "DISCORD_TOKEN": "right", "PYTHONUNBUFFERED": "1"}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "ignore", "-c", program,
        env=env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        while b"connected" not in (line := await asyncio.wait_for(process.stdout.readline(), 30)):
            assert line, (await process.communicate())[1].decode()
        process.send_signal(signal.SIGTERM)
        _, errors = await asyncio.wait_for(process.communicate(), 30)
    finally:
        if process.returncode is None:
            process.kill()
    assert (process.returncode, errors.decode()) == (0, "")


def test_the_invitation_asks_for_the_least() -> None:
    from bot.discord.check import invitation

    address = yarl.URL(invitation(100))
    asked = discord.Permissions(int(address.query["permissions"]))
    assert not asked.administrator
    assert not asked.manage_messages
    assert {name for name, has in asked if has} == {
        "view_channel",
        "read_messages",
        "send_messages",
        "create_public_threads",
        "send_messages_in_threads",
        "attach_files",
        "read_message_history",
    } - ({"view_channel"} if "view_channel" not in dict(asked) else set())
    assert set(address.query["scope"].split()) == {"bot", "applications.commands"}
