"""Shows one run in Slack: its own card in the channel, the others in the thread below it.

A post is not idempotent in Slack, so each one is announced in the store first, carries the run and the card's key as
message metadata, and is noted afterwards. Where an announced post was not noted (the process died, or the answer was
lost), the conversation is searched for its metadata before anything is posted again.

Where the workspace has streams, the live training card is one (``bot.slack.streams``); everything else, and every
message that is no stream (any more), is edited.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from slack_sdk.web.async_client import AsyncWebClient

from bot.cards import Card, FileLink, Picture
from bot.chat.calling import ENDED, Crew
from bot.chat.memory import ChatMemory
from bot.present import ROOT
from bot.slack.address import Address, handle, message_of
from bot.slack.blocks import Rendered, render
from bot.slack.errors import BlocksRefused, MessageGone, StillStreaming, translated
from bot.slack.mentions import mentioned
from bot.slack.pacer import Pacer
from bot.slack.streams import Streams, is_stream_of

EVENT_TYPE = "intern_card"
POSTING = "posting:"  # in the store: a post that was announced
MAX_FILE_BYTES = 5_000_000
_ATTACHED = (".md",)  # file links whose files come along; the others are named
_SEARCHED = 200  # messages, newest first


@dataclass(slots=True)
class Workspace:
    """What is known of one workspace: its streams, whether it takes the native blocks, the pace that it allows."""

    client: AsyncWebClient
    pacer: Pacer
    streams: Streams
    native: bool = True


@dataclass(slots=True)
class SlackRenderer:
    """A :class:`bot.projector.Renderer` for one run. ``folder``: the run's. Errors: see ``bot.slack.errors``."""

    workspace: Workspace
    memory: ChatMemory
    run_id: str
    address: Address
    folder: Path
    crew: Crew
    _known: dict[str, str] = field(
        default_factory=dict
    )  # key -> handle, of posts and files; empty: announced

    @classmethod
    async def open(
        cls, workspace: Workspace, memory: ChatMemory, run_id: str, place: str, folder: Path, crew: Crew
    ) -> SlackRenderer:
        shown = await memory.shown(run_id)
        made = cls(workspace, memory, run_id, Address.parse(place), folder, crew)
        made._known = {key: handle_ for key, (handle_, _) in shown.items()}
        if ROOT in made._known:
            await made._thread_below(made._known[ROOT])
        return made

    async def _thread_below(self, root: str) -> None:
        """The run's cards hang on its own card, unless the run began in a thread."""
        if not self.address.thread:
            self.address = Address(self.address.team, *message_of(root))
            await self.memory.move_run(self.run_id, str(self.address))

    def delay_s(self, card: Card) -> float:
        return self.workspace.pacer.edit_delay_s() if card.live and not card.asks else 0.0

    async def show(self, card: Card) -> str:
        posted = await self._find(card.key) if await self._announce(card.key) else None
        if posted is None:
            posted = await self._post(card)
        else:
            await self._edit(posted, card)
        if card.key == ROOT:
            await self._thread_below(posted)
        if card.key.startswith(ENDED):
            await self.workspace.streams.end(self.run_id)
        await self._attach(card)
        return posted

    async def update(self, handle_: str, card: Card) -> str:
        try:
            if not await self._streamed(handle_, card):
                await self._edit(handle_, card)
        except MessageGone:  # deleted by somebody: what it says is still to be seen
            handle_ = await self._post(card)
        await self._attach(card)
        return handle_

    # -- messages ------------------------------------------------------------------------------------------------

    async def _announce(self, key: str) -> bool:
        """Whether it had been announced before: then it may have been posted."""
        if POSTING + key in self._known:
            return True
        self._known[POSTING + key] = ""
        await self.memory.show(self.run_id, POSTING + key, "", "")
        return False

    async def _post(self, card: Card) -> str:
        if started := await self.workspace.streams.start(card, self.address, self.crew.requester):
            return started
        channel = self.address.channel
        await self.workspace.pacer.post(channel)
        body: dict[str, Any] = {
            "channel": channel,
            "metadata": self._metadata(card.key),
            "unfurl_links": False,
            "unfurl_media": False,
            "link_names": False,
        }
        if self.address.thread:
            body["thread_ts"] = self.address.thread
        answer = await self._send("chat.postMessage", body, card, mention=True)
        return handle(answer.get("channel", channel), answer["ts"])

    async def _edit(self, handle_: str, card: Card) -> None:
        channel, ts = message_of(handle_)
        await self.workspace.pacer.edit()
        # What was a stream has no metadata yet, and loses its tasks now, by which it could be found.
        body = {"channel": channel, "ts": ts, "metadata": self._metadata(card.key)}
        try:
            await self._send("chat.update", body, card, mention=False)
        except StillStreaming:  # started by a process that died, or not heard of
            await self.workspace.streams.close(handle_)
            await self.workspace.pacer.edit()
            await self._send("chat.update", body, card, mention=False)

    async def _streamed(self, handle_: str, card: Card) -> bool:
        """Whether the message is a stream, and shows the card now."""
        return await self.workspace.streams.go_on(
            handle_,
            card,
            self._metadata(card.key),
            lambda: render(card, native=self.workspace.native).blocks,
        )

    def _metadata(self, key: str) -> dict[str, Any]:
        return {"event_type": EVENT_TYPE, "event_payload": {"run": self.run_id, "key": key}}

    async def _send(
        self, method: str, body: dict[str, Any], card: Card, *, mention: bool
    ) -> Mapping[str, Any]:
        """The card, plainly where the workspace does not take the native blocks."""
        for native in (True, False):
            if native and not self.workspace.native:
                continue
            shown = render(card, native=native)
            text, blocks = mentioned(self.crew, card, shown) if mention else (shown.text, shown.blocks)
            try:
                with translated(f"{method} of {card.key}"):
                    answer = await self.workspace.client.api_call(
                        method, json=body | {"text": text, "blocks": blocks}
                    )
                return dict(answer.data) if isinstance(answer.data, dict) else {}
            except BlocksRefused:
                if not native:
                    raise
                self.workspace.native = _has_native(shown) is False
        raise BlocksRefused(f"Slack refused the card {card.key}.")

    async def _find(self, key: str) -> str | None:
        """The handle of an earlier post of this card, from the conversation itself."""
        wanted = self._metadata(key)
        for message in await self._messages():
            metadata = message.get("metadata") or {}
            known = {name: metadata.get(name) for name in wanted}
            if known == wanted or is_stream_of(message, self.run_id, key):
                return handle(self.address.channel, message["ts"])
        return None

    async def _messages(self) -> list[Mapping[str, Any]]:
        """What stands in the thread, or in the channel where there is no thread yet; the newest ``_SEARCHED``."""
        client, address = self.workspace.client, self.address
        with translated("a look at the conversation"):
            if address.thread:
                answer = await client.conversations_replies(
                    channel=address.channel, ts=address.thread, include_all_metadata=True, limit=_SEARCHED
                )
            else:
                answer = await client.conversations_history(
                    channel=address.channel, include_all_metadata=True, limit=_SEARCHED
                )
        return list(answer.get("messages") or [])

    # -- files ---------------------------------------------------------------------------------------------------

    async def _attach(self, card: Card) -> None:
        """The card's pictures, its documents, and the text that found no room; each once."""
        for block in card.blocks:
            if isinstance(block, Picture):
                await self._upload(card, block.path, block.alt_text or "A plot")
            elif isinstance(block, FileLink) and block.path.endswith(_ATTACHED):
                await self._upload(card, block.path, block.title)
        if (not card.live or card.asks) and (rest := render(card, native=self.workspace.native).rest):
            digest = hashlib.sha256(rest.encode()).hexdigest()[:8]
            await self._put(
                f"rest:{card.key}:{digest}", f"{_slug(card.key)}-{digest}.txt", rest.encode(), card.title, ""
            )

    async def _upload(self, card: Card, path: str, title: str) -> None:
        file = (self.folder / path).resolve()
        if not file.is_relative_to(self.folder.resolve()) or not file.is_file():
            return
        if file.stat().st_size > MAX_FILE_BYTES:
            return
        alt = title if file.suffix == ".png" else ""
        await self._put(
            f"file:{card.key}:{path}", f"{_slug(file.stem)}{file.suffix}", file.read_bytes(), title, alt
        )

    async def _put(self, key: str, name: str, content: bytes, title: str, alt_text: str) -> None:
        if key in self._known:
            return
        name = f"{self.run_id}-{name}"
        if await self._announce(key) and await self._has_file(name):
            await self._note_file(key)
            return
        with translated(f"the file {name}"):
            await self.workspace.client.files_upload_v2(
                channel=self.address.channel,
                thread_ts=self.address.thread or None,
                filename=name,
                content=content,
                title=title[:200],
                alt_txt=alt_text[:1000] or None,
                request_file_info=False,
            )
        await self._note_file(key)

    async def _note_file(self, key: str) -> None:
        self._known[key] = "sent"
        await self.memory.show(self.run_id, key, "sent", "")

    async def _has_file(self, name: str) -> bool:
        return any(file.get("name") == name for m in await self._messages() for file in m.get("files") or [])


def _has_native(shown: Rendered) -> bool:
    return any(block["type"] in ("table", "plan", "task_card") for block in shown.blocks)


def _slug(text: str) -> str:
    return "".join(c if c.isalnum() or c in "-_" else "-" for c in text)[:60]
