"""Following a Modal job: its events in order, each once, from any process, whatever happens to the log stream.

While the sandbox runs, its output is read from the start (Modal replays it) and a second task waits for its end. When
it has ended by itself, ``events.jsonl`` in the Volume says what was missed. (Only then: a job can write to its folder,
and could otherwise pretend to have ended while its sandbox runs on.) A sandbox that died without it, killed, out of
memory or at its deadline, gets its last word here, from how it ended; that word is written to the Volume by the first
follower, out of the job's reach, so that all of them and every replay say the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar

from remote.backend import BackendError, Need
from remote.backends.modal_errors import Deadlines, Refusal, calling
from remote.backends.modal_runner import EVENTS_BYTES
from remote.backends.modal_store import Store
from remote.protocol import FailureKind, JobEvent, JobEventType, decode, decode_all
from remote.sandbox import verdict
from remote.sandbox.verdict import Verdict

if TYPE_CHECKING:
    import modal

T = TypeVar("T")

_QUEUE = 100  # lines of events between the stream and a slow follower
_AT_ONCE = 100  # lines, in a few milliseconds
_DRAIN_S = 2.0  # for the rest of the stream once the sandbox has ended; the Volume has it anyway
_SLOWEST_RETRY_S = 30.0


@dataclass(frozen=True, slots=True)
class End:
    """How a sandbox ended, as far as Modal says."""

    code: int | None = None
    timed_out: bool = False
    terminated: bool = False


def last_word(end: End, need: Need, *, cancelled: bool) -> Verdict:
    """Pure. Modal has no exception for out of memory: the exit code of SIGKILL is all there is."""
    if end.terminated:
        return verdict.cancelled() if cancelled else verdict.killed()
    if end.timed_out or end.code == 124:
        return verdict.timed_out(need)
    if end.code == 137:
        return verdict.out_of_memory(need)
    if end.code is None:
        detail = "Modal no longer knows the job's sandbox, and it left nothing: start it again."
        return Verdict(FailureKind.PREEMPTED, detail)
    detail = f"The sandbox ended with exit code {end.code} and left no events: look at its log at Modal."
    return Verdict(FailureKind.UNKNOWN, detail)


@dataclass(frozen=True, slots=True)
class _Heard:
    """A line of the stream with events after number ``after``. It is kept as it came: a job may say half a million
    events, and as objects they take eight times the memory."""

    line: str
    after: int

    def text(self) -> str:
        return "".join(map(_text, self.events()))

    def events(self) -> list[JobEvent]:
        """Numbered upwards, whatever stands there."""
        found: list[JobEvent] = []
        for event in decode_all(self.line.rstrip("\n")):
            if event.seq > (found[-1].seq if found else self.after):
                found.append(event)
        return found


class Following:
    """One follower of one job."""

    def __init__(
        self,
        client: modal.Client,
        store: Store,
        key: str,
        sandbox_id: str,
        deadlines: Deadlines,
        clock: Callable[[], datetime],
    ) -> None:
        self._client = client
        self._store = store
        self._key = key
        self._sandbox_id = sandbox_id
        self._deadlines = deadlines
        self._clock = clock
        self._heard: list[_Heard] = []
        self._last: JobEvent | None = None

    async def events(self) -> AsyncGenerator[JobEvent, None]:
        """From the first on. Raises BackendError (``unreachable``) when Modal is out of sight for too long."""
        kept = await self._kept()
        if kept is None and await self._is_over():
            kept = await self._left()
        if kept is not None:
            for event in kept:
                yield event
            return
        queue: asyncio.Queue[tuple[_Heard, list[JobEvent]]] = asyncio.Queue(_QUEUE)
        reader = asyncio.create_task(self._read(queue))
        waiter = asyncio.create_task(self._wait(reader))
        try:
            while (come := await _next(queue, waiter)) is not None:
                heard, events = come
                self._heard.append(heard)
                for event in events:
                    self._last = event
                    yield event
            end = await waiter
        finally:
            reader.cancel()
            waiter.cancel()
            await asyncio.wait({reader, waiter}, timeout=self._deadlines.call_s)
        for event in await self._rest(end):
            yield event

    @property
    def _seen(self) -> int:
        return self._last.seq if self._last else -1

    async def _kept(self) -> list[JobEvent] | None:
        """The events, as far as they were not heard, of a job whose last word was found out."""
        written = await self._store.read(f"control/{self._key}/events.jsonl", at_most_bytes=EVENTS_BYTES)
        return None if written is None else await _decoded(written, self._seen)

    async def _left(self) -> list[JobEvent] | None:
        """The events, as far as they were not heard, of a job that ended under its supervisor's eyes."""
        if await self._store.read(f"jobs/{self._key}/exit.json") is None:
            return None
        written = await self._store.read(f"jobs/{self._key}/events.jsonl", at_most_bytes=EVENTS_BYTES)
        return None if written is None else await _decoded(written, self._seen)

    async def _is_over(self) -> bool:
        """Whether the sandbox has ended by itself, or so long ago that Modal has forgotten it."""
        import modal

        try:
            async with calling("looking at the job's sandbox", self._deadlines.call_s):
                sandbox = await modal.Sandbox.from_id.aio(self._sandbox_id, client=self._client)
        except Refusal as refusal:
            if isinstance(refusal.__cause__, modal.exception.NotFoundError):
                return True
            raise
        return sandbox.returncode == 0

    async def _read(self, queue: asyncio.Queue[tuple[_Heard, list[JobEvent]]]) -> None:
        """Put what the sandbox says into ``queue``; a broken stream is read again from the start."""
        import modal

        failed, furthest = 0, -1
        while True:  # until it has all been read, or the other task has seen the end
            try:
                # No deadline: a job may be silent for hours.
                async with calling("reading the job's output", float("inf")):
                    sandbox = await modal.Sandbox.from_id.aio(self._sandbox_id, client=self._client)
                    async for line in sandbox.stdout:
                        heard = _Heard(line, furthest)
                        if events := heard.events():
                            failed, furthest = 0, events[-1].seq
                            await queue.put((heard, events))
                return
            except Refusal:
                await asyncio.sleep(min(self._deadlines.retry_s * 2**failed, _SLOWEST_RETRY_S))
                failed = min(failed + 1, 10)

    async def _wait(self, reader: asyncio.Task[None]) -> End:
        """The end, a moment after it came: so that the stream can say the rest."""
        end = await self._ended()
        await asyncio.wait({reader}, timeout=_DRAIN_S)
        return end

    async def _ended(self) -> End:
        """Returns when the sandbox has ended. Errors on the way are borne for ``lost_s``."""
        from modal.exception import NotFoundError

        loop = asyncio.get_running_loop()
        lost_since: float | None = None
        while True:
            try:
                return await self._end()
            except Refusal as error:
                if isinstance(error.__cause__, NotFoundError):
                    return End()
                now = loop.time()
                lost_since = now if lost_since is None else lost_since
                if now - lost_since > self._deadlines.lost_s:
                    raise
                await asyncio.sleep(self._deadlines.retry_s)

    async def _end(self) -> End:
        import modal
        from modal.exception import SandboxTerminatedError, SandboxTimeoutError

        async with calling("watching the job", float("inf")):
            sandbox = await modal.Sandbox.from_id.aio(self._sandbox_id, client=self._client)
            try:
                await sandbox.wait.aio()
            except SandboxTimeoutError:
                return End(timed_out=True)
            except SandboxTerminatedError:
                return End(terminated=True)
            return End(sandbox.returncode)

    async def _rest(self, end: End) -> list[JobEvent]:
        """What was not heard, the last word included: as the job left it, or else as found out here."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._deadlines.settle_s
        while True:
            kept = await self._kept()
            if kept is None and end.code in (0, None) and not (end.terminated or end.timed_out):
                kept = await self._left()
            if kept is not None:
                return kept
            if end.code != 0 or loop.time() >= until:
                return await self._concluded(end)
            await asyncio.sleep(min(0.25, self._deadlines.retry_s))

    async def _concluded(self, end: End) -> list[JobEvent]:
        submitted = await self._store.read_json(f"control/{self._key}/submitted.json") or {}
        last, word = self._last, []
        if last is None or not _is_outcome(last, submitted.get("programs", [])):
            cancelled = await self._store.read(f"control/{self._key}/cancelled.json") is not None
            why = last_word(end, Need(**submitted.get("need", {})), cancelled=cancelled)
            fields = {"kind": why.kind.value, "detail": why.detail}
            at = self._clock().isoformat(timespec="milliseconds")
            stage = last.stage if last else ""
            word.append(JobEvent(self._seen + 1, at, JobEventType.FAILED, stage, fields))
        text = "".join(
            [heard.text() async for heard in _in_turn(self._heard)] + [_text(each) for each in word]
        )
        path = f"control/{self._key}/events.jsonl"
        if await self._store.put_once(path, text.encode()):
            return word
        written = await self._store.read(path, at_most_bytes=EVENTS_BYTES)
        if written is None:
            detail = f"The events of the job {self._key!r} were removed while they were read."
            raise BackendError(FailureKind.UNKNOWN, detail, "Start the step again.")
        return await _decoded(written, self._seen)


def _is_outcome(event: JobEvent, programs: Sequence[str]) -> bool:
    """Whether nothing can come after it: the job was stopped in the moment in which it had ended anyway."""
    if event.type is JobEventType.RESULT:
        return bool(programs) and event.stage == programs[-1]
    return event.type is JobEventType.FAILED


async def _next(queue: asyncio.Queue[T], waiter: asyncio.Task[End]) -> T | None:
    """The next events, or ``None`` when the waiter is done and nothing is left. The task is made only where there
    is something to wait for: a busy job costs no more than a look."""
    if queue.empty() and not waiter.done():
        get = asyncio.create_task(queue.get())
        try:
            await asyncio.wait({get, waiter}, return_when=asyncio.FIRST_COMPLETED)
            if get.done():
                return get.result()
        finally:
            get.cancel()
    return None if queue.empty() else queue.get_nowait()


async def _decoded(data: bytes, after: int) -> list[JobEvent]:
    """The events with ``seq > after``: from the end on, as whoever heard a hundred thousand lacks one or two."""
    found: list[JobEvent] = []
    async for line in _in_turn(data.split(b"\n")[::-1]):
        event = decode(line.decode("utf-8", "replace"))
        if event is not None and event.seq <= after:
            break
        if event is not None:
            found.append(event)
    return found[::-1]


def _text(event: JobEvent) -> str:
    return event.encode() + "\n"


async def _in_turn(items: Sequence[T]) -> AsyncIterator[T]:
    """``items``, others having their turn in between."""
    for count, item in enumerate(items):
        if count % _AT_ONCE == 0:
            await asyncio.sleep(0)
        yield item
