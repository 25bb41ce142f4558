from __future__ import annotations

import asyncio
import io
import json
import os
import pty
import re
import signal
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.access import Access, Rules
from bot.cards import Action, Bullets, Card, Code, Column, Fields, FileLink, Picture, Progress, Table, Text
from bot.console import blocks
from bot.console.jsonlines import JsonLines
from bot.console.safe import safe
from bot.console.session import Session, local_user
from bot.console.terminal import Terminal, open_console
from bot.console.typed import Nobody, TypedLines
from bot.dispatch import Dispatch
from bot.present import present
from bot.projector import ProcessMemory, Projector
from graph.deps import Budgets, Deps, Event, Run, Spend
from graph.driver import Driver, RunBusy
from graph.errors import StoreError
from graph.names import EventType, RunStatus, Stage
from graph.state import Question, Request
from graph.store.sqlite import SqliteStore
from tests.bot import story
from tests.bot.story import RUN, Log
from tests.bot.test_projector import Tape

HOSTILE = st.text(
    st.characters(codec=None)
    | st.sampled_from("\x1b\x9b\x07[]()\\;m\r\n\t\u202e\u200b\u2028\ud800{}|`*_<>&@")
)


# -- text ----------------------------------------------------------------------------------------------------


@given(HOSTILE)
def test_safe_text_can_do_nothing_to_a_terminal(text: str) -> None:
    clean = safe(text)
    assert all(
        char == "\n" or char.isprintable() or char in "\u200c\u200d" or ord(char) > 127 for char in clean
    )
    assert not any((ord(char) < 32 and char != "\n") or 0x7F <= ord(char) <= 0x9F for char in clean)
    assert not set(clean) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200b\ufeff")
    clean.encode()
    assert safe(clean) == clean


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07after", "after"),
        ("\x1b]8;;http://evil\x1b\\click\x1b]8;;\x1b\\", "click"),
        ("\x9b2Jgone", "gone"),
        ("a\x08\x08b", "ab"),
        ("cancel\u202eevorppa", "cancelevorppa"),
        ("one\r\ntwo\u2028three", "one\ntwo\nthree"),
        ("[bold]kept[/bold] :smile:", "[bold]kept[/bold] :smile:"),
        ("naïve 日本 👩‍🔬", "naïve 日本 👩‍🔬"),
        ("\ud800", "\ufffd"),
        ("a\tb", "a    b"),
    ],
)
def test_what_is_taken_out_and_what_stays(text: str, shown: str) -> None:
    assert safe(text) == shown


def rendered(renderable: Any, columns: int = 80) -> str:
    out = io.StringIO()
    open_console(out, columns=columns).print(renderable)
    return out.getvalue()


@settings(max_examples=60, deadline=None)
@given(HOSTILE, st.integers(min_value=20, max_value=100))
def test_hostile_text_in_any_block_prints_plain_lines_within_the_width(text: str, columns: int) -> None:
    card = Card(
        "k",
        "r",
        text,
        (
            Text(text),
            Bullets((text, text)),
            Fields(((text, text),)),
            Table((Column(text), Column(text, right=True)), ((text, text),)),
            Progress(1, 2, text),
            Picture(text, text),
            Code(text),
            FileLink(text, text, 3),
        ),
        (Action(text, text, text),),
    )
    page = rendered(blocks.card(card, number_actions=True), columns)
    assert not any((ord(char) < 32 and char != "\n") or 0x7F <= ord(char) <= 0x9F for char in page)


def test_markup_is_text() -> None:
    page = rendered(blocks.card(Card("k", "r", "[bold]x[/bold]", (Text("[link=http://evil]here[/link]"),))))
    assert "[bold]x[/bold]" in page
    assert "[link=http://evil]here[/link]" in page


# -- cards on a screen ---------------------------------------------------------------------------------------


async def printed(events: list[Event], columns: int = 80) -> str:
    out = io.StringIO()
    with Terminal(open_console(out, columns=columns)) as terminal:
        projector = Projector(
            RUN, Tape([]), terminal, ProcessMemory(), clock=lambda: 0.0, visible=blocks.visible
        )
        for event in events:
            await projector.take(event)
    return out.getvalue()


async def test_a_whole_run_as_plain_lines() -> None:
    page = await printed(story.whole_run().events)
    lines = page.splitlines()
    assert "\x1b" not in page
    assert max(map(len, lines)) <= 80
    assert not [line for line in lines if line != line.rstrip()]
    for card in present(story.whole_run().events).values():
        if card.key != "root":
            titles = [line for line in lines if line[1:] == f" {card.title}" and line[0] in "•✓!?"]
            assert len(titles) == 1, card.title
    assert "  Epoch 2: training loss 0.300, validation loss 0.250, macro-F1 0.840" in lines
    assert f"  Files  /home/anna/.local/share/ml-intern/runs/{RUN}" in lines
    model = next(line for line in lines if line.strip().startswith("The model  "))
    assert model.split()[2:4] == ["0.881", "0.852–0.908"]


async def test_progress_alone_prints_nothing_where_lines_cannot_be_redrawn() -> None:
    log = Log()
    log.say(EventType.JOB_SUBMITTED, Stage.LAUNCH, backend="local", key="k", hardware="here")
    before = await printed(log.events)
    for step in range(50):
        log.say(EventType.JOB_PROGRESS, Stage.WATCH, job="j", stage="train", step=step, total=50, metrics={})
    after = await printed(log.events)
    assert before.count("Training on here") == after.count("Training on here") == 1
    assert len(after.splitlines()) <= len(before.splitlines()) + 1


async def test_what_was_only_live_is_kept_at_the_end() -> None:
    log = story.training(story.until_the_plan())
    page = await printed(log.events[:-1])
    assert "train loss  val loss  macro-F1" in page


async def test_a_card_that_only_loses_its_button_is_not_printed_again() -> None:
    assert (await printed(story.whole_run().events)).count("What I understood") == 1


def on_a_terminal(draw: Callable[[Terminal], Awaitable[None]], **environ: str) -> str:
    """What a real pseudo-terminal receives."""
    leader, follower = pty.openpty()
    chunks: list[bytes] = []

    def drain() -> None:
        try:
            while chunk := os.read(leader, 65536):
                chunks.append(chunk)
        except OSError:  # Linux says EIO when the other side closes
            return

    reader = threading.Thread(target=drain)
    reader.start()
    with os.fdopen(follower, "w", encoding="utf-8") as stream, pytest.MonkeyPatch.context() as patch:
        patch.setenv("TERM", "xterm-256color")
        patch.delenv("NO_COLOR", raising=False)
        for name, value in environ.items():
            patch.setenv(name, value)
        with Terminal(open_console(stream, columns=80)) as terminal:
            asyncio.run(_awaited(draw(terminal)))
    reader.join()
    os.close(leader)
    return b"".join(chunks).decode()


async def _awaited(work: Awaitable[None]) -> None:
    await work


async def _tell(terminal: Terminal, events: list[Event]) -> None:
    projector = Projector(RUN, Tape([]), terminal, ProcessMemory(), clock=lambda: 0.0)
    for event in events:
        await projector.take(event)


def test_on_a_terminal_live_cards_are_redrawn_and_the_cursor_comes_back() -> None:
    page = on_a_terminal(lambda terminal: _tell(terminal, story.whole_run().events))
    assert "\x1b[?25l" in page
    assert page.rindex("\x1b[?25h") > page.rindex("\x1b[?25l")
    assert "The model" in page


def test_a_dumb_terminal_is_never_redrawn() -> None:
    page = on_a_terminal(lambda terminal: _tell(terminal, story.whole_run().events), TERM="dumb")
    assert "\x1b[?25l" not in page
    assert "\x1b[2K" not in page


def test_no_color_is_respected() -> None:
    async def draw(terminal: Terminal) -> None:
        terminal.say("plain", "red")

    assert "\x1b[31m" in on_a_terminal(draw)
    assert "\x1b[31m" not in on_a_terminal(draw, NO_COLOR="1")


# -- JSON lines ----------------------------------------------------------------------------------------------


@given(st.dictionaries(st.text(), HOSTILE | st.floats() | st.lists(st.floats())))
def test_each_event_is_one_line_of_valid_json(payload: dict[str, Any]) -> None:
    out = io.StringIO()
    JsonLines(out).write(Event("r", 0, "t", EventType.NOTE, None, payload))
    line, rest = out.getvalue().split("\n")
    assert rest == ""
    assert len(out.getvalue().splitlines()) == 1
    told = json.loads(line, parse_constant=pytest.fail)
    assert (told["run_id"], told["seq"], told["type"], told["stage"]) == ("r", 0, "note", None)
    assert set(told["payload"]) == set(payload)


def test_a_reader_that_goes_away_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as out:
        lines = JsonLines(out)
        for event in story.whole_run().events:
            lines.write(event)


# -- typing --------------------------------------------------------------------------------------------------


async def test_lines_from_a_pipe_then_the_end() -> None:
    reader, writer = os.pipe()
    typed = TypedLines(reader)
    os.write(writer, "eins\r\nzwei ü\n".encode())
    assert await typed.line() == "eins"
    assert await typed.line() == "zwei ü"
    waiting = asyncio.create_task(typed.line())
    os.write(writer, b"half")
    os.close(writer)
    assert await waiting == "half"
    assert await typed.line() is None
    os.close(reader)


async def test_lines_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "answers").write_text("1\n2\n")
    with (tmp_path / "answers").open() as file:
        typed = TypedLines(file.fileno())
        assert [await typed.line() for _ in range(3)] == ["1", "2", None]


async def test_control_c_at_the_prompt_is_no_answer_and_the_old_handler_comes_back() -> None:
    reader, writer = os.pipe()
    before = signal.getsignal(signal.SIGINT)
    waiting = asyncio.create_task(TypedLines(reader).line())
    await asyncio.sleep(0)  # lets it begin to wait
    assert signal.getsignal(signal.SIGINT) != before
    os.kill(os.getpid(), signal.SIGINT)
    assert await waiting is None
    assert signal.getsignal(signal.SIGINT) == before
    os.close(reader)
    os.close(writer)


# -- a session -----------------------------------------------------------------------------------------------


class Answers:
    """A person who says these lines, then leaves."""

    def __init__(self, *lines: str) -> None:
        self.lines = list(lines)

    async def line(self) -> str | None:
        return self.lines.pop(0) if self.lines else None


class Scripted(Driver):
    """Stands for the graph: writes the story up to the plan, waits for the answer, then writes the rest."""

    def __init__(self, store: SqliteStore) -> None:
        self.store = store
        self.question: Question = story.COMPUTE
        self.beginning = story.until_the_plan().events
        self.moves = 0
        self.raises: list[Exception] = []

    async def advance(self, run_id: str) -> Run:
        self.moves += 1
        if self.raises:
            raise self.raises.pop(0)
        lease = await self.store.lease(run_id, "me", 0.0, 30.0)
        assert lease is not None
        told = await self.store.events(run_id)
        decision = await self.store.decision(self.question.id)
        if not told:
            await self._write(run_id, self.beginning, lease.fence)
        if decision is None:
            await self._become(run_id, RunStatus.WAITING, lease.fence, question=self.question)
        elif decision.value == "cancel":
            log = Log()
            log.say(
                EventType.ENDED, Stage.CANCELLED, status=RunStatus.CANCELLED, detail="Cancelled.", folder="/f"
            )
            await self._write(run_id, log.events, lease.fence)
            await self._become(run_id, RunStatus.CANCELLED, lease.fence)
        else:
            whole, known = story.whole_run().events, len(story.until_the_plan().events)
            await self._write(run_id, whole[known:], lease.fence)
            await self._become(run_id, RunStatus.DONE, lease.fence)
        await self.store.release(lease)
        return await self.store.run(run_id)

    async def _write(self, run_id: str, events: list[Event], fence: int) -> None:
        for event in events:
            await self.store.append(
                run_id, event.type, event.payload, at=event.at, stage=event.stage, fence=fence
            )

    async def _become(self, run_id: str, status: RunStatus, fence: int, **more: Any) -> None:
        await self.store.update_run(
            run_id, fence=fence, at="2026", status=status, clear_question="question" not in more, **more
        )


class World:
    """A real store behind the real door; only the graph is scripted."""

    def __init__(self, store: SqliteStore, home: Path) -> None:
        self.store = store
        self.driver = Scripted(store)
        deps = Deps(store, [], [], {}, None, home, lambda: datetime(2026, 11, 24, tzinfo=UTC))  # type: ignore[arg-type]
        self.door = Dispatch(deps, self.driver, Access(Rules()), lambda: RUN)
        self.out, self.err = io.StringIO(), io.StringIO()

    async def start(self) -> None:
        await self.door.start(Request(story.SENTENCE, requester=local_user()))

    def session(self, *answers: str, as_json: bool = False) -> Session:
        return Session(
            self.door,
            as_json=as_json,
            out=self.out,
            err=self.err,
            typed=None if as_json else Answers(*answers),
            columns=80,
            retry_s=0.0,
        )

    @property
    def page(self) -> str:
        return self.out.getvalue()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    store = await SqliteStore.open(tmp_path / "intern.db")
    world = World(store, tmp_path)
    yield world
    await world.door.close()
    await store.close()


@pytest.mark.parametrize("answer", ["1", "approve", "Train for $0.00", "", "yes"])
async def test_a_question_is_answered_by_number_name_or_default(world: World, answer: str) -> None:
    await world.start()
    assert await world.session(answer).follow(RUN) == 0
    (decision,) = await world.store.decisions(RUN)
    assert (decision.value, decision.actor, decision.plan_hash) == ("approve", local_user(), story.PLAN.hash)
    assert "  2  Baseline only    linear head on frozen embeddings: seconds, free" in world.page
    assert "Your choice (1–4, or in your words) [1]:" in world.page
    assert f'Try it:  intern try {RUN} "…"' in world.page


async def test_the_end_of_input_leaves_the_run_waiting_and_says_how_to_go_on(world: World) -> None:
    await world.start()
    assert await world.session().follow(RUN) == 3
    assert (await world.store.run(RUN)).status is RunStatus.WAITING
    assert await world.store.decisions(RUN) == []
    assert f"intern decide {RUN} CHOICE" in world.page
    assert "approve | baseline_only | change | cancel" in world.page


async def test_a_later_session_goes_on_without_telling_the_old_story(world: World) -> None:
    await world.start()
    assert await world.session().follow(RUN) == 3
    last = (await world.door.events(RUN))[-1].seq
    before = len(world.page)
    assert await world.session("approve").follow(RUN, after=last) == 0
    later = world.page[before:]
    assert "What I understood" not in later
    assert "Approve the training" in later
    assert "On rows never trained on" in later


async def test_an_answer_from_elsewhere_is_followed_to_the_end(world: World) -> None:
    """As ``intern decide`` does it: the decision first, then the rest of the story."""
    await world.start()
    assert await world.session().follow(RUN) == 3
    last = (await world.door.events(RUN))[-1].seq
    await world.door.decide(RUN, "approve", actor=local_user(), surface="console")
    before = len(world.page)
    assert await world.session().follow(RUN, after=last) == 0
    assert "Done: Positive or negative product reviews" in world.page[before:]
    assert "Your choice" not in world.page[before:]


async def test_the_words_of_a_change_are_asked_for(world: World) -> None:
    await world.start()
    await world.session("3", "minutes=5").follow(RUN)
    assert [decision.value for decision in await world.store.decisions(RUN)] == ["minutes=5"]


async def test_money_needs_a_second_yes(world: World) -> None:
    paid = replace(story.COMPUTE, price_usd=4.2, default=None, free_text=False)
    world.driver.question = paid
    log = Log()
    log.asked(paid)
    world.driver.beginning = log.events
    await world.start()
    assert await world.session("approve", "no", "nonsense", "cancel").follow(RUN) == 130
    assert [decision.value for decision in await world.store.decisions(RUN)] == ["cancel"]
    assert "Spend $4.20? [yes/no]:" in world.page
    assert "'nonsense' is not one of the choices" in world.page


async def test_cancelling_ends_with_its_own_exit_code(world: World) -> None:
    await world.start()
    assert await world.session("4").follow(RUN) == 130
    assert "Cancelled" in world.page


async def test_json_prints_every_event_once_and_words_go_to_stderr(world: World) -> None:
    await world.start()
    assert await world.session(as_json=True).follow(RUN) == 3
    await world.door.decide(RUN, "approve", actor=local_user(), surface="console")
    last = json.loads(world.page.splitlines()[-1])["seq"]
    assert await world.session(as_json=True).follow(RUN, after=last) == 0
    told = [json.loads(line) for line in world.page.splitlines()]
    assert [event["seq"] for event in told] == list(range(len(told)))
    assert [event["type"] for event in told] == [event.type for event in story.whole_run().events]
    assert "On rows never trained on" in world.err.getvalue()
    assert f"intern decide {RUN}" in world.err.getvalue()


async def test_a_run_that_another_process_holds_is_watched_and_taken_over(world: World) -> None:
    await world.start()
    world.driver.raises = [RunBusy("held"), RunBusy("held")]
    assert await world.session("approve").follow(RUN) == 0
    assert world.driver.moves >= 4


async def test_a_broken_store_is_not_waited_for(world: World) -> None:
    await world.start()
    world.driver.raises = [StoreError("The disk is full.", "Free some space.")]
    with pytest.raises(StoreError, match="disk is full"):
        await world.session().follow(RUN)


async def test_show_tells_the_story_so_far_and_its_open_question(world: World) -> None:
    await world.start()
    assert await world.session().follow(RUN) == 3
    before = len(world.page)
    assert await world.session().show(RUN) == 0
    story_so_far = world.page[before:]
    assert "What I understood" in story_so_far
    assert "  4  Cancel" in story_so_far
    assert "Your choice" not in story_so_far


async def test_the_list_of_runs(world: World) -> None:
    world.session().list_runs([])
    assert "No runs yet" in world.page
    await world.start()
    world.session().list_runs(await world.door.runs())
    assert RUN in world.page


def test_predictions_say_when_not_to_trust_them() -> None:
    out = io.StringIO()
    session = Session(None, out=out, err=out, typed=Answers(), columns=80)  # type: ignore[arg-type]
    session.predictions(
        [
            {
                "text": "what a \x1b[31mjoy",
                "label": "positive",
                "confidence": 0.934,
                "scores": {"positive": 0.934, "negative": 0.066},
                "unlike_training": True,
            }
        ]
    )
    page = out.getvalue()
    assert "positive  93.4 %" in page
    assert "then negative 6.6 %" in page
    assert "do not trust" in page
    assert "\x1b" not in page


def test_the_spend_is_shown_by_month_person_channel_and_language_model() -> None:
    at = "2026-11-24T12:00:00"
    lines = [
        Spend("a", "r1", "h", "modal", "T4", "slack:U1", "T/C1", 1.0, 3.0, at, 0.75),
        Spend("b", "r2", "h", "modal", "T4", "slack:U2", "T/C1", 1.0, 2.0, at),
        *(
            Spend(key, "r2", "", "llm", "openai:m", "slack:U2", "", 0.1, 0.1, at, 0.02, 1500, 20)
            for key in "cd"
        ),
    ]
    out = io.StringIO()
    session = Session(cast(Any, None), out=out, typed=Nobody(), columns=120)
    session.list_spend(lines, Budgets(month=100.0))
    said = out.getvalue()
    assert re.search(r"2026-11\s+everybody\s+\$0\.79\s+\$2\.00\s+\$100\.00", said)
    assert re.search(r"slack:U2\s+\$0\.04\s+\$2\.00\s+–", said)
    assert re.search(r"openai:m, 3,000 tokens in, 40 out\s+\$0\.04\s+\$0\.00\s+–", said)
    session.list_spend([], Budgets())
    assert "Nothing was spent" in out.getvalue()
