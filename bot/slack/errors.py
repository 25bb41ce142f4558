"""What Slack's refusals mean for the intern. Pure but for ``translated``, which raises.

Codes: https://docs.slack.dev/reference/methods, and each method's own list.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import aiohttp
from slack_sdk.errors import SlackApiError, SlackClientError

from bot.chat.feed import PlaceGone, SurfaceDown
from bot.errors import BotError

GONE = {
    "channel_not_found": "the channel is gone, or I am not in it",
    "is_archived": "the channel is archived",
    "not_in_channel": "I am not in the channel",
    "thread_not_found": "the thread was deleted",
    "restricted_action": "I may not write in the channel",
    "restricted_action_read_only_channel": "only some people may write in the channel",
    "restricted_action_thread_locked": "the thread is locked",
    "cannot_reply_to_message": "the thread cannot be answered",
    "user_not_found": "the person is gone",
    "messages_tab_disabled": "I may not send direct messages",
}
NO_TOKEN = {
    "account_inactive",
    "invalid_auth",
    "missing_scope",
    "no_permission",
    "not_authed",
    "token_expired",
    "token_revoked",
    "team_access_not_granted",
    "ekm_access_denied",
}
NOT_THIS_MESSAGE = {"message_not_found", "cant_update_message", "edit_window_closed"}


class MessageGone(BotError):
    """The message that was to be edited is no longer there."""


class StillStreaming(BotError):
    """The message that was to be edited is an open stream."""


class BlocksRefused(BotError):
    """Slack does not take these blocks."""


def code_of(error: SlackApiError) -> str:
    """Such as "channel_not_found"; empty where the answer was not Slack's."""
    try:
        return str(error.response["error"])
    except (KeyError, TypeError, ValueError):
        return ""


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Raises SurfaceDown, PlaceGone, MessageGone, StillStreaming or BlocksRefused for what the Slack client raises."""
    try:
        yield
    except SlackApiError as error:
        code = code_of(error)
        if code in GONE:
            raise PlaceGone(f"Slack refused {doing}: {GONE[code]}.") from error
        if code in NOT_THIS_MESSAGE:
            raise MessageGone(f"Slack refused {doing}: {code}.") from error
        if code == "streaming_state_conflict":
            raise StillStreaming(f"Slack refused {doing}: {code}.") from error
        if code in ("invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long"):
            raise BlocksRefused(f"Slack refused {doing}: {code}.") from error
        if code in NO_TOKEN:
            raise SurfaceDown(
                f"Slack refused {doing}: {code}. `intern doctor` says how to mend it."
            ) from error
        if code in ("ratelimited", "rate_limited"):
            raise SurfaceDown(f"Slack asks for patience with {doing}.", _retry_after_s(error)) from error
        raise SurfaceDown(f"Slack refused {doing}: {code or 'no answer'}.") from error
    except (SlackClientError, aiohttp.ClientError, TimeoutError, OSError) as error:
        raise SurfaceDown(f"Slack cannot be reached for {doing}: {type(error).__name__}.") from error


def _retry_after_s(error: SlackApiError) -> float | None:
    headers = getattr(error.response, "headers", {}) or {}
    found = next((value for name, value in headers.items() if name.casefold() == "retry-after"), None)
    found = found[0] if isinstance(found, list) else found
    return float(found) if found and str(found).isdecimal() else None
