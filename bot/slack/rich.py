"""Block Kit's building pieces: dictionaries in which data stands only where Slack parses nothing. Pure.

Field names and structure: ``@slack/types`` 3.2.0. Every text is cleaned and cut here, and an empty one, which
Slack refuses, becomes a space or is left out. ``emoji`` is false everywhere: ``:tada:`` in data stays as typed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from bot.chat.text import blank, short, short_line

Json = dict[str, Any]

HEADER_UNITS = 150
CONTEXT_UNITS = 2_000


def size(blocks: Sequence[Json]) -> int:
    """Bytes of the blocks as they are sent."""
    return len(json.dumps(blocks, ensure_ascii=False, separators=(",", ":")).encode())


def plain(text: str, most: int) -> Json:
    """A ``plain_text`` object of one line."""
    line = short_line(text, most)
    return {"type": "plain_text", "text": " " if blank(line) else line, "emoji": False}


def header(text: str) -> Json:
    return {"type": "header", "text": plain(text, HEADER_UNITS)}


def context(text: str) -> Json:
    """Small print; its line ends stay."""
    return {
        "type": "context",
        "elements": [{"type": "plain_text", "text": short(text, CONTEXT_UNITS), "emoji": False}],
    }


def text(said: str, **style: bool) -> Json:
    """A ``text`` element; styles: bold, italic, code."""
    element: Json = {"type": "text", "text": said or " "}
    return {**element, "style": style} if style else element


def link(url: str) -> Json:
    return {"type": "link", "url": url}


def link_named(url: str, said: str) -> Json:
    return {"type": "link", "url": url, "text": said}


def section(*elements: Json) -> Json:
    return {"type": "rich_text_section", "elements": list(elements)}


def bullets(items: Iterable[Sequence[Json]]) -> Json:
    return {"type": "rich_text_list", "style": "bullet", "elements": [section(*item) for item in items]}


def quote(said: str) -> Json:
    return {"type": "rich_text_quote", "elements": [text(said)]}


def preformatted(said: str) -> Json:
    return {"type": "rich_text_preformatted", "elements": [text(said)]}


def rich(*parts: Json) -> Json:
    """A ``rich_text`` block of sections, lists, quotes and preformatted texts."""
    return {"type": "rich_text", "elements": list(parts)}
