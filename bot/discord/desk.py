"""What the reception and the feed need of Discord: whom it vouches for, files, where to show a run, how to answer.

An answer that one person alone sees goes through the interaction that it answers, while that lives (15 minutes, and
as long as this process does). After that it is said in the run's thread, which pings nobody, or in a direct message.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from pathlib import Path

import discord

from bot.chat.calling import Crew, approvers_of
from bot.chat.feed import PlaceGone
from bot.chat.idiom import Idiom
from bot.chat.incoming import Attachment, Incoming, Reply
from bot.chat.memory import ChatMemory
from bot.discord.address import Address
from bot.discord.commands import HELP
from bot.discord.download import Chunks, download
from bot.discord.errors import FAILURES, translated
from bot.discord.layout import Layout, layout, nonce
from bot.discord.permissions import NEEDED, listed, missing
from bot.discord.poster import DiscordRenderer, Server
from bot.discord.render import render
from bot.errors import UsageError
from bot.views.answers import told
from graph.deps import Run

log = logging.getLogger(__name__)

NAME = "discord"
IDIOM = Idiom("server", "/intern run, with what you want in one sentence as its goal", HELP)
_MOST_INTERACTIONS = 1_000  # then those that can no longer be answered are forgotten
_TOLD_GONE = "gone:"  # in the store: that the run's conversation is gone was told


class DiscordDesk:
    """``approvers``: the entries of ``INTERN_APPROVERS``; ``chunks`` fetches an attachment."""

    name = NAME
    idiom = IDIOM

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
        if len(self._interactions) >= _MOST_INTERACTIONS:
            self._interactions = {k: i for k, i in self._interactions.items() if not i.is_expired()}
        self._interactions[str(interaction.id)] = interaction

    async def hang_up(self, incoming: Incoming, otherwise: str = "") -> None:
        """Nothing more will be said to it; ``otherwise`` is, where nothing was and the person still waits."""
        interaction = self._interactions.get(incoming.reply_to)
        waits = interaction is not None and interaction.extras.get("waits")
        try:
            if interaction is not None and waits and otherwise:
                await self.reply(incoming, Reply(told(otherwise)))
            elif interaction is not None and waits and not interaction.is_expired():
                with translated("the end of an answer"):
                    await interaction.delete_original_response()
        except FAILURES as error:
            log.info("discord: %s", error)
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
            with translated(f"the roles of {incoming.person.id}"):
                member = await guild.fetch_member(int(incoming.person.id))
        except FAILURES as error:
            log.warning("discord: %s", error)
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
        people, roles = approvers_of(self._approvers, NAME, "discord-role")
        crew = Crew("".join(_ids((_requester(run),))), _ids(people), _ids(roles))
        return await DiscordRenderer.open(self._server, self._memory, run, place, self._run_dir(run.id), crew)

    async def gone(self, run: Run, why: str) -> None:
        """Tell the requester once: in a direct message, or else in the channel."""
        if _TOLD_GONE in await self._memory.shown(run.id):
            return
        said = (
            f"I can no longer write in the thread of run {run.id}: {why} "
            f"The run goes on; “/intern status {run.id}” in the server says how far it is."
        )
        shown, once = layout(render(told(said))), nonce(f"{run.id}/gone")
        if not await self._direct(_requester(run), shown, once):
            address = Address.parse(await self._memory.place_of(run.id) or run.request.channel or "")
            await self._say(address.outside(), shown, once)
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
            await self._direct(incoming.person.id, shown, once)

    async def _privately(self, incoming: Incoming, shown: Layout) -> bool:
        interaction = self._interactions.get(incoming.reply_to)
        if interaction is None or interaction.is_expired():
            return False
        try:
            with translated("an answer"):
                await interaction.followup.send(view=shown.view, ephemeral=True)
        except FAILURES as error:
            log.info("discord: %s", error)
            return False
        interaction.extras["waits"] = False
        return True

    async def _say(self, address: Address, shown: Layout, once: str) -> bool:
        try:
            await self._server.pacer.turn(address.here)
            with translated("an answer", lambda: self._server.lacking(address)):
                conversation = self._server.conversation(address.guild, address.here)
                await conversation.send(view=shown.view, nonce=once, silent=True)
        except FAILURES as error:
            log.warning("discord: an answer could not be given: %s", error)
            return False
        return True

    async def _direct(self, person: str, shown: Layout, once: str) -> bool:
        """Whether the person was told in a direct message."""
        if not _ids((person,)):
            return False
        try:
            with translated("a direct message"):
                channel = await self._server.client.create_dm(discord.Object(int(person)))
                await channel.send(view=shown.view, nonce=once)
        except FAILURES as error:
            log.warning("discord: %s could not be told directly: %s", person, error)
            return False
        return True


def _requester(run: Run) -> str:
    """Discord's id of who asked for the run, if it was asked for in Discord."""
    return run.request.requester.rpartition(":")[2] if run.request.surface == NAME else ""


def _ids(names: Iterable[str]) -> tuple[str, ...]:
    """Those that are Discord's ids."""
    return tuple(name for name in names if name.isascii() and name.isdecimal())
