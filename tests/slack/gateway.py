"""Brings what people do (commands, events, clicks) from the local Slack to the bot, the way Slack brings it.

The gateway is the only client on the binary's own socket. It hands each envelope on to one socket of the bot (Slack
picks one; the binary would send to all) or, in HTTP mode, posts it to ``request_url`` with Slack's signature. It
notes how long the acknowledgement took, mends what the binary gets wrong in payloads, and can send anything again,
or anything made up.
"""

from __future__ import annotations

import asyncio
import copy
import hashlib
import hmac
import json
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import aiohttp
from aiohttp import web

from tests.slack.blockcheck import check_message
from tests.slack.server import APP, APP_TOKEN, BOT, SIGNING_SECRET, TEAM, Json, LocalSlack

ACK_LIMIT_S = 3.0  # Slack's own: after that a person sees an error, and an event is sent again
MINT = "/local-mint"  # a command that never reaches the bot: it makes a trigger_id and a response_url


@dataclass
class Delivery:
    """One thing brought to the bot once. ``kind``: slash_commands, events_api or interactive.

    ``ack_s``: seconds until the acknowledgement, None when none came in time (``why``: no socket, no answer…).
    ``response``: what the acknowledgement carried: text, response_action, errors. ``status``: in HTTP mode.
    ``problems``: what Slack would refuse in it; it was then not shown.
    """

    kind: str
    payload: Json
    envelope_id: str
    retry_attempt: int = 0
    retry_reason: str = ""
    at_s: float = 0.0
    ack_s: float | None = None
    response: Json = field(default_factory=dict)
    status: int = 0
    why: str = ""
    problems: list[str] = field(default_factory=list)

    @property
    def acked(self) -> bool:
        return self.ack_s is not None

    @property
    def event(self) -> Json:
        """The inner event of an events_api delivery."""
        found: Json = self.payload.get("event", {})
        return found


def signature(body: bytes, timestamp: str, secret: str = SIGNING_SECRET) -> str:
    """Slack's request signature, version 0 (https://docs.slack.dev/authentication/verifying-requests-from-slack)."""
    base = b"v0:" + timestamp.encode() + b":" + body
    return "v0=" + hmac.new(secret.encode(), base, hashlib.sha256).hexdigest()


class Gateway:
    """``rewrite``: makes the binary's addresses in a text the proxy's. ``changed``: called after each delivery."""

    def __init__(self, slack: LocalSlack, rewrite: Callable[[str], str], changed: Callable[[], None]) -> None:
        self.slack = slack
        self.deliveries: list[Delivery] = []
        self.request_url = ""  # set: HTTP mode
        self.subscribed = {"app_home_opened", "app_mention", "message"}  # as the app's manifest would say
        self.sockets: list[web.WebSocketResponse] = []
        self.ack_limit_s = ACK_LIMIT_S
        self.triggers: dict[str, float] = {}  # trigger_id -> when it was made (monotonic)
        self._rewrite = rewrite
        self._changed = changed
        self._acks: dict[str, asyncio.Future[Json]] = {}
        self._expected: list[tuple[Callable[[Delivery], bool], asyncio.Future[Delivery]]] = []
        self._tasks: set[asyncio.Task[Any]] = set()
        self._upstream: aiohttp.ClientWebSocketResponse | None = None
        self._turn = 0

    async def start(self) -> None:
        opened = await self.slack.api("apps.connections.open", {}, APP_TOKEN)
        self._upstream = await self.slack.http.ws_connect(opened["url"], max_msg_size=0)
        hello = await self._upstream.receive_json(timeout=10)
        assert hello["type"] == "hello", hello
        self.spawn(self._pump(self._upstream))

    async def stop(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.drop_sockets()
        if self._upstream is not None:
            await self._upstream.close()

    def spawn(self, work: Any) -> None:
        task: asyncio.Task[Any] = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --- from the binary ---

    async def _pump(self, upstream: aiohttp.ClientWebSocketResponse) -> None:
        async for message in upstream:
            envelope = json.loads(self._rewrite(message.data))
            self.spawn(self._hand_on(upstream, envelope))

    async def _hand_on(self, upstream: aiohttp.ClientWebSocketResponse, envelope: Json) -> None:
        payload = mended(envelope["payload"])
        delivery = Delivery(envelope["type"], payload, envelope["envelope_id"])
        if "trigger_id" in payload:
            self.triggers[payload["trigger_id"]] = time.monotonic()
        unwanted = delivery.kind == "events_api" and delivery.event.get("type") not in self.subscribed
        if payload.get("command") != MINT and not unwanted:
            await self.deliver(delivery)
        delivery.problems = unfit(payload, delivery.response)
        answer = {} if delivery.problems else with_ids(delivery.response)
        if answer.get("text") or answer.get("blocks"):
            answer.setdefault(
                "response_type", "ephemeral"
            )  # Slack's default; the binary's is the whole channel
        await upstream.send_json({"envelope_id": envelope["envelope_id"], "payload": answer})
        self._tell(delivery)

    def _tell(self, delivery: Delivery) -> None:
        for entry in self._expected:
            fits, future = entry
            if fits(delivery):
                self._expected.remove(entry)
                if not future.done():  # its waiter has given up
                    future.set_result(delivery)
                break
        self._changed()

    def expect(self, fits: Callable[[Delivery], bool]) -> asyncio.Future[Delivery]:
        """The next delivery that ``fits``, once it is done (acknowledged or given up)."""
        future: asyncio.Future[Delivery] = asyncio.get_running_loop().create_future()
        self._expected.append((fits, future))
        return future

    # --- to the bot ---

    async def deliver(self, delivery: Delivery) -> Delivery:
        """Brings it to the bot by the transport in force and waits for the acknowledgement, at most ``ack_limit_s``."""
        self.deliveries.append(delivery)
        delivery.at_s = time.monotonic()
        try:
            async with asyncio.timeout(self.ack_limit_s):
                await (self._post(delivery) if self.request_url else self._send(delivery))
        except TimeoutError:
            delivery.why = f"no acknowledgement within {self.ack_limit_s:g} s"
        self._changed()
        return delivery

    async def inject(self, kind: str, payload: Json, attempt: int = 0, reason: str = "") -> Delivery:
        """Delivers a made-up payload; ``attempt`` and ``reason`` (timeout, http_error) make it a retry."""
        return await self.deliver(Delivery(kind, payload, str(uuid.uuid4()), attempt, reason))

    async def again(self, delivery: Delivery, reason: str = "timeout") -> Delivery:
        """The same payload (so the same event_id) once more, as Slack does when an acknowledgement is late."""
        return await self.inject(delivery.kind, delivery.payload, delivery.retry_attempt + 1, reason)

    async def event(self, event: Json, event_id: str = "") -> Delivery:
        """Delivers an event that the binary does not make."""
        return await self.inject("events_api", wrapped(event, event_id))

    async def _send(self, delivery: Delivery) -> None:
        open_ = [socket for socket in self.sockets if not socket.closed]
        if not open_:
            delivery.why = "no socket is open"
            return
        self._turn += 1
        envelope = {
            "envelope_id": delivery.envelope_id,
            "type": delivery.kind,
            "payload": delivery.payload,
            "accepts_response_payload": delivery.kind != "events_api",
        }
        if delivery.kind == "events_api":
            envelope |= {"retry_attempt": delivery.retry_attempt, "retry_reason": delivery.retry_reason}
        ack = self._acks[delivery.envelope_id] = asyncio.get_running_loop().create_future()
        try:
            await open_[self._turn % len(open_)].send_json(envelope)
            delivery.response = await ack
            delivery.ack_s = time.monotonic() - delivery.at_s
        except (ConnectionError, aiohttp.ClientError):
            delivery.why = "the socket closed"
        finally:
            self._acks.pop(delivery.envelope_id, None)

    async def _post(self, delivery: Delivery) -> None:
        body, content_type = http_body(delivery.kind, delivery.payload)
        headers = {"Content-Type": content_type}
        if delivery.retry_attempt:
            headers |= {
                "X-Slack-Retry-Num": str(delivery.retry_attempt),
                "X-Slack-Retry-Reason": delivery.retry_reason,
            }
        try:
            status, text = await self.post(body, headers=headers)
        except aiohttp.ClientError as gone:
            delivery.why = f"the request failed: {type(gone).__name__}"
            return
        delivery.status = status
        if status != 200:
            delivery.why = f"the bot answered {status}"
            return
        delivery.ack_s = time.monotonic() - delivery.at_s
        delivery.response = _acknowledged(text)

    async def post(
        self,
        body: bytes,
        *,
        headers: dict[str, str] | None = None,
        secret: str = SIGNING_SECRET,
        timestamp: str | None = None,
        sign: str | None = None,
    ) -> tuple[int, str]:
        """Posts ``body`` to the bot's request URL; (status, text).

        Signed as Slack signs, unless ``secret`` (another one), ``timestamp`` (an old one, in seconds) or ``sign``
        (a forged signature; empty: none at all) says otherwise.
        """
        at = timestamp or str(int(time.time()))
        signed = {"X-Slack-Request-Timestamp": at}
        if (value := signature(body, at, secret) if sign is None else sign) != "":
            signed["X-Slack-Signature"] = value
        given = {"Content-Type": "application/json"} | (headers or {})
        async with self.slack.http.post(self.request_url, data=body, headers=given | signed) as answer:
            return answer.status, await answer.text()

    # --- the bot's sockets ---

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        """One socket of the bot, from its opening to its end."""
        socket = web.WebSocketResponse(max_msg_size=0)
        await socket.prepare(request)
        self.sockets.append(socket)
        debug = {"host": "applink-local", "build_number": 1, "approximate_connection_time": 18060}
        await socket.send_json(
            {
                "type": "hello",
                "num_connections": len(self.sockets),
                "debug_info": debug,
                "connection_info": {"app_id": APP},
            }
        )
        self._changed()
        try:
            async for message in socket:
                if message.type is aiohttp.WSMsgType.TEXT:
                    self._acknowledge(message.data)
        finally:
            self.sockets.remove(socket)
            self._changed()
        return socket

    def _acknowledge(self, text: str) -> None:
        try:
            answer = json.loads(text)
        except json.JSONDecodeError:  # slack_sdk's own ping text
            return
        waiting = self._acks.get(answer.get("envelope_id", ""))
        if waiting is not None and not waiting.done():
            given = answer.get("payload")
            waiting.set_result(given if isinstance(given, dict) else {"text": given} if given else {})

    async def drop_sockets(self, politely: bool = False) -> None:
        """Closes every socket of the bot; ``politely``: after Slack's ``disconnect`` message."""
        for socket in list(self.sockets):
            if politely and not socket.closed:
                await socket.send_json({"type": "disconnect", "reason": "refresh_requested"})
            await socket.close(code=1001)


def wrapped(event: Json, event_id: str = "") -> Json:
    """``event`` in Slack's event_callback."""
    return {
        "token": "verification-token",
        "team_id": TEAM,
        "api_app_id": APP,
        "event": event,
        "type": "event_callback",
        "event_id": event_id or f"Ev{uuid.uuid4().hex[:10].upper()}",
        "event_time": int(time.time()),
        "authorizations": [
            {
                "enterprise_id": None,
                "team_id": TEAM,
                "user_id": BOT,
                "is_bot": True,
                "is_enterprise_install": False,
            }
        ],
        "is_ext_shared_channel": False,
    }


def http_body(kind: str, payload: Json) -> tuple[bytes, str]:
    """Body and content type with which Slack posts ``payload``."""
    if kind == "events_api":
        return json.dumps(payload).encode(), "application/json"
    form = payload if kind == "slash_commands" else {"payload": json.dumps(payload)}
    return urlencode(form).encode(), "application/x-www-form-urlencoded"


def mended(payload: Json) -> Json:
    """A payload of the binary, made what Slack sends."""
    if payload.get("type") != "block_actions":
        return payload
    message = payload.get("message") or {}
    container = payload["container"]
    if message.get("thread_ts"):
        container["thread_ts"] = message["thread_ts"]
    if message.get("subtype") == "ephemeral":  # Slack does not say what was in it
        payload.pop("message")
        container["is_ephemeral"] = True
    for action in payload["actions"]:
        chosen = {k: v for k, v in action.items() if k.startswith("selected_") and v is not None}
        if chosen:
            state = payload["state"]["values"].setdefault(action.get("block_id", ""), {})
            state[action["action_id"]] = {"type": action["type"]} | chosen
    return payload


def unfit(payload: Json, response: Json) -> list[str]:
    """What Slack would refuse in an acknowledgement of ``payload``."""
    if "view" in response:
        return check_message({"view": response["view"]})
    if response.get("response_action") == "errors":
        inputs = {b.get("block_id") for b in payload["view"]["blocks"] if b["type"] == "input"}
        wrong = sorted(set(response.get("errors") or {}) - inputs)
        return [f"errors: the view has no input block {block_id!r}" for block_id in wrong]
    if response.get("text") or response.get("blocks"):
        return check_message(response)
    return []


def _acknowledged(text: str) -> Json:
    try:
        answer = json.loads(text) if text else {}
    except json.JSONDecodeError:
        return {"text": text}  # bolt's ack("text")
    return answer if isinstance(answer, dict) else {"text": str(answer)}


def with_ids(args: Json) -> Json:
    """The arguments with the block_id and action_id that Slack gives to blocks and elements without one."""
    if isinstance(args.get("view"), dict):
        return args | {"view": with_ids(args["view"])}
    if not isinstance(args.get("blocks"), list):
        return args
    named: list[Json] = copy.deepcopy(args["blocks"])
    for block in named:
        block.setdefault("block_id", uuid.uuid4().hex[:5])
        for held in (*block.get("elements", []), block.get("accessory"), block.get("element")):
            if isinstance(held, dict) and block["type"] in ("actions", "section", "input"):
                held.setdefault("action_id", uuid.uuid4().hex[:5])
    return args | {"blocks": named}
