"""Several processes that train as one, each with its own GPU: data-parallel training on one machine.

``torchrun --nproc-per-node 8 train.py --config config.json`` starts them, and so does the script itself where it
sees more than one GPU (:func:`launch`).

Every step's rows are dealt out to the processes and the gradients of their losses are summed, each loss being a
share of the whole step's mean. So rows a step, learning rates and the order of the rows stay what they are on one
GPU, and the weights after a step differ by rounding only. What depends on a clock, on chance or on a long
computation is decided by the first process and told to the others: all take the same road, or they would wait for
one another for ever.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

T = TypeVar("T")

PATIENCE = timedelta(minutes=30)  # the first process may fit a large linear model while the others wait
_MEMBER = ("RANK", "LOCAL_RANK", "WORLD_SIZE")  # what torchrun tells each process


class PeerLost(Exception):
    """Another process of the team is gone; it, or who started it, says why."""


@contextlib.contextmanager
def _together() -> Iterator[None]:
    """What the libraries raise where a peer is gone: a RuntimeError, whose words differ."""
    try:
        yield
    except RuntimeError as error:
        raise PeerLost(str(error)) from error


@dataclass(frozen=True, slots=True)
class Team:
    """The processes of one training; alone by default."""

    rank: int = 0
    local_rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this is the one that speaks, decides and writes files."""
        return self.rank == 0

    def share(self, items: Sequence[T]) -> list[T]:
        """This process's part, dealt out like cards: of rows sorted by length all get like lengths."""
        return list(items[self.rank :: self.size])

    def sum(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor, in place, by its sum over all processes. All tensors: one device, one dtype."""
        if self.size == 1 or not tensors:
            return
        flat = torch.cat([t.reshape(-1) for t in tensors])
        with _together():
            dist.all_reduce(flat)
        for tensor, total in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
            tensor.copy_(total.view_as(tensor))

    def agree(self, decide: Callable[[], T]) -> T:
        """What the first process decides; the others wait for it."""
        if self.size == 1:
            return decide()
        box: list[Any] = [decide() if self.leads else None]
        with _together():
            dist.broadcast_object_list(box, device=torch.device("cpu"))
        decided: T = box[0]
        return decided


@contextlib.contextmanager
def team() -> Iterator[Team]:
    """The team that this process was started in, by torchrun's environment; a team of one without it."""
    if not is_member():
        yield Team()
        return
    rank, local_rank, size = (int(os.environ[name]) for name in _MEMBER)
    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.set_device(local_rank)
    dist.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo", timeout=PATIENCE)
    try:
        yield Team(rank, local_rank, size)
    finally:
        dist.destroy_process_group()


def is_member() -> bool:
    return all(name in os.environ for name in _MEMBER)


def wanted(processes: int, device: str) -> int:
    """How many to start; ``processes`` 0: one a GPU. One inside a team: it is there already."""
    if is_member():
        return 1
    if processes:
        return processes
    return max(torch.cuda.device_count(), 1) if device in ("auto", "cuda") else 1


def launch(processes: int, script: Path, config: Path) -> tuple[int, bool, str]:
    """Run ``script`` in so many processes and pass on what they write.

    Returns torchrun's exit code, whether one of them said ``failed``, and a sentence on what ended a process that
    did not. SIGTERM is handed on, so that the team can write its checkpoint.
    """
    command = [
        *(sys.executable, "-m", "torch.distributed.run"),
        # By number: where there is no network, "localhost" and the host's own name may mean nothing.
        *("--rdzv-backend", "c10d", "--rdzv-endpoint", "127.0.0.1:0", "--local-addr", "127.0.0.1"),
        *("--nproc-per-node", str(processes), str(script), "--config", str(config)),
    ]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    env = {"OMP_NUM_THREADS": str(max(cores // processes, 1)), "GLOO_SOCKET_IFNAME": "lo"} | dict(os.environ)
    child = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace", env=env
    )
    ended: list[str] = []
    errors = threading.Thread(target=_pass_on, args=(child.stderr, ended), daemon=True)
    before = signal.signal(signal.SIGTERM, lambda *_: child.terminate())
    said = False
    with child:
        errors.start()
        try:
            for line in child.stdout or ():
                sys.stdout.write(line)
                sys.stdout.flush()
                said = said or (line.startswith("{") and '"type": "failed"' in line)
        finally:
            signal.signal(signal.SIGTERM, before)
            if child.poll() is None:
                child.terminate()
            errors.join()
    killed = f"One of the {processes} processes was ended by signal {ended[0]}." if ended else ""
    return child.wait(), said, killed


def _pass_on(lines: Iterable[str] | None, ended: list[str]) -> None:
    """What is said on stderr, and by which signals torchrun says that processes ended."""
    for line in lines or ():
        sys.stderr.write(line)
        ended += re.findall(r"exitcode\s*:\s*-(\d+)", line)
