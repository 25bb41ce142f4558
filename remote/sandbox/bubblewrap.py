"""bubblewrap as walls: name spaces, a file system of its own, no capabilities, a seccomp filter.

Root is special: the kernel exempts it from RLIMIT_NPROC, so a sandbox of root could be fork-bombed. There
the supervisor makes a user namespace (:mod:`remote.sandbox.userns`) that maps a second, unused uid;
bubblewrap runs in it and the launcher changes to that uid before the job starts.

The first process of the name space is the launcher and not bubblewrap's own, whose memory a job of the same uid could
rewrite (``/proc/1/mem``).

``/dev`` is made by hand: bubblewrap's own ``--dev`` adds a terminal multiplexer, which a job has no use for.
Of ``/proc`` the files that tell about the machine rather than about the job are covered by an empty one.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from remote.backend import Need
from remote.sandbox import seccomp
from remote.sandbox.isolation import (
    CODE,
    INNER_ID,
    SHM_BYTES,
    SMALL_TMPFS_BYTES,
    VIEW,
    Bind,
    Command,
    Launch,
    system_binds,
    system_links,
)

_DEVICES = ("null", "zero", "full", "random", "urandom")
_STREAMS = {"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1"}
_COVERED = ("keys", "key-users", "kcore", "kallsyms", "kmsg", "timer_list", "sched_debug", "config.gz")
_ETC_NETWORK = ("resolv.conf", "hosts", "nsswitch.conf", "ssl", "pki", "ca-certificates")


@dataclass(frozen=True, slots=True)
class Bubblewrap:
    """``userns_fd`` is the prepared user namespace when this process is root, else ``None``. bubblewrap
    writes the pid of the name space's first process to ``info_fd``, as JSON."""

    binary: str
    userns_fd: int | None = None
    info_fd: int | None = None
    name: str = "bubblewrap"

    def launch(self, need: Need) -> Launch:
        return Launch(uid=None if self.userns_fd is None else INNER_ID, guard=True)

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
        """Raises OSError when the filter cannot be handed over, ValueError on an unknown processor."""
        mounts = _mounts(job_dir, need, binds)
        filter_fd = _readable(seccomp.program(os.uname().machine, gpu=need.gpu is not None))
        whole = [
            self.binary,
            *self._namespaces(),
            *(["--share-net"] if need.network else []),
            *([] if self.info_fd is None else ["--info-fd", str(self.info_fd)]),
            *("--hostname", "sandbox", "--new-session", "--die-with-parent", "--as-pid-1"),
            *("--seccomp", str(filter_fd)),
            *mounts.args,
            *("--chdir", str(VIEW), "--", *argv),
        ]
        fds = (self.userns_fd, self.info_fd, filter_fd)
        return Command(whole, env, tuple(fd for fd in fds if fd is not None), stdin=True)

    def end(self) -> None:
        """Nothing: the process name space dies with its first process."""

    def _namespaces(self) -> list[str]:
        if self.userns_fd is None:
            ids = ["--uid", str(INNER_ID), "--gid", str(INNER_ID)]
            return ["--unshare-user", "--unshare-all", "--disable-userns", *ids, "--cap-drop", "ALL"]
        # The namespace itself forbids further ones; the two capabilities end when the launcher drops its uid.
        spaces = ["ipc", "pid", "net", "uts", "cgroup-try"]
        unshare = [f"--unshare-{space}" for space in spaces]
        caps = ["--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
        return ["--userns", str(self.userns_fd), *unshare, *caps]


def _readable(data: bytes) -> int:
    """A descriptor from which ``data`` is read; it fits a pipe's buffer."""
    reader, writer = os.pipe()
    with os.fdopen(writer, "wb") as file:
        file.write(data)
    return reader


def _mounts(job_dir: Path, need: Need, binds: Sequence[Bind]) -> _Mounts:
    mounts = _Mounts()
    mounts.system(network=need.network)
    # Before the binds, as an installation may itself lie below /tmp.
    mounts.folder(Bind(str(job_dir / "tmp"), "/tmp", writable=True))  # noqa: S108 - the sandbox's own
    for bind in binds:
        if not bind.target.startswith(f"{VIEW}/"):
            mounts.bind(bind)
    mounts.add("--proc", "/proc")
    for name in _COVERED:
        if Path("/proc", name).exists():
            mounts.add("--ro-bind", "/dev/null", f"/proc/{name}")
    mounts.devices(gpu=need.gpu is not None)
    # Topology that oneDNN and cpuinfo read to choose their number of threads and cache blocking.
    mounts.parents("/sys/devices/system/cpu")
    mounts.add("--ro-bind-try", "/sys/devices/system/cpu", "/sys/devices/system/cpu")
    mounts.tmpfs(str(VIEW), SMALL_TMPFS_BYTES, "0777")
    mounts.tmpfs(f"{VIEW}/in", SMALL_TMPFS_BYTES, "0755")
    for bind in binds:
        if bind.target.startswith(f"{VIEW}/"):
            mounts.bind(bind)
    mounts.bind(Bind(str(job_dir / "job.json"), f"{VIEW}/job.json"))
    mounts.bind(Bind(str(job_dir / "out"), f"{VIEW}/out", writable=True))
    for path in (f"{VIEW}/in", "/dev", "/"):
        mounts.add("--remount-ro", path)
    return mounts


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
        for name, target in system_links().items():
            self.add("--symlink", target, name)
        for bind in system_binds():
            self.bind(bind)
        self.parents("/etc/x")
        for name in _ETC_NETWORK if network else ():
            self.add("--ro-bind-try", f"/etc/{name}", f"/etc/{name}")

    def devices(self, *, gpu: bool) -> None:
        self.tmpfs("/dev", SMALL_TMPFS_BYTES, "0755")
        for name in _DEVICES:
            self.add("--dev-bind", f"/dev/{name}", f"/dev/{name}")
        for name, target in _STREAMS.items():
            self.add("--symlink", target, f"/dev/{name}")
        self.add("--symlink", "/proc/self/fd/2", "/dev/stderr")
        self.tmpfs("/dev/shm", SHM_BYTES, "1777")  # noqa: S108 - the sandbox's own
        for device in sorted(Path("/dev").glob("nvidia*")) if gpu else ():
            self.add("--dev-bind-try", str(device), str(device))
