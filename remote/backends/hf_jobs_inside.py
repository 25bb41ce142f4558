"""Runs inside a job on HF Jobs: the part of :mod:`remote.sandbox.supervisor` that is needed there.

``python bundle.zip '{settings}'`` starts it from the archive that holds the code, the chain and the inputs
(:mod:`remote.backends.hf_jobs_pack`). It installs what the recipe needs and the image lacks, runs ``python -m
remote.jobs`` on local disk, numbers what the job says (:mod:`remote.backends.hf_jobs_lines`), holds it to its
deadline, finds out why it ended, and brings ``out/`` into the mounted bucket.

- ``out/`` is local and is copied, because a mounted bucket takes files written from start to end but not
  every trick of a training library. A snapshot leaves whenever ``out/`` has changed, at most once a minute and
  at most a twentieth of the time, so that a checkpoint survives the machine. The job stands still (SIGSTOP)
  for the moment in which the snapshot is taken, so a snapshot is what a kill at that moment would have left.
- The job's environment is made here and holds no secret; this process has none either.
- SIGTERM (a cancelled or preempted job) means: kill, save, go.

Standard library only.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

from remote.backend import Need
from remote.backends import hf_jobs_lines as lines
from remote.backends import hf_jobs_pack as archives
from remote.backends.hf_jobs_speaker import Speaker
from remote.protocol import FailureKind, JobEventType
from remote.sandbox import machine, tree, verdict
from remote.sandbox.pump import Lines
from remote.sandbox.verdict import Verdict

SETUP_TIMEOUT_S = 600.0  # installing torch and its companions takes one or two minutes
_TICK_S = 0.05
_READ_BYTES = 1024**2
_DRAIN_S = 2.0
_SHARE = 20  # a snapshot that took t seconds is not repeated for this many times t
_PASSED_ON = ("PATH", "LD_LIBRARY_PATH")
_PASSED_ON_PREFIXES = ("CUDA_", "NVIDIA_")


@dataclass(frozen=True, slots=True)
class Settings:
    """What the backend asks for; plain data, the job's only argument."""

    need: Need
    programs: tuple[str, ...]
    out: str  # the mounted folder for snapshots
    requirements: tuple[str, ...] = ()
    snapshot_every_s: float = 60.0

    def encode(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def decode(cls, text: str) -> Settings:
        body: dict[str, Any] = json.loads(text)
        body["need"] = Need(**body["need"])
        body["programs"] = tuple(body["programs"])
        body["requirements"] = tuple(body["requirements"])
        return cls(**body)


class Inside:
    """One job, from the archive to the last line. ``root`` is an empty folder on local disk."""

    def __init__(self, settings: Settings, bundle: Path, root: Path, fd: int) -> None:
        self.settings = settings
        self.bundle = bundle
        self.root = root
        self.speaker = Speaker(fd, settings.programs)
        self.stopped: Verdict | None = None
        self.told_to_go = False
        self.process: subprocess.Popen[bytes] | None = None
        self._deadline_s = 0.0
        self._saves = 0
        self._saved: object = ()  # the signature of what was saved last: of an empty folder, at first
        self._next_save_s = 0.0
        self._next_look_s = 0.0
        self._oom_kills = machine.oom_kills()

    @property
    def out(self) -> Path:
        return self.root / "job" / "out"

    def run(self) -> int:
        """The exit code: 0 where the chain ended in its result and all of it was saved."""
        code: int | None = None
        try:
            self._prepare()
            if self.stopped is None and not self.told_to_go:
                code = self._supervise()
        except (OSError, zipfile.BadZipFile) as error:
            self._kill()
            why = getattr(error, "strerror", None) or type(error).__name__
            detail = f"The job could not be started or watched on its machine ({why}): start it again."
            self.stopped = self.stopped or Verdict(FailureKind.UNKNOWN, detail)
        self._conclude(code)
        well = self.speaker.failed is None and self.stopped is None and self.speaker.result is not None
        self.speaker.mark(lines.end_line(0 if well else 1))
        return 0 if well else 1

    def _prepare(self) -> None:
        with zipfile.ZipFile(self.bundle) as archive:
            archive.extractall(self.root)
        self.out.mkdir(parents=True, exist_ok=True)
        lacking = missing(self.settings.requirements)
        if not lacking:
            return
        self.speaker.take(b"Installing " + ", ".join(lacking).encode(), speaks=False, whole=True)
        try:
            done = subprocess.run(
                install_command(self.settings.requirements),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=SETUP_TIMEOUT_S,
                check=False,
            )
            code, said = done.returncode, done.stdout
        except subprocess.TimeoutExpired as error:
            code, said = 1, (error.stdout or b"") + b"\nit took too long"
        for line in said.splitlines()[-40:]:
            self.speaker.take(line, speaks=False, whole=True)
        if code != 0:
            words = verdict.last_words(said.decode("utf-8", "replace"))
            detail = f"The training libraries could not be installed on the job's machine: {words}"
            self.stopped = Verdict(FailureKind.UNREACHABLE, detail)

    def _supervise(self) -> int:
        self._oom_kills = machine.oom_kills()
        self.process = process = subprocess.Popen(
            [sys.executable, "-m", "remote.jobs"],
            cwd=self.root / "job",
            env=environment(os.environ, self.root, self.settings.need),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
        )
        started_s = time.monotonic()
        self._deadline_s = started_s + self.settings.need.timeout_s
        self._next_save_s = started_s + self.settings.snapshot_every_s
        assert process.stdout is not None
        assert process.stderr is not None
        with selectors.DefaultSelector() as selector, process.stdout, process.stderr:
            for stream, speaks in ((process.stdout, True), (process.stderr, False)):
                os.set_blocking(stream.fileno(), False)
                selector.register(stream, selectors.EVENT_READ, (Lines(), speaks))
            while process.poll() is None:
                if selector.get_map():
                    self._read(selector)
                else:  # it closed its output and goes on
                    self.speaker.flush()
                    time.sleep(_TICK_S)
                self._look()
            self._kill()  # children that outlived it
            until_s = time.monotonic() + _DRAIN_S
            while selector.get_map() and time.monotonic() < until_s:
                self._read(selector)
        self.speaker.flush()
        return process.returncode

    def _read(self, selector: selectors.BaseSelector) -> None:
        patience_s = self.speaker.patience_s
        for key, _ in selector.select(_TICK_S if patience_s is None else min(patience_s, _TICK_S)):
            stream: BinaryIO = key.fileobj  # type: ignore[assignment]
            cutter, speaks = key.data
            data = os.read(stream.fileno(), _READ_BYTES)
            for line, whole in cutter.feed(data) if data else cutter.end():
                self.speaker.take(line, speaks=speaks, whole=whole and bool(data))
            if not data:
                selector.unregister(stream)
        self.speaker.breathe()

    def _look(self) -> None:
        now_s = time.monotonic()
        if self.told_to_go:
            self._kill()
        elif now_s > self._deadline_s:
            self.stopped = self.stopped or verdict.timed_out(self.settings.need)
            self._kill()
        elif now_s > self._next_look_s and self._disk_is_full():
            self.stopped = self.stopped or verdict.no_disk(self.settings.need)
            self._kill()
        elif now_s > self._next_save_s:
            self._save_while_running()
            took_s = time.monotonic() - now_s
            wait_s = max(self.settings.snapshot_every_s, _SHARE * took_s)
            self._next_save_s = time.monotonic() + wait_s

    def _disk_is_full(self) -> bool:
        """Of what the job may write. A folder of many files is looked at less often."""
        started_s = time.monotonic()
        used_bytes = tree.usage(self.out, self.root / "tmp").bytes
        self._next_look_s = started_s + 1.0 + 10 * (time.monotonic() - started_s)
        return used_bytes > self.settings.need.disk_mb * 1024**2

    def _kill(self) -> None:
        if self.process is not None:
            _signal_group(self.process.pid, signal.SIGKILL)

    def _save_while_running(self) -> None:
        """Errors are left to the save at the end, which tells them."""
        assert self.process is not None
        picture = self.root / "picture"
        self.speaker.flush()  # a snapshot takes its time
        try:
            if archives.signature(self.out) == self._saved:
                return
            _signal_group(self.process.pid, signal.SIGSTOP)
            try:
                seen = archives.signature(self.out)
                archives.link_tree(self.out, picture)
            finally:
                _signal_group(self.process.pid, signal.SIGCONT)
            self._bring(picture)
            self._saved = seen
        except OSError as error:
            words = f"A snapshot could not be saved: {error.strerror or type(error).__name__}."
            self.speaker.take(words.encode(), speaks=False, whole=True)
        finally:
            shutil.rmtree(picture, ignore_errors=True)

    def _bring(self, folder: Path) -> None:
        """``folder`` as the next snapshot in the bucket; the two before it stay until it is there."""
        archive = self.root / "snapshot.zip"
        archives.pack_out(folder, archive)
        name = f"{self._saves + 1:06d}-{archives.sha256_of(archive)}.zip"
        target = Path(self.settings.out)
        with archive.open("rb") as reader, (target / name).open("wb") as writer:
            shutil.copyfileobj(reader, writer, _READ_BYTES)
        archive.unlink()
        self._saves += 1
        self.speaker.mark(lines.saved_line(name))
        for old in sorted(target.glob("*-*.zip"))[:-2]:
            old.unlink(missing_ok=True)

    def _conclude(self, code: int | None) -> None:
        """Save what there is, then the last word: readers rely on the last event being the outcome."""
        speaker, stage = self.speaker, self.settings.programs[0]
        try:
            if self._saves == 0 or archives.signature(self.out) != self._saved:
                self._bring(self.out)
        except OSError as error:
            detail = (
                f"The job's files could not be saved: {error.strerror or type(error).__name__}; run it again."
            )
            self.stopped = self.stopped or Verdict(FailureKind.NO_DISK, detail)
        if speaker.last is not None:
            stage = speaker.last.stage
        if speaker.dropped:
            detail = f"{speaker.dropped} events beyond the limit were left out."
            speaker.add(JobEventType.WARNING, stage, {"kind": "events_dropped", "detail": detail})
        if self.told_to_go and self.stopped is None:
            return  # who cancelled knows why
        why = self.stopped or self._verdict(code)
        if why is not None:
            speaker.add(JobEventType.FAILED, stage, {"kind": why.kind.value, "detail": why.detail})
            return
        outcome = speaker.failed or speaker.result
        if outcome is not None and speaker.last is not outcome:
            speaker.add(outcome.type, outcome.stage, outcome.fields)

    def _verdict(self, code: int | None) -> Verdict | None:
        """``None`` where the job itself has said how it ended, and nothing is known better."""
        if code is None:
            return Verdict(FailureKind.UNKNOWN, "The job was not started on its machine: start it again.")
        kills = machine.oom_kills()
        why = verdict.from_exit(
            code,
            self.speaker.last_lines(),
            self.settings.need,
            has_result=self.speaker.result is not None,
            out_of_memory_seen=kills is None or kills != self._oom_kills,
        )
        said = self.speaker.failed
        if said is not None and not verdict.knows_better(why, said):
            return None
        return why


def missing(requirements: Sequence[str]) -> list[str]:
    """Those of ``name==version`` that are not installed here in that version."""
    lacking = []
    for requirement in requirements:
        name, _, version = requirement.partition("==")
        try:
            installed = importlib.metadata.version(name.strip()).partition("+")[0]  # 2.13.0+cpu is 2.13.0
            if version and installed == version.strip():
                continue
        except importlib.metadata.PackageNotFoundError:
            pass
        lacking.append(requirement)
    return lacking


def install_command(requirements: Sequence[str]) -> list[str]:
    """uv where the image has it (it is several times as fast), else pip."""
    if shutil.which("uv") is not None:
        return ["uv", "pip", "install", "--no-progress", "--python", sys.executable, *requirements]
    quiet = ("--quiet", "--disable-pip-version-check", "--no-input", "--root-user-action", "ignore")
    return [sys.executable, "-m", "pip", "install", *quiet, *requirements]


def environment(given: Mapping[str, str], root: Path, need: Need) -> dict[str, str]:
    """All of the job's environment: what finds programs and GPUs, and ours."""
    tmp = root / "tmp"
    tmp.mkdir(exist_ok=True)
    kept = {
        name: value
        for name, value in given.items()
        if name in _PASSED_ON or name.startswith(_PASSED_ON_PREFIXES)
    }
    return kept | {
        "PYTHONPATH": str(root),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "0",
        "LANG": "C.UTF-8",
        "USER": "job",
        "HOME": str(tmp),
        "TMPDIR": str(tmp),
        "MPLCONFIGDIR": str(tmp / "matplotlib"),
        "HF_HOME": str(tmp / "huggingface"),
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "true",
        "OMP_NUM_THREADS": str(need.cpus or machine.cpus()),
    }


def _signal_group(pid: int, number: signal.Signals) -> None:
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        return


def main() -> None:
    settings = Settings.decode(sys.argv[1])
    with tempfile.TemporaryDirectory(prefix="intern-", ignore_cleanup_errors=True) as root:
        inside = Inside(settings, Path(sys.argv[0]).resolve(), Path(root), sys.stdout.fileno())

        def go(_number: int, _frame: object) -> None:
            inside.told_to_go = True

        signal.signal(signal.SIGTERM, go)
        code = inside.run()
    sys.exit(code)
