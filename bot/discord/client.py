"""What every client of Discord here has in common: the least that it is told, and nothing about voice."""

from __future__ import annotations

import discord


def intents() -> discord.Intents:
    """The least: servers, their messages, and what they say, which replies in threads need."""
    return discord.Intents(guilds=True, guild_messages=True, message_content=True)


def without_voice() -> None:
    """The intern writes; that the libraries for speaking are missing is no news to anybody."""
    discord.VoiceClient.warn_nacl = False
    discord.VoiceClient.warn_dave = False
