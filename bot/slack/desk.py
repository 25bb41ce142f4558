"""What the reception and the feed need of Slack: whom it vouches for, files, where to show a run, how to answer."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.webhook.async_client import AsyncWebhookClient

from bot.chat.calling import Crew, approvers_of
from bot.chat.commands import HELP
from bot.chat.feed import PlaceGone, SurfaceDown
from bot.chat.idiom import Idiom
from bot.chat.incoming import Attachment, Incoming, Reply
from bot.chat.memory import ChatMemory
from bot.chat.uploads import save
from bot.errors import UsageError
from bot.slack.address import Address
from bot.slack.blocks import render
from bot.slack.errors import NO_TOKEN, BlocksRefused, code_of, translated
from bot.slack.pacer import Pacer
from bot.slack.poster import SlackRenderer, Workspace
from bot.slack.streams import Streams
from graph.deps import Run

log = logging.getLogger(__name__)

NAME = "slack"
IDIOM = Idiom("workspace", "write /intern and what you want in one sentence", HELP)
DOWNLOAD_TIMEOUT_S = 300.0
_CHUNK_BYTES = 1 << 20
_PAGE = 1000  # members a page
_PAGES = 20

ClientFor = Callable[[str], Awaitable[AsyncWebClient]]  # by team


class SlackDesk:
    """``client_for`` gives a workspace's client; ``approvers``: the entries of ``INTERN_APPROVERS``."""

    name = NAME
    idiom = IDIOM

    def __init__(
        self,
        client_for: ClientFor,
        memory: ChatMemory,
        run_dir: Callable[[str], Path],
        approvers: frozenset[str],
        clock: Callable[[], float],
    ) -> None:
        self._client_for = client_for
        self._memory = memory
        self._run_dir = run_dir
        self._approvers = approvers
        self._clock = clock
        self._workspaces: dict[str, Workspace] = {}
        self._member_until: dict[tuple[str, str], float] = {}  # by team and channel

    async def workspace(self, team: str) -> Workspace:
        """Raises SurfaceDown where the app is not installed there (any more)."""
        if team not in self._workspaces:
            client = await self._client_for(team)
            pacer = Pacer(self._clock)
            self._workspaces[team] = Workspace(client, pacer, Streams(client, pacer, self._clock))
        return self._workspaces[team]

    # -- for the reception -----------------------------------------------------------------------------------------

    async def check(self, incoming: Incoming) -> None:
        """Whether a run can be shown there: joins a public channel. Raises UsageError with what to do."""
        place = Address.parse(incoming.place)
        client = (await self.workspace(place.team)).client
        key = (place.team, place.channel)
        if place.channel.startswith("D") or self._member_until.get(key, 0.0) > self._clock():
            return
        try:
            channel = (await client.conversations_info(channel=place.channel))["channel"]
            if not channel.get("is_member"):
                await client.conversations_join(channel=place.channel)
        except SlackApiError as error:
            if code_of(error) in NO_TOKEN - {"missing_scope"}:
                raise
            raise UsageError(
                "I am not in this channel: write /invite and my name here, then try again."
            ) from error

    async def groups(self, incoming: Incoming) -> tuple[str, ...]:
        """The person's user groups and channels among the approvers, asked of Slack now."""
        place, person = Address.parse(incoming.place), incoming.person.id
        client = (await self.workspace(place.team)).client
        found = [f"slack:{place.team}/{person}"]
        asked = {"slack-group": self._is_in_group, "slack-channel": self._is_in_channel}
        for entry in sorted(self._approvers):
            kind, _, id_ = entry.partition(":")
            if kind in asked and await asked[kind](client, id_, person):
                found.append(entry)
        return tuple(found)

    async def _is_in_group(self, client: AsyncWebClient, group: str, person: str) -> bool:
        try:
            return person in (await client.usergroups_users_list(usergroup=group))["users"]
        except SlackApiError as error:
            log.warning("slack: the members of the user group %s cannot be read: %s", group, code_of(error))
            return False

    async def _is_in_channel(self, client: AsyncWebClient, channel: str, person: str) -> bool:
        cursor = ""
        try:
            for _ in range(_PAGES):
                page = await client.conversations_members(channel=channel, limit=_PAGE, cursor=cursor or None)
                if person in page["members"]:
                    return True
                cursor = (page.get("response_metadata") or {}).get("next_cursor") or ""
                if not cursor:
                    return False
        except SlackApiError as error:
            log.warning("slack: the members of the channel %s cannot be read: %s", channel, code_of(error))
        return False

    async def fetch(self, attachment: Attachment, into: Path, place: str) -> None:
        """Download with the workspace's token, which is given to Slack's own hosts only. Raises UsageError."""
        client = (await self.workspace(Address.parse(place).team)).client
        host, own = urlsplit(attachment.url).hostname or "", urlsplit(client.base_url).hostname or ""
        slack = urlsplit(attachment.url).scheme == "https" and (
            host == "slack.com" or host.endswith(".slack.com")
        )
        if not slack and host != own:
            raise UsageError(f"{into.name} does not lie in Slack: download it, and attach the file itself.")
        timeout = aiohttp.ClientTimeout(total=DOWNLOAD_TIMEOUT_S)
        headers = {"Authorization": f"Bearer {client.token}"}
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout, trust_env=True) as session,
                session.get(attachment.url, headers=headers, allow_redirects=False) as answer,
            ):
                if answer.status != 200 or answer.content_type == "text/html":
                    # Without the right files:read Slack answers with its log-in page.
                    raise UsageError(
                        f"Slack does not give me {into.name}: an admin has to grant me files:read."
                    )
                await save(_chunks(answer), into, attachment.bytes)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise UsageError(f"{into.name} could not be downloaded. Please attach it again.") from error

    # -- for the feed ----------------------------------------------------------------------------------------------

    async def renderer(self, run: Run) -> SlackRenderer:
        place = await self._memory.place_of(run.id) or run.request.channel or ""
        if not Address.parse(place).channel:
            raise PlaceGone("The run has no channel.")
        await self._memory.place_run(run.id, place)
        requester = run.request.requester if run.request.surface == NAME else ""
        team = Address.parse(place).team
        here = [e for e in self._approvers if "/" not in e or e.startswith(f"slack:{team}/")]
        crew = Crew(requester.rpartition("/")[2], *approvers_of(here, NAME, "slack-group"))
        workspace = await self.workspace(team)
        return await SlackRenderer.open(workspace, self._memory, run.id, place, self._run_dir(run.id), crew)

    async def gone(self, run: Run, why: str) -> None:
        """Tell the requester in a direct message."""
        place = Address.parse(await self._memory.place_of(run.id) or run.request.channel or "")
        said = (
            f"I can no longer write in the thread of run {run.id}: {why} "
            f"The run goes on; `/intern status {run.id}` says how far it is."
        )
        try:
            client = (await self.workspace(place.team)).client
            with translated("a direct message"):
                await client.chat_postMessage(channel=run.request.requester, text=said)
        except (SurfaceDown, PlaceGone, BlocksRefused) as error:
            log.warning("slack: %s could not be told of: %s", run.id, error)

    # -- answering -------------------------------------------------------------------------------------------------

    async def reply(self, incoming: Incoming, reply: Reply) -> None:
        """Say it to the person alone, or in the thread. What cannot be said is logged."""
        place = Address.parse(incoming.place)
        try:
            workspace = await self.workspace(place.team)
            for native in (True, False) if workspace.native else (False,):
                shown = render(reply.card, native=native)
                try:
                    await self._say(workspace, incoming, place, reply.private, shown.text, shown.blocks)
                    return
                except BlocksRefused:
                    workspace.native = False
        except (SurfaceDown, PlaceGone, BlocksRefused) as error:
            log.warning("slack: an answer to %s could not be given: %s", incoming.person.id, error)

    async def _say(
        self,
        workspace: Workspace,
        incoming: Incoming,
        place: Address,
        private: bool,
        text: str,
        blocks: list[dict[str, object]],
    ) -> None:
        client, person = workspace.client, incoming.person.id
        if not private:
            await workspace.pacer.post(place.channel)
            with translated("an answer"):
                await client.chat_postMessage(
                    channel=place.channel, thread_ts=place.thread or None, text=text, blocks=blocks
                )
            return
        if incoming.reply_to and await self._respond(incoming.reply_to, text, blocks):
            return
        try:
            with translated("an answer"):
                await client.chat_postEphemeral(
                    channel=place.channel,
                    user=person,
                    thread_ts=place.thread or None,
                    text=text,
                    blocks=blocks,
                )
        except PlaceGone:
            with translated("an answer"):
                await client.chat_postMessage(channel=person, text=text, blocks=blocks)

    async def _respond(self, url: str, text: str, blocks: list[dict[str, object]]) -> bool:
        """Through the address that came with the command or click: it works where I am not a member."""
        try:
            answer = await AsyncWebhookClient(url).send(
                text=text, blocks=blocks, response_type="ephemeral", replace_original=False
            )
        except (aiohttp.ClientError, TimeoutError):
            return False
        if answer.status_code != 200 and "invalid_blocks" in answer.body:
            raise BlocksRefused("Slack refused an answer's blocks.")
        return answer.status_code == 200


async def _chunks(answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    async for chunk in answer.content.iter_chunked(_CHUNK_BYTES):
        yield chunk
