"""A job's log as events: over as many connections as it takes, until it is complete or will not become so."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from datetime import datetime
from typing import TYPE_CHECKING

from remote.backends import hf_jobs_errors as errors
from remote.backends.hf_jobs_account import Account, over
from remote.backends.hf_jobs_client import MAX_WAIT_S, HubFault
from remote.backends.hf_jobs_lines import LogReader
from remote.protocol import JobEvent, JobEventType

if TYPE_CHECKING:
    from huggingface_hub import JobInfo

_BREAKS_S = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 60.0, 60.0)  # between connections that gave nothing
_LAGS_S = (1.0, 3.0, 8.0)  # for the last lines of a log that is still on its way
_NO_USE = (401, 402, 403)  # trying again does not help


class Follower:
    """``job`` is what is known of it at last. ``reader`` holds what its log has said."""

    def __init__(self, account: Account, job: JobInfo, clock: Callable[[], datetime]) -> None:
        self.job = job
        self.reader = LogReader()
        self._account = account
        self._clock = clock
        self._breaks: Iterator[float] = iter(_BREAKS_S)
        self._gaps: Iterator[float] = iter(_LAGS_S)
        self._lags: Iterator[float] = iter(_LAGS_S)
        self._gaps_allowed = False

    async def events(self) -> AsyncGenerator[list[JobEvent], None]:
        """All events of the log from its start, live while the job runs, as they come together. Raises
        HubFault."""
        while True:
            before = self.reader.next_seq
            self.reader.restart()
            try:
                async with aclosing(self._connection()) as events:
                    async for together in events:
                        yield together
                if self.reader.ended:
                    self.job = await self._account.end_of(self.job)
                    return
                self.job = await self._account.now(self.job)
                wait_s = self._pause_s()
            except HubFault as failed:
                if self.reader.next_seq > before:
                    self._breaks = iter(_BREAKS_S)
                pause_s = next(self._breaks, None)
                if failed.fault.status in _NO_USE or pause_s is None:
                    raise
                wait_s = max(pause_s, min(failed.fault.retry_after_s or 0.0, MAX_WAIT_S))
            if wait_s is None:
                return
            await self._account.client.sleep(wait_s)

    def _pause_s(self) -> float | None:
        """Before the log is read again; ``None`` where there will be no more."""
        if self.reader.gap:
            pause_s = next(self._gaps, None)
            self._gaps_allowed = pause_s is None  # the line is lost: better the rest than nothing
            return pause_s or 0.0
        if not over(self.job):
            return 1.0
        return None if self.job.status.stage in ("CANCELED", "DELETED") else next(self._lags, None)

    async def _connection(self) -> AsyncGenerator[list[JobEvent], None]:
        owner = await self._account.owner()
        try:
            async with aclosing(self._account.client.follow(self.job.id, owner)) as stream:
                async for line in stream:
                    if line is None and await self._is_over():
                        return
                    events = self.reader.take(line, gaps_allowed=self._gaps_allowed) if line else []
                    if events:
                        yield events
                    if self.reader.ended or self.reader.gap:
                        return
        except HubFault as failed:
            if failed.fault.status != 404:  # the job is gone, or its log is not there yet: both are looked at
                raise

    async def _is_over(self) -> bool:
        """After a silence: whether the job has ended. One that gets no machine is given up, so that another
        place can be asked."""
        self.job = await self._account.now(self.job)
        if errors.waits_too_long(self.job, self._clock()):
            await self._account.stop(self.job)
            self.job = await self._account.end_of(self.job)
        return over(self.job)

    @property
    def went_well(self) -> bool:
        """Whether the job's own last word was its result, and nothing went wrong after it."""
        last = self.reader.last
        complete = self.reader.ended or self.job.status.stage == "COMPLETED"
        return last is not None and last.type is JobEventType.RESULT and complete

    def last_word(self) -> JobEvent | None:
        """The ``failed`` of a job that could not say it itself. The same for every reader: it is made from the
        log and the provider's record alone."""
        last = self.reader.last
        if self.went_well or (last is not None and last.type is JobEventType.FAILED):
            return None
        kind, detail = errors.ended(self.job)
        at = self.job.finished_at or self.job.created_at
        stamp = at.isoformat(timespec="milliseconds") if at else last.t if last else ""
        stage = last.stage if last is not None else ""
        fields = {"kind": kind.value, "detail": detail}
        return JobEvent(self.reader.next_seq, stamp, JobEventType.FAILED, stage, fields)
