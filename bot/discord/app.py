"""The Discord bot: what comes in is acknowledged and kept, and then handled.

Discord wants an answer to an interaction within 3 s, and does not ask again. So an interaction is deferred at once,
and at the same time, as a :class:`bot.chat.incoming.Incoming`, written to the inbox; only then it is worked on, in a
task. What this process could not finish, another one (or the next start) finds in the inbox.

Design decisions
- Buttons and menus are one ``DynamicItem``: whatever message they stand on, and whichever process posted it, they
  come back with a claim (``bot.discord.claims``). Forms do the same, so discord.py need not remember any.
- Only three things are not kept, because nothing is lost with them: opening a form, asking "are you sure?", and
  completing what is being typed.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Self

import discord
from discord import app_commands, ui

from bot.chat.feed import Feed
from bot.chat.inbox import Busy, Inbox
from bot.chat.incoming import Attachment, Incoming, Kind, Reply
from bot.chat.reception import Reception
from bot.discord import buttons, modals, read
from bot.discord.address import Address
from bot.discord.claims import TEMPLATE, Claim, NotOurs, digest, resolved
from bot.discord.client import intents, without_voice
from bot.discord.commands import add_commands
from bot.discord.desk import NAME, DiscordDesk
from bot.discord.download import Chunks, from_cdn
from bot.discord.errors import FAILURES, translated
from bot.discord.layout import layout
from bot.discord.pacer import Pacer
from bot.discord.poster import Server
from bot.discord.render import Rendered, render
from bot.present import present
from bot.views import answers
from bot.wiring import App
from graph.deps import Run
from graph.errors import GraphError, StoreError

log = logging.getLogger(__name__)

DRAIN_S = 10.0
BUSY = "I am busy right now, and could not take that in. Please try again in a minute."
SURE_TO_STOP = "The run stops; what it has saved is kept."
MOST_COMPLETIONS = 25  # of Discord


def create_bot(
    app: App, *, chunks: Chunks = from_cdn, clock: Callable[[], float] = time.monotonic
) -> InternBot:
    """The bot, not yet connected. ``chunks`` fetches an attachment from its address."""
    return InternBot(app, chunks, clock)


class InternBot(discord.Client):
    def __init__(self, app: App, chunks: Chunks, clock: Callable[[], float]) -> None:
        without_voice()
        super().__init__(
            intents=intents(),
            allowed_mentions=discord.AllowedMentions.none(),
            chunk_guilds_at_startup=False,
            max_messages=None,  # nothing here looks at old messages
        )
        self.tree = app_commands.CommandTree(self)
        self.door = app.dispatch
        self._memory = app.memory(NAME)
        approvers = app.settings.access().rules.approvers
        server = Server(self, Pacer(clock))
        self._desk = DiscordDesk(server, self._memory, app.deps.run_dir, approvers, chunks)
        self._reception = Reception(self._desk, app.dispatch, self._memory, app.deps.home)
        self._inbox = Inbox(NAME, self._memory, self._handle, app.dispatch.new_id, app.deps.now)
        self._feed = Feed(NAME, app.dispatch, self._memory, self._desk, clock=time.time)
        add_commands(self)

    async def setup_hook(self) -> None:
        self.add_dynamic_items(Claimed)

    async def attend(self, stop: asyncio.Event) -> None:
        """Show runs and look after the inbox until ``stop``; then let what is being handled end."""
        tasks = [asyncio.create_task(self._feed.run()), asyncio.create_task(self._inbox.sweep())]
        stopped = asyncio.create_task(stop.wait())
        done, _ = await asyncio.wait({stopped, *tasks}, return_when=asyncio.FIRST_COMPLETED)
        await self._inbox.drain(DRAIN_S)
        for task in (stopped, *tasks):
            task.cancel()
        await asyncio.gather(*tasks, stopped, return_exceptions=True)
        for task in done - {stopped}:
            task.result()

    # -- taking in and handling ------------------------------------------------------------------------------------

    async def take(self, interaction: discord.Interaction[Any], incoming: Incoming) -> None:
        """Acknowledge it and keep it, at once; then handle it."""
        self._desk.listen(interaction)
        _, kept = await asyncio.gather(self._defer(interaction), self._kept(incoming))
        if isinstance(kept, Incoming):
            self._inbox.start(kept)
            return
        if isinstance(kept, Busy):
            await self._desk.reply(incoming, Reply(answers.refused(BUSY)))
        await self._desk.hang_up(incoming)

    async def _kept(self, incoming: Incoming) -> Incoming | Busy | None:
        try:
            return await self._inbox.keep(incoming)
        except Busy as error:
            return error

    async def _defer(self, interaction: discord.Interaction[Any]) -> None:
        """A command, or a form from one, shows that it is being worked on; a click shows nothing."""
        waits = interaction.message is None
        try:
            with translated("an acknowledgement"):
                if waits:
                    await interaction.response.defer(ephemeral=True, thinking=True)
                else:
                    await interaction.response.defer()
            interaction.extras["waits"] = waits
        except FAILURES as error:  # too late, or acknowledged before: it is handled all the same
            log.warning("discord: %s", error)

    async def _handle(self, incoming: Incoming) -> None:
        incoming = await self._completed(incoming)
        replies = await self._reception.handle(incoming)
        for reply in replies:
            await self._desk.reply(incoming, reply)
        begun = incoming.kind in (Kind.START, Kind.EDIT) and not replies
        await self._desk.hang_up(incoming, _begun(incoming) if begun else "")

    async def _completed(self, incoming: Incoming) -> Incoming:
        """With what its claim stands for."""
        if incoming.kind is Kind.ANSWER and incoming.reply_to:
            return resolved(incoming, await self.door.events(incoming.run_id))
        where = incoming.value.split("/")
        if incoming.kind is Kind.START and len(where) == 2 and not incoming.attachments:
            file = await self._file_of(*where)
            return replace(incoming, attachments=(file,) if file else ())
        return incoming

    async def _file_of(self, channel: str, message: str) -> Attachment | None:
        """Of the message that "Train on this file" was used on."""
        try:
            with translated("a look at the message with the file"):
                found = await self.get_partial_messageable(int(channel)).fetch_message(int(message))
        except (*FAILURES, ValueError) as error:
            log.warning("discord: %s", error)
            return None
        return read.data_file(found.attachments)

    # -- listeners -------------------------------------------------------------------------------------------------

    async def on_message(self, message: discord.Message) -> None:
        if message.author.bot or message.guild is None or self.user is None:
            return
        place = read.place_of(message.guild.id, message.channel)
        try:
            ours = isinstance(message.channel, discord.Thread) and message.channel.owner_id == self.user.id
            run_id = await self._memory.run_at(str(place)) if ours else None
            incoming = read.message(message, self.user.id, run_id)
            kept = await self._inbox.keep(incoming) if incoming else None
        except (Busy, StoreError) as error:
            log.warning("discord: a message could not be taken in: %r", error)
            if addressed := read.message(message, self.user.id, None):
                await self._desk.reply(addressed, Reply(answers.refused(BUSY)))
            return
        if kept is not None:
            self._inbox.start(kept)

    async def on_interaction(self, interaction: discord.Interaction[Any]) -> None:
        """Forms. Commands go through the tree, clicks through ``Claimed``."""
        if interaction.type is not discord.InteractionType.modal_submit:
            return
        data: Any = interaction.data
        incoming = read.base(interaction, Kind.HELP)
        try:
            claim = Claim.load(str(data.get("custom_id", "")))
            said = read.submission(incoming, claim, read.form(data))
        except NotOurs:
            said = None
        if said is not None and claim.verb == "start":
            said = replace(said, value=claim.choice)
        await self.take(interaction, said or read.no_longer_good(incoming))

    async def clicked(self, interaction: discord.Interaction[Any]) -> None:
        data: Any = interaction.data
        incoming = read.base(interaction, Kind.HELP)
        values = [value for value in data.get("values") or () if isinstance(value, str)]
        try:
            claim = Claim.load(str(data.get("custom_id", "")))
            if await self._opened(interaction, claim):
                return
            said = read.click(incoming, claim, values)
        except (NotOurs, GraphError):
            said = None
        await self.take(interaction, said or read.no_longer_good(incoming))

    # -- what opens something --------------------------------------------------------------------------------------

    async def _opened(self, interaction: discord.Interaction[Any], claim: Claim) -> bool:
        """Whether the click opened a form, or a question whether one is sure."""
        match claim.verb:
            case "words":
                await self._ask_in_words(interaction, await self._run_here(interaction, claim.run))
            case "edit":
                run = await self._run_here(interaction, claim.run)
                await self.send_form(interaction, modals.edit(run.id, run.request.sentence))
            case "try":
                await self.send_form(interaction, modals.try_it(claim.run))
            case "sure":
                return await self._ask_whether_sure(interaction, claim)
            case "cancel":
                await self._ask(interaction, SURE_TO_STOP, buttons.stops(claim.run))
            case _:
                return False
        return True

    async def _run_here(self, interaction: discord.Interaction[Any], run_id: str) -> Run:
        """The run, unless another server's. Raises NotOurs, GraphError."""
        run = await self.door.find(run_id)
        place = Address.parse(await self._memory.place_of(run.id) or run.request.channel or "")
        if place.guild != interaction.guild_id:
            raise NotOurs("The run is shown in another server.")
        return run

    async def _ask_in_words(self, interaction: discord.Interaction[Any], run: Run) -> None:
        if run.question is None:
            await self._ask(interaction, "This question is no longer open.", None)
            return
        example = next((c.detail for c in run.question.choices if c.value == "change"), "")
        await self.send_form(interaction, modals.words(run.id, run.question.text, example))

    async def _ask_whether_sure(self, interaction: discord.Interaction[Any], claim: Claim) -> bool:
        """False where the question is not open any more: the click is then refused as such."""
        run = await self._run_here(interaction, claim.run)
        cards = present(await self.door.events(run.id))
        card = next(
            (c for c in cards.values() if c.asks and digest(c.asks.question_id) == claim.question), None
        )
        number = int(claim.choice) if claim.choice.isdecimal() else -1
        button = buttons.confirmed(card, number) if card else None
        if card is None or button is None or button.custom_id != replace(claim, verb="decide").dump():
            return False
        await self._ask(interaction, card.actions[number].confirm, button)
        return True

    async def _ask(
        self, interaction: discord.Interaction[Any], question: str, button: buttons.Button | None
    ) -> None:
        shown: Rendered = render(answers.told(question))
        rows = ((button,),) if button else ()
        view = layout(replace(shown, rows=rows)).view
        try:
            with translated("a question"):
                await interaction.response.send_message(view=view, ephemeral=True)
        except FAILURES as error:
            log.warning("discord: %s", error)

    async def send_form(self, interaction: discord.Interaction[Any], form: ui.Modal) -> None:
        try:
            with translated("a form"):
                await interaction.response.send_modal(form)
        except FAILURES as error:
            log.warning("discord: %s", error)

    async def completions(self, guild: int | None, person: int, typed: str) -> list[Run]:
        """The server's runs whose name or title holds ``typed``; the person's own first, then the newest."""
        try:
            runs = await self.door.runs(200, surface=NAME)
        except StoreError as error:
            log.warning("discord: runs could not be listed: %s", error)
            return []
        wanted = typed.casefold().strip()
        found = [
            run
            for run in runs
            if Address.parse(run.request.channel or "").guild == guild
            and wanted in f"{run.id} {run.title}".casefold()
        ]
        found.sort(key=lambda run: run.request.requester != str(person))
        return found[:MOST_COMPLETIONS]


def _begun(incoming: Incoming) -> str:
    return f"Run {incoming.new_id} has started; its thread opens in this channel."


class Claimed(ui.DynamicItem[ui.Item[Any]], template=TEMPLATE):
    """Any of our buttons and menus; what it is for is its claim."""

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: ui.Item[Any], match: Any
    ) -> Self:
        return cls(item)

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        bot = interaction.client
        if isinstance(bot, InternBot):
            await bot.clicked(interaction)
