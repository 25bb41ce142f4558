"""A person at a terminal and one run: shows it, asks its questions, ends with an exit code.

The session knows the run only through the one door (:class:`Door`). It starts the work (``move``), tells the
log while it grows, and at each pause asks. Whoever leaves, by the end of input or Ctrl-C at the prompt,
leaves the run waiting and is told how to go on. Where another process works on the run, this one only
watches, and takes over when that process is gone.
"""

from __future__ import annotations

import asyncio
import getpass
import os
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Protocol, TextIO

from bot.cards import Action, Asks, Card
from bot.chat.steering import Intent, steer
from bot.console import blocks
from bot.console.jsonlines import JsonLines
from bot.console.safe import one_line
from bot.console.tables import planned_files, predictions, runs_table, spend_table
from bot.console.terminal import Terminal, open_console
from bot.console.typed import Nobody, Typed, TypedLines
from bot.errors import AlreadyDecided, NotAChoice, NotAllowed, NotWaiting, StalePlan
from bot.projector import ProcessMemory, Projector
from bot.views.answers import status_card, told
from bot.views.why import why
from graph.deps import Budgets, Decision, Event, PublishFile, Run, Spend
from graph.errors import GraphError, StoreError
from graph.names import RunStatus

EXIT_CODES = {RunStatus.DONE: 0, RunStatus.FAILED: 1, RunStatus.WAITING: 3, RunStatus.CANCELLED: 130}
SURFACE = "console"
EXAMPLE = 'intern run "Sort our tickets by intent" --data tickets.csv'
LOOK_S = 0.5  # how soon an answer given elsewhere is noticed
RETRY_S = 5.0  # how soon a run that another process held is tried again
_IN_OWN_WORDS = ("change", "elsewhere")  # choices that mean "I will say it in words"
_YES = ("y", "yes", "ja", "oui")


class Door(Protocol):
    """What a session needs of :class:`bot.dispatch.Dispatch`."""

    async def move(self, run_id: str) -> Run: ...
    async def find(self, prefix: str) -> Run: ...
    async def events(self, run_id: str, after: int = -1) -> list[Event]: ...
    def follow(self, run_id: str, after: int = -1) -> AsyncIterator[Event]: ...
    async def decide(
        self, run_id: str, text: str, *, actor: str, surface: str, plan_hash: str | None = None
    ) -> Decision: ...
    async def is_decided(self, run: Run) -> bool: ...
    async def wish(
        self, run_id: str, text: str, *, actor: str, name: str, surface: str
    ) -> Mapping[str, Any]: ...


def local_user() -> str:
    """Who sits here, as the operating system knows it."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a user without a name, as in some containers
        return f"uid-{os.getuid()}"


class Session:
    """``out`` gets the events with ``as_json``, else the words; ``err`` gets the words with ``as_json``."""

    def __init__(
        self,
        door: Door,
        *,
        as_json: bool = False,
        out: TextIO | None = None,
        err: TextIO | None = None,
        typed: Typed | None = None,
        columns: int | None = None,
        retry_s: float = RETRY_S,
    ) -> None:
        out, err = out or sys.stdout, err or sys.stderr
        self._door = door
        self._json = JsonLines(out) if as_json else None
        self._terminal = Terminal(open_console(err if as_json else out, columns=columns))
        self._typed = typed or (Nobody() if as_json or sys.stdin is None else TypedLines(sys.stdin.fileno()))
        self._retry_s = retry_s

    async def follow(self, run_id: str, *, after: int = -1) -> int:
        """Work on the run and show it, from event ``after`` on, until it has ended or the person leaves."""
        projector = self._projector(run_id)
        with self._terminal:
            await projector.catch_up(seen=after)
            told = await self._door.events(run_id, after)
            self._write(event for event in told if event.seq <= projector.last_seq)
            while True:
                run = await self._watch(run_id, projector)
                if run.status is not RunStatus.WAITING:
                    break
                if not await self._answer(run, projector):
                    break
        self._farewell(run)
        return EXIT_CODES.get(run.status, 1)

    async def show(self, run_id: str) -> int:
        """The run's story so far. Always 0: showing worked."""
        projector = self._projector(run_id)
        with self._terminal:
            await projector.catch_up()
            self._write(await self._door.events(run_id))
            run = await self._door.find(run_id)
            if run.status is RunStatus.WAITING and (card := self._question(run, projector)):
                self._terminal.ask(card)
        self._farewell(run)
        return 0

    def list_runs(self, runs: Sequence[Run]) -> None:
        if runs:
            self._terminal.put(runs_table(runs))
        else:
            self._terminal.say(f"No runs yet. Start one:\n  {EXAMPLE}")

    def list_spend(self, lines: Sequence[Spend], budgets: Budgets) -> None:
        if not lines:
            self._terminal.say("Nothing was spent or committed yet.")
            return
        self._terminal.put(spend_table(lines, budgets))

    def predictions(self, answers: Sequence[Mapping[str, Any]]) -> None:
        self._terminal.put(predictions(answers))

    def planned(self, target: str, files: Sequence[PublishFile]) -> None:
        self._terminal.put(planned_files(target, files))

    # -- watching ------------------------------------------------------------------------------------------

    def _projector(self, run_id: str) -> Projector:
        return Projector(
            run_id, self._door, self._terminal, ProcessMemory(), clock=time.monotonic, visible=blocks.visible
        )

    async def _watch(self, run_id: str, projector: Projector) -> Run:
        """Tell the log while the run is worked on; returns when it waits for a person or has ended."""
        moving = asyncio.create_task(self._move(run_id))
        telling: asyncio.Task[None] | None = None
        try:
            while not moving.done():
                telling = asyncio.create_task(self._tell(run_id, projector))
                await asyncio.wait({moving, telling}, return_when=asyncio.FIRST_COMPLETED)
                if telling.done():
                    telling.result()
                    # A resumed run is not marked as running yet: what is told ends before the work begins.
                    await asyncio.wait({moving}, timeout=0.05)
            moving.result()
            for event in await self._door.events(run_id, projector.last_seq):
                await self._show(event, projector)
            return await self._door.find(run_id)
        finally:
            tasks = [task for task in (moving, telling) if task is not None]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _move(self, run_id: str) -> None:
        """Until the run pauses. While another process holds it, look again now and then."""
        while True:
            try:
                run = await self._door.move(run_id)
            except StoreError:
                raise
            except GraphError:  # busy, or taken over: its worker's events are told all the same
                run = await self._door.find(run_id)
            if run.status is not RunStatus.RUNNING:
                return
            await asyncio.sleep(self._retry_s)

    async def _tell(self, run_id: str, projector: Projector) -> None:
        async for event in self._door.follow(run_id, projector.last_seq):
            await self._show(event, projector)

    async def _show(self, event: Event, projector: Projector) -> None:
        if event.seq > projector.last_seq:
            self._write([event])
            await projector.take(event)

    def _write(self, events: Any) -> None:
        if self._json:
            for event in events:
                self._json.write(event)

    # -- asking --------------------------------------------------------------------------------------------

    @staticmethod
    def _question(run: Run, projector: Projector) -> Card | None:
        return projector.story.cards.get(f"question:{run.question.id}") if run.question else None

    async def _answer(self, run: Run, projector: Projector) -> bool:
        """Ask until an answer was recorded; ``False`` when nobody answers."""
        card = self._question(run, projector)
        if card is None or card.asks is None:
            return False
        self._terminal.ask(card)
        while True:
            try:
                said = await self._read(run, card.actions, card.asks)
                if said is None:
                    return False
                await self._door.decide(
                    run.id, said, actor=local_user(), surface=SURFACE, plan_hash=card.asks.plan_hash
                )
            except (NotAChoice, NotAllowed) as error:
                self._terminal.say(str(error), "yellow")
            except (AlreadyDecided, NotWaiting, StalePlan) as error:
                self._terminal.say(str(error), "yellow")
                return True
            else:
                return True

    async def _read(self, run: Run, choices: Sequence[Action], asks: Asks) -> str | None:
        """A choice, or a person's own words; ``None`` when nobody answers."""
        range_ = f"1–{len(choices)}" if len(choices) > 1 else "1"
        words = ", or in your words" if asks.free_text else ""
        usual = next(
            (str(n) for n, c in enumerate(choices, 1) if asks.default and c.value == asks.default), ""
        )
        while True:
            said = await self._line(
                run, f"Your choice ({range_}{words})" + (f" [{usual}]:" if usual else ":")
            )
            if said is None:
                return None
            chosen = _chosen(choices, said or usual)
            if chosen and chosen.value in _IN_OWN_WORDS and asks.free_text:
                said = await self._line(run, f"In your words ({one_line(chosen.detail)}):")
                if not said:
                    continue
            elif chosen and chosen.confirm:
                sure = await self._line(run, f"{one_line(chosen.confirm)} [yes/no]:")
                if sure is None:
                    return None
                if sure.casefold() not in _YES:
                    continue
            if chosen is None and await self._steered(run, said):
                continue
            if said := chosen.value if chosen and chosen.value not in _IN_OWN_WORDS else said:
                return said

    async def _steered(self, run: Run, said: str) -> bool:
        """Whether what was typed is no answer but a word to the run, as in a chat; it is carried out then."""
        meant = steer(said, run)
        match meant.intent:
            case Intent.WHY:
                card = why(run.id, await self._door.events(run.id))
            case Intent.STATUS:
                card = status_card(run)
            case Intent.WISH:
                try:
                    await self._door.wish(run.id, meant.text, actor=local_user(), name="", surface=SURFACE)
                except (NotAChoice, NotAllowed, NotWaiting) as error:
                    self._terminal.say(str(error), "yellow")
                    return True
                card = told("Noted: I'll plan with it.")
            case _:
                return False
        self._terminal.put(blocks.card(card))
        return True

    async def _line(self, run: Run, prompt: str) -> str | None:
        """What is typed; ``None`` at the end of input. Raises NotWaiting when somebody answers elsewhere meanwhile."""
        self._terminal.prompt(prompt)
        typing = asyncio.create_task(self._typed.line())
        elsewhere = asyncio.create_task(self._answered_elsewhere(run))
        try:
            await asyncio.wait({typing, elsewhere}, return_when=asyncio.FIRST_COMPLETED)
            if not typing.done():
                self._terminal.say("")
                raise NotWaiting("Answered elsewhere.")
            said = typing.result()
        finally:
            for task in (typing, elsewhere):
                task.cancel()
            await asyncio.gather(typing, elsewhere, return_exceptions=True)
        if said is None:
            self._terminal.say("")  # the prompt's line has no end yet
        return said if said is None else said.strip()

    async def _answered_elsewhere(self, run: Run) -> None:
        """Returns when the question is answered by somebody else: in a chat, or at another terminal."""
        while True:
            now = await self._door.find(run.id)
            if now.status.ended or now.question != run.question or await self._door.is_decided(run):
                return
            await asyncio.sleep(LOOK_S)

    def _farewell(self, run: Run) -> None:
        say = self._terminal.say
        match run.status:
            case RunStatus.DONE:
                say(f'\nTry it:  intern try {run.id} "…"')
            case RunStatus.FAILED:
                say(f"\nWhat was made is kept. Try again from here:  intern resume {run.id}")
            case RunStatus.WAITING:
                names = (
                    " | ".join(choice.value for choice in run.question.choices) if run.question else "CHOICE"
                )
                say(f"\nThe run waits for an answer. Go on with:  intern decide {run.id} CHOICE", "yellow")
                say(f"CHOICE is one of: {names}")
            case RunStatus.RUNNING:
                say(f"\nThe run is being worked on. Follow it:  intern resume {run.id}")
            case RunStatus.CANCELLED:
                return


def _chosen(choices: Sequence[Action], said: str) -> Action | None:
    """The choice named by number, value or label."""
    if said.isdecimal() and 1 <= int(said) <= len(choices):
        return choices[int(said) - 1]
    low = said.casefold()
    return next((c for c in choices if low in (c.value.casefold(), c.label.casefold())), None)
