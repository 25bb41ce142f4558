"""Text from people, files and data sets on its way into a chat: cleaned, and cut to a length. Pure.

Lengths are UTF-16 code units, as chat clients count them: never fewer than code points.
"""

from __future__ import annotations

import re
import unicodedata

from bot.console.safe import safe

_EMOJI_JOINER = "\u200d"
_LONGEST_ENTITY = 5


def clean(text: str) -> str:
    """``text`` without control characters, escape sequences and invisible formatting (bidirectional
    overrides above all); a lone surrogate becomes the replacement character; line ends are ``\\n``.
    """
    return text if text.isprintable() else safe(text)  # the usual case, and by far the cheaper one


def clean_line(text: str) -> str:
    """The same on one line, without white space at its ends."""
    return " ".join(clean(text).split())


def units(text: str) -> int:
    """The length in UTF-16 code units."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def blank(text: str) -> bool:
    """Whether nothing of it can be seen; chats refuse such a text in most places."""
    return not text.strip().strip("\u200c\u200d\u2060")


def cut(text: str, most: int, whole: re.Pattern[str] | None = None) -> str:
    """``text`` in at most ``most`` UTF-16 units, an ellipsis in the place of what is missing.

    A letter is kept with its accents, and a joined emoji as a whole, or it is left out; so is a match of ``whole``, of
    at most five characters, such as an entity.
    """
    if units(text) <= most:
        return text
    if most < 1:
        return ""
    end, used = 0, 1  # the ellipsis
    while end < len(text) and used + 1 + (text[end] > "\uffff") <= most:
        used += 1 + (text[end] > "\uffff")
        end += 1
    while 0 < end < len(text) and _belongs_to_the_left(text, end):
        end -= 1
    entity = whole and whole.search(text, max(0, end - _LONGEST_ENTITY + 1), end + _LONGEST_ENTITY)
    if entity and entity.start() < end < entity.end():
        end = entity.start()
    return text[:end].rstrip() + "…"


def short(text: str, most: int) -> str:
    """``text``, clean, in at most ``most`` units. Looks at a part of an endless text only."""
    return cut(clean(_start(text, most)), most)


def short_line(text: str, most: int) -> str:
    """The same on one line."""
    return cut(clean_line(_start(text, most)), most)


def _start(text: str, most: int) -> str:
    enough = 4 * most  # cleaning may take characters away
    return text if len(text) <= enough else text[:enough] + "…"


def _belongs_to_the_left(text: str, at: int) -> bool:
    """Whether ``text[at]`` is drawn together with what stands before it."""
    return (
        unicodedata.category(text[at]) in ("Mn", "Me")
        or _EMOJI_JOINER in (text[at], text[at - 1])
        or "\U0001f3fb" <= text[at] <= "\U0001f3ff"  # skin tones
    )
