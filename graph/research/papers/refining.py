"""A language model reads a paper after the rules did. It may only cite what stands on the page. Pure.

A finding counts if its quotation is literally on the page that it names, and its value is written in that quotation.
What it then does: it adds what the rules did not find, and of several values that they found it may say which one was
used. It never overrules them: where it contradicts a rule both stand, and the plan follows neither.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict

from graph.literature import Paper, PaperFact, PaperResult
from graph.llm.model import Material, Prompt
from graph.research.papers.following import values_of
from graph.research.papers.reading import MAX_CHARS, MAX_FACTS, MAX_RESULTS
from remote.numerals import number, numbers_in
from remote.quotes import normal, that_stand

MAX_PROMPT_CHARS = 120_000  # some 30,000 tokens: a paper of 25 pages with its appendix
MAX_OUTPUT_TOKENS = 16_000  # what a model thinks before it answers counts too
_WHOLE = ("epochs", "batch_size", "max_length", "warmup_steps", "seeds")
_MOST = 10**9  # of a setting
_ERRORS = ("rmse", "mae")  # metrics that are no shares

NumberField = Literal[
    "learning_rate", "batch_size", "epochs", "weight_decay", "dropout", "warmup_fraction", "warmup_steps",
    "max_length", "label_smoothing", "seeds",
]  # fmt: skip
NameField = Literal["task", "data_set", "architecture", "loss", "optimiser"]
Metric = Literal[
    "accuracy", "balanced_accuracy", "macro_f1", "micro_f1", "weighted_f1", "f1", "mcc", "auc", "precision",
    "recall", "rmse", "mae", "r2", "spearman",
]  # fmt: skip

INSTRUCTIONS = """\
You read a scientific paper on training a text model and note how the model that it proposes was trained and how well
it did. Each finding carries the number of its page and a quotation of at most 300 characters that is copied from that
page letter by letter and contains the value. Values are copied as the paper writes them.
- settings: hyperparameters of the final training of the proposed model. Where the paper tried several values, only the
  one that it says was used; nothing where it does not say.
- names: task, data sets, architecture, loss and optimiser of that training.
- scores: results of the proposed model on held-out rows, each with its metric, and with data set and split where the
  paper says them.
Leave out whatever the paper does not say. Never infer a value."""


class Setting(BaseModel):
    model_config = ConfigDict(extra="forbid")
    field: NumberField
    value: str
    page: int
    quote: str


class Named(BaseModel):
    model_config = ConfigDict(extra="forbid")
    field: NameField
    value: str
    page: int
    quote: str


class Score(BaseModel):
    model_config = ConfigDict(extra="forbid")
    metric: Metric
    value: str
    model: str
    data: str | None
    split: Literal["train", "validation", "test"] | None
    page: int
    quote: str


class Findings(BaseModel):
    """What the model is asked to fill in."""

    model_config = ConfigDict(extra="forbid")
    settings: list[Setting]
    names: list[Named]
    scores: list[Score]


@dataclass(frozen=True, slots=True)
class Refined:
    paper: Paper
    dropped: int  # findings whose words or value do not stand on their page


def prompt_for(paper: Paper, pages: Mapping[int, str]) -> Prompt[Findings]:
    """``pages``: number from 1 → text. Of a long paper the first pages."""
    material, room = [Material("title", paper.title)], MAX_PROMPT_CHARS
    for page, text in sorted(pages.items()):
        if room <= 0:
            break
        material.append(Material(f"page {page}", text[:room]))
        room -= len(text)
    return Prompt(
        f"read “{paper.title[:80]}” as well", INSTRUCTIONS, tuple(material), Findings, MAX_OUTPUT_TOKENS
    )


def refined(paper: Paper, found: Findings, pages: Mapping[int, str], by: str) -> Refined:
    """``paper`` with what of ``found`` holds; ``by``: the model's name."""
    claimed: list[PaperFact | PaperResult | None] = [
        *(_setting(s, by) for s in found.settings[:MAX_FACTS]),
        *(_named(n, by) for n in found.names[:MAX_FACTS]),
        *(_score(s, pages, by) for s in found.scores[:MAX_RESULTS]),
    ]
    standing = that_stand((c for c in claimed if c), pages, lambda c: (c.page, c.quote))
    facts = [c for c in standing if isinstance(c, PaperFact)]
    results = [c for c in standing if isinstance(c, PaperResult)]
    merged_facts, merged_results = _facts(paper.facts, facts), _results(paper.results, results)
    merged = replace(paper, facts=merged_facts[:MAX_FACTS], results=merged_results[:MAX_RESULTS])
    return Refined(merged, len(claimed) - len(standing))


def pages_of(body: Any) -> dict[int, str]:
    """Of ``pages.json``, which was made from a foreign file."""
    items = body.get("pages") if isinstance(body, dict) else None
    return {
        item["number"]: item["text"]
        for item in (items if isinstance(items, list) else ())
        if isinstance(item, dict)
        and isinstance(item.get("number"), int)
        and isinstance(item.get("text"), str)
    }


def _setting(setting: Setting, by: str) -> PaperFact | None:
    value = number(normal(setting.value))
    if value is None or value > _MOST or not _written(value, setting.quote):
        return None
    if setting.field in _WHOLE:
        if value != int(value):
            return None
        value = int(value)
    return PaperFact(setting.field, value, setting.page, setting.quote[:MAX_CHARS], by=by)


def _named(named: Named, by: str) -> PaperFact | None:
    name = normal(named.value)[:120]
    if not name or name.casefold() not in normal(named.quote).casefold():
        return None
    return PaperFact(named.field, name, named.page, named.quote[:MAX_CHARS], by=by)


def _score(score: Score, pages: Mapping[int, str], by: str) -> PaperResult | None:
    """Names are kept only where the page holds them."""
    written = normal(score.value)[:40]
    value = number(written)
    if value is None or not _written(value, score.quote):
        return None
    if score.metric not in _ERRORS and value > 1:
        value /= 100
    if score.metric not in _ERRORS and value > 1:
        return None
    page = normal(pages.get(score.page, "")).casefold()
    model = normal(score.model)[:80]
    data = normal(score.data or "")[:80]
    return PaperResult(
        score.metric,
        round(value, 6),
        written,
        model if model.casefold() in page else "",
        data if data and data.casefold() in page else None,
        score.split,
        score.page,
        score.quote[:MAX_CHARS],
        by=by,
    )


def _written(value: float, quote: str) -> bool:
    return any(math.isclose(value, other, rel_tol=1e-9) for other in numbers_in(quote))


def _facts(rules: Sequence[PaperFact], model: Sequence[PaperFact]) -> tuple[PaperFact, ...]:
    """Where the model settles on one of the values that the rules found, the others go."""
    merged: list[PaperFact] = []
    for field in dict.fromkeys(fact.field for fact in (*rules, *model)):
        ruled = [fact for fact in rules if fact.field == field]
        read = _distinct(fact for fact in model if fact.field == field)
        if field in get_args(NumberField):
            merged += _settled(ruled, read)
        else:
            known = {str(fact.value).casefold() for fact in ruled}
            merged += [*ruled, *(fact for fact in read if str(fact.value).casefold() not in known)]
    return tuple(merged)


def _settled(ruled: list[PaperFact], read: list[PaperFact]) -> list[PaperFact]:
    before = {value for fact in ruled for value in values_of(fact)}
    said = {fact.value for fact in read}
    if len(said) == 1 and len(before) > 1 and said <= before:
        return read
    return [*ruled, *(fact for fact in read if fact.value not in before)]


def _distinct(facts: Iterable[PaperFact]) -> list[PaperFact]:
    return list({(fact.field, fact.value): fact for fact in facts}.values())


def _results(rules: Sequence[PaperResult], model: Sequence[PaperResult]) -> tuple[PaperResult, ...]:
    """A score that the rules found too is kept once: theirs, with the names that only the model could read."""
    merged = list(rules)
    for result in model:
        twin = next((i for i, r in enumerate(merged) if _same(r, result)), None)
        if twin is None:
            merged.append(result)
        else:
            held = merged[twin]
            merged[twin] = replace(
                held,
                model=held.model or result.model,
                data=held.data or result.data,
                split=held.split or result.split,
            )
    return tuple(merged)


def _same(a: PaperResult, b: PaperResult) -> bool:
    return (
        (a.metric, a.page) == (b.metric, b.page)
        and math.isclose(a.value, b.value, abs_tol=1e-6)
        and all(x is None or y is None or x == y for x, y in ((a.data, b.data), (a.split, b.split)))
    )
