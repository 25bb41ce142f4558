"""Text from people, files and data sets, made harmless for a terminal. Pure.

A terminal obeys escape sequences (they move the cursor, change the title, even type answers), and a
bidirectional override shows ``approve`` where ``cancel`` is meant. All of them are taken out; a lone
surrogate, which no terminal can encode, becomes the replacement character. Rich's own markup needs no care:
strings become ``rich.text.Text``.
"""

from __future__ import annotations

import re
import unicodedata

# CSI and OSC/DCS/PM/APC sequences in their 7-bit and 8-bit forms, then any other two-character escape.
_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b[ -/]*[0-~]?"
)
_JOINERS = "\u200c\u200d"  # needed by emoji and by several scripts
_LINE_END = re.compile("\r\n|[\r\x0b\x0c\x85\u2028\u2029]")


def safe(text: str) -> str:
    """``text`` without control characters, escape sequences and invisible formatting; line ends are
    ``\\n``.
    """
    text = _LINE_END.sub("\n", _ESCAPES.sub("", text))
    return "".join(map(_char, text)) if not text.isascii() or not text.isprintable() else text


def one_line(text: str) -> str:
    """The same on one line."""
    return " ".join(safe(text).split())


def _char(char: str) -> str:
    if char == "\n" or char in _JOINERS:
        return char
    if char == "\t":
        return "    "
    category = unicodedata.category(char)
    if category == "Cs":
        return "\ufffd"
    return "" if category in ("Cc", "Cf") else char
