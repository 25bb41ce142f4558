"""Class names that a sentence lists: "positive from negative", "into billing, tech and sales", "spam or ham".

A list is read token by token from a word that opens one; every opener is tried once and a list is bounded,
so the work is linear.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from graph.understanding.numbers import NUMBER, number
from graph.understanding.text import Found, Text, plain_line
from graph.understanding.vocabulary import LABEL_WORDS, TEXT_NOUNS, words

MAX_LABELS = 100
MAX_WORDS = 3  # of one class name
_TOKEN = re.compile(
    r"[\w.~-]{0,100}(?:/[\w.-]{1,100}){1,10}|\"[^\"\n]{1,60}\"|'[^'\n]{1,40}'(?!\w)|\w[\w+#&'-]*|[^\w\s]|\n"
)
_FROM = ("from", "von", "de", "des", "du")
_OR = ("or", "oder", "ou", "o", "vs", "versus")
# Within a list that came to nothing these open no other one, so that each part of a text is read few times.
_RESTARTS = frozenset((*_OR, "/", "(", "into", "between", "zwischen", "entre", "in", "en")) | LABEL_WORDS
_SEPARATORS = {",", "/", ";", "|", "&", "+", "and", "or", "und", "oder", "et", "ou", "y", "o", "vs", "versus"}
_STOP = words("""
    accuracy precision recall f1 macro-f1 macro rmse auc speed with using for on from by under at please i
    we care optimise optimize use don't do train my based depending so because that which when where while
    but then in within as to via per model not it they if whether is are was be must should never without
    ideally every mit für auf aus ohne bitte einteilt einordnet sortiert unterscheidet klassifiziert trennt
    avec pour sur sans con para sobre sin nach selon según ich je
    """)
_STOP_FIRST = words(
    "also report measure make give data file dataset each all keep publish save push send tell do"
)
_ARTICLES = {
    "a",
    "an",
    "the",
    "either",
    "both",
    "der",
    "die",
    "das",
    "les",
    "le",
    "la",
    "el",
    "los",
    "las",
    "en",
}
_GENERIC = words("""
    class classes category categories group groups label labels bucket buckets folder file model something
    things type types kind kinds production account one two three several many more less most better best
    fast cheap small soon well possible few ones klassen kategorien catégories categorías team teams
    department departments
    """)
_LISTING = re.compile(
    r"(?:labels?|classes|categories|tags|topics|intents|departments?|teams?|groups|types|kinds"
    r"|buckets|options|klassen"
    r"|kategorien|catégories|categorías|etiquetas|classes)\Z"
)
_LEADS_IN = frozenset((":", "are", "(", "like", "such", "as", "namely", "\n", "-", "sind"))
_LISTED = re.compile(
    r"topic|category|class|label|tag|department|team|type|kind|sentiment|emotion|intent|priority|language"
)
_AS_VERBS = re.compile(r"\b(?:label|classif|categori|tag|mark|flag|sort|clasific|class)\w*\b[^.;\n]{0,60}\Z")
_APART = re.compile(
    r"\b(?:tells?|telling|told|distinguish\w*|separat\w*|know|filter\w*|unterscheide\w*|trenn\w*"
    r"|distingu\w*|sépar\w*|sort)"
    r"(?: (?:apart|the|a|an|die|les|los|las))? (?:[\w'\"-]+ ){1,3}\Z"
)
_COUNT = re.compile(
    rf"(?<![\w.,])(?P<n>{NUMBER})(?:[ -](?:\w+ )?(?:class(?:es)?|categor(?:y|ies)|labels?|topics"
    rf"|intents|groups|buckets|kinds"
    r"|types|emotions|departments|languages|klassen|kategorien|catégories|categorías|way)\b)"
)


@dataclass(frozen=True, slots=True)
class Labels:
    names: tuple[str, ...] = ()
    quote: str = ""
    count: Found[int] | None = None  # "5 classes"


@dataclass(frozen=True, slots=True)
class _Token:
    low: str
    start: int
    end: int


def read_labels(text: Text, *, foreign: bool = False) -> Labels:
    """The class names and the number of classes that the sentence states. ``foreign``: not an English
    sentence, so that "in" and "en" open a list as "into" does."""
    tokens = list(_tokens(text))
    count = _count(text)
    read_to = 0  # characters that a list which came to nothing has covered
    for index, token in enumerate(tokens):
        begin = _opens(text, tokens, index, foreign=foreign)
        if begin is None or (token.start < read_to and token.low in _RESTARTS):
            continue
        pair = token.low in _FROM or token.low in _OR
        items, end = _pair(tokens, index) if pair else _list(tokens, begin)
        read_to = max(read_to, end)
        if _acceptable(items, token.low):
            names = tuple(dict.fromkeys(plain_line(_raw(text, item), 60).strip("\"' ") for item in items))
            names = tuple(name for name in names if name)
            if len(names) >= 2:
                return Labels(names[:MAX_LABELS], _quote(text, items[0][0].start, end), count)
    return Labels((), "", count)


def _tokens(text: Text) -> Iterator[_Token]:
    """Words, quoted names and signs; a path or id is one token, ``a/b/c`` and ``positive/negative`` are
    several."""
    for match in text.all(_TOKEN):
        low, start = match[0], match.start()
        parts = low.split("/")
        if len(parts) == 1 or low[0] in "./~" or (len(parts) == 2 and not set(parts) <= LABEL_WORDS):
            yield _Token(low, start, match.end())
            continue
        for part in re.finditer(r"[^/]+|/", low):
            yield _Token(part[0], start + part.start(), start + part.end())


def _count(text: Text) -> Found[int] | None:
    for match in text.all(_COUNT):
        value = number(match["n"])
        if value is not None and value == int(value) and 2 <= value <= 10_000:
            return Found(int(value), text.quote(match))
    return None


def _opens(text: Text, tokens: list[_Token], index: int, *, foreign: bool) -> int | None:
    """Where the list begins that this token opens, or ``None``."""
    token = tokens[index]
    following = tokens[index + 1].low if index + 1 < len(tokens) else ""
    low = token.low
    if low in ("into", "between", "zwischen", "entre") or (foreign and low in ("in", "en", "como")):
        return index + 1 + (following == ":")
    if low == "as":
        return index + 1 if _AS_VERBS.search(text.before(token.start, 80)) else None
    if _LISTING.match(low):
        skipped = index + 1
        while skipped < len(tokens) and tokens[skipped].low in _LEADS_IN:
            skipped += 1
        return skipped if skipped > index + 1 else None
    if low == "(" or (low == ":" and index and _LISTED.fullmatch(tokens[index - 1].low)):
        return index + 1
    if low in _FROM:
        return index if _APART.search(text.before(token.start, 60)) else None
    if low in _OR:
        beside = {tokens[index - 1].low if index else "", following}
        known = (
            low in ("vs", "versus")
            or beside & LABEL_WORDS
            or any(word[:1] in "\"'" for word in beside if word)
        )
        return index if known and following not in ("not", "nicht", "pas", "no") else None
    if low == "/" and 0 < index < len(tokens) - 1 and {tokens[index - 1].low, following} <= LABEL_WORDS:
        return index - 1
    return index if low in LABEL_WORDS and following == "," else None


def _list(tokens: list[_Token], begin: int) -> tuple[list[list[_Token]], int]:
    """Items from ``begin`` on, and where the list ends."""
    items: list[list[_Token]] = [[]]
    index = begin
    while index < len(tokens) and len(items) <= MAX_LABELS:
        low = tokens[index].low
        name = low[0].isalnum() or low[0] in "\"'"
        if low in _SEPARATORS or (low in ("\n", "-", "*", "•") and _bullet(tokens, index)):
            if items[-1]:
                items.append([])
        elif not name or low in _STOP or "/" in low or (not items[-1] and low in _STOP_FIRST):
            break
        elif items[-1] or low not in _ARTICLES or _ends_item(tokens, index):
            if len(items[-1]) > MAX_WORDS:
                break
            items[-1].append(tokens[index])
        index += 1
    items = _trim([item for item in items if item])
    return items, items[-1][-1].end if items else 0


def _ends_item(tokens: list[_Token], index: int) -> bool:
    return index + 1 < len(tokens) and tokens[index + 1].low in _SEPARATORS


def _bullet(tokens: list[_Token], index: int) -> bool:
    """A line break or dash that stands between two items of a list written one a line."""
    around = [t.low for t in tokens[max(0, index - 1) : index + 2]]
    return "\n" in around and any(low in ("-", "*", "•") for low in around)


def _pair(tokens: list[_Token], index: int) -> tuple[list[list[_Token]], int]:
    """The two sides of "positive from negative", "spam or ham", with what stands around left out."""
    left: list[_Token] = []
    for token in reversed(tokens[max(0, index - MAX_WORDS) : index]):
        if (
            token.low in _STOP
            or token.low in _ARTICLES
            or token.low in _OPEN_WORDS
            or not (token.low[0].isalnum() or token.low[0] in "\"'")
        ):
            break
        left.insert(0, token)
    right, _ = _list(tokens, index + 1)
    if not left or not right:
        return [], 0
    joined = tokens[index].low
    if joined in _OR and left[-1].low in LABEL_WORDS:
        left = left[-1:]
    if left[-1].low in TEXT_NOUNS and len(left) > 1:
        left = left[:-1]
    first = _strip_nouns(right[0], len(left))
    items = [left, first, *right[1:]] if len(right) > 1 else [left, first]
    return items, items[-1][-1].end


_OPEN_WORDS = words("""
    tell tells telling distinguish distinguishes separate separates sort sorts know whether if sounds apart
    split unterscheide unterscheidet trenne trennt ob si distingue distinguer separa séparer detect classify
    sind sont son est es ist or between
""")


def _trim(items: list[list[_Token]]) -> list[list[_Token]]:
    """Cut from the last item what belongs to the sentence: "positive and negative product reviews"."""
    if len(items) < 2:
        return items
    longest = max(len(item) for item in items[:-1])
    last = items[-1]
    if (
        all(len(item) == 1 and item[0].low in LABEL_WORDS for item in items[:-1])
        and last[0].low in LABEL_WORDS
    ):
        items[-1] = last[:1]
    elif len(last) > MAX_WORDS or last[-1].low in TEXT_NOUNS or last[-1].low == "ones":
        items[-1] = _strip_nouns(last, longest)
    return items


def _strip_nouns(item: list[_Token], words: int) -> list[_Token]:
    if len(item) > 1 and (item[-1].low in TEXT_NOUNS or item[-1].low == "ones"):
        return item[:-1][:words]
    return item[:words] if len(item) > MAX_WORDS else item


def _acceptable(items: list[list[_Token]], opener: str) -> bool:
    if len(items) < 2 or any(len(item) > MAX_WORDS for item in items):
        return False
    words = [[t.low.strip("\"'") for t in item] for item in items]
    flat = [w for item in words for w in item]
    if any(item[-1] in _GENERIC or item[0] in _GENERIC or item[0].isdecimal() for item in words):
        return False
    if opener in _OR or opener in LABEL_WORDS:
        # Such words join anything; only class names that are known as such count, or quoted ones.
        quoted = all(item[0].low[0] in "\"'" for item in items)
        return quoted or opener in ("vs", "versus") or all(item[0] in LABEL_WORDS for item in words)
    if opener in _FROM:
        nouns = [item[-1] in TEXT_NOUNS and item[-1] not in LABEL_WORDS for item in words[:2]]
        return nouns[0] == nouns[1]
    return not (opener == "(" and len(items) == 2 and not set(flat) & LABEL_WORDS and len(flat) > 4)


def _raw(text: Text, item: list[_Token]) -> str:
    """The person's spelling, but for a typing error in a key word."""
    start, end = item[0].start, item[-1].end
    own, low = text.raw_between(start, end), text.low[start:end]
    return own if own.lower() == low else low


def _quote(text: Text, start: int, end: int) -> str:
    return plain_line(text.raw_between(start, end))
