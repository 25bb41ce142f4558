"""The Slack app: what comes in is kept, acknowledged, and then handled.

Slack wants an acknowledgement within 3 s and repeats what was not acknowledged; so a payload becomes an
:class:`bot.chat.incoming.Incoming`, is written to the inbox under Slack's own id of it, is acknowledged, and only
then worked on, in a task. What this process could not finish, another one (or the next start) finds in the inbox.
Forms are the exception: Slack opens one only within 3 s of the click, so nothing is kept of that.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from slack_bolt.async_app import AsyncApp
from slack_sdk.errors import SlackClientError
from slack_sdk.web.async_client import AsyncWebClient

from bot.chat.forms import field_problems
from bot.chat.inbox import Busy, Inbox
from bot.chat.incoming import Incoming, Kind, Person
from bot.chat.memory import ChatMemory
from bot.chat.reception import Reception
from bot.dispatch import Dispatch
from bot.errors import BotError
from bot.slack import home, modals, read
from bot.slack.address import Address
from bot.slack.buttons import clicked
from bot.slack.desk import NAME, SlackDesk
from graph.deps import Run
from graph.errors import GraphError
from graph.names import RunStatus

log = logging.getLogger(__name__)

Ack = Callable[..., Awaitable[Any]]
Json = Mapping[str, Any]

BUSY = "I am busy right now, and could not take that in. Please try again in a minute."


class SlackApp:
    """Bolt's listeners, and the tasks that they start."""

    def __init__(
        self,
        bolt: AsyncApp,
        desk: SlackDesk,
        reception: Reception,
        door: Dispatch,
        memory: ChatMemory,
        now: Callable[[], datetime],
        ceiling_usd: float | None,
    ) -> None:
        self.bolt = bolt
        self._desk = desk
        self._reception = reception
        self._door = door
        self._memory = memory
        self._now = now
        self._ceiling_usd = ceiling_usd
        self.inbox = Inbox(NAME, memory, self._handle, door.new_id, now)
        self._urls: dict[str, str] = {}  # team -> address of its workspace
        self._listen()

    def _listen(self) -> None:
        bolt = self.bolt
        bolt.command("/intern")(self._command)
        # Bolt acknowledges an event before its listener runs, but after its middleware: there it is kept.
        bolt.event("app_mention", middleware=[self._message])(self._kept)
        bolt.event("message", middleware=[self._message])(self._kept)
        bolt.event("app_home_opened")(self._home)
        bolt.shortcut("train_on_file")(self._shortcut)
        bolt.action(re.compile(""))(self._action)  # every one: read.click tells them apart
        for name in ("start", "edit", "words", "try"):
            bolt.view(name)(self._submitted)

    # -- keeping and handling --------------------------------------------------------------------------------------

    async def _take(self, incoming: Incoming, ack: Ack | None = None, **busy: Any) -> None:
        """Keep it, acknowledge it, handle it. What has come in already is acknowledged again, and no more."""
        try:
            kept = await self.inbox.keep(incoming)
        except Busy:
            if ack:
                await ack(**busy)
            return
        if ack:
            await ack()
        if kept:
            self.inbox.start(kept)

    async def _handle(self, incoming: Incoming) -> None:
        incoming = await self._named(incoming)
        for reply in await self._reception.handle(incoming):
            await self._desk.reply(incoming, reply)

    async def _named(self, incoming: Incoming) -> Incoming:
        """With what colleagues call the person; an event gives the id alone."""
        if incoming.person.name or not incoming.person.id:
            return incoming
        try:
            client = (await self._desk.workspace(incoming.workspace)).client
            user = (await client.users_info(user=incoming.person.id))["user"]
        except (SlackClientError, BotError):
            return incoming  # the id will do
        name = user.get("profile", {}).get("display_name") or user.get("real_name") or user.get("name") or ""
        return replace(incoming, person=Person(incoming.person.id, name))

    def _at(self) -> str:
        return self._now().isoformat(timespec="milliseconds")

    # -- listeners -------------------------------------------------------------------------------------------------

    async def _command(self, ack: Ack, body: Json, client: AsyncWebClient) -> None:
        incoming = read.command(body)
        if incoming is not None:
            await self._take(incoming, ack, text=BUSY)
            return
        await ack()
        place = str(
            Address(read.team_of(body) or str(body.get("team_id", "")), str(body.get("channel_id", "")))
        )
        await self._open(client, body, modals.start(place, str(body.get("response_url", ""))))

    async def _message(
        self, body: Json, event: Json, context: Json, next_: Callable[[], Awaitable[None]]
    ) -> None:
        team, channel = str(body.get("team_id", "")), str(event.get("channel", ""))
        thread = str(event.get("thread_ts") or "")
        run_id = await self._memory.run_at(str(Address(team, channel, thread))) if thread else None
        incoming = read.message(event, team, str(context.get("bot_user_id", "")), run_id)
        if incoming is not None:
            await self._take(incoming)
        await next_()

    async def _kept(self) -> None:
        """The event was taken in already."""

    async def _action(self, ack: Ack, body: Json, client: AsyncWebClient) -> None:
        incoming = read.click(body)
        if incoming is not None:
            await self._take(incoming, ack)
            return
        await ack()
        action = (body.get("actions") or [{}])[0]
        form = await self._form(body, action)
        if form:
            await self._open(client, body, form)

    async def _form(self, body: Json, action: Json) -> dict[str, Any] | None:
        """The form that a button opens, if it opens one."""
        verb, place = str(action.get("action_id", "")).partition(":")[0], read.place_of(body)
        try:
            match verb:
                case "words":
                    run = await self._door.find(clicked(action).run)
                    text = run.question.text if run.question else "This question is no longer open."
                    example = (
                        next((c.detail for c in run.question.choices if c.value == "change"), "")
                        if run.question
                        else ""
                    )
                    return modals.words(place, run.id, text, example)
                case "edit":
                    run = await self._door.find(str(action.get("value", "")))
                    return modals.edit(place, run.id, run.request.sentence)
                case "try":
                    return modals.try_it(
                        place, str(action.get("value", "")), str(body.get("response_url", ""))
                    )
        except (ValueError, GraphError):
            log.warning("slack: a button of another version was clicked: %s", verb)
        return None

    async def _shortcut(self, ack: Ack, body: Json, client: AsyncWebClient) -> None:
        await ack()
        message = body.get("message") or {}
        await self._open(
            client,
            body,
            modals.start(read.place_of(body), str(body.get("response_url", "")), message.get("files") or ()),
        )

    async def _submitted(self, ack: Ack, body: Json) -> None:
        typed = read.values(body.get("view") or {})
        problems = field_problems(typed)
        if problems:
            await ack(response_action="errors", errors=problems)
            return
        incoming = read.submission(body)
        if incoming is None:
            await ack()
            return
        await self._take(
            incoming, ack, response_action="errors", errors={"words" if "words" in typed else "goal": BUSY}
        )

    async def _open(self, client: AsyncWebClient, body: Json, view: dict[str, Any]) -> None:
        try:
            await client.views_open(trigger_id=str(body.get("trigger_id", "")), view=view)
        except SlackClientError as error:
            log.warning("slack: a form could not be opened: %s", error)
            url = str(body.get("response_url", ""))
            incoming = Incoming(
                f"form:{body.get('trigger_id')}", Kind.HELP, Person(""), read.place_of(body),
                text="The form did not open in time; please try again.", reply_to=url,
            )  # fmt: skip
            self.inbox.start(incoming)

    async def _home(self, event: Json, body: Json, client: AsyncWebClient) -> None:
        if event.get("tab", "home") != "home":
            return
        person, team = str(event.get("user", "")), str(body.get("team_id", ""))
        runs = [r for r in await self._door.runs(200, surface=NAME) if _team(r) == team]
        base = await self._base_url(client, team)
        links = {run.id: await self._link(base, run) for run in runs[:40]}
        groups = (f"slack:{team}/{person}",)
        waiting = [
            r
            for r in runs
            if r.status is RunStatus.WAITING and self._door.may_answer(r, person, NAME, groups)
        ]
        mine = [r for r in runs if r.request.requester == person]
        spent = await self._door.spent_usd(self._at()[:7], surface=NAME)
        view = home.view(waiting, mine, spent, self._ceiling_usd, lambda run: links.get(run.id, ""))
        try:
            await client.views_publish(user_id=person, view=view)
        except SlackClientError as error:
            log.warning("slack: App Home could not be shown: %s", error)

    async def _base_url(self, client: AsyncWebClient, team: str) -> str:
        if team not in self._urls:
            try:
                self._urls[team] = str((await client.auth_test()).get("url") or "").rstrip("/")
            except SlackClientError:
                return ""
        return self._urls[team]

    async def _link(self, base: str, run: Run) -> str:
        address = Address.parse(await self._memory.place_of(run.id) or "")
        if not base or not address.thread:
            return ""
        return f"{base}/archives/{address.channel}/p{address.thread.replace('.', '')}"


def _team(run: Run) -> str:
    return Address.parse(run.request.channel or "").team
