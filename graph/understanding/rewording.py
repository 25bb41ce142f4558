"""A request that the rules cannot read, put into words that they can by a language model. Pure.

The model fills in what is sorted, by what, and into which classes. From that a sentence is made here, and the rules
read it beside the person's own words, as if the person had answered what the model should tell about a text. So money,
time, data, places and everything else still come from the person's words alone: a rewording that would change any of
them is dropped, and so is a class that the person did not name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

from pydantic import BaseModel, ConfigDict

from graph.llm.model import Material, Prompt
from graph.state import Reading, Request, TaskSpec
from graph.understanding.questions import GOAL
from graph.understanding.read import Understanding, understand
from graph.understanding.text import clean

MAX_CHARS = 4_000  # of the request
MAX_OUTPUT_TOKENS = 4_000  # what a model thinks before it answers counts too
MAX_LABELS = 20
NEUTRAL = "Sort texts by topic."
_PHRASE = re.compile(r"[^\W\d_][\w' -]{1,59}")

INSTRUCTIONS = """\
Somebody asks for a model that reads a text and tells something about it. Say in plain English words, without numbers,
names of files or addresses, what the texts are (sorts: "complaint e-mails"), what is to be told about each (by:
"urgency"), of which kind the answer is, and the classes, only if the request names them, spelled as it does. If the
request is not for such a model, or does not say what is to be told, is_a_task is false."""


class Reworded(BaseModel):
    model_config = ConfigDict(extra="forbid")
    is_a_task: bool
    sorts: str
    by: str
    kind: Literal["one_class", "several_labels", "number"]
    labels: list[str]


def prompt_for(request: Request) -> Prompt[Reworded]:
    material = Material("request", clean(request.sentence)[:MAX_CHARS])
    return Prompt("put the request into plain words", INSTRUCTIONS, (material,), Reworded, MAX_OUTPUT_TOKENS)


def neutral(request: Request, answers: Mapping[str, str]) -> TaskSpec | None:
    """What the person's words say of everything but the goal; ``None`` where that needs a question first."""
    return understand(request, {**answers, GOAL: NEUTRAL}).task


def sentence_of(said: Reworded, request: Request) -> str | None:
    """A sentence that the rules can read; ``None`` where the answer holds none."""
    if not (said.is_a_task and _PHRASE.fullmatch(said.sorts) and _PHRASE.fullmatch(said.by)):
        return None
    if said.kind == "number":
        return f"Predict the {said.by} of {said.sorts}."
    own = clean(request.sentence).casefold()
    labels = [
        label for label in said.labels[:MAX_LABELS] if _PHRASE.fullmatch(label) and label.casefold() in own
    ]
    if said.kind == "several_labels":
        return f"Tag {said.sorts} with every {said.by} that fits."
    if len(labels) >= 2:
        return f"Sort {said.sorts} into {', '.join(labels[:-1])} and {labels[-1]}."
    return f"Sort {said.sorts} by {said.by}."


def adopted(request: Request, answers: Mapping[str, str], sentence: str, by: str) -> Understanding | None:
    """The task with the goal of ``sentence``, marked as ``by``'s reading; ``None`` where it changes anything else."""
    before, after = neutral(request, answers), understand(request, {**answers, GOAL: sentence}).task
    if before is None or after is None or _all_but_the_goal(before) != _all_but_the_goal(after):
        return None
    reading = Reading(
        "request", sentence, why=f"{by} read it so; start again in other words if that is not it"
    )
    return Understanding(task=replace(after, assumed=(reading, *after.assumed)))


def _all_but_the_goal(task: TaskSpec) -> TaskSpec:
    return replace(
        task,
        goal="",
        title="",
        family=None,
        keywords=(),
        labels=(),
        metrics=(),
        understood=(),
        assumed=(),
    )
