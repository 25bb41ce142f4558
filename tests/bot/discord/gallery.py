"""What docs/discord.md shows: moments of a run as people see them in Discord.

    python -m tests.bot.discord.gallery docs/pictures

The messages are those that the real bot posts: the log of ``tests/bot/story.py`` is put into the store, the bot shows
it in a simulated Discord, and simcord's preview draws what stands there then. Needs simcord's own renderer (``pip
install 'simcord[screenshot]'``, ``playwright install chromium``). It draws code a little larger than Discord does, so
that its phone has to be a wide one.
"""

from __future__ import annotations

import asyncio
import io
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import discord
import numpy as np
from simcord.backend.models import Message
from simcord.builders import ChannelHandle

from bot.discord.app import create_bot
from bot.discord.sync import sync
from bot.settings import load_settings
from bot.wiring import App, Parts, open_app
from graph.deps import Event
from graph.names import EventType
from graph.state import Request
from remote.jobs.plots import confusion_matrix
from tests.bot import story
from tests.bot.discord.surface import World, shown
from tests.contract.surface import APPROVER, ASKER
from tests.slack.gallery import SENTENCE, priced, until

PHONE, DESK = 440, 760  # px
TALL = 2_000  # px; what a message may have at most
COLOURS = 128  # keeps a picture under 150 kB
WAIT_S = 30.0
PICTURES = tuple(f"discord-{name}" for name in ("form", "channel", "plan", "training", "results"))


@dataclass(frozen=True, slots=True)
class Moment:
    """``targets``: messages, or a form, one below the other; none: the channel as it stands, ``height`` px of it."""

    name: str
    channel: ChannelHandle
    targets: Sequence[Any] = ()
    width: int = PHONE
    height: int = TALL


class Story:
    """A run in a channel, told by its log; nobody works on it."""

    def __init__(self, world: World, app: App) -> None:
        self._world = world
        self._app = app
        self._told = 0

    async def begin(self) -> None:
        asker = self._world.people[ASKER]
        place = f"{self._world.guild.id}/{self._world.channel.id}"
        request = Request(SENTENCE, str(asker.id), "discord", channel=place)
        deps = self._app.deps
        await deps.store.create_run(story.RUN, request, story.TASK.title, deps.at())
        plots = deps.home / "runs" / story.RUN / "plots"
        plots.mkdir(parents=True)
        matrix = np.array([[161, 24], [29, 317]])
        confusion_matrix(plots / "confusion_matrix.png", matrix, ["negative", "positive"])

    async def tell(self, events: Sequence[Event], *said: str) -> None:
        """Add what was not told yet; returns when all that is ``said`` by it can be read."""
        for event in events[self._told :]:
            await self._app.deps.store.append(
                story.RUN, event.type, event.payload, stage=event.stage, at=event.at
            )
        self._told = len(events)

        def read() -> str:
            return "\n".join(map(_read, self._world.all_messages()))

        await _until(lambda: all(text in read() for text in said), str(said))

    def saying(self, *titles: str) -> list[Message]:
        """The messages with those headlines, in that order."""
        found = self._world.all_messages()
        return [next(m for m in found if title in _read(m).split("\n")[:3]) for title in titles]


async def moments(home: Path) -> AsyncIterator[tuple[World, Moment]]:
    """Each is to be looked at before the next one is asked for."""
    world = World.make()
    world.env.backend.bot_user.name = "intern"
    async with _served(world, home) as app:
        opened = await world.people[ASKER].slash(world.channel, "intern run")
        yield world, Moment("discord-form", world.channel, [opened])
        told = Story(world, app)
        await told.begin()
        await told.tell(priced(), "Approve the training", "5 of 11 steps done")
        yield world, Moment("discord-channel", world.channel, width=DESK, height=480)
        (thread,) = world.threads()
        yield world, Moment("discord-plan", thread, told.saying("The plan", "❓ Approve the training"))
        await told.tell(until(EventType.JOB_EPOCH, 2), "0.840")
        yield world, Moment("discord-training", thread, told.saying("⏳ Training"))
        await told.tell(story.whole_run().events, "Done:")
        results = told.saying("✅ On rows never trained on", "⚠️ Under attack", "The files")
        yield world, Moment("discord-results", thread, results, DESK)


@asynccontextmanager
async def _served(world: World, home: Path) -> AsyncIterator[App]:
    """The bot shows runs, and no worker moves them."""
    settings = {
        "INTERN_HOME": str(home),
        "DISCORD_TOKEN": "a.b.c",
        "INTERN_APPROVERS": f"discord:{world.people[APPROVER].id}",
    }
    async with open_app(load_settings(settings), Parts()) as app:
        bot = create_bot(app)
        async with world.online(bot):
            await sync(bot.tree, home, bot.application_id or 0, None)
            stop = asyncio.Event()
            serving = asyncio.create_task(bot.attend(stop))
            try:
                yield app
            finally:
                stop.set()
                await serving


async def _until(found: Callable[[], bool], what: str) -> None:
    ends = time.monotonic() + WAIT_S
    while not found():
        assert time.monotonic() < ends, f"{what} did not come"
        await asyncio.sleep(0.02)


def _read(message: Message) -> str:
    return shown(message.content or "", message.components or ()).replace("### ", "").replace("**", "")


# -- pictures --------------------------------------------------------------------------------------------------


async def draw(world: World, moment: Moment, into: Path) -> None:
    """A picture of the moment."""
    from PIL import Image

    layout: Literal["message", "channel"] = "message" if moment.targets else "channel"
    parts = []
    async with world.env.preview(moment.channel, viewers=[world.people[ASKER]]) as preview:
        for target in moment.targets or (None,):
            if isinstance(target, Message):
                target = target.id
            taken = await preview.screenshot(
                target=target,
                mode="surface" if moment.targets else "viewport",
                layout=layout,
                viewport=(moment.width, moment.height),
            )
            parts.append(Image.open(io.BytesIO(taken.png or b"")).convert("RGB"))
    whole = Image.new("RGB", (max(part.width for part in parts), sum(part.height for part in parts)))
    top = 0
    for part in parts:
        whole.paste(part, (0, top))
        top += part.height
    whole.quantize(COLOURS, dither=Image.Dither.NONE).save(into, optimize=True)


async def main() -> None:
    into = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/pictures")
    into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as home:
        async for world, moment in moments(Path(home)):
            picture = into / f"{moment.name}.png"
            await draw(world, moment, picture)
            print(f"{picture}: {picture.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    discord.utils.setup_logging()
    asyncio.run(main())
