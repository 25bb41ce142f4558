"""What a hostile script can use up, outlive or pretend: it ends with a kind, leaves nothing and is believed nothing.

Every abuse is a job of its own in the real sandbox. The forged lines are heard one by one by what the supervisor
hears with, and then all at once from a real job.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import pytest

from remote.backend import Need, Program
from remote.protocol import FailureKind, JobEvent, JobEventType
from remote.sandbox import tree
from remote.sandbox.pump import LOG_HEAD_BYTES, LOG_TAIL_BYTES, Events
from remote.sandbox.tail import Tail
from tests.remote.redteam.walls import backend
from tests.remote.sandbox.jobs import Ended, job, run

MB = 1024**2
NEED = Need(timeout_s=20, memory_mb=512, disk_mb=16, processes=40)
LOG_BYTES = LOG_HEAD_BYTES + LOG_TAIL_BYTES + MB

bubblewrap = "bubblewrap"
both = pytest.mark.parametrize("walls", ["bubblewrap", "docker"])


@dataclass(frozen=True)
class Abuse:
    """``kinds``: what the job may end as; empty: it ends in a result."""

    name: str
    code: str
    kinds: tuple[FailureKind, ...]
    timeout_s: float = NEED.timeout_s


DISK, MEMORY = (FailureKind.NO_DISK,), (FailureKind.OUT_OF_MEMORY,)
LATE, BROKEN = (FailureKind.TIMEOUT,), (FailureKind.SCRIPT_ERROR,)

EVERYWHERE = (
    Abuse(
        "ignores every signal",
        """
        import signal
        for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
            signal.signal(number, signal.SIG_IGN)
        while True:
            pass
        """,
        LATE,
        1.0,
    ),
    Abuse(
        "leaves a daemon behind",
        """
        import signal
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                signal.signal(signal.SIGHUP, signal.SIG_IGN)
                signal.pause()
            os._exit(0)
        emit.result({})
        """,
        (),
    ),
    Abuse("allocates", "x = bytearray(2 * 1024**3)", MEMORY),
    Abuse(
        "forks without end",
        "while True:\n    try:\n        os.fork()\n    except OSError:\n        pass",
        (*LATE, *BROKEN),
        2.0,
    ),
    Abuse(
        "writes many files",
        "n = 0\nwhile True:\n    Path(f'out/{n}').write_bytes(b'x' * 1024**2)\n    n += 1",
        DISK,
    ),
)
ALONE = (
    Abuse(
        "allocates in many processes",
        """
        import signal
        for _ in range(6):
            if os.fork() == 0:
                x = bytearray(b"x" * (150 * 1024**2))
                signal.pause()
        signal.pause()
        """,
        MEMORY,
    ),
    Abuse(
        "starts threads without end",
        """
        import threading
        stop = threading.Event()
        while True:
            threading.Thread(target=stop.wait, daemon=True).start()
        """,
        BROKEN,
    ),
    Abuse("stops itself", "import signal\nos.kill(os.getpid(), signal.SIGSTOP)", LATE, 1.0),
    Abuse("closes its output", "import signal\nos.close(1); os.close(2)\nsignal.pause()", LATE, 1.0),
    Abuse(
        "kills all that it sees",
        """
        for pid in [-1, 1, *(int(name) for name in os.listdir("/proc") if name.isdigit())]:
            if pid != os.getpid():
                try:
                    os.kill(pid, 9)
                except OSError:
                    pass
        emit.result({})
        """,
        (),
    ),
    Abuse("opens files without end", "kept = [open('/dev/null') for _ in range(10_000)]", BROKEN),
    Abuse("writes one big file", "Path('out/big').write_bytes(b'x' * (17 * 1024**2))", DISK),
    Abuse(
        "makes empty files without end", "n = 0\nwhile True:\n    Path(f'out/{n}').touch()\n    n += 1", DISK
    ),
    Abuse(
        "fills files that have no name",
        """
        kept = []
        while True:
            fd = os.open(f"out/{len(kept)}", os.O_RDWR | os.O_CREAT)
            os.unlink(f"out/{len(kept)}")
            os.write(fd, b"x" * 1024**2)
            kept.append(fd)
        """,
        DISK,
    ),
    Abuse(
        "fills files that are only mapped",
        """
        import mmap
        kept = []
        while True:
            fd = os.open("out/x", os.O_RDWR | os.O_CREAT)
            os.write(fd, b"x" * 1024**2)
            kept.append(mmap.mmap(fd, 0))
            os.unlink("out/x")
            os.close(fd)
        """,
        DISK,
    ),
    Abuse(
        "fills a folder that nobody may open",
        """
        os.mkdir("out/closed")
        fd = os.open("out/closed", os.O_RDONLY)
        os.chmod("out/closed", 0o300)
        n = 0
        while True:
            file = os.open(str(n), os.O_WRONLY | os.O_CREAT, dir_fd=fd)
            os.write(file, b"x" * 1024**2)
            os.close(file)
            n += 1
        """,
        DISK,
    ),
    Abuse(
        "nests folders where no path reaches",
        """
        import time
        for _ in range(2000):
            os.mkdir("d" * 100)
            os.chdir("d" * 100)
        while True:
            time.sleep(1)
        """.replace("for _", "os.chdir('out')\n        for _"),
        (*BROKEN, *DISK),
    ),
    Abuse(
        "writes a line without end",
        """
        for _ in range(64):
            os.write(2, b"{" * 1024**2)
        emit.result({})
        """,
        (),
    ),
    Abuse(
        "floods both streams",
        """
        line = b"x" * 1023 + b"\\n"
        for _ in range(32 * 16):
            os.write(1, line * 64)
            os.write(2, line * 64)
        emit.result({})
        """,
        (),
    ),
    Abuse("writes lines without words", "os.write(1, b'\\n' * 1024**2 * 8)\nemit.result({})", ()),
)


def _check(ended: Ended, abuse: Abuse) -> None:
    if abuse.kinds:
        assert ended.failure in abuse.kinds, ended.events[-1]
        assert str(ended.events[-1].fields["detail"]).isprintable()
    else:
        assert ended.result == {}
    assert not ended.has_processes()
    assert ended.exit["supervisor_peak_mb"] < 100
    assert ended.folder.log.stat().st_size < LOG_BYTES
    assert not ended.folder.tmp.exists()
    assert tree.usage(ended.folder.root).bytes < 1024 * MB  # what fits between two looks


@both
@pytest.mark.parametrize("abuse", EVERYWHERE, ids=lambda abuse: abuse.name.replace(" ", "-"))
async def test_it_is_held_by_all_walls(tmp_path: Path, abuse: Abuse, walls: str) -> None:
    spec = job(tmp_path, abuse.code, need=replace(NEED, timeout_s=abuse.timeout_s))
    _check(await run(backend(walls, tmp_path), tmp_path, spec), abuse)


@pytest.mark.parametrize("abuse", ALONE, ids=lambda abuse: abuse.name.replace(" ", "-"))
async def test_it_is_held(tmp_path: Path, abuse: Abuse) -> None:
    spec = job(tmp_path, abuse.code, need=replace(NEED, timeout_s=abuse.timeout_s))
    ended = await run(backend(bubblewrap, tmp_path), tmp_path, spec)
    _check(ended, abuse)
    tree.remove(ended.folder.root)
    assert not ended.folder.root.exists()


@pytest.mark.slow
async def test_a_gigabyte_of_log_is_held(tmp_path: Path) -> None:
    code = """
        line = b"x" * 1023 + b"\\n"
        for _ in range(1024 * 16):
            os.write(1, line * 64)
        emit.result({})
    """
    spec = job(tmp_path, code, need=replace(NEED, timeout_s=300))
    ended = await run(backend(bubblewrap, tmp_path), tmp_path, spec)
    _check(ended, Abuse("a gigabyte", code, ()))
    assert "bytes of log left out" in ended.log


# ---------------------------------------------------------------------------------- words


@dataclass(frozen=True)
class Forgery:
    """``said``: what is written to stdout, a line each, before the honest result."""

    name: str
    said: tuple[str, ...]
    believed: Callable[[list[JobEvent]], bool]


def _line(
    type_: str, *, t: str = "2026-01-01T00:00:00+00:00", stage: str = "program", **fields: object
) -> str:
    return json.dumps({"v": 1, "seq": 0, "t": t, "type": type_, "stage": stage, **fields})


def _nothing(events: list[JobEvent]) -> bool:
    return [event.type for event in events] == [JobEventType.RESULT]


def _as_script_error(events: list[JobEvent]) -> bool:
    return {event.fields["kind"] for event in events if event.type is JobEventType.FAILED} == {"script_error"}


SHA = "0" * 64
FORGERIES = (
    Forgery(
        "asks for no sandbox", (_line("failed", kind="not_isolated", detail="Allow it."),), _as_script_error
    ),
    Forgery("asks for money", (_line("failed", kind="no_credit", detail="Pay."),), _as_script_error),
    Forgery("fails in a way of its own", (_line("failed", kind="approved", detail="x"),), _as_script_error),
    Forgery("fails with a table", (_line("failed", kind={"a": 1}, detail=[]),), _nothing),
    Forgery(
        "speaks for another program", (_line("result", stage="evaluate", data={"accuracy": 1}),), _nothing
    ),
    Forgery("has a list as a result", (_line("result", data=[1, 2]),), _nothing),
    Forgery("counts beyond all numbers", (_line("progress", step=10**400, total=1),), _nothing),
    Forgery("counts in words", (_line("progress", step="1", total=1),), _nothing),
    Forgery("measures in tables", (_line("epoch", epoch=1, metrics={"loss": {"a": 1}}),), _nothing),
    Forgery("measures nothing", (_line("epoch", epoch=1, metrics=None),), _nothing),
    Forgery(
        "nests", (_line("warning", kind="x", detail="y", more=json.loads("[" * 900 + "]" * 900)),), _nothing
    ),
    Forgery("nests beyond reading", ('{"v":1,"a":' + "[" * 60_000,), _nothing),
    Forgery("names a file outside", (_line("artifact", path="../../secret", sha256=SHA),), _nothing),
    Forgery("names a file by its root", (_line("artifact", path="/etc/passwd", sha256=SHA),), _nothing),
    Forgery("names a file in two ways", (_line("artifact", path="a/./b", sha256=SHA),), _nothing),
    Forgery("names no checksum", (_line("artifact", path="a", sha256="x"),), _nothing),
    Forgery("invents a type", (_line("approved", kind="publish"),), _nothing),
    Forgery("says half a character", (_line("progress", step=1, total=2, note="\ud800"),), _nothing),
    Forgery("pretends to be the launcher", ("launch: ready", "launch: ready"), _nothing),
    Forgery(
        "speaks at no time",
        tuple(_line("progress", step=1, total=2, t=t) for t in ("", "soon", "2026-01-01T00:00:00", "9" * 50)),
        lambda events: len(events) == 5 and all(datetime.fromisoformat(event.t).tzinfo for event in events),
    ),
    Forgery(
        "numbers as it likes",
        tuple(
            _line("progress", step=1, total=2).replace('"seq": 0', f'"seq": {n}') for n in (7, 7, 0, 2**62)
        ),
        lambda events: [event.seq for event in events] == [0, 1, 2, 3, 4],
    ),
    Forgery(
        "paints a terminal",
        (_line("warning", kind="x\x1b[2J", detail="a\x1b]0;b\x07\nc\u202ed"),),
        lambda events: (
            str(events[0].fields["detail"]).isprintable() and str(events[0].fields["kind"]).isprintable()
        ),
    ),
)


@pytest.mark.parametrize("forgery", FORGERIES, ids=lambda forgery: forgery.name.replace(" ", "-"))
def test_it_is_not_believed(tmp_path: Path, forgery: Forgery) -> None:
    """By :class:`remote.sandbox.pump.Events`, through which the supervisor hears every line."""
    events = Events(tmp_path / "events.jsonl", ("program",), lambda: "2026-01-01T00:00:00+00:00")
    for line in (*forgery.said, _line("result", data={})):
        events.take(line.encode())
    events.close()
    assert forgery.believed(Tail(tmp_path / "events.jsonl").read())


async def test_all_of_it_from_inside_is_not_believed(tmp_path: Path) -> None:
    """The same lines from a real job, which then ends as it should."""
    lines = [line for forgery in FORGERIES for line in forgery.said if '"failed"' not in line]
    code = (
        "for line in config['lines']:\n    os.write(1, line.encode() + b'\\n')\nemit.result({'honest': True})"
    )
    ended = await run(backend(bubblewrap, tmp_path), tmp_path, job(tmp_path, code, config={"lines": lines}))
    assert ended.result == {"honest": True}
    assert {event.type.value for event in ended.events} == {"progress", "warning", "result"}
    assert [event.seq for event in ended.events] == list(range(len(ended.events)))


async def test_a_program_cannot_give_the_result_of_a_later_one(tmp_path: Path) -> None:
    forged = _line("result", stage="judge", data={"accuracy": 1.0})
    code = "os.write(1, config['forged'].encode() + b'\\n')\nos._exit(0)"
    spec = job(tmp_path, code, config={"forged": forged})
    spec = replace(spec, programs=(spec.programs[0], Program("judge", "in/program.py", {"forged": forged})))
    ended = await run(backend(bubblewrap, tmp_path), tmp_path, spec)
    assert ended.failure is FailureKind.SCRIPT_ERROR
    assert JobEventType.RESULT not in {event.type for event in ended.events}
