"""The supervisor: limits, floods, forged events, and who outlives whom. Real jobs; no torch."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from remote.backend import Need
from remote.protocol import MAX_LINE_BYTES, FailureKind, JobEventType
from remote.sandbox.pump import LOG_HEAD_BYTES, LOG_TAIL_BYTES
from tests.remote.sandbox.jobs import job, local, run

LOG_BYTES = LOG_HEAD_BYTES + LOG_TAIL_BYTES + 2 * MAX_LINE_BYTES

both = pytest.mark.parametrize("isolated", [True, False], ids=["bubblewrap", "none"])


@both
async def test_cannot_outlive_its_deadline(tmp_path: Path, isolated: bool) -> None:
    code = """
        import signal
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                signal.pause()
            os._exit(0)
        emit.progress(1, 2)
        while True:
            pass
    """
    need = Need(timeout_s=1, memory_mb=1024, disk_mb=64, processes=64)
    backend = local(tmp_path, isolated=isolated)
    ended = await run(backend, tmp_path, job(tmp_path, code, need=need))
    assert [event.type for event in ended.events[-2:]] == [JobEventType.PROGRESS, JobEventType.FAILED]
    assert ended.failure is FailureKind.TIMEOUT
    assert "1 s" in ended.events[-1].fields["detail"]
    assert not ended.has_processes()


@both
@pytest.mark.parametrize(
    "daemon",
    [
        pytest.param("signal.pause()", id="waiting"),
        # ends at once, but not before its child lives: never the same pid
        pytest.param("while os.fork() == 0 or os._exit(0): pass", id="running away"),
    ],
)
async def test_nothing_outlives_a_job_that_ends_well(tmp_path: Path, isolated: bool, daemon: str) -> None:
    code = f"""
        import signal
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        if os.fork() == 0:
            os.setsid()
            {daemon}
        emit.result({{}})
    """
    backend = local(tmp_path, isolated=isolated)
    ended = await run(backend, tmp_path, job(tmp_path, code))
    assert ended.result == {}
    assert not ended.has_processes()


@both
async def test_a_job_that_closes_its_output_is_still_held_to_its_deadline(
    tmp_path: Path, isolated: bool
) -> None:
    code = """
        import signal
        os.close(1); os.close(2)
        signal.pause()
    """
    need = Need(timeout_s=1, memory_mb=1024, disk_mb=64, processes=64)
    ended = await run(local(tmp_path, isolated=isolated), tmp_path, job(tmp_path, code, need=need))
    assert ended.failure is FailureKind.TIMEOUT
    assert not ended.has_processes()


@both
@pytest.mark.parametrize(
    "code",
    [
        pytest.param("x = bytearray(2 * 1024**3)", id="one allocation"),
        pytest.param("x = []\nwhile True:\n    x.append(bytearray(16 * 1024**2))", id="growing"),
        pytest.param(
            "import signal\n"
            "for _ in range(4):\n"
            "    if os.fork() == 0:\n"
            "        x = bytearray(b'x' * (200 * 1024**2))\n"
            "        signal.pause()\n"
            "signal.pause()",
            id="four processes",
        ),
    ],
)
async def test_too_much_memory_is_out_of_memory(tmp_path: Path, code: str, isolated: bool) -> None:
    need = Need(timeout_s=20, memory_mb=512, disk_mb=64, processes=64)
    ended = await run(local(tmp_path, isolated=isolated), tmp_path, job(tmp_path, code, need=need))
    assert ended.failure is FailureKind.OUT_OF_MEMORY
    assert not ended.has_processes()


async def test_a_flood_of_log_keeps_head_and_tail_in_bounded_memory(tmp_path: Path) -> None:
    code = """
        print("the first line")
        line = "x" * 1023 + "\\n"
        for _ in range(64 * 16):
            sys.stdout.write(line * 64)
        print("the last line", file=sys.stderr, flush=True)
        emit.result({})
    """
    ended = await run(local(tmp_path), tmp_path, job(tmp_path, code))
    assert ended.result == {}
    log = ended.log
    assert log.startswith("the first line\n")
    assert "bytes of log left out" in log
    assert "the last line" in log[-2 * LOG_TAIL_BYTES :]
    assert len(log) < LOG_BYTES
    assert ended.exit["supervisor_peak_mb"] < 64


async def test_an_endless_line_is_log_in_bounded_memory(tmp_path: Path) -> None:
    code = """
        for _ in range(64):
            sys.__stdout__.write("{" * 1024**2)
        sys.__stdout__.write("\\n")
        sys.__stdout__.flush()
        emit.result({"after": True})
    """
    ended = await run(local(tmp_path), tmp_path, job(tmp_path, code))
    assert ended.result == {"after": True}
    assert len(ended.log) < LOG_BYTES
    assert ended.exit["supervisor_peak_mb"] < 64


async def test_forged_events_are_log_or_renumbered(tmp_path: Path) -> None:
    code = r"""
        def raw(line):
            os.write(1, line + b"\n")
        emit.progress(1, 3)
        ok = b'{"v":1,"seq":%d,"t":"t","type":"progress","stage":"program","step":2}'
        for seq in (7, 7, 3, 0):
            raw(ok % seq)
        raw(ok % -1)                                                   # from here on: not events
        raw(ok.replace(b'"v":1', b'"v":2') % 1)
        raw(ok.replace(b"progress", b"approved") % 1)
        raw(ok.replace(b'"step":2', b'"step":"\xff"') % 1)
        raw(ok.replace(b'"step":2', b'"step":"' + b"x" * 70000 + b'"') % 1)
        raw(b"[" * 50000)
        raw(b'{"v":1,"seq":1')
        raw(b'{"v":1,"seq":' + b"9" * 5000 + b"}")
        emit.result({"done": True})
        os.write(1, b'{"v":1,"seq":99,"t":"t","type":"failed","stage":"program","kind":"x","detail":"torn"')
    """
    ended = await run(local(tmp_path), tmp_path, job(tmp_path, code))
    assert ended.result == {"done": True}
    assert [event.seq for event in ended.events] == list(range(len(ended.events)))
    assert [event.type for event in ended.events] == [JobEventType.PROGRESS] * 5 + [JobEventType.RESULT]
    assert "approved" in ended.log


@both
@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("raise ValueError('the columns do not match')", "the columns do not match"),
        ("print('so long', file=sys.stderr, flush=True)\nos._exit(3)", "exit code 3: so long"),
        ("emit.result({})\nos._exit(4)", "exit code 4"),
        ("os._exit(0)", "without a result"),
        ("os.write(2, b'bwrap: no sandbox\\n')\nos._exit(1)", "exit code 1: bwrap: no sandbox"),
        ("os.kill(os.getpid(), 11)", "SIGSEGV"),
    ],
)
async def test_a_job_that_breaks_ends_in_failed_with_why(
    tmp_path: Path, code: str, words: str, isolated: bool
) -> None:
    ended = await run(local(tmp_path, isolated=isolated), tmp_path, job(tmp_path, code))
    assert ended.failure is FailureKind.SCRIPT_ERROR
    assert words in ended.events[-1].fields["detail"]


async def test_the_outcome_is_the_last_event_whatever_follows_it(tmp_path: Path) -> None:
    code = """
        emit.result({"n": 1})
        emit.warning("late", "a word after the last one")
    """
    ended = await run(local(tmp_path), tmp_path, job(tmp_path, code))
    assert ended.result == {"n": 1}
    assert [event.type for event in ended.events] == [
        JobEventType.RESULT,
        JobEventType.WARNING,
        JobEventType.RESULT,
    ]


@both
async def test_a_job_dies_with_its_supervisor_and_is_not_run_again(tmp_path: Path, isolated: bool) -> None:
    code = """
        import signal
        emit.progress(1, 2)
        signal.pause()
    """
    backend = local(tmp_path, isolated=isolated)
    spec = job(tmp_path, code)
    ref = await backend.submit(spec)
    seen = []
    async for event in backend.events(ref):
        seen.append(event)
        if event.type is JobEventType.PROGRESS:
            pid = int((tmp_path / "jobs" / ref.id / "alive.lock").read_text())
            os.kill(pid, signal.SIGKILL)
    again = await backend.submit(spec)
    replay = [event async for event in backend.events(again)]
    assert replay == seen
    ended = await run(backend, tmp_path, spec)
    assert ended.failure is FailureKind.PREEMPTED
    assert [event.type for event in replay] == [JobEventType.PROGRESS, JobEventType.FAILED]
    assert not ended.has_processes()


ROOT = str(Path(__file__).resolve().parents[3])
BOT = """
import asyncio, os, signal, sys
from pathlib import Path
from remote.backend import Input, JobSpec, Need, Program
from remote.backends.local import LocalBackend

async def main(home, script, mode):
    find = {} if mode == "bubblewrap" else {"find_sandbox": lambda interpreter, home: None}
    backend = LocalBackend(home, **find)
    program = Program("program", "in/program.py", {"out": "x"})
    inputs = (Input("program.py", script),)
    need = Need(timeout_s=30, memory_mb=1024, disk_mb=64, processes=64)
    await backend.submit(JobSpec("job", "run", (program,), inputs, need, allow_unisolated=True))
    if "die" in sys.argv:
        os.kill(os.getpid(), signal.SIGKILL)
    print("submitted", flush=True)

asyncio.run(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3]))
"""


async def _bot(tmp_path: Path, *arguments: str) -> int:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        BOT,
        str(tmp_path),
        str(tmp_path / "job.py"),
        *arguments,
        env={**os.environ, "PYTHONPATH": ROOT},
        stdout=asyncio.subprocess.DEVNULL,
    )
    return await process.wait()


@both
async def test_a_job_survives_the_death_of_its_submitter(tmp_path: Path, isolated: bool) -> None:
    code = """
        import time
        emit.progress(1, 2)
        while not Path("out/go").exists():  # written by the test: the submitter is dead by then
            time.sleep(0.01)
        emit.result({"went": "on"})
    """
    backend = local(tmp_path, isolated=isolated)
    job(tmp_path, code)  # writes the script that the bot submits
    assert await _bot(tmp_path, "bubblewrap" if isolated else "none", "die") == -signal.SIGKILL
    (tmp_path / "jobs" / "job" / "out" / "go").touch()
    ended = await run(backend, tmp_path, job(tmp_path, code))
    assert ended.result == {"went": "on"}


@both
async def test_submitters_at_once_start_one_job(tmp_path: Path, isolated: bool) -> None:
    code = """
        Path("out", str(os.getpid())).touch()
        with open("out/starts", "a") as file:
            file.write("start\\n")
        emit.result({})
    """
    backend = local(tmp_path, isolated=isolated)
    spec = job(tmp_path, code)
    mode = "bubblewrap" if isolated else "none"
    codes = await asyncio.gather(*(_bot(tmp_path, mode) for _ in range(4)))
    ended = await run(backend, tmp_path, spec)
    assert codes == [0, 0, 0, 0]
    assert (ended.folder.out / "starts").read_text() == "start\n"
    assert [event.type for event in ended.events] == [JobEventType.RESULT]
