"""The first Python in the sandbox: take on limits, give up the uid, become the job.

Run as ``python -I -S launch.py SETTINGS program argument…`` with SETTINGS as JSON. It is started by path and uses
the standard library only, as nothing else can be imported yet. It exists because RLIMIT_NPROC must be set after
the walls have forked, and the uid changed after they have mounted.

``limits``: RLIMIT name -> value. ``uid``: become this uid and gid. ``parent``: the pid with which the job dies
(where there are no walls to see to it). ``seccomp``: a filter to load, in base64 (where the walls do not load it).
``guard``: stay as the first process of the name space, reap its orphans, and end it when stdin closes: so a job dies
with the supervisor that holds the other end.

The last thing it says before the job starts is the line :data:`READY`. A job cannot take it back, so it cannot
pretend that the sandbox failed.
"""

from __future__ import annotations

import base64
import json
import os
import resource
import select
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

READY = "launch: ready"
REFUSED = 125  # exit code: the sandbox could not be made
_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_SECCOMP = 22
_PR_SET_NO_NEW_PRIVS = 38
_FILTER = 2  # SECCOMP_MODE_FILTER


def main(argv: list[str]) -> None:
    settings = json.loads(argv[0])
    _expendable()
    if settings["uid"] is not None:
        os.setgroups([])
        os.setresgid(*[settings["uid"]] * 3)
        os.setresuid(*[settings["uid"]] * 3)
    if settings["parent"] is not None:
        _die_with(settings["parent"])
    _limit(settings["limits"])
    os.umask(0o022)
    os.closerange(3, 65_536)  # nothing that the walls or the supervisor had open
    if settings["seccomp"]:
        _filter(base64.b64decode(settings["seccomp"]), needed=settings["guard"])
    if settings["guard"]:
        _guard()
    # Python ignores SIGXFSZ and SIGPIPE for itself; a job of another language should not inherit that.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.write(1, f"{READY}\n".encode())
    os.execv(argv[1], argv[1:])  # noqa: S606 - an argument list; no shell


def _limit(limits: Mapping[str, int]) -> None:
    for name, value in limits.items():
        kind = getattr(resource, f"RLIMIT_{name}")
        hard = resource.getrlimit(kind)[1]
        allowed = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (allowed, allowed))


def _guard() -> None:
    """Returns in a child only. The first process of a name space takes everything with it when it ends. It has the
    job's uid, so it closes its memory to others of that uid first; the job could rewrite it otherwise."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)  # without a handler there is no wake-up
    signal.set_wakeup_fd(writer)
    _libc().prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)  # until the next exec
    child = os.fork()
    if child == 0:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        return
    while True:
        readable, _, _ = select.select([0, reader], [], [])
        if 0 in readable and not os.read(0, 4096):
            os._exit(128 + signal.SIGKILL)
        if reader in readable:
            os.read(reader, 4096)
            _reap(child)


def _reap(child: int) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            os._exit(code if code >= 0 else 128 - code)


def _expendable() -> None:
    """When the machine runs out of memory, the kernel shall take the job and not the bot."""
    try:
        Path("/proc/self/oom_score_adj").write_text("500")
    except OSError:  # a hardened kernel: a preference lost, nothing more
        return


def _libc() -> Any:
    import ctypes  # here, as it takes 10 ms and the supervisor imports this module too

    return ctypes.CDLL(None, use_errno=True)


def _die_with(parent: int) -> None:
    libc = _libc()
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if os.getppid() != parent:  # it died before the line above
        sys.exit(REFUSED)


def _filter(program: bytes, *, needed: bool) -> None:
    """Load a seccomp filter. Raises OSError when the kernel does not take it and it is ``needed``: without walls it
    is a bonus."""
    import ctypes

    class Filter(ctypes.Structure):  # struct sock_fprog
        _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_char_p))

    libc = _libc()
    whole = Filter(len(program) // 8, program)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if libc.prctl(_PR_SET_SECCOMP, _FILTER, ctypes.byref(whole), 0, 0) != 0 and needed:
        raise OSError(ctypes.get_errno(), "the filter of system calls could not be loaded")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except (OSError, ValueError, KeyError) as error:
        sys.stderr.write(f"launch: {error}\n")
        sys.exit(REFUSED)
