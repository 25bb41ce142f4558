"""What went wrong with a call to the Hub, or with a job there: pure functions from errors to kinds and words.

The client's own messages hold URLs, request ids and advice for programmers, so nothing of them is shown but
the server's one-line reason, cleaned. A token never stands in any of it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from remote.backend import BackendError, Health, Reason
from remote.protocol import FailureKind

if TYPE_CHECKING:
    from huggingface_hub import JobInfo

SCHEDULING_TIMEOUT_S = 1200.0  # waiting for a machine costs nothing, but somebody waits too

KINDS: Mapping[Reason, FailureKind] = {
    Reason.NO_SDK: FailureKind.UNKNOWN,
    Reason.NO_TOKEN: FailureKind.NO_TOKEN,
    Reason.BAD_TOKEN: FailureKind.NO_TOKEN,
    Reason.NO_CREDIT: FailureKind.NO_CREDIT,
    Reason.NO_CAPACITY: FailureKind.NO_CAPACITY,
    Reason.UNREACHABLE: FailureKind.UNREACHABLE,
    Reason.DENIED: FailureKind.DENIED,
    Reason.UNKNOWN: FailureKind.UNKNOWN,
}
HINTS: Mapping[Reason, str] = {
    Reason.NO_SDK: "Install the project again: pip install ml-intern-for-teams.",
    Reason.NO_TOKEN: "Set HF_TOKEN to a token that may write and run jobs (huggingface.co/settings/tokens).",
    Reason.BAD_TOKEN: "Make a new token at huggingface.co/settings/tokens and set HF_TOKEN to it.",
    Reason.NO_CREDIT: "Add credit at huggingface.co/settings/billing, or train elsewhere.",
    Reason.NO_CAPACITY: "Try again later, or choose other hardware.",
    Reason.UNREACHABLE: "Check the network and HF_ENDPOINT, then try again.",
    Reason.DENIED: "Give the token the right to run jobs and to write, in the namespace that is to pay.",
    Reason.UNKNOWN: "Try again; if it stays, look at the job's page on the Hub.",
}
_MONEY = re.compile(
    r"credit|billing|payment|pre-?paid|spend|quota exceeded|insufficient funds", re.IGNORECASE
)
_CAPACITY = re.compile(r"capacity|no (?:hardware|machine|gpu)s? available|out of stock", re.IGNORECASE)
_TIMEOUT = re.compile(r"time[ -]?(?:d )?out|deadline|max(?:imum)? duration", re.IGNORECASE)
_MEMORY = re.compile(r"\bOOM|out of memory", re.IGNORECASE)
_EXIT = re.compile(r"exit(?:ed with)?[ -]?(?:code|status)[ :=]*(\d{1,3})", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Fault:
    """``answered``: the server said no, so nothing of the request is still on its way; where it is False, what
    was asked for may have happened. ``retry_after_s``: None where trying again cannot help."""

    reason: Reason
    detail: str
    hint: str
    answered: bool
    retry_after_s: float | None = None
    status: int | None = None

    def error(self) -> BackendError:
        return BackendError(KINDS[self.reason], self.detail, self.hint)

    def health(self) -> Health:
        return Health(False, self.reason, self.detail, self.hint)


def no_token() -> Fault:
    return Fault(Reason.NO_TOKEN, "There is no token for Hugging Face.", HINTS[Reason.NO_TOKEN], True)


def explain(error: BaseException) -> Fault:
    """Any error of a client call as a fault. Never raises."""
    from huggingface_hub.errors import (
        HfHubHTTPError,
        LocalTokenNotFoundError,
        OfflineModeIsEnabled,
    )

    if isinstance(error, HfHubHTTPError):
        return _answered(error)
    if isinstance(error, LocalTokenNotFoundError):
        return no_token()
    if isinstance(error, OfflineModeIsEnabled):
        hint = "Unset HF_HUB_OFFLINE, or train on this machine."
        return Fault(Reason.UNREACHABLE, "HF_HUB_OFFLINE is set, so the Hub is not asked.", hint, True)
    if isinstance(error, TimeoutError):
        return _silent("The Hub did not answer in time.")
    if isinstance(error, PermissionError):  # of the storage; its tokens are made from ours
        return Fault(
            Reason.DENIED, "The Hub's storage refused the job's files.", HINTS[Reason.DENIED], True, None
        )
    if isinstance(error, ImportError):
        return Fault(Reason.NO_SDK, "The Hub's client is not complete here.", HINTS[Reason.NO_SDK], True)
    if isinstance(error, (LookupError, TypeError, ValueError, AttributeError)):
        # Where fields are missing or the body is no JSON, it was a proxy or another service that spoke.
        hint = "Check that HF_ENDPOINT is the Hub's address, and that no proxy answers in its place."
        return Fault(Reason.UNREACHABLE, "What answered does not speak as the Hub does.", hint, False, 1.0)
    if "CERTIFICATE" in str(error).upper():
        hint = "Check this machine's clock, and the certificates if a proxy stands between."
        return Fault(Reason.UNREACHABLE, "The Hub's certificate was not accepted.", hint, True)
    return _silent("The Hub cannot be reached, or the connection broke.")


def _silent(detail: str) -> Fault:
    return Fault(Reason.UNREACHABLE, detail, HINTS[Reason.UNREACHABLE], False, 1.0)


def _answered(error: Exception) -> Fault:
    from huggingface_hub.errors import HfHubHTTPError

    assert isinstance(error, HfHubHTTPError)
    status, words = error.response.status_code, one_line(error.server_message or "")
    said = f": {words.rstrip('.')}." if words else "."
    if status == 402 or (status in (400, 403) and _MONEY.search(words)):
        reason, detail = Reason.NO_CREDIT, f"Hugging Face asks for payment before it runs a job{said}"
    elif status == 401:
        reason, detail = Reason.BAD_TOKEN, "Hugging Face does not accept the token."
    elif status == 403:
        reason, detail = Reason.DENIED, f"The token may not do this at Hugging Face{said}"
    elif status == 404:
        reason, detail = Reason.UNREACHABLE, "The Hub has nothing at this address (404)."
    elif status == 429:
        wait_s = retry_after_s(error.response.headers)
        detail = "The Hub asks for a pause: too many requests."
        return Fault(Reason.UNREACHABLE, detail, "Wait some minutes, then try again.", True, wait_s, status)
    elif _CAPACITY.search(words):
        reason, detail = Reason.NO_CAPACITY, f"Hugging Face has no such machine free{said}"
    elif status >= 500:
        detail = f"The Hub answered with an error of its own ({status})."
        return Fault(Reason.UNREACHABLE, detail, "Try again in some minutes.", True, 1.0, status)
    else:
        reason, detail = Reason.UNKNOWN, f"Hugging Face refused this ({status}){said}"
    return Fault(reason, detail, HINTS[reason], True, None, status)


def retry_after_s(headers: Mapping[str, str]) -> float:
    """The pause that a 429 names, in its own header or in the Hub's; 2 s where it names none."""
    from huggingface_hub.utils import parse_ratelimit_headers  # type: ignore[attr-defined]

    named = headers.get("Retry-After", "").strip()
    if named.isdecimal():
        return float(named)
    limit = parse_ratelimit_headers(headers)
    return float(limit.reset_in_seconds) if limit is not None and limit.remaining == 0 else 2.0


def ended(job: JobInfo) -> tuple[FailureKind, str]:
    """Why a job is over that could not say it: from its stage and the provider's message."""
    message = one_line(job.status.message or "")
    if job.status.stage == "CANCELED":
        if job.started_at is None and job.finished_at and waits_too_long(job, job.finished_at):
            detail = "Hugging Face had no machine free for the job: try later, or choose other hardware."
            return FailureKind.NO_CAPACITY, detail
        if _TIMEOUT.search(message):
            return FailureKind.TIMEOUT, "The job was stopped at its time limit: give it more minutes."
        return FailureKind.PREEMPTED, "The job was cancelled on request; what it saved until then is kept."
    if job.status.stage == "DELETED":
        return FailureKind.PREEMPTED, "The job was deleted at Hugging Face: start it again."
    if job.status.stage == "COMPLETED":
        detail = "The job ended without a result, or its log was lost: look at its page on the Hub."
        return FailureKind.SCRIPT_ERROR, detail
    return _failed(message)


def waits_too_long(job: JobInfo, now: datetime) -> bool:
    """Whether the job has got no machine for so long that another place should be asked."""
    waits = job.started_at is None and job.status.stage in ("SCHEDULING", "CANCELED")
    since = job.created_at
    return waits and since is not None and (now - since).total_seconds() > SCHEDULING_TIMEOUT_S


def _failed(message: str) -> tuple[FailureKind, str]:
    code = int(found[1]) if (found := _EXIT.search(message)) else None
    if _MONEY.search(message):
        return FailureKind.NO_CREDIT, f"Hugging Face stopped the job for want of credit: {message}"
    if _MEMORY.search(message) or code == 137:
        return FailureKind.OUT_OF_MEMORY, "The job needs more memory than its machine has: use a larger one."
    if _TIMEOUT.search(message):
        return FailureKind.TIMEOUT, "The job was stopped at its time limit: give it more minutes."
    if code == 143:
        return FailureKind.PREEMPTED, "The job was stopped from outside; what it saved until then is kept."
    if _CAPACITY.search(message):
        return FailureKind.NO_CAPACITY, f"Hugging Face had no machine for the job: {message}"
    if code is not None:
        return FailureKind.SCRIPT_ERROR, f"The job's machine stopped with exit code {code}: run it again."
    said = f": {message}" if message else "."
    return FailureKind.UNKNOWN, f"The job failed at Hugging Face without a reason of its own{said}"


def one_line(words: str, at_most: int = 200) -> str:
    """What a server said, as harmless words: no control characters, no line breaks, not long."""
    line = " ".join("".join(c if c.isprintable() else " " for c in words).split())
    return line if len(line) <= at_most else line[: at_most - 1] + "…"
