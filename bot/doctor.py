"""``intern doctor``: what works here, and how to mend what does not. Never shows a secret.

The checks run at once, each within ``TIMEOUT_S``. What only the composition knows (backends, sources, the
store, the Hub's client) comes in as :class:`Probes`, so that this module needs none of their libraries.
``bad`` means that no run can work here; ``warn`` that something is missing which a run may do without.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TextIO

from bot.views import words
from graph.errors import GraphError
from remote.backend import Backend

if TYPE_CHECKING:
    from bot.settings import Settings

TIMEOUT_S = 6.0
MIN_PYTHON = (3, 11)
ENOUGH_DISK_BYTES = 4_000_000_000  # weights, data and a run's checkpoints
LEAST_DISK_BYTES = 500_000_000
PACKAGE = "ml-intern-for-teams"
HEAVY = ("torch", "transformers", "sklearn", "pandas", "safetensors", "matplotlib")
EXTRAS = {
    "slack": "slack_bolt",
    "discord": "discord",
    "modal": "modal",
    "llm": "langchain",
    "postgres": "psycopg",
}


class Verdict(StrEnum):
    OK = "ok"
    WARN = "warn"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Check:
    name: str
    verdict: Verdict
    what: str  # what was found
    mend: str = ""  # what to do about it


def _is_installed(module: str) -> bool:
    return find_spec(module) is not None


def _free_bytes(folder: Path) -> int:
    return shutil.disk_usage(folder).free


class Place(Protocol):
    """Where data and base models come from, as :class:`graph.deps.Source` says it."""

    name: str
    searchable: bool

    async def ready(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Probes:
    """How to find out. ``open_database`` gives the number of runs; ``whoami`` the account of the Hub's
    token; both raise :class:`graph.errors.GraphError` with a hint. ``sources``: name and ``ready()`` of
    each. ``surfaces``: what each chat surface that the settings ask for finds out by itself."""

    backends: Sequence[Backend] = ()
    sources: Sequence[Place] = ()
    open_database: Callable[[], Awaitable[int]] | None = None
    whoami: Callable[[], Awaitable[str]] | None = None
    llm: Callable[[], Awaitable[str]] | None = (
        None  # what it costs; raises GraphError; it is not asked anything
    )
    surfaces: Mapping[str, Callable[[], Awaitable[Sequence[Check]]]] = field(default_factory=dict)
    is_installed: Callable[[str], bool] = _is_installed
    free_bytes: Callable[[Path], int] = _free_bytes
    python: tuple[int, int, int] = sys.version_info[:3]


async def examine(settings: Settings, probes: Probes) -> list[Check]:
    """Every check, in the order in which a person would mend them."""
    groups = await asyncio.gather(
        _python(probes),
        _home(settings.home, probes),
        _database(probes),
        _libraries(probes),
        _backends(probes),
        _sources(probes),
        _account(settings, probes),
        _language_model(settings, probes),
        _surfaces(probes),
        _settings(settings, probes),
    )
    return [check for group in groups for check in group]


async def _python(probes: Probes) -> list[Check]:
    version = ".".join(map(str, probes.python))
    if probes.python[:2] >= MIN_PYTHON:
        return [Check("Python", Verdict.OK, version)]
    return [
        Check("Python", Verdict.BAD, version, "Install Python 3.11 or newer and make the environment anew.")
    ]


def _room(home: Path, probes: Probes) -> int:
    """Free bytes in ``home``, which is made and written to. Raises OSError."""
    home.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=home, prefix=".doctor-"):
        return probes.free_bytes(home)


async def _home(home: Path, probes: Probes) -> list[Check]:
    """Writable, and with room."""
    try:
        free = await asyncio.to_thread(_room, home, probes)
    except OSError as error:
        mend = "Set INTERN_HOME to a folder that you can write to."
        return [Check("Home", Verdict.BAD, f"{home}: {os.strerror(error.errno or 0)}", mend)]
    room = f"{home}, {words.size(free)} free"
    if free >= ENOUGH_DISK_BYTES:
        return [Check("Home", Verdict.OK, room)]
    verdict = Verdict.WARN if free >= LEAST_DISK_BYTES else Verdict.BAD
    return [
        Check("Home", verdict, room, f"Free some disk space: a run may need {words.size(ENOUGH_DISK_BYTES)}.")
    ]


async def _database(probes: Probes) -> list[Check]:
    if probes.open_database is None:
        return []
    try:
        runs = await asyncio.wait_for(probes.open_database(), TIMEOUT_S)
    except GraphError as error:
        return [
            Check(
                "Database", Verdict.BAD, error.detail, error.hint or "Look at INTERN_HOME and DATABASE_URL."
            )
        ]
    except TimeoutError:
        return [Check("Database", Verdict.BAD, "no answer", "Look at DATABASE_URL and at who has it locked.")]
    return [Check("Database", Verdict.OK, words.plural(runs, "run"))]


async def _libraries(probes: Probes) -> list[Check]:
    missing = [name for name in HEAVY if not probes.is_installed(name)]
    if missing:
        mend = f'pip install "{PACKAGE}[train]"'
        return [Check("Training libraries", Verdict.BAD, f"missing: {', '.join(missing)}", mend)]
    return [Check("Training libraries", Verdict.OK, ", ".join(HEAVY))]


async def _backends(probes: Probes) -> list[Check]:
    """One check a backend; that no backend works at all is what makes it bad."""
    checks = await asyncio.gather(*(_backend(backend) for backend in probes.backends))
    if any(check.verdict is Verdict.OK for check in checks):
        return list(checks)
    return [Check(check.name, Verdict.BAD, check.what, check.mend) for check in checks]


async def _backend(backend: Backend) -> Check:
    name = f"Backend {backend.name}"
    try:
        health = await asyncio.wait_for(backend.probe(), TIMEOUT_S)
    except TimeoutError:
        return Check(name, Verdict.WARN, f"no answer within {TIMEOUT_S:.0f} s", "Try again later.")
    if not health.ready:
        return Check(name, Verdict.WARN, health.detail or str(health.reason or "not ready"), health.hint)
    if health.isolation == "none":
        return Check(name, Verdict.WARN, "ready, but scripts are not isolated", health.hint)
    return Check(name, Verdict.OK, f"ready, isolated by {health.isolation}")


async def _sources(probes: Probes) -> list[Check]:
    places = [place for place in probes.sources if place.searchable]
    answers = await asyncio.gather(*map(_ready, places))
    missing = Verdict.WARN if any(answers) else Verdict.BAD
    mends = {
        "hub": "Check the network and HF_ENDPOINT; offline, the catalogue serves.",
        "catalogue": "It is fetched with pip once: check that pip reaches its index.",
    }
    return [
        Check(f"Source {place.name}", Verdict.OK, "reachable")
        if answer
        else Check(
            f"Source {place.name}", missing, "out of reach", mends.get(place.name, "Check the network.")
        )
        for place, answer in zip(places, answers, strict=True)
    ]


async def _ready(place: Place) -> bool:
    try:
        return await asyncio.wait_for(place.ready(), TIMEOUT_S)
    except TimeoutError:
        return False


async def _account(settings: Settings, probes: Probes) -> list[Check]:
    """Whose the Hub's token is; found out now, and not after a training."""
    name = "Hub account"
    if settings.hf_token is None or probes.whoami is None:
        return [Check(name, Verdict.OK, "none (only needed to publish to the Hub)")]
    try:
        who = await asyncio.wait_for(probes.whoami(), TIMEOUT_S)
    except GraphError as error:
        return [Check(name, Verdict.WARN, error.detail, error.hint or "Make a new token and set HF_TOKEN.")]
    except TimeoutError:
        return [Check(name, Verdict.WARN, "no answer", "Check the network and HF_ENDPOINT.")]
    return [Check(name, Verdict.OK, who)]


async def _language_model(settings: Settings, probes: Probes) -> list[Check]:
    """Set up, but not asked: a question would cost."""
    name = "Language model"
    if settings.llm is None or probes.llm is None:
        return [Check(name, Verdict.OK, "none (rules decide alone)")]
    try:
        return [Check(name, Verdict.OK, await probes.llm())]
    except GraphError as error:
        return [Check(name, Verdict.WARN, error.detail, error.hint)]


async def _surfaces(probes: Probes) -> list[Check]:
    """What each says of itself; one that says nothing in time cannot be served either."""
    groups = await asyncio.gather(*(_surface(name, ask) for name, ask in probes.surfaces.items()))
    return [check for group in groups for check in group]


async def _surface(name: str, ask: Callable[[], Awaitable[Sequence[Check]]]) -> Sequence[Check]:
    try:
        return await asyncio.wait_for(ask(), TIMEOUT_S)
    except TimeoutError:
        mend = "Check the network, then try again."
        return [Check(name.title(), Verdict.BAD, f"no answer within {TIMEOUT_S:.0f} s", mend)]


def asks_for_slack(settings: Settings) -> bool:
    """Whether anything of Slack is set, be it not enough."""
    own = (settings.slack_bot_token, settings.slack_app_token, settings.slack_signing_secret)
    return any(own) or settings.slack_client_id is not None


async def _settings(settings: Settings, probes: Probes) -> list[Check]:
    """What is set; and extras that a setting asks for but that are not installed."""
    described = [d for d in settings.described() if d.is_set]
    shown = ", ".join(f"{d.name}={d.shown}" if d.shown != "set" else f"{d.name} (set)" for d in described)
    checks = [Check("Settings", Verdict.OK, shown or "all at their defaults")]
    wanted = {
        "slack": asks_for_slack(settings),
        "discord": settings.discord_token is not None,
        "llm": settings.llm is not None,
        "postgres": settings.shares_database,
    }
    here = [extra for extra, module in EXTRAS.items() if probes.is_installed(module)]
    checks.append(Check("Extras", Verdict.OK, ", ".join(here) or "none installed"))
    for extra, is_wanted in wanted.items():
        if is_wanted and extra not in here:
            mend = f'pip install "{PACKAGE}[{extra}]"'
            checks.append(
                Check(f"Extra {extra}", Verdict.BAD, "asked for by the settings, not installed", mend)
            )
    return checks


def exit_code(checks: Sequence[Check]) -> int:
    """1 when something is bad."""
    return int(any(check.verdict is Verdict.BAD for check in checks))


def render_checks(checks: Sequence[Check], out: TextIO, *, columns: int | None = None) -> int:
    """Print the checks, each with what to do about it, and return the exit code."""
    from bot.cards import Bullets, Card, Style, Tone
    from bot.console import blocks
    from bot.console.terminal import open_console

    tones = {Verdict.OK: Tone.GOOD, Verdict.WARN: Tone.WARN, Verdict.BAD: Tone.BAD}
    console = open_console(out, columns=columns)
    for check in checks:
        body = (Bullets((check.mend,), Style.WARN),) if check.mend and check.verdict is not Verdict.OK else ()
        line = f"{check.name}: {check.what}"
        console.print(blocks.card(Card(check.name, "", line, body, tone=tones[check.verdict])))
    bad = sum(check.verdict is Verdict.BAD for check in checks)
    console.print(
        blocks.line(f"\n{words.plural(bad, 'thing')} to mend first." if bad else "\nReady.", "bold")
    )
    return exit_code(checks)
