"""The live training card as a native stream, in workspaces that have streams: a task an epoch, as the epochs pass.

Design decisions
- Only what is short-lived and grows is streamed: the card ``training:<n>`` while it is live. A stream is started in
  the run's thread for who asked for the run, gets ``task_update`` chunks, and is stopped with the settled card's
  blocks below its tasks. From then on it is a message like every other, which ``chat.update`` edits.
- **It can always be given up**: ``go_on`` answers False for whatever it cannot show, and the poster edits the message.
  A workspace that refuses a start (``unknown_method``) is not asked again while this process lives.
- **Slack ends a stream some five minutes after its start**, appended to or not (slackapi/python-slack-sdk#1859), and
  refuses messages of some 11,000 bytes: a stream of four minutes or of 30 tasks becomes an ordinary message before.
- ``chat.startStream`` takes no metadata. The tasks' ids name the run and the card instead (``is_stream_of``), so that
  a stream whose start was not noted is found. What its last process had sent is not known then, and details are
  appended by Slack, never replaced: the poster stops such a stream and edits the message.
- **Rate limits by construction.** Starts and stops are Tier 2, 20 a minute: at most ten streams are open, and ten are
  started a minute, others being posts. Appends are Tier 4; they take their turn among the edits, 50 a minute.
- Slack does not say what it parses in a task. Titles and details hold nothing that it could parse.

Methods: https://docs.slack.dev/reference/methods/chat.startStream, chat.appendStream, chat.stopStream.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from slack_sdk.errors import SlackApiError
from slack_sdk.models.messages.chunk import Chunk, PlanUpdateChunk, TaskUpdateChunk
from slack_sdk.web.async_client import AsyncWebClient

from bot.cards import Bullets, Card, Progress, Style, Table, Tone
from bot.chat.plain import progress_words
from bot.chat.text import short_line
from bot.slack.address import Address, handle, message_of
from bot.slack.errors import GONE, NO_TOKEN, code_of, translated
from bot.slack.escape import cut, escape
from bot.slack.pacer import Pacer

log = logging.getLogger(__name__)

STREAMED = "training:"  # keys of the cards
LIFE_S = 240.0
SLACKS_LIFE_S = 300.0
MOST_OPEN = 10
STARTS_PER_MINUTE = 10
MOST_TASKS = 30
_UNITS = 256  # of a title or of details

# The trouble is not the stream's: an ordinary message would have it too, or it passes.
_NOT_OURS = {
    *GONE,
    *(NO_TOKEN - {"missing_scope", "no_permission"}),
    *("", "fatal_error", "internal_error", "ratelimited", "rate_limited", "request_timeout"),
    "service_unavailable",
}
# It concerns one stream, and says nothing of the next.
_THIS_STREAM = {
    *("message_not_found", "message_not_in_streaming_state", "msg_blocks_too_long", "msg_too_long"),
    "message_not_owned_by_app",
}
_LOOKALIKES = str.maketrans({"<": "‹", ">": "›", "&": "＆", "[": "(", "]": ")"})


@dataclass(frozen=True, slots=True)
class Task:
    """``status``: in_progress, complete or error. ``details`` do not change any more once there are some."""

    id: str
    title: str
    status: str
    details: str = ""


def tasks_of(card: Card) -> list[Task]:
    """How far the training is, its epochs with losses and metrics, and its warnings. Pure."""
    prefix = _prefix(card.run_id, card.key)
    progress = next((block for block in card.blocks if isinstance(block, Progress)), None)
    now = progress_words(progress) if card.live and progress else card.fallback or card.title
    status = "in_progress" if card.live else "error" if card.tone is Tone.BAD else "complete"
    tasks = [Task(f"{prefix}now", _said(now) or "Under way", status)]
    for table in (block for block in card.blocks if isinstance(block, Table)):
        titles = [column.title for column in table.columns[1:]]
        for number, (epoch, *cells) in enumerate(table.rows, 1):
            details = ", ".join(f"{title} {cell}" for title, cell in zip(titles, cells, strict=False))
            tasks.append(Task(f"{prefix}epoch-{number}", _said(f"Epoch {epoch}"), "complete", _said(details)))
    for list_ in (block for block in card.blocks if isinstance(block, Bullets)):
        if list_.style is Style.WARN:
            warnings = enumerate(list_.items, 1)
            tasks += [Task(f"{prefix}warning-{n}", _said(f"Warning: {w}"), "error") for n, w in warnings]
    return tasks


def is_stream_of(message: Mapping[str, Any], run_id: str, key: str) -> bool:
    """Whether the message, of a conversation's history, is the stream that shows this card. Pure."""
    return any(task.startswith(_prefix(run_id, key)) for task in _task_ids(message.get("blocks")))


def _task_ids(held: Any) -> Iterator[str]:
    if isinstance(held, Mapping):
        if isinstance(id_ := held.get("task_id"), str):
            yield id_
        for value in held.values():
            yield from _task_ids(value)
    elif isinstance(held, list):
        for value in held:
            yield from _task_ids(value)


def _prefix(run_id: str, key: str) -> str:
    return f"{run_id}/{key}/"


def _said(text: str) -> str:
    """On one line, and nothing in it that Slack could parse, entities included."""
    return cut(escape(short_line(text, _UNITS).translate(_LOOKALIKES)), _UNITS)


@dataclass(slots=True)
class _Stream:
    """What a stream that this process started has shown. ``sent``: by the task's id."""

    run_id: str
    started_s: float
    sent: dict[str, Task] = field(default_factory=dict)

    def news(self, tasks: list[Task]) -> list[Chunk]:
        """What Slack does not have yet, which it has from now on: title and status are replaced, details appended."""
        chunks: list[Chunk] = []
        for task in tasks:
            old = self.sent.get(task.id)
            if old is None or (old.title, old.status) != (task.title, task.status):
                details = task.details if task.details and not (old and old.details) else None
                chunks.append(
                    TaskUpdateChunk(id=task.id, title=task.title, status=task.status, details=details)
                )
                self.sent[task.id] = task
        return chunks


class Streams:
    """Of one workspace. ``clock`` gives seconds that only grow. Raises what ``bot.slack.errors.translated`` does,
    for trouble that is not the stream's own.
    """

    def __init__(self, client: AsyncWebClient, pacer: Pacer, clock: Callable[[], float]) -> None:
        self.available = True
        self._client = client
        self._pacer = pacer
        self._clock = clock
        self._open: dict[str, _Stream] = {}  # by handle
        self._starts_s: deque[float] = deque(maxlen=STARTS_PER_MINUTE)

    async def start(self, card: Card, address: Address, recipient: str) -> str | None:
        """The handle of the stream that shows the card; ``None`` where it is to be posted. ``recipient``: who sees it
        grow, a person's id.
        """
        if not (card.live and card.key.startswith(STREAMED) and address.thread and recipient):
            return None
        if not self.available or not self._has_room():
            return None
        self._starts_s.append(self._clock())
        await self._pacer.post(address.channel)
        stream = _Stream(card.run_id, self._clock())
        body = {
            "channel": address.channel,
            "thread_ts": address.thread,
            "recipient_team_id": address.team,
            "recipient_user_id": recipient,
            "task_display_mode": "plan",
        }
        chunks = [PlanUpdateChunk(title=_said(card.title) or "Training"), *stream.news(tasks_of(card))]
        answer = await self._call("chat.startStream", body, chunks)
        if answer is None:
            return None
        handle_ = handle(answer.get("channel", address.channel), answer["ts"])
        self._open[handle_] = stream
        return handle_

    async def go_on(
        self,
        handle_: str,
        card: Card,
        metadata: Mapping[str, Any],
        blocks: Callable[[], list[dict[str, Any]]],
    ) -> bool:
        """Whether the stream shows the card now, stopped with its ``blocks`` and ``metadata`` where it has settled;
        otherwise the message is to be edited.
        """
        stream = self._open.pop(handle_, None)  # what a lost answer leaves unknown is not gone on with
        if stream is None:
            return False
        channel, ts = message_of(handle_)
        where = {"channel": channel, "ts": ts}
        tasks = tasks_of(card)
        if self._clock() - stream.started_s > LIFE_S or len(tasks) > MOST_TASKS:
            await self.close(handle_)
            return False
        news = stream.news(tasks)
        if not card.live:
            last = where | {"blocks": blocks(), "metadata": metadata}
            return await self._call("chat.stopStream", last, news) is not None
        if news:
            await self._pacer.edit()
            if await self._call("chat.appendStream", where, news) is None:
                return False
        self._open[handle_] = stream
        return True

    async def close(self, handle_: str) -> None:
        """Make the stream an ordinary message, as it is; whoever started it."""
        self._open.pop(handle_, None)
        channel, ts = message_of(handle_)
        await self._call("chat.stopStream", {"channel": channel, "ts": ts}, [])

    async def end(self, run_id: str) -> None:
        """The run is over, and what it was training, if anything, has not settled: it was stopped."""
        for handle_, stream in [(h, s) for h, s in self._open.items() if s.run_id == run_id]:
            del self._open[handle_]
            channel, ts = message_of(handle_)
            stopped = [
                replace(t, status="error") if t.status == "in_progress" else t for t in stream.sent.values()
            ]
            await self._call("chat.stopStream", {"channel": channel, "ts": ts}, stream.news(stopped))

    def _has_room(self) -> bool:
        now = self._clock()
        self._open = {h: s for h, s in self._open.items() if now - s.started_s < SLACKS_LIFE_S}
        recent = sum(now - at < 60 for at in self._starts_s)
        return len(self._open) < MOST_OPEN and recent < STARTS_PER_MINUTE

    async def _call(
        self, method: str, body: Mapping[str, Any], chunks: list[Chunk]
    ) -> Mapping[str, Any] | None:
        """Slack's answer; ``None`` where it does not want the stream."""
        given = {"chunks": [chunk.to_dict() for chunk in chunks]} if chunks else {}
        with translated(method):
            try:
                answer = await self._client.api_call(method, json={**body, **given})
            except SlackApiError as error:
                code = code_of(error)
                if code in _NOT_OURS:
                    raise
                self.available = self.available and code in _THIS_STREAM
                log.info("slack: %s: %s; the card is an ordinary message from now on", method, code)
                return None
        return dict(answer.data) if isinstance(answer.data, dict) else {}
