"""From a request to a task, a question or a refusal. Pure: the same request and answers give the same
reading.

Design
* Words are matched, never obeyed. The sentence cannot approve, spend, publish or run anything.
* Everything taken from the words carries the words (``Reading.quote``); everything else says why it is
  assumed.
* What contradicts itself is one question at a time, the most important first, with the values that were
  given as choices. A flag decides where the sentence is silent; where both speak and differ, that is a
  question whose default is the flag, so that ``--yes`` follows the flag.
* What the data can tell better than the words (two classes or many, its language) is left to the data.
* A language model may put a request into words that these rules can read (:mod:`graph.understanding.rewording`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from graph.names import TaskFamily
from graph.state import Constraints, Question, Reading, Request, TaskSpec
from graph.understanding.changes import named_settings
from graph.understanding.goal import content_words, goal_of, keywords_of, subject_of, title_of
from graph.understanding.metrics import STEERING, fits
from graph.understanding.parts import Parts, are_splits, first_question, read_parts, settle
from graph.understanding.purpose import read_purpose
from graph.understanding.questions import FAMILY_NAMES, GOAL, GOALS, ask_goal
from graph.understanding.refusals import LEARNING, STRONG, out_of_reach, refuse
from graph.understanding.text import MAX_CHARS, Found, Text
from graph.understanding.vocabulary import TEXT_NOUNS

NO_ANSWERS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Understanding:
    """Exactly one of the three is set."""

    task: TaskSpec | None = None
    question: Question | None = None
    refusal: str | None = None


def understand(request: Request, answers: Mapping[str, str] = NO_ANSWERS) -> Understanding:
    """Read ``request``; ``answers`` maps a question's slug to what the person answered. Never raises."""
    sentence = request.sentence
    if GOAL in answers:
        sentence = f"{sentence[: MAX_CHARS // 2]}\n{GOALS.get(answers[GOAL], answers[GOAL])}"
    text = Text(sentence)
    parts = settle(read_parts(text), request, answers)
    sorts = bool(parts.labels.names or parts.family.family)
    refusal = refuse(text, list(parts.topics), sorts=sorts, has_data=bool(parts.references.data))
    if refusal:
        return Understanding(refusal=refusal)
    if _vague(parts):
        return Understanding(question=ask_goal())
    question = first_question(parts, request, answers)
    if question:
        return Understanding(question=question)
    return Understanding(task=_task(parts, len(request.sentence)))


def _vague(parts: Parts) -> bool:
    """Whether nothing says what is to be learned."""
    if parts.references.data or parts.references.target or parts.labels.names:
        return False
    text = parts.text
    words = text.low.split()
    sorts = text.search(STRONG) is not None
    about_text = any(w.strip(".,;:!?\"'()") in TEXT_NOUNS for w in words)
    if parts.topics and (sorts or about_text or len(words) <= 6 or text.search(LEARNING)):
        return False
    return not (sorts and content_words(text))


class _Notes:
    def __init__(self) -> None:
        self.understood: list[Reading] = []
        self.assumed: list[Reading] = []

    def read(self, field: str, value: str, quote: str, why: str = "") -> None:
        self.understood.append(Reading(field, value, quote, why))

    def found(self, field: str, found: Found[str] | None, value: str | None = None) -> str | None:
        if found is None:
            return None
        self.read(field, value or found.value, found.quote, found.why)
        return found.value

    def assume(self, field: str, value: str, why: str) -> None:
        self.assumed.append(Reading(field, value, why=why))


def _task(parts: Parts, length: int) -> TaskSpec:
    notes = _Notes()
    family = _family(parts, notes)
    data = _data(parts, notes)
    references = parts.references
    target = notes.found("target", references.target)
    text_column = notes.found("text column", references.text_column)
    metrics = _metrics(parts, family, notes)
    constraints = _constraints(parts, data, notes)
    base_model = notes.found("base model", references.base_model)
    paper = notes.found("paper", references.paper)
    publish_to, visibility = _publishing(parts, notes)
    purpose = _purpose(parts, notes)
    deliverables = _deliverables(parts, notes)
    _limits(parts, length, notes)
    subject = subject_of(parts.text, parts.topics)
    quoted = [found.quote for found in references.data]
    if references.paper:
        quoted += [references.paper.quote, "paper papers follow following arxiv"]
    words = content_words(
        parts.text, [*quoted, *(m.quote for m in parts.metrics.named), target or "", base_model or ""]
    )
    goal = goal_of(parts.text, family, parts.labels.names, target, subject, parts.topics)
    return TaskSpec(
        goal=goal + ".",
        title=title_of(goal),
        family=family,
        keywords=keywords_of(words, subject, parts.topics),
        labels=() if family is TaskFamily.REGRESSION else parts.labels.names,
        text_column=text_column,
        target=target,
        metrics=metrics,
        constraints=constraints,
        deliverables=deliverables,
        data=data,
        base_model=base_model,
        publish_to=publish_to,
        visibility=visibility,
        purpose=purpose,
        understood=tuple(notes.understood),
        assumed=tuple(notes.assumed),
        paper=paper,
    )


def _family(parts: Parts, notes: _Notes) -> TaskFamily | None:
    for topic, quote in list(zip(parts.topics, parts.topic_quotes, strict=True))[:3]:
        notes.read("topic", topic.name, quote)
    if parts.labels.names:
        notes.read("classes", ", ".join(parts.labels.names[:12]), parts.labels.quote)
    elif parts.labels.count:
        notes.read("number of classes", str(parts.labels.count.value), parts.labels.count.quote)
    found = parts.family.family
    if found is None:
        notes.assume(
            "kind of answer", "what the data holds", "the request names neither classes nor a number"
        )
        return None
    notes.read("kind of answer", FAMILY_NAMES[found.value], found.quote, found.why)
    return found.value


def _data(parts: Parts, notes: _Notes) -> str | None:
    found = parts.references.data
    if not found:
        notes.assume(
            "data", "a public data set", "no file or Hub id is named; you choose among those that I find"
        )
        return None
    used = next((d for d in found if "train" in d.value.casefold()), found[0]) if len(found) > 1 else found[0]
    notes.found("data", used)
    if are_splits([d.value for d in found]) and len(found) > 1:
        left = ", ".join(d.value for d in found if d is not used)
        notes.assume("test rows", f"split off from {used.value}", f"I read one file; {left} is not used")
    return used.value


def _metrics(parts: Parts, family: TaskFamily | None, notes: _Notes) -> tuple[str, ...]:
    usual = "rmse" if family is TaskFamily.REGRESSION else "macro_f1"
    named = [m for m in parts.metrics.named if fits(m.value, family)]
    for metric in parts.metrics.named:
        notes.read(
            "metric",
            metric.value,
            metric.quote,
            metric.why or ("" if metric in named else "does not fit the task, left out"),
        )
    names = list(dict.fromkeys(m.value for m in named))
    if not names:
        why = (
            "every class counts the same, however rare"
            if usual == "macro_f1"
            else "the usual measure of errors in numbers"
        )
        notes.assume("metric", usual, f"none is named; {why}")
        return (usual,)
    if names[:2] in (["precision", "recall"], ["recall", "precision"]):
        notes.assume("deciding metric", usual, "it balances precision and recall")
        return (usual, *names)
    if family is TaskFamily.MULTILABEL and names[0] == "accuracy":
        notes.assume(
            "deciding metric", "subset_accuracy", "with several labels, right means all of them are right"
        )
        return ("subset_accuracy", *names[1:])
    if names[0] in ("micro_f1", "subset_accuracy") and family is not TaskFamily.MULTILABEL:
        notes.assume("deciding metric", "accuracy", f"with one class for a text, {names[0]} is accuracy")
        return (names[0], "accuracy", *names[1:])
    if names[0] not in STEERING or (
        family is TaskFamily.MULTILABEL and names[0] in ("mcc", "balanced_accuracy", "weighted_f1")
    ):
        why = (
            f"the best checkpoint is not chosen by {names[0]} today, and {names[0]} alone can be had "
            f"by a useless model"
        )
        notes.assume("deciding metric", usual, why)
        return tuple(dict.fromkeys((names[0], usual, *names[1:])))
    return tuple(names)


def _constraints(parts: Parts, data: str | None, notes: _Notes) -> Constraints:
    around, money, durations = parts.circumstances, parts.money, parts.durations
    budget = money.limits[0] if money.limits else None
    if budget:
        notes.read("budget", f"${budget.value:.2f}", budget.quote, budget.why)
    if money.ask_first:
        notes.read("budget", "asked before anything is spent", money.ask_first)
    elif not budget:
        notes.assume("budget", "nothing is spent without your yes", "no budget is named")
    minutes = durations.minutes[0] if durations.minutes else None
    if minutes:
        notes.read("minutes", f"{minutes.value:g}", minutes.quote, minutes.why)
    if durations.deadline:
        notes.read(
            "deadline",
            durations.deadline,
            durations.deadline,
            "training takes minutes, so I set no limit for it",
        )
    if durations.latency_ms:
        notes.read("latency", f"{durations.latency_ms.value:g} ms", durations.latency_ms.quote)
    if around.max_model_mb:
        notes.read(
            "model size",
            f"at most {around.max_model_mb.value:g} MB",
            around.max_model_mb.quote,
            around.max_model_mb.why,
        )
    if around.hardware:
        name, _, count = around.hardware.value.partition(":")
        notes.found("hardware", around.hardware, f"{count} × {name.upper()}" if count else None)
    if around.private_data:
        notes.read("private data", "the data stays on this machine", around.private_data)
    hardware = around.hardware.value if around.hardware else ("cpu" if around.runs_on else None)
    return Constraints(
        budget_usd=budget.value if budget else None,
        minutes=minutes.value if minutes else None,
        max_model_mb=around.max_model_mb.value if around.max_model_mb else None,
        max_latency_ms=durations.latency_ms.value if durations.latency_ms else None,
        language=_language(parts, data, notes),
        hardware=hardware,
        private_data=bool(around.private_data),
    )


def _language(parts: Parts, data: str | None, notes: _Notes) -> str | None:
    around = parts.circumstances
    names = {label.casefold() for label in parts.labels.names}
    stated = [found for found in around.languages if found.quote.casefold() not in names]
    if len(stated) == 1:
        return notes.found("language", stated[0])
    if stated:
        notes.read(
            "languages",
            ", ".join(f.value for f in stated),
            stated[0].quote,
            "several, so the base model has to know all",
        )
        return None
    from_hub = (
        data is not None
        and "/" in data
        and not data.startswith((".", "/", "~"))
        and "." not in data.rsplit("/", 1)[-1]
    )
    if around.written_in and not from_hub:
        notes.assume("language", around.written_in, "the request is written in it")
        return around.written_in
    return None


def _publishing(parts: Parts, notes: _Notes) -> tuple[str | None, str]:
    found = parts.references
    if found.no_publish:
        notes.read("publishing", "not published", found.no_publish)
    place = None if found.no_publish else notes.found("publish to", found.publish_to)
    if found.public and not found.private:
        notes.read("visibility", "public", found.public, "asked again before it is done")
        return place, "public"
    if found.private:
        notes.read("visibility", "private", found.private)
    elif place:
        notes.assume("visibility", "private", "private until a person says otherwise")
    return place, "private"


def _purpose(parts: Parts, notes: _Notes) -> str:
    stated = notes.found("use", read_purpose(parts.text))
    if stated:
        return stated
    notes.assume("use", "internal", "licences ask for it, and nothing is said: say so if it will earn money")
    return "internal"


def _deliverables(parts: Parts, notes: _Notes) -> tuple[str, ...]:
    around = parts.circumstances
    if around.deliverables_quote:
        notes.read("files", ", ".join(around.deliverables), around.deliverables_quote)
    for thing in around.not_made[:3]:
        notes.assume(
            "left out", thing, "I hand over safetensors, a report, a model card and a Gradio demo today"
        )
    return around.deliverables


def _limits(parts: Parts, length: int, notes: _Notes) -> None:
    """What the request asks for and will not happen."""
    if length > MAX_CHARS:
        notes.assume("request", f"its first {MAX_CHARS:,} characters", "it is longer than what I read")
    if parts.circumstances.approve_itself:
        notes.assume(
            "approvals", "asked as usual", "a sentence can't approve; a person's click, or --yes, can"
        )
    settings = named_settings(parts.text)
    if settings:
        notes.assume(
            "hyperparameters",
            "chosen at the plan",
            f'answer the plan with "{", ".join(settings[:4])}" to set them',
        )
    for kind in out_of_reach(parts.text)[:3]:
        if kind.about_text:
            notes.assume("left out", kind.name, f"there is no recipe for it; closest is {kind.nearest}")
