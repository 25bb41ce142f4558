"""How fast rented machines really were: finished runs correct the table of :mod:`remote.prices`. Pure.

A run's plan keeps what the training would have taken on this machine; its training says what it took there. The
quotient is a measured speed; divided by the table's it is a correction, of which the median over the runs on that kind
of hardware counts. Only trainings that did all their epochs are compared: one that its clock or early stopping cut
short did less than was estimated. Short ones mostly measure imports, so they are left out.
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from remote import prices

SHORTEST_S = 60.0  # on this machine
PLAUSIBLE = (0.1, 10.0)  # a measured speed further from the table was a mishap, not a speed


@dataclass(frozen=True, slots=True)
class Measured:
    hardware: str  # as the offer described it
    here_s: float  # estimated for this machine
    seconds: float  # what it took there


def read(manifest: Mapping[str, Any]) -> Measured | None:
    """What a run's ``run.json`` tells, if it can be compared. Old or broken manifests tell nothing."""
    seconds, training = manifest.get("seconds"), manifest.get("training")
    if not (isinstance(seconds, Mapping) and isinstance(training, Mapping)):
        return None
    here, took, hardware = (
        seconds.get("training_here"),
        seconds.get("training_actual"),
        manifest.get("hardware"),
    )
    if not (isinstance(here, int | float) and isinstance(took, int | float) and isinstance(hardware, str)):
        return None
    if training.get("stopped") != "epochs" or here < SHORTEST_S or took <= 0:
        return None
    return Measured(hardware, float(here), float(took))


def learned(runs: Iterable[Measured], reference_cores: int) -> dict[str, float]:
    """GPU name, or "cpu", to the median of measured speed by table speed."""
    found: dict[str, list[float]] = {}
    for run in runs:
        known = _by_table(run.hardware, reference_cores)
        if known is None:
            continue
        name, speed = known
        correction = run.here_s / run.seconds / speed
        if PLAUSIBLE[0] <= correction <= PLAUSIBLE[1]:
            found.setdefault(name, []).append(correction)
    return {name: round(statistics.median(values), 3) for name, values in found.items()}


def _by_table(hardware: str, reference_cores: int) -> tuple[str, float] | None:
    host = re.search(r"(\d+) (CPU core|vCPU)", hardware)
    if host is None:
        return None
    cores = int(host[1]) if host[2] == "CPU core" else max(int(host[1]) // 2, 1)
    wanted = prices.gpus_of(hardware)
    if wanted is None:
        return "cpu", prices.relative_speed(None, 0, cores, reference_cores)
    model, count = wanted
    found = prices.find_gpu(prices.load("modal"), f"{model}:{count}")
    return found and (found[0].name, prices.relative_speed(found[0], count, cores, reference_cores))
