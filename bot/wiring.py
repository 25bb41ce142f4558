"""Where everything is put together: settings in, an ``App`` out. The only module that knows every implementation."""

from __future__ import annotations

import os
import secrets
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from bot.chat.memory import ChatMemory
from bot.dispatch import Dispatch
from bot.doctor import Check, Probes, asks_for_slack
from bot.settings import Settings, database_path
from graph.deps import Deps, Literature, Publisher, Recipes, Source
from graph.driver import Driver
from graph.errors import SourceError
from graph.files import read_json
from graph.llm.client import LangChainModel
from graph.llm.model import LanguageModel
from graph.llm.prices import price_of
from graph.publishing.folder import FolderPublisher
from graph.publishing.hub import HubPublisher
from graph.research.cache import AnswerCache
from graph.research.catalogue import CatalogueSource
from graph.research.hub import HubSource
from graph.research.hubclient import HubClient
from graph.research.localfile import LocalFileSource
from graph.research.papers.arxiv import Arxiv
from graph.research.papers.github import GitHub
from graph.research.papers.source import PaperSource
from graph.store.checkpoints import sqlite_saver
from graph.store.sqlite import SqliteStore
from graph.store.surfaces import SurfaceTables
from remote import speeds
from remote.backend import Backend
from remote.backends.hf_jobs import HfJobsBackend
from remote.backends.local import LocalBackend
from remote.backends.modal import ModalBackend
from remote.recipes.registry import Registry
from remote.sandbox import machine

RUNS_COMPARED = 200
_ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"  # no letters that are read as digits


@dataclass(frozen=True, slots=True)
class App:
    dispatch: Dispatch
    deps: Deps
    settings: Settings
    memory: Callable[[str], ChatMemory]  # of a surface, by its name


@dataclass(frozen=True, slots=True)
class Parts:
    """What a test, or another composition, puts in the place of the real thing. ``None``: the real thing."""

    backends: Sequence[Backend] | None = None
    sources: Sequence[Source] | None = None
    publishers: Mapping[str, Publisher] | None = None
    recipes: Recipes | None = None
    literature: Literature | None = None
    llm: LanguageModel | None = None
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    clock: Callable[[], float] = time.time
    new_id: Callable[[], str] | None = None


@asynccontextmanager
async def open_app(settings: Settings, parts: Parts = Parts()) -> AsyncIterator[App]:
    """Open the store and wire the graph; closes them again. Raises StoreError, SettingsError."""
    path, home = database_path(settings), settings.home
    store = await SqliteStore.open(path)
    try:
        async with sqlite_saver(path, store.turn) as saver:
            deps = Deps(
                store=store,
                backends=parts.backends if parts.backends is not None else backends(settings, home),
                sources=parts.sources if parts.sources is not None else sources(settings, home),
                publishers=parts.publishers if parts.publishers is not None else publishers(settings),
                recipes=parts.recipes or Registry(),
                home=home,
                now=parts.now,
                budgets=settings.ceilings(),
                publish_to=settings.publish_to,
                literature=parts.literature or literature(settings, home),
                llm=parts.llm or language_model(settings),
            )
            driver, access = Driver(deps, saver, parts.clock), settings.access()
            dispatch = Dispatch(deps, driver, access, parts.new_id or new_run_id)
            try:
                yield App(dispatch, deps, settings, lambda surface: SurfaceTables(store, surface))
            finally:
                await dispatch.close()
                for backend in deps.backends:
                    if isinstance(backend, ModalBackend):
                        await backend.aclose()
    finally:
        await store.close()


def backends(settings: Settings, home: Path, env: Mapping[str, str] = os.environ) -> list[Backend]:
    """Those that somebody set up, in order of preference, and this machine as the last one: it is always there."""
    found: list[Backend] = []
    measured = partial(corrections, home)
    if env.get("MODAL_TOKEN_ID") or (Path.home() / ".modal.toml").is_file():
        found.append(ModalBackend(corrections=measured))
    if settings.hf_token is not None:
        found.append(HfJobsBackend(settings.hf_token, settings.hf_endpoint, home, corrections=measured))
    return [*found, local_backend(home)]


def corrections(home: Path) -> Mapping[str, float]:
    """How fast rented hardware was in the latest runs of this installation, by :mod:`remote.speeds`."""
    with suppress(FileNotFoundError):  # a run's folder may be removed meanwhile
        paths = sorted((home / "runs").glob("*/run.json"), key=lambda p: p.stat().st_mtime, reverse=True)
        manifests = (read_json(path) for path in paths[:RUNS_COMPARED])
        measured = (speeds.read(m) for m in manifests if isinstance(m, dict))
        return speeds.learned((m for m in measured if m is not None), machine.cpus())
    return {}


def local_backend(home: Path) -> LocalBackend:
    return LocalBackend(home, python=Path(sys.executable))


def sources(settings: Settings, home: Path) -> list[Source]:
    """In order of preference: the person's own file, the Hub, the offline catalogue."""
    return [
        LocalFileSource(),
        HubSource(
            home=home,
            endpoint=settings.hf_endpoint,
            token=settings.hf_token,
            viewer_url=settings.viewer_url,
        ),
        CatalogueSource(home),
    ]


def literature(settings: Settings, home: Path) -> PaperSource:
    client = HubClient(settings.hf_endpoint, settings.hf_token, error=SourceError)
    folder = home.absolute() / "papers"
    answers = AnswerCache(folder / "answers", settings.hf_endpoint or "the default", settings.hf_token)
    github = GitHub(settings.github_url, answers)
    return PaperSource(client, Arxiv(settings.arxiv_url), github, folder, answers)


def language_model(settings: Settings, env: Mapping[str, str] = os.environ) -> LangChainModel | None:
    """The one that INTERN_LLM names. At another address than its provider's, the provider's prices say nothing."""
    if settings.llm is None:
        return None
    provider = settings.llm.partition(":")[0]
    elsewhere = any(env.get(f"{provider.upper()}_{name}") for name in ("BASE_URL", "API_BASE", "API_URL"))
    price = price_of(settings.llm, settings.llm_price, elsewhere=elsewhere and provider != "ollama")
    return LangChainModel(settings.llm, price, settings.llm_usd)


def publishers(settings: Settings) -> dict[str, Publisher]:
    secrets = settings.secrets()
    return {
        "folder": FolderPublisher(secrets),
        "hub": HubPublisher(settings.hf_endpoint, settings.hf_token, secrets=secrets),
    }


def probes(settings: Settings) -> Probes:
    """How ``intern doctor`` finds out what works here."""

    async def open_database() -> int:
        store = await SqliteStore.open(database_path(settings))
        try:
            return len(await store.runs(10_000))
        finally:
            await store.close()

    async def slack() -> Sequence[Check]:
        from bot.slack.check import check_slack  # its libraries are an extra

        return await check_slack(settings)

    async def discord() -> Sequence[Check]:
        from bot.discord.check import check  # its library is an extra

        return await check(settings, settings.home)

    async def llm() -> str:
        model = language_model(settings)
        if model is None:
            return "none"
        await model.set_up()
        costs = "price not known (INTERN_LLM_PRICE)"
        if model.price:
            costs = f"${model.price.input_usd:g} in, ${model.price.output_usd:g} out per million tokens"
        return f"{model.name}, {costs}, ${model.allowance_usd:.2f} a run unasked (not tried: that would cost)"

    surfaces: dict[str, Callable[[], Awaitable[Sequence[Check]]]] = {}
    if asks_for_slack(settings) and find_spec("slack_bolt"):
        surfaces["slack"] = slack
    if settings.discord_token is not None and find_spec("discord"):
        surfaces["discord"] = discord
    hub = HubPublisher(settings.hf_endpoint, settings.hf_token)
    return Probes(
        backends=backends(settings, settings.home),
        sources=sources(settings, settings.home),
        open_database=open_database,
        whoami=lambda: hub.namespace(None),
        llm=llm,
        surfaces=surfaces,
    )


def new_run_id() -> str:
    """Six characters that one can read aloud: 7e8 of them."""
    return "r" + "".join(secrets.choice(_ALPHABET) for _ in range(6))
