"""Guesses a text's language from its most frequent function words; ``None`` rather than a bold guess.

Eight languages written in Latin letters. The lists hold only words that are frequent; a word that several
languages share counts for each.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

LANGUAGES = ("en", "de", "fr", "es", "it", "nl", "pt", "sv")
SAMPLE_TEXTS = 2000
MIXED_SHARE = 0.05  # a second language from this share on is worth a slice of its own

_PROFILES = {
    "en": "the and is it to of that this you with for was are have not my but on what can how do i be your",
    "de": "der die das und ist nicht ich ein eine mit auf für den zu von es sich im dem wie auch war sehr",
    "fr": "le la les et est pas je un une des pour que dans ce vous avec sur qui mais très du ne c'est il au",
    "es": "el la los y es no un una que de para con por en muy pero mi se del las lo como está más al",
    "it": "il la di e è non un una che per con sono ma molto mi del della questo si gli ho come le più anche",
    "nl": "de het een en is niet ik van dat met voor op zijn maar heel mijn er aan ook bij wat te om",
    "pt": "o a os e é não um uma que de para com por muito mas meu se do da em no na está mais eu",
    "sv": "och det är inte jag en ett att som på med för av den men mycket har till var så kan om",
}
_SETS = {language: frozenset(words.split()) for language, words in _PROFILES.items()}
_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?")


def guess_language(text: str) -> str | None:
    """ISO 639-1 code, or ``None`` when fewer than two function words speak or two languages are tied."""
    words = _WORD.findall(text[:2000].casefold())
    scores = Counter({language: sum(word in known for word in words) for language, known in _SETS.items()})
    (best, first), (_, second) = scores.most_common(2)
    return best if first >= 2 and first > second else None


def languages(texts: Sequence[str]) -> dict[str, float]:
    """Language -> share among the texts whose language could be told; empty when hardly any could.

    Looks at up to ``SAMPLE_TEXTS`` texts, evenly spaced.
    """
    step = max(1, len(texts) // SAMPLE_TEXTS)
    guesses = [guess_language(text) for text in texts[::step]]
    counts = Counter(guess for guess in guesses if guess)
    told = sum(counts.values())
    if told < max(1, 0.1 * len(guesses)):
        return {}
    return {language: count / told for language, count in counts.most_common()}
