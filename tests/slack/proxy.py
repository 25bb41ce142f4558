"""What stands between the bot and the local Slack: the address for ``SLACK_API_URL``.

It records every call (``calls``), refuses what Slack would refuse (tokens, scopes, blocks, lengths), and does harm
on demand: rate limits, answers that get lost after the call has landed, errors, outages, slowness. Addresses that
the local Slack hands out (sockets, uploads, downloads, response_url) are rewritten so that they lead through here.

Every message and view is checked (``blockcheck``) before it is handed on, so that every test of the bot is also a
test of what it shows.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web

from tests.slack.blockcheck import check_message
from tests.slack.gateway import Gateway
from tests.slack.methods import ALL_SCOPES, METHOD_SCOPES, Methods, no
from tests.slack.server import APP_TOKEN, BOT_TOKEN, Json, LocalSlack

JSON_FIELDS = ("attachments", "blocks", "chunks", "files", "metadata", "view")
SHOWN = ("chat.postMessage", "chat.update", "chat.postEphemeral", "views.open", "views.push", "views.update",
         "views.publish", "response_url")  # fmt: skip
NO_TOKEN = ("api.test", "oauth.v2.access", "response_url", "upload", "download")
RESPONSE_URL_USES = 5  # Slack's own


@dataclass
class Call:
    """One call of the bot. ``method``: the Web API's name, or response_url, upload, download.

    ``at_s``: when it came (monotonic clock). ``fault``: which harm was done to it. ``response``: what Slack answered,
    even when that answer was lost on its way.
    """

    method: str
    args: Json
    at_s: float
    token: str = ""
    response: Json = field(default_factory=dict)
    status: int = 200
    fault: str = ""

    @property
    def ok(self) -> bool:
        return bool(self.response.get("ok")) and not self.fault


@dataclass
class Fault:
    """What goes wrong the next ``times`` times that a method matches ``method`` (a regular expression).

    ``kind``: "ratelimited" (429), "lost" (done, but the connection drops), "refused" (dropped, nothing done),
    "status" (an HTTP status), "error" (``ok: false``), "slow" (waits for ``gate``).
    ``skip``: matching calls that still go well before. ``where``: looks at the arguments.
    """

    kind: str
    method: str
    times: int = 1
    skip: int = 0
    where: Callable[[Json], bool] = lambda args: True
    retry_after_s: int = 1
    status: int = 500
    error: str = ""
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    def fits(self, method: str, args: Json) -> bool:
        if not self.times or not re.fullmatch(self.method, method) or not self.where(args):
            return False
        if self.skip:
            self.skip -= 1
            return False
        self.times -= 1
        return True

    def release(self) -> None:
        """Lets the calls of a "slow" fault go on."""
        self.times = 0
        self.gate.set()


class SlackProxy:
    """``async with SlackProxy(slack) as proxy``; ``proxy.api_url`` is for SLACK_API_URL.

    ``scopes``: what the token may do. ``refused_blocks``: block types that this workspace does not have.
    ``invalid``: an error that every call gets (invalid_auth, token_revoked, account_inactive).
    ``strict``: refuse what ``check_message`` refuses; ``unfit`` keeps it, and a ``World`` that ends with any fails.
    """

    def __init__(self, slack: LocalSlack) -> None:
        self.slack = slack
        self.url = ""
        self.ledger: list[Call] = []
        self.faults: list[Fault] = []
        self.scopes: set[str] = set(ALL_SCOPES)
        self.tokens = {BOT_TOKEN}
        self.teams: dict[
            str, str
        ] = {}  # token -> another workspace that has the app; it has the same channels here
        self.refused_blocks: set[str] = set()
        self.invalid = ""
        self.strict = True
        self.unfit: list[tuple[str, list[str]]] = []  # calls that showed what Slack would refuse, and why
        self.down = False
        self.gateway = Gateway(slack, self._through, self.changed)
        self.methods = Methods(slack, self.gateway)
        self.methods.socket_url = self._new_socket_url
        self._tickets: set[str] = set()
        self._uses: dict[str, int] = {}
        self._tick = asyncio.Event()
        self._runner: web.AppRunner | None = None

    @property
    def api_url(self) -> str:
        return f"{self.url}/api/"

    async def __aenter__(self) -> SlackProxy:
        app = web.Application(client_max_size=1 << 30)
        app.router.add_route("*", "/api/{method}", self._api)
        app.router.add_get("/socket/{ticket}", self._socket)
        app.router.add_post("/_hooks/response/{id}", self._response_url)
        app.router.add_post("/upload/{path:.+}", self._upload)
        app.router.add_get("/files-pri/{path:.+}", self._download)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        await self.gateway.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        for fault in self.faults:
            fault.gate.set()
        await self.gateway.stop()
        if self._runner is not None:
            await self._runner.cleanup()

    # --- the ledger ---

    def calls(self, method: str, **args: Any) -> list[Call]:
        """The calls of ``method`` so far whose arguments are as given, oldest first."""
        return [
            c for c in self.ledger if c.method == method and all(c.args.get(k) == v for k, v in args.items())
        ]

    def peak(self, method: str, window_s: float, by: str = "channel") -> int:
        """The most calls of ``method`` within any ``window_s`` seconds that share the argument ``by``."""
        times: dict[Any, list[float]] = {}
        for call in self.calls(method):
            times.setdefault(call.args.get(by), []).append(call.at_s)
        return max(
            (sum(start <= at < start + window_s for at in each) for each in times.values() for start in each),
            default=0,
        )

    def changed(self) -> None:
        """Wakes those who wait in ``until``."""
        self._tick.set()
        self._tick = asyncio.Event()

    async def until(self, found: Callable[[], Any], timeout_s: float = 10.0) -> Any:
        """What ``found`` (plain or async) gives, as soon as it is true; asked again after each call and delivery.

        Raises AssertionError, with the last calls, when that takes longer than ``timeout_s``.
        """
        end = time.monotonic() + timeout_s
        while True:
            tick = self._tick
            value = found()
            value = await value if asyncio.iscoroutine(value) else value
            if value:
                return value
            try:
                await asyncio.wait_for(tick.wait(), max(0.0, end - time.monotonic()))
            except TimeoutError:
                last = [f"{c.method} {c.fault or c.response.get('error', 'ok')}" for c in self.ledger[-10:]]
                raise AssertionError(f"waited {timeout_s:g} s in vain; the last calls: {last}") from None

    # --- harm on demand ---

    def fault(self, kind: str, method: str, **how: Any) -> Fault:
        """Adds a ``Fault``; give ``times``, ``skip``, ``where``, ``retry_after_s``, ``status``, ``error``."""
        made = Fault(kind, method, **how)
        self.faults.append(made)
        return made

    @asynccontextmanager
    async def outage(self) -> AsyncIterator[None]:
        """Slack is down: every connection breaks, sockets close, nothing is done, until the block ends."""
        self.down = True
        await self.gateway.drop_sockets()
        try:
            yield
        finally:
            self.down = False

    # --- the Web API ---

    async def _api(self, request: web.Request) -> web.StreamResponse:
        args = await _decoded(request)
        token = request.headers.get("Authorization", "").removeprefix("Bearer ") or args.pop("token", "")
        return await self._answer(request, Call(request.match_info["method"], args, time.monotonic(), token))

    async def _answer(
        self, request: web.Request, call: Call, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> web.StreamResponse:
        """Records ``call``, does it unless a fault or a rule stands against it, and answers."""
        self.ledger.append(call)
        fault = next((f for f in self.faults if f.fits(call.method, call.args)), None)
        call.fault = "down" if self.down else fault.kind if fault else ""
        sent: web.StreamResponse | None = None
        if fault is not None and fault.kind == "slow" and not self.down:
            fault.arrived.set()
            await fault.gate.wait()
            call.fault = "down" if self.down else ""
        if call.fault in ("down", "refused"):
            return self._broken(request)
        if fault is not None and call.fault in ("ratelimited", "status", "error"):
            sent = _faulty(fault, call)
        elif error := self._refusal(call):
            call.response = error
        elif call.method in ("upload", "download"):
            sent = await self._pass(request, call, body)
        else:
            call.response = json.loads(self._through(json.dumps(await self._do(call))))
        self.changed()
        if call.fault == "lost":
            return self._broken(request)
        if sent is not None:
            return sent
        if call.method == "response_url" and call.response["ok"]:
            return web.Response(text="ok")
        status = 404 if call.method == "response_url" else 200
        is_bot = call.token in self.tokens | self.teams.keys()
        shown = {"x-oauth-scopes": ",".join(sorted(self.scopes))} if is_bot else {}
        return web.json_response(call.response, status=status, headers=shown)

    async def _do(self, call: Call) -> Json:
        if call.method == "response_url":
            return await self._respond(call.args)
        answer = await self.methods.call(call.method, call.args)
        if call.method == "auth.test" and call.token in self.teams:
            answer |= {"team_id": self.teams[call.token], "team": self.teams[call.token].title()}
        return answer

    def _refusal(self, call: Call) -> Json | None:
        """Slack's reason to refuse before it looks at what is asked, or None."""
        if call.method not in NO_TOKEN:
            bots = self.tokens | self.teams.keys()
            expected = {APP_TOKEN} if call.method == "apps.connections.open" else bots
            if not call.token:
                return no("not_authed")
            if self.invalid or call.token not in expected:
                return no(self.invalid or "invalid_auth")
            needed = METHOD_SCOPES.get(call.method, "")
            if needed and needed not in self.scopes:
                return no("missing_scope", needed=needed, provided=",".join(sorted(self.scopes)))
        if call.method in SHOWN and not call.args.get("delete_original"):
            return self._unfit(call.method, call.args)
        return None

    def _unfit(self, method: str, args: Json) -> Json | None:
        here = self.refused_blocks.intersection(_types([args.get("view"), args.get("blocks")]))
        if here:
            return no("invalid_blocks", *(f"unsupported type: {kind}" for kind in sorted(here)))
        problems = check_message(args) if self.strict else []
        if not problems:
            return None
        self.unfit.append((method, problems))
        if "view" in args:
            return no("invalid_arguments", *problems)
        if all(p.startswith("text:") for p in problems):
            return no("msg_too_long" if args.get("text") else "no_text", *problems)
        return no("invalid_blocks", *problems)

    # --- other addresses ---

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        ticket = request.match_info["ticket"]
        if self.down or ticket not in self._tickets:
            return self._broken(request)
        self._tickets.remove(ticket)  # works once
        return await self.gateway.serve(request)

    async def _response_url(self, request: web.Request) -> web.StreamResponse:
        args = {"response_url": request.match_info["id"], **(await request.json())}
        return await self._answer(request, Call("response_url", args, time.monotonic()))

    async def _respond(self, args: Json) -> Json:
        which = args["response_url"]
        self._uses[which] = self._uses.get(which, 0) + 1
        if self._uses[which] > RESPONSE_URL_USES:
            return no("used_url")
        body = {k: v for k, v in args.items() if k != "response_url"}
        body.setdefault("response_type", "ephemeral")  # Slack's default; the binary's is the whole channel
        async with self.slack.http.post(f"{self.slack.url}/_hooks/response/{which}", json=body) as answer:
            return {"ok": True} if answer.status == 200 else no("expired_url")

    async def _upload(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        call = Call("upload", {"path": request.path, "bytes": len(body)}, time.monotonic())
        return await self._answer(request, call, body)

    async def _download(self, request: web.Request) -> web.StreamResponse:
        call = Call("download", {"path": request.path}, time.monotonic())
        return await self._answer(request, call)

    async def _pass(self, request: web.Request, call: Call, body: bytes) -> web.Response:
        headers = {k: v for k, v in request.headers.items() if k.lower() in ("authorization", "content-type")}
        url = self.slack.url + request.raw_path
        async with self.slack.http.request(request.method, url, data=body or None, headers=headers) as answer:
            content, call.status = await answer.read(), answer.status
            call.response = {"ok": answer.status == 200}
            kind = answer.headers.get("Content-Type", "application/octet-stream")
            return web.Response(body=content, status=answer.status, headers={"Content-Type": kind})

    def _broken(self, request: web.Request) -> web.Response:
        """Breaks the connection; what is returned reaches nobody."""
        self.changed()
        if request.transport is not None:
            request.transport.abort()
        return web.Response(status=503)

    def _through(self, text: str) -> str:
        return text.replace(self.slack.url, self.url)

    def _new_socket_url(self) -> str:
        ticket = uuid.uuid4().hex
        self._tickets.add(ticket)
        return f"{self.url.replace('http', 'ws', 1)}/socket/{ticket}"


def _faulty(fault: Fault, call: Call) -> web.Response:
    if fault.kind == "ratelimited":
        call.status, call.response = 429, no("ratelimited")
        return web.json_response(call.response, status=429, headers={"Retry-After": str(fault.retry_after_s)})
    if fault.kind == "status":
        call.status = fault.status
        return web.Response(status=fault.status, text="<html>an error page</html>", content_type="text/html")
    call.response = no(fault.error)
    return web.json_response(call.response)


def _types(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("type"), str):
            yield value["type"]
        for held in value.values():
            yield from _types(held)
    elif isinstance(value, list):
        for item in value:
            yield from _types(item)


async def _decoded(request: web.Request) -> Json:
    """The arguments of a call, from the query and a JSON or form body; JSON inside a form is read too."""
    args: Json = dict(request.query)
    body = await request.text()
    if request.content_type == "application/json":
        args |= json.loads(body or "{}")
    else:
        args |= dict(parse_qsl(body, keep_blank_values=True))
    for name in JSON_FIELDS:
        if isinstance(args.get(name), str):
            try:
                args[name] = json.loads(args[name])
            except json.JSONDecodeError:
                continue  # check_message says what is wrong with it
    return args
