"""Text as it will be trained on, and the two keys by which texts are compared.

``exact_key`` decides what is dropped as a duplicate or a conflict: only spacing is ignored. ``loose_key``
decides what must not stand on both sides of a split: case, the composition of accents and punctuation are
ignored too.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

MAX_CHARS = 100_000

_NEWLINES = re.compile(r"\r\n?|[\x0b\x0c\x85\u2028\u2029]")
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\ufeff\ufffe\uffff]")
_SURROGATES = re.compile(r"[\ud800-\udfff]")
_APOSTROPHES = re.compile(r"['’`´]")
_PUNCTUATION = re.compile(r"[^\w\s]|_")


def clean_text(text: str) -> str:
    """One kind of newline, no control characters, no lone surrogates, at most ``MAX_CHARS`` characters."""
    text = _NEWLINES.sub("\n", text)
    text = _SURROGATES.sub("\ufffd", _CONTROL.sub("", text))
    return text.strip()[:MAX_CHARS].rstrip()


def clean_label(label: str) -> str:
    """A class name on one line."""
    return " ".join(clean_text(label).split())


def exact_key(text: str) -> str:
    return " ".join(text.split())


def loose_key(text: str) -> str:
    """Falls back to the text itself when it is all punctuation, so that ":)" and ":(" stay apart."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(_PUNCTUATION.sub(" ", _APOSTROPHES.sub("", folded)).split()) or exact_key(folded)


def spelled_alike(labels: Iterable[str]) -> dict[str, str]:
    """Class names that differ only in case or spacing -> the most frequent spelling among them.

    ``labels``: one name for each row. Ties go to the spelling that comes first in the alphabet.
    """
    counts: dict[str, dict[str, int]] = {}
    for label in labels:
        spellings = counts.setdefault("".join(label.casefold().split()), {})
        spellings[label] = spellings.get(label, 0) + 1
    merged: dict[str, str] = {}
    for spellings in counts.values():
        best = min(spellings, key=lambda name: (-spellings[name], name))
        merged.update({name: best for name in spellings if name != best})
    return merged
