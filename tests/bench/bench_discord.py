"""``python -m tests.bench.bench_discord``: what the Discord surface takes when a whole company uses it at once.

The real bot (discord.py, real store, real graph, its own pace) in front of a simulated Discord in the same process, on
the same core, so the simulation's own time and memory are in the figures. Each stands against its limit:

bare   the memory of the process when the bot has nothing to do
burst  200 slash commands at once: each deferral, and whether each command made its run
live   300 runs that train at once: an event a second for each. Memory, messages in any five seconds of a channel
       against Discord's five, and how long a question takes that is asked meanwhile

Exits with 1 when a limit is missed. Takes under two minutes on 2 cores.
"""

from __future__ import annotations

import asyncio
import collections
import resource
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from simcord import interactions
from simcord.builders import ChannelHandle
from simcord.enums import AppCommandType, InteractionType

from bot.discord.app import create_bot
from bot.discord.pacer import MOST
from bot.discord.sync import sync
from bot.settings import load_settings
from bot.wiring import App, open_app
from graph.names import DecisionKind, EventType, Stage
from graph.state import Request
from tests.bench.figures import Figure
from tests.bot.discord.surface import World
from tests.contract.surface import ASKER, Jobs

COMMANDS, LIVE = 200, 300
DEFER_S = 1.0
LIVE_MB = 400.0
QUESTION_S = 5.0
WATCHED_S = 40
CHANNELS = 60  # a company's: five runs in each
SETTLE_S = 90.0
WINDOW_S = 4.9  # Discord's five seconds, less what the way here may take
SENTENCE = "Tell positive from negative product reviews. I care about macro-F1. Don't spend any money. Team"


@dataclass
class Ledger(list[Any]):
    """The bot's calls, with the time of each; Discord's own record of them is not kept."""

    at_s: list[tuple[float, str, str]] = field(default_factory=list)

    def append(self, entry: Any) -> None:
        self.at_s.append((time.perf_counter(), entry.method, entry.path))


@asynccontextmanager
async def served(world: World, home: Path) -> AsyncIterator[tuple[App, Ledger]]:
    ledger = Ledger()
    world.env.backend.http_requests = ledger
    world.env.backend.transcript = collections.deque(maxlen=100)  # type: ignore[assignment]
    settings = load_settings({"INTERN_HOME": str(home), "DISCORD_TOKEN": "a.b.c"})
    async with open_app(settings, Jobs(home).parts()) as app:
        bot = create_bot(app)
        async with world.online(bot):
            await sync(bot.tree, home, bot.application_id or 0, None)
            stop = asyncio.Event()
            attending = asyncio.create_task(bot.attend(stop))
            try:
                yield app, ledger
            finally:
                stop.set()
                await attending


def rss_mb(*, peak: bool = False) -> float:
    if peak:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024


async def until(look: Any, timeout_s: float) -> float:
    """Seconds until ``look`` finds something; all of them where it does not."""
    began_s = time.monotonic()
    while not await look() and time.monotonic() < began_s + timeout_s:
        await asyncio.sleep(0.05)
    return time.monotonic() - began_s


def channels(world: World) -> list[ChannelHandle]:
    return [world.guild.create_text_channel(f"team-{n}") for n in range(CHANNELS)]


# -- burst -----------------------------------------------------------------------------------------------------------


async def burst(home: Path) -> list[Figure]:
    world = World.make()
    places = channels(world)
    async with served(world, home) as (app, ledger):
        bare = rss_mb()
        sent_s: dict[str, float] = {}
        payloads = [command(world, places[n % CHANNELS], n) for n in range(COMMANDS)]
        for payload in payloads:
            sent_s[payload["id"]] = time.perf_counter()
            with world.env._bot_scope():
                world.env.backend.emit("INTERACTION_CREATE", payload)

        async def made() -> bool:
            return len(await app.dispatch.runs(10 * COMMANDS)) >= COMMANDS

        await until(made, 30.0)
        runs = len(await app.dispatch.runs(10 * COMMANDS))
        first: dict[str, float] = {}
        for at_s, _, path in ledger.at_s:
            if path.endswith("/callback"):
                first.setdefault(path.split("/")[2], at_s)
        taken = sorted(first.get(key, float("inf")) - at_s for key, at_s in sent_s.items())
    return [
        Figure("bare: memory, the simulation's included", bare, "MB"),
        Figure("burst: interactions", len(taken), ""),
        Figure("burst: deferral, median", taken[len(taken) // 2], "s"),
        Figure("burst: deferral, slowest", taken[-1], "s", DEFER_S),
        Figure("burst: interactions that made no run", COMMANDS - runs, "", 0),
        Figure("burst: memory, most", rss_mb(peak=True), "MB"),
    ]


def command(world: World, place: ChannelHandle, number: int) -> dict[str, Any]:
    backend = world.env.backend
    root = backend.find_command("intern", world.guild.id, type=AppCommandType.CHAT_INPUT)
    assert root is not None
    goal = {"name": "goal", "type": 3, "value": f"{SENTENCE} {number}"}
    data = {
        "id": root["id"],
        "name": "intern",
        "type": 1,
        "options": [{"name": "run", "type": 1, "options": [goal]}],
    }
    _, payload = interactions.base_payload(
        backend,
        type=InteractionType.APPLICATION_COMMAND,
        channel_id=place.id,
        guild_id=world.guild.id,
        user_id=world.people[ASKER].id,
        data=data,
    )
    return payload


# -- live ------------------------------------------------------------------------------------------------------------


class Workers:
    """Writes what the workers of 300 runs write."""

    def __init__(self, app: App, world: World, places: list[ChannelHandle]) -> None:
        self._app = app
        self._world = world
        self._places = places
        self.runs: list[str] = []
        self.written = 0
        self.late_s = 0.0

    async def begin(self) -> None:
        asker = str(self._world.people[ASKER].id)
        for number in range(LIVE):
            place = f"{self._world.guild.id}/{self._places[number % CHANNELS].id}"
            request = Request(f"{SENTENCE} {number}", asker, "discord", channel=place)
            run = await self._app.dispatch.start(request)
            self.runs.append(run.id)
            started = {"sentence": request.sentence, "requester": asker, "surface": "discord"}
            await self.say(run.id, EventType.RUN_STARTED, started, Stage.INTAKE)
            for stage in (Stage.INTAKE, Stage.RESEARCH, Stage.AUDIT, Stage.PLAN, Stage.LAUNCH):
                await self.say(run.id, EventType.STAGE_STARTED, {}, stage)
            await self.say(run.id, EventType.JOB_SUBMITTED, {"hardware": "a machine"}, Stage.LAUNCH)

    async def train(self, seconds: int) -> None:
        """An event a second for each run: steps, and an epoch each 20."""
        began_s = time.monotonic()
        for second in range(seconds):
            for run_id in self.runs:
                metrics = {"loss": 1 / (second + 1), "rows_per_s": 900.0}
                step = {"step": second, "total": 600, "eta_s": 600.0 - second, "metrics": metrics}
                await self.say(run_id, EventType.JOB_PROGRESS, step, Stage.WATCH)
                if second % 20 == 19:
                    epoch = {"epoch": second // 20 + 1, "metrics": {"train_loss": 0.5, "macro_f1": 0.8}}
                    await self.say(run_id, EventType.JOB_EPOCH, epoch, Stage.WATCH)
            ahead_s = began_s + second + 1 - time.monotonic()
            self.late_s = max(self.late_s, -ahead_s)
            await asyncio.sleep(max(ahead_s, 0.0))

    async def ask(self, run_id: str) -> None:
        question = {"id": f"{run_id}-q", "kind": DecisionKind.HELP.value, "text": f"Which label, {run_id}?"}
        choices = [{"value": "a", "label": "This one"}, {"value": "b", "label": "That one"}]
        await self.say(run_id, EventType.QUESTION_ASKED, {"question": question | {"choices": choices}}, None)

    async def say(self, run_id: str, type_: EventType, payload: dict[str, Any], stage: Stage | None) -> None:
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        await self._app.deps.store.append(run_id, type_, payload, at=at, stage=stage)
        self.written += 1


async def live(home: Path) -> list[Figure]:
    world = World.make()
    world.versions.clear()
    world.env.backend.subscribers.clear()  # nobody keeps old versions here
    places = channels(world)
    async with served(world, home) as (app, ledger):
        workers = Workers(app, world, places)
        await workers.begin()

        async def shown() -> bool:
            return len(world.threads()) >= LIVE

        await until(shown, SETTLE_S)
        training = asyncio.create_task(workers.train(WATCHED_S))
        await asyncio.sleep(WATCHED_S / 2)
        await workers.ask(workers.runs[LIVE // 2])
        asked = f"{workers.runs[LIVE // 2]}?"

        async def seen() -> bool:
            return any(asked in str(message.components) for message in world.all_messages()[-50:])

        answered_s = await until(seen, 30.0)
        await training
        edits = sum(method == "PATCH" for _, method, _ in ledger.at_s)
        return [
            Figure("live: runs", len(world.threads()), ""),
            Figure("live: events written", workers.written, ""),
            Figure("live: writers behind, most", workers.late_s, "s"),
            Figure("live: memory, most, the simulation's included", rss_mb(peak=True), "MB", LIVE_MB),
            Figure("live: edits", edits, ""),
            Figure("live: messages, most in 5 s of a channel", most_in_5_s(ledger), "", MOST),
            Figure("live: a question is seen after", answered_s, "s", QUESTION_S),
        ]


def most_in_5_s(ledger: Ledger) -> int:
    """Posts and edits."""
    at_s = collections.defaultdict(list)
    for at, method, path in ledger.at_s:
        parts = path.strip("/").split("/")
        in_channel = parts[0] == "channels" and parts[2:3] == ["messages"] and parts[-1] != "threads"
        if method in ("POST", "PATCH") and in_channel:
            at_s[parts[1]].append(at)
    return max(
        (sum(start <= at < start + WINDOW_S for at in found) for found in at_s.values() for start in found),
        default=0,
    )


async def main() -> int:
    kept, began_s = True, time.monotonic()
    for measure in (burst, live):
        with tempfile.TemporaryDirectory() as folder:
            for figure in await measure(Path(folder) / "home"):
                print(figure, flush=True)
                kept = kept and figure.kept
    print(f"took {time.monotonic() - began_s:.0f} s")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
