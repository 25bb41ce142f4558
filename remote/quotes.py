"""Whether a quotation stands on its page. Whoever reads a paper, rules or a language model, may cite only what does.

Pages come out of PDF files with ligatures, words broken at line ends and several kinds of dash. Both sides of the
comparison are brought into one form first; nothing else is forgiven.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

T = TypeVar("T")
MIN_CHARS = 3  # a shorter quotation proves nothing
_DASHES = re.compile("[\u2010-\u2015\u2212\ufe58\uff0d]")
_BROKEN = re.compile(r"(?<=[A-Za-z])-[ \t]*\n[ \t]*(?=[a-z])")
_SOFT_HYPHEN = re.compile("\u00ad[ \t]*\n?[ \t]*")


def normal(text: str) -> str:
    """One line of NFKC text: plain dashes, words made whole, single blanks; nothing that steers a terminal or hides."""
    text = _SOFT_HYPHEN.sub("", text)
    text = _DASHES.sub("-", unicodedata.normalize("NFKC", text))
    text = _BROKEN.sub("", text)
    text = "".join(
        " " if c.isspace() else c for c in text if c.isspace() or unicodedata.category(c)[0] != "C"
    )
    return " ".join(text.split())


def stands(quote: str, page: str) -> bool:
    """Whether ``quote`` is literally on the page with the text ``page``."""
    wanted = normal(quote)
    return len(wanted) >= MIN_CHARS and wanted in normal(page)


def that_stand(
    facts: Iterable[T], pages: Mapping[int, str], cited: Callable[[T], tuple[int, str]]
) -> list[T]:
    """The facts whose quotation stands on the page that they name. ``cited``: a fact's page and quotation."""
    texts = {number: normal(text) for number, text in pages.items()}
    kept = []
    for fact in facts:
        page, quote = cited(fact)
        wanted = normal(quote)
        if len(wanted) >= MIN_CHARS and wanted in texts.get(page, ""):
            kept.append(fact)
    return kept
