"""The real ``intern slack`` in a process of its own, in front of a local Slack: real training, real SIGKILLs."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Intern
from tests.slack.conftest import local_slack, slack
from tests.slack.server import ALICE, APP_TOKEN, BOB, BOT_TOKEN, ML, SIGNING_SECRET
from tests.slack.world import World, elements, shown

__all__ = ["local_slack", "slack"]

SENTENCE = "Tell spam from ham. At most 2 minutes."
TRAINING_S = 600.0


def spam(path: Path) -> bytes:
    """300 rows that a small model learns."""
    with path.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["text", "label"])
        for n in range(150):
            out.writerow([f"win a free prize now, offer {n}, click here to claim your money", "spam"])
            out.writerow([f"see you at the meeting on day {n}, I will bring the report", "ham"])
    return path.read_bytes()


@dataclass
class Bot:
    """``intern slack`` over one home; killed and started again as a test wants."""

    intern: Intern
    slack: World
    publish_to: Path
    log: Path
    process: subprocess.Popen[bytes] | None = None
    kills: list[str] = field(default_factory=list)

    async def start(self) -> None:
        env = dict(self.intern.env) | {
            "SLACK_API_URL": self.slack.api_url,
            "SLACK_BOT_TOKEN": BOT_TOKEN,
            "SLACK_APP_TOKEN": APP_TOKEN,
            "SLACK_SIGNING_SECRET": SIGNING_SECRET,
            "INTERN_APPROVERS": f"slack:{BOB}",
            "INTERN_PUBLISH_TO": f"folder:{self.publish_to}",
        }
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(self.intern.command("slack"), env=env, stdout=out, stderr=out)
        sockets = len(self.slack.gateway.sockets)
        await self.slack.until(lambda: len(self.slack.gateway.sockets) > sockets or self._died(), 60)

    def _died(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()
        return False

    async def kill(self, why: str) -> None:
        """SIGKILL, and a new process."""
        self.kills.append(why)
        self.end(signal.SIGKILL)
        await self.slack.until(lambda: not self.slack.gateway.sockets, 30)
        await self.start()

    def end(self, number: int) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(timeout=60)

    async def click(self, user: str, text: str, value: str) -> None:
        message = await self.slack.appears(ML, text, timeout_s=TRAINING_S)
        (action_id,) = [
            e["action_id"] for e, _ in elements(message["blocks"]) if e["action_id"].endswith(f":{value}")
        ]
        delivery = await self.slack.click(user, message, action_id)
        assert delivery.acked, delivery.why


@pytest.fixture
async def bot(intern: Intern, slack: World, tmp_path: Path) -> AsyncIterator[Bot]:
    made = Bot(intern, slack, tmp_path / "published", tmp_path / "bot.log")
    await made.start()
    try:
        yield made
    finally:
        if made.process is not None and made.process.poll() is None:
            made.end(signal.SIGKILL)


@pytest.mark.slow
async def test_from_a_slash_command_to_a_published_folder(bot: Bot, tmp_path: Path) -> None:
    await the_whole_road(bot, tmp_path, kill=False)
    assert bot.end(signal.SIGTERM) == 0
    assert "Traceback" not in bot.log.read_text()


@pytest.mark.slow
async def test_the_same_with_the_bot_killed_at_five_points(bot: Bot, tmp_path: Path) -> None:
    await the_whole_road(bot, tmp_path, kill=True)
    assert len(bot.kills) == 5


async def the_whole_road(bot: Bot, tmp_path: Path, *, kill: bool) -> None:
    slack = bot.slack

    @asynccontextmanager
    async def killed(why: str) -> AsyncIterator[None]:
        yield
        if kill:
            await bot.kill(why)

    async with killed("after the first word"):
        await slack.mention(ALICE, ML, SENTENCE, files={"messages.csv": spam(tmp_path / "messages.csv")})
    async with killed("while it works before the plan"):
        await slack.appears(ML, "What I understood", timeout_s=120)
    async with killed("right after the approval"):
        await bot.click(ALICE, "Train on", "approve")
    async with killed("while it trains"):
        await slack.appears(ML, "Training", timeout_s=120)
    async with killed("right after the decision to publish"):
        await bot.click(BOB, "Publish?", "private")
    done = await slack.appears(ML, "Done:", timeout_s=TRAINING_S)
    messages = await slack.messages(ML, done["thread_ts"])
    seen = [shown(m) for m in messages]
    for words in (
        "What I understood",
        "The data, checked",
        "The plan",
        "On rows never trained on",
        "Under attack",
    ):
        assert sum(words in text for text in seen) == 1, words
    names = [u.name for u in await slack.uploads() if u.user != ALICE]
    assert len(names) == len(set(names))
    (picture,) = [u for u in await slack.uploads() if "confusion" in u.name]
    assert picture.alt_txt
    assert picture.content.startswith(b"\x89PNG")
    assert (bot.publish_to / "model.safetensors").is_file() or list(bot.publish_to.rglob("model.safetensors"))
    folder = bot.intern.run_dir()
    manifest: dict[str, Any] = json.loads((folder / "run.json").read_text())
    assert manifest["status"] == "done"
    events = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    assert sum(e["type"] == "trained" for e in events) == 1
    assert sum(e["type"] == "published" for e in events) == 1
