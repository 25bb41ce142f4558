"""Text from people, files and data sets, made harmless for Slack. Pure.

Design decisions
- Blocks hold data only in ``plain_text`` objects and ``rich_text`` elements: Slack parses neither, so there
  ``clean`` is enough. ``escape`` is for the one place that Slack always reads as mrkdwn, a message's top-level
  ``text`` (the notification, and what a screen reader says), and for short notices that are nothing else.
- Slack has no escape for ``*`` ``_`` ``~`` and the backtick: look-alikes that it does not parse stand in for
  them, as in jsx-slack. An underscore inside a word, which cannot format, stays.
- Names that ping (``@here``, ``#channel``) and bare addresses get a word joiner, which is invisible, after the
  character that Slack looks for.
- **How Slack counts.** Its documents say "characters"; measurements differ by place: a markdown block takes
  12,000 code points of any script, ``chat.update`` refuses a ``text`` of over 4,000 UTF-8 bytes, and clients
  count UTF-16 units. Lengths here are UTF-16 units of the text as it is sent, entities included: never fewer
  than code points.
"""

from __future__ import annotations

import re
import unicodedata

from bot.console.safe import safe

__all__ = ["blank", "clean", "clean_line", "cut", "escape", "short", "short_line", "units"]

_JOINER = "\u2060"  # word joiner: no width, no line break
_LOOKALIKES = str.maketrans({"*": "\u2217", "~": "\u223c", "`": "\u02cb"})
_EDGE_UNDERSCORE = re.compile(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
_PINGS = re.compile(r"[@#](?=\w)|://|\bwww\.|\bmailto:", re.IGNORECASE)
_ENTITY = re.compile(r"&(?:amp|lt|gt);")
_LONGEST_ENTITY = 5
_EMOJI_JOINER = "\u200d"


def clean(text: str) -> str:
    """``text`` without control characters, escape sequences and invisible formatting (bidirectional
    overrides above all); a lone surrogate becomes the replacement character; line ends are ``\\n``.
    """
    return text if text.isprintable() else safe(text)  # the usual case, and by far the cheaper one


def clean_line(text: str) -> str:
    """The same on one line, without white space at its ends."""
    return " ".join(clean(text).split())


def escape(text: str) -> str:
    """``text`` for a place that Slack reads as mrkdwn: shown as it is; it pings, links and formats nothing."""
    text = clean(text).translate(_LOOKALIKES)
    text = _EDGE_UNDERSCORE.sub("\u02cd", text)
    text = _PINGS.sub(lambda match: match.group() + _JOINER, text)
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def units(text: str) -> int:
    """The length in UTF-16 code units."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def blank(text: str) -> bool:
    """Whether nothing of it can be seen; Slack refuses such a text in most places."""
    return not text.strip().strip("\u200c\u200d\u2060")


def cut(text: str, most: int) -> str:
    """``text`` in at most ``most`` UTF-16 units, an ellipsis in the place of what is missing.

    An entity is kept or left out as a whole, and so is a letter with its accents or a joined emoji.
    """
    if units(text) <= most:
        return text
    if most < 1:
        return ""
    end, used = 0, 1  # the ellipsis
    while end < len(text) and used + 1 + (text[end] > "\uffff") <= most:
        used += 1 + (text[end] > "\uffff")
        end += 1
    entity = _ENTITY.search(text, max(0, end - _LONGEST_ENTITY + 1), end + _LONGEST_ENTITY)
    if entity and entity.start() < end < entity.end():
        end = entity.start()
    while 0 < end < len(text) and _belongs_to_the_left(text, end):
        end -= 1
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
