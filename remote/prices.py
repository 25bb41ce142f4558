"""What rented hardware costs and how fast it is: pure functions over a table of prices.

Design decisions:

- **A price has a source and a date.** The table that ships is ``prices.toml``; where the provider can be asked, its
  own rates replace the numbers (:func:`with_live_rates`). A rate that is not understood makes the price unknown,
  which is a question to a person, never a guess.
- **Speed is an estimate and says so.** ``estimated_s`` is the time on this machine's processor, from the smoke test.
  A GPU's time follows from its data sheet: a small encoder uses the less of a card the larger it is, hence an
  exponent below one. The anchor is a T4 at 12 times two cores (the recipe at sequence length 128, in mixed
  precision). ``corrections`` are what finished runs measured (:mod:`remote.speeds`).
- **Estimates round up to be honest**: the cold start is paid for, and so is the memory that is asked for. Each has a
  low and a high: a data sheet tells a small model's speed to a factor of about two, finished runs tell it better.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cache
from pathlib import Path

from remote.backend import Need, Offer

PRICES = Path(__file__).with_name("prices.toml")

CPU_CORES = 4  # physical cores of a CPU offer when the need does not say
GPU_CORES = 2  # beside each GPU: they feed it
MAX_GPUS = 8  # on one node

_T4_TFLOPS = 65.0
_T4_SPEED = 12.0  # times two cores
_ANCHOR_CORES = 2
_TFLOPS_EXPONENT = 0.6
_CORES_EXPONENT = 0.7  # twice the cores are 1.6 times as fast
_GPUS_EXPONENT = 0.9  # data-parallel training on one node
SPREAD = (0.6, 2.0)  # of the time on hardware that no run has measured
MEASURED_SPREAD = (0.8, 1.4)
_PLAUSIBLE = (0.2, 5.0)  # a live rate this far from the table is in another unit


Corrections = Callable[[], Mapping[str, float]]  # see :func:`relative_speed`


@dataclass(frozen=True, slots=True)
class Gpu:
    name: str  # as the provider takes it
    usd_per_s: float | None
    memory_gib: int
    tflops: float
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PriceTable:
    source: str
    as_of: str  # ISO date
    cpu_core_usd_per_s: float | None
    memory_gib_usd_per_s: float | None
    sandbox_factor: float
    cold_start_s: float
    gpus: tuple[Gpu, ...]  # cheapest first


@cache
def load(provider: str, path: Path = PRICES) -> PriceTable:
    """The provider's section of ``prices.toml``. Raises KeyError for a provider that has none."""
    section = tomllib.loads(path.read_text("utf-8"))[provider]
    gpus = tuple(
        Gpu(
            str(gpu["name"]),
            gpu.get("usd_per_s"),
            int(gpu["memory_gib"]),
            float(gpu["tflops"]),
            tuple(gpu.get("aliases", ())),
        )
        for gpu in section["gpus"]
    )
    return PriceTable(
        source=str(section["source"]),
        as_of=str(section["as_of"]),
        cpu_core_usd_per_s=section.get("cpu_core_usd_per_s"),
        memory_gib_usd_per_s=section.get("memory_gib_usd_per_s"),
        sandbox_factor=float(section.get("sandbox_factor", 1.0)),
        cold_start_s=float(section["cold_start_s"]),
        gpus=gpus,
    )


def with_live_rates(table: PriceTable, rates: Mapping[str, Decimal], source: str, as_of: str) -> PriceTable:
    """``table`` with the provider's own numbers, USD a second or an hour.

    The provider's names are not documented, so they are looked for (``gpu_h100``, ``NVIDIA A100 80GB`` …); what
    cannot be found, or is not near the known price in either unit, becomes unknown.
    """
    cpu, cpu_is_sandbox = _rate(rates, r"CPU", table.cpu_core_usd_per_s, table.sandbox_factor)
    memory, memory_is_sandbox = _rate(
        rates, r"(MEMORY|MEM|RAM)", table.memory_gib_usd_per_s, table.sandbox_factor
    )
    gpus = tuple(
        replace(gpu, usd_per_s=_rate(rates, _gpu_pattern(gpu), gpu.usd_per_s)[0]) for gpu in table.gpus
    )
    return replace(
        table,
        source=source,
        as_of=as_of,
        cpu_core_usd_per_s=cpu,
        memory_gib_usd_per_s=memory,
        sandbox_factor=1.0 if cpu_is_sandbox and memory_is_sandbox else table.sandbox_factor,
        gpus=gpus,
    )


def find_gpu(table: PriceTable, wanted: str) -> tuple[Gpu, int] | None:
    """``"H100"``, ``"a100"`` or ``"H100:8"`` as (GPU, count); ``None`` for what the provider does not have."""
    name, _, count = wanted.strip().partition(":")
    if count and not (count.isdecimal() and 1 <= int(count) <= MAX_GPUS):
        return None
    for gpu in table.gpus:
        if name.upper() in (gpu.name, *gpu.aliases):
            return gpu, int(count or 1)
    return None


def usd_per_s(table: PriceTable, gpu: Gpu | None, count: int, cores: int, memory_mb: int) -> float | None:
    """What a sandbox of this size costs a second; ``None`` when any part of it is unknown."""
    if table.cpu_core_usd_per_s is None or table.memory_gib_usd_per_s is None:
        return None
    host = cores * table.cpu_core_usd_per_s + memory_mb / 1024 * table.memory_gib_usd_per_s
    total = host * table.sandbox_factor
    if gpu is None:
        return total
    return None if gpu.usd_per_s is None else total + count * gpu.usd_per_s


def relative_speed(
    gpu: Gpu | None,
    count: int,
    cores: int,
    reference_cores: int,
    corrections: Mapping[str, float] | None = None,
) -> float:
    """How many times faster than this machine's ``reference_cores``. ``corrections``: GPU name, or "cpu", to the
    measured speed divided by the one of this table."""
    correction = (corrections or {}).get(gpu.name if gpu else "cpu", 1.0)
    if gpu is None:
        return correction * math.pow(cores / reference_cores, _CORES_EXPONENT)
    here = math.pow(_ANCHOR_CORES / reference_cores, _CORES_EXPONENT)
    card = _T4_SPEED * math.pow(gpu.tflops / _T4_TFLOPS, _TFLOPS_EXPONENT)
    return correction * here * card * math.pow(count, _GPUS_EXPONENT)


def hardware(gpu: Gpu | None, count: int, cores: int, memory_mb: int) -> str:
    """Such as "H100 (80 GB), 2 CPU cores, 8 GB"; :func:`gpu_of` reads it back."""
    host = f"{cores} CPU core{'s' if cores != 1 else ''}, {round(memory_mb / 1024)} GB"
    if gpu is None:
        return host
    return f"{gpu.name}{f':{count}' if count > 1 else ''} ({gpu.memory_gib} GB), {host}"


def gpu_of(described: str) -> str | None:
    """What to put into ``Need.gpu`` for an offer's ``hardware``; ``None`` for an offer without a GPU."""
    name, paren, _ = described.partition(" (")
    return name if paren and "," not in name else None


def gpus_of(described: str) -> tuple[str, int] | None:
    """Model and number of an offer's GPUs, in any provider's way of writing: "H100:8 (80 GB), …" or
    "l4x4 (4 × L4, 24 GB), …"; ``None`` without a GPU."""
    if found := re.search(r"\((\d+) × (?:NVIDIA )?([^,()]+),", described, re.IGNORECASE):
        return found[2].strip().upper(), int(found[1])
    name, _, count = (gpu_of(described) or "").partition(":")
    return (name, int(count or 1)) if name and "no GPU" not in described else None


def same_model(wanted: str, model: str) -> bool:
    """Whether "a100" means ``model``: by its whole name, or by the one before its memory ("A100-40GB")."""
    return _bare(wanted) in (_bare(model), _bare(model.split("-")[0]))


def known_gpu(table: PriceTable, model: str) -> Gpu | None:
    """The table's GPU for a model as another provider writes it, such as "Nvidia A10G"."""
    wanted = _bare(model)
    return next((g for g in table.gpus for name in (g.name, *g.aliases) if _bare(name) == wanted), None)


def _bare(model: str) -> str:
    return re.sub(r"[^a-z0-9]", "", model.casefold().removeprefix("nvidia"))


def cores_for(need: Need) -> int:
    """Physical cores to ask for: what the need says, else enough to feed each GPU."""
    if need.cpus or need.gpu is None:
        return need.cpus or CPU_CORES
    _, _, count = need.gpu.partition(":")
    return GPU_CORES * int(count or 1)


def offers(
    table: PriceTable,
    need: Need,
    estimated_s: float,
    *,
    backend: str,
    isolation: str,
    reference_cores: int,
    corrections: Mapping[str, float] | None = None,
) -> list[Offer]:
    """The ladder for ``need``: its GPU alone if it names one, else the processor and ``need.gpus`` of every GPU."""
    wanted: list[tuple[Gpu | None, int]]
    if need.gpu is not None:
        found = find_gpu(table, need.gpu)
        wanted = [found] if found else []
    else:
        wanted = [(None, 0), *((gpu, need.gpus) for gpu in table.gpus)]
    made = []
    for gpu, count in wanted:
        cores = need.cpus or (GPU_CORES * count if gpu else CPU_CORES)
        rate = usd_per_s(table, gpu, count, cores, need.memory_mb)
        speed = relative_speed(gpu, count, cores, reference_cores, corrections)
        seconds = estimated_s / speed + table.cold_start_s
        low, high = spread(gpu.name if gpu else "cpu", corrections)
        made.append(
            Offer(
                backend=backend,
                hardware=hardware(gpu, count, cores, need.memory_mb),
                usd_per_hour=None if rate is None else round(rate * 3600, 4),
                estimated_s=round(seconds, 1),
                estimated_usd=None if rate is None else round(rate * seconds, 4),
                price_source=table.source,
                price_as_of=table.as_of,
                isolation=isolation,
                low_usd=None if rate is None else round(rate * seconds * low, 4),
                high_usd=None if rate is None else round(rate * seconds * high, 4),
            )
        )
    return made


def spread(name: str, corrections: Mapping[str, float] | None) -> tuple[float, float]:
    """Factors of low and high on an estimate; ``name``: the GPU's, or "cpu"."""
    return MEASURED_SPREAD if name in (corrections or {}) else SPREAD


def _gpu_pattern(gpu: Gpu) -> str:
    names = [r"[^A-Z0-9]?".join(re.split(r"[^A-Z0-9]", name)) for name in (gpu.name, *gpu.aliases)]
    return rf"({'|'.join(names)})"


def _rate(
    rates: Mapping[str, Decimal], pattern: str, known: float | None, sandbox_factor: float = 1.0
) -> tuple[float | None, bool]:
    """(USD a second, whether it is a sandbox's own rate)."""
    word = re.compile(rf"(?<![A-Z0-9]){pattern}(?![A-Z0-9])(?![^A-Z0-9]?\d+GB)")
    for sandbox in (True, False):
        for key, value in rates.items():
            upper = re.sub(r"[_\s]+", " ", key.upper())
            if ("SANDBOX" in upper) is not sandbox or not word.search(upper):
                continue
            expected = None if known is None else known * (sandbox_factor if sandbox else 1.0)
            for rate in (float(value), float(value) / 3600):
                if expected and _PLAUSIBLE[0] <= rate / expected <= _PLAUSIBLE[1]:
                    return rate, sandbox
    return None, False
