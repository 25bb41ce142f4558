"""``python -m remote.sandbox.supervisor JOBDIR LOCK_FD``: owns one job from its start to its end.

A small detached process between whoever submitted the job and the job, so that the job outlives a
bot that is restarted or killed. It starts the job shut in, writes what the job says to files, holds it to
its limits and records how it ended. It is single-threaded: bubblewrap's ``--die-with-parent`` follows the
thread that forked, and so the job dies when the supervisor does. It inherits the flock that says "alive"
(``LOCK_FD``) and never lets go of it. Standard library only; it starts in some 40 ms.
"""

from __future__ import annotations

import errno
import json
import os
import resource
import selectors
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from remote.protocol import FailureKind, JobEventType
from remote.sandbox import machine, tree, verdict, watch
from remote.sandbox.box import Box, isolation, own_uid, shut_in
from remote.sandbox.folder import JobFolder, SandboxSpec, write_atomic
from remote.sandbox.launch import READY
from remote.sandbox.pump import Events, Lines, Log
from remote.sandbox.verdict import Verdict

_TICK_S = 0.05
_READ_BYTES = 1024**2
_DRAIN_S = 2.0
_FREE_DISK_BYTES = 64 * 1024**2  # below this the machine itself is in danger
_FREE_MEMORY_MB = 64  # below this the kernel is about to kill somebody: let it be the job


class Supervisor:
    def __init__(self, folder: JobFolder, spec: SandboxSpec) -> None:
        self.folder = folder
        self.spec = spec
        self.log = Log(folder.log)
        self.events = Events(folder.events, spec.programs, _now)
        self.started_s = time.monotonic()
        self.stopped: Verdict | None = None
        self.box = Box(folder, spec)
        self.made = False  # the launcher got as far as starting the job
        self._first_line = True
        self._due = {"cancel": 0.0, "memory": 0.0, "disk": 0.0}
        self.peak_memory_bytes = 0
        self.oom_kills = machine.oom_kills()

    def run(self) -> None:
        code: int | None = None
        try:
            code = self._supervise()
        except (OSError, ValueError) as error:
            self.box.kill()
            self.stopped = self.stopped or _machine_failed(error, self.spec)
            tree.remove(self.folder.tmp)  # room for the last words on a full disk
        self._finish(code)

    def _supervise(self) -> int:
        process = self.box.start()
        out, err = process.stdout, process.stderr
        if out is None or err is None:
            raise OSError("the job has no pipes")
        with selectors.DefaultSelector() as selector:
            for stream, speaks in ((out, True), (err, False)):
                os.set_blocking(stream.fileno(), False)
                selector.register(stream, selectors.EVENT_READ, (Lines(), speaks))
            while process.poll() is None:
                if selector.get_map():
                    self._read(selector, _TICK_S)
                else:  # it closed its output and goes on
                    _wait(process, _TICK_S)
                self._look()
            self._drain(selector)
        self.box.wait_for_all()
        return process.returncode

    def _read(self, selector: selectors.BaseSelector, timeout_s: float) -> int:
        """One round over the streams that have something; the number of bytes."""
        total = 0
        for key, _ in selector.select(timeout_s):
            stream: BinaryIO = key.fileobj  # type: ignore[assignment]
            lines, speaks = key.data
            data = os.read(stream.fileno(), _READ_BYTES)
            total += len(data)
            if data and speaks and (self._first_line or lines.holds_event(data)):
                self._take(lines.feed(data), speaks)
            elif data:
                self._take(lines.pass_on(data), speaks)
            else:
                self._take(lines.end(), speaks)
                selector.unregister(stream)
        self.events.flush()
        return total

    def _take(self, lines: Iterator[tuple[bytes, bool]], speaks: bool) -> None:
        log: list[bytes] = []
        for line, whole in lines:
            if speaks and self._is_ready(line):
                continue
            if speaks and whole and line.startswith(b"{") and self.events.take(line):
                continue
            log.append(line)
            self.log.remember(line)
        if log:
            self.log.write(b"\n".join(log) + b"\n")

    def _is_ready(self, line: bytes) -> bool:
        """The launcher's word, which only the first line can be."""
        first, self._first_line = self._first_line, False
        self.made = self.made or (first and line == READY.encode())
        return first and self.made

    def _drain(self, selector: selectors.BaseSelector) -> None:
        """What is still in the pipes. A stray process may hold them open for ever, hence a bound."""
        self.box.kill()
        until = time.monotonic() + _DRAIN_S
        while selector.get_map() and time.monotonic() < until:
            self._read(selector, _TICK_S)

    def _look(self) -> None:
        """Hold the job to what it was given."""
        if self.stopped is not None:
            return
        now, need = time.monotonic(), self.spec.need
        if now - self.started_s > need.timeout_s:
            self._stop(verdict.timed_out(need))
        elif self._is_due("cancel", now, 0.1) and self.folder.cancel.exists():
            self._stop(verdict.cancelled())
        elif self._is_due("memory", now, 0.25):
            self._look_at_processes(_descendants())
        elif self._is_due("disk", now, 0.5):
            self._look_at_disk(now, _descendants())

    def _is_due(self, name: str, now: float, every_s: float) -> bool:
        if now < self._due[name]:
            return False
        self._due[name] = now + every_s
        return True

    def _look_at_processes(self, pids: Sequence[int]) -> None:
        need = self.spec.need
        used = watch.memory_bytes(pids, min(self.peak_memory_bytes, need.memory_mb * 1024**2))
        self.peak_memory_bytes = max(self.peak_memory_bytes, used)
        free_mb = machine.free_memory_mb()
        if used > need.memory_mb * 1024**2 or (free_mb is not None and free_mb < _FREE_MEMORY_MB):
            self._stop(verdict.out_of_memory(need))
        elif watch.tasks(pids) > need.processes + 16:  # + the walls' own; a second fence behind RLIMIT_NPROC
            self._stop(verdict.too_many_processes(need))
        elif shutil.disk_usage(self.folder.root).free < _FREE_DISK_BYTES:
            self._stop(verdict.no_disk(need))

    def _look_at_disk(self, now: float, pids: Sequence[int]) -> None:
        need = self.spec.need
        used = tree.usage(self.folder.out, self.folder.tmp)
        hidden = watch.removed_files_bytes(pids, self.folder.root.stat().st_dev)
        self._due["disk"] += 10 * (time.monotonic() - now)  # many files: look less often
        if used.too_deep:
            self._stop(verdict.too_deep())
        elif used.bytes + hidden > need.disk_mb * 1024**2:
            self._stop(verdict.no_disk(need))

    def _stop(self, why: Verdict) -> None:
        self.stopped = why
        self.box.kill()

    def _finish(self, code: int | None) -> None:
        events, spec = self.events, self.spec
        why = self.stopped
        if why is None and code is not None:
            words, has_result = self.log.last_lines(), events.result is not None
            now = machine.oom_kills()
            why = verdict.from_exit(
                code,
                words,
                spec.need,
                has_result=has_result,
                sandbox_made=self.made,
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
        tree.remove(self.folder.tmp)
        self.log.close()
        events.close()
        write_atomic(self.folder.exit, json.dumps(self._record(code, why), indent=1))

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


def _descendants() -> list[int]:
    """The job's processes as this machine numbers them; what it orphaned without walls came to us."""
    return [pid for pid in watch.tree(os.getpid()) if pid != os.getpid()]


def _machine_failed(error: Exception, spec: SandboxSpec) -> Verdict:
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return verdict.no_disk(spec.need)
    detail = f"The job could not be started or watched on this machine: {getattr(error, 'strerror', None) or error}."
    return Verdict(FailureKind.UNKNOWN, detail)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def attempt(folder: JobFolder) -> int:
    """Start the interpreter in the sandbox of ``spec.json`` and nothing else; its exit code."""
    spec = SandboxSpec.decode(folder.spec.read_text("utf-8"))
    uid = own_uid(spec)
    if uid is not None:
        for path in (folder.out, folder.tmp):
            os.chown(path, uid, uid)
    argv = [spec.python, "-I", "-c", "import json, hashlib; open('out/it', 'x'); open('/tmp/it', 'x')"]
    try:
        box = isolation(spec, folder.root, uid)
        command = shut_in(spec, box, folder.root, argv)
    except (OSError, ValueError):
        return 1
    stdin = subprocess.PIPE if command.stdin else subprocess.DEVNULL
    with subprocess.Popen(command.argv, env=dict(command.env), stdin=stdin, pass_fds=command.pass_fds) as run:
        code = run.wait()
    box.end()
    return code


def main(argv: Sequence[str]) -> int:
    if argv[0] == "--try":
        return attempt(JobFolder(Path(argv[1])))
    folder, lock_fd = JobFolder(Path(argv[0])), int(argv[1])
    if os.fork() > 0:  # the submitter waits for this one only; init adopts the other
        return 0
    os.set_inheritable(lock_fd, False)
    os.pwrite(lock_fd, f"{os.getpid()}\n".encode(), 0)  # for people: which process it is
    spec = SandboxSpec.decode(folder.spec.read_text("utf-8"))
    Supervisor(folder, spec).run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
