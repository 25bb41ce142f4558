"""What a reply in a run's thread means. Pure: the words and the run in, an intention out.

A thread is also where people talk to each other. So only what can be read as an answer, a command or a change is one;
anything else is ``UNCLEAR`` and, when it was not addressed to the intern, is left alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from bot.answers import read_answer
from bot.dispatch import BEFORE_THE_PLAN
from graph.deps import Run
from graph.names import DecisionKind, RunStatus
from graph.state import Question
from graph.understanding.changes import read_change

_STOP = re.compile(
    r"(?:please )?(?:cancel|stop|abort|abbrechen|annuler)(?: (?:it|this|the)(?: run)?)?(?:,? please)?"
)
_WHY = re.compile(r"why\b.{0,80}|how come\b.{0,80}|explain\b.{0,40}|warum\b.{0,40}|pourquoi\b.{0,40}")
_STATUS = re.compile(
    r"(?:what(?:'s| is) the )?(?:status|progress|news)|any (?:news|progress)|update|how far (?:are you|is it)"
    r"|how(?:'s| is| are) (?:it|this|that|things|you)(?: going| doing| coming along)?"
    r"|(?:are you|is it|is this) (?:still )?(?:done|finished|ready|stuck|there|alive|running|working)(?: yet| now)?"
    r"|how (?:long|much longer)\b.{0,40}|when\b.{0,40}\b(?:done|finished|ready)"
    r"|what(?:'s| is| are you) (?:happening|doing|going on)"
)
_HELP = re.compile(r"help|\?|what can (?:i|you) (?:say|do)")
_TRY = re.compile(r"(?:try|predict|classify)\s*[:：]\s*(?P<text>.+)", re.DOTALL)
_OTHER_DATA = re.compile(r".*\b(?:other|another|second|third|first|different) (?:one|data ?set|data)\b.*")
_DATA_NAME = re.compile(
    r"(?:use |take )?(?P<name>[\w.~/\\-]*(?:[/\\][\w.-]+|\.(?:csv|tsv|jsonl|json|parquet|txt))\S*)"
)
_PLACE = re.compile(r"(?:to )?(?P<place>(?:hub|folder):\S.*)")


_LIKE_A_CHANGE = re.compile(r"[=\d]|\b(?:change|make|use|set|with|without|more|less|fewer)\b", re.IGNORECASE)
_OWN = {
    DecisionKind.COMPUTE: "; or with a change, such as “epochs=2” or “make it faster”",
    DecisionKind.DATASET: "; or with “the second one”, a file, or a Hub data set such as owner/name",
    DecisionKind.PUBLISH: "; or with a place, such as hub:owner/name",
}


class Intent(StrEnum):
    ANSWER = "answer"
    CANCEL = "cancel"
    WHY = "why"
    STATUS = "status"
    HELP = "help"
    TRY = "try"
    WISH = "wish"  # a change for the plan that is not made yet
    AGAIN = "again"  # a change that needs a new run
    UNCLEAR = "unclear"


_COMMANDS = (
    (_STOP, Intent.CANCEL),
    (_WHY, Intent.WHY),
    (_STATUS, Intent.STATUS),
    (_HELP, Intent.HELP),
)


@dataclass(frozen=True, slots=True)
class Steer:
    """``text``: the answer, the text to try, the change; or, when unclear, what to tell the person."""

    intent: Intent
    text: str = ""


def steer(text: str, run: Run, *, has_file: bool = False) -> Steer:
    """What the reply means for the run as it is now."""
    said = " ".join(text.split())
    low = said.casefold().rstrip(" .!?") or said.casefold()
    question = run.question if run.status is RunStatus.WAITING else None
    command = next((intent for pattern, intent in _COMMANDS if pattern.fullmatch(low)), None)
    answer = _answer(question, text.strip(), has_file) if question else None
    if question and answer and (command is None or answer in {c.value for c in question.choices}):
        return Steer(Intent.ANSWER, answer)
    if command is not None:
        return Steer(command)
    if match := _TRY.fullmatch(text.strip()):
        return Steer(Intent.TRY, match["text"].strip())
    if said and not isinstance(read_change(said), str):
        return _change(run, said)
    if (question is None or question.kind is not DecisionKind.DATASET) and _OTHER_DATA.fullmatch(low):
        first = "" if run.status.ended else "cancel it and "
        return Steer(
            Intent.UNCLEAR,
            f"The data of this run is chosen already: {first}start again with other data.",
        )
    return Steer(Intent.UNCLEAR, _complaint(question, said))


def _answer(question: Question, text: str, has_file: bool) -> str | None:
    """The answer that the words give to the open question, or ``None``: then they mean something else."""
    choice = read_answer(question, text)
    if choice in {c.value for c in question.choices}:
        return choice
    if not question.free_text:
        return None
    match question.kind:
        case DecisionKind.DATASET:
            found = _DATA_NAME.fullmatch(text)
            return "file" if has_file else found["name"] if found else None
        case DecisionKind.PUBLISH:
            place = _PLACE.fullmatch(text)
            return place["place"] if place else None
        case DecisionKind.COMPUTE:
            change = text.removeprefix("change").strip(" :")
            return None if isinstance(read_change(change), str) else f"change {change}"
        case _:
            return choice  # a clarification, in the person's own words


def _change(run: Run, said: str) -> Steer:
    if run.status.ended:
        return Steer(Intent.AGAIN, said)
    if run.stage in BEFORE_THE_PLAN:
        return Steer(Intent.WISH, said)
    return Steer(Intent.AGAIN, said)


def _complaint(question: Question | None, said: str) -> str:
    if question is None:
        return "I can't read an instruction in that. You can write: why? · status · cancel · make it smaller · help."
    if question.kind is DecisionKind.COMPUTE and _LIKE_A_CHANGE.search(said):
        change = read_change(said)
        if isinstance(change, str):
            return change
    names = ", ".join(f"“{c.label}”" for c in question.choices)
    own = _OWN.get(question.kind, "") if question.free_text else ""
    return f"I can't read an answer in that. Answer with one of: {names}{own}."
