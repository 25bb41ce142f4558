"""The one place where huggingface_hub is called: in threads, with deadlines, retries and plain words for
errors.

- A token is passed to each client and to nothing else. With no token the client is told so (``False``), so
  that a token that lies about on the machine is never used behind a person's back.
- 429 is retried after the time that the server names, 5xx and a broken connection after a short wait, three
  times in all; a wait of more than ``MAX_WAIT_S`` is told instead of sat out.
- The client has retries of its own for lists and downloads, and sleeps in its thread for as long as a server asks,
  an hour too. While reading, a response that would make it wait becomes an error, so that the wait is ours. Writing
  keeps the client's way, but for a pause that nobody would sit out: what has been half done there is not to be
  begun anew.
- At most ``AT_ONCE`` calls run at a time, and while the server asks for a pause no new one begins.
- Messages are made here from what was asked and the status; the client's own texts hold URLs and request ids.
- The import is late: it costs some 0.3 s that a process without the Hub need not pay.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, TypeVar

from pydantic import SecretStr

from graph.errors import GraphError, SourceError
from graph.names import FailureKind

if TYPE_CHECKING:
    from httpx2 import Response
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

T = TypeVar("T")
Sleep = Callable[[float], Awaitable[None]]

ATTEMPTS = 3
MAX_WAIT_S = 60.0
WAIT_S = 0.5  # before the first retry after a 5xx; doubled each time
READY_TIMEOUT_S = 2.5
READY_FOR_S = 30.0  # so that a run without a network does not wait for it at every question
CALL_TIMEOUT_S = 60.0
AT_ONCE = 8
_NETWORK_HINT = "Check the network and HF_ENDPOINT, then try again."


class HubClient:
    """``error``: the class to raise, SourceError for reading and PublishError for writing."""

    def __init__(
        self,
        endpoint: str | None,
        token: SecretStr | None,
        *,
        error: type[GraphError],
        sleep: Sleep = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.endpoint = endpoint.rstrip("/") if endpoint else None
        self.token = token
        self.error = error
        self.sleep = sleep
        self.clock = clock
        self._gate = asyncio.Semaphore(AT_ONCE)
        self._quiet_until = 0.0  # by ``clock``: the server asked for a pause
        self._answered: tuple[float, bool] | None = None  # when, and whether, the Hub last answered

    def secret(self) -> str | bool:
        """What the client's ``token=`` gets."""
        value = self.token.get_secret_value() if self.token else ""
        return value or False

    def api(self) -> HfApi:
        from huggingface_hub import HfApi
        from huggingface_hub.utils.tqdm import disable_progress_bars

        disable_progress_bars()  # a surface shows progress, not a library's bar on stderr
        return HfApi(endpoint=self.endpoint, token=self.secret(), library_name="ml-intern-for-teams")

    async def ready(self) -> bool:
        """Whether the Hub answers without a server error, within 3 s. Never raises; asks now and then."""
        if self._answered and self.clock() - self._answered[0] < READY_FOR_S:
            return self._answered[1]
        try:
            async with asyncio.timeout(READY_TIMEOUT_S + 0.4):
                answer = await asyncio.to_thread(self._ping)
        except TimeoutError:
            answer = False
        self._answered = (self.clock(), answer)
        return answer

    def page(self, path: str) -> str:
        """The address of a page for people."""
        return f"{self.api().endpoint}/{path}"

    def _ping(self) -> bool:
        import httpx2
        from huggingface_hub import get_session
        from huggingface_hub.errors import OfflineModeIsEnabled

        api = self.api()
        try:
            answer = get_session().get(
                f"{api.endpoint}/api/datasets", params={"limit": 1}, timeout=READY_TIMEOUT_S
            )
        except (httpx2.HTTPError, httpx2.InvalidURL, OfflineModeIsEnabled, OSError):
            return False
        return bool(answer.status_code < 500)

    async def call(self, what: str, function: Callable[[HfApi], T], timeout_s: float = CALL_TIMEOUT_S) -> T:
        """``function`` in a thread, retried where that helps. ``what`` names the thing: "the data set a/b".

        Raises ``error`` with a kind, a sentence and a hint; an OSError of this machine's disk comes through.
        """
        import httpx2
        from huggingface_hub.errors import HFValidationError, OfflineModeIsEnabled

        if (rest_s := self._quiet_until - self.clock()) > 0:
            await self.sleep(rest_s)
        for attempt in range(1, ATTEMPTS + 1):
            try:
                async with self._gate, asyncio.timeout(timeout_s):
                    return await asyncio.to_thread(self._run, function)
            except TimeoutError as error:
                raise self.error(f"The Hub took over {timeout_s:.0f} s for {what}.", _NETWORK_HINT) from error
            except HFValidationError as error:
                detail = f"The name of {what} is not one that the Hub allows."
                raise self.error(detail, "Write it as owner/name.", FailureKind.DATA_ERROR) from error
            except OfflineModeIsEnabled as error:
                detail = f"HF_HUB_OFFLINE is set, so {what} cannot be reached."
                raise self.error(detail, "Unset it, then try again.") from error
            except (httpx2.HTTPError, OSError) as error:
                if isinstance(error, OSError) and error.errno is not None and not _broken(error):
                    raise
                wait_s = self._wait_s(what, error, attempt)
                self._pause(error, wait_s)
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                # The client's ways of saying that an answer is no JSON, or no such thing as it expects.
                detail = f"What came as the Hub's answer for {what} cannot be understood."
                hint = "Check HF_ENDPOINT, and whether a proxy or a login page answers in the Hub's place."
                raise self.error(detail, hint) from error
            await self.sleep(wait_s)
            self._quiet_until = min(self._quiet_until, self.clock())
        raise AssertionError("the last attempt returns or raises")

    def _run(self, function: Callable[[HfApi], T]) -> T:
        """In a thread, whose context is a copy: what is set here is for this call alone."""
        from huggingface_hub import get_session

        session = get_session()
        hooks = session.event_hooks
        if _no_waiting not in hooks["response"]:
            session.event_hooks = {**hooks, "response": [*hooks["response"], _no_waiting]}
        _WAITS_ITSELF.set(self.error is not SourceError)
        return function(self.api())

    def _pause(self, error: Exception, wait_s: float) -> None:
        """A pause that the server asks for is for all calls, not for the one that was told."""
        status = getattr(getattr(error, "response", None), "status_code", None)
        if status == 429:
            self._quiet_until = self.clock() + wait_s

    def _wait_s(self, what: str, raised: Exception, attempt: int) -> float:
        """Seconds to wait before the next try. Raises ``error`` where there is none."""
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

        error = raised
        if isinstance(raised, LocalEntryNotFoundError) and isinstance(raised.__cause__, Exception):
            error = raised.__cause__  # the client's "not in the cache either" hides what the server said
        if isinstance(error, HfHubHTTPError):
            wait_s = retry_after_s(error, attempt)
            if wait_s is None or wait_s > MAX_WAIT_S or attempt == ATTEMPTS:
                raise self._explained(what, error, wait_s) from raised
            return wait_s
        if attempt == ATTEMPTS:
            raise self.error(f"The Hub cannot be reached for {what}.", _NETWORK_HINT) from raised
        return float(WAIT_S * 2 ** (attempt - 1))

    def _explained(self, what: str, error: HfHubHTTPError, wait_s: float | None) -> GraphError:
        from huggingface_hub.errors import (
            DisabledRepoError,
            GatedRepoError,
            RepositoryNotFoundError,
            RevisionNotFoundError,
        )

        status = error.response.status_code
        if isinstance(error, GatedRepoError):
            hint = "Accept its terms on its page with the account of HF_TOKEN, or choose another one."
            return self.error(f"Access to {what} has to be asked for: it is gated.", hint, FailureKind.DENIED)
        if isinstance(error, DisabledRepoError):
            return self.error(f"The Hub has switched {what} off.", "Choose another one.", FailureKind.DENIED)
        if isinstance(error, RevisionNotFoundError):
            return self.error(
                f"There is no such revision of {what}.", "Check what follows the @.", FailureKind.DATA_ERROR
            )
        if status == 401 and self.token and not isinstance(error, RepositoryNotFoundError):
            return self.error("The Hub does not accept HF_TOKEN.", "Set a valid token.", FailureKind.NO_TOKEN)
        if status in (401, 404):
            hint = "Check its name." if self.token else "Check its name; if it is private, set HF_TOKEN."
            return self.error(
                f"The Hub has no {what.removeprefix('the ')}, or not for you.", hint, FailureKind.DATA_ERROR
            )
        if status == 403:
            return self.error(*(_may_not_read if self.error is SourceError else _may_not_write)(what))
        if status == 429:
            return self.error(
                f"The Hub asks for a pause{f' of {wait_s:.0f} s' if wait_s else ''}: too many requests.",
                "Wait, then try again.",
                FailureKind.NO_CAPACITY,
            )
        if status >= 500:
            return self.error(
                f"The Hub answered with an error ({status}) for {what}.",
                "Try again in some minutes.",
            )
        return self.error(
            f"The Hub refused {what} ({status}).", "Check its name and your access.", FailureKind.DENIED
        )


def _may_not_read(what: str) -> tuple[str, str, FailureKind]:
    hint = "Ask its owner for access, or choose another one."
    return f"The Hub does not let you read {what}.", hint, FailureKind.DENIED


def _may_not_write(what: str) -> tuple[str, str, FailureKind]:
    hint = "Use a token with write access to that namespace, or another name."
    return f"The token may not do this with {what}.", hint, FailureKind.DENIED


_WAITS_ITSELF: ContextVar[bool] = ContextVar("waits_itself", default=True)


def _no_waiting(response: Response) -> None:
    """Raises HfHubHTTPError for what the client would sleep over."""
    from huggingface_hub.errors import HfHubHTTPError

    status = response.status_code
    long = status == 429 and (_seconds(response.headers.get("Retry-After", "")) or 0.0) > MAX_WAIT_S
    if long or (not _WAITS_ITSELF.get() and status in (429, 500, 502, 503, 504)):
        raise HfHubHTTPError(f"answered with {response.status_code}", response=response)


def _broken(error: OSError) -> bool:
    """Whether a connection failed, not this machine's disk."""
    return isinstance(error, ConnectionError)


def retry_after_s(error: HfHubHTTPError, attempt: int) -> float | None:
    """Seconds to wait before the next try; ``None`` where trying again cannot help."""
    status = error.response.status_code
    if status == 429:
        named = _seconds(error.response.headers.get("Retry-After", ""))
        return WAIT_S * 2**attempt if named is None else named
    # 409 and 412: somebody else was quicker; what is retried looks again before it writes
    return WAIT_S * 2 ** (attempt - 1) if status >= 500 or status in (409, 412) else None


def _seconds(retry_after: str) -> float | None:
    """The header's seconds, or those until its date."""
    if retry_after.isdecimal():
        return float(retry_after)
    try:
        at = parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    return max(0.0, at.timestamp() - time.time())
