"""A backend that answers at once from a script: for tests of the graph, and for measuring its orchestration
alone.

It keeps the contract of :mod:`remote.backend` (``tests/contract/test_backend.py`` runs against it),
in memory: a job is idempotent on its key, its events replay, artifacts are checked by sha256. What a job
says is looked up by the name of each program in its chain::

    FakeBackend({
        "audit": Reply({"family": "binary"}, files={"train.jsonl": "…"}),
        "train": [Failure(FailureKind.OUT_OF_MEMORY, "…"), Reply({"metric": "macro_f1"})],
    })

A list is one answer for each job in turn, and its last one holds from then on; a callable gets the program's
config. A program that the script does not name fails with ``script_error``, so that a test notices.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from remote.backend import (
    ArtifactError,
    BackendError,
    Health,
    JobNotFound,
    JobRef,
    JobSpec,
    Need,
    Offer,
    Program,
)
from remote.protocol import FailureKind, JobEvent, JobEventType

_AT = "2000-01-01T00:00:00.000+00:00"  # events of a fake job carry one fixed time


@dataclass(frozen=True, slots=True)
class Reply:
    """A program that succeeds. ``events`` come before the artifacts and the result; ``files`` (below
    ``out/``, text or bytes) are announced with their sha256."""

    result: Mapping[str, Any] = field(default_factory=dict)
    events: Sequence[tuple[JobEventType, Mapping[str, Any]]] = ()
    files: Mapping[str, str | bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Failure:
    """A program that fails, after ``events`` and leaving ``files``."""

    kind: FailureKind
    detail: str
    events: Sequence[tuple[JobEventType, Mapping[str, Any]]] = ()
    files: Mapping[str, str | bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Hold:
    """A program that says ``events`` and then runs until it is cancelled or :meth:`FakeBackend.release` is
    called; then ``then`` happens."""

    then: Reply | Failure = Reply()
    events: Sequence[tuple[JobEventType, Mapping[str, Any]]] = ()


@dataclass(frozen=True, slots=True)
class Refusal:
    """``submit`` itself raises BackendError; the same key may be submitted again."""

    kind: FailureKind
    detail: str
    hint: str = ""


Answer = Reply | Failure | Hold | Refusal
Script = Mapping[str, Answer | Sequence[Answer] | Callable[[Mapping[str, Any]], Answer]]

_DEFAULT_OFFER = Offer("fake", "a fake machine", 0.0, 0.0, 0.0, "own machine", "2000-01-01", "none")


@dataclass
class _Job:
    spec: JobSpec
    events: list[JobEvent] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    waiting: list[tuple[Program, Answer]] = field(default_factory=list)
    ended: bool = False
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def say(self, type_: JobEventType, stage: str, fields: Mapping[str, Any]) -> None:
        # Through the protocol's own line, so that a test cannot pass with what a real job could not say.
        self.events.append(JobEvent(len(self.events), _AT, type_, stage, fields))
        self.events[-1].encode()


class FakeBackend:
    """``offer`` and ``health`` are what :meth:`offers` and :meth:`probe` answer (the offer with the
    estimate that was asked for). ``jobs`` holds every submitted spec in order, ``fetched`` the ids that
    were fetched."""

    def __init__(
        self,
        script: Script,
        *,
        name: str = "fake",
        health: Health | None = None,
        offer: Offer | None = _DEFAULT_OFFER,
        kill_after: Mapping[str, int] | None = None,
    ) -> None:
        """``kill_after``: job key -> number of events after which the job is gone without a word."""
        self.name = name
        self.jobs: list[JobSpec] = []
        self.fetched: list[str] = []
        self.cancelled: list[str] = []
        self.forgotten: list[str] = []
        self._script = script
        self._health = health if health is not None else Health(ready=True, detail="a fake machine")
        self._offer = offer
        self._kill_after = dict(kill_after or {})
        self._turn: dict[str, int] = {}
        self._jobs: dict[str, _Job] = {}

    async def probe(self) -> Health:
        return self._health

    async def offers(self, need: Need, estimated_s: float) -> list[Offer]:
        if self._offer is None or (need.gpu is not None and need.gpu not in self._offer.hardware):
            return []
        o = self._offer
        usd = None if o.usd_per_hour is None else o.usd_per_hour * estimated_s / 3600
        values = (self.name, o.hardware, o.usd_per_hour, estimated_s, usd)
        return [Offer(*values, o.price_source, o.price_as_of, o.isolation)]

    async def submit(self, job: JobSpec) -> JobRef:
        if job.key not in self._jobs:
            for item in job.inputs:
                if not await asyncio.to_thread(Path(item.source).exists):
                    detail = f"The input {item.source!r} does not exist."
                    raise BackendError(FailureKind.DATA_ERROR, detail, "Check the path.")
            answers = [(program, self._answer(program)) for program in job.programs]
            for _, answer in answers:
                if isinstance(answer, Refusal):
                    raise BackendError(answer.kind, answer.detail, answer.hint)
            # Another task may have come first while this one looked for its inputs.
            started = self._jobs.setdefault(job.key, _Job(job, waiting=answers))
            if started.spec is job:
                self.jobs.append(job)
                self._play(started)
        return JobRef(self.name, job.key)

    async def events(self, ref: JobRef, after: int = -1) -> AsyncIterator[JobEvent]:
        job = self._job(ref)
        seen = 0
        while True:
            changed, over = job.changed, job.ended
            for event in job.events[seen:]:
                seen += 1
                if event.seq > after:
                    yield event
            if over:
                return
            await changed.wait()

    async def cancel(self, ref: JobRef) -> None:
        job = self._job(ref)
        if not job.ended:
            self.cancelled.append(ref.id)
            stage = job.waiting[0][0].name
            fields = {"kind": FailureKind.PREEMPTED.value, "detail": "The job was cancelled on request."}
            job.say(JobEventType.FAILED, stage, fields)
            self._end(job)

    async def fetch(self, ref: JobRef, into: Path) -> None:
        job = self._job(ref)
        if not job.ended:
            raise BackendError(
                FailureKind.UNKNOWN, f"The job {ref.id!r} is still running.", "Wait for its end."
            )
        if job.events[-1].type is JobEventType.RESULT:
            _check(job)
        await asyncio.to_thread(_write, job.files, into)
        self.fetched.append(ref.id)

    async def forget(self, ref: JobRef) -> None:
        job = self._jobs.get(ref.id)
        if ref.backend == self.name and job is not None and job.ended:
            del self._jobs[ref.id]
            self.forgotten.append(ref.id)

    def release(self, key: str) -> None:
        """Let the job that a :class:`Hold` keeps go on."""
        job = self._jobs[key]
        program, answer = job.waiting[0]
        if isinstance(answer, Hold):
            job.waiting[0] = (program, answer.then)
            self._play(job)

    def tamper(self, key: str, path: str, data: bytes | None) -> None:
        """Change or remove (``None``) a file of ``out/`` behind the job's back."""
        if data is None:
            del self._jobs[key].files[path]
        else:
            self._jobs[key].files[path] = data

    def _answer(self, program: Program) -> Answer:
        entry = self._script.get(program.name)
        if entry is None:
            return Failure(FailureKind.SCRIPT_ERROR, f"The fake backend has no answer for {program.name!r}.")
        if callable(entry):
            return entry(program.config)
        if not isinstance(entry, Sequence):
            return entry
        turn = self._turn.get(program.name, 0)
        self._turn[program.name] = turn + 1
        return entry[min(turn, len(entry) - 1)]

    def _play(self, job: _Job) -> None:
        """Say everything up to the end, or up to a hold."""
        while job.waiting and not job.ended:
            program, answer = job.waiting[0]
            if not isinstance(answer, Refusal):
                for type_, fields in answer.events:
                    job.say(type_, program.name, fields)
            if isinstance(answer, Hold):
                break
            job.waiting.pop(0)
            _finish_program(job, program, answer)
            if isinstance(answer, Failure):
                job.waiting.clear()
        self._cut(job)
        if not job.waiting:
            job.ended = True
        self._wake(job)

    def _cut(self, job: _Job) -> None:
        count = self._kill_after.get(job.spec.key)
        if count is not None and len(job.events) > count:
            del job.events[count:]
            stage = job.events[-1].stage if job.events else ""
            fields = {"kind": FailureKind.PREEMPTED.value, "detail": "The fake machine is gone."}
            job.say(JobEventType.FAILED, stage, fields)
            job.ended = True

    def _end(self, job: _Job) -> None:
        job.ended = True
        self._wake(job)

    def _wake(self, job: _Job) -> None:
        changed, job.changed = job.changed, asyncio.Event()
        changed.set()

    def _job(self, ref: JobRef) -> _Job:
        if ref.backend != self.name or ref.id not in self._jobs:
            raise JobNotFound(FailureKind.UNKNOWN, f"There is no job {ref.id!r}.", "Start the step again.")
        return self._jobs[ref.id]


def _finish_program(job: _Job, program: Program, answer: Answer) -> None:
    if isinstance(answer, Reply | Failure):
        for path, data in answer.files.items():
            job.files[path] = data.encode() if isinstance(data, str) else data
            sha256 = hashlib.sha256(job.files[path]).hexdigest()
            job.say(JobEventType.ARTIFACT, program.name, {"path": path, "sha256": sha256})
    if isinstance(answer, Reply):
        job.say(JobEventType.RESULT, program.name, {"data": dict(answer.result)})
    elif isinstance(answer, Failure):
        fields = {"kind": answer.kind.value, "detail": answer.detail}
        job.say(JobEventType.FAILED, program.name, fields)


def _check(job: _Job) -> None:
    announced = {e.fields["path"]: e.fields["sha256"] for e in job.events if e.type is JobEventType.ARTIFACT}
    for path, sha256 in announced.items():
        data = job.files.get(path)
        if data is None or hashlib.sha256(data).hexdigest() != sha256:
            detail = f"The job's file {path!r} is missing or not the one that was announced."
            raise ArtifactError(FailureKind.SCRIPT_ERROR, detail, "Run the job again.")


def _write(files: Mapping[str, bytes], into: Path) -> None:
    into.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        target = into / name
        target.parent.mkdir(parents=True, exist_ok=True)
        beside = target.with_name(f".{target.name}.part")
        beside.write_bytes(data)
        beside.replace(target)
