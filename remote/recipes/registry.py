"""The recipes that exist, and how each plans a training from measured facts.

Light: nothing here imports torch. A recipe's settings are read as text where its defaults are needed: they stand
in one place only, the class ``Config``.

The plan is a pure function of its facts. Without a time from the person it follows from the rows alone, unless
that would take over half an hour: the same data gives the same plan, and so the same model, however busy the
machine was while it was measured. With a time, the measured speeds decide, in coarse steps (epochs 0, 1, 2, 3,
4, 6, 8; budgets in half minutes), because times jitter from run to run and an approval binds the plan.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent

EPOCH_STEPS = (1, 2, 3, 4, 6, 8)
STEPS_WANTED = 250  # optimiser steps after which more time bought nothing on BANKING77
LONGEST_S = 1800.0  # of a training that nobody gave a time for
FEW_ROWS = 3000  # below this, two thirds of the layers stay as they are
SHARE_PLANNED = 0.75  # of the budget: the rest is for a slower machine, before the clock cuts epochs short
LOADING_S = 3.0  # base model and rows, after the imports

Hyperparameters = list[tuple[str, Any, str]]


@dataclass(frozen=True, slots=True)
class Speeds:
    """What the smoke test measured, in rows per second on the machine that will train."""

    embed: float
    train_full: float
    train_half: float
    startup_s: float
    layers: int
    parameters_m: float

    @classmethod
    def from_smoke(cls, smoke: Mapping[str, Any], speed: float) -> Speeds:
        """Where a figure is missing a slow machine is assumed: an estimate should not be too low."""
        rates = smoke.get("rows_per_s") or {}

        def rate(name: str, slow: float) -> float:
            return max(float(rates.get(name) or slow), 1e-3) * speed

        return cls(
            embed=rate("embed", 150.0),
            train_full=rate("train_full", 50.0),
            train_half=rate("train_frozen_half", 90.0),
            startup_s=float(smoke.get("startup_s") or 8.0),
            layers=int(smoke.get("hidden_layers") or 6),
            parameters_m=float(smoke.get("parameters_m") or 23.0),
        )

    def train_row_s(self, frozen: int) -> float:
        """Seconds to train on one row, linear in the number of trained layers."""
        full, half = 1 / self.train_full, 1 / self.train_half
        per_layer = (full - half) / max(self.layers - self.layers // 2, 1)
        return max(full - per_layer * frozen, half / 4)


@dataclass(frozen=True, slots=True)
class Work:
    """What is to be done, for the estimate."""

    rows: int
    validation_rows: int
    outputs: int
    epochs: int
    frozen: int

    def fixed_s(self, speeds: Speeds) -> float:
        """Everything but fine-tuning: loading, embedding, linear models, packing."""
        embed_s = (self.rows + self.validation_rows) / speeds.embed
        linear_s = 0.5 + 1e-5 * self.rows * max(self.outputs, 2)
        return LOADING_S + embed_s + linear_s + 2 + 2 * self.validation_rows / speeds.embed

    def total_s(self, speeds: Speeds) -> float:
        validation_s = 0.7 * self.epochs * self.validation_rows / speeds.embed
        tuning_s = self.epochs * self.rows * speeds.train_row_s(self.frozen)
        return self.fixed_s(speeds) + validation_s + tuning_s


class TextClassification:
    """The recipe for texts: classes, several classes a text, or a number."""

    def __init__(self) -> None:
        self.name = "text_classification"
        self.families: tuple[str, ...] = ("binary", "multiclass", "multilabel", "regression")
        self.script = HERE / "text_classification.py"
        self.settings = HERE / "finetune" / "settings.py"
        self.companions: tuple[Path, ...] = (HERE / "finetune",)

    def defaults(self) -> Mapping[str, Any]:
        """Every key of ``config.json`` with its default."""
        return dict(_defaults(self.settings))

    def plan(self, facts: Mapping[str, Any]) -> tuple[Hyperparameters, float]:
        """Hyperparameters with a reason each, and seconds for the job, imports included.

        ``facts`` are :class:`graph.deps.TrainingFacts` as plain data. Raises ValueError when the person set
        something that the recipe does not have.
        """
        overrides = dict(facts.get("overrides") or {})
        minutes = overrides.pop("minutes", None) or facts.get("minutes")
        unknown = sorted(set(overrides) - set(self.defaults()))
        if unknown:
            raise ValueError(f"The recipe {self.name} has no setting named {', '.join(unknown)}.")
        speeds = Speeds.from_smoke(facts.get("smoke") or {}, float(facts.get("speed") or 1.0))
        planner = _Planner(
            facts["audit"], speeds, None if minutes is None else float(minutes) * 60, overrides
        )
        return planner.baseline() if facts.get("baseline_only") else planner.training()


class Registry:
    """All recipes, by task family."""

    def __init__(self) -> None:
        self.recipes = (TextClassification(),)

    def for_family(self, family: str) -> TextClassification:
        """Raises ValueError for a family without a recipe."""
        for recipe in self.recipes:
            if str(family) in recipe.families:
                return recipe
        raise ValueError(f"There is no recipe for tasks of the family {family!s}.")


RECIPES = Registry()


@cache
def _defaults(settings: Path) -> dict[str, Any]:
    """``name: type = setting(default, …)`` in the class ``Config`` of the file ``settings``, without running it."""
    tree = ast.parse(settings.read_text(encoding="utf-8"))
    config = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Config")
    found: dict[str, Any] = {}
    for node in config.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            assert isinstance(node.value, ast.Call)
            value = ast.literal_eval(node.value.args[0])
            found[node.target.id] = list(value) if isinstance(value, tuple) else value
    return found


class _Planner:
    """One plan. ``budget_s`` is for the whole job; ``None``: as long as it helps, at most half an hour."""

    def __init__(
        self, audit: Mapping[str, Any], speeds: Speeds, budget_s: float | None, overrides: dict[str, Any]
    ) -> None:
        self.audit, self.speeds, self.budget_s, self.overrides = audit, speeds, budget_s, overrides
        self.family = str(audit["family"])
        rows = audit.get("rows") or {}
        self.rows = max(int(rows.get("train") or 1), 1)
        self.validation_rows = int(rows.get("validation") or 0)
        self.outputs = max(len(audit.get("labels") or ()), 1)

    def baseline(self) -> tuple[Hyperparameters, float]:
        reason = "You asked for the baseline only: a linear model on the frozen encoder, without fine-tuning."
        plan = [("epochs", 0, reason), self._max_length(), self._time_budget(self._work(self.rows, 0, 0))]
        return self._with_overrides(plan, keep=("epochs",)), self._work(self.rows, 0, 0).total_s(self.speeds)

    def training(self) -> tuple[Hyperparameters, float]:
        rows, rows_reason = self._rows()
        batch, batch_reason = self._batch()
        work, epochs_reason, frozen_reason = self._work_that_fits(rows, batch)
        plan: Hyperparameters = [
            ("epochs", work.epochs, epochs_reason),
            ("frozen_layers", work.frozen, frozen_reason),
            ("batch_size", batch, batch_reason),
            self._learning_rate(),
            (
                "head_learning_rate",
                2e-3,
                "The head has a rate of its own: with one for both, it would lag behind.",
            ),
            self._max_length(),
        ]
        if self.family != "regression":
            plan += [
                self._class_weights(),
                ("label_smoothing", 0.1, "Keeps the model from being over-confident."),
            ]
        if rows_reason:
            plan.append(("max_train_rows", rows, rows_reason))
        plan.append(self._time_budget(work))
        return self._with_overrides(plan), work.total_s(self.speeds)

    def _work(self, rows: int, epochs: int, frozen: int) -> Work:
        return Work(rows, self.validation_rows, self.outputs, epochs, frozen)

    def _ceiling_s(self) -> float:
        """Seconds that the planned work may take, imports not counted."""
        if self.budget_s is not None:
            return max(self.budget_s - self.speeds.startup_s, 1.0) * SHARE_PLANNED
        return LONGEST_S * SHARE_PLANNED

    def _rows(self) -> tuple[int, str]:
        """All rows, or so many that embedding them takes at most half of the time."""
        wanted = self.overrides.get("max_train_rows")
        if wanted:
            return min(self.rows, int(wanted)), "You set this."
        room = int(0.5 * self._ceiling_s() * self.speeds.embed)
        if self.rows <= room:
            return self.rows, ""
        limit = max(_coarse_down(room), 100)
        return limit, f"{self.rows:,} rows do not fit into the time: a seeded sample of {limit:,} does."

    def _batch(self) -> tuple[int, str]:
        if "batch_size" in self.overrides:
            return int(self.overrides["batch_size"]), "You set this."
        if self.rows < 400:
            return 8, "Few rows: small batches give more steps."
        if float(self.audit.get("words_p95") or 0) > 150:
            return 16, "Long texts: half the usual batch, to bound memory."
        return 32, "Usual for short texts; more rows a step were not faster."

    def _work_that_fits(self, rows: int, batch: int) -> tuple[Work, str, str]:
        """The wanted epochs with as few frozen layers as the time allows; then fewer epochs."""
        layers = self.speeds.layers
        steps = math.ceil(rows / batch)
        wanted = next((e for e in EPOCH_STEPS if e * steps >= STEPS_WANTED), EPOCH_STEPS[-1])
        fewer = [e for e in reversed(EPOCH_STEPS) if e <= wanted]
        frozen_tries = [2 * layers // 3] if rows < FEW_ROWS else [layers // 2, 2 * layers // 3]
        if "epochs" in self.overrides:
            fewer = [int(self.overrides["epochs"])]
        if isinstance(self.overrides.get("frozen_layers"), int):
            frozen_tries = [self.overrides["frozen_layers"]]
        for epochs in fewer:
            for frozen in frozen_tries:
                work = self._work(rows, epochs, frozen)
                if work.total_s(self.speeds) <= self._ceiling_s():
                    return work, *_reasons(work, wanted, layers, steps)
        work = self._work(rows, fewer[-1], frozen_tries[-1])
        late = "The time is too short for one whole epoch: training ends by the clock, with what it has."
        return work, late, _reasons(work, wanted, layers, steps)[1]

    def _learning_rate(self) -> tuple[str, float, str]:
        how = "it rises over the first 5 % and then falls to zero."
        if self.speeds.parameters_m <= 40:
            return (
                "learning_rate",
                5e-4,
                f"Small encoders take a high rate (BANKING77: .929, with 2e-4 .920); {how}",
            )
        if self.speeds.parameters_m <= 150:
            return "learning_rate", 1e-4, f"Usual for an encoder of this size with frozen lower layers; {how}"
        return "learning_rate", 3e-5, f"Large encoders need a low rate; {how}"

    def _max_length(self) -> tuple[str, int, str]:
        tokens = float(self.audit.get("words_p95") or 60) * 1.5 + 8  # sub-words and punctuation
        length = min(max(32 * math.ceil(tokens / 32), 32), 256)
        if tokens > 256:
            return (
                "max_length",
                length,
                "Texts are long: what stands after 256 tokens is cut to bound time and memory.",
            )
        return (
            "max_length",
            length,
            "At least 95 % of the texts fit; batches are padded to their own longest text only.",
        )

    def _class_weights(self) -> tuple[str, str, str]:
        imbalance = float(self.audit.get("imbalance") or 1.0)
        if imbalance > 5:
            return (
                "class_weights",
                "on",
                f"The largest class has {imbalance:.3g} times the rows of the smallest.",
            )
        return "class_weights", "off", "The classes are about equally large."

    def _time_budget(self, work: Work) -> tuple[str, float, str]:
        if self.budget_s is not None:
            left = max(self.budget_s - math.ceil(self.speeds.startup_s), 10.0)
            return (
                "time_budget_s",
                float(math.floor(left)),
                "Your time limit less the start: training ends within it.",
            )
        generous = 30 * math.ceil(work.total_s(self.speeds) / SHARE_PLANNED / 30) + 60
        return (
            "time_budget_s",
            float(min(generous, LONGEST_S)),
            "An upper bound, in case the machine slows down.",
        )

    def _with_overrides(self, plan: Hyperparameters, keep: tuple[str, ...] = ()) -> Hyperparameters:
        """The person's values win, but for ``keep`` (what the person decided later)."""
        chosen = {k: v for k, v in self.overrides.items() if k not in keep}
        replaced = [
            (name, chosen.pop(name), "You set this.") if name in chosen else (name, value, reason)
            for name, value, reason in plan
        ]
        return replaced + [(name, value, "You set this.") for name, value in chosen.items()]


def _reasons(work: Work, wanted: int, layers: int, steps: int) -> tuple[str, str]:
    """Why so many epochs, and why so many frozen layers."""
    if work.epochs < wanted:
        why_epochs = f"{wanted} would be better, but do not fit into the time."
    else:
        why_epochs = (
            f"{work.epochs * steps:,} steps; more than some {STEPS_WANTED} brought nothing elsewhere."
        )
    if work.rows < FEW_ROWS:
        why_frozen = "Few rows: training the upper third is enough, and over-fits less."
    elif work.frozen <= layers // 2:
        why_frozen = "The lower half holds general knowledge of language; its outputs are computed only once."
    else:
        why_frozen = "More than usual, so that the training fits into the time."
    return why_epochs, why_frozen


def _coarse_down(number: int) -> int:
    """Two significant digits at most, rounded down."""
    unit = 10 ** max(len(str(max(number, 1))) - 2, 0)
    return number // unit * unit
