"""Fetches what was attached, a piece at a time. Discord's addresses of attachments are signed and need no token."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp

from bot.chat.incoming import Attachment
from bot.chat.uploads import save
from bot.errors import UsageError

HOSTS = ("cdn.discordapp.com", "media.discordapp.net")
TIMEOUT_S = 300.0
_CHUNK_BYTES = 1 << 20

Chunks = Callable[[str], AsyncIterator[bytes]]  # of an address


async def from_cdn(url: str) -> AsyncIterator[bytes]:
    """Raises UsageError for an address that is not Discord's, or no longer good."""
    parts = urlsplit(url)
    if parts.scheme != "https" or parts.hostname not in HOSTS:
        raise UsageError("The file does not lie in Discord: download it, and attach the file itself.")
    async for chunk in stream(url):
        yield chunk


async def stream(url: str) -> AsyncIterator[bytes]:
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    async with (
        aiohttp.ClientSession(timeout=timeout, trust_env=True) as session,
        session.get(url, allow_redirects=False) as answer,
    ):
        if answer.status != 200:
            raise UsageError("Discord no longer gives me the file. Please attach it again.")
        async for chunk in answer.content.iter_chunked(_CHUNK_BYTES):
            yield chunk


async def download(chunks: Chunks, attachment: Attachment, into: Path) -> None:
    """To the file ``into``, whole or not at all. Raises UsageError."""
    try:
        await save(chunks(attachment.url), into, attachment.bytes)
    except (aiohttp.ClientError, TimeoutError) as error:
        raise UsageError(f"{into.name} could not be downloaded. Please attach it again.") from error
