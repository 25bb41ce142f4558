"""Shows one run in Discord: its own card in the channel, the others in the thread that hangs on it; in a forum, all of
them in a post.

A post is not idempotent, so each one is announced in the store first, carries a nonce (Discord posts it once within
some minutes) and a mark, and is noted afterwards. Where an announced post was not noted (the process died, or the
answer was lost), the conversation is searched for the mark before anything is posted again.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import discord

from bot.cards import Card, FileLink
from bot.chat.calling import NOBODY, Called, Crew, called
from bot.chat.feed import PlaceGone, SurfaceDown
from bot.chat.memory import ChatMemory
from bot.chat.plain import whole
from bot.chat.text import short_line
from bot.discord.address import Address, handle, message_of
from bot.discord.errors import HAS_THREAD, MessageGone, MessageRefused, ThreadArchived, translated
from bot.discord.escape import fitting_line
from bot.discord.layout import (
    MOST_BYTES,
    File,
    Layout,
    allowed,
    file_layout,
    is_marked,
    layout,
    nonce,
    read_file,
    safe_name,
)
from bot.discord.pacer import Pacer
from bot.discord.permissions import Parent, missing
from bot.discord.render import Rendered, render
from bot.present import ROOT
from graph.deps import Run

log = logging.getLogger(__name__)

POSTING = "posting:"  # in the store: a post that was announced
NAME_CHARS = 100  # of a thread
ARCHIVED_AFTER_MIN: Final = (
    10_080  # a week of silence; Discord opens a thread again when somebody writes in it
)
_ATTACHED = (".md",)  # file links whose files come along; the others are named
_SEARCHED = 200  # messages, newest first
_SEARCHED_POSTS = 50  # archived posts of a forum
_TITLE_UNITS = 200


@dataclass(slots=True)
class Server:
    """Discord as the renderers need it: the client, and the pace that Discord allows."""

    client: discord.Client
    pacer: Pacer

    def parent(self, address: Address) -> Parent:
        """The channel that runs are shown in. Raises PlaceGone where there is none (any more), SurfaceDown."""
        guild = self.client.get_guild(address.guild)
        if guild is None:
            raise PlaceGone("I am no longer in the server.")
        if guild.unavailable:  # an outage of Discord's, or it was not loaded yet
            raise SurfaceDown("Discord does not give me the server now.")
        channel = guild.get_channel(address.channel)
        if not isinstance(channel, Parent):
            raise PlaceGone("The channel was deleted, or I cannot see it.")
        return channel

    def lacking(self, address: Address) -> list[str]:
        """Names of permissions that I lack there."""
        try:
            return missing(self.parent(address))
        except (PlaceGone, SurfaceDown):
            return []

    def conversation(self, guild: int, channel: int) -> discord.PartialMessageable:
        return self.client.get_partial_messageable(channel, guild_id=guild)


@dataclass(slots=True)
class DiscordRenderer:
    """A :class:`bot.projector.Renderer` for one run. ``folder``: the run's. Errors: see ``bot.discord.errors``."""

    server: Server
    memory: ChatMemory
    run_id: str
    title: str
    address: Address
    folder: Path
    crew: Crew
    _known: dict[str, str] = field(
        default_factory=dict
    )  # key -> handle, of posts and files; empty: announced

    @classmethod
    async def open(
        cls, server: Server, memory: ChatMemory, run: Run, place: str, folder: Path, crew: Crew
    ) -> DiscordRenderer:
        made = cls(server, memory, run.id, run.title, Address.parse(place), folder, crew)
        made._known = {key: handle_ for key, (handle_, _) in (await memory.shown(run.id)).items()}
        return made

    def delay_s(self, card: Card) -> float:
        root = self._known.get(ROOT) if card.key == ROOT else None
        channel = message_of(root)[0] if root else self.address.here
        return self.server.pacer.delay_s(channel) if card.live and not card.asks else 0.0

    async def show(self, card: Card) -> str:
        if card.key == ROOT:
            return await self._show_root(card)
        await self._below_root()
        posted = await self._find(self._mark(card.key)) if await self._announce(card.key) else None
        if posted is None:
            posted = await self._post(card, self._mark(card.key))
        else:
            await self._edit(posted, card)
        await self._attach(card)
        return posted

    async def update(self, handle_: str, card: Card) -> str:
        await self._below_root()
        try:
            await self._edit(handle_, card)
        except MessageGone:  # deleted by somebody: what it says is still to be seen
            handle_ = await self._post(card, f"{self._mark(card.key)}/{handle_}")
        await self._attach(card)
        return handle_

    def _mark(self, key: str) -> str:
        return f"{self.run_id}/{key}"

    # -- the run's own card and its thread -------------------------------------------------------------------------

    async def _show_root(self, card: Card) -> str:
        parent = self.server.parent(self.address)
        posted = await self._find_root(parent) if await self._announce(ROOT) else None
        if posted is not None:
            await self._edit(posted, card)
        elif isinstance(parent, discord.ForumChannel):
            posted = await self._post_in_forum(parent, card)
        else:
            posted = await self._post(card, self._mark(ROOT))
        self._known[ROOT] = posted
        await self._below_root()
        return posted

    async def _below_root(self) -> None:
        """The thread of the run, made if it is not there yet: a post in a forum is one already."""
        if self.address.thread or ROOT not in self._known:
            return
        channel, message = message_of(self._known[ROOT])
        thread = channel
        if channel == self.address.channel:
            thread = message  # Discord gives a thread the id of its message
            parent = self.server.parent(self.address)
            if parent.guild.get_thread(thread) is None:
                await self._make_thread(message)
        self.address = Address(self.address.guild, self.address.channel, thread)
        await self.memory.move_run(self.run_id, str(self.address))

    async def _make_thread(self, message: int) -> None:
        conversation = self.server.conversation(self.address.guild, self.address.channel)
        try:
            with translated("a thread", lambda: self.server.lacking(self.address)):
                try:
                    await conversation.get_partial_message(message).create_thread(
                        name=self._name(), auto_archive_duration=ARCHIVED_AFTER_MIN
                    )
                except discord.HTTPException as error:
                    if error.code != HAS_THREAD:  # made, but not noted
                        raise
        except MessageGone as error:
            raise PlaceGone("The run's message was deleted before it had a thread.") from error

    def _name(self) -> str:
        """Of the thread: the task, and the run, which commands name it by."""
        ending = f" · {self.run_id}"
        return (short_line(self.title, NAME_CHARS - len(ending)) or "A run") + ending

    async def _post_in_forum(self, forum: discord.ForumChannel, card: Card) -> str:
        shown = layout(render(card), mark=self._mark(ROOT), folder=self.folder)
        tags = list(forum.available_tags[:1]) if forum.flags.require_tag else []
        await self.server.pacer.turn(forum.id)
        with translated("a post in the forum", lambda: self.server.lacking(self.address)):
            made = await forum.create_thread(
                name=self._name(),
                auto_archive_duration=ARCHIVED_AFTER_MIN,
                view=shown.view,
                files=shown.opened(),
                applied_tags=tags,
                allowed_mentions=discord.AllowedMentions.none(),
            )
        return handle(made.thread.id, made.message.id)

    async def _find_root(self, parent: Parent) -> str | None:
        if not isinstance(parent, discord.ForumChannel):
            return await self._find(self._mark(ROOT))
        with translated("a look at the forum", lambda: self.server.lacking(self.address)):
            async for thread in _posts(parent):
                if thread.owner_id == self._me() and thread.name.endswith(f" · {self.run_id}"):
                    async for message in thread.history(limit=3, oldest_first=True):
                        if is_marked(message, self._mark(ROOT)):
                            return handle(thread.id, message.id)
        return None

    # -- messages --------------------------------------------------------------------------------------------------

    async def _announce(self, key: str) -> bool:
        """Whether it had been announced before: then it may have been posted."""
        if POSTING + key in self._known:
            return True
        self._known[POSTING + key] = ""
        await self.memory.show(self.run_id, POSTING + key, "", "")
        return False

    async def _post(self, card: Card, mark: str) -> str:
        whom = called(self.crew, card)
        shown = layout(render(card), mark=mark, called=whom, folder=self.folder)
        try:
            return await self._send(shown, mark, whom, card.key)
        except MessageRefused as error:
            log.warning("discord: %s: %s", self.run_id, error)
            return await self._send(_plainly(card, mark, whom), mark, whom, card.key)

    async def _send(self, shown: Layout, mark: str, whom: Called, what: str) -> str:
        channel = self.address.here
        await self.server.pacer.turn(channel)
        with translated(f"the card {what}", lambda: self.server.lacking(self.address)):
            message = await self.server.conversation(self.address.guild, channel).send(
                view=shown.view,
                files=shown.opened(),
                nonce=nonce(mark),
                allowed_mentions=allowed(whom),
                silent=not whom,  # a phone rings only when somebody is needed
            )
        return handle(channel, message.id)

    async def _edit(self, handle_: str, card: Card) -> None:
        mark = self._mark(card.key)
        shown = layout(render(card), mark=mark, folder=self.folder)
        try:
            await self._replace(handle_, shown, card.key)
        except ThreadArchived:
            await self._reopen()
            await self._replace(handle_, shown, card.key)
        except MessageRefused as error:
            log.warning("discord: %s: %s", self.run_id, error)
            await self._replace(handle_, _plainly(card, mark, NOBODY), card.key)

    async def _replace(self, handle_: str, shown: Layout, what: str) -> None:
        channel, message = message_of(handle_)
        await self.server.pacer.turn(channel)
        target = self.server.conversation(self.address.guild, channel).get_partial_message(message)
        with translated(f"an edit of {what}", lambda: self.server.lacking(self.address)):
            if shown.files:
                await target.edit(
                    view=shown.view,
                    attachments=shown.opened(),
                    allowed_mentions=discord.AllowedMentions.none(),
                )
            else:
                await target.edit(view=shown.view, allowed_mentions=discord.AllowedMentions.none())

    async def _reopen(self) -> None:
        """A thread is archived after a week of silence; a locked one stays so."""
        with translated("opening the thread again", lambda: self.server.lacking(self.address)):
            thread = await self.server.client.fetch_channel(self.address.here)
            if isinstance(thread, discord.Thread):
                if thread.locked:
                    raise PlaceGone("The thread was locked.")
                await thread.edit(archived=False)

    async def _find(self, mark: str) -> str | None:
        """The handle of an earlier post, from the conversation itself; the newest ``_SEARCHED`` messages."""
        channel = self.address.here
        with translated("a look at the conversation", lambda: self.server.lacking(self.address)):
            async for message in self.server.conversation(self.address.guild, channel).history(
                limit=_SEARCHED
            ):
                if message.author.id == self._me() and is_marked(message, mark):
                    return handle(channel, message.id)
        return None

    def _me(self) -> int:
        return self.server.client.user.id if self.server.client.user else 0

    # -- files -----------------------------------------------------------------------------------------------------

    async def _attach(self, card: Card) -> None:
        """The card's documents, and the text that found no room; each once. Its pictures are in the card."""
        for block in card.blocks:
            if isinstance(block, FileLink) and block.path.endswith(_ATTACHED):
                content = read_file(self.folder, block.path, MOST_BYTES)
                if content:
                    name = f"{self.run_id}-{safe_name(block.path)}"
                    await self._put(f"file:{card.key}:{block.path}", File(name, content), block.title)
        if not card.live and (rest := render(card).rest):
            digest = hashlib.sha256(rest.encode("utf-8", "replace")).hexdigest()[:8]
            name = f"{self.run_id}-{safe_name(card.key)}-{digest}.txt"
            file = File(name, rest.encode("utf-8", "replace"))
            await self._put(f"rest:{card.key}:{digest}", file, card.title)

    async def _put(self, key: str, file: File, title: str) -> None:
        if self._known.get(key):
            return
        mark = self._mark(key)
        if not (await self._announce(key) and await self._find(mark)):
            shown = file_layout(
                file, f"**{fitting_line(title, _TITLE_UNITS)}**" if title.strip() else "", mark
            )
            try:
                await self._send(shown, mark, NOBODY, file.name)
            except MessageRefused as error:  # the card itself is there
                log.warning("discord: %s: %s", self.run_id, error)
        self._known[key] = "sent"
        await self.memory.show(self.run_id, key, "sent", "")


def _plainly(card: Card, mark: str, whom: Called) -> Layout:
    """The card in one sentence and a file, for a message that Discord did not take."""
    said = fitting_line(card.fallback or card.title, 1_000) or "A card"
    text = f"{said}\n-# The whole text is in the attached file; answer in words."
    file = File(f"{safe_name(card.key)}.txt", whole(card).encode("utf-8", "replace"))
    shown = layout(Rendered(text, 0), mark=mark, called=whom)
    shown.view.add_item(discord.ui.File(f"attachment://{file.name}"))
    return Layout(shown.view, (file,))


async def _posts(forum: discord.ForumChannel) -> AsyncIterator[discord.Thread]:
    for thread in forum.threads:
        yield thread
    async for archived in forum.archived_threads(limit=_SEARCHED_POSTS):
        yield archived
