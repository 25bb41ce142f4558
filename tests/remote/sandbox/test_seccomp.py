"""The filter of system calls, run by a small interpreter: so both processors' filters are tested on either.

That the kernel takes it, and that real calls meet it, is shown by ``tests/remote/redteam``; that torch,
scikit-learn and matplotlib live with it, at the end of this file.
"""

from __future__ import annotations

import errno
import os
import struct
from pathlib import Path

import pytest

from remote.backend import Need
from remote.sandbox import seccomp
from tests.remote.sandbox.jobs import job, local, run

ALLOW, KILL = 0x7FFF0000, 0x80000000
MACHINES = list(seccomp.ARCHITECTURES)
on_both = pytest.mark.parametrize("machine", MACHINES)


def answer(
    machine: str, number: int, *arguments: int, architecture: int | None = None, gpu: bool = False
) -> int:
    """What the kernel would do: the program's return value, and an error when it jumps wrongly."""
    code = list(struct.iter_unpack("=HBBI", seccomp.program(machine, gpu=gpu)))
    six = [*arguments, *[0] * (6 - len(arguments))]
    kind = seccomp.ARCHITECTURES[machine] if architecture is None else architecture
    data = struct.pack("=iIQ6Q", number, kind, 0, *six)
    at = loaded = 0
    while True:
        operation, if_true, if_false, value = code[at]
        at += 1
        if operation == 0x20:
            (loaded,) = struct.unpack_from("=I", data, value)
        elif operation == 0x06:
            return int(value)
        else:
            holds = {0x15: loaded == value, 0x25: loaded > value, 0x45: bool(loaded & value)}[operation]
            at += if_true if holds else if_false


def refused(error: int) -> int:
    return 0x00050000 | error


@on_both
def test_every_instruction_jumps_forward_inside_the_program(machine: str) -> None:
    code = list(struct.iter_unpack("=HBBI", seccomp.program(machine)))
    assert len(code) <= 4096  # the kernel's limit
    assert code[-1] == (0x06, 0, 0, ALLOW)
    for at, (operation, if_true, if_false, _) in enumerate(code):
        assert operation in (0x20, 0x06, 0x15, 0x25, 0x45)
        assert at + 1 + max(if_true, if_false) < len(code) or operation == 0x06


@on_both
def test_usual_calls_pass(machine: str) -> None:
    column = MACHINES.index(machine)
    usual = {
        "read": (0, 63),
        "write": (1, 64),
        "mmap": (9, 222),
        "futex": (202, 98),
        "execve": (59, 221),
        "getrandom": (318, 278),
        "sched_setaffinity": (203, 122),
        "kill": (62, 129),
        "rseq": (334, 293),
        "mseal": (462, 462),
    }
    for name, numbers in usual.items():
        assert answer(machine, numbers[column]) == ALLOW, name


@on_both
def test_refused_calls_are_refused_whatever_their_arguments(machine: str) -> None:
    column = MACHINES.index(machine)
    tables = ((seccomp._REFUSED, errno.EPERM), (seccomp._MISSING, errno.ENOSYS))
    for table, error in tables:
        for name, numbers in table.items():
            number = numbers[column]
            if number is not None:
                assert answer(machine, number, *[2**64 - 1] * 6) == refused(error), name
                assert answer(machine, number) == refused(error), name


@on_both
def test_a_gpu_opens_what_its_libraries_use_and_no_more(machine: str) -> None:
    column = MACHINES.index(machine)
    opened = {
        name
        for name, numbers in {**seccomp._REFUSED, **seccomp._MISSING}.items()
        if (number := numbers[column]) is not None and answer(machine, number, gpu=True) == ALLOW
    }
    assert opened == {"memfd_create", "pidfd_getfd", "process_vm_readv", "process_vm_writev"}


@on_both
def test_calls_of_other_kinds_and_of_the_future_are_not_there(machine: str) -> None:
    assert answer(machine, 39, architecture=0x40000003) == KILL  # i386
    assert answer(machine, 463) == refused(errno.ENOSYS)
    assert answer(machine, 0x40000000 | 39) == refused(errno.ENOSYS)  # x32
    assert answer(machine, -1) == refused(errno.ENOSYS)


@on_both
@pytest.mark.parametrize(
    ("name", "arguments", "error"),
    [
        ("clone", (0x3D0F00,), None),  # a thread, as glibc makes it
        ("clone", (0x01200011,), None),  # a process
        ("clone", (0x10000011,), errno.EPERM),
        ("clone", (0x40000011 | 2**40,), errno.EPERM),
        ("fchmod", (3, 0o755), None),
        ("fchmod", (3, 0o4755), errno.EPERM),
        ("fchmodat", (3, 0, 0o2755), errno.EPERM),
        ("openat", (3, 0, 0o101, 0o644), None),
        ("openat", (3, 0, 0o101, 0o4644), errno.EPERM),
        ("openat", (3, 0, 0, 0o4644), None),  # nothing is made: the mode is whatever stood there
        ("mknodat", (3, 0, 0o102755), errno.EPERM),
        ("ioctl", (0, 0x5401), None),
        ("ioctl", (0, 0x5412), errno.EPERM),
        ("ioctl", (0, 0x5412 | 2**33), errno.EPERM),
        ("ioctl", (0, 0x541C), errno.EPERM),
        ("ioctl", (0, 0x5423), errno.EPERM),
        ("socket", (1, 1, 0), None),
        ("socket", (2, 2, 17), None),
        ("socket", (10, 1, 0), None),
        ("socket", (16, 3, 0), None),
        ("socket", (16, 3, 9), errno.EAFNOSUPPORT),
        ("socket", (40, 1, 0), errno.EAFNOSUPPORT),
        ("socket", (38, 5, 0), errno.EAFNOSUPPORT),
        ("socket", (17, 3, 0), errno.EAFNOSUPPORT),
        ("socketpair", (1, 1, 0), None),
        ("socketpair", (40, 1, 0), errno.EAFNOSUPPORT),
    ],
)
def test_arguments_decide(machine: str, name: str, arguments: tuple[int, ...], error: int | None) -> None:
    numbers = {check.call: check.numbers for check in seccomp._CHECKS}
    numbers |= {"ioctl": seccomp._IOCTL, "socket": seccomp._SOCKET, "socketpair": seccomp._SOCKETPAIR}
    number = numbers[name][MACHINES.index(machine)]
    assert number is not None
    assert answer(machine, number, *arguments) == (ALLOW if error is None else refused(error))


def test_numbers_are_those_of_this_machines_headers() -> None:
    header = Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h")
    if not header.exists():
        pytest.skip("the kernel's headers are not installed")
    known = dict(
        line.split()[1:3] for line in header.read_text().splitlines() if line.startswith("#define __NR_")
    )
    tables = {
        **seccomp._REFUSED,
        **seccomp._MISSING,
        **{check.call: check.numbers for check in seccomp._CHECKS},
    }
    compared = {name: numbers[0] for name, numbers in tables.items() if f"__NR_{name}" in known}
    assert len(compared) > 60
    assert compared == {name: int(known[f"__NR_{name}"]) for name in compared}


def test_an_unknown_processor_is_said() -> None:
    with pytest.raises(ValueError, match="riscv64"):
        seccomp.program("riscv64")


@pytest.mark.slow
async def test_the_libraries_of_a_training_live_with_it(tmp_path: Path) -> None:
    code = """
        import numpy as np, torch, matplotlib
        matplotlib.use("agg")
        import matplotlib.pyplot as plt
        from joblib import Parallel, delayed
        from sklearn.ensemble import RandomForestClassifier
        from torch.utils.data import DataLoader, TensorDataset
        x, y = np.random.default_rng(0).normal(size=(200, 5)), np.arange(200) % 2
        score = RandomForestClassifier(n_estimators=5, n_jobs=2, random_state=0).fit(x, y).score(x, y)
        squares = Parallel(n_jobs=2)(delayed(pow)(n, 2) for n in range(4))
        layer = torch.nn.Linear(5, 1)
        layer(torch.tensor(x, dtype=torch.float32)).sum().backward()
        batches = len(list(DataLoader(TensorDataset(torch.zeros(8, 2)), batch_size=2, num_workers=2)))
        plt.plot([1, 2]); plt.savefig("out/plot.png")
        emit.result({"score": score > 0.5, "squares": squares, "batches": batches,
                     "gradient": layer.weight.grad is not None, "plot": os.path.getsize("out/plot.png") > 1000})
    """
    need = Need(timeout_s=180, memory_mb=4096, disk_mb=512, processes=256)
    ended = await run(local(tmp_path), tmp_path, job(tmp_path, code, need=need))
    assert ended.result == {
        "score": True,
        "squares": [0, 1, 4, 9],
        "batches": 4,
        "gradient": True,
        "plot": True,
    }


def test_the_filter_is_for_this_machine() -> None:
    assert os.uname().machine in seccomp.ARCHITECTURES, "jobs cannot be shut in on this processor"
