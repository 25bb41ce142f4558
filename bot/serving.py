"""Serves surfaces, and with SQLite moves their runs in the same process; until SIGTERM or SIGINT.

With a database that other machines share, runs are moved by ``intern worker`` instead.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
from collections.abc import Callable, Coroutine, Sequence
from types import ModuleType
from typing import Any

from bot.errors import UsageError
from bot.settings import Settings
from bot.wiring import App
from bot.worker import stop_on_signals, work

SURFACES = {"slack": "slack_bolt", "discord": "discord"}  # name -> what its extra installs


def configured(settings: Settings) -> tuple[str, ...]:
    """The surfaces that the settings have a token for."""
    slack = settings.slack_bot_token or settings.slack_client_id
    return tuple(name for name, has in (("slack", slack), ("discord", settings.discord_token)) if has)


async def serve(
    app: App, surfaces: Sequence[str], say: Callable[[str], None], stop: asyncio.Event | None = None
) -> int:
    """0 once stopped. Raises UsageError for a surface that is not installed, SettingsError for one not set up."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    stop = stop or stop_on_signals()
    serving: list[asyncio.Task[None]] = [
        asyncio.create_task(_surface(name)(app, stop, say), name=name) for name in surfaces
    ]
    if not app.settings.shares_database:
        serving.append(asyncio.create_task(work(app.dispatch, say, stop), name="worker"))
    done, others = await asyncio.wait(serving, return_when=asyncio.FIRST_COMPLETED)
    stop.set()  # one that cannot go on stops the others in good order
    if others:
        await asyncio.wait(others)
    for task in done:
        task.result()
    return 0


def _surface(name: str) -> Callable[[App, asyncio.Event, Callable[[str], None]], Coroutine[Any, Any, None]]:
    return surface_module(name, "serve").serve  # type: ignore[no-any-return]


def surface_module(name: str, module: str) -> ModuleType:
    """A module of a surface's folder. Raises UsageError where the folder or its library is not there."""
    try:
        return importlib.import_module(f"bot.{name}.{module}")
    except ModuleNotFoundError as error:
        if error.name and error.name.split(".")[0] in (SURFACES[name], "aiohttp", "bot"):
            raise UsageError(
                f'{name.title()} is not installed: pip install "ml-intern-for-teams[{name}]".'
            ) from error
        raise
