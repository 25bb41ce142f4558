"""Numbers as papers write them: "2 × 10-5", "5e-5", "10 %", "1,000", "three". Pure."""

from __future__ import annotations

import math
import re

from remote.quotes import normal

NUMBER_WORDS = {
    "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10,
    "fifteen": 15, "twenty": 20, "thirty": 30, "fifty": 50, "hundred": 100,
}  # fmt: skip
_POWER = r"(?:\d+(?:\.\d+)? ?[×x*·] ?)?10 ?\^?\{? ?- ?\d{1,2}\}?"
_NUMBER = rf"(?:{_POWER}|\d+(?:\.\d+)? ?e ?[-+]? ?\d{{1,2}}|\d{{1,3}}(?:,\d{{3}})+|\d*\.\d+|\d+)"
VALUE = rf"(?:{_NUMBER} ?%?|(?:{'|'.join(NUMBER_WORDS)})(?!\w))"
_ONE = re.compile(rf"(?<![\w.])-?(?:{VALUE})(?!\w|\.\d)", re.IGNORECASE)


def number(text: str) -> float | None:
    """``2 × 10-5``, ``5e-5``, ``10 %``, ``1,000``, ``three`` as a number; ``None`` for what is none."""
    plain = " ".join(text.casefold().split())
    if plain in NUMBER_WORDS:
        return float(NUMBER_WORDS[plain])
    share = plain.endswith("%")
    plain = plain.rstrip("% ").replace(" ", "").replace("^", "").replace("{", "").replace("}", "")
    power = re.fullmatch(r"(?:(\d+(?:\.\d+)?)[×x*·])?10(-\d{1,2})", plain)
    try:
        value = float(power[1] or 1) * 10.0 ** int(power[2]) if power else float(plain.replace(",", ""))
    except (ValueError, OverflowError):
        return None
    if not math.isfinite(value):
        return None
    return float(f"{value / 100 if share else value:.10g}")


def numbers_in(text: str) -> list[float]:
    """Every number that ``text`` writes out, with the sign left away."""
    found = (number(match.lstrip("-")) for match in _ONE.findall(normal(text)))
    return [value for value in found if value is not None]
