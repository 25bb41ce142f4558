"""A request as text that can be searched and quoted.

:func:`clean` takes off what a chat puts around words (mentions, links, markdown, control characters).
:class:`Text` then holds the words as they stand (``raw``) beside the form that is searched (``low``: lower
case, typing errors in key words mended) and finds, for any place in ``low``, the very words in ``raw``.

All of it is linear in the length: patterns have no nested repetition, repetitions are bounded, and only the
first :data:`MAX_TYPOS` unknown words are compared with the key words.
"""

from __future__ import annotations

import difflib
import html
import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from graph.understanding.vocabulary import COMMON_WORDS, EMPTY_WORDS, KEY_WORDS, LABEL_WORDS, TEXT_NOUNS

MAX_CHARS = 100_000  # what is read of a request; a longer one says that it was cut
MAX_TYPOS = 200  # unknown words that are compared with the key words
MAX_QUOTE = 120  # characters of a quote

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Found(Generic[T]):
    """Something read: ``quote`` holds the words it was read from; ``why`` tells an assumption made in
    reading."""

    value: T
    quote: str = ""
    why: str = ""


_FENCE = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
_ANGLE = re.compile(r"<([^<>\n]{1,2000})>")
_MARKDOWN_LINK = re.compile(r"\[([^\[\]\n]{1,200})\]\((https?://[^\s()<>]{1,1000})\)")
_EMPHASIS = re.compile(r"\*+|~~|\|\||__|(?<!\w)_(?=\w)|(?<=\w)_(?!\w)")
_INLINE_CODE = re.compile(r"`([^`\n]{1,200})`")
_LINE_START = re.compile(r"(?m)^[ \t]*(?:>+|#{1,6})[ \t]*")
_COMMAND = re.compile(r"\A\s*[/!]\w{1,32}\s")
_SPACES = re.compile(r"[^\S\n]+")
_PIECE = re.compile(r"\w+|\W")
_DROPPED = {"Cc", "Cf", "Co", "Cs"}


def plain_line(words: str, limit: int = MAX_QUOTE) -> str:
    """``words`` on one line, without control characters, at most ``limit`` characters."""
    line = " ".join(without_controls(words).split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def without_controls(words: str) -> str:
    """``words`` without control, format, private and surrogate characters; line breaks and tabs stay as
    space."""
    kept = (
        c if c == "\n" or unicodedata.category(c) not in _DROPPED else " " if c in "\t\r\v\f" else ""
        for c in words
    )
    return "".join(kept)


def clean(sentence: str) -> str:
    """The words of a chat message: without mentions, markup, code blocks (unless there is nothing else)."""
    text = unicodedata.normalize("NFKC", without_controls(sentence[:MAX_CHARS]))[:MAX_CHARS]
    text = text.replace("’", "'").replace("‘", "'").replace("“", '"').replace("”", '"').replace("„", '"')
    outside = _FENCE.sub(" ", text)
    text = outside if re.search(r"\w", outside) else text.replace("```", "\n")
    text = _ANGLE.sub(_angle, _COMMAND.sub("", text))
    text = _MARKDOWN_LINK.sub(lambda m: _link(m[2], m[1]), text)
    text = _INLINE_CODE.sub(r'"\1"', html.unescape(text).replace("\r", " "))
    text = _EMPHASIS.sub("", _LINE_START.sub("", text))
    return _SPACES.sub(" ", without_controls(text)).strip()


def _angle(match: re.Match[str]) -> str:
    """Slack and Discord mentions go, links keep what a person reads, anything else stays."""
    inside = match[1]
    if inside[0] in "@#!" or re.fullmatch(r"a?:\w{1,64}:\d{1,24}|t:\d{1,20}(?::\w)?", inside):
        return " "
    target, bar, shown = inside.partition("|")
    if re.match(r"https?://|mailto:", target):
        return _link(target, shown if bar else target)
    return match[0]


def _link(target: str, shown: str) -> str:
    """An address of the Hub says more than its text; of any other link the text is what the person wrote."""
    return target if "/datasets/" in target or "huggingface.co/" in target else shown


class Text:
    """A cleaned request. Places (start, end) count characters of ``low``."""

    def __init__(self, sentence: str) -> None:
        self.raw = clean(sentence)
        self._low_at: list[int] = []
        self._raw_at: list[int] = []
        parts: list[str] = []
        length = tried = 0
        mended: dict[str, str] = {}
        for piece in _PIECE.finditer(self.raw):
            low = piece[0].lower()
            if low not in mended and tried < MAX_TYPOS and _could_be_a_typo(low, self.raw, piece):
                tried += 1
                mended[low] = _mend(low)
            low = mended.get(low, low)
            self._low_at.append(length)
            self._raw_at.append(piece.start())
            parts.append(low)
            length += len(low)
        self.low = "".join(parts)
        self._raw_at.append(len(self.raw))

    def raw_between(self, start: int, end: int) -> str:
        """The person's own words for ``low[start:end]``."""
        if not self._low_at or end <= start:
            return ""
        return self.raw[self._to_raw(start, end=False) : self._to_raw(end - 1, end=True)]

    def quote(self, match: re.Match[str]) -> str:
        return plain_line(self.raw_between(match.start(), match.end()))

    def search(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        return pattern.search(self.low)

    def all(self, pattern: re.Pattern[str]) -> Iterator[re.Match[str]]:
        return pattern.finditer(self.low)

    def before(self, start: int, chars: int = 48) -> str:
        """Up to ``chars`` characters of the same sentence before ``start``."""
        return re.split(r"[;!?\n]|\.(?=\s)", self.low[max(0, start - chars) : start])[-1]

    def after(self, end: int, chars: int = 32) -> str:
        return re.split(r"[;!?\n]|\.(?=\s)", self.low[end : end + chars])[0]

    def alone(self, match: re.Match[str]) -> bool:
        """Whether the match is a whole part of the sentence: "…, ten minutes, …"."""
        before, after = (
            self.low[max(0, match.start() - 2) : match.start()],
            self.low[match.end() : match.end() + 2],
        )
        return bool(
            re.fullmatch(r"[,;.\n(] ?|", before.lstrip()) and re.fullmatch(r"[,;.\n)!]\s?|\s?", after)
        )

    def _to_raw(self, place: int, *, end: bool) -> int:
        index = bisect_right(self._low_at, place) - 1
        first, following = self._raw_at[index], self._raw_at[index + 1]
        low_end = self._low_at[index + 1] if index + 1 < len(self._low_at) else len(self.low)
        if low_end - self._low_at[index] != following - first:  # a mended word is quoted as a whole
            return following if end else first
        return first + place - self._low_at[index] + (1 if end else 0)


def _could_be_a_typo(word: str, raw: str, piece: re.Match[str]) -> bool:
    """Long enough, plain letters, not a known word, and not a part of a path, an id or a quoted name."""
    if not (5 <= len(word) <= 20 and word.isalpha()):
        return False
    if any(word in known for known in (KEY_WORDS, COMMON_WORDS, EMPTY_WORDS, LABEL_WORDS, TEXT_NOUNS)):
        return False
    around = raw[piece.start() - 1 : piece.start()] + raw[piece.end() : piece.end() + 1]
    return not any(c in "./\\@_\"'" for c in around.rstrip("."))


def _mend(word: str) -> str:
    near = [k for k in KEY_WORDS if k[0] == word[0] and abs(len(k) - len(word)) <= 1]
    return next(iter(difflib.get_close_matches(word, near, n=1, cutoff=0.83)), word)
