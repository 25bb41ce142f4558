"""What stages need, as Protocols. The one place where a stage meets the outside; ``bot/wiring.py`` fills it in."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from graph.literature import Literature
from graph.llm.model import LanguageModel, Tokens
from graph.names import EventType, RunStatus, Stage, TaskFamily
from graph.publication import (
    Checkup,
    Publication,
    PublishedRepo,
    Publisher,
    PublishFile,
    Steps,
    Verify,
)
from graph.state import (
    Answer,
    AuditSummary,
    Candidate,
    DataFiles,
    Hyperparameter,
    ModelChoice,
    Question,
    Request,
    TaskSpec,
)
from remote.backend import Backend


@dataclass(frozen=True, slots=True)
class Event:
    """A line of a run's log. ``payload`` is plain JSON data; its keys by type stand in ``docs/events.md``."""

    run_id: str
    seq: int
    at: str
    type: EventType
    stage: Stage | None
    payload: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Said:
    """An event that is about to be written; its number is the store's to give."""

    type: EventType
    payload: Mapping[str, Any]
    at: str
    stage: Stage | None = None
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Run:
    id: str
    title: str
    status: RunStatus
    stage: Stage
    request: Request
    created_at: str
    updated_at: str
    question: Question | None = None  # open, when status is waiting
    cancel_requested_by: str | None = None
    wishes: Mapping[str, Any] = field(default_factory=dict)  # settings for a plan that is not made yet


@dataclass(frozen=True, slots=True)
class Decision:
    """A row of the decisions ledger: the first one for an interrupt id wins."""

    interrupt_id: str
    run_id: str
    kind: str
    value: str
    actor: str
    surface: str
    at: str
    price_usd: float | None = None
    plan_hash: str | None = None
    why: str = ""
    actor_name: str = ""  # what people call the actor, where ids are unreadable

    @property
    def who(self) -> str:
        return self.actor_name or self.actor


@dataclass(frozen=True, slots=True)
class Effect:
    key: str
    state: str  # "claimed" or "done"
    result: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Spend:
    """A line of the ledger. Money counts as spent from the commitment on; the actual sum then takes its place."""

    key: str  # the job's, or the question's to a language model
    run_id: str
    plan_hash: str  # "" where no plan stands behind it
    backend: str  # or "llm"
    hardware: str  # or the language model, such as "openai:gpt-5"
    person: str  # who asked for the run, such as "slack:U1"
    channel: str
    estimated_usd: float | None
    committed_usd: float
    at: str
    actual_usd: float | None = None
    input_tokens: int | None = None  # of a language model, once it has answered
    output_tokens: int | None = None

    @property
    def usd(self) -> float:
        return self.committed_usd if self.actual_usd is None else self.actual_usd


@dataclass(frozen=True, slots=True)
class Budgets:
    """Ceilings in US dollars; ``None``: none. All but ``run`` are for a calendar month."""

    run: float | None = None
    person: float | None = None
    channel: float | None = None
    month: float | None = None  # of the whole installation


@dataclass(frozen=True, slots=True)
class Lease:
    run_id: str
    holder: str
    fence: int  # grows by one with every new holder; writes with an old fence are refused


class Store(Protocol):
    """Runs, events, decisions, effects and leases. ``tests/contract/test_store.py`` is its contract.

    Errors: :class:`graph.errors.StoreError` (locked, full, unreadable), :class:`graph.errors.RunNotFound`,
    :class:`graph.errors.LeaseLost` for a write with an old fence.
    """

    async def create_run(self, run_id: str, request: Request, title: str, at: str) -> Run:
        """The run of this id, made now or found as it is."""

    async def run(self, run_id: str) -> Run: ...
    async def find(self, prefix: str) -> Run:
        """The one run whose id starts with ``prefix``."""

    async def runs(
        self, limit: int = 50, *, surface: str | None = None, requester: str | None = None
    ) -> list[Run]:
        """The newest first; of one surface, or of one person of it."""

    async def spent_usd(self, month: str, *, surface: str | None = None) -> float:
        """What was spent or committed in ``month`` ("2026-11"), by runs of one surface or of all."""

    async def commit_spend(self, spend: Spend, budgets: Budgets, *, fence: int | None = None) -> str:
        """Enter a commitment if no budget stands against it, in one transaction: the name of the budget that does
        ("run", "person", "channel", "month"), or "". A second call with the same key changes nothing."""

    async def settle(self, key: str, usd: float, tokens: Tokens | None = None) -> None:
        """What a committed job, or a question to a language model, came to; a key that was never committed is
        passed over."""

    async def ledger(self, *, run_id: str | None = None, month: str | None = None) -> list[Spend]:
        """Lines of a run, or of a month such as "2026-11"; the oldest first."""

    async def wish(self, run_id: str, settings: Mapping[str, Any]) -> None:
        """Add settings to what the run's plan will be made with."""

    async def runnable(self, now: float) -> list[str]:
        """Runs that a worker could move now: running, decided or to be cancelled, and held by nobody."""

    async def update_run(
        self,
        run_id: str,
        *,
        fence: int,
        at: str,
        status: RunStatus | None = None,
        stage: Stage | None = None,
        title: str | None = None,
        question: Question | None = None,
        clear_question: bool = False,
    ) -> None: ...
    async def append(
        self,
        run_id: str,
        type: EventType,  # noqa: A002 - the field's name
        payload: Mapping[str, Any],
        *,
        at: str,
        stage: Stage | None = None,
        key: str | None = None,
        fence: int | None = None,
    ) -> int:
        """The event's seq. A second append with the same ``key`` returns the first one's and writes nothing."""

    async def append_all(self, run_id: str, said: Sequence[Said], *, fence: int | None = None) -> None:
        """Several, in order and in one transaction; those whose key there is already are passed over."""

    async def events(self, run_id: str, after: int = -1) -> list[Event]: ...
    async def feed(self, after: int, limit: int = 1000) -> list[tuple[int, Event]]:
        """Events of all runs in the order in which they were written, with a position that only grows."""

    async def feed_end(self) -> int:
        """The position of the last event; 0 before the first."""

    async def decide(self, decision: Decision) -> tuple[Decision, bool]:
        """The decision that holds, and whether it is this one."""

    async def decision(self, interrupt_id: str) -> Decision | None: ...
    async def decisions(self, run_id: str) -> list[Decision]: ...
    async def claim(self, key: str, run_id: str, *, fence: int | None = None) -> Effect:
        """The effect's row, made now ("claimed", no result) or found."""

    async def record(self, key: str, result: Mapping[str, Any], *, fence: int | None = None) -> None: ...
    async def effects(self, run_id: str) -> list[Effect]: ...
    async def lease(self, run_id: str, holder: str, now: float, ttl_s: float) -> Lease | None:
        """Take or renew; ``None`` while another holder's lease has not run out."""

    async def holder(self, run_id: str) -> str | None:
        """Who holds the run's lease, or held it last without releasing it."""

    async def expire(self, run_id: str, holder: str) -> None:
        """End ``holder``'s lease now: its process is known to be dead."""

    async def release(self, lease: Lease) -> None: ...
    async def request_cancel(self, run_id: str, actor: str) -> None: ...
    async def close(self) -> None: ...


class Source(Protocol):
    """Where data sets and base models come from: the Hub, or the offline catalogue.

    Errors: :class:`graph.errors.SourceError` with a kind and a hint.
    """

    name: str  # what a Candidate's ``source`` says: "file", "hub", "catalogue"
    searchable: bool  # whether search() and model() make sense here

    def claims(self, wanted: str) -> bool:
        """Whether what a person wrote (a path, an id) looks like one of this source's data sets."""

    async def ready(self) -> bool:
        """Whether it answers at all, within 3 s. Never raises."""

    async def search(self, task: TaskSpec, limit: int = 5, skip: Collection[str] = ()) -> list[Candidate]:
        """At most ``limit`` that can be used, best first, then some that cannot, with why. Never one in ``skip``."""

    async def candidate(self, dataset_id: str) -> Candidate: ...
    async def fetch(self, candidate: Candidate, into: Path) -> DataFiles: ...
    async def model(self, task: TaskSpec) -> ModelChoice: ...


@dataclass(frozen=True, slots=True)
class TrainingFacts:
    """What a recipe's planner may look at."""

    audit: AuditSummary
    smoke: Mapping[str, Any]
    minutes: float | None
    overrides: Mapping[str, Any]
    baseline_only: bool
    speed: float = 1.0  # the offered hardware's speed relative to the machine of the smoke test


class Recipe(Protocol):
    """One task family's recipe as the graph sees it; implementations are registered in ``remote/recipes``."""

    @property
    def name(self) -> str: ...
    @property
    def families(self) -> tuple[str, ...]: ...
    @property
    def script(self) -> Path:
        """The training script, copied verbatim into the deliverables."""

    @property
    def companions(self) -> tuple[Path, ...]:
        """Files and folders of modules that the script needs beside it."""

    def defaults(self) -> Mapping[str, Any]:
        """config.json with its default values."""

    def plan(self, facts: Mapping[str, Any]) -> tuple[list[tuple[str, Any, str]], float]:
        """``[(hyperparameter, value, reason)], estimated seconds`` for :class:`TrainingFacts` as plain data."""


class Recipes(Protocol):
    def for_family(self, family: TaskFamily) -> Recipe: ...


@dataclass(frozen=True, slots=True)
class Deps:
    store: Store
    backends: Sequence[Backend]  # in order of preference; the last one is this machine
    sources: Sequence[Source]  # in order of preference
    publishers: Mapping[str, Publisher]
    recipes: Recipes
    home: Path
    now: Callable[[], datetime]
    fence: int = 0
    budgets: Budgets = Budgets()  # this installation's, whatever the request says
    publish_to: str | None = None  # where to publish when the request names no place
    literature: Literature | None = None  # None: no papers are looked for
    llm: LanguageModel | None = None  # None: rules decide alone

    def at(self) -> str:
        return self.now().isoformat(timespec="milliseconds")

    def run_dir(self, run_id: str) -> Path:
        return self.home / "runs" / run_id


__all__ = [
    "Answer",
    "Checkup",
    "Decision",
    "Deps",
    "Effect",
    "Event",
    "Hyperparameter",
    "Lease",
    "Literature",
    "Publication",
    "PublishFile",
    "PublishedRepo",
    "Publisher",
    "Recipe",
    "Recipes",
    "Run",
    "Said",
    "Source",
    "Steps",
    "Store",
    "TrainingFacts",
    "Verify",
]
