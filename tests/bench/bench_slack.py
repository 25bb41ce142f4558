"""``python -m tests.bench.bench_slack``: what the Slack surface takes when a whole company uses it at once.

The bot is a process of its own (``python -m bot.slack``: real bolt, real store, real graph) in front of the local
Slack; this process plays Slack and its people, on the same cores. Three figures, each against its limit:

bare   the memory of a connected process that has nothing to do
burst  200 slash commands at once into a warm bot: each acknowledgement, and whether each command made its run
live   500 runs that train at once: an event a second for each, written to the store as workers do. Memory, edits in
       any minute against Slack's Tier 3, posts in any second, and how long a question takes that is asked meanwhile

Exits with 1 when a limit is missed. Takes under two minutes on 2 cores.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from graph.holder import Holder
from graph.names import DecisionKind, EventType, Stage
from graph.state import Request
from graph.store.sqlite import SqliteStore
from graph.store.surfaces import SurfaceTables
from tests.bench.figures import Figure
from tests.slack.server import ALICE, APP_TOKEN, BOT_TOKEN, ML, PRIVATE, RANDOM, TEAM, LocalSlack, why_not
from tests.slack.world import World

COMMANDS, LIVE = 200, 500
ACK_S, ACK_P99_S = 1.0, 0.5
BARE_MB, LIVE_MB = 150.0, 400.0
EDITS_A_MINUTE, POSTS_A_SECOND = 50, 1
QUESTION_S = 5.0
WATCHED_S = 65.0  # a little more than the minute in which edits are counted
CHANNELS = (ML, RANDOM, PRIVATE)
SENTENCE = "Tell positive from negative product reviews. I care about macro-F1. Don't spend any money. Team"


@dataclass(frozen=True, slots=True)
class Bot:
    """The process, by its id."""

    pid: int

    def rss_mb(self, *, peak: bool = False) -> float:
        """Resident memory, now or the most so far (proc(5))."""
        name = "VmHWM:" if peak else "VmRSS:"
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(float(line.split()[1]) for line in lines if line.startswith(name)) / 1024

    def cpu_s(self) -> float:
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@asynccontextmanager
async def bot(slack: World, home: Path) -> AsyncIterator[Bot]:
    """``intern slack`` until the block ends; ready when it says that it is connected."""
    nowhere = "http://127.0.0.1:9"  # the Hub is out of reach at once: the offline catalogue serves
    env = {
        **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
        "INTERN_HOME": str(home),
        "SLACK_API_URL": slack.api_url,
        "SLACK_BOT_TOKEN": BOT_TOKEN,
        "SLACK_APP_TOKEN": APP_TOKEN,
        "HF_ENDPOINT": nowhere,
        "PYTHONUNBUFFERED": "1",
    }
    log = (home / "bot.log").open("wb")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bot.slack", env=env, stdout=log, stderr=log
    )
    try:
        await slack.connected()
        yield Bot(process.pid)
    finally:
        if process.returncode is None:
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), 20.0)
        except TimeoutError:
            process.kill()
            await process.wait()
        log.close()


# -- bare ------------------------------------------------------------------------------------------------------------


async def bare(slack: World, home: Path) -> list[Figure]:
    async with bot(slack, home) as process:
        await slack.command(ALICE, ML, "runs")  # everything that answering needs is imported by then
        return [Figure("bare: memory", process.rss_mb(), "MB", BARE_MB)]


# -- burst -----------------------------------------------------------------------------------------------------------


async def burst(slack: World, home: Path) -> list[Figure]:
    async with bot(slack, home) as process:
        for channel in CHANNELS:
            await slack.command(ALICE, channel, SENTENCE)
            await slack.appears(channel, "Which data", timeout_s=30.0)
        before = len(slack.deliveries("slash_commands"))
        sent = [slack.command(ALICE, CHANNELS[n % 3], f"{SENTENCE} {n}") for n in range(COMMANDS)]
        await asyncio.gather(*sent, return_exceptions=True)
        taken = sorted(d.ack_s or float("inf") for d in slack.deliveries("slash_commands")[before:])
        store = await SqliteStore.open(home / "intern.db")
        try:
            wanted = len(CHANNELS) + COMMANDS
            runs = await until(lambda: count_runs(store), lambda n: n >= wanted, 30.0)
        finally:
            await store.close()
        return [
            Figure("burst: commands", len(taken), ""),
            Figure("burst: acknowledgement, median", taken[len(taken) // 2], "s"),
            Figure("burst: acknowledgement, 99th percentile", taken[int(0.99 * len(taken))], "s", ACK_P99_S),
            Figure("burst: acknowledgement, slowest", taken[-1], "s", ACK_S),
            Figure("burst: commands that made no run", wanted - runs, "", 0),
            Figure("burst: memory, most", process.rss_mb(peak=True), "MB"),
        ]


async def count_runs(store: SqliteStore) -> int:
    return len(await store.runs(10 * COMMANDS))


async def until(look: Callable[[], Awaitable[int]], enough: Callable[[int], bool], timeout_s: float) -> int:
    """What ``look`` finds once it is enough, or after so many seconds."""
    end_s = time.monotonic() + timeout_s
    while not enough(found := await look()) and time.monotonic() < end_s:
        await asyncio.sleep(0.1)
    return found


# -- live ------------------------------------------------------------------------------------------------------------


class Workers:
    """Writes what the workers of 500 runs write. Their leases are held, so that the bot does not work on them."""

    def __init__(self, store: SqliteStore, slack: World) -> None:
        self._store = store
        self._slack = slack
        self._runs = [f"rlive{n:03}" for n in range(LIVE)]
        self.written = 0
        self.late_s = 0.0

    async def begin(self) -> None:
        """Each run is under way, and shown: a bot that starts finds its messages."""
        memory, holder = SurfaceTables(self._store, "slack"), str(Holder.me())
        for n, run_id in enumerate(self._runs):
            channel = CHANNELS[n % len(CHANNELS)]
            request = Request(f"{SENTENCE} {n}", ALICE, "slack", channel=f"{TEAM}/{channel}")
            await self._store.create_run(run_id, request, "Reviews", now())
            await self._store.lease(run_id, holder, time.time(), 3600.0)
            root = await self._posted(channel, None)
            await memory.place_run(run_id, f"{TEAM}/{channel}/{root}")
            await memory.show(run_id, "root", f"{channel}:{root}", "")
            for key in ("task", "training:1"):
                await memory.show(run_id, key, f"{channel}:{await self._posted(channel, root)}", "")
            started = {"sentence": request.sentence, "requester": ALICE, "surface": "slack"}
            await self._say(run_id, EventType.RUN_STARTED, started, Stage.INTAKE)
            for stage in (Stage.INTAKE, Stage.RESEARCH, Stage.AUDIT, Stage.PLAN, Stage.LAUNCH):
                await self._say(run_id, EventType.STAGE_STARTED, {}, stage)
            await self._say(run_id, EventType.JOB_SUBMITTED, {"hardware": "a machine"}, Stage.LAUNCH)

    async def _posted(self, channel: str, thread: str | None) -> str:
        body = {"channel": channel, "text": "shown by an earlier process", "thread_ts": thread}
        return str((await self._slack.slack.api("chat.postMessage", body))["ts"])

    async def train(self, seconds: float) -> None:
        """An event a second for each run: steps, and an epoch each 20."""
        began_s = time.monotonic()
        for second in range(int(seconds)):
            for run_id in self._runs:
                metrics = {"loss": 1 / (second + 1), "rows_per_s": 900.0}
                step = {"step": second, "total": 600, "eta_s": 600.0 - second, "metrics": metrics}
                await self._say(run_id, EventType.JOB_PROGRESS, step, Stage.WATCH)
                if second % 20 == 19:
                    epoch = {"epoch": second // 20 + 1, "metrics": {"train_loss": 0.5, "macro_f1": 0.8}}
                    await self._say(run_id, EventType.JOB_EPOCH, epoch, Stage.WATCH)
            ahead_s = began_s + second + 1 - time.monotonic()
            self.late_s = max(self.late_s, -ahead_s)
            await asyncio.sleep(max(ahead_s, 0.0))

    async def ask(self, run_id: str) -> None:
        question = {"id": f"{run_id}-q", "kind": DecisionKind.HELP.value, "text": f"Which label, {run_id}?"}
        choices = [{"value": "a", "label": "This one"}, {"value": "b", "label": "That one"}]
        await self._say(run_id, EventType.QUESTION_ASKED, {"question": question | {"choices": choices}}, None)

    async def _say(self, run_id: str, type_: EventType, payload: dict[str, Any], stage: Stage | None) -> None:
        await self._store.append(run_id, type_, payload, at=now(), stage=stage)
        self.written += 1


async def live(slack: World, home: Path) -> list[Figure]:
    store = await SqliteStore.open(home / "intern.db")
    workers = Workers(store, slack)
    try:
        await workers.begin()
        async with bot(slack, home) as process:
            training = asyncio.create_task(workers.train(WATCHED_S))
            await asyncio.sleep(WATCHED_S / 2)
            asked_s, cpu_s = time.monotonic(), process.cpu_s()
            await workers.ask("rlive250")
            await slack.appears(CHANNELS[250 % 3], "Which label, rlive250?", timeout_s=30.0)
            answered_s = time.monotonic() - asked_s
            await training
            busy = (process.cpu_s() - cpu_s) / (time.monotonic() - asked_s)
            return [
                Figure("live: runs", LIVE, ""),
                Figure("live: events written", workers.written, ""),
                Figure("live: writers behind, most", workers.late_s, "s"),
                Figure("live: memory, most", process.rss_mb(peak=True), "MB", LIVE_MB),
                Figure("live: cores in use", busy, ""),
                Figure("live: edits", len(slack.calls("chat.update")), ""),
                Figure("live: edits, most in a minute", edits_a_minute(slack), "", EDITS_A_MINUTE),
                Figure("live: posts, most in a second, a channel", posts_a_second(slack), "", POSTS_A_SECOND),
                Figure("live: a question is seen after", answered_s, "s", QUESTION_S),
            ]
    finally:
        await store.close()


def edits_a_minute(slack: World) -> int:
    """Edits and appends, of the whole workspace."""
    at_s = [c.at_s for c in slack.proxy.ledger if c.method in ("chat.update", "chat.appendStream")]
    return max((sum(start <= at < start + 60.0 for at in at_s) for start in at_s), default=0)


def posts_a_second(slack: World) -> int:
    slack_s = 0.95  # what the way here may take more or less
    return slack.proxy.peak("chat.postMessage", slack_s)


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


async def main() -> int:
    if reason := why_not():
        print(f"not measured: {reason}")
        return 0
    kept, began_s = True, time.monotonic()
    with LocalSlack() as server:
        for measure in (bare, burst, live):
            with tempfile.TemporaryDirectory() as folder:
                async with World(server) as slack:
                    for figure in await measure(slack, Path(folder)):
                        print(figure, flush=True)
                        kept = kept and figure.kept
    print(f"took {time.monotonic() - began_s:.0f} s")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
