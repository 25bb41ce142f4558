"""What a surface knows of a run after some of its events: a frozen value, so that a fold over the log is
pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from bot.cards import Card, Picture, Step, StepState, Tone
from graph.names import Stage

STEPS: tuple[tuple[str, tuple[Stage, ...]], ...] = (
    ("Understand the request", (Stage.INTAKE,)),
    ("Find data and a base model", (Stage.RESEARCH, Stage.CHOOSE_DATASET)),
    ("Check and split the data", (Stage.AUDIT,)),
    ("Write and try the script", (Stage.WRITE_SCRIPT, Stage.SMOKE_TEST, Stage.REPAIR)),
    ("Measure cheap baselines", (Stage.BASELINES,)),
    ("Plan, and ask", (Stage.PLAN, Stage.APPROVE_COMPUTE)),
    ("Train", (Stage.LAUNCH, Stage.WATCH, Stage.RECOVER)),
    ("Evaluate on held-out rows", (Stage.EVALUATE,)),
    ("Attack the model", (Stage.STRESS,)),
    ("Package", (Stage.PACKAGE,)),
    ("Publish, if you say so", (Stage.APPROVE_PUBLISH, Stage.PUBLISH)),
)
BUILT = (Stage.LAUNCH, Stage.WATCH, Stage.RECOVER, Stage.EVALUATE, Stage.STRESS, Stage.PACKAGE)  # on the plan
_STEP_OF = {stage: number for number, (_, stages) in enumerate(STEPS) for stage in stages}


@dataclass(frozen=True, slots=True)
class Epoch:
    number: float
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class TrainingSoFar:
    """One attempt at training, as its job tells it."""

    attempt: int
    where: str = ""
    step: float = 0.0
    total: float = 0.0
    eta_s: float | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    epochs: tuple[Epoch, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Story:
    run_id: str
    sentence: str = ""
    title: str = ""
    requester: str = ""
    surface: str = ""
    parent_run: str = ""
    stage: Stage | None = None
    step: int = 0  # in STEPS
    step_state: StepState = StepState.NOW
    job_done: float = 0.0  # the progress of a job other than training
    job_total: float = 0.0
    job_label: str = ""
    base_model: str = ""
    metric: str = ""  # the deciding one, once the baselines are measured
    smoke: tuple[str, ...] = ()  # what failed and how it was mended, in order
    training: TrainingSoFar | None = None
    plots: tuple[Picture, ...] = ()  # of the evaluation
    endings: int = 0  # a failed run may be resumed and end again
    cards: Mapping[str, Card] = field(default_factory=dict)  # in the order of their first appearance
    changed: tuple[str, ...] = ()  # keys of the cards that the last event touched

    def but(self, **changes: Any) -> Story:
        return replace(self, **changes)

    def having(self, card: Card) -> Story:
        """With the card posted, or put in the place of its older version."""
        cards = {**self.cards, card.key: card}
        return replace(self, cards=cards, changed=(*(k for k in self.changed if k != card.key), card.key))

    def card(
        self,
        key: str,
        title: str,
        *blocks: Any,
        tone: Tone = Tone.NEUTRAL,
        fallback: str = "",
        **more: Any,
    ) -> Story:
        """``having`` a card of this run; blocks that are ``None`` are left out."""
        shown = tuple(block for block in blocks if block is not None)
        return self.having(
            Card(key, self.run_id, title, shown, tone=tone, fallback=fallback or title, **more)
        )

    def at(self, stage: Stage | None, state: StepState) -> Story:
        """At the step that ``stage`` belongs to; stages of no step (needs_human, done) leave it where it
        is.
        """
        step = self.step if stage is None else _STEP_OF.get(stage, self.step)
        return replace(self, stage=stage or self.stage, step=step, step_state=state)

    def steps(self) -> tuple[Step, ...]:
        over = self.step_state is StepState.DONE

        def state(number: int) -> StepState:
            if over or number < self.step:
                return StepState.DONE
            return self.step_state if number == self.step else StepState.TODO

        return tuple(Step(label, state(number)) for number, (label, _) in enumerate(STEPS))
