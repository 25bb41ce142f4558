"""What the reception and the feed need of Discord: whom it vouches for, files, where to show a run, how to answer.

An answer that one person alone sees goes through the interaction that it answers, while that lives (15 minutes, and
as long as this process does). After that it is said in the run's thread, which pings nobody, or in a direct message.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import discord

from bot.chat.calling import Crew, approvers_of
from bot.chat.feed import PlaceGone, SurfaceDown
from bot.chat.incoming import Attachment, Incoming, Reply
from bot.chat.memory import ChatMemory
from bot.discord.address import Address
from bot.discord.download import Chunks, download
from bot.discord.errors import MessageGone, MessageRefused, ThreadArchived, translated
from bot.discord.layout import Layout, layout, nonce
from bot.discord.permissions import NEEDED, listed, missing
from bot.discord.poster import DiscordRenderer, Server
from bot.discord.render import render
from bot.errors import UsageError
from bot.views.answers import told
from graph.deps import Run

log = logging.getLogger(__name__)

NAME = "discord"
_TOLD_GONE = "gone:"  # in the store: that the run's conversation is gone was told
_FAILURES = (SurfaceDown, PlaceGone, MessageGone, MessageRefused, ThreadArchived)


class DiscordDesk:
    """``approvers``: the entries of ``INTERN_APPROVERS``; ``chunks`` fetches an attachment."""

    name = NAME

    def __init__(
        self,
        server: Server,
        memory: ChatMemory,
        run_dir: Callable[[str], Path],
        approvers: frozenset[str],
        chunks: Chunks,
    ) -> None:
        self._server = server
        self._memory = memory
        self._run_dir = run_dir
        self._approvers = approvers
        self._chunks = chunks
        self._interactions: dict[str, discord.Interaction] = {}  # by id, while something may be answered

    # -- interactions ----------------------------------------------------------------------------------------------

    def listen(self, interaction: discord.Interaction) -> None:
        """Answers to it can be given from now on."""
        self._interactions[str(interaction.id)] = interaction

    async def hang_up(self, incoming: Incoming, otherwise: str = "") -> None:
        """Nothing more will be said to it; ``otherwise`` is, where nothing was and the person still waits."""
        interaction = self._interactions.get(incoming.reply_to)
        waits = interaction is not None and interaction.extras.get("waits")
        try:
            if interaction is not None and waits and otherwise:
                await self.reply(incoming, Reply(told(otherwise)))
            elif interaction is not None and waits and not interaction.is_expired():
                await interaction.delete_original_response()
        except discord.HTTPException as error:
            log.info("discord: an interaction could not be ended: %s", error.code)
        finally:
            self._interactions.pop(incoming.reply_to, None)

    # -- for the reception -----------------------------------------------------------------------------------------

    async def check(self, incoming: Incoming) -> None:
        """Whether a run can be shown there. Raises UsageError with the permission that is missing."""
        address = Address.parse(incoming.place)
        if not address.guild:
            raise UsageError("I work in a server's channels: write to me in one.")
        try:
            parent = self._server.parent(address)
        except PlaceGone as error:
            raise UsageError(
                "I can show a run in a text channel or a forum that I can see: write to me in one, or give me the "
                f"permission “{NEEDED['view_channel']}” here."
            ) from error
        if names := missing(parent):
            raise UsageError(
                f"I lack the permission {listed(names)} in this channel: "
                "somebody who manages it can give it to my role."
            )

    async def groups(self, incoming: Incoming) -> tuple[str, ...]:
        """The person's roles among the approvers, asked of Discord now."""
        wanted = [entry for entry in self._approvers if entry.startswith("discord-role:")]
        guild = self._server.client.get_guild(Address.parse(incoming.place).guild)
        if not wanted or guild is None:
            return ()
        try:
            member = await guild.fetch_member(int(incoming.person.id))
        except discord.HTTPException as error:
            log.warning("discord: the roles of %s cannot be read: %s", incoming.person.id, error.code)
            return ()
        held = {f"discord-role:{role.id}" for role in member.roles}
        return tuple(sorted(held.intersection(wanted)))

    async def fetch(self, attachment: Attachment, into: Path, place: str) -> None:
        await download(self._chunks, attachment, into)

    # -- for the feed ----------------------------------------------------------------------------------------------

    async def renderer(self, run: Run) -> DiscordRenderer:
        place = await self._memory.place_of(run.id) or run.request.channel or ""
        address = Address.parse(place)
        if not address.channel:
            raise PlaceGone("The run has no channel.")
        await self._memory.place_run(run.id, place)
        self._server.parent(address)
        requester = run.request.requester if run.request.surface == NAME else ""
        people, roles = approvers_of(self._approvers, NAME, "discord-role")
        asker = _ids([requester.rpartition(":")[2]])
        crew = Crew(asker[0] if asker else "", _ids(people), _ids(roles))
        return await DiscordRenderer.open(
            self._server, self._memory, run.id, place, self._run_dir(run.id), crew
        )

    async def gone(self, run: Run, why: str) -> None:
        """Tell the requester once: in a direct message, or else in the channel."""
        if _TOLD_GONE in await self._memory.shown(run.id):
            return
        said = (
            f"I can no longer write in the thread of run {run.id}: {why} "
            f"The run goes on; `/intern status {run.id}` in the server says how far it is."
        )
        shown = layout(render(told(said)))
        address = Address.parse(await self._memory.place_of(run.id) or run.request.channel or "")
        for person in _ids([run.request.requester.rpartition(":")[2]]) or ("0",):
            try:
                await self._direct(int(person), shown, nonce(f"{run.id}/gone"))
            except _FAILURES as error:
                log.warning("discord: %s: %s", run.id, error)
                await self._say(address.outside(), shown, nonce(f"{run.id}/gone"))
        await self._memory.show(run.id, _TOLD_GONE, "told", "")

    # -- answering -------------------------------------------------------------------------------------------------

    async def reply(self, incoming: Incoming, reply: Reply) -> None:
        """Say it to the person alone, or where they wrote. What cannot be said is logged."""
        shown = layout(render(reply.card))
        if reply.private and await self._privately(incoming, shown):
            return
        address = Address.parse(incoming.place)
        once = nonce(f"{incoming.key}/{reply.card.key}/{reply.card.fallback}")
        alone = reply.private and bool(incoming.reply_to) and not address.thread
        if alone or not await self._say(address, shown, once):
            await self._tell(incoming, shown, once)

    async def _privately(self, incoming: Incoming, shown: Layout) -> bool:
        interaction = self._interactions.get(incoming.reply_to)
        if interaction is None or interaction.is_expired():
            return False
        try:
            await interaction.followup.send(view=shown.view, ephemeral=True)
        except discord.HTTPException as error:
            log.info("discord: an interaction can no longer be answered: %s", error.code)
            return False
        interaction.extras["waits"] = False
        return True

    async def _say(self, address: Address, shown: Layout, once: str) -> bool:
        try:
            await self._server.pacer.turn(address.here)
            with translated("an answer", lambda: self._server.lacking(address)):
                conversation = self._server.conversation(address.guild, address.here)
                await conversation.send(view=shown.view, nonce=once, silent=True)
        except _FAILURES as error:
            log.warning("discord: an answer could not be given: %s", error)
            return False
        return True

    async def _tell(self, incoming: Incoming, shown: Layout, once: str) -> None:
        try:
            await self._direct(int(incoming.person.id), shown, once)
        except (*_FAILURES, ValueError) as error:
            log.warning("discord: an answer to %s could not be given: %s", incoming.person.id, error)

    async def _direct(self, person: int, shown: Layout, once: str) -> None:
        with translated("a direct message"):
            channel = await self._server.client.create_dm(discord.Object(person))
            await channel.send(view=shown.view, nonce=once)


def _ids(names: list[str] | tuple[str, ...]) -> tuple[str, ...]:
    """Those that are Discord's ids."""
    return tuple(name for name in names if name.isascii() and name.isdecimal())
