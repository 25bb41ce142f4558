"""From how a process ended to why."""

from __future__ import annotations

import pytest

from remote.backend import Need
from remote.protocol import FailureKind, JobEvent, JobEventType
from remote.sandbox import verdict
from remote.sandbox.verdict import Verdict

NEED = Need()
TRACE = "Traceback (most recent call last):\n  File …\n"


@pytest.mark.parametrize(
    ("code", "log", "kind"),
    [
        (-9, "", FailureKind.OUT_OF_MEMORY),
        (137, "", FailureKind.OUT_OF_MEMORY),
        (1, TRACE + "MemoryError", FailureKind.OUT_OF_MEMORY),
        (1, "RuntimeError: DefaultCPUAllocator: can't allocate memory: you tried", FailureKind.OUT_OF_MEMORY),
        (134, "terminate called after throwing an instance of 'std::bad_alloc'", FailureKind.OUT_OF_MEMORY),
        (1, TRACE + "OSError: [Errno 28] No space left on device", FailureKind.NO_DISK),
        (1, TRACE + "OSError: [Errno 27] File too large", FailureKind.NO_DISK),
        (153, "", FailureKind.NO_DISK),
        (152, "", FailureKind.TIMEOUT),
        (1, "bwrap: a job that pretends", FailureKind.SCRIPT_ERROR),
        (139, "", FailureKind.SCRIPT_ERROR),
        (2, "usage: x", FailureKind.SCRIPT_ERROR),
        (0, "all is well", FailureKind.SCRIPT_ERROR),
    ],
)
def test_kinds(code: int, log: str, kind: FailureKind) -> None:
    found = verdict.from_exit(code, log, NEED, has_result=False)
    assert found is not None
    assert found.kind is kind
    assert found.detail.isprintable()


@pytest.mark.parametrize("code", [-9, 137])
def test_a_kill_is_no_lack_of_memory_where_the_kernel_killed_nothing_for_that(code: int) -> None:
    found = verdict.from_exit(code, "", NEED, has_result=False, out_of_memory_seen=False)
    assert found is not None
    assert found.kind is FailureKind.PREEMPTED


@pytest.mark.parametrize(
    ("code", "log"),
    [(125, "launch: [Errno 1] Operation not permitted"), (1, "bwrap: setting up uid map: Permission denied")],
)
def test_a_sandbox_that_was_not_made(code: int, log: str) -> None:
    found = verdict.from_exit(code, log, NEED, has_result=False, sandbox_made=False)
    assert found is not None
    assert found.kind is FailureKind.NOT_ISOLATED
    assert log in found.detail


def test_a_good_end_has_no_verdict() -> None:
    assert verdict.from_exit(0, "MemoryError: caught and handled", NEED, has_result=True) is None


def test_last_words_are_one_clean_short_line() -> None:
    assert verdict.last_words("first\n\x1b[31mred\x1b[0m\n \n") == "[31mred[0m"
    assert len(verdict.last_words("x" * 10_000)) == 300
    assert verdict.last_words("\n\n") == "it said nothing."


@pytest.mark.parametrize(
    ("said", "why", "better"),
    [
        ("script_error", FailureKind.NO_DISK, True),
        ("script_error", FailureKind.SCRIPT_ERROR, False),
        ("nan_loss", FailureKind.OUT_OF_MEMORY, False),
    ],
)
def test_a_limit_explains_a_vague_failure_and_no_other(said: str, why: FailureKind, better: bool) -> None:
    event = JobEvent(0, "t", JobEventType.FAILED, "s", {"kind": said, "detail": "x"})
    assert verdict.knows_better(Verdict(why, "y"), event) is better
    assert not verdict.knows_better(None, event)
