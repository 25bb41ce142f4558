"""``python -m remote.sandbox.supervisor JOBDIR LOCK_FD``: owns one job from its start to its end.

A small detached process between whoever submitted the job and the job, so that the job outlives a
bot that is restarted or killed. It starts the job shut in, writes what the job says to files, holds it to
its limits and records how it ended. It is single-threaded: bubblewrap's ``--die-with-parent`` follows the
thread that forked, and so the job dies when the supervisor does. It inherits the flock that says "alive"
(``LOCK_FD``) and never lets go of it. Standard library only; it starts in some 40 ms.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import resource
import select
import selectors
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from remote.protocol import FailureKind, JobEventType
from remote.sandbox import machine, userns, verdict, watch
from remote.sandbox.folder import JobFolder, SandboxSpec, remove, write_atomic
from remote.sandbox.isolation import CODE, INNER_ID, Bubblewrap, Isolation, Unisolated, limits
from remote.sandbox.pump import Events, Lines, Log
from remote.sandbox.verdict import Verdict

_TICK_S = 0.05
_READ_BYTES = 1024**2
_DRAIN_S = 2.0
_FREE_DISK_BYTES = 64 * 1024**2  # below this the machine itself is in danger
_PR_SET_CHILD_SUBREAPER = 36


def isolation(spec: SandboxSpec, uid: int | None, info_fd: int | None = None) -> Isolation:
    """``uid`` is the job's own uid on this machine when root starts it, else ``None``. Raises OSError."""
    if spec.isolation == "none" or spec.bwrap is None:
        return Unisolated()
    return Bubblewrap(spec.bwrap, None if uid is None else userns.make(uid), info_fd)


def shut_in(spec: SandboxSpec, box: Isolation, root: Path, argv: Sequence[str], ready_fd: int) -> list[str]:
    """The whole command line: isolation around launcher around ``argv``."""
    package_root = Path(__file__).resolve().parents[2]
    shut = isinstance(box, Bubblewrap)
    drops_uid = isinstance(box, Bubblewrap) and box.userns_fd is not None
    settings = {
        "limits": limits(spec.need, gpu=spec.need.gpu is not None, own_tasks=_own_tasks(shut)),
        "uid": INNER_ID if drops_uid else None,
        "parent": None if shut else os.getpid(),
        "ready": ready_fd,
    }
    launcher = (CODE if shut else package_root) / "remote" / "sandbox" / "launch.py"
    inner = [spec.python, "-I", "-S", str(launcher), json.dumps(settings), *argv]
    return box.command(inner, root, spec.need, spec.binds)


def _own_tasks(shut: bool) -> int:
    """Since Linux 5.14 each user namespace counts its own processes; before, and without one, all of the
    user's."""
    release = tuple(int(part) for part in os.uname().release.split("-")[0].split(".")[:2] if part.isdigit())
    return 0 if shut and release >= (5, 14) else watch.user_tasks(os.getuid())


class Supervisor:
    def __init__(self, folder: JobFolder, spec: SandboxSpec) -> None:
        self.folder = folder
        self.spec = spec
        self.log = Log(folder.log)
        self.events = Events(folder.events, spec.programs[-1], _now)
        self.started_s = time.monotonic()
        self.stopped: Verdict | None = None
        self.process: subprocess.Popen[bytes] | None = None
        self._due = {"cancel": 0.0, "memory": 0.0, "disk": 0.0}
        self.ready_fd: int | None = None  # see remote.sandbox.launch
        self.init_fd: int | None = None  # pidfd of the first process in the job's pid name space
        self.peak_memory_bytes = 0
        self.oom_kills = machine.oom_kills()

    def run(self) -> None:
        code: int | None = None
        try:
            code = self._supervise()
        except OSError as error:
            self._kill()
            self.stopped = self.stopped or _machine_failed(error, self.spec)
            remove(self.folder.tmp)  # room for the last words on a full disk
        self._finish(code)

    def _supervise(self) -> int:
        self.process = self._start()
        out, err = self.process.stdout, self.process.stderr
        if out is None or err is None:
            raise OSError("the job has no pipes")
        with selectors.DefaultSelector() as selector:
            for stream, speaks in ((out, True), (err, False)):
                os.set_blocking(stream.fileno(), False)
                selector.register(stream, selectors.EVENT_READ, (Lines(), speaks))
            while self.process.poll() is None:
                if selector.get_map():
                    self._read(selector, _TICK_S)
                else:  # it closed its output and goes on
                    _wait(self.process, _TICK_S)
                self._look()
            self._drain(selector)
        self._wait_for_all()
        return self.process.returncode

    def _wait_for_all(self) -> None:
        """bubblewrap may end before the processes in its name space have; nothing of them shall come after
        ``exit.json``. The kernel ends the name space's first process last."""
        if self.init_fd is not None:
            select.select([self.init_fd], [], [], _DRAIN_S)

    def _start(self) -> subprocess.Popen[bytes]:
        uid = userns.outer_uid(self.spec.key) if self.spec.isolation != "none" and userns.needed() else None
        info, info_end = os.pipe()
        box = isolation(self.spec, uid, info_end)
        if uid is not None:
            for path in (self.folder.out, self.folder.tmp):
                os.chown(path, uid, uid)
        argv = [self.spec.python, "-m", "remote.jobs"]
        self.ready_fd, ready_end = os.pipe()
        process = subprocess.Popen(
            shut_in(self.spec, box, self.folder.root, argv, ready_end),
            cwd=self.folder.root,
            env=dict(self.spec.env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
            pass_fds=(*box.pass_fds, ready_end),
        )
        os.close(info_end)
        os.close(ready_end)
        os.set_blocking(self.ready_fd, False)
        with os.fdopen(info, "rb") as answer:
            self.init_fd = _init_of(answer.read())
        return process

    def _read(self, selector: selectors.BaseSelector, timeout_s: float) -> int:
        """One round over the streams that have something; the number of bytes."""
        total = 0
        for key, _ in selector.select(timeout_s):
            stream: BinaryIO = key.fileobj  # type: ignore[assignment]
            lines, speaks = key.data
            data = os.read(stream.fileno(), _READ_BYTES)
            total += len(data)
            if data:
                self._take(lines.feed(data), speaks)
            else:
                self._take(lines.end(), speaks)
                selector.unregister(stream)
        self.events.flush()
        return total

    def _take(self, lines: Iterator[tuple[bytes, bool]], speaks: bool) -> None:
        log: list[bytes] = []
        for line, whole in lines:
            if speaks and whole and line.startswith(b"{") and self.events.take(line):
                continue
            log.append(line)
            self.log.remember(line)
        if log:
            self.log.write(b"\n".join(log) + b"\n")

    def _drain(self, selector: selectors.BaseSelector) -> None:
        """What is still in the pipes. A stray process may hold them open for ever, hence a bound."""
        self._kill()
        until = time.monotonic() + _DRAIN_S
        while selector.get_map() and time.monotonic() < until:
            self._read(selector, _TICK_S)

    def _look(self) -> None:
        """Hold the job to what it was given."""
        if self.stopped is not None or self.process is None:
            return
        now, need = time.monotonic(), self.spec.need
        if now - self.started_s > need.timeout_s:
            self._stop(verdict.timed_out(need))
        elif self._is_due("cancel", now, 0.1) and self.folder.cancel.exists():
            self._stop(verdict.cancelled())
        elif self._is_due("memory", now, 0.25):
            self._look_at_processes()
        elif self._is_due("disk", now, 0.5):
            self._look_at_disk(now)

    def _is_due(self, name: str, now: float, every_s: float) -> bool:
        if now < self._due[name]:
            return False
        self._due[name] = now + every_s
        return True

    def _look_at_processes(self) -> None:
        need = self.spec.need
        pids = watch.tree(self.process.pid) if self.process else []
        used = watch.memory_bytes(pids, min(self.peak_memory_bytes, need.memory_mb * 1024**2))
        self.peak_memory_bytes = max(self.peak_memory_bytes, used)
        if used > need.memory_mb * 1024**2:
            self._stop(verdict.out_of_memory(need))
        elif (
            watch.tasks(pids) > need.processes + 16
        ):  # + bubblewrap's own; a second fence behind RLIMIT_NPROC
            self._stop(verdict.too_many_processes(need))

    def _look_at_disk(self, now: float) -> None:
        need = self.spec.need
        used = watch.folder_bytes(self.folder.out, self.folder.tmp)
        self._due["disk"] += 10 * (time.monotonic() - now)  # many files: look less often
        if used > need.disk_mb * 1024**2 or shutil.disk_usage(self.folder.root).free < _FREE_DISK_BYTES:
            self._stop(verdict.no_disk(need))

    def _stop(self, why: Verdict) -> None:
        self.stopped = why
        self._kill()

    def _kill(self) -> None:
        """The whole tree. With bubblewrap its first process is enough: the name space dies with it."""
        if self.process is None:
            return
        if self.process.returncode is None:
            _signal_group(self.process.pid)
        if self.spec.isolation == "none":
            for _ in range(50):  # children that were orphaned come to us: we are their subreaper
                strays = [pid for pid in watch.tree(os.getpid()) if pid != os.getpid()]
                strays = [pid for pid in strays if pid != self.process.pid]
                if not strays:
                    break
                for pid in strays:
                    _signal_one(pid)
                _reap(strays)

    def _finish(self, code: int | None) -> None:
        events, spec = self.events, self.spec
        why = self.stopped
        if why is None and code is not None:
            words, has_result = self.log.last_lines(), events.result is not None
            made = self._sandbox_was_made()
            now = machine.oom_kills()
            why = verdict.from_exit(
                code,
                words,
                spec.need,
                has_result=has_result,
                sandbox_made=made,
                out_of_memory_seen=now is None or now != self.oom_kills,
            )
            if events.failed is not None and not verdict.knows_better(why, events.failed):
                why = None
        stage = events.last.stage if events.last is not None else spec.programs[0]
        if events.dropped:
            detail = f"{events.dropped} events beyond the limit were left out."
            events.add(JobEventType.WARNING, stage, {"kind": "events_dropped", "detail": detail})
        if why is not None:
            events.add(JobEventType.FAILED, stage, {"kind": why.kind.value, "detail": why.detail})
        else:
            self._end_with_outcome()
        remove(self.folder.tmp)
        self.log.close()
        events.close()
        write_atomic(self.folder.exit, json.dumps(self._record(code, why), indent=1))

    def _sandbox_was_made(self) -> bool:
        try:
            return self.ready_fd is not None and os.read(self.ready_fd, 1) == b"1"
        except BlockingIOError:
            return False

    def _end_with_outcome(self) -> None:
        """Readers rely on the last event being the outcome, so one that something followed is said again."""
        outcome = self.events.failed or self.events.result
        if outcome is not None and self.events.last is not outcome:
            self.events.add(outcome.type, outcome.stage, outcome.fields)

    def _record(self, code: int | None, why: Verdict | None) -> Mapping[str, object]:
        failed = self.events.failed
        kind = why.kind.value if why else failed.fields.get("kind") if failed else None
        return {
            "exit_code": code,
            "failure": kind,
            "ended_at": _now(),
            "seconds": round(time.monotonic() - self.started_s, 3),
            "peak_memory_mb": self.peak_memory_bytes // 1024**2,  # sampled: short peaks are missed
            "supervisor_peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
            "isolation": self.spec.isolation,
        }


def _wait(process: subprocess.Popen[bytes], timeout_s: float) -> None:
    try:
        process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        return


def _init_of(info: bytes) -> int | None:
    """What bubblewrap wrote to its ``--info-fd``, as a pidfd; ``None`` when it failed or is already gone."""
    try:
        return os.pidfd_open(int(json.loads(info)["child-pid"]))
    except (ValueError, KeyError, OSError):
        return None


def _machine_failed(error: OSError, spec: SandboxSpec) -> Verdict:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return verdict.no_disk(spec.need)
    detail = f"The job could not be started or watched on this machine: {error.strerror or error}."
    return Verdict(FailureKind.UNKNOWN, detail)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _signal_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _signal_one(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _reap(pids: Sequence[int]) -> None:
    for pid in pids:
        try:
            os.waitpid(pid, 0)
        except ChildProcessError:  # its own parent reaps it
            continue


def attempt(folder: JobFolder) -> int:
    """Start the interpreter in the sandbox of ``spec.json`` and nothing else; its exit code."""
    spec = SandboxSpec.decode(folder.spec.read_text("utf-8"))
    uid = userns.outer_uid(spec.key) if userns.needed() else None
    try:
        box = isolation(spec, uid)
    except OSError:
        return 1
    argv = [spec.python, "-I", "-c", "import json, hashlib"]
    _, ready_end = os.pipe()
    command = shut_in(spec, box, folder.root, argv, ready_end)
    return subprocess.run(command, env={}, pass_fds=(*box.pass_fds, ready_end), check=False).returncode


def main(argv: Sequence[str]) -> int:
    if argv[0] == "--try":
        return attempt(JobFolder(Path(argv[1])))
    folder, lock_fd = JobFolder(Path(argv[0])), int(argv[1])
    if os.fork() > 0:  # the submitter waits for this one only; init adopts the other
        return 0
    os.set_inheritable(lock_fd, False)
    os.pwrite(lock_fd, f"{os.getpid()}\n".encode(), 0)  # for people: which process it is
    spec = SandboxSpec.decode(folder.spec.read_text("utf-8"))
    if spec.isolation == "none":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    Supervisor(folder, spec).run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
