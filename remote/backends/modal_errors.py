"""What Modal's client raises, as a :class:`Reason`, a :class:`FailureKind` and one sentence.

The client has three habits that this module answers (modal 1.6.4, tried against a stand-in): one exception stands
for a spend limit and for missing capacity, so the message decides; it gives up on an unreachable server only after
56 s and on missing capacity after 21 minutes, so every call has a deadline of ours; and its ``TimeoutError`` and
``ConnectionError`` are not the builtins.

``modal`` is imported inside functions only: a process that never uses it never loads it.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from remote.backend import BackendError, Reason
from remote.protocol import FailureKind

SPEND_WORDS = re.compile(
    r"spend|billing|credit|payment|budget|invoice|past due|unpaid|upgrade your plan", re.IGNORECASE
)
_HIDDEN = re.compile(r"\b(ak|as|wk|ws)-\w+")  # token ids and secrets

HINTS: Mapping[Reason, str] = {
    Reason.NO_SDK: 'Install it: pip install "ml-intern-for-teams[modal]".',
    Reason.NO_TOKEN: "Run `modal token new`, or set MODAL_TOKEN_ID and MODAL_TOKEN_SECRET.",
    Reason.BAD_TOKEN: "Make a new token with `modal token new`: this one was revoked or mistyped.",
    Reason.NO_CREDIT: "Raise the spend limit or add a payment method in Modal's workspace settings.",
    Reason.NO_CAPACITY: "Try again later, or choose another GPU.",
    Reason.UNREACHABLE: "Check the network, MODAL_SERVER_URL and this machine's clock, then try again.",
    Reason.DENIED: "Ask an owner of the Modal workspace for the right to run sandboxes and write volumes.",
    Reason.UNKNOWN: "Try again; if it stays, look at the workspace's page at Modal.",
}
SAYS: Mapping[Reason, str] = {
    Reason.NO_SDK: "Modal's client is not installed here, or too old.",
    Reason.NO_TOKEN: "There is no Modal token.",
    Reason.BAD_TOKEN: "Modal did not accept the token.",
    Reason.NO_CREDIT: "Modal's spend limit is reached.",
    Reason.NO_CAPACITY: "Modal has no such machine free now.",
    Reason.UNREACHABLE: "Modal cannot be reached.",
    Reason.DENIED: "The Modal token may not do this.",
    Reason.UNKNOWN: "Modal refused.",
}
_KINDS: Mapping[Reason, FailureKind] = {
    Reason.NO_TOKEN: FailureKind.NO_TOKEN,
    Reason.BAD_TOKEN: FailureKind.NO_TOKEN,
    Reason.NO_CREDIT: FailureKind.NO_CREDIT,
    Reason.NO_CAPACITY: FailureKind.NO_CAPACITY,
    Reason.UNREACHABLE: FailureKind.UNREACHABLE,
    Reason.DENIED: FailureKind.DENIED,
}


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds that Modal is given; tests make them short."""

    probe_s: float = 4.5
    prices_s: float = 3.0
    call_s: float = 30.0
    build_s: float = 1200.0  # the image, once for each set of pins
    create_s: float = 240.0  # a free machine of the kind
    lost_s: float = 300.0  # how long a job may be out of sight before following it fails
    settle_s: float = 20.0  # for a Volume to show what an ended sandbox committed
    retry_s: float = 1.0


def reason_for(error: BaseException) -> Reason:
    """Pure but for importing ``modal``. Unknown exceptions are ``unknown``, never a guess."""
    if isinstance(error, ImportError):
        return Reason.NO_SDK
    import aiohttp
    from grpclib.exceptions import ProtocolError, StreamTerminatedError
    from modal import exception as modal

    if isinstance(error, modal.AuthError):
        return Reason.NO_TOKEN if "token missing" in str(error).lower() else Reason.BAD_TOKEN
    if isinstance(error, modal.ResourceExhaustedError):
        return Reason.NO_CREDIT if SPEND_WORDS.search(str(error)) else Reason.NO_CAPACITY
    if isinstance(error, modal.PermissionDeniedError):
        return Reason.DENIED
    if isinstance(error, modal.VersionError):
        return Reason.NO_SDK
    modals = (modal.ConnectionError, modal.ServiceError, modal.InternalError, modal.TimeoutError)
    wires = (aiohttp.ClientError, ProtocolError, StreamTerminatedError, OSError, TimeoutError)
    if isinstance(error, (*modals, *wires)):
        return Reason.UNREACHABLE
    return Reason.UNKNOWN


def kind_for(reason: Reason) -> FailureKind:
    return _KINDS.get(reason, FailureKind.UNKNOWN)


def said(error: BaseException) -> str:
    """The provider's own words on one line, at most 200 characters, without anything that looks like a token."""
    words = _HIDDEN.sub("…", " ".join(str(error).split()))
    clean = "".join(c for c in words if c.isprintable())
    return clean if len(clean) <= 200 else clean[:199] + "…"


class Refusal(BackendError):
    """A call to Modal that did not work, with the reason."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(_KINDS.get(reason, FailureKind.UNKNOWN), detail, HINTS[reason])
        self.reason = reason


def refusal(error: BaseException, doing: str) -> Refusal:
    """``doing`` completes "while …", such as "starting the job"."""
    reason = reason_for(error)
    words = said(error).rstrip(".")
    return Refusal(reason, f"{SAYS[reason]} It happened while {doing}{f': {words}' if words else ''}.")


@asynccontextmanager
async def calling(
    doing: str, timeout_s: float, when_late: Reason = Reason.UNREACHABLE
) -> AsyncIterator[None]:
    """A deadline around calls to Modal; whatever they raise leaves as a :class:`Refusal`. ``FileNotFoundError`` and
    ``FileExistsError`` pass: they are answers of a Volume, not failures."""
    import aiohttp
    from grpclib.exceptions import GRPCError, ProtocolError, StreamTerminatedError
    from modal.exception import Error

    try:
        async with asyncio.timeout(timeout_s):
            yield
    except TimeoutError as error:
        detail = f"{SAYS[when_late]} It did not finish {doing} within {timeout_s:g} s."
        raise Refusal(when_late, detail) from error
    except (FileNotFoundError, FileExistsError):
        raise
    except (aiohttp.ClientError, GRPCError, ProtocolError, StreamTerminatedError, OSError, Error) as error:
        raise refusal(error, doing) from error
