"""How a stage runs a job: claimed, submitted, recorded, then listened to. After a crash the job is found again.

A chain of programs serves several stages (smoke test and baselines; evaluation, stress test and card). Each stage
listens to the same job until its own program has spoken.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing, nullcontext
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

from graph.context import Context
from graph.deps import Deps
from graph.errors import StageFailed
from graph.names import EventType, FailureKind
from graph.retelling import Retelling
from remote.backend import Backend, Input, JobRef, JobSpec, Need, Program
from remote.protocol import JobEventType

PROGRESS_EVERY_S = 1.0  # what the log keeps of a job's progress; every epoch and warning is kept


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a program of a chain ended: with a result, or with a kind and a detail."""

    result: Mapping[str, Any] | None = None
    kind: FailureKind | None = None
    detail: str = ""
    seconds: float = 0.0  # from the job's first word to its last


def backend_named(deps: Deps, name: str) -> Backend:
    for backend in deps.backends:
        if backend.name == name:
            return backend
    raise StageFailed(
        f"The backend {name!r} is not set up here.",
        "Install its extra and set its token (`intern doctor` shows how), then `intern resume`.",
    )


def here(deps: Deps) -> Backend:
    """This machine: where the small jobs run."""
    return deps.backends[-1]


async def submit(
    context: Context,
    name: str,
    programs: tuple[Program, ...],
    inputs: tuple[Input, ...],
    need: Need,
    *,
    backend: Backend | None = None,
    allow_unisolated: bool = False,
    hardware: str = "",
) -> JobRef:
    """Start the job ``name`` of this stage's visit, or find the one that an earlier try started.

    Raises BackendError, in which case nothing runs.
    """
    backend = backend or here(context.deps)
    store, key = context.deps.store, context.key(name)
    effect = await store.claim(key, context.run_id, fence=context.deps.fence)
    if effect.state == "done" and effect.result is not None:
        return JobRef(**effect.result)
    spec = JobSpec(key, context.run_id, programs, inputs, need, allow_unisolated)
    ref = await backend.submit(spec)
    await store.record(key, asdict(ref), fence=context.deps.fence)
    await context.say(EventType.JOB_SUBMITTED, name, backend=backend.name, key=key, hardware=hardware)
    return ref


async def listen(
    context: Context, ref: JobRef, until: str, *, to_end: bool = False, log: Path | None = None
) -> Outcome:
    """Follow the job until its program ``until`` has a result or the job has failed; the run's log hears of it.

    ``to_end``: stay until the job has ended, so that its files can be fetched. ``log`` is a file that gets every
    line the job says, from its start.
    """
    with log.open("w", encoding="utf-8") if log else nullcontext() as lines:
        return await _follow(context, ref, until, to_end, lines)


async def _follow(context: Context, ref: JobRef, until: str, to_end: bool, lines: TextIO | None) -> Outcome:
    outcome: Outcome | None = None
    backend = backend_named(context.deps, ref.backend)
    last_kept: datetime | None = None
    first: datetime | None = None
    seconds = 0.0
    async with Retelling(context, ref) as retelling, aclosing(backend.events(ref)) as events:  # type: ignore[type-var]
        async for event in events:
            if lines:
                lines.write(event.encode() + "\n")
            at = datetime.fromisoformat(event.t)
            first = first or at
            seconds = (at - first).total_seconds()
            if event.type is JobEventType.PROGRESS:
                done = event.fields.get("step") == event.fields.get("total")
                if last_kept and not done and (at - last_kept).total_seconds() < PROGRESS_EVERY_S:
                    continue
                last_kept = at
            await retelling.take(event)
            if outcome:
                continue
            if event.type is JobEventType.FAILED:
                outcome = Outcome(
                    kind=_kind(event.fields.get("kind")), detail=str(event.fields.get("detail", ""))
                )
            elif event.type is JobEventType.RESULT and event.stage == until:
                outcome = Outcome(result=event.fields.get("data") or {})
            if outcome and not to_end:
                return outcome
    return replace(
        outcome or Outcome(kind=FailureKind.UNKNOWN, detail="The job ended without a result."),
        seconds=seconds,
    )


async def run(
    context: Context,
    name: str,
    programs: tuple[Program, ...],
    inputs: tuple[Input, ...],
    need: Need,
    into: Path,
    *,
    allow_unisolated: bool = False,
) -> Mapping[str, Any]:
    """One job from submit to fetched files; returns the last program's result. Raises StageFailed, BackendError."""
    ref = await submit(context, name, programs, inputs, need, allow_unisolated=allow_unisolated)
    outcome = await listen(context, ref, programs[-1].name, to_end=True)
    await fetch(context, ref, into)
    return expect(outcome)


async def run_once(deps: Deps, spec: JobSpec, into: Path | None = None) -> Mapping[str, Any]:
    """A job outside of a run's stages, on this machine: its last result; nothing is kept of it but what is fetched.

    Raises StageFailed with the job's own words, BackendError when no job can run.
    """
    backend, result = here(deps), None
    ref = await backend.submit(spec)
    try:
        async with aclosing(backend.events(ref)) as events:  # type: ignore[type-var]
            async for event in events:
                if event.type is JobEventType.FAILED:
                    raise StageFailed(str(event.fields.get("detail", "The job failed.")))
                if event.type is JobEventType.RESULT:
                    result = event.fields.get("data") or {}
        if result is None:
            raise StageFailed("The job ended without a result.", "`intern doctor` checks the sandbox.")
        if into:
            into.mkdir(parents=True, exist_ok=True)
            await backend.fetch(ref, into)
        return result
    finally:
        await backend.cancel(ref)
        await backend.forget(ref)


async def open_jobs(deps: Deps, run_id: str) -> list[tuple[Backend, JobRef]]:
    """Every job that the run has, or may have, started. A claim without a result may have been submitted or not."""
    found: list[tuple[Backend, JobRef]] = []
    for effect in await deps.store.effects(run_id):
        if effect.result is None:
            found += [(b, JobRef(b.name, effect.key)) for b in deps.backends]
        elif effect.result.keys() == {"backend", "id"}:
            ref = JobRef(**effect.result)
            found += [(b, ref) for b in deps.backends if b.name == ref.backend]
    return found


async def fetch(context: Context, ref: JobRef, into: Path) -> None:
    into.mkdir(parents=True, exist_ok=True)
    await backend_named(context.deps, ref.backend).fetch(ref, into)


def expect(outcome: Outcome) -> Mapping[str, Any]:
    """The result, or StageFailed with the job's own words."""
    if outcome.result is None:
        raise StageFailed(outcome.detail, _HINTS.get(outcome.kind, ""), outcome.kind)
    return outcome.result


_HINTS: Mapping[FailureKind | None, str] = {
    FailureKind.NO_DISK: "Free some disk space, then `intern resume`.",
    FailureKind.NOT_ISOLATED: "`intern doctor` says what is missing.",
    FailureKind.PREEMPTED: "`intern resume` starts it again.",
    FailureKind.TIMEOUT: "Use fewer rows, or a machine with more cores.",
    FailureKind.OUT_OF_MEMORY: "Use fewer rows, or a machine with more memory.",
    FailureKind.SCRIPT_ERROR: "The job's log.txt holds the details.",
}


def _kind(value: Any) -> FailureKind:
    return FailureKind(value) if value in set(FailureKind) else FailureKind.UNKNOWN
