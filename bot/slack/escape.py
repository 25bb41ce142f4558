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

from bot.chat import text as plain_text
from bot.chat.text import clean

_JOINER = "\u2060"  # word joiner: no width, no line break
_LOOKALIKES = str.maketrans({"*": "\u2217", "~": "\u223c", "`": "\u02cb"})
_EDGE_UNDERSCORE = re.compile(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
_PINGS = re.compile(r"[@#](?=\w)|://|\bwww\.|\bmailto:", re.IGNORECASE)
_ENTITY = re.compile(r"&(?:amp|lt|gt);")


def escape(text: str) -> str:
    """``text`` for a place that Slack reads as mrkdwn: shown as it is; it pings, links and formats nothing."""
    text = clean(text).translate(_LOOKALIKES)
    text = _EDGE_UNDERSCORE.sub("\u02cd", text)
    text = _PINGS.sub(lambda match: match.group() + _JOINER, text)
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def cut(text: str, most: int) -> str:
    """:func:`bot.chat.text.cut` for escaped text: an entity is kept or left out as a whole."""
    return plain_text.cut(text, most, _ENTITY)
