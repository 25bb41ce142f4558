"""What Discord's refusals mean for the intern.

Codes: https://discord.com/developers/docs/topics/opcodes-and-status-codes#json.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import aiohttp
import discord

from bot.chat.feed import PlaceGone, SurfaceDown
from bot.discord.permissions import listed
from bot.errors import BotError

UNKNOWN_CHANNEL, UNKNOWN_GUILD, UNKNOWN_MESSAGE = 10003, 10004, 10008
MISSING_ACCESS, CANNOT_MESSAGE, MISSING_PERMISSIONS = 50001, 50007, 50013
INVALID_FORM, THREAD_ARCHIVED, TOO_LARGE = 50035, 50083, 40005
HAS_THREAD, THREAD_LOCKED, MOST_THREADS = 160004, 160005, 160006
GONE = {
    UNKNOWN_CHANNEL: "it was deleted",
    UNKNOWN_GUILD: "I am no longer in the server",
    MISSING_ACCESS: "I lack the permission “View Channel”, or was removed from the server",
    MISSING_PERMISSIONS: "I lack a permission there",
    CANNOT_MESSAGE: "the person takes no direct messages from me",
    THREAD_LOCKED: "the thread is locked",
    MOST_THREADS: "the server has as many open threads as Discord allows",
}


class MessageGone(BotError):
    """The message that was to be edited is no longer there."""


class ThreadArchived(BotError):
    """The thread has to be opened again first."""


class MessageRefused(BotError):
    """Discord does not take this content."""


FAILURES = (
    SurfaceDown,
    PlaceGone,
    MessageGone,
    ThreadArchived,
    MessageRefused,
)  # all that ``translated`` raises


@contextmanager
def translated(doing: str, lacking: Callable[[], Sequence[str]] = tuple) -> Iterator[None]:
    """Raises SurfaceDown, PlaceGone, MessageGone, ThreadArchived or MessageRefused for what discord.py raises.

    ``lacking`` names the permissions that are missing there.
    """
    try:
        yield
    except discord.RateLimited as error:
        raise SurfaceDown(f"Discord asks for patience with {doing}.", error.retry_after) from error
    except discord.HTTPException as error:
        if error.code in GONE:
            names = listed(lacking()) if error.code in (MISSING_ACCESS, MISSING_PERMISSIONS) else ""
            why = f"I lack the permission {names}" if names else GONE[error.code]
            raise PlaceGone(f"Discord refused {doing}: {why}.") from error
        if error.code == UNKNOWN_MESSAGE:
            raise MessageGone(f"Discord refused {doing}: the message was deleted.") from error
        if error.code == THREAD_ARCHIVED:
            raise ThreadArchived(f"Discord refused {doing}: the thread is archived.") from error
        if error.code in (INVALID_FORM, TOO_LARGE):
            raise MessageRefused(f"Discord refused {doing}: {error.text[:200]}") from error
        if error.status == 401:
            raise SurfaceDown(
                f"Discord refused {doing}: DISCORD_TOKEN is not accepted. `intern doctor` says how to mend it."
            ) from error
        raise SurfaceDown(f"Discord refused {doing}: status {error.status}, code {error.code}.") from error
    except (
        discord.ConnectionClosed,
        discord.GatewayNotFound,
        aiohttp.ClientError,
        TimeoutError,
        OSError,
    ) as error:
        raise SurfaceDown(f"Discord cannot be reached for {doing}: {type(error).__name__}.") from error
