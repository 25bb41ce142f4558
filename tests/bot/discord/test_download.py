"""Attachments: from Discord alone, whole or not at all."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from bot.chat.incoming import Attachment
from bot.discord.download import download, from_cdn, stream
from bot.errors import UsageError

CONTENT = b"text,label\n" * 200_000


@pytest.fixture
async def address() -> AsyncIterator[str]:
    async def file(request: web.Request) -> web.Response:
        return web.Response(body=CONTENT)

    async def gone(request: web.Request) -> web.Response:
        return web.Response(status=404)

    async def elsewhere(request: web.Request) -> web.Response:
        raise web.HTTPFound("/file")

    application = web.Application()
    application.add_routes([web.get("/file", file), web.get("/gone", gone), web.get("/elsewhere", elsewhere)])
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def test_a_file_comes_whole(address: str, tmp_path: Path) -> None:
    await download(stream, Attachment("d.csv", f"{address}/file", len(CONTENT)), tmp_path / "d.csv")
    assert (tmp_path / "d.csv").read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("path", "size", "answer"),
    [
        ("gone", None, "attach it again"),
        ("elsewhere", None, "attach it again"),
        ("file", 5, "came only in part"),
    ],
)
async def test_what_does_not_come_whole_leaves_nothing(
    address: str, tmp_path: Path, path: str, size: int | None, answer: str
) -> None:
    with pytest.raises(UsageError, match=answer):
        await download(stream, Attachment("d.csv", f"{address}/{path}", size), tmp_path / "d.csv")
    assert list(tmp_path.iterdir()) == []


async def test_nobody_there_is_told_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"d\.csv could not be downloaded"):
        await download(stream, Attachment("d.csv", "http://127.0.0.1:9/d.csv"), tmp_path / "d.csv")


@pytest.mark.parametrize(
    "url",
    [
        "http://cdn.discordapp.com/a",
        "https://evil.example/a",
        "https://cdn.discordapp.com.evil.example/a",
        "file:///etc/passwd",
        "https://cdn.discordapp.com@evil.example/a",
        "",
    ],
)
async def test_only_discord_is_asked(url: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not lie in Discord"):
        await download(from_cdn, Attachment("d.csv", url), tmp_path / "d.csv")
