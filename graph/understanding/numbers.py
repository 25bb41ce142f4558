"""Numbers as people write them: digits with either separator, and small number words in four languages."""

from __future__ import annotations

import re

_WORDS = {
    0.5: "half halbe halben demi demie media medio",
    0: "zero null zéro cero",
    1: "one ein eine einer einem un une una uno",
    2: "two zwei deux dos",
    3: "three drei trois tres",
    4: "four vier quatre cuatro",
    5: "five fünf cinq cinco",
    6: "six sechs seis",
    7: "seven sieben sept siete",
    8: "eight acht huit ocho",
    9: "nine neun neuf nueve",
    10: "ten zehn dix diez",
    12: "twelve zwölf douze doce",
    15: "fifteen fünfzehn quinze quince",
    20: "twenty zwanzig vingt veinte",
    25: "twenty-five",
    30: "thirty dreißig dreissig trente treinta",
    40: "forty vierzig quarante cuarenta",
    45: "forty-five",
    50: "fifty fünfzig cinquante cincuenta",
    60: "sixty sechzig soixante sesenta",
    90: "ninety neunzig noventa",
    100: "hundred hundert cent cien",
}
_VALUES = {word: float(value) for value, words in _WORDS.items() for word in words.split()}
_ALTERNATIVES = "|".join(sorted(map(re.escape, _VALUES), key=len, reverse=True))

NUMBER = rf"(?:\d[\d.,]{{0,14}}|(?:a |one )?(?:{_ALTERNATIVES}))"
"""A pattern for one number; put what may stand before and after it around it."""


def number(words: str) -> float | None:
    """``"1,000"`` and ``"1.000"`` are a thousand, ``"0,5"`` and ``"0.5"`` a half, ``"ten"`` is ten."""
    word = words.strip().lower().rstrip(".,")
    for article in ("a ", "one "):
        word = word.removeprefix(article)
    if word in _VALUES:
        return _VALUES[word]
    if re.fullmatch(r"[1-9]\d{0,2}(?:,\d{3})+(?:\.\d+)?", word):
        return float(word.replace(",", ""))
    if re.fullmatch(r"[1-9]\d{0,2}(?:\.\d{3})+(?:,\d+)?", word):
        return float(word.replace(".", "").replace(",", "."))
    return float(word.replace(",", ".")) if re.fullmatch(r"\d+(?:[.,]\d+)?", word) else None
