"""Where things are in Discord: ``GUILD/CHANNEL`` or ``GUILD/CHANNEL/THREAD`` for a conversation, ``CHANNEL:MESSAGE``
for a message. Pure. The channel of a thread is the one that it hangs in; a post in a forum is a thread too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Address:
    """A conversation, by Discord's ids; 0 for none."""

    guild: int
    channel: int
    thread: int = 0

    @classmethod
    def parse(cls, place: str) -> Address:
        """Total: what is no id is 0."""
        parts = [int(part) if part.isascii() and part.isdecimal() else 0 for part in place.split("/")[:3]]
        return cls(*parts, *[0] * (2 - len(parts)))

    @property
    def here(self) -> int:
        """The channel that a message here is posted to."""
        return self.thread or self.channel

    def outside(self) -> Address:
        """The channel that the thread hangs in."""
        return replace(self, thread=0)

    def __str__(self) -> str:
        return "/".join(str(part) for part in (self.guild, self.channel, self.thread) if part)


def handle(channel: int, message: int) -> str:
    return f"{channel}:{message}"


def message_of(handle_: str) -> tuple[int, int]:
    """``(channel, message)``."""
    channel, _, message = handle_.partition(":")
    return int(channel), int(message)
