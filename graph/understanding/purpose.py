"""What the model is for, as far as licences care: to earn money, without, or within a team."""

from __future__ import annotations

import re

from graph.understanding.text import Found, Text

_NON_COMMERCIAL = re.compile(
    r"\b(?:non-? ?commercial\w*|not (?:for )?commercial\w*|nicht-?kommerziell\w*|non commerciale?|no comercial\w*"
    r"|academic (?:use|research|project|purposes?|paper|work)|(?:for|as) (?:a |my |our )?(?:research|thesis|homework"
    r"|coursework|course project|class project|hobby|teaching|study|personal use)\b(?! tickets?)"
    r"|(?:master'?s?|bachelor|phd|doctoral) thesis|for (?:a|our) charity|masterarbeit|bachelorarbeit)"
)
_COMMERCIAL = re.compile(
    r"\b(?:commercial(?:ly)?(?: (?:use|product|purposes?|service))?|kommerziell\w*|comercialmente"
    r"|(?:to|we|will|and) sell (?:it|this|the model)|(?:in|for) (?:our|my|a) (?:paid|commercial) \w+"
    r"|(?:in|into|for) (?:our|my|the) products?\b(?! (?:reviews?|categor|titles?|descriptions?|names?|data|team))"
    r"|paying (?:customers|users)|(?:ship|offer) (?:it|this|the model) to (?:our |paying )?(?:customers|clients))\b"
)
_INTERNAL = re.compile(
    r"\b(?:(?:for |only )internal(?: use| tool\w*)?|internally|in-house|(?:only |just )?within (?:our|the) (?:team"
    r"|company|organi[sz]ation)|nur intern|intern genutzt|usage interne|uso interno)\b"
)


def read_purpose(text: Text) -> Found[str] | None:
    """``None`` where nothing is said. "Non-commercial" is looked for first: it holds the other word."""
    for purpose, pattern in (
        ("non-commercial", _NON_COMMERCIAL),
        ("commercial", _COMMERCIAL),
        ("internal", _INTERNAL),
    ):
        if match := text.search(pattern):
            return Found(purpose, text.quote(match))
    return None
