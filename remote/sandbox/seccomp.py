"""Which system calls a sandboxed job may not make: a BPF program that bubblewrap loads before the job starts.

A list of what is refused, not of what is allowed: numerical libraries use a wide and changing set of calls,
while what reaches beyond a process is few and known (compare Docker's default profile and systemd's
``@privileged``, ``@debug``, ``@mount``). The name spaces and the missing capabilities already stop most of
these; this removes the kernel code behind them, which is where sandboxes have been broken. Also refused is what
no other fence sees: memory that belongs to no process (``memfd_create``, ``shmget``: the supervisor's watch
could not count it), and sockets of families that ignore network name spaces (``AF_VSOCK`` reaches the host of a
virtual machine).

A call newer than this table, and one of another architecture's interface (x32), is "not implemented": libraries
then fall back to the older one. An i386 call ends the process: 64-bit programs have no reason to make one.

The assembler is forty lines because a program of this kind needs four instructions; numbers are those of Linux's
``unistd_64.h`` and ``asm-generic/unistd.h``. Standard library only.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_LOAD, _EQUAL, _ABOVE, _ANY_BIT, _RETURN = 0x20, 0x15, 0x25, 0x45, 0x06
_NUMBER, _ARCHITECTURE = 0, 4  # offsets in struct seccomp_data
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000

# Namespace flags of clone(2) and unshare(2): mount, cgroup, uts, ipc, user, pid, net.
_NEW_NAMESPACES = 0x00020000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000
_SET_ID_BITS = 0o6000
_O_CREAT = 0o100
_TIOCSTI, _TIOCLINUX, _TIOCSETD = 0x5412, 0x541C, 0x5423  # type into, and reconfigure, somebody's terminal
_AF_UNIX, _AF_INET, _AF_INET6, _AF_NETLINK = 1, 2, 10, 16
_NEWEST = 462  # mseal, Linux 6.10: what comes after it is unknown here

# Machine as os.uname() names it -> AUDIT_ARCH_… of <linux/audit.h>.
ARCHITECTURES: Mapping[str, int] = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

# name -> its number on x86_64 and on aarch64; None: it does not exist there.
_REFUSED: Mapping[str, tuple[int | None, int | None]] = {
    # other processes
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "process_mrelease": (448, 448),
    "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
    # keys: they are not kept apart by name spaces
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    # mounts, roots and name spaces
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "unshare": (272, 97),
    "setns": (308, 268),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "fanotify_init": (300, 262),
    # the kernel itself
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "acct": (163, 89),
    "syslog": (103, 116),
    "personality": (135, 92),
    "lookup_dcookie": (212, 18),
    "vhangup": (153, 58),
    "iopl": (172, None),
    "ioperm": (173, None),
    "modify_ldt": (154, None),
    "uselib": (134, None),
    "create_module": (174, None),
    "query_module": (178, None),
    "_sysctl": (156, None),
    # clock and names of the machine
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "clock_adjtime": (305, 266),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    # memory that belongs to no process
    "shmget": (29, 194),
    "msgget": (68, 186),
}
# Refused as if this kernel did not have them, so that a library falls back. clone3 and openat2 hide their flags
# behind a pointer, where no filter can look.
_MISSING: Mapping[str, tuple[int | None, int | None]] = {
    "clone3": (435, 435),
    "openat2": (437, 437),
    "fchmodat2": (452, 452),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
}

# What libraries of several GPUs use between a job's own processes (CUDA's and NCCL's shared memory). With a GPU
# memory cannot be limited by rlimits either; the name spaces still keep other processes out of reach.
_FOR_GPUS = {"memfd_create", "pidfd_getfd", "process_vm_readv", "process_vm_writev"}


@dataclass(frozen=True, slots=True)
class Check:
    """The call is answered with ``error`` when each of ``bits`` (argument number, mask) has a bit set."""

    call: str
    numbers: tuple[int | None, int | None]
    bits: tuple[tuple[int, int], ...]
    error: int = errno.EPERM


_CHECKS = (
    Check("clone", (56, 220), ((0, _NEW_NAMESPACES),)),
    # A setuid file in out/ would belong to a person of this machine where no uid of its own is at hand.
    Check("chmod", (90, None), ((1, _SET_ID_BITS),)),
    Check("fchmod", (91, 52), ((1, _SET_ID_BITS),)),
    Check("fchmodat", (268, 53), ((2, _SET_ID_BITS),)),
    Check("mknod", (133, None), ((1, _SET_ID_BITS),)),
    Check("mknodat", (259, 33), ((2, _SET_ID_BITS),)),
    Check("creat", (85, None), ((1, _SET_ID_BITS),)),
    Check("open", (2, None), ((1, _O_CREAT), (2, _SET_ID_BITS))),
    Check("openat", (257, 56), ((2, _O_CREAT), (3, _SET_ID_BITS))),
)
_IOCTL, _SOCKET, _SOCKETPAIR = (16, 29), (41, 198), (53, 199)


def program(machine: str, *, gpu: bool = False) -> bytes:
    """The filter for ``machine`` (``os.uname().machine``): an array of ``struct sock_filter`` as bubblewrap's
    ``--seccomp`` reads it. Raises ValueError for a machine that is not in :data:`ARCHITECTURES`."""
    allowed = _FOR_GPUS if gpu else set()
    if machine not in ARCHITECTURES:
        raise ValueError(f"There is no table of system calls for {machine!r}: use x86_64 or aarch64.")
    column = list(ARCHITECTURES).index(machine)
    code = [
        _op(_LOAD, _ARCHITECTURE),
        _op(_EQUAL, ARCHITECTURES[machine], 1, 0),
        _op(_RETURN, _KILL),
        _op(_LOAD, _NUMBER),
        _op(_ABOVE, _NEWEST, 0, 1),  # the numbers of x32 are above it as well
        _op(_RETURN, _ERRNO | errno.ENOSYS),
    ]
    for names, error in ((_REFUSED, errno.EPERM), (_MISSING, errno.ENOSYS)):
        for name, numbers in names.items():
            if name not in allowed:
                code += _on(numbers[column], [_op(_RETURN, _ERRNO | error)])
    for check in _CHECKS:
        code += _on(check.numbers[column], _bits(check))
    code += _on(_IOCTL[column], _ioctl())
    for numbers in (_SOCKET, _SOCKETPAIR):
        code += _on(numbers[column], _family())
    return b"".join([*code, _op(_RETURN, _ALLOW)])


def _op(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    """One ``struct sock_filter``; the jumps count instructions to pass over."""
    return struct.pack("=HBBI", code, if_true, if_false, value)


def _on(number: int | None, body: Sequence[bytes]) -> list[bytes]:
    """``body`` for the call ``number``. It must return; the call's number stays loaded for what follows."""
    return [] if number is None else [_op(_EQUAL, number, 0, len(body)), *body]


def _argument(index: int) -> bytes:
    """Loads the low half of an argument: flags, modes and families are 32 bits wide for the kernel too."""
    return _op(_LOAD, 16 + 8 * index)


def _bits(check: Check) -> list[bytes]:
    body = [_op(_RETURN, _ERRNO | check.error), _op(_RETURN, _ALLOW)]
    for argument, mask in reversed(check.bits):
        body = [_argument(argument), _op(_ANY_BIT, mask, 0, len(body) - 1), *body]
    return body


def _ioctl() -> list[bytes]:
    refused, allowed = _op(_RETURN, _ERRNO | errno.EPERM), _op(_RETURN, _ALLOW)
    requests = (_TIOCSTI, _TIOCLINUX, _TIOCSETD)
    tests = [_op(_EQUAL, request, len(requests) - at, 0) for at, request in enumerate(requests)]
    return [_argument(1), *tests, allowed, refused]


def _family() -> list[bytes]:
    """Local and internet sockets, and netlink for addresses and routes (protocol 0) only."""
    refused, allowed = _op(_RETURN, _ERRNO | errno.EAFNOSUPPORT), _op(_RETURN, _ALLOW)
    return [
        _argument(0),
        _op(_EQUAL, _AF_UNIX, 6, 0),
        _op(_EQUAL, _AF_INET, 5, 0),
        _op(_EQUAL, _AF_INET6, 4, 0),
        _op(_EQUAL, _AF_NETLINK, 0, 2),
        _argument(2),
        _op(_EQUAL, 0, 1, 0),
        refused,
        allowed,
    ]
