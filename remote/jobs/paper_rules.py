"""What a paper's text says of how a model was trained, by rules: no judgement, each finding with its page and words.

A value counts as settled only if the paper gives one. Several (a grid, an ablation, one a data set) are all kept,
and nobody is told that one of them is *the* value.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from remote.jobs import paper_names as names
from remote.numerals import VALUE, number

QUOTE_CHARS = 240
MAX_FACTS = 12  # of one field
_MORE = rf"(?:,? ?(?:,|or|and|/) ?{VALUE}(?!\w|\.\d|-\d)){{0,11}}"  # bounded, as all repeats: the text is a stranger's
_FILLER = (
    r"(?: ?\([^()]{1,24}\))?(?: ?[:=~≈∈]| (?:is|was|of|to|at|set|fixed|equals?|equal|were|be|as|a|an|the|value|initial"
    r"|peak|constant|maximum|rate|used|selected|chosen|tuned|from|in|among|over|for|with)){0,8}"
)


@dataclass(frozen=True, slots=True)
class Fact:
    field: str
    value: Any  # a name, a number, or a list of numbers where several were tried
    page: int
    quote: str
    where: str = ""  # "Table 3"


@dataclass(frozen=True, slots=True)
class Passage:
    """One line of text (``remote.quotes.normal``): of a page's prose, or one row of a table."""

    page: int
    text: str
    where: str = ""


@dataclass(frozen=True, slots=True)
class _Setting:
    """A hyperparameter; the keys are the recipe's own where it has one."""

    key: str
    pattern: str
    low: float
    high: float
    whole: bool = False


SETTINGS = (
    _Setting("learning_rate", r"(?<!head )(?<!decay )(?:learning[ -]?rates?|lr)", 1e-7, 1.0),
    _Setting("batch_size", r"(?:mini-?)?batch(?:es)?(?:[ -]sizes?)?", 1, 65536, whole=True),
    _Setting("epochs", r"(?:training )?epochs?", 1, 1000, whole=True),
    _Setting("weight_decay", r"weight[ -]decay(?: rate)?", 0.0, 1.0),
    _Setting("dropout", r"drop-?out(?:[ -](?:rate|probability|ratio))?", 0.0, 0.9),
    _Setting("warmup_fraction", r"warm-?up(?:[ -](?:ratio|proportion|fraction|rate))?", 1e-4, 0.9),
    _Setting("warmup_steps", r"warm-?up[ -]steps|steps of warm-?up", 1, 1e6, whole=True),
    _Setting(
        "max_length",
        r"max(?:imum|imal|\.)?[ -](?:sequence[ -]|input[ -]|token[ -])?lengths?|sequence lengths?",
        8,
        16384,
        whole=True,
    ),
    _Setting("label_smoothing", r"label[ -]smoothing(?: factor)?", 1e-4, 0.5),
    _Setting("seeds", r"(?:random )?seeds", 1, 1000, whole=True),
)  # fmt: skip
_BEFORE = {  # where the value stands first: "for 10 epochs", "a 2e-5 learning rate"
    "epochs", "learning_rate", "seeds", "warmup_steps",
}  # fmt: skip
_VALUES = rf"(?P<values>{VALUE}(?!\w|\.\d|-\d){_MORE})"
_COUNTED = r"(?: (?:different|training|full|random|independent))?"
_AFTER = {
    s.key: re.compile(rf"(?<![\w-])(?:{s.pattern}){_FILLER}[ {{(\[]*{_VALUES}", re.IGNORECASE)
    for s in SETTINGS
}
_FIRST = {
    s.key: re.compile(
        rf"(?<![\w.\-])(?P<values>{VALUE}{_MORE}){_COUNTED}[ -](?:{s.pattern})(?![\w-])", re.IGNORECASE
    )
    for s in SETTINGS
    if s.key in _BEFORE
}
_ONE = re.compile(VALUE, re.IGNORECASE)


def hyperparameters(passages: Iterable[Passage]) -> list[Fact]:
    """Settings with their values; one fact for each different value that a page gives."""
    found: dict[tuple[str, str], Fact] = {}
    for passage in passages:
        for setting in SETTINGS:
            for fact in _settings(setting, passage):
                found.setdefault((fact.field, repr(fact.value)), fact)
    return _bounded(found.values())


def _settings(setting: _Setting, passage: Passage) -> Iterator[Fact]:
    patterns = (_AFTER[setting.key], *([_FIRST[setting.key]] if setting.key in _FIRST else ()))
    for pattern in patterns:
        for match in pattern.finditer(passage.text):
            values = [number(v) for v in _ONE.findall(match["values"])]
            fitting = [v for v in values if v is not None and _fits(v, setting)]
            if not fitting or len(fitting) != len(values):
                continue
            shown = [int(v) if setting.whole else v for v in dict.fromkeys(fitting)]
            value = shown[0] if len(shown) == 1 else shown
            yield Fact(
                setting.key,
                value,
                passage.page,
                quote_around(passage.text, match.start(), match.end()),
                passage.where,
            )


def _fits(value: float, setting: _Setting) -> bool:
    return setting.low <= value <= setting.high and (not setting.whole or value == int(value))


def quote_around(text: str, start: int, end: int) -> str:
    """The sentence's part around a match, cut at blanks; literally from ``text``."""
    opening = max(text.rfind(". ", 0, start) + 2, 0) if text.rfind(". ", 0, start) >= 0 else 0
    closing = text.find(". ", end)
    closing = len(text) if closing < 0 else closing + 1
    if closing - opening > QUOTE_CHARS:
        room = max((QUOTE_CHARS - (end - start)) // 2, 0)
        opening, closing = max(opening, start - room), min(closing, end + room)
        if 0 < opening < start and " " in text[opening:start]:
            opening = text.index(" ", opening, start) + 1
        if end < closing < len(text) and " " in text[end:closing]:
            closing = text.rindex(" ", end, closing)
    return text[opening:closing].strip()[: QUOTE_CHARS * 2]


def named(field: str, patterns: names.Patterns, passages: Iterable[Passage], most: int = 6) -> list[Fact]:
    """Names by how often the paper says them, each with its first place."""
    counts: Counter[str] = Counter()
    places: dict[str, Fact] = {}
    for passage in passages:
        for name, pattern in patterns.items():
            for match in pattern.finditer(passage.text):
                counts[name] += 1
                if name not in places:
                    quote = quote_around(passage.text, match.start(), match.end())
                    places[name] = Fact(field, name, passage.page, quote, passage.where)
    return [places[name] for name, _ in counts.most_common(most)]


_LOSS_CUE = re.compile(r"\b(?:loss|objective|minimi[sz]\w+)\b", re.IGNORECASE)
_OPTIMISER_CUE = re.compile(r"\boptimi[sz]\w+|\busing|\bwith\b|\bvia\b|\blearning rate", re.IGNORECASE)


def optimisers(passages: Iterable[Passage]) -> list[Fact]:
    return [
        f for f in named("optimiser", names.OPTIMISERS, passages) if _OPTIMISER_CUE.search(f.quote) or f.where
    ][:3]


def losses(passages: Iterable[Passage]) -> list[Fact]:
    return [f for f in named("loss", names.LOSSES, passages) if _LOSS_CUE.search(f.quote)][:3]


_REPOSITORY = re.compile(
    r"(?:https?://)?(?:www\.)?(?P<host>github\.com|gitlab\.com|huggingface\.co|hf\.co)/"
    r"(?P<path>(?:datasets/|spaces/)?[\w.-]{1,96}/[\w.-]{1,96})",
    re.IGNORECASE,
)


def links(page: int, text: str, addresses: Iterable[str]) -> list[Fact]:
    """Repositories of code, data and models that a page points at. An address behind a word has itself as quote."""
    found: dict[str, Fact] = {}
    for source in (text, *addresses):
        for match in _REPOSITORY.finditer(source):
            path = match["path"].rstrip(".-").removesuffix(".git")
            url = f"https://{match['host'].lower()}/{path}"
            found.setdefault(url, Fact("link", url, page, match[0].rstrip(".")))
    return list(found.values())[:MAX_FACTS]


def _bounded(facts: Iterable[Fact]) -> list[Fact]:
    counts: Counter[str] = Counter()
    kept = []
    for fact in facts:
        counts[fact.field] += 1
        if counts[fact.field] <= MAX_FACTS:
            kept.append(fact)
    return kept
