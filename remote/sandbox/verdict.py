"""Why a job ended: a kind and a sentence, from its exit code, its last words and what was done to it."""

from __future__ import annotations

import signal
from dataclasses import dataclass

from remote.backend import Need
from remote.protocol import FailureKind, JobEvent

_DISK_WORDS = ("[Errno 27]", "[Errno 28]", "[Errno 122]", "File too large", "No space left on device")
_MEMORY_WORDS = (
    "MemoryError",
    "std::bad_alloc",
    "can't allocate memory",
    "Cannot allocate memory",
    "OutOfMemoryError",
    "CUDA out of memory",
)


@dataclass(frozen=True, slots=True)
class Verdict:
    kind: FailureKind
    detail: str


def timed_out(need: Need) -> Verdict:
    detail = f"The job was stopped at its limit of {need.timeout_s:g} s: give it more minutes or fewer rows."
    return Verdict(FailureKind.TIMEOUT, detail)


def out_of_memory(need: Need) -> Verdict:
    detail = (
        f"The job needs more than its {need.memory_mb} MB of memory: use smaller batches or a larger machine."
    )
    return Verdict(FailureKind.OUT_OF_MEMORY, detail)


def no_disk(need: Need) -> Verdict:
    detail = (
        f"The job filled the {need.disk_mb} MB that it may write, or the disk is full: allow or free space."
    )
    return Verdict(FailureKind.NO_DISK, detail)


def too_many_processes(need: Need) -> Verdict:
    detail = f"The job started more than {need.processes} processes and threads: it must start fewer."
    return Verdict(FailureKind.SCRIPT_ERROR, detail)


def too_deep() -> Verdict:
    detail = "The job made folders in folders beyond any use: write to fewer levels below out/."
    return Verdict(FailureKind.SCRIPT_ERROR, detail)


def cancelled() -> Verdict:
    """There is no kind of its own: like a preempted job, it was stopped from outside and may be resumed."""
    return Verdict(
        FailureKind.PREEMPTED, "The job was cancelled on request; what it saved until then is kept."
    )


def killed() -> Verdict:
    detail = "The job was killed from outside; what it saved until then is kept."
    return Verdict(FailureKind.PREEMPTED, detail)


def lost() -> Verdict:
    detail = "The job was killed together with its supervisor (a restart of the machine?): start it again."
    return Verdict(FailureKind.PREEMPTED, detail)


def from_exit(
    code: int,
    last_lines: str,
    need: Need,
    *,
    has_result: bool,
    sandbox_made: bool = True,
    out_of_memory_seen: bool = True,
) -> Verdict | None:
    """``code`` as :class:`subprocess.Popen` gives it (negative: a signal); bubblewrap reports a signal as
    128 + n. ``out_of_memory_seen``: whether the kernel may have killed something for want of memory meanwhile.

    ``None`` when the job ended well. The last log lines tell errors that Python turns into an exit code of 1.
    """
    number = -code if code < 0 else code - 128 if code > 128 else 0
    if number == signal.SIGKILL:  # not by us: the kernel's out-of-memory killer, or somebody's `kill -9`
        return out_of_memory(need) if out_of_memory_seen else killed()
    if number == signal.SIGXCPU:
        return timed_out(need)
    if number == signal.SIGXFSZ:
        return no_disk(need)
    tail = last_lines[-4000:]
    if code != 0 and any(word in tail for word in _MEMORY_WORDS):
        return out_of_memory(need)
    if code != 0 and any(word in tail for word in _DISK_WORDS):
        return no_disk(need)
    if code != 0 and not sandbox_made:
        return Verdict(FailureKind.NOT_ISOLATED, f"The sandbox could not be made: {last_words(tail)}")
    if number:
        return Verdict(FailureKind.SCRIPT_ERROR, f"The program was ended by {_signal(number)}: see log.txt.")
    if code != 0:
        return Verdict(
            FailureKind.SCRIPT_ERROR, f"The program ended with exit code {code}: {last_words(tail)}"
        )
    if not has_result:
        return Verdict(FailureKind.SCRIPT_ERROR, "The program ended without a result: see log.txt.")
    return None


def knows_better(why: Verdict | None, said: JobEvent) -> bool:
    """Whether ``why`` replaces what the job itself said: a limit, where the job saw an exception."""
    limits = (FailureKind.OUT_OF_MEMORY, FailureKind.NO_DISK, FailureKind.TIMEOUT)
    vague = (FailureKind.SCRIPT_ERROR, FailureKind.UNKNOWN)
    return why is not None and why.kind in limits and said.fields.get("kind") in vague


def last_words(log: str) -> str:
    """The last line that says something, without control characters, at most 300 characters."""
    for line in reversed(log.splitlines()):
        clean = "".join(c for c in line if c.isprintable()).strip()
        if clean:
            return clean[:300]
    return "it said nothing."


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
