"""A stand-in for OpenAI's and Anthropic's APIs, spoken to by their real client libraries through LangChain.

It answers ``/v1/chat/completions`` and ``/v1/messages`` with what the test put there, and keeps what it was asked. It
lives in the test's own event loop, on a free port of this machine.
"""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from httpx2 import AsyncClient

from graph.llm.client import LangChainModel
from graph.llm.model import Price

KEY = "sk-test-" + "k" * 40


async def _close_clients() -> None:
    """LangChain keeps the providers' clients for ever, by address; here each is of one test's event loop."""
    for client in [found for found in gc.get_objects() if issubclass(type(found), AsyncClient)]:
        await client.aclose()


@dataclass
class LlmServer:
    """``answer``: the JSON that the model says, or text that is none. ``status``: an error instead; ``silent``: no
    answer at all; ``drops``: it takes the question and hangs up. ``busy``: so many questions get a 429 first."""

    answer: Any = field(default_factory=dict)
    status: int = 200
    silent: bool = False
    drops: bool = False
    busy: int = 0
    usage: tuple[int, int] = (1200, 340)
    asked: list[dict[str, Any]] = field(default_factory=list)
    url: str = ""

    @asynccontextmanager
    async def running(self) -> AsyncIterator[LlmServer]:
        app = web.Application(client_max_size=8 << 20)
        app.router.add_post("/v1/chat/completions", self._openai)
        app.router.add_post("/v1/messages", self._anthropic)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            yield self
        finally:
            await _close_clients()
            await runner.cleanup()

    def env(self) -> dict[str, str]:
        """Of a process whose providers are this server."""
        return {
            "OPENAI_API_KEY": KEY,
            "OPENAI_BASE_URL": f"{self.url}/v1",
            "ANTHROPIC_API_KEY": KEY,
            "ANTHROPIC_BASE_URL": self.url,
        }

    def model(
        self, name: str, price: Price | None = None, waits_s: Sequence[float] = (), **more: Any
    ) -> LangChainModel:
        """The model ``name`` of a provider, which this server is. LangChain keeps a client by its address, so the
        address is said: another test's has another port."""
        options = {"base_url": self.address(name)}
        return LangChainModel(name, price, waits_s=waits_s, options=options, **more)

    def address(self, name: str) -> str:
        return self.env()[f"{name.partition(':')[0].upper()}_BASE_URL"]

    @property
    def said(self) -> str:
        return self.answer if isinstance(self.answer, str) else json.dumps(self.answer)

    def texts(self) -> str:
        """All that was sent in the last request."""
        return json.dumps(self.asked[-1], ensure_ascii=False)

    async def _openai(self, request: web.Request) -> web.Response:
        body = await self._taken(request)
        if self.status != 200:
            # As the real one does, the error repeats the key that it did not like.
            said = {"message": f"Incorrect API key provided: {KEY}", "type": "error", "code": "wrong"}
            return web.json_response({"error": said}, status=self.status)
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": self.said}}
        sent, out = self.usage
        usage = {"prompt_tokens": sent, "completion_tokens": out, "total_tokens": sent + out}
        reply = {
            "id": "c1", "object": "chat.completion", "created": 1, "model": body["model"], "choices": [choice],
            "usage": usage,
        }  # fmt: skip
        return web.json_response(reply)

    async def _anthropic(self, request: web.Request) -> web.Response:
        body = await self._taken(request)
        if self.status != 200:
            said = {"type": "error", "error": {"type": "error", "message": f"invalid x-api-key {KEY}"}}
            return web.json_response(said, status=self.status)
        sent, out = self.usage
        reply = {
            "id": "m1", "type": "message", "role": "assistant", "model": body["model"], "stop_reason": "end_turn",
            "stop_sequence": None, "content": [{"type": "text", "text": self.said}],
            "usage": {"input_tokens": sent, "output_tokens": out},
        }  # fmt: skip
        return web.json_response(reply)

    async def _taken(self, request: web.Request) -> dict[str, Any]:
        body: dict[str, Any] = await request.json()
        self.asked.append(body)
        if self.silent:
            await asyncio.Event().wait()
        if self.drops:
            assert request.transport is not None
            request.transport.abort()
        if len(self.asked) <= self.busy:
            raise web.HTTPTooManyRequests
        return body
