"""A job's process together with its walls: starting both, and ending all of it.

bubblewrap and Docker end with their first process. Without walls a job may leave children behind that forked
twice and made a session of their own; they come to the supervisor, who is their subreaper, and are frozen before
they are killed, so that none can fork while the others die.
"""

from __future__ import annotations

import base64
import ctypes
import json
import os
import select
import signal
import subprocess
import zlib
from collections.abc import Sequence
from pathlib import Path

from remote.sandbox import userns, watch
from remote.sandbox.bubblewrap import Bubblewrap
from remote.sandbox.docker import KIND as DOCKER
from remote.sandbox.docker import Docker
from remote.sandbox.folder import JobFolder, SandboxSpec
from remote.sandbox.isolation import Command, Isolation, Unisolated, limits

_PR_SET_CHILD_SUBREAPER = 36
_END_S = 2.0
_ROUNDS = 200


class Box:
    def __init__(self, folder: JobFolder, spec: SandboxSpec) -> None:
        self._folder = folder
        self._spec = spec
        self._isolation: Isolation | None = None
        self._init_fd: int | None = None  # pidfd of the first process in the job's pid name space
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> subprocess.Popen[bytes]:
        """Raises OSError or ValueError when the job cannot be started here."""
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        uid = own_uid(self._spec)
        info, info_end = os.pipe()
        self._isolation = isolation(self._spec, self._folder.root, uid, info_end)
        if uid is not None:
            for path in (self._folder.out, self._folder.tmp):
                os.chown(path, uid, uid)
        argv = [self._spec.python, "-m", "remote.jobs"]
        command = shut_in(self._spec, self._isolation, self._folder.root, argv)
        self.process = subprocess.Popen(
            command.argv,
            cwd=self._folder.root,
            env=dict(command.env),
            stdin=subprocess.PIPE if command.stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
            pass_fds=command.pass_fds,
        )
        os.close(info_end)
        with os.fdopen(info, "rb") as answer:
            if self._isolation.info_fd is not None:
                self._init_fd = _init_of(answer.read())
        return self.process

    def kill(self) -> None:
        """The whole job, whatever it does with signals."""
        if self.process is None or self._isolation is None:
            return
        if self.process.returncode is None:
            _signal_group(self.process.pid)
        if self.process.stdin is not None:
            self.process.stdin.close()
        self._isolation.end()
        if self._spec.walls is None:
            _end_strays(self.process.pid)

    def wait_for_all(self) -> None:
        """bubblewrap may end before the processes in its name space have; nothing of them shall come after
        ``exit.json``. The kernel ends the name space's first process last."""
        if self._init_fd is None or not select.select([self._init_fd], [], [], _END_S)[0]:
            return
        try:  # it is ours when bubblewrap ended before it; a container's init may never reap it
            os.waitid(os.P_PIDFD, self._init_fd, os.WEXITED | os.WNOHANG)
        except ChildProcessError:
            return


def own_uid(spec: SandboxSpec) -> int | None:
    """The job's own uid on this machine when root starts it shut in, else ``None``."""
    return userns.outer_uid(spec.key) if spec.walls is not None and userns.needed() else None


def isolation(spec: SandboxSpec, root: Path, uid: int | None, info_fd: int | None = None) -> Isolation:
    """``root``: the job's folder. Raises OSError when the kernel refuses what it needs."""
    if spec.walls is None:
        return Unisolated(os.getpid())
    if spec.walls.kind == DOCKER:
        ids = (os.getuid(), os.getgid()) if uid is None else (uid, uid)
        return Docker(spec.walls, _container(root), *ids)
    return Bubblewrap(spec.walls.binary, None if uid is None else userns.make(uid), info_fd)


def _container(root: Path) -> str:
    """A name of its own for each folder: two homes may have a job of the same key."""
    return f"ml-intern-{root.name}-{zlib.crc32(bytes(root)):08x}"


def shut_in(spec: SandboxSpec, box: Isolation, root: Path, argv: Sequence[str]) -> Command:
    """The whole command: isolation around launcher around ``argv``."""
    package_root = Path(__file__).resolve().parents[2]
    launch = box.launch(spec.need)
    settings = {
        "limits": limits(spec.need, gpu=spec.need.gpu is not None, own_tasks=_own_tasks(spec)),
        "uid": launch.uid,
        "parent": launch.parent,
        "seccomp": base64.b64encode(launch.seccomp).decode(),
        "guard": launch.guard,
    }
    launcher = box.code(package_root) / "remote" / "sandbox" / "launch.py"
    inner = [spec.python, "-I", "-S", str(launcher), json.dumps(settings), *argv]
    return box.command(inner, root, spec.need, spec.binds, spec.env)


def _own_tasks(spec: SandboxSpec) -> int:
    """Since Linux 5.14 each user namespace counts its own processes; before, and without one, all of the
    user's. A container has no user namespace, but its pids are limited by Docker."""
    release = tuple(int(part) for part in os.uname().release.split("-")[0].split(".")[:2] if part.isdigit())
    alone = spec.walls is not None and spec.walls.kind != DOCKER and release >= (5, 14)
    return 0 if alone else watch.user_tasks(os.getuid())


def _init_of(info: bytes) -> int | None:
    """What bubblewrap wrote to its ``--info-fd``, as a pidfd; ``None`` when it failed or is already gone."""
    try:
        return os.pidfd_open(int(json.loads(info)["child-pid"]))
    except (ValueError, KeyError, OSError):
        return None


def _end_strays(known: int) -> None:
    """Everything below this process but ``known``, which :mod:`subprocess` reaps. Whole groups first: a process
    that only lives until it has forked the next one is gone before a signal to its pid arrives."""
    frozen: set[int] = set()
    for _ in range(_ROUNDS):
        fresh = [pid for pid in watch.tree(os.getpid()) if pid not in (os.getpid(), known, *frozen)]
        if not fresh:
            break
        groups = {group for pid in fresh if (group := _group(pid)) is not None}
        for group in groups - {os.getpgrp()}:
            _signal_group(group)
        for pid in fresh:
            _signal_one(pid, signal.SIGSTOP)
        frozen.update(fresh)
    for pid in frozen:
        _signal_one(pid, signal.SIGKILL)
    for pid in frozen:
        try:
            os.waitpid(pid, 0)
        except ChildProcessError:  # its own parent reaps it, or did
            continue


def _group(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None


def _signal_group(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


def _signal_one(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):  # gone, or it has become somebody else by a setuid program
        return
