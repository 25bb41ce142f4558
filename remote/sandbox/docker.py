"""Docker as walls, for machines where user namespaces are closed but a Docker daemon runs.

The image is empty: a tar with nothing in it but the links of a merged ``/usr``, imported once. What a job sees is
mounted from this machine, read-only, as in bubblewrap: the same Python and the same libraries, nothing to build or
to pull. So the daemon must share this machine's disk (a Unix socket; not Docker Desktop, not a remote host), which
the trial finds out by running.

A container does not die with whoever started it. Therefore the launcher stays as its first process with an open
stdin; when the supervisor dies, stdin closes and the container ends. Docker's own filter of system calls (a list of
what is allowed) stays; ours is loaded on top of it.

Being allowed to speak to a Docker daemon is being root on this machine. That right is the supervisor's, never the
job's: the socket is not mounted.
"""

from __future__ import annotations

import csv
import io
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from remote.backend import Need
from remote.sandbox import seccomp
from remote.sandbox.isolation import (
    CODE,
    OPEN_FILES,
    SHM_BYTES,
    SMALL_TMPFS_BYTES,
    VIEW,
    Bind,
    Command,
    Launch,
    Walls,
    system_binds,
)

KIND = "docker"
_OWN_TASKS = 16  # of the launcher and of Docker's own
_END_S = 20.0
NO_CONFIG = "/var/empty/ml-intern"  # a folder that does not exist: no proxies, plugins or logins of a person


@dataclass(frozen=True, slots=True)
class Docker:
    """``uid``, ``gid``: the job's on this machine; the uid owns ``out/`` and ``tmp/``."""

    walls: Walls
    container: str  # its name
    uid: int
    gid: int
    name: str = KIND
    info_fd: int | None = None

    def launch(self, need: Need) -> Launch:
        return Launch(seccomp=seccomp.program(os.uname().machine, gpu=need.gpu is not None), guard=True)

    def code(self, package_root: Path) -> Path:
        return CODE

    def command(
        self,
        argv: Sequence[str],
        job_dir: Path,
        need: Need,
        binds: Sequence[Bind],
        env: Mapping[str, str],
    ) -> Command:
        whole = [
            *self._client(),
            *("run", "--rm", "--interactive", "--pull", "never", "--log-driver", "none"),
            *("--name", self.container, "--hostname", "sandbox", "--workdir", str(VIEW)),
            *("--user", f"{self.uid}:{self.gid}", "--network", "bridge" if need.network else "none"),
            *("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
            *("--ipc", "private", "--pids-limit", str(need.processes + _OWN_TASKS)),
            *("--memory", f"{need.memory_mb}m", "--memory-swap", f"{need.memory_mb}m"),
            *("--shm-size", str(min(SHM_BYTES, need.memory_mb * 1024**2)), "--oom-score-adj", "500"),
            *("--ulimit", "core=0", "--ulimit", f"nofile={OPEN_FILES}"),
            *([] if need.cpus is None else ["--cpus", str(need.cpus)]),
            *([] if need.gpu is None else ["--gpus", "all"]),
            *("--tmpfs", f"{VIEW}:rw,nosuid,nodev,size={SMALL_TMPFS_BYTES},mode=0777"),
            *("--tmpfs", f"{VIEW}/in:ro,nosuid,nodev,size={SMALL_TMPFS_BYTES},mode=0755"),
        ]
        for bind in [*_own_binds(job_dir), *system_binds(), *binds]:
            whole += ["--mount", _mount(bind)]
        for name, value in env.items():
            whole += ["--env", f"{name}={value}"]
        return Command([*whole, self.walls.image, *argv], {"PATH": os.defpath}, stdin=True)

    def end(self) -> None:
        """Removes the container, and returns when nothing of it runs any more."""
        command = [*self._client(), "rm", "--force", self.container]
        try:
            subprocess.run(command, env={}, capture_output=True, timeout=_END_S, check=False)
        except (OSError, subprocess.TimeoutExpired):  # its stdin is closed by now, which ends it as well
            return

    def _client(self) -> list[str]:
        return [self.walls.binary, "--config", NO_CONFIG, "--host", self.walls.host]


def _own_binds(job_dir: Path) -> list[Bind]:
    return [
        Bind(str(job_dir / "tmp"), "/tmp", writable=True),  # noqa: S108 - the sandbox's own
        Bind(str(job_dir / "job.json"), f"{VIEW}/job.json"),
        Bind(str(job_dir / "out"), f"{VIEW}/out", writable=True),
    ]


def _mount(bind: Bind) -> str:
    """A value of ``--mount``: one line of CSV, so that a comma in a path is only a comma."""
    line = io.StringIO()
    fields = ["type=bind", f"source={bind.source}", f"target={bind.target}"]
    csv.writer(line, lineterminator="").writerow([*fields, *([] if bind.writable else ["readonly"])])
    return line.getvalue()
