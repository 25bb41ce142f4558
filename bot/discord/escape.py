"""Text from people, files and data sets, made harmless for Discord. Pure.

Design decisions
- Discord has a backslash escape for all of its markdown, so nothing has to be replaced by a look-alike, but for the
  backtick inside code, where there is no escape.
- Names that ping, addresses and invitations get a word joiner, which is invisible, after the character that Discord
  looks for. (Nobody is pinged by them anyway: messages are sent with ``AllowedMentions.none()``.)
- Menus' and buttons' labels, names of threads and alt texts are plain text: ``clean_line`` is enough there.
"""

from __future__ import annotations

import re

from bot.chat.text import clean, clean_line, cut, short, short_line, units

__all__ = ["code", "code_line", "escape", "fitted", "fitting", "fitting_line"]

_JOINER = "\u2060"  # no width, no line break
_ANYWHERE = re.compile(r"[\\`*_~|<>\[\]#]")
_AT_A_START = re.compile(r"^([ ]*)(?:([-+])|(\d+)([.)]))", re.MULTILINE)
_PINGS = re.compile(r"@(?=[\w&!])|:(?=//)|\b(?:discord(?:app)?\.(?:gg|com|new)|dis\.gd)(?=/)", re.IGNORECASE)


def escape(text: str) -> str:
    """``text`` for a place that Discord reads as markdown: shown as it is; it pings, links and formats nothing."""
    text = _ANYWHERE.sub(r"\\\g<0>", clean(text))
    text = _AT_A_START.sub(_plain_start, text)
    return _PINGS.sub(lambda match: match.group() + _JOINER, text)


def _plain_start(match: re.Match[str]) -> str:
    indent, bullet, number, dot = match.groups()
    return f"{indent}\\{bullet}" if bullet else f"{indent}{number}\\{dot}"


def code(text: str) -> str:
    """``text`` for the inside of a block of code."""
    return clean(text).replace("`", "\u02cb")


def code_line(text: str) -> str:
    return " ".join(code(text).split())


def fitting(text: str, most: int) -> str:
    """``text``, escaped, in at most ``most`` UTF-16 units."""
    return fitted(text, most)[0]


def fitting_line(text: str, most: int) -> str:
    """The same on one line."""
    return fitted(text, most, one_line=True)[0]


def fitted(text: str, most: int, *, one_line: bool = False) -> tuple[str, bool]:
    """The same, and whether it is all of the text. Looks at a part of an endless text only."""
    said = short_line(text, most) if one_line else short(text, most).strip()
    if len(text) > 4 * most:
        return _fitting(said, most), False
    kept = _fitting(said, most)
    return kept, kept == escape(clean_line(text) if one_line else clean(text).strip())


def _fitting(said: str, most: int) -> str:
    room = most
    while units(escaped := escape(said)) > most and room > 0:
        room = min(room, units(said)) * 2 // 3
        said = cut(said, room)
    return escaped if units(escaped) <= most else ""
