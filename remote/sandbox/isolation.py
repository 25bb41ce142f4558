"""How a job is shut in: a command line around the job's command line.

The ladder is bubblewrap (tried by really running it), later Docker, then a refusal. Plain resource limits
(:class:`Unisolated`) are used only when a person opted in, and are labelled "none".

What a job in bubblewrap sees: ``/usr`` and the Python installation, read-only, at their own paths; ``/job``
with ``in/`` (read-only), ``out/`` and ``/tmp`` on disk; a few bounded tmpfs; its own process, network, IPC
and host name spaces. Everything else of the machine, the home folder first, does not exist for it. The
folder's bookkeeping (``events.jsonl``, ``exit.json``, ``spec.json``) is not mounted either, so a job cannot
forge how it ended.

Root is special: the kernel exempts it from RLIMIT_NPROC, so a sandbox of root could be fork-bombed. There
the supervisor makes a user namespace (:mod:`remote.sandbox.userns`) that maps a second, unused uid;
bubblewrap runs in it and the launcher changes to that uid before the job starts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

from remote.backend import Need

VIEW = Path("/job")  # the job's folder, as the job sees it
CODE = Path("/opt/intern")  # what PYTHONPATH names: holds the package ``remote`` and nothing else
INNER_ID = 65534  # "nobody": uid and gid in the sandbox

_SMALL_TMPFS_BYTES = 64 * 1024**2
_SHM_BYTES = 512 * 1024**2
_SYSTEM = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_ETC = ("alternatives", "fonts", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime")
_ETC_NETWORK = ("resolv.conf", "hosts", "nsswitch.conf", "ssl", "pki", "ca-certificates")


@dataclass(frozen=True, slots=True)
class Bind:
    """``source`` on this machine appears at ``target`` in the sandbox, read-only unless ``writable``."""

    source: str
    target: str
    writable: bool = False


class Isolation(Protocol):
    """The seam for other kinds of isolation (Docker): one command line around another."""

    @property
    def name(self) -> str:
        """What a plan and ``run.json`` call it."""

    @property
    def pass_fds(self) -> tuple[int, ...]:
        """File descriptors that :meth:`command`'s process must inherit."""

    def view(self, job_dir: Path) -> Path:
        """The job's folder as the job sees it: its current directory."""

    def command(self, argv: Sequence[str], job_dir: Path, need: Need, binds: Sequence[Bind]) -> list[str]:
        """``argv`` (paths as the job sees them), shut in. It runs with the environment that it is given."""


@dataclass(frozen=True, slots=True)
class Unisolated:
    """No walls: the job runs as the caller, in its folder, under resource limits only."""

    name: str = "none"
    pass_fds: tuple[int, ...] = ()

    def view(self, job_dir: Path) -> Path:
        return job_dir

    def command(self, argv: Sequence[str], job_dir: Path, need: Need, binds: Sequence[Bind]) -> list[str]:
        return list(argv)


@dataclass(frozen=True, slots=True)
class Bubblewrap:
    """``userns_fd`` is the prepared user namespace when this process is root, else ``None``. bubblewrap
    writes the pid of the name space's first process to ``info_fd``, as JSON."""

    binary: str
    userns_fd: int | None = None
    info_fd: int | None = None
    name: str = "bubblewrap"

    @property
    def pass_fds(self) -> tuple[int, ...]:
        return tuple(fd for fd in (self.userns_fd, self.info_fd) if fd is not None)

    def view(self, job_dir: Path) -> Path:
        return VIEW

    def command(self, argv: Sequence[str], job_dir: Path, need: Need, binds: Sequence[Bind]) -> list[str]:
        mounts = _Mounts()
        mounts.system(network=need.network)
        # Before the binds, as an installation may itself lie below /tmp.
        mounts.folder(Bind(str(job_dir / "tmp"), "/tmp", writable=True))  # noqa: S108 - the sandbox's own
        for bind in binds:
            if not bind.target.startswith(f"{VIEW}/"):
                mounts.bind(bind)
        mounts.add("--proc", "/proc", "--dev", "/dev")
        mounts.tmpfs("/dev/shm", _SHM_BYTES, "1777")  # noqa: S108 - the sandbox's own
        if need.gpu is not None:
            for device in sorted(Path("/dev").glob("nvidia*")):
                mounts.add("--dev-bind-try", str(device), str(device))
        # Topology that oneDNN and cpuinfo read to choose their number of threads and cache blocking.
        mounts.parents("/sys/devices/system/cpu")
        mounts.add("--ro-bind-try", "/sys/devices/system/cpu", "/sys/devices/system/cpu")
        mounts.tmpfs(str(VIEW), _SMALL_TMPFS_BYTES, "0777")
        mounts.tmpfs(f"{VIEW}/in", _SMALL_TMPFS_BYTES, "0755")
        for bind in binds:
            if bind.target.startswith(f"{VIEW}/"):
                mounts.bind(bind)
        mounts.bind(Bind(str(job_dir / "job.json"), f"{VIEW}/job.json"))
        mounts.bind(Bind(str(job_dir / "out"), f"{VIEW}/out", writable=True))
        for path in (f"{VIEW}/in", "/dev", "/"):
            mounts.add("--remount-ro", path)
        return [
            self.binary,
            *self._namespaces(),
            *(["--share-net"] if need.network else []),
            *([] if self.info_fd is None else ["--info-fd", str(self.info_fd)]),
            *("--hostname", "sandbox", "--new-session", "--die-with-parent"),
            *mounts.args,
            *("--chdir", str(VIEW), "--", *argv),
        ]

    def _namespaces(self) -> list[str]:
        if self.userns_fd is None:
            ids = ["--uid", str(INNER_ID), "--gid", str(INNER_ID)]
            return ["--unshare-user", "--unshare-all", "--disable-userns", *ids, "--cap-drop", "ALL"]
        # The namespace itself forbids further ones; the two capabilities end when the launcher drops its uid.
        spaces = ["ipc", "pid", "net", "uts", "cgroup-try"]
        unshare = [f"--unshare-{space}" for space in spaces]
        caps = ["--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
        return ["--userns", str(self.userns_fd), *unshare, *caps]


class _Mounts:
    """bubblewrap's arguments in order. Parents are made with mode 0755 by hand: bubblewrap makes them 0700,
    which locks out the uid that the launcher changes to."""

    def __init__(self) -> None:
        self.args: list[str] = []
        self._made: set[str] = {"/"}
        self._bound: list[PurePosixPath] = []

    def add(self, *args: str) -> None:
        self.args.extend(args)

    def tmpfs(self, target: str, size_bytes: int, mode: str) -> None:
        self.parents(target)
        self._made.add(target)
        self.add("--size", str(size_bytes), "--perms", mode, "--tmpfs", target)

    def parents(self, target: str) -> None:
        for parent in reversed(PurePosixPath(target).parents):
            if str(parent) in self._made or any(parent.is_relative_to(bound) for bound in self._bound):
                continue
            self._made.add(str(parent))
            self.add("--perms", "0755", "--dir", str(parent))

    def bind(self, bind: Bind) -> None:
        """What lies below the target is the source's: nothing is made there."""
        self._bound.append(PurePosixPath(bind.target))
        self.folder(bind)

    def folder(self, bind: Bind) -> None:
        """A bind below which further mount points may be made."""
        self.parents(bind.target)
        self._made.add(bind.target)
        self.add("--bind" if bind.writable else "--ro-bind", bind.source, bind.target)

    def system(self, *, network: bool) -> None:
        self.bind(Bind("/usr", "/usr"))
        for name in _SYSTEM:
            path = Path(name)
            if path.is_symlink():  # merged /usr
                self.add("--symlink", str(path.readlink()), name)
            elif path.is_dir():
                self.bind(Bind(name, name))
        self.parents("/etc/x")
        for name in (*_ETC, *(_ETC_NETWORK if network else ())):
            self.add("--ro-bind-try", f"/etc/{name}", f"/etc/{name}")


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
        "NOFILE": 4096,
        "FSIZE": need.disk_mb * 1024**2,
        "NPROC": need.processes + own_tasks,
        "CPU": int(need.timeout_s * cpus) + 60,
    }
    return table if gpu else table | {"DATA": memory, "AS": 4 * memory}
