"""A run's log as the stages write it, for the tests of what people see."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graph.context import plain
from graph.deps import Event
from graph.names import DecisionKind, EventType, RunStatus, Stage, TaskFamily
from graph.state import (
    AuditSummary,
    Candidate,
    Choice,
    Finding,
    Hyperparameter,
    ModelChoice,
    Plan,
    Question,
    Reading,
    Scored,
    TaskSpec,
    Training,
)

RUN = "r7k2mc"
SENTENCE = (
    "Train a small model that tells positive from negative product reviews. I care about macro-F1. "
    "Don't spend any money."
)
CANDIDATE = Candidate(
    id="product_reviews",
    source="catalogue",
    title="Product review snippets (VADER)",
    licence="MIT",
    rows=3708,
    classes=2,
    reasons=("product reviews rated by twenty people each", "licence allows publishing"),
    attribution="C. J. Hutto, E. Gilbert, VADER, ICWSM 2014",
)
MODEL = ModelChoice(
    "sentence-transformers/all-MiniLM-L6-v2",
    "catalogue",
    "model",
    "Apache-2.0",
    parameters_m=22.7,
    size_mb=90.9,
)
TASK = TaskSpec(
    goal="Tell positive from negative product reviews.",
    title="Positive or negative product reviews",
    family=TaskFamily.BINARY,
    understood=(
        Reading("family", "two classes", "positive from negative"),
        Reading("metric", "macro-F1", "I care about macro-F1"),
        Reading("budget", "$0", "Don't spend any money"),
    ),
    assumed=(Reading("language", "English", why="you wrote in English"),),
)
AUDIT = AuditSummary(
    TaskFamily.BINARY,
    ("negative", "positive"),
    {"train": 1871, "validation": 272, "test": 531},
    (
        Finding("duplicates", "info", "41 texts appear twice.", "kept once"),
        Finding(
            "imbalance",
            "warning",
            "There are 1.9 times as many positive as negative rows.",
            "weighted",
        ),
    ),
    {"test": "ab" * 32},
    imbalance=1.9,
    language="en",
)
BASELINES = (
    Scored("majority", {"value": 0.397, "low": 0.381, "high": 0.412}, 0.0, 0.0, 0.0, 0.0),
    Scored("tfidf_lr", {"value": 0.781, "low": 0.729, "high": 0.828}, 0.4, 0.05, 1.2, 0.0),
    Scored("embedding_lr", {"value": 0.842, "low": 0.796, "high": 0.884}, 3.1, 2.4, 90.9, 0.0),
)
PLAN = Plan(
    backend="local",
    hardware="this machine, 2 CPU cores, 24 GB",
    hyperparameters=(
        Hyperparameter("epochs", 3, "validation rarely improves after three on data of this size"),
        Hyperparameter("learning_rate", 5e-05, "the usual rate for encoders of this size"),
        Hyperparameter("frozen_layers", 3, "half of the layers, so that it fits into the time"),
    ),
    estimated_s=48.0,
    estimated_usd=0.0,
    ceiling_usd=0.0,
    ceiling_s=156.0,
    price_source="own machine",
    price_as_of="2026-11-24",
    isolation="bubblewrap",
    advice=("The intervals of TF-IDF and of frozen embeddings overlap: training may not be worth it.",),
)
LEADERBOARD = (
    *BASELINES,
    Scored("model", {"value": 0.881, "low": 0.852, "high": 0.908}, 46.0, 3.0, 91.4, 0.0),
)
METRICS = {
    "macro_f1": {"value": 0.881, "low": 0.852, "high": 0.908},
    "accuracy": {"value": 0.895, "low": 0.868, "high": 0.92},
    "ece": {"value": 0.031, "low": 0.02, "high": 0.05},
}
VERDICT = "The model is better than the best baseline; the difference is beyond chance."
COMPUTE = Question(
    id=f"{RUN}:approve_compute:plan-0",
    kind=DecisionKind.COMPUTE,
    stage=Stage.APPROVE_COMPUTE,
    text="Train on this machine, 2 CPU cores, 24 GB for about 0.8 min at $0.00?",
    choices=(
        Choice("approve", "Train for $0.00", "at most 3 min", "primary"),
        Choice("baseline_only", "Baseline only", "linear head on frozen embeddings: seconds, free"),
        Choice("change", "Change", "e.g. change minutes=5 epochs=1, or: make it smaller"),
        Choice("cancel", "Cancel", style="danger"),
    ),
    default="approve",
    free_text=True,
    price_usd=0.0,
    plan_hash=PLAN.hash,
)


class Log:
    """Builds events with rising ``seq``."""

    def __init__(self, run_id: str = RUN) -> None:
        self.run_id = run_id
        self.events: list[Event] = []

    def say(self, type_: EventType, stage: Stage | None = None, /, **payload: Any) -> Event:
        seq = len(self.events)
        at = f"2026-11-24T12:00:{seq % 60:02d}.000+00:00"
        self.events.append(Event(self.run_id, seq, at, type_, stage, plain(payload)))
        return self.events[-1]

    def asked(self, question: Question) -> None:
        self.say(EventType.QUESTION_ASKED, question.stage, question=question)

    def decided(self, question: Question, value: str, actor: str = "anna", why: str = "") -> None:
        self.say(
            EventType.DECIDED,
            question.stage,
            question_id=question.id,
            kind=question.kind,
            value=value,
            actor=actor,
            surface="console",
            why=why,
            price_usd=question.price_usd,
        )


def until_the_plan(log: Log | None = None) -> Log:
    """From the sentence to the open question about the plan."""
    log = log or Log()
    E, S = EventType, Stage  # noqa: N806 - short names for a table of events
    log.say(E.RUN_STARTED, None, sentence=SENTENCE, requester="anna", surface="console")
    log.say(E.STAGE_STARTED, S.INTAKE)
    log.say(E.TASK_UNDERSTOOD, S.INTAKE, task=TASK)
    log.say(E.STAGE_FINISHED, S.INTAKE, seconds=0.01)
    log.say(E.STAGE_STARTED, S.RESEARCH)
    log.say(
        E.CANDIDATES_FOUND,
        S.RESEARCH,
        source="catalogue",
        offline=True,
        note="The hub is out of reach. Found in the catalogue.",
        candidates=(CANDIDATE,),
        model=MODEL,
    )
    log.say(E.STAGE_STARTED, S.AUDIT)
    log.say(
        E.DATA_CHOSEN,
        S.AUDIT,
        candidate=CANDIDATE,
        files={"train": "cd" * 32},
        text_column="text",
        target="label",
        model=MODEL,
    )
    log.say(E.AUDITED, S.AUDIT, audit=AUDIT, plot="plots/class_balance.png", report="audit.md")
    log.say(E.STAGE_STARTED, S.WRITE_SCRIPT)
    log.say(E.SCRIPT_WRITTEN, S.WRITE_SCRIPT, recipe="text_classification", path="train.py", sha256="ef" * 32)
    log.say(E.STAGE_STARTED, S.SMOKE_TEST)
    log.say(E.JOB_SUBMITTED, S.SMOKE_TEST, backend="local", key="probe", hardware="")
    log.say(
        E.SMOKE_TESTED,
        S.SMOKE_TEST,
        ok=False,
        attempt=1,
        checks=[],
        kind="nan_loss",
        detail="the loss is NaN.",
    )
    log.say(E.STAGE_STARTED, S.REPAIR)
    log.say(
        E.REPAIRED,
        S.REPAIR,
        attempt=1,
        kind="nan_loss",
        remedy="Lower the learning rate and clip gradients.",
        diff="-learning_rate: 0.05\n+learning_rate: 0.015",
    )
    log.say(E.STAGE_STARTED, S.SMOKE_TEST)
    log.say(
        E.SMOKE_TESTED,
        S.SMOKE_TEST,
        ok=True,
        attempt=2,
        checks=[
            {"name": "finite_loss", "ok": True, "detail": "0.69, then 0.61"},
            {"name": "save_reload", "ok": True, "detail": "the same logits after reloading"},
        ],
        rows_per_s={"embed": 410.0, "train_full": 61.0},
    )
    log.say(E.STAGE_STARTED, S.BASELINES)
    log.say(E.JOB_PROGRESS, S.BASELINES, job="j", stage="baselines", step=1, total=3, metrics={})
    log.say(E.BASELINES_MEASURED, S.BASELINES, metric="macro_f1", rows=BASELINES, advice=PLAN.advice)
    log.say(E.STAGE_STARTED, S.PLAN)
    log.say(E.PLANNED, S.PLAN, plan=PLAN, hash=PLAN.hash, refusals=[])
    log.asked(COMPUTE)
    return log


def training(log: Log) -> Log:
    """From the approval to the trained model."""
    E, S = EventType, Stage  # noqa: N806
    log.decided(COMPUTE, "approve")
    log.say(E.STAGE_STARTED, S.LAUNCH)
    log.say(E.JOB_SUBMITTED, S.LAUNCH, backend="local", key="train", hardware=PLAN.hardware)
    log.say(E.STAGE_STARTED, S.WATCH)
    for epoch in (1, 2, 3):
        log.say(
            E.JOB_PROGRESS,
            S.WATCH,
            job="j",
            stage="train",
            step=50 * epoch,
            total=150,
            metrics={"loss": 0.6 / epoch, "learning_rate": 5e-5, "rows_per_s": 120.5},
        )
        log.say(
            E.JOB_EPOCH,
            S.WATCH,
            epoch=epoch,
            metrics={"train_loss": 0.6 / epoch, "val_loss": 0.5 / epoch, "macro_f1": 0.8 + 0.02 * epoch},
        )
    summary = {"stopped": "epochs"}
    log.say(E.TRAINED, S.WATCH, training=Training("model", 46.2, 0.0, 3, 3, 0.86, summary))
    return log


def finishing(log: Log) -> Log:
    """From the evaluation to the end."""
    E, S = EventType, Stage  # noqa: N806
    log.say(E.STAGE_STARTED, S.EVALUATE)
    human = Scored("human", {"value": 0.93})
    evaluation: Mapping[str, Any] = {
        "metrics": METRICS,
        "primary": "macro_f1",
        "leaderboard": (*LEADERBOARD, human),
        "verdict": VERDICT,
    }
    log.say(
        E.EVALUATED,
        S.EVALUATE,
        **evaluation,
        plots=[{"path": "plots/confusion_matrix.png", "alt": "Confusion matrix, 2 classes"}],
        notes=["Rows of fewer than 5 words: macro-F1 0.79."],
    )
    log.say(E.STAGE_STARTED, S.STRESS)
    log.say(
        E.STRESSED,
        S.STRESS,
        findings=[
            {
                "name": "typos",
                "kind": "typos",
                "before": 0.881,
                "after": 0.803,
                "detail": "a letter in ten",
            },
            {
                "name": "negation",
                "kind": "negation",
                "before": 0.881,
                "after": 0.612,
                "detail": "“not” put in",
            },
        ],
        suggestions=[
            {
                "id": "typos",
                "title": "Train with typos",
                "reason": "typos cost 0.078 macro-F1",
                "overrides": {},
            }
        ],
    )
    log.say(E.STAGE_STARTED, S.PACKAGE)
    files = [
        ("report.md", 8123),
        ("model/README.md", 6100),
        ("model/model.safetensors", 90868376),
        ("x.bin", 1),
    ]
    log.say(
        E.PACKAGED,
        S.PACKAGE,
        folder=f"/home/anna/.local/share/ml-intern/runs/{RUN}",
        files=[{"path": path, "bytes": count} for path, count in files],
        size_mb=91.4,
    )
    log.say(E.STAGE_STARTED, S.DONE)
    log.say(
        E.ENDED,
        S.DONE,
        status=RunStatus.DONE,
        detail="The model, its documents and its numbers are ready.",
        hint="",
        folder=f"/home/anna/.local/share/ml-intern/runs/{RUN}",
        seconds=97.0,
        usd=0.0,
        summary={"title": TASK.title, **evaluation, "published": None},
    )
    return log


def whole_run() -> Log:
    return finishing(training(until_the_plan()))
