"""All readings of one request, with the answers to earlier questions worked in.

``Parts`` is what the sentence says, field by field. :func:`settle` replaces what an answer decided;
:func:`first_question` finds what still contradicts itself; ``read.py`` writes the task from the rest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from graph.names import TaskFamily
from graph.state import Choice, Question, Request
from graph.understanding.circumstances import Circumstances, read_circumstances, written_in
from graph.understanding.durations import Durations, minutes_answered, read_durations
from graph.understanding.families import FamilyReading, read_family
from graph.understanding.labels import Labels, read_labels
from graph.understanding.metrics import NUMBER_METRICS, Metrics, fits, metric_answered, read_metrics
from graph.understanding.money import Money, dollars_answered, read_money
from graph.understanding.questions import ask, ask_family, ask_metric, ask_which
from graph.understanding.references import References, publish_place, read_references, same_data
from graph.understanding.text import Found, Text, plain_line
from graph.understanding.topics import Topic, topics_of

FROM_FLAG = "set with the request"
FROM_ANSWER = "you chose it"
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Parts:
    text: Text
    topics: tuple[Topic, ...]
    topic_quotes: tuple[str, ...]
    labels: Labels
    family: FamilyReading
    metrics: Metrics
    money: Money
    durations: Durations
    references: References
    circumstances: Circumstances


def read_parts(text: Text) -> Parts:
    topics = topics_of(text)
    labels = read_labels(text, foreign=written_in(text) is not None)
    metrics = read_metrics(text)
    family = read_family(text, labels, [topic for topic, _ in topics])
    numeric = [m for m in metrics.named if m.value in NUMBER_METRICS]
    if family == FamilyReading() and numeric and len(numeric) == len(metrics.named):
        why = f"{numeric[0].quote} measures numbers"
        family = FamilyReading(Found(TaskFamily.REGRESSION, numeric[0].quote, why))
    references = read_references(text)
    if references.target and references.target.value in labels.names:
        references = replace(
            references, target=None
        )  # "label: positive or negative" names classes, not a column
    return Parts(
        text=text,
        topics=tuple(topic for topic, _ in topics),
        topic_quotes=tuple(quote for _, quote in topics),
        labels=labels,
        family=family,
        metrics=metrics,
        money=read_money(text),
        durations=read_durations(text),
        references=references,
        circumstances=read_circumstances(text),
    )


def settle(parts: Parts, request: Request, answers: Mapping[str, str]) -> Parts:
    """``parts`` with the flags and the answers in place of what they decide. An answer that cannot be read
    is left out, so that its question comes again; a flag that contradicts the sentence stays beside it."""
    said = {slug: plain_line(answer, 300) for slug, answer in answers.items()}
    parts = _settle_kind(parts, said)
    budget = dollars_answered(said["budget"]) if "budget" in said else None
    minutes = minutes_answered(said["minutes"]) if "minutes" in said else None
    money, durations = parts.money, parts.durations
    if budget is not None:
        money = Money((Found(budget, "", FROM_ANSWER),))
    elif request.budget_usd is not None:
        money = replace(money, limits=_flag_first(request.budget_usd, money.limits), unclear="")
    if minutes is not None:
        durations = replace(durations, minutes=(Found(minutes, "", FROM_ANSWER),))
    elif request.minutes is not None:
        durations = replace(durations, minutes=_flag_first(request.minutes, durations.minutes))
    return replace(
        parts,
        money=money,
        durations=durations,
        references=_settle_references(parts.references, request, said),
    )


def _settle_kind(parts: Parts, said: Mapping[str, str]) -> Parts:
    if said.get("family", "") in set(TaskFamily):
        family = TaskFamily(said["family"])
        labels = parts.labels
        if family is TaskFamily.REGRESSION or (family is TaskFamily.BINARY and len(labels.names) != 2):
            labels = Labels()
        parts = replace(parts, family=FamilyReading(Found(family, "", FROM_ANSWER)), labels=labels)
    metric = metric_answered(said["metric"]) if "metric" in said else None
    return replace(parts, metrics=Metrics((Found(metric, "", FROM_ANSWER),))) if metric else parts


def _settle_references(found: References, request: Request, said: Mapping[str, str]) -> References:
    data = _merged_data(request.data, found.data)
    address = "" if data else found.web_address
    if "which-data" in said:
        named = read_references(Text(said["which-data"])).data
        answer = said["which-data"]
        value = answer if any(answer == d.value for d in data) or not named else named[0].value
        if answer in ("search", "public"):
            data, address = (), ""
        elif value and " " not in value.strip():
            data, address = (Found(value, "", FROM_ANSWER),), ""
    publish, no_publish = found.publish_to, found.no_publish
    if said.get("publish") == "nowhere":
        publish = None
    elif said.get("publish"):
        publish, no_publish = Found(publish_place(said["publish"]), "", FROM_ANSWER), ""
    elif request.publish_to and not publish:
        publish = Found(publish_place(request.publish_to), "", FROM_FLAG)
    public, private = found.public, found.private
    if said.get("visibility") in ("public", "private"):
        public = FROM_ANSWER if said["visibility"] == "public" else ""
        private = "" if public else FROM_ANSWER
    target = Found(said["target"], "", FROM_ANSWER) if said.get("target") else found.target
    if request.target and not target:
        target = Found(request.target, "", FROM_FLAG)
    text_column = Found(request.text_column, "", FROM_FLAG) if request.text_column else found.text_column
    base_model = Found(request.base_model, "", FROM_FLAG) if request.base_model else found.base_model
    paper = Found(request.paper, "", FROM_FLAG) if request.paper else found.paper
    return References(
        data, address, base_model, publish, no_publish, public, private, target, text_column, paper
    )


def _flag_first(flag: T, found: Sequence[Found[T]]) -> tuple[Found[T], ...]:
    return (Found(flag, "", FROM_FLAG), *(f for f in found if f.value != flag))


def _merged_data(flag: str | None, found: Sequence[Found[str]]) -> tuple[Found[str], ...]:
    """Mentions of one data set as one; a flag's spelling is the one that is opened."""
    merged: list[Found[str]] = [Found(flag, "", FROM_FLAG)] if flag else []
    for mention in found:
        if not any(same_data(mention.value, known.value) for known in merged):
            merged.append(mention)
    return tuple(merged)


def first_question(parts: Parts, request: Request, answers: Mapping[str, str]) -> Question | None:
    """What contradicts itself, most important first."""
    return (
        _ask_kind(parts)
        or _ask_data(parts, request)
        or _ask_budget(parts, request)
        or _ask_minutes(parts, request)
        or _ask_publish(parts, request, answers)
    )


def _ask_kind(parts: Parts) -> Question | None:
    clash = parts.family.clash
    if clash:
        return ask_family((c.quote for c in clash), (c.value for c in clash))
    only, named = parts.metrics.only, parts.metrics.named
    if len(only) > 1:
        return ask_metric("You named more than one metric as the only one: which one decides?", only)
    family = parts.family.family.value if parts.family.family else None
    if named and not any(fits(m.value, family) for m in named):
        offered = ("rmse", "mae") if family is TaskFamily.REGRESSION else ("macro_f1", "accuracy")
        kind = "a number" if family is TaskFamily.REGRESSION else "classes"
        return ask_metric(f'"{named[0].quote}" does not measure {kind}: which metric decides?', offered)
    return None


def _ask_data(parts: Parts, request: Request) -> Question | None:
    found = parts.references
    if len(found.data) > 1 and not are_splits([d.value for d in found.data]):
        return ask_which("which-data", "data", ((d.value, d.value) for d in found.data), request.data)
    if found.web_address:
        text = (
            f"I can't fetch {found.web_address}: I read files and data sets of the Hub. Which data "
            f"should I use? "
            "Name a file or a Hub id, or let me look for public data."
        )
        return ask("which-data", text, (Choice("search", "Look for public data"),))
    if request.target and found.target and found.target.value.casefold() != request.target.casefold():
        if found.target.why == FROM_ANSWER:
            return None
        columns = ((c, c) for c in (request.target, found.target.value))
        return ask_which("target", "the column to learn", columns, request.target)
    return None


def are_splits(files: Sequence[str]) -> bool:
    """Whether the files are one data set's splits, such as ``train.csv`` and ``test.csv`` in one folder."""
    splits = ("train", "test", "valid", "dev", "eval")
    stems = [f.replace("\\", "/").rsplit("/", 1) for f in files]
    folders = {s[0] if len(s) == 2 else "" for s in stems}
    names = [s[-1].casefold() for s in stems]
    return (
        len(folders) == 1
        and any("train" in n for n in names)
        and all(any(w in n for w in splits) for n in names)
    )


def _ask_budget(parts: Parts, request: Request) -> Question | None:
    limits = parts.money.limits
    if len(limits) > 1:
        shown = ((f"{m.value:g}", m.quote or f"${m.value:g}") for m in limits)
        default = None if request.budget_usd is None else f"{request.budget_usd:g}"
        return ask_which("budget", "the budget", shown, default)
    if parts.money.unclear and not limits:
        text = f"{parts.money.unclear} How many US dollars may the training cost at most, in all?"
        return ask(
            "budget",
            text,
            (Choice("0", "Nothing", "train on this machine"), Choice("5", "$5"), Choice("20", "$20")),
        )
    return None


def _ask_minutes(parts: Parts, request: Request) -> Question | None:
    limits = parts.durations.minutes
    if len(limits) <= 1:
        return None
    shown = ((f"{m.value:g}", m.quote or f"{m.value:g} minutes") for m in limits)
    return ask_which(
        "minutes", "the time limit", shown, None if request.minutes is None else f"{request.minutes:g}"
    )


def _ask_publish(parts: Parts, request: Request, answers: Mapping[str, str]) -> Question | None:
    found = parts.references
    flag = publish_place(request.publish_to) if request.publish_to else None
    places = [p for p in (flag, found.publish_to.value if found.publish_to else None) if p]
    if "publish" not in answers and (len(set(places)) > 1 or (found.no_publish and places)):
        choices = [Choice(place, place) for place in dict.fromkeys(places)]
        text = (
            "You named contradicting places to publish to: where should the model go, once you have "
            "approved it?"
        )
        return ask("publish", text, (*choices, Choice("nowhere", "Nowhere", "it stays here")), default=flag)
    if found.public and (found.private or found.no_publish) and "visibility" not in answers:
        text = f'You wrote "{found.public}" and "{found.private or found.no_publish}": who may see the model?'
        choices = [Choice("private", "Only us", style="primary"), Choice("public", "Everyone")]
        return ask("visibility", text, choices, free_text=False)
    return None
