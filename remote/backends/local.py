"""This machine as a backend: every job in its own folder below ``<home>/jobs`` and in its own sandbox.

The backend holds no state: a job is its folder (:mod:`remote.sandbox.folder`), so any process can
submit, follow, cancel or fetch any job, and a restarted bot finds everything as it was. A detached
supervisor owns each job (:mod:`remote.sandbox.supervisor`); following a job is reading its ``events.jsonl``
as it grows.

A job that was killed together with its supervisor (power cut, ``kill -9``) is not started again by itself:
its events end in ``failed`` (``preempted``), and whoever asked decides whether to go on under a new key.
"""

from __future__ import annotations

import asyncio
import errno
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path

from remote.backend import BackendError, Health, JobNotFound, JobRef, JobSpec, Need, Offer, Reason
from remote.protocol import FailureKind, JobEvent, JobEventType
from remote.sandbox import artifacts, inputs, machine, tail, tree, userns, verdict
from remote.sandbox.folder import KEY, JobFolder, SandboxSpec, job_json, write_atomic
from remote.sandbox.interpreter import Interpreter, package_root
from remote.sandbox.isolation import CODE, Walls
from remote.sandbox.probe import HINT, find

_POLL_S = 0.015  # an event is at most this late, and half of it on average
_POLL_IDLE_S = 0.05
_IDLE_AFTER_S = 30.0
_CANCEL_WAIT_S = 10.0
_START_WAIT_S = 30.0
_HEAVY = ("torch", "transformers", "sklearn", "pandas")


def _utc_now() -> datetime:
    return datetime.now(UTC)


class LocalBackend:
    """``home`` is ``INTERN_HOME``; ``python`` runs the jobs (a virtual environment's ``bin/python``)."""

    name = "local"

    def __init__(
        self,
        home: Path,
        *,
        python: Path | None = None,
        clock: Callable[[], datetime] = _utc_now,
        find_sandbox: Callable[[Interpreter, Path], Walls | None] = find,
    ) -> None:
        self._home = home.absolute()
        self._interpreter = Interpreter(python if python is not None else Path(sys.executable))
        self._clock = clock
        self._find_sandbox = find_sandbox
        self._found: Walls | None = None  # once found they stay: they were tried by running them

    async def probe(self) -> Health:
        """Never raises; at most 4 s for the trial sandbox, the rest is a few file look-ups."""
        isolation = await asyncio.to_thread(self._isolation)
        try:
            self._home.mkdir(parents=True, exist_ok=True)
            free_mb = shutil.disk_usage(self._home).free // 1024**2
        except OSError as error:
            detail = f"The folder {str(self._home)!r} cannot be used: {error.strerror}."
            return Health(
                False, Reason.DENIED, detail, "Set INTERN_HOME to a folder that you may write.", isolation
            )
        missing = self._missing_libraries()
        if missing:
            detail = f"The training libraries are not installed here ({', '.join(missing)})."
            hint = 'Install them: pip install "ml-intern-for-teams[train]".'
            return Health(False, Reason.NO_SDK, detail, hint, isolation)
        if free_mb < 1024:
            detail = f"Only {free_mb} MB of disk are free at {str(self._home)!r}."
            return Health(False, Reason.NO_CAPACITY, detail, "Free at least 1 GB.", isolation)
        if isolation == "none":
            detail = "No sandbox works on this machine: neither bubblewrap nor Docker can start a program."
            return Health(False, Reason.NOT_ISOLATED, detail, HINT, isolation)
        return Health(True, detail=machine.describe(), isolation=isolation)

    async def offers(self, need: Need, estimated_s: float) -> list[Offer]:
        """One offer, this machine, at no cost; none when a GPU is asked for and there is none.

        Memory, disk and processes of ``need`` are upper bounds that the sandbox enforces, so they exclude
        nothing.
        """
        if need.gpu is not None:
            names = await asyncio.to_thread(machine.gpus)
            if not any(need.gpu.lower() in name.lower() for name in names):
                return []
        hardware = await asyncio.to_thread(machine.describe)
        as_of = self._clock().date().isoformat()
        isolation = await asyncio.to_thread(self._isolation)
        return [Offer(self.name, hardware, 0.0, estimated_s, 0.0, "own machine", as_of, isolation)]

    async def submit(self, job: JobSpec) -> JobRef:
        """Errors: ``data_error`` (bad key, chain or input), ``not_isolated``, ``no_disk``, ``unknown``."""
        if not KEY.fullmatch(job.key) or not job.programs:
            detail = f"The job {job.key!r} has no valid key or no program."
            raise BackendError(
                FailureKind.DATA_ERROR, detail, "Use letters, digits, '-', '_' and '.' for a key."
            )
        await asyncio.to_thread(self._submit, job)
        return JobRef(self.name, job.key)

    async def events(self, ref: JobRef, after: int = -1) -> AsyncIterator[JobEvent]:
        folder = self._folder(ref)
        reader = tail.Tail(folder.events)
        last: JobEvent | None = None
        idle_s = 0.0
        while True:
            over = folder.exit.exists() or not folder.alive()  # asked before reading: nothing comes after it
            fresh = reader.read()
            for event in fresh:
                last = event
                if event.seq > after:
                    yield event
            if fresh:
                idle_s = 0.0
            elif over:
                break
            poll_s = 0.0 if fresh else _POLL_S if idle_s < _IDLE_AFTER_S else _POLL_IDLE_S
            idle_s += poll_s
            await asyncio.sleep(poll_s)
        if folder.ended() is None:
            yield _lost(folder, last)

    async def cancel(self, ref: JobRef) -> None:
        """The job's events then end in ``failed`` (``preempted``). Returns when it has stopped."""
        folder = self._folder(ref)
        if folder.exit.exists() or not folder.alive():
            return
        write_atomic(folder.cancel, f'{{"at": "{self._clock().isoformat()}"}}')
        waited_s = 0.0
        while not folder.exit.exists() and folder.alive():
            if waited_s > _CANCEL_WAIT_S:
                detail = f"The job {ref.id!r} did not stop within {_CANCEL_WAIT_S:g} s."
                raise BackendError(FailureKind.UNKNOWN, detail, "Try again, or end its supervisor by hand.")
            await asyncio.sleep(_POLL_S)
            waited_s += _POLL_S

    async def fetch(self, ref: JobRef, into: Path) -> None:
        """sha256 is enforced for a job that ended in a result; what a failed one left (a checkpoint that
        was being replaced when it was killed) is taken as it is."""
        await asyncio.to_thread(self._fetch, self._folder(ref), into)

    async def forget(self, ref: JobRef) -> None:
        """Its folder goes at once, in one rename; the key may then be used again."""
        try:
            folder = self._folder(ref)
        except JobNotFound:
            return
        if folder.exit.exists() or not folder.alive():
            await asyncio.to_thread(_remove, folder)

    def _folder(self, ref: JobRef) -> JobFolder:
        folder = JobFolder(self._home / "jobs" / ref.id)
        if ref.backend != self.name or not KEY.fullmatch(ref.id) or not folder.spec.exists():
            detail = f"There is no job {ref.id!r} on this machine."
            raise JobNotFound(FailureKind.UNKNOWN, detail, "It may have been removed: start the step again.")
        return folder

    def _walls(self) -> Walls | None:
        if self._found is None:
            self._found = self._find_sandbox(self._interpreter, self._home)
        return self._found

    def _isolation(self) -> str:
        walls = self._walls()
        return "none" if walls is None else walls.kind

    def _missing_libraries(self) -> list[str]:
        if self._interpreter.python.absolute() == Path(sys.executable).absolute():
            return [name for name in _HEAVY if importlib.util.find_spec(name) is None]
        sites = list(self._interpreter.prefix.glob("lib/python3*/site-packages"))
        return [name for name in _HEAVY if not any((site / name).is_dir() for site in sites)]

    def _submit(self, job: JobSpec) -> None:
        folder = JobFolder(self._home / "jobs" / job.key)
        if folder.spec.exists():
            return
        walls = self._walls()
        if walls is None and not job.allow_unisolated:
            detail = "No sandbox works on this machine, so nothing was started."
            raise BackendError(FailureKind.NOT_ISOLATED, detail, HINT)
        try:
            folder.root.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.root.mkdir(exist_ok=True)
            with folder.submitting():
                if not folder.spec.exists():
                    self._prepare(job, folder, walls)
        except OSError as error:
            detail = f"The job's folder {str(folder.root)!r} could not be written: {error.strerror}."
            hint = "Free some disk space, or set INTERN_HOME to a folder that you may write."
            raise BackendError(_kind(error), detail, hint) from error
        except subprocess.TimeoutExpired as error:
            detail = f"The job's supervisor did not start within {_START_WAIT_S:g} s."
            raise BackendError(
                FailureKind.UNKNOWN, detail, "This machine is overloaded: try again."
            ) from error

    def _prepare(self, job: JobSpec, folder: JobFolder, walls: Walls | None) -> None:
        for path in (folder.inputs, folder.out, folder.tmp):
            tree.remove(path)  # of a submitter that was killed half-way
            path.mkdir()
        folder.root.chmod(0o755)  # for the job's uid; the folder above is closed to others
        isolated = walls is not None
        other_uid = isolated and userns.needed()
        binds = inputs.place(job.inputs, folder.inputs, isolated=isolated, other_uid=other_uid)
        write_atomic(folder.job, _chain(job))
        folder.job.chmod(0o644)
        spec = SandboxSpec(
            key=job.key,
            run_id=job.run_id,
            programs=tuple(program.name for program in job.programs),
            need=job.need,
            python=str(self._interpreter.python.absolute()),
            walls=walls,
            binds=(*binds, *self._interpreter.binds(self._home)) if isolated else (),
            env=self._environment(folder, job.need, isolated=isolated),
        )
        lock_fd = folder.hold()
        try:
            write_atomic(folder.spec, spec.encode())  # from here on the job counts as submitted
            self._start_supervisor(folder, lock_fd)
        finally:
            os.close(lock_fd)

    def _environment(self, folder: JobFolder, need: Need, *, isolated: bool) -> dict[str, str]:
        """All of the job's environment: nothing of the caller's gets in."""
        tmp = "/tmp" if isolated else str(folder.tmp)  # noqa: S108 - the sandbox's own
        threads = str(need.cpus or machine.cpus())
        code = [str(CODE if isolated else package_root()), str(self._interpreter.user_site() or "")]
        return {
            "PATH": f"{self._interpreter.prefix}/bin:/usr/bin:/bin",
            "PYTHONPATH": os.pathsep.join(filter(None, code)),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONHASHSEED": "0",
            "LANG": "C.UTF-8",
            "USER": "job",  # getpass.getuser() has no other source: there is no /etc/passwd
            "HOME": tmp,
            "TMPDIR": tmp,
            "MPLCONFIGDIR": f"{tmp}/matplotlib",
            "HF_HOME": f"{tmp}/huggingface",
            "HF_HUB_OFFLINE": "1",
            "TOKENIZERS_PARALLELISM": "true",
            "OMP_NUM_THREADS": threads,
        }

    def _start_supervisor(self, folder: JobFolder, lock_fd: int) -> None:
        command = [sys.executable, "-S", "-m", "remote.sandbox.supervisor", str(folder.root), str(lock_fd)]
        env = {"PYTHONPATH": str(package_root()), "LANG": "C.UTF-8"}
        with (folder.root / "supervisor.txt").open("wb") as complaints:
            started = subprocess.run(
                command,
                env=env,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=complaints,
                pass_fds=(lock_fd,),
                start_new_session=True,  # Ctrl-C in the bot's terminal is not for the job
                timeout=_START_WAIT_S,
                check=False,
            )
        if started.returncode != 0:
            folder.spec.unlink()
            detail = f"The job's supervisor could not be started (exit code {started.returncode})."
            raise BackendError(FailureKind.UNKNOWN, detail, f"Look at {folder.root / 'supervisor.txt'}.")

    def _fetch(self, folder: JobFolder, into: Path) -> None:
        if folder.ended() is None and folder.alive():
            detail = f"The job {folder.root.name!r} is still running."
            raise BackendError(FailureKind.UNKNOWN, detail, "Wait for its end, or cancel it.")
        shas, last = tail.announced(folder.events)
        ended_well = folder.ended() is not None and last is not None and last.type is JobEventType.RESULT
        at_most_bytes = SandboxSpec.decode(folder.spec.read_text("utf-8")).need.disk_mb * 1024**2
        announced = shas if ended_well else {}
        try:
            artifacts.fetch(
                folder.out, into, announced, at_most_bytes=at_most_bytes, unfinished=not ended_well
            )
        except OSError as error:
            detail = f"The job's files could not be copied to {str(into)!r}: {error.strerror}."
            hint = "Free some disk space, or choose a folder that you may write."
            raise BackendError(_kind(error), detail, hint) from error


def _kind(error: OSError) -> FailureKind:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return FailureKind.NO_DISK if full else FailureKind.DENIED


def _chain(job: JobSpec) -> str:
    try:
        return job_json(job.programs)
    except (TypeError, ValueError) as error:
        detail = f"The settings of the job {job.key!r} are not plain JSON: {error}."
        raise BackendError(
            FailureKind.DATA_ERROR, detail, "Use numbers, texts, lists and tables only."
        ) from error


def _remove(folder: JobFolder) -> None:
    gone = folder.root.with_name(f".gone-{folder.root.name}-{os.getpid()}")
    try:
        folder.root.rename(gone)
    except OSError:  # another process was first
        return
    tree.remove(gone)


def _lost(folder: JobFolder, last: JobEvent | None) -> JobEvent:
    """The last word for a job that could not say it. The same for every reader: it is made from files
    alone."""
    path = folder.events if folder.events.exists() else folder.spec
    at = datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat(timespec="milliseconds")
    why = verdict.lost()
    stage = last.stage if last is not None else ""
    fields = {"kind": why.kind.value, "detail": why.detail}
    return JobEvent(last.seq + 1 if last is not None else 0, at, JobEventType.FAILED, stage, fields)
