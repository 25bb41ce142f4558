"""What the intern may do in a channel, by the names that Discord's settings show. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import discord

NEEDED = {
    "view_channel": "View Channel",
    "send_messages": "Send Messages",
    "create_public_threads": "Create Public Threads",
    "send_messages_in_threads": "Send Messages in Threads",
    "attach_files": "Attach Files",
    "read_message_history": "Read Message History",
}
IN_A_FORUM = {**NEEDED, "send_messages": "Create Posts"}
del IN_A_FORUM["create_public_threads"]

Parent = discord.TextChannel | discord.ForumChannel


def least() -> discord.Permissions:
    """What an invitation asks for."""
    return discord.Permissions(**dict.fromkeys(NEEDED, True))


def missing(channel: Parent) -> list[str]:
    """Names of the permissions that the intern lacks in the channel."""
    have = channel.permissions_for(channel.guild.me)
    needed = IN_A_FORUM if isinstance(channel, discord.ForumChannel) else NEEDED
    return [name for flag, name in needed.items() if not getattr(have, flag)]


def listed(names: Sequence[str]) -> str:
    """``“A”, “B” and “C”``."""
    quoted = [f"“{name}”" for name in names]
    return " and ".join(filter(None, (", ".join(quoted[:-1]), quoted[-1]))) if quoted else ""
