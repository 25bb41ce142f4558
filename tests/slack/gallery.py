"""What docs/slack.md shows: moments of a run as people see them in Slack, drawn by ``render.py``.

    python -m tests.slack.gallery docs/pictures

The messages are those that the bot would post: the cards of ``tests/bot/story.py`` through ``bot.slack.blocks``, with
the mentions of ``bot.slack.mentions``.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from bot.cards import Card
from bot.chat.calling import Crew
from bot.present import present
from bot.slack import home, modals
from bot.slack.blocks import render
from bot.slack.mentions import mentioned
from graph.deps import Event, Run
from graph.names import EventType, RunStatus, Stage
from graph.state import Choice, Question, Request
from remote.jobs.plots import confusion_matrix
from tests.bot import story
from tests.slack.render import DESK, PHONE, Post, blocks, modal, page, said, shoot, thread

SENTENCE = story.SENTENCE.replace("Don't spend any money.", "Spend at most $1.")
CALLS = Crew("U0ALICE", ("U0BOB",))
PAID = replace(
    story.PLAN,
    backend="modal",
    hardware="Modal, one T4 GPU (16 GB)",
    estimated_s=210.0,
    estimated_usd=0.04,
    ceiling_usd=0.12,
    ceiling_s=600.0,
    price_source="modal.com",
    isolation="the provider's container",
    advice=(),
)
PRICE = Question(
    id=f"{story.RUN}:approve_compute:plan-0",
    kind=story.COMPUTE.kind,
    stage=Stage.APPROVE_COMPUTE,
    text="Train on Modal, one T4 GPU (16 GB) for about 3.5 min at $0.04, and at most $0.12?",
    choices=(
        Choice("approve", "Train for $0.04", "at most $0.12 and 10 min", "primary"),
        *story.COMPUTE.choices[1:],
    ),
    default="approve",
    free_text=True,
    price_usd=0.04,
    plan_hash=PAID.hash,
)


def gallery(scratch: Path) -> Mapping[str, tuple[str, int]]:
    """``name -> (page, width)``; ``scratch`` is a folder for plots."""
    return {
        "channel": (page(thread(_channel()), DESK, "# ml-runs"), DESK),
        "form": (page(modal(modals.start("T0LOCAL/C0ML")), PHONE), PHONE),
        "task": (_phone(_cards(until(EventType.CANDIDATES_FOUND), "task", "candidates")), PHONE),
        "plan": (_phone(_cards(priced(), "plan", "question")), PHONE),
        "training": (_phone(_cards(until(EventType.JOB_EPOCH, 2), "training")), PHONE),
        "results": (page(thread(_results(scratch)), DESK, "Thread", "# ml-runs"), DESK),
        "home": (page(f'<div class="page">{_home()}</div>', DESK, "ML intern", "Home"), DESK),
    }


def _phone(posts: Iterable[Post]) -> str:
    return page(thread(posts), PHONE, "Thread", "# ml-runs")


def until(last: EventType, times: int = 1) -> list[Event]:
    """The story up to the ``times``-th event of that type."""
    events = story.whole_run().events
    found = [event.seq for event in events if event.type is last]
    return events[: found[times - 1] + 1]


def priced() -> list[Event]:
    """The story up to a plan that costs something."""
    log = story.Log()
    for event in until(EventType.BASELINES_MEASURED):
        payload = dict(event.payload) | (
            {"sentence": SENTENCE} if event.type is EventType.RUN_STARTED else {}
        )
        log.say(event.type, event.stage, **payload)
    log.say(EventType.PLANNED, Stage.PLAN, plan=PAID, hash=PAID.hash, refusals=[])
    log.asked(PRICE)
    return log.events


def _cards(events: Sequence[Event], *kinds: str) -> list[Post]:
    """The cards whose key begins so, as the bot would post them."""
    return [_shown(card) for key, card in present(events).items() if key.partition(":")[0] in kinds]


def _shown(card: Card, *pictures: tuple[Path, str], replies: int = 0) -> Post:
    _, blocks = mentioned(CALLS, card, render(card))
    return Post(blocks, at="12:01", pictures=pictures, replies=replies)


def _channel() -> list[Post]:
    return [said(SENTENCE, at="11:58"), _shown(present(priced())["root"], replies=9)]


def _results(scratch: Path) -> list[Post]:
    plot = confusion_matrix(
        scratch / "confusion_matrix.png", np.array([[161, 24], [29, 317]]), ["negative", "positive"]
    )
    cards = present(story.whole_run().events)
    return [_shown(cards["evaluation"], (plot, "Confusion matrix, 2 classes")), _shown(cards["stress"])]


def _home() -> str:
    waiting = _run("r7k2mc", story.TASK.title, RunStatus.WAITING, PRICE)
    done = _run("rh4wq9", "Support tickets by intent", RunStatus.DONE, None)
    view = home.view([waiting], [waiting, done], 1.36, 5.0, lambda run: f"https://example.slack.com/{run.id}")
    return blocks(view["blocks"])


def _run(run_id: str, title: str, status: RunStatus, question: Question | None) -> Run:
    at = "2026-11-24T12:00:00.000+00:00"
    stage = Stage.APPROVE_COMPUTE if question else Stage.DONE
    return Run(run_id, title, status, stage, Request(story.SENTENCE, "U0ALICE", "slack"), at, at, question)


def main() -> None:
    into = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/pictures")
    into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        for name, (shown, width) in gallery(Path(scratch)).items():
            picture = into / f"{name}.png"
            shoot(shown, width, picture)
            print(f"{picture}: {picture.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
