"""The first Python in the sandbox: take on limits, give up the uid, become the job.

Run as ``python -I -S launch.py '{"limits": {…}, "uid": 65534, "parent": null}' program argument…``. It is
started by path and uses the standard library only, as nothing else can be imported yet. It exists because
RLIMIT_NPROC must be set after bubblewrap has forked, and the uid changed after bubblewrap has mounted.

``limits``: RLIMIT name -> value. ``uid``: become this uid and gid. ``parent``: the pid with which the job
dies (where there is no bubblewrap to see to it). ``ready``: a file descriptor to which one byte goes when
all that has worked: the job cannot write to it, so it cannot pretend that the sandbox failed.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
REFUSED = 125  # exit code: the sandbox could not be made


def main(argv: list[str]) -> None:
    settings = json.loads(argv[0])
    _expendable()
    if settings["uid"] is not None:
        os.setresgid(*[settings["uid"]] * 3)
        os.setresuid(*[settings["uid"]] * 3)
    if settings["parent"] is not None:
        _die_with(settings["parent"])
    for name, value in settings["limits"].items():
        kind = getattr(resource, f"RLIMIT_{name}")
        hard = resource.getrlimit(kind)[1]
        allowed = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (allowed, allowed))
    # Python ignores SIGXFSZ and SIGPIPE for itself; a job of another language should not inherit that.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.write(settings["ready"], b"1")
    os.close(settings["ready"])
    os.execv(argv[1], argv[1:])  # noqa: S606 - an argument list; no shell


def _expendable() -> None:
    """When the machine runs out of memory, the kernel shall take the job and not the bot."""
    try:
        Path("/proc/self/oom_score_adj").write_text("500")
    except OSError:  # a hardened kernel: a preference lost, nothing more
        return


def _die_with(parent: int) -> None:
    import ctypes  # 10 ms, and only needed without bubblewrap

    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if os.getppid() != parent:  # it died before the line above
        sys.exit(REFUSED)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except (OSError, ValueError, KeyError) as error:
        sys.stderr.write(f"launch: {error}\n")
        sys.exit(REFUSED)
