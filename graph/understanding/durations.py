"""How long training may take, and how long an answer of the finished model may take."""

from __future__ import annotations

import re
from dataclasses import dataclass

from graph.understanding.numbers import NUMBER, number
from graph.understanding.text import Found, Text

MAX_MINUTES = 24 * 60.0  # from here on it is a deadline, not a limit: training takes minutes

_MINUTES = {"s": 1 / 60, "m": 1.0, "h": 60.0, "d": 24 * 60.0}
_UNITS = {
    "ms": r"ms|msecs?|milliseconds?|millisekunden|millisecondes?|milisegundos?",
    "s": r"s|secs?|seconds?|sekunden?|secondes?|segundos?",
    "m": r"m|mins?|minutes?|minuten?|minutos?",
    "h": r"h|hrs?|hours?|stunden?|heures?|horas?",
    "d": r"days?|tage?n?|jours?|días?|weeks?|wochen?",
}
_UNIT = "|".join(f"(?P<{name}>{pattern})" for name, pattern in _UNITS.items())
_DURATION = re.compile(
    rf"(?<![\w.,$€£])(?P<n>half an?|an?|a couple of|couple of|a few|several|{NUMBER})(?:[ -]"
    rf"|(?<=\d))(?:{_UNIT})(?![^\W\d])"
    r"(?:(?:(?: and|,)? )?(?P<rest>\d{1,2})(?: ?m(?:in(?:ute)?s?)?\b|(?<=\d\d)(?!\w)))?"
)
_CUE_BEFORE = re.compile(
    r"(?:\b(?:in|within|under|below|max|maximum|maximal|at most|up to|no more than|not more than"
    r"|less than|fewer than"
    r"|for|have|only|takes?|taking|limit|budget|time|spend|finish(?:ed)?|done|innerhalb|binnen"
    r"|höchstens|bis zu|unter"
    r"|weniger als|dans|moins de|au plus|pendant|en|menos de|como máximo|máximo|hasta|durante|minutes"
    r"|training)|[<≤=])"
    r"(?:[\s:=.]+(?:the|a|an|is|of|to|about|around|roughly|approximately|only|just|than|maximum|max"
    r"|von|der|next|und|and)\b)"
    r"{0,3}[\s:=.]*\Z"
)
_CUE_AFTER = re.compile(
    r"\A[\s,(]{0,2}(?:max|maximum|at most|tops|or less|of training|training|run|budget|limit|is "
    r"(?:fine|ok|okay|enough)"
    r"|höchstens|maximal|máximo|au plus|time limit)\b"
)
_ABOUT_DATA = re.compile(
    r"\b(?:wait\w*|last(?:ed|s)?|older|past|previous|every|each|after|ago|late|delay\w*|more than"
    r"|over|at least)"
    r"(?: (?:for|than|by|about))?\s*\Z"
)
_ABOUT_DATA_AFTER = re.compile(r"\A[\s-]{0,2}(?:ago|old|late|long|apart|delay\w*)\b")
_NO_MORE = re.compile(r"(?:\bnot|n't|\bnever|\bno)\b[^,]{0,24}\bmore than(?: about)? \Z")
_RANGE_BEFORE = re.compile(r"\bbetween\b.{1,20} and \Z")
_AFTER_MONEY = re.compile(r"(?:[$€£]\d[\d.]{0,8}|\b(?:dollars?|usd|euros?|eur|bucks?)) (?:and|und|et|y) \Z")
_PER_ITEM = re.compile(r"\A ?(?:/|per|each|a|pro|par|por) ?(?:\w+)")
_ANSWERS = re.compile(
    r"\b(?:answers?|respond\w*|response|repl(?:y|ies)|latency|inference|predicts?|predictions?|latenz"
    r"|antwort\w*)\b"
)
_DEADLINE = re.compile(
    r"\b(?:by|until|before) (?:tonight|tomorrow|noon|this evening|the end of (?:the )?(?:day|week)"
    r"|end of (?:day|week)"
    r"|monday|tuesday|wednesday|thursday|friday)\b|\b(?:tonight|overnight|this afternoon|bis morgen"
    r"|bis heute abend"
    r"|avant ce soir|ce soir|d'ici demain|esta noche|para mañana)\b"
)


@dataclass(frozen=True, slots=True)
class Durations:
    minutes: tuple[Found[float], ...] = ()  # each different limit on training
    latency_ms: Found[float] | None = None
    deadline: str = ""  # words such as "by tonight"


def read_durations(text: Text) -> Durations:
    minutes: dict[float, Found[float]] = {}
    latency: Found[float] | None = None
    end = text.search(_DEADLINE)
    deadline = text.quote(end) if end else ""
    for match in text.all(_DURATION):
        before, after = text.before(match.start()), text.after(match.end())
        value = _minutes(match, after)
        if value is None or _describes_data(before, after):
            continue
        found = Found(value, text.quote(match), _vague(match["n"]))
        short = match["ms"] or match["s"]
        if short and (match["ms"] or _PER_ITEM.match(after) or _ANSWERS.search(before)):
            latency = latency or Found(round(value * 60_000, 3), found.quote)
        elif not (_limits(before, after) or text.alone(match)):
            continue
        elif value >= MAX_MINUTES:
            deadline = deadline or found.quote
        else:
            minutes.setdefault(value, found)
    return Durations(tuple(minutes.values()), latency, deadline)


def _describes_data(before: str, after: str) -> bool:
    """ "Older than 2 hours", "10 minutes ago"; also the lower end of a range, whose upper end decides."""
    if _ABOUT_DATA.search(before) and not _NO_MORE.search(before):
        return True
    return bool(_ABOUT_DATA_AFTER.match(after) or (before.endswith("between ") and after.startswith(" and ")))


def _limits(before: str, after: str) -> bool:
    cues = (_CUE_BEFORE, _RANGE_BEFORE, _NO_MORE, _AFTER_MONEY)
    return any(cue.search(before) for cue in cues) or _CUE_AFTER.match(after) is not None


def minutes_answered(answer: str) -> float | None:
    """Minutes given as an answer: a bare number, or a duration."""
    value = number(answer)
    if value is not None:
        return value if 0 < value <= MAX_MINUTES else None
    found = read_durations(Text(f"at most {answer.strip()}")).minutes
    return found[0].value if len(found) == 1 else None


def _minutes(match: re.Match[str], followed: str) -> float | None:
    said = match["n"]
    loose = {
        "a": 1,
        "an": 1,
        "half a": 0.5,
        "half an": 0.5,
        "a couple of": 2,
        "couple of": 2,
        "a few": 5,
        "several": 5,
    }
    value = loose[said] if said in loose else number(said)
    if value is None or value == 0 or value > 1_000_000:
        return None
    if match["ms"]:
        return float(value) / 60_000
    unit = next(u for u in _MINUTES if match[u])
    if followed.startswith(" and a half"):
        value += 0.5
    rest = int(match["rest"]) if match["rest"] and unit == "h" else 0
    return round(value * _MINUTES[unit] + rest, 9)


def _vague(said: str) -> str:
    return "a rough figure: I took it as a few" if said in ("a few", "several") else ""
