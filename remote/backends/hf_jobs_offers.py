"""The machines of HF Jobs: which of them fit, what they cost, how fast they are. Pure functions.

Prices are live (``list_jobs_hardware``, USD a minute) and fall back to ``prices.toml`` with its date. Whole
minutes are billed, from the machine's start on, so the time to install libraries is part of an estimate.
Speeds come from :mod:`remote.prices`; a GPU that is not in its table counts as a T4, the slowest, as an
estimate should not be too low.

An offer's ``hardware`` begins with the flavour's name (``t4-small (1 × T4, 16 GB), 4 vCPU, 15 GB``), so that
:func:`remote.prices.gpu_of` reads it back. ``Need.gpu`` may be that text, a flavour's name (of one without a GPU,
too), or a model such as ``T4``, ``A100`` or ``L4:4``.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from remote import prices
from remote.backend import Need, Offer

if TYPE_CHECKING:
    from huggingface_hub import JobHardwareInfo

LIVE_SOURCE = "Hugging Face's price list"
BACKEND = "hf_jobs"
ISOLATION = "container with network"
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_MINUTES = {"minute": 60.0, "hour": 1.0}  # how many of the unit make an hour


@dataclass(frozen=True, slots=True)
class Flavor:
    name: str
    vcpus: int
    memory_gib: float
    usd_per_hour: float | None
    gpu: str = ""
    gpus: int = 0
    vram_gib: float = 0.0  # of all of them

    @property
    def described(self) -> str:
        host = f"{self.vcpus} vCPU, {self.memory_gib:g} GB"
        gpu = f"{self.gpus} × {self.gpu}, {self.vram_gib / self.gpus:g} GB" if self.gpus else "no GPU"
        return f"{self.name} ({gpu}), {host}"


@dataclass(frozen=True, slots=True)
class Catalogue:
    flavors: tuple[Flavor, ...]
    source: str
    as_of: str  # ISO date


def live(hardware: Iterable[JobHardwareInfo], today: str) -> Catalogue:
    """From the provider's list. Raises ValueError or TypeError for an answer that is no such list."""
    return Catalogue(tuple(_flavor(each) for each in hardware), LIVE_SOURCE, today)


def _flavor(info: JobHardwareInfo) -> Flavor:
    per_hour = _MINUTES.get(info.unit_label)
    usd = None if per_hour is None else round(float(info.unit_cost_usd) * per_hour, 6)
    found = info.accelerator
    gpu, count, vram_gib = "", 0, 0.0
    if found is not None:
        gpu, count, vram_gib = found.model, int(_number(found.quantity)), _number(found.vram)
    return Flavor(info.name, int(_number(info.cpu)), _number(info.ram), usd, gpu, count, vram_gib)


def _number(words: str) -> float:
    found = _NUMBER.search(str(words))
    if found is None:
        raise ValueError(f"no number in {words!r}")
    return float(found[0])


def table() -> Catalogue:
    """The section ``hf_jobs`` of ``prices.toml``."""
    section = _section()
    flavors = tuple(
        Flavor(
            str(each["name"]),
            int(each["vcpus"]),
            float(each["memory_gib"]),
            each.get("usd_per_hour"),
            str(each.get("gpu", "")),
            int(each.get("gpus", 1 if "gpu" in each else 0)),
            float(each.get("vram_gib", 0.0)),
        )
        for each in section["flavors"]
    )
    return Catalogue(flavors, str(section["source"]), str(section["as_of"]))


def _section() -> Mapping[str, Any]:
    section: Mapping[str, Any] = tomllib.loads(prices.PRICES.read_text("utf-8"))[BACKEND]
    return section


def fitting(flavors: Sequence[Flavor], need: Need) -> list[Flavor]:
    """The flavours that satisfy ``need``, cheapest first, those of unknown price last. Where the
    need names no GPU, machines with another number of them than it says are left out."""
    found = [
        flavor
        for flavor in flavors
        if flavor.memory_gib * 1024 >= need.memory_mb
        and flavor.vcpus >= (need.cpus or 1)
        and (flavor.gpus in (0, need.gpus) if need.gpu is None else _is(flavor, need.gpu))
    ]
    return sorted(found, key=lambda f: (math.inf if f.usd_per_hour is None else f.usd_per_hour, f.name))


def _is(flavor: Flavor, wanted: str) -> bool:
    name = wanted.partition(" (")[0].strip().casefold()
    if name == flavor.name.casefold():
        return True
    model, _, count = name.partition(":")
    return (
        bool(flavor.gpu)
        and prices.same_model(model, flavor.gpu)
        and flavor.gpus == (int(count) if count.isdecimal() else 1)
    )


def choose(flavors: Sequence[Flavor], need: Need) -> Flavor | None:
    """The machine that a job gets: the cheapest that fits; without a GPU in the need, one without a GPU."""
    found = fitting(flavors, need)
    if need.gpu is None:
        found = [flavor for flavor in found if not flavor.gpus]
    return next(iter(found), None)


def offers(
    catalogue: Catalogue,
    need: Need,
    estimated_s: float,
    *,
    reference_cores: int,
    corrections: Mapping[str, float] | None = None,
) -> list[Offer]:
    """One offer a fitting flavour. ``reference_cores``: of the machine that ``estimated_s`` is for."""
    cold_start_s = float(_section()["cold_start_s"])
    made = []
    for flavor in fitting(catalogue.flavors, need):
        seconds = estimated_s / speed(flavor, reference_cores, corrections) + cold_start_s
        rate = flavor.usd_per_hour
        low, high = prices.spread(_known(flavor).name if flavor.gpus else "cpu", corrections)
        made.append(
            Offer(
                backend=BACKEND,
                hardware=flavor.described,
                usd_per_hour=rate,
                estimated_s=round(seconds, 1),
                estimated_usd=_usd(rate, seconds),
                price_source=catalogue.source,
                price_as_of=catalogue.as_of,
                isolation=ISOLATION,
                low_usd=_usd(rate, seconds * low),
                high_usd=_usd(rate, seconds * high),
            )
        )
    return made


def _usd(usd_per_hour: float | None, seconds: float) -> float | None:
    """Billed by the minute."""
    return None if usd_per_hour is None else round(usd_per_hour * math.ceil(seconds / 60) / 60, 4)


def speed(flavor: Flavor, reference_cores: int, corrections: Mapping[str, float] | None = None) -> float:
    """How many times faster than ``reference_cores`` of this machine. Two vCPUs are one physical core."""
    cores = max(1, flavor.vcpus // 2)
    if not flavor.gpus:
        return prices.relative_speed(None, 0, cores, reference_cores, corrections)
    return prices.relative_speed(_known(flavor), flavor.gpus, cores, reference_cores, corrections)


def _known(flavor: Flavor) -> prices.Gpu:
    """The flavour's GPU as the table has it; one that it does not have counts as its slowest."""
    table = prices.load("modal")
    return prices.known_gpu(table, flavor.gpu) or min(table.gpus, key=lambda gpu: gpu.tflops)
