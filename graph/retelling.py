"""A job's events in the run's log: in order, each once, and so that a flood of them holds nobody up.

An event that comes alone is written at once. Those that come while others are being written share the next
transaction: a job may say ten thousand a second, a transaction takes a millisecond, and every other run waits for
its turn meanwhile.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from graph.context import Context
from graph.deps import Said
from graph.names import EventType
from remote.backend import JobRef
from remote.protocol import JobEvent, JobEventType

_AT_ONCE = 500  # in one transaction; a job that is quicker waits


class Retelling:
    """Entered around the following of one job; when it is left, all that was taken is written. Raises StoreError,
    LeaseLost."""

    def __init__(self, context: Context, ref: JobRef) -> None:
        self._context = context
        self._ref = ref
        self._waiting: list[Said] = []
        self._writing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, asyncio.CancelledError):
            if self._writing is not None:
                self._writing.cancel()
                await asyncio.wait({self._writing})
            return
        await self._written()
        await self._write()

    async def take(self, event: JobEvent) -> None:
        said = _said(self._context, self._ref, event)
        if said is None:
            return
        self._waiting.append(said)
        if self._writing is None or self._writing.done() or len(self._waiting) >= _AT_ONCE:
            await self._written()
            self._writing = asyncio.create_task(self._write())

    async def _written(self) -> None:
        """Wait for the writing that is under way; raises what it met."""
        writing, self._writing = self._writing, None
        if writing is not None:
            await writing

    async def _write(self) -> None:
        context = self._context
        while self._waiting:
            said = self._waiting.copy()
            await context.deps.store.append_all(context.run_id, said, fence=context.deps.fence)
            del self._waiting[: len(said)]


def _said(context: Context, ref: JobRef, event: JobEvent) -> Said | None:
    fields = event.fields
    name = f"{ref.id}-{event.seq}"
    match event.type:
        case JobEventType.PROGRESS:
            return context.said(
                EventType.JOB_PROGRESS,
                name,
                job=ref.id,
                stage=event.stage,
                step=fields.get("step", 0),
                total=fields.get("total", 0),
                metrics=fields.get("metrics") or {},
            )
        case JobEventType.EPOCH:
            metrics = fields.get("metrics") or {}
            return context.said(EventType.JOB_EPOCH, name, epoch=fields.get("epoch", 0), metrics=metrics)
        case JobEventType.WARNING | JobEventType.FAILED:
            failed = event.type is JobEventType.FAILED
            type_ = EventType.JOB_FAILED if failed else EventType.JOB_WARNING
            kind, detail = str(fields.get("kind", "")), str(fields.get("detail", ""))
            return context.said(type_, name, kind=kind, detail=detail)
        case _:
            return None
