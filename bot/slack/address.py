"""Where things are in Slack: ``TEAM/CHANNEL`` or ``TEAM/CHANNEL/THREAD`` for a conversation, ``CHANNEL:TS`` for a
message. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Address:
    """A conversation. ``thread``: the ``ts`` of the message that it hangs on; empty in the channel itself."""

    team: str
    channel: str
    thread: str = ""

    @classmethod
    def parse(cls, place: str) -> Address:
        team, channel, thread, *_ = [*place.split("/"), "", ""]
        return cls(team, channel, thread)

    def __str__(self) -> str:
        return "/".join(part for part in (self.team, self.channel, self.thread) if part)


def handle(channel: str, ts: str) -> str:
    return f"{channel}:{ts}"


def message_of(handle_: str) -> tuple[str, str]:
    """``(channel, ts)``."""
    channel, _, ts = handle_.partition(":")
    return channel, ts
