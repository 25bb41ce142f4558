"""Receives what people do in a chat and carries it out through the one door. The same for every chat surface.

``handle`` may be called twice with the same :class:`Incoming` (after a crash): a run has the id that was drawn when
the words came in, a decision is won once. It returns what to say to the person; what the run itself says comes
through the projector. This is one of the three places that catch everything: what was not foreseen is logged with
its kind and told in one sentence.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from bot.chat.forms import request_fields
from bot.chat.idiom import Idiom
from bot.chat.incoming import Attachment, Incoming, Kind, Reply
from bot.chat.memory import ChatMemory
from bot.chat.steering import Intent, steer
from bot.chat.uploads import checked_name, is_paper
from bot.dispatch import Dispatch, check_request
from bot.errors import BotError, NotAllowed, UsageError
from bot.views import answers
from bot.views.story import BUILT
from bot.views.why import why
from graph.deps import Run
from graph.errors import GraphError
from graph.names import RunStatus
from graph.state import Request
from remote.backend import BackendError

log = logging.getLogger(__name__)


class Desk(Protocol):
    """What the reception needs of its surface."""

    name: str
    idiom: Idiom

    async def groups(self, incoming: Incoming) -> tuple[str, ...]:
        """What the surface vouches for about the person, now: ``slack-group:S1``, ``discord-role:4``."""

    async def fetch(self, attachment: Attachment, into: Path, place: str) -> None:
        """Download what was attached at ``place`` to the file ``into``. Raises UsageError."""

    async def check(self, incoming: Incoming) -> None:
        """Whether a run can be shown at the place. Raises UsageError with what to do."""

    async def reply(self, incoming: Incoming, reply: Reply) -> None:
        """Say it now. Never raises: what cannot be said is logged."""


class Reception:
    def __init__(self, desk: Desk, door: Dispatch, memory: ChatMemory, home: Path) -> None:
        self._desk = desk
        self._door = door
        self._memory = memory
        self._home = home
        self._handlers: Mapping[Kind, Callable[[Incoming], Awaitable[list[Reply]]]] = {
            Kind.START: self._start,
            Kind.REPLY: self._reply,
            Kind.ANSWER: self._answer,
            Kind.SUGGESTION: self._again,
            Kind.AGAIN: self._again,
            Kind.EDIT: self._edit,
            Kind.CANCEL: self._cancel,
            Kind.TRY: self._try,
            Kind.STATUS: self._status,
            Kind.RUNS: self._runs,
            Kind.HELP: self._help,
        }

    async def handle(self, incoming: Incoming) -> list[Reply]:
        try:
            return await self._handlers[incoming.kind](incoming)
        except (BotError, GraphError, BackendError) as error:
            return [Reply(answers.refused(str(error)))]
        except Exception as error:  # the surface's outermost edge
            log.exception("%s: %s could not be handled", self._desk.name, incoming.kind)
            return [
                Reply(
                    answers.refused(
                        f"Something unforeseen went wrong ({type(error).__name__}); it is in my log. Please try again."
                    )
                )
            ]

    # -- starting ------------------------------------------------------------------------------------------------

    async def _start(self, incoming: Incoming) -> list[Reply]:
        sentence = incoming.text.strip()
        if not sentence and not incoming.attachments:
            return await self._help(incoming)
        await self._desk.check(incoming)
        check_request(self._request(incoming, sentence, None))  # before a file is fetched for nothing
        data, paper = await self._uploaded(incoming, incoming.new_id)
        request = replace(self._request(incoming, sentence, data), paper=paper)
        run = await self._door.start(request, incoming.new_id)
        await self._memory.place_run(run.id, incoming.place)
        return []

    def _request(self, incoming: Incoming, sentence: str, data: str | None) -> Request:
        request = Request(
            sentence or "Learn to tell the labels of this file apart.",
            incoming.person.id,
            self._desk.name,
            channel=incoming.place,
            requester_name=incoming.person.name,
            files_below=str(self._home / "uploads"),
        )
        request = replace(request, **request_fields(incoming.fields))
        return replace(request, data=data or request.data)

    async def _uploaded(self, incoming: Incoming, run_id: str) -> tuple[str | None, str | None]:
        """Where the attached data and paper of the run lie now. More than one of a kind is a question of which."""
        papers = [file for file in incoming.attachments if is_paper(file.name)]
        data = [file for file in incoming.attachments if file not in papers]
        if len(data) > 1 or len(papers) > 1:
            what = "file: I take one as the data" if len(data) > 1 else "paper: I follow one"
            raise UsageError(f"Attach one {what}, and can't tell which.")
        return (
            await self._fetched(incoming, run_id, data[0]) if data else None,
            await self._fetched(incoming, run_id, papers[0]) if papers else None,
        )

    async def _fetched(self, incoming: Incoming, run_id: str, attachment: Attachment) -> str:
        """Kept for as long as somebody may train on it again: see docs/security.md."""
        name = checked_name(attachment)
        below = (
            () if incoming.new_id == run_id else (incoming.new_id,)
        )  # a reply's may be called like another's
        into = self._home.joinpath("uploads", run_id, *below, name)
        if not into.exists():  # a repeated start has it already
            into.parent.mkdir(parents=True, exist_ok=True)
            await self._desk.fetch(attachment, into, incoming.place)
        return str(into)

    async def _edit(self, incoming: Incoming) -> list[Reply]:
        """The request put differently: a new run, and the old one stops."""
        old = await self._run(incoming)
        if old.status is RunStatus.DONE or (not old.status.ended and old.stage in BUILT):
            raise UsageError(
                f"The training of {old.id} builds on this task already. Write what you want differently in its "
                "thread, or start a new run; “cancel” stops this one."
            )
        await self._stop(incoming, old)
        request = self._request(incoming, incoming.text.strip() or old.request.sentence, None)
        request = replace(
            request,
            data=request.data or old.request.data,
            paper=old.request.paper,
            parent_run=old.id,
            channel=incoming.channel,
        )
        run = await self._door.start(request, incoming.new_id)
        await self._memory.place_run(run.id, incoming.channel)
        return []

    async def _again(self, incoming: Incoming) -> list[Reply]:
        """A child run, with a suggestion or with a change in words."""
        parent = await self._run(incoming)
        overrides = await self._door.change(parent.id, incoming.value or incoming.text)
        return await self._child(incoming, parent, overrides)

    async def _child(self, incoming: Incoming, parent: Run, overrides: Mapping[str, object]) -> list[Reply]:
        person = incoming.person
        child = await self._door.again(
            parent.id,
            overrides,
            actor=person.id,
            name=person.name,
            surface=self._desk.name,
            channel=incoming.channel,  # in a thread of its own
            new_id=incoming.new_id,
        )
        await self._memory.place_run(child.id, incoming.channel)
        said = ", ".join(f"{key} = {value}" for key, value in overrides.items())
        return [
            Reply(answers.told(f"{person.name or person.id} started {child.id} with {said}."), private=False)
        ]

    # -- deciding ------------------------------------------------------------------------------------------------

    async def _answer(self, incoming: Incoming) -> list[Reply]:
        run = await self._run(incoming)
        await self._door.decide(
            run.id,
            incoming.value,
            actor=incoming.person.id,
            name=incoming.person.name,
            surface=self._desk.name,
            plan_hash=incoming.plan_hash,
            question_id=incoming.question_id,
            groups=await self._desk.groups(incoming),
        )
        return []

    async def _reply(self, incoming: Incoming) -> list[Reply]:
        run = await self._run(incoming)
        meant = steer(incoming.text, run, has_file=bool(incoming.attachments))
        if meant.intent is Intent.UNCLEAR and not incoming.addressed and run.question is None:
            return []  # people talk to each other
        match meant.intent:
            case Intent.ANSWER:
                data, paper = await self._uploaded(incoming, run.id)
                value = data or paper or meant.text
                return await self._answer(replace(incoming, run_id=run.id, value=value))
            case Intent.WHY:
                return [Reply(why(run.id, await self._door.events(run.id)), private=False)]
            case Intent.WISH:
                person = incoming.person
                groups = await self._desk.groups(incoming)
                await self._door.wish(
                    run.id,
                    meant.text,
                    actor=person.id,
                    name=person.name,
                    surface=self._desk.name,
                    groups=groups,
                )
                return []
            case Intent.AGAIN:
                return [Reply(answers.offer_again(run.id, meant.text, run.status.ended))]
            case Intent.CANCEL:
                return await self._cancel(replace(incoming, run_id=run.id))
            case Intent.TRY:
                return await self._try(replace(incoming, run_id=run.id, text=meant.text))
            case Intent.STATUS:
                return [Reply(answers.status_card(run))]
            case Intent.HELP:
                return [Reply(answers.help_card(self._desk.idiom.help))]
            case Intent.UNCLEAR:
                return [Reply(answers.refused(meant.text))]

    async def _cancel(self, incoming: Incoming) -> list[Reply]:
        run = await self._run(incoming)
        await self._stop(incoming, run)
        return [Reply(answers.told(f"{run.id} stops; what was made so far is kept."))]

    async def _stop(self, incoming: Incoming, run: Run) -> None:
        if not run.status.ended:
            person, groups = incoming.person, await self._desk.groups(incoming)
            await self._door.cancel(
                run.id, actor=person.id, name=person.name, surface=self._desk.name, groups=groups
            )
        elif incoming.kind is Kind.CANCEL:
            raise UsageError(f"Run {run.id} has already ended: {run.status}.")

    # -- asking --------------------------------------------------------------------------------------------------

    async def _try(self, incoming: Incoming) -> list[Reply]:
        run = await self._run(incoming)
        if not incoming.text.strip():
            raise UsageError(f"Which text? Write it after the run: try {run.id} some text.")
        private = incoming.place == incoming.channel
        await self._desk.reply(incoming, Reply(answers.told("I ask the model; give me some seconds.")))
        said = await self._door.predict(run.id, [incoming.text])
        return [Reply(answers.predictions_card(run.id, said), private=private)]

    async def _status(self, incoming: Incoming) -> list[Reply]:
        if incoming.run_id or await self._memory.run_at(incoming.place):
            return [Reply(answers.status_card(await self._run(incoming)))]
        runs = [run for run in await self._mine(incoming) if not run.status.ended]
        if not runs:
            return [Reply(answers.told("None of your runs is under way. “/intern runs” lists them all."))]
        return [Reply(answers.status_card(run)) for run in runs[:3]]

    async def _runs(self, incoming: Incoming) -> list[Reply]:
        return [Reply(answers.runs_card(await self._mine(incoming), self._desk.idiom.start))]

    async def _help(self, incoming: Incoming) -> list[Reply]:
        problem = incoming.text if incoming.kind is Kind.HELP else ""
        return [Reply(answers.help_card(self._desk.idiom.help, problem))]

    async def _mine(self, incoming: Incoming) -> list[Run]:
        return await self._door.runs(surface=self._desk.name, requester=incoming.person.id)

    async def _run(self, incoming: Incoming) -> Run:
        """The run that is meant, if the person may see it. Raises NotAllowed, UsageError, RunNotFound."""
        run_id = incoming.run_id or await self._memory.run_at(incoming.place)
        if not run_id:
            raise UsageError("No run belongs to this place. “/intern runs” lists your runs.")
        run = await self._door.find(run_id)
        if run.request.surface == self._desk.name:
            home = await self._memory.place_of(run.id) or run.request.channel or ""
            if home.split("/")[0] != incoming.workspace:
                raise NotAllowed(f"This run belongs to another {self._desk.idiom.community}.")
        elif refusal := self._door.steering_refusal(
            run, incoming.person.id, self._desk.name, await self._desk.groups(incoming)
        ):
            raise NotAllowed(refusal)
        return run
