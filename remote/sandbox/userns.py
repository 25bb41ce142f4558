"""A user namespace for a sandbox that root starts: root and one unused uid in it, and no further namespaces.

The kernel exempts uid 0 from RLIMIT_NPROC even inside a namespace, so the job must run as another uid; but
only root can open what lies below ``/root`` (a Python of pyenv, a virtual environment). In this namespace
bubblewrap mounts as root and the launcher then changes to the second uid, which owns nothing but the job's
``out/`` and ``tmp/``. Standard library only (``os.unshare`` needs Python 3.12, hence ctypes).
"""

from __future__ import annotations

import os
import zlib
from pathlib import Path

from remote.sandbox.isolation import INNER_ID

_CLONE_NEWUSER = 0x10000000
_FIRST_UID = 0x70000000  # far above what distributions hand out, also to containers


def needed() -> bool:
    """Whether this process is the machine's root, whom RLIMIT_NPROC does not bind."""
    return os.geteuid() == 0 and Path("/proc/self/uid_map").read_text().split()[:2] == ["0", "0"]


def outer_uid(key: str) -> int:
    """The uid (and gid) that the job of ``key`` has on this machine: its own, so jobs do not share a
    limit."""
    return _FIRST_UID + zlib.crc32(key.encode()) % 0x100000


def make(uid: int) -> int:
    """A descriptor of a new user namespace. Call it while this process has one thread; raises OSError."""
    from_child, to_parent = os.pipe()
    from_parent, to_child = os.pipe()
    pid = os.fork()
    if pid == 0:
        os._exit(_child(from_parent, to_parent))
    os.close(to_parent)
    os.close(from_parent)
    try:
        _expect(from_child, "unshare")
        for name in ("uid_map", "gid_map"):
            Path(f"/proc/{pid}/{name}").write_text(f"0 0 1\n{INNER_ID} {uid} 1\n")
        fd = os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
        os.write(to_child, b"1")
        _expect(from_child, "max_user_namespaces")
    finally:
        os.close(from_child)
        os.close(to_child)  # the child ends when it reads this end
        os.waitpid(pid, 0)
    return fd


def _expect(fd: int, step: str) -> None:
    if os.read(fd, 1) != b"1":
        raise OSError(f"no user namespace for the sandbox: {step} was refused")


def _child(from_parent: int, to_parent: int) -> int:
    import ctypes  # here, as whoever imports this module pays for it and only root needs it

    if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWUSER) != 0:
        return 1
    os.write(to_parent, b"1")
    if os.read(from_parent, 1) != b"1":
        return 1
    try:
        Path("/proc/sys/user/max_user_namespaces").write_text("0")
    except OSError:
        return 1
    os.write(to_parent, b"1")
    return 0
