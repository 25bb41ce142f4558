"""Calls to huggingface_hub from asyncio: each in a thread of its own, with a deadline of ours.

The client's requests have no time-out, so a thread can wait for ever. A pool would make the whole process
wait for it at its end; these threads are daemons and are simply left behind. The token is handed to the
client by value and to nothing else: with none, the client is told so, and never looks for one on the machine.
The import is late because it costs a third of a second that a process without the Hub need not pay.
"""

from __future__ import annotations

import asyncio
import errno
import itertools
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import SecretStr

from remote.backend import BackendError
from remote.backends import hf_jobs_errors as errors
from remote.backends.hf_jobs_errors import Fault
from remote.protocol import FailureKind

if TYPE_CHECKING:
    from huggingface_hub import HfApi

T = TypeVar("T")
Sleep = Callable[[float], Awaitable[None]]

CALL_TIMEOUT_S = 30.0
ATTEMPTS = 4
MAX_WAIT_S = 60.0  # a longer pause is told, not sat out
_OWN_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.ENOENT)
_BUFFER_LINES = 2_000  # each up to some 12 kB; a reader that is slower than the stream makes the stream wait


class HubFault(Exception):
    """A call failed; ``fault`` says how. Inside the backend only: its callers get a BackendError."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.detail)
        self.fault = fault


@contextmanager
def as_backend_error() -> Iterator[None]:
    """Faults of the Hub, and of this machine's disk, as the contract has them."""
    try:
        yield
    except HubFault as failed:
        raise failed.fault.error() from failed
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        kind = FailureKind.NO_DISK if full else FailureKind.DENIED
        detail = f"A file of the job could not be read or written here: {error.strerror or error}."
        hint = "Free some disk space, or set INTERN_HOME to a folder that you may write."
        raise BackendError(kind, detail, hint) from error


class Client:
    """``sleep`` waits between attempts; ``silence_s``: see :meth:`follow`."""

    def __init__(
        self, token: SecretStr | None, endpoint: str | None, sleep: Sleep, silence_s: float = 10.0
    ) -> None:
        self._token = token
        self._endpoint = endpoint.rstrip("/") if endpoint else None
        self.sleep = sleep
        self._silence_s = silence_s

    @property
    def has_token(self) -> bool:
        return bool(self._secret())

    def _secret(self) -> str:
        return self._token.get_secret_value() if self._token is not None else ""

    def api(self) -> HfApi:
        from huggingface_hub import HfApi
        from huggingface_hub.utils.tqdm import disable_progress_bars

        disable_progress_bars()  # a surface shows progress, not a library's bar on stderr
        return HfApi(
            endpoint=self._endpoint, token=self._secret() or False, library_name="ml-intern-for-teams"
        )

    async def once(self, function: Callable[[HfApi], T], timeout_s: float = CALL_TIMEOUT_S) -> T:
        """``function(api)`` in a thread. Raises HubFault, and OSError for a file of this machine."""
        try:
            async with asyncio.timeout(timeout_s):
                return await _in_thread(lambda: function(self.api()))
        except _client_errors() as error:
            if isinstance(error, OSError) and error.errno in _OWN_DISK:
                raise
            raise HubFault(errors.explain(error)) from error

    async def call(self, function: Callable[[HfApi], T], timeout_s: float = CALL_TIMEOUT_S) -> T:
        """As :meth:`once`, again after a pause where that can help: for calls that may be repeated."""
        for attempt in itertools.count(1):
            try:
                return await self.once(function, timeout_s)
            except HubFault as failed:
                wait_s = pause_s(failed.fault, attempt)
                if wait_s is None:
                    raise
            await self.sleep(wait_s)
        raise AssertionError("the loop above has no end")

    async def follow(self, job_id: str, namespace: str) -> AsyncGenerator[str | None, None]:
        """The job's log from its first line; ends when the client finds that the job has ended. ``None`` after
        ``silence_s`` without a line. Raises HubFault.

        Left early, its thread stays until the next line or the job's end, as the client cannot be interrupted.
        """
        feed = _Feed(asyncio.get_running_loop(), self._silence_s)
        api = self.api()
        token: str | bool = self._secret() or False  # some of these methods do not look at the api's own

        def lines() -> None:
            try:
                for line in api.fetch_job_logs(job_id=job_id, namespace=namespace, follow=True, token=token):
                    if not feed.put(line):
                        return
            except _client_errors() as error:
                feed.put(error)
            else:
                feed.put(_END)

        threading.Thread(target=lines, name=f"log of {job_id}", daemon=True).start()
        try:
            while True:
                item = await feed.get()
                if item is _END:
                    return
                if isinstance(item, BaseException):
                    raise HubFault(errors.explain(item)) from item
                yield item
        finally:
            feed.closed.set()


_END = object()


class _Feed:
    """From one thread to one task, in order, with a bound."""

    def __init__(self, loop: asyncio.AbstractEventLoop, silence_s: float) -> None:
        self.closed = threading.Event()
        self._loop = loop
        self._silence_s = silence_s
        self._queue: asyncio.Queue[Any] = asyncio.Queue()
        self._room = threading.BoundedSemaphore(_BUFFER_LINES)

    def put(self, item: object) -> bool:
        """From the thread; False when nobody listens any more."""
        while not self._room.acquire(timeout=1.0):
            if self.closed.is_set():
                return False
        if self.closed.is_set():
            return False
        try:
            self._loop.call_soon_threadsafe(self._queue.put_nowait, item)
        except RuntimeError:  # the loop has ended
            return False
        return True

    async def get(self) -> Any:
        """The next item, or ``None`` after ``silence_s`` without one. Others have their turn in between, however
        many wait: a job's whole log comes at once to whoever attaches to it."""
        await asyncio.sleep(0)
        try:
            async with asyncio.timeout(self._silence_s):
                item = await self._queue.get()
        except TimeoutError:
            return None
        self._room.release()
        return item


def pause_s(fault: Fault, attempt: int) -> float | None:
    """Seconds to wait after the attempt of this number (from 1); ``None`` where there shall be no other."""
    if fault.retry_after_s is None or attempt >= ATTEMPTS:
        return None
    wait_s = fault.retry_after_s if fault.status == 429 else fault.retry_after_s * 2 ** (attempt - 1)
    return wait_s if wait_s <= MAX_WAIT_S else None


async def _in_thread(function: Callable[[], T]) -> T:
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(value: T | None, error: BaseException | None) -> None:
        if future.done():  # nobody waits any more
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(value)  # type: ignore[arg-type]

    def run() -> None:
        value, failed = None, None
        try:
            value = function()
        except _client_errors() as error:
            failed = error
        with suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(settle, value, failed)

    threading.Thread(target=run, name="hugging face", daemon=True).start()
    return await future


def _client_errors() -> tuple[type[BaseException], ...]:
    """What the client and its storage library raise: HTTP errors (as OSError), the network's, errors from
    reading an answer that is not what it should be, and the storage's RuntimeError."""
    import httpx2

    network = (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError, OSError, TimeoutError)
    reading = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError)
    return (*network, *reading, RuntimeError, ImportError)
