"""What may be spent. Prices are in US dollars everywhere else; what cannot be known in dollars becomes a
question."""

from __future__ import annotations

import re
from dataclasses import dataclass

from graph.understanding.numbers import NUMBER, number
from graph.understanding.text import Found, Text

_NOT = r"(?:don'?t|do not|doesn'?t|never|without|not|no|cannot|can'?t)"
_ASK_FIRST = re.compile(
    rf"\b{_NOT} (?:\w+ ){{0,2}}(?:spend|spending|pay|paying|costs?)\b[^.;!?\n]{{0,40}}?"
    r"\b(?:without|unless|before|until)\b[^.;!?\n]{0,30}"
    r"|\b(?:spend|pay)s? (?:nothing|no money) (?:without|unless|before|until)\b[^.;!?\n]{0,30}"
    r"|\b(?:ask|check with|tell) me (?:first )?before (?:you )?(?:spend|pay)\w*[^.;!?\n]{0,20}|\bask "
    r"before spending\b"
)
_NOTHING = re.compile(
    rf"\b{_NOT} (?:want to |wanna |have to |going to )?(?:spend|spending|pay|paying)\b"
    r"(?: (?:any|a|me|some|single|my|our))* ?(?:money|anything|cents?|dimes?|penny|dollars?"
    r"|cash)?(?! ?(?:more|over|above|beyond))"
    r"|\b(?:have|got|is|there's) (?:no|zero) (?:money|budget)\b|\bbudget(?: is| of|:| =)? (?:none|zero"
    r"|nothing)\b|\bdon'?t have (?:any|a) (?:money|budget)\b"
    r"|\b(?:spend|pay|costs?|costing) (?:nothing|zero)\b|\b(?:no|zero|without(?: any)?) (?:money"
    r"|costs?|budget|spending)\b"
    r"|\b(?:for free|free of charge|free of cost|at no cost|keep (?:it|this) free|(?:must|should|has "
    r"to) be free)\b"
    r"|\bkein(?:en|e)? (?:geld|cent|kosten)\b(?: ausgeben)?|\bohne (?:kosten|geld)\b|\bkostenlos\b"
    r"|\bkostenfrei\b|\bgratis\b"
    r"|\bsans (?:rien )?(?:dépenser|payer|frais)(?: d'argent)?|\bgratuit(?:ement|e)?\b"
    r"|\bsin (?:gastar|pagar|coste|costo)(?: dinero| nada)?|\bno gast(?:es|e|ar)(?: dinero| nada)?"
)
_USD = r"dollars?|usd|us[- ]dollars?|bucks?|us\$|\$"
_NEAR_USD = r"euros?|eur|€|pounds?|quid|gbp|£|chf|swiss francs?|franken"
_OTHER = (
    r"yen|jpy|¥|rupees?|inr|₹|pesos?|yuan|rmb|cny|kron(?:or|er|e)|sek|nok|dkk|rubles?|won|krw|zloty"
    r"|pln|reais|brl"
)
_AMOUNT = re.compile(
    rf"(?<![\w.,])(?:(?P<sign>us\$|usd|eur|gbp|chf|[$€£¥₹]) ?(?P<before>{NUMBER})(?P<thousand>k\b)?"
    rf"(?: ?[-–] ?[$€£]?(?P<upper>\d[\d.,]{{0,9}}))?(?![\w%])"
    rf"|(?P<after>{NUMBER}|a)(?P<kilo>k)? ?(?P<unit>{_USD}|{_NEAR_USD}|{_OTHER}|cents?)(?!\w))"
)
_CUE_BEFORE = re.compile(
    r"(?:\b(?:under|below|less than|max|maximum|maximal|at most|up to|no more than|not more than"
    r"|budget|spend(?:ing)?"
    r"|costs?|costing|pay(?:ing)?|within|cap(?:ped)?(?: (?:at|of))?|limit(?:ed)?(?: (?:to|of))?|for"
    r"|have|only|ceiling"
    r"|exceed(?:ing)?|höchstens|bis zu|unter|für|moins de|au plus|jusqu'à|pour|menos de|hasta|como "
    r"máximo|máximo)|[<≤])"
    r"(?:[\s:=.]+(?:the|a|an|is|of|to|about|around|roughly|only|just|than|maximum|max|usd|me|it|von"
    r"|de|you|can|may)\b){0,3}"
    r"[\s:=.]*\Z"
)
_CUE_AFTER = re.compile(
    r"\A[\s,(]{0,2}(?:max|maximum|at most|tops|budget|or less|limit|is (?:fine|ok|okay|the|my|all)"
    r"|ceiling|to spend"
    r"|total|in total|höchstens|maximal|máximo|au plus)\b"
)
_NOT_A_LIMIT = re.compile(
    r"(?<!no )(?<!not )\b(?:over|above|more than|at least|worth|orders?|transactions?|purchases?"
    r"|refunds?|prices?"
    r"|amounts?)(?: \w+)?\s*\Z"
)
_RATE = re.compile(
    r"\A ?(?:/|per|an|a|each|every|pro|por|par) ?(?:h\b|hr|hour|month|day|gpu|stunde|heure|hora)"
)


@dataclass(frozen=True, slots=True)
class Money:
    """``limits``: each different total the sentence names, in USD. ``unclear``: why it cannot be told in
    USD."""

    limits: tuple[Found[float], ...] = ()
    ask_first: str = ""  # "don't spend money without asking"
    unclear: str = ""


def read_money(text: Text) -> Money:
    asked = text.search(_ASK_FIRST)
    limits = [
        Found(0.0, text.quote(match))
        for match in text.all(_NOTHING)
        if not (asked and asked.start() <= match.start() < asked.end())
    ]
    unclear = ""
    for match in text.all(_AMOUNT):
        if not _is_limit(text, match):
            continue
        if _RATE.match(text.after(match.end())):
            unclear = f"You named a price by time ({text.quote(match)}), and I need a total."
            continue
        amount = _dollars(match, text.quote(match))
        if amount is None:
            unclear = f"I count in US dollars and don't guess exchange rates ({text.quote(match)})."
        else:
            limits.append(amount)
    different = {limit.value: limit for limit in reversed(limits)}
    found = tuple(different[v] for v in dict.fromkeys(limit.value for limit in limits))
    return Money(found, text.quote(asked) if asked else "", unclear)


def _is_limit(text: Text, match: re.Match[str]) -> bool:
    before = text.before(match.start())
    if before.endswith("between ") and re.match(r" and [$€£]?\d", text.low[match.end() : match.end() + 8]):
        return False  # the upper end of the range decides
    if re.search(r"(?:\bnot|n't|\bnever|\bno)\b[^,]{0,24}\bmore than (?:about )?\Z", before):
        return True
    if _NOT_A_LIMIT.search(before):
        return False
    range_end = re.search(r"\bbetween\b.{1,20}\band \Z", before)
    return bool(
        text.alone(match)
        or range_end
        or _CUE_BEFORE.search(before)
        or _CUE_AFTER.match(text.after(match.end()))
    )


def _dollars(match: re.Match[str], quote: str) -> Found[float] | None:
    unit = match["sign"] or match["unit"]
    said = match["upper"] or match["before"] or match["after"]
    value = 1.0 if said == "a" else number(said)
    if value is None or re.fullmatch(_OTHER, unit):
        return None
    if match["thousand"] or match["kilo"]:
        value *= 1000
    if unit in ("cent", "cents"):
        return Found(value / 100, quote)
    if re.fullmatch(_NEAR_USD, unit):
        why = "prices are in US dollars; I count one for one, and you see each price before you approve it"
        return Found(value, quote, why)
    return Found(value, quote)


def dollars_answered(answer: str) -> float | None:
    """A budget given as an answer: a bare number, an amount, or words for nothing."""
    words = answer.strip().lower()
    if words.strip(".! ") in ("nothing", "none", "free", "zero", "nichts", "rien", "nada"):
        return 0.0
    value = number(words.strip("$ "))
    if value is not None:
        return value
    money = read_money(Text(f"at most {words}"))
    return money.limits[0].value if len(money.limits) == 1 and not money.unclear else None
