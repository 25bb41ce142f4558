"""``python modal_runner.py JOB SHARED``: the first program in a Modal sandbox. It runs the job and saves what it left.

The job runs under the same supervisor as on this machine (:mod:`remote.sandbox.supervisor`), so limits, verdicts,
the numbering of events and the chain of programs are one piece of code. The container is the isolation.

``JOB`` is the job's own folder in a Volume: ``job.json``, ``spec.json`` and ``in/`` come with it; ``out/`` is written
there directly, so that a checkpoint outlives the sandbox; ``events.jsonl``, ``log.txt`` and, last, ``exit.json`` are
put there at the end. ``SHARED`` holds inputs that many jobs use (model weights), read-only.

Every event goes to stdout with its number, which is what a follower reads while the job runs: one line an event, or
one for those that came together, because Modal's client takes some 200 µs for a line whatever it holds. A name is
unique among *running* sandboxes only, so a second sandbox for a job that has already been started ends at once
(``started.json``): training twice is worse than starting in vain. Standard library only.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # started by path with -I: nothing of ours can be imported yet
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from remote.backend import Need
from remote.protocol import JobEventType, decode, together
from remote.sandbox.folder import JobFolder, SandboxSpec, write_atomic
from remote.sandbox.supervisor import Supervisor
from remote.sandbox.tail import Tail

POLL_S = 0.015
SAVE_EVERY_S = 20.0
EVENTS_BYTES = 64 * 1024**2  # a follower keeps them until the job has ended
LINE_BYTES = 12 * 1024  # of events that came together


def spec_json(key: str, run_id: str, programs: tuple[str, ...], need: Need, shared: Mapping[str, str]) -> str:
    """``spec.json`` as :func:`main` reads it. ``shared``: input name -> path below ``SHARED``."""
    body = {"key": key, "run_id": run_id, "programs": programs, "need": asdict(need), "shared": dict(shared)}
    return json.dumps(body, indent=1)


def environment(work: Path, need: Need) -> dict[str, str]:
    """All of the job's environment: nothing of the container's gets in, so no credential can."""
    tmp = str(work / "tmp")
    code = str(Path(__file__).resolve().parents[2])
    env = {
        "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
        "PYTHONPATH": code,
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "0",
        "LANG": "C.UTF-8",
        "USER": "job",
        "HOME": tmp,
        "TMPDIR": tmp,
        "MPLCONFIGDIR": f"{tmp}/matplotlib",
        "HF_HOME": f"{tmp}/huggingface",
        "TOKENIZERS_PARALLELISM": "true",
        "OMP_NUM_THREADS": str(need.cpus or os.cpu_count() or 1),
    }
    if not need.network:
        env["HF_HUB_OFFLINE"] = "1"
    if "LD_LIBRARY_PATH" in os.environ:  # where the image keeps its CUDA driver
        env["LD_LIBRARY_PATH"] = os.environ["LD_LIBRARY_PATH"]
    return env


def prepare(job: Path, shared: Path, work: Path, body: Mapping[str, Any]) -> tuple[JobFolder, SandboxSpec]:
    """The job's folder on the container's own disk. Shared inputs and ``out/`` are links into the Volumes."""
    folder = JobFolder(work)
    folder.tmp.mkdir()
    if (job / "in").is_dir():
        shutil.copytree(job / "in", folder.inputs)
    folder.inputs.mkdir(exist_ok=True)
    for name, path in body["shared"].items():
        target = folder.inputs / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(shared / path)
    (job / "out").mkdir(exist_ok=True)
    folder.out.symlink_to(job / "out")
    shutil.copyfile(job / "job.json", folder.job)
    need = Need(**body["need"])
    spec = SandboxSpec(
        key=body["key"],
        run_id=body["run_id"],
        programs=tuple(body["programs"]),
        need=need,
        python=sys.executable,
        env=environment(work, need),
    )
    write_atomic(folder.spec, spec.encode())
    return folder, spec


def save(job: Path) -> None:
    """Commit what was written to the Volume: flushing its mount point is Modal's documented way in a sandbox."""
    fd = os.open(job, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class Echo(threading.Thread):
    """Says every event on stdout as it is numbered, and commits the Volume after a checkpoint."""

    def __init__(self, folder: JobFolder, job: Path) -> None:
        super().__init__(daemon=True)
        self._tail = Tail(folder.events)
        self._job = job
        self._saved_s = time.monotonic()
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.wait(POLL_S):
            self._say()
        while self._say():
            pass

    def finish(self) -> None:
        """Everything that was said until now has been repeated when this returns."""
        self._over.set()
        self.join()

    def _say(self) -> bool:
        said = self._tail.lines()
        if said:
            sys.stdout.buffer.write(b"".join(line + b"\n" for line in together(said, LINE_BYTES)))
            sys.stdout.buffer.flush()
        if time.monotonic() - self._saved_s > SAVE_EVERY_S and any(map(_is_kept, said)):
            save(self._job)
            self._saved_s = time.monotonic()
        return bool(said)


def _is_kept(line: bytes) -> bool:
    """Whether an event says that there is something in ``out/`` worth keeping."""
    event = decode(line.decode("utf-8", "replace"))
    return event is not None and event.type in (JobEventType.EPOCH, JobEventType.ARTIFACT)


def first(job: Path, sandbox_id: str) -> bool:
    """Whether this sandbox is the first for its job; from then on it is."""
    try:
        with (job / "started.json").open("x", encoding="utf-8") as file:
            json.dump({"sandbox_id": sandbox_id}, file)
    except FileExistsError:
        return False
    save(job)
    return True


def main(job: Path, shared: Path) -> int:
    if not first(job, os.environ.get("MODAL_SANDBOX_ID", "")):
        print("This job has been started before: nothing is done.", file=sys.stderr)
        return 0
    body = json.loads((job / "spec.json").read_text("utf-8"))
    with tempfile.TemporaryDirectory(prefix="intern-", ignore_cleanup_errors=True) as temporary:
        folder, spec = prepare(job, shared, Path(temporary), body)
        echo = Echo(folder, job)
        echo.start()
        supervisor = Supervisor(folder, spec)
        supervisor.events.at_most_bytes = EVENTS_BYTES
        supervisor.run()
        echo.finish()
        for path in (folder.log, folder.events, folder.exit):  # exit.json last: it says that all is there
            shutil.copyfile(path, job / f".{path.name}.part")
            (job / f".{path.name}.part").replace(job / path.name)
            save(job)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
