"""How a job is shut in: a command line around the job's command line.

The ladder is bubblewrap, then Docker (each tried by really running it), then a refusal. Plain resource limits
(:class:`Unisolated`) are used only when a person opted in, and are labelled "none".

Both kinds of walls show a job the same: ``/usr`` and the Python installation, read-only, at their own paths;
``/job`` with ``in/`` (read-only), ``out/`` and ``/tmp`` on disk; a few bounded tmpfs; its own process, network,
IPC and host name spaces. Everything else of the machine, the home folder first, does not exist for it. The
folder's bookkeeping (``events.jsonl``, ``exit.json``, ``spec.json``) is not mounted either, so a job cannot
forge how it ended. ``docs/security.md`` says what is protected and what is not.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from remote.backend import Need
from remote.sandbox import seccomp

VIEW = Path("/job")  # the job's folder, as the job sees it
CODE = Path("/opt/intern")  # what PYTHONPATH names: holds the package ``remote`` and nothing else
INNER_ID = 65534  # "nobody": uid and gid in the sandbox
SMALL_TMPFS_BYTES = 64 * 1024**2
SHM_BYTES = 512 * 1024**2
OPEN_FILES = 4096

_SYSTEM = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_ETC = ("alternatives", "fonts", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime")


@dataclass(frozen=True, slots=True)
class Walls:
    """What :mod:`remote.sandbox.probe` found to work on this machine."""

    kind: str  # "bubblewrap" or "docker"
    binary: str
    host: str = ""  # Docker: where its daemon listens
    image: str = ""  # Docker: the empty image


@dataclass(frozen=True, slots=True)
class Bind:
    """``source`` on this machine appears at ``target`` in the sandbox, read-only unless ``writable``."""

    source: str
    target: str
    writable: bool = False


@dataclass(frozen=True, slots=True)
class Launch:
    """What the launcher (:mod:`remote.sandbox.launch`) has to do inside, beside the limits."""

    uid: int | None = None  # become this uid and gid
    seccomp: bytes = b""  # load this filter
    guard: bool = False  # stay as first process, and end when stdin does
    parent: int | None = None  # die with this process


@dataclass(frozen=True, slots=True)
class Command:
    """A process to start. ``stdin``: keep a pipe to it open for as long as the job may run."""

    argv: Sequence[str]
    env: Mapping[str, str]
    pass_fds: tuple[int, ...] = ()
    stdin: bool = False


class Isolation(Protocol):
    """The seam between the supervisor and a kind of walls."""

    @property
    def name(self) -> str:
        """What a plan and ``run.json`` call it."""

    def launch(self, need: Need) -> Launch:
        """Raises ValueError on a processor without a table of system calls."""

    @property
    def info_fd(self) -> int | None:
        """Where the command says which process is the first one inside; ``None`` when it does not."""

    def code(self, package_root: Path) -> Path:
        """The folder with the package ``remote``, as the job sees it."""

    def command(
        self,
        argv: Sequence[str],
        job_dir: Path,
        need: Need,
        binds: Sequence[Bind],
        env: Mapping[str, str],
    ) -> Command:
        """``argv`` (paths as the job sees them) with the environment ``env``, shut in."""

    def end(self) -> None:
        """End what outlives the command's own process group. Harmless when nothing is left."""


@dataclass(frozen=True, slots=True)
class Unisolated:
    """No walls: the job runs as the caller, in its folder, under resource limits, and dies with ``parent``.

    The filter of system calls is loaded all the same where it can be: it costs nothing. With a GPU it is left out,
    as this is how jobs run on machines that others have shut in already."""

    parent: int
    name: str = "none"
    info_fd: int | None = None

    def launch(self, need: Need) -> Launch:
        known = os.uname().machine in seccomp.ARCHITECTURES and need.gpu is None
        return Launch(seccomp=seccomp.program(os.uname().machine) if known else b"", parent=self.parent)

    def code(self, package_root: Path) -> Path:
        return package_root

    def command(
        self,
        argv: Sequence[str],
        job_dir: Path,
        need: Need,
        binds: Sequence[Bind],
        env: Mapping[str, str],
    ) -> Command:
        return Command(argv, env)

    def end(self) -> None:
        return


def system_links() -> dict[str, str]:
    """Of a system with a merged ``/usr``: ``/bin`` -> ``usr/bin`` and its like."""
    return {name: str(Path(name).readlink()) for name in _SYSTEM if Path(name).is_symlink()}


def system_binds() -> list[Bind]:
    """Programs, libraries and the few settings that they read. No accounts, no host names, no certificates."""
    folders = [name for name in _SYSTEM if Path(name).is_dir() and not Path(name).is_symlink()]
    settings = [path for path in (f"/etc/{name}" for name in _ETC) if Path(path).exists()]
    return [Bind(path, path) for path in ("/usr", *folders, *settings)]


def limits(need: Need, *, gpu: bool, own_tasks: int) -> Mapping[str, int]:
    """Resource limits as :mod:`remote.sandbox.launch` takes them: ``RLIMIT_`` name -> value in the limit's
    unit.

    RLIMIT_DATA bounds writable private memory, which is close to what a job really takes. RLIMIT_AS is four
    times as wide because a library may reserve far more than it uses; with a GPU neither holds (CUDA
    reserves terabytes) and the supervisor's watch is what remains. ``own_tasks`` is added to RLIMIT_NPROC
    where the kernel counts the user's other processes as well.
    """
    memory = need.memory_mb * 1024**2
    cpus = need.cpus or 64
    table = {
        "CORE": 0,
        "NOFILE": OPEN_FILES,
        "FSIZE": need.disk_mb * 1024**2,
        "NPROC": need.processes + own_tasks,
        "CPU": int(need.timeout_s * cpus) + 60,
        "MSGQUEUE": 0,
    }
    return table if gpu else table | {"DATA": memory, "AS": 4 * memory}
