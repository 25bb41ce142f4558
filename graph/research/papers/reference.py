"""Which paper a person means: a PDF file here, an arXiv id or address, or a paper's page on the Hub. Pure.

No other address is fetched: what a sentence from a chat names must not make this machine call wherever it says.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_NEW_ID = r"\d{4}\.\d{4,5}(?:v\d{1,2})?"
_OLD_ID = r"[a-z][a-z-]{1,15}(?:\.[A-Z]{2})?/\d{7}(?:v\d{1,2})?"
_ARXIV = re.compile(
    rf"(?:https?://)?(?:www\.|export\.)?arxiv\.org/(?:abs|pdf|html)/(?P<address>{_NEW_ID}|{_OLD_ID})(?:\.pdf)?/?"
    rf"|arxiv:\s?(?P<named>{_NEW_ID}|{_OLD_ID})(?:\s?\[[\w.-]+\])?|(?P<bare>{_NEW_ID})",
    re.IGNORECASE,
)
_HUB = re.compile(
    rf"(?:https?://)?(?:www\.)?(?:huggingface\.co|hf\.co)/papers/(?P<id>{_NEW_ID})/?", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Reference:
    kind: str  # "arxiv", "hub" or "file"
    id: str  # arXiv's id, which is also the Hub's; or the file's path


def reference(wanted: str) -> Reference | None:
    """What ``wanted`` names, or ``None`` where it is no paper that can be read."""
    text = wanted.strip().strip("<>")
    if match := _HUB.fullmatch(text):
        return Reference("hub", match["id"])
    if match := _ARXIV.fullmatch(text):
        return Reference("arxiv", match["address"] or match["named"] or match["bare"])
    if text.casefold().endswith(".pdf") and "://" not in text:
        return Reference("file", text)
    return None


def is_bare_number(wanted: str) -> bool:
    """Whether digits and a dot are all, which could be any number: a sentence has to say "paper" or "arXiv"."""
    match = _ARXIV.fullmatch(wanted.strip())
    return bool(match and match["bare"])
