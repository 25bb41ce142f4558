"""A Discord that one can connect to: enough of its HTTP and of its gateway to log in, go online, resume and leave.

What happens in a conversation is ``simcord``'s part; this one is for the process: its start, its end, and the network.
Documents: https://discord.com/developers/docs/events/gateway.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSMsgType, web

BOT = {"id": "100", "username": "intern", "discriminator": "0000", "avatar": None, "bot": True}
APPLICATION = {
    "id": "100",
    "name": "intern",
    "description": "",
    "icon": None,
    "bot_public": False,
    "bot_require_code_grant": False,
    "verify_key": "",
    "flags": 1 << 19,
    "owner": BOT,
    "team": None,
}
EVERYONE = {
    "id": "200",
    "name": "@everyone",
    "permissions": "0",
    "position": 0,
    "color": 0,
    "colors": {"primary_color": 0, "secondary_color": None, "tertiary_color": None},
    "hoist": False,
    "managed": False,
    "mentionable": False,
}
GUILD = {
    "id": "200",
    "name": "Team",
    "unavailable": False,
    "owner_id": "1",
    "roles": [EVERYONE],
    "channels": [],
    "members": [],
    "threads": [],
    "emojis": [],
    "stickers": [],
    "features": [],
    "member_count": 1,
}


@dataclass
class Gateway:
    """``close_with``: the code with which an IDENTIFY is refused."""

    token: str = "right"
    close_with: int | None = None
    port: int = 0
    opcodes: list[int] = field(default_factory=list)  # of what the bot sent
    synced: list[Any] = field(default_factory=list)
    sockets: list[web.WebSocketResponse] = field(default_factory=list)

    @property
    def api(self) -> str:
        return f"http://127.0.0.1:{self.port}/api/v10"

    @property
    def address(self) -> str:
        return f"ws://127.0.0.1:{self.port}/"

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Gateway]:
        application = web.Application(middlewares=[self._checked])
        application.add_routes(
            [
                web.get("/", self._socket),
                web.get("/api/v10/users/@me", self._answer(BOT)),
                web.get("/api/v10/oauth2/applications/@me", self._answer(APPLICATION)),
                web.put("/api/v10/applications/100/commands", self._sync),
                web.put("/api/v10/applications/100/guilds/200/commands", self._sync),
            ]
        )
        runner = web.AppRunner(application)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.port = runner.addresses[0][1]
        try:
            yield self
        finally:
            await self.drop()
            await runner.cleanup()

    async def drop(self) -> None:
        """Cut every connection, as a network does."""
        sockets, self.sockets = self.sockets, []
        for socket in sockets:
            await socket.close(code=1001)

    @web.middleware
    async def _checked(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if request.path.startswith("/api/") and request.headers.get("Authorization") != f"Bot {self.token}":
            return _json({"message": "401: Unauthorized", "code": 0}, status=401)
        answer: web.StreamResponse = await handler(request)
        return answer

    def _answer(self, body: Any) -> Any:
        async def handler(request: web.Request) -> web.Response:
            return _json(body)

        return handler

    async def _sync(self, request: web.Request) -> web.Response:
        commands = await request.json()
        self.synced.append(commands)
        known = {
            "application_id": "100",
            "version": "1",
            "guild_id": None,
            "default_member_permissions": None,
        }
        return _json([{"description": "", **c, **known, "id": str(n)} for n, c in enumerate(commands, 1)])

    async def _socket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.sockets.append(socket)
        await socket.send_json({"op": 10, "d": {"heartbeat_interval": 40_000}})
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                await self._take(socket, json.loads(message.data))
        return socket

    async def _take(self, socket: web.WebSocketResponse, said: Any) -> None:
        self.opcodes.append(said["op"])
        match said["op"]:
            case 1:
                await socket.send_json({"op": 11})
            case 2 if self.close_with:
                await socket.close(code=self.close_with)
            case 2:
                ready = {
                    "v": 10,
                    "user": BOT,
                    "guilds": [{"id": "200", "unavailable": True}],
                    "session_id": "s",
                    "resume_gateway_url": self.address,
                    "application": {"id": "100", "flags": APPLICATION["flags"]},
                }
                await socket.send_json({"op": 0, "s": 1, "t": "READY", "d": ready})
                await socket.send_json({"op": 0, "s": 2, "t": "GUILD_CREATE", "d": GUILD})
            case 6:
                await socket.send_json({"op": 0, "s": 3, "t": "RESUMED", "d": {}})


def _json(body: Any, status: int = 200) -> web.Response:
    """discord.py takes no ``charset`` in the type."""
    return web.Response(
        body=json.dumps(body).encode(), status=status, headers={"Content-Type": "application/json"}
    )


async def until(found: Any, seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not found():
            await asyncio.sleep(0.01)
