"""What a test needs of a surface, whichever it is; see ``test_surface.py``."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from bot.wiring import App, Parts
from graph.research.localfile import LocalFileSource
from remote.backend import Offer
from remote.backends.fake import FakeBackend, Reply
from tests.graph.world import FakePublisher, FakeRecipes, FakeSource, good_script

ASKER, APPROVER, OTHER_APPROVER, STRANGER = "asker", "approver", "other approver", "stranger"
PREDICTION = {"text": "hi", "label": "positive", "confidence": 0.93, "unlike_training": True}
SUGGESTION = {
    "id": "fewer_epochs",
    "title": "Train for one epoch",
    "reason": "The second one cost more than it gave.",
    "overrides": {"epochs": 1},
}


@dataclass
class Jobs:
    """What stands behind our Protocols; ``script`` says what the jobs answer. Over restarts it stays."""

    home: Path
    script: dict[str, Any] = field(default_factory=good_script)
    publisher: FakePublisher = field(default_factory=FakePublisher)
    backend: FakeBackend | None = None
    usd_per_hour: float = 0.0  # of the one machine there is; the training takes a minute

    def parts(self) -> Parts:
        self.home.mkdir(parents=True, exist_ok=True)
        self.script.setdefault("predict", Reply({"predictions": [PREDICTION]}))
        self.script["stress"] = Reply(
            {"findings": [], "suggestions": [SUGGESTION]}, files={"stress.json": "{}"}
        )
        offer = Offer("local", "a machine", self.usd_per_hour, 0.0, 0.0, "a list", "2000-01-01", "none")
        self.backend = self.backend or FakeBackend(self.script, name="local", offer=offer)
        return Parts(
            backends=[self.backend],
            sources=[LocalFileSource(), FakeSource(self.home)],
            publishers={"folder": self.publisher},
            recipes=FakeRecipes(self.home),
        )


class Surface(Protocol):
    """One surface with people in front of it. Every wait ends in an AssertionError after some seconds."""

    name: str
    many_people: bool  # whether anybody else than the asker can be there
    edits: bool  # whether what was shown is edited; a terminal prints anew
    jobs: Jobs
    app: App

    def process(self, **env: str) -> AbstractAsyncContextManager[App]:
        """The surface's process with these settings besides, until the block ends."""

    async def start(self, sentence: str, who: str = ASKER) -> None: ...
    async def press(self, value: str, who: str = ASKER, *, question: int = -1) -> None:
        """Choose ``value`` at one of the questions shown so far: the newest, or an earlier one, stale or not."""

    async def say(self, text: str, who: str = ASKER) -> None:
        """Write in the run's conversation."""

    async def sees(self, text: str, times: int = 1) -> None:
        """Until everybody there sees ``text``, in at least so many messages."""

    async def is_told(self, text: str, who: str = ASKER) -> None:
        """Until ``who`` has been told ``text``, alone or among the others."""

    async def messages(self) -> list[str]:
        """What everybody sees now, a text a message."""
