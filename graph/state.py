"""The run's state: frozen values, small enough for a checkpoint. Large things are files; their path and sha256
stand here. A new field needs a default, so that runs paused by an older version still load.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, TypedDict

from graph.literature import Paper, Reported
from graph.names import DecisionKind, FailureKind, Stage, TaskFamily
from remote.backend import JobRef, Offer


@dataclass(frozen=True, slots=True)
class Request:
    """What a person asked, as it came in through a surface."""

    sentence: str
    requester: str = "local"
    surface: str = "console"
    channel: str | None = None
    data: str | None = None  # a file's path or a Hub data-set id
    text_column: str | None = None
    target: str | None = None
    budget_usd: float | None = None
    minutes: float | None = None
    yes: bool = False  # answers every question with its default, recorded as such
    out: str | None = None
    publish_to: str | None = None  # "folder:PATH", "hub:OWNER/NAME"
    allow_unisolated: bool = False
    seed: int = 0
    parent_run: str | None = None
    overrides: Mapping[str, Any] = field(default_factory=dict)  # hyperparameters fixed by the person
    requester_name: str = ""  # what people call the requester, where ids are unreadable
    files_below: str | None = None  # asked from afar: no path of this machine outside this folder counts
    paper: str | None = None  # a PDF file's path, an arXiv id or address, or a paper of the Hub
    base_model: str | None = None  # a Hub id, or a folder's path

    @property
    def who(self) -> str:
        return self.requester_name or self.requester


@dataclass(frozen=True, slots=True)
class Reading:
    """One thing the intern understood (``quote`` says from which words) or assumed (``why`` says why)."""

    field: str
    value: str
    quote: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class Constraints:
    budget_usd: float | None = None
    minutes: float | None = None
    max_model_mb: float | None = None
    max_latency_ms: float | None = None
    language: str | None = None  # ISO 639-1
    hardware: str | None = None  # "cpu", "gpu" or a GPU's name
    private_data: bool = False  # the data must not leave this machine


@dataclass(frozen=True, slots=True)
class TaskSpec:
    goal: str  # one line, in the intern's words
    title: str  # at most 60 characters
    family: TaskFamily | None  # None: the data decides (two classes, many, or numbers)
    keywords: tuple[str, ...] = ()  # for data and model search
    labels: tuple[str, ...] = ()  # classes that the sentence names
    text_column: str | None = None
    target: str | None = None
    metrics: tuple[str, ...] = ("macro_f1",)  # the first one decides
    constraints: Constraints = Constraints()
    deliverables: tuple[str, ...] = ("model", "model_card", "report", "space")
    data: str | None = None  # file path or Hub id that the request names
    base_model: str | None = None  # Hub id or path that the request names
    publish_to: str | None = None
    visibility: str = "private"
    # "commercial", "non-commercial" or "internal", for licences; "": of a run that never asked
    purpose: str = ""
    understood: tuple[Reading, ...] = ()
    assumed: tuple[Reading, ...] = ()
    paper: str | None = None  # the paper that the request names


@dataclass(frozen=True, slots=True)
class Choice:
    value: str
    label: str
    detail: str = ""
    style: str = "default"  # "primary", "danger", "default"


@dataclass(frozen=True, slots=True)
class Question:
    """A question to people. ``id`` is the interrupt's id: the first decision recorded for it wins."""

    id: str
    kind: DecisionKind
    stage: Stage  # the stage that asks
    text: str
    choices: tuple[Choice, ...]
    default: str | None = None  # what ``--yes`` answers; None: only a person can
    free_text: bool = False  # any other answer is taken as text
    back_to: Stage | None = None  # for needs_human: where the answer is used
    price_usd: float | None = None
    plan_hash: str | None = None
    detail: str = ""
    named: bool = False  # about data: what the request names is the one to use


@dataclass(frozen=True, slots=True)
class Answer:
    question_id: str
    value: str
    actor: str
    surface: str
    at: str
    why: str = ""  # for answers given ahead of time: "--yes", "named in the request"


@dataclass(frozen=True, slots=True)
class Part:
    """One named part of a candidate's score, 0..1, and why it is so."""

    name: str
    value: float
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A data set that could serve. ``source``: "file", "hub" or "catalogue"."""

    id: str
    source: str
    title: str
    licence: str | None
    rows: int | None = None
    classes: int | None = None
    downloads: int | None = None
    revision: str | None = None
    text_column: str | None = None
    target: str | None = None
    score: float = 0.0  # 0..1
    reasons: tuple[str, ...] = ()
    usable: bool = True
    why_not: str = ""
    attribution: str = ""
    url: str = ""
    parts: tuple[Part, ...] = ()  # what the score is made of
    class_counts: Mapping[str, int] = field(default_factory=dict)  # rows a class, where they were counted
    learns: str = ""  # its text and target columns as a person reads them


@dataclass(frozen=True, slots=True)
class Considered:
    """A base model that was looked at. Memory and speed are estimates; ``rows_per_s``: short texts on this CPU."""

    id: str
    taken: bool
    why: str
    licence: str | None = None
    parameters_m: float | None = None
    size_mb: float | None = None
    max_length: int | None = None  # tokens
    train_mb: float | None = None
    rows_per_s: float | None = None


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """The base model. ``path`` is a folder with safetensors, config and tokenizer."""

    id: str
    source: str  # "hub", "catalogue", "folder"
    path: str
    licence: str | None
    revision: str | None = None
    parameters_m: float | None = None
    size_mb: float | None = None
    languages: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    max_length: int | None = None  # tokens of a text that it has positions for
    considered: tuple[Considered, ...] = ()


@dataclass(frozen=True, slots=True)
class DataFiles:
    """Fetched raw data: one file, or one a split, or several that are the parts of a split.

    ``splits`` maps train/validation/test to the first part's path, ``more`` to those of the others. ``sha256`` is by
    split, and by ``train-2`` and so on for further parts.
    """

    candidate: Candidate
    splits: Mapping[str, str]
    sha256: Mapping[str, str]
    text_column: str | None = None
    target: str | None = None
    group_column: str | None = None  # rows of one group stay in one split
    human: Mapping[str, float] = field(default_factory=dict)  # ceiling by human agreement, by metric
    # Column to names, where the files hold class numbers and the card says what they mean.
    class_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    more: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)  # split -> which share of it was read

    @property
    def files(self) -> dict[str, tuple[str, ...]]:
        return {split: (path, *self.more.get(split, ())) for split, path in self.splits.items()}

    @property
    def official_test(self) -> bool:
        """Whether the test rows are the data's own, all of them."""
        return "test" in self.splits and "test" not in self.left_out


@dataclass(frozen=True, slots=True)
class Finding:
    kind: str
    severity: str  # "blocking", "warning", "info"
    detail: str
    done: str = ""  # what was done about it


@dataclass(frozen=True, slots=True)
class AuditSummary:
    family: TaskFamily
    labels: tuple[str, ...]
    rows: Mapping[str, int]  # train, validation, test
    findings: tuple[Finding, ...]
    split_sha256: Mapping[str, str]
    imbalance: float = 1.0  # largest class / smallest class
    words_p95: float = 0.0
    language: str | None = None
    folder: str = ""  # holds train.jsonl, validation.jsonl, test.jsonl, audit.json, audit.md, plots/


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try that failed and what was changed: the trail that ``needs_human`` shows."""

    stage: Stage
    kind: FailureKind
    detail: str
    remedy: str = ""
    diff: str = ""


@dataclass(frozen=True, slots=True)
class Script:
    """``files``: what was put beside it, path below the run's folder -> sha256. Empty: of a run that began before they
    were recorded, when ``inference.py`` and ``parallel.py`` stood there."""

    recipe: str
    path: str
    sha256: str
    config: Mapping[str, Any]
    files: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Scored:
    """A row of the leaderboard; ``score`` is {"value", "low", "high"} of the deciding metric."""

    name: str
    score: Mapping[str, float]
    fit_s: float | None = None
    ms_per_row: float | None = None
    size_mb: float | None = None
    usd: float | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Hyperparameter:
    name: str
    value: Any
    reason: str


@dataclass(frozen=True, slots=True)
class Plan:
    backend: str
    hardware: str
    hyperparameters: tuple[Hyperparameter, ...]
    estimated_s: float
    estimated_usd: float | None
    ceiling_usd: float | None
    ceiling_s: float
    price_source: str
    price_as_of: str
    isolation: str
    advice: tuple[str, ...] = ()  # e.g. that a baseline may do as well
    usd_per_hour: float | None = 0.0
    others: tuple[Offer, ...] = ()  # machines that could do it as well, the best first
    stands_in_for: str = ""  # hash of the approved plan that allowed to fall back to this one
    here_s: float = 0.0  # what the training would take on the machine of the smoke test
    low_usd: float | None = None
    high_usd: float | None = None

    @property
    def hash(self) -> str:
        """Of everything an approver agreed to; a button with another hash is stale."""
        body = json.dumps(asdict(self), sort_keys=True, default=str)
        return hashlib.sha256(body.encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class Tried:
    """A machine that did not take the training, or lost it: a step of the trail that people see."""

    backend: str
    hardware: str
    kind: FailureKind
    detail: str


@dataclass(frozen=True, slots=True)
class Training:
    model_dir: str
    seconds: float
    usd: float
    epochs: float
    best_epoch: float
    metric: float  # the deciding one, on validation
    summary: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Failure:
    kind: FailureKind
    detail: str  # what happened, one sentence
    hint: str = ""  # what to do
    stage: Stage | None = None


class RunState(TypedDict, total=False):
    run_id: str
    request: Request
    visits: Mapping[str, int]  # stage -> how often it has run; makes keys of effects and questions unique
    task: TaskSpec
    question: Question | None
    answer: Answer | None
    clarifications: tuple[Answer, ...]
    candidates: tuple[Candidate, ...]
    wanted: str | None  # the data that a person named last; None: whatever a search brings
    shown: tuple[str, ...]  # ids of every candidate shown so far: "more" brings others
    data: DataFiles | None
    columns: Mapping[str, str]  # "text" and "target" to columns of the data, as a person answered
    model: ModelChoice
    paper: Paper | None
    papers_done: bool  # whether a paper was looked for
    reported: tuple[Reported, ...]  # what others published for the data
    audit: AuditSummary
    script: Script
    smoke: Mapping[str, Any] | None  # result of the smoke test, with the measured speeds
    probe_job: JobRef
    baselines: tuple[Scored, ...]
    advice: tuple[str, ...]  # what the baselines say about the worth of training
    plan: Plan
    baseline_only: bool
    machine: str  # "backend: hardware", where the person or a fall-back chose it
    tried: tuple[Tried, ...]  # machines that refused
    mended: Mapping[str, Any]  # settings that remedies changed
    replan: bool  # a remedy costs more than was approved
    overrides: Mapping[str, Any]  # hyperparameters and minutes that the person set at the approval
    job: JobRef | None
    checkpoint: str | None  # folder to resume training from
    training: Training | None
    attempts: tuple[Attempt, ...]
    evaluation: Mapping[str, Any]
    stress: Mapping[str, Any]
    evaluate_job: JobRef
    package_dir: str
    publication: Mapping[str, Any]
    failure: Failure | None


def answered(state: RunState) -> Answer | None:
    """The answer to the question that stands in the state, not one to an earlier question."""
    question, answer = state.get("question"), state.get("answer")
    return answer if question and answer and answer.question_id == question.id else None


def slug_in(question_id: str) -> str:
    """What a question is about, as :meth:`graph.context.Context.question` put it into the id."""
    return question_id.split(":")[1]


def answered_about(state: RunState, slug: str) -> Answer | None:
    """The answer just given, if its question is about ``slug``."""
    answer = answered(state)
    return answer if answer and slug_in(answer.question_id) == slug else None
