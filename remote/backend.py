"""Where heavy work runs: the contract that every backend keeps (``tests/contract/test_backend.py``).

A job is a folder and an id, as in submitit: ``job.json`` (this spec), ``in/`` (read-only inputs), ``out/`` (all
that comes back) and a chain of programs that run one after another in one isolated process, because starting a
process that imports torch costs seconds. Programs see paths relative to the job's folder and speak the JSON
lines of :mod:`remote.protocol`. Inputs never hold the test labels together with a training script.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from remote.protocol import FailureKind, JobEvent


class Reason(StrEnum):
    """Why a backend cannot take work now."""

    NO_SDK = "no_sdk"
    NO_TOKEN = "no_token"  # noqa: S105 - a reason, not a secret
    BAD_TOKEN = "bad_token"  # noqa: S105 - a reason, not a secret
    NO_CREDIT = "no_credit"
    NO_CAPACITY = "no_capacity"
    UNREACHABLE = "unreachable"
    DENIED = "denied"
    NOT_ISOLATED = "not_isolated"
    UNKNOWN = "unknown"


class BackendError(Exception):
    """Root of what a backend raises. ``hint`` says what a person can do."""

    def __init__(self, kind: FailureKind, detail: str, hint: str = "") -> None:
        super().__init__(f"{detail} {hint}".strip())
        self.kind = kind
        self.detail = detail
        self.hint = hint


class JobNotFound(BackendError):
    """The reference names no job of this backend."""


class ArtifactError(BackendError):
    """An artifact is missing, truncated, of another sha256, or not a plain file below ``out/``."""


@dataclass(frozen=True, slots=True)
class Health:
    ready: bool
    reason: Reason | None = None
    detail: str = ""
    hint: str = ""
    isolation: str = "none"  # "bubblewrap", "docker", "modal", "none"


@dataclass(frozen=True, slots=True)
class Need:
    """What a job asks of its machine. ``None`` means "what there is"."""

    timeout_s: float = 600.0
    memory_mb: int = 6144
    disk_mb: int = 4096
    cpus: int | None = None
    processes: int = 256
    gpu: str | None = None
    network: bool = False
    gpus: int = 1  # how many of each are offered where ``gpu`` names none; 1 to 8, of one machine


@dataclass(frozen=True, slots=True)
class Offer:
    backend: str
    hardware: str
    usd_per_hour: float | None  # None: unknown, which is a question, never a guess
    estimated_s: float
    estimated_usd: float | None
    price_source: str
    price_as_of: str
    isolation: str = "none"
    low_usd: float | None = None  # between these two it should end, as far as the speed is known
    high_usd: float | None = None


@dataclass(frozen=True, slots=True)
class Program:
    """One link of a job's chain. ``module`` is ``remote.jobs.<module>``, or a script when it ends in ``.py``
    (a path in the job's folder, run as ``__main__`` with ``--config <name>.json``)."""

    name: str
    module: str
    config: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Input:
    """A file or folder placed at ``in/<name>``. ``shared`` inputs (model weights) may be bound, not copied."""

    name: str
    source: str
    shared: bool = False


@dataclass(frozen=True, slots=True)
class JobSpec:
    key: str  # the idempotency key: letters, digits, '-', '_', '.'; submitting it twice is one job
    run_id: str
    programs: tuple[Program, ...]
    inputs: tuple[Input, ...] = ()
    need: Need = Need()
    allow_unisolated: bool = False


@dataclass(frozen=True, slots=True)
class JobRef:
    backend: str
    id: str


class Backend(Protocol):
    name: str

    async def probe(self) -> Health:
        """Ready, or the reason why not with a hint; answers within 5 s and never raises."""

    async def offers(self, need: Need, estimated_s: float) -> list[Offer]:
        """Hardware that satisfies ``need``; ``estimated_s`` is the time on this machine's CPU."""

    async def submit(self, job: JobSpec) -> JobRef:
        """Start the job, or find the one already started under ``job.key``. Raises BackendError."""

    def events(self, ref: JobRef, after: int = -1) -> AsyncIterator[JobEvent]:
        """Events with ``seq > after``, replayed from the start and then live, from any process.

        Ends when the job has ended. The last event is then the ``result`` of the chain's last program, or a
        ``failed``; where the job died without a word (killed, out of memory, deadline, machine gone) the
        backend supplies that ``failed`` with the kind it found out.
        """

    async def cancel(self, ref: JobRef) -> None:
        """Stop the job and its children; a job that has ended is left as it is."""

    async def fetch(self, ref: JobRef, into: Path) -> None:
        """Copy ``out/`` of an ended job below ``into``, each file written beside and renamed into place.
        Announced artifacts are checked by sha256; links and special files are refused with ArtifactError."""

    async def forget(self, ref: JobRef) -> None:
        """Delete what is kept of an ended job; one that still runs, or is not known, is left as it is."""


@runtime_checkable
class Sweeper(Protocol):
    """A backend whose forgotten jobs would go on costing money."""

    async def sweep(self, live_keys: Collection[str]) -> list[JobRef]:
        """Stop every job of this installation whose key is not among ``live_keys``; the ones that were stopped.
        Raises BackendError."""
