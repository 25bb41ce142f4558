"""The stand-in's wire: gRPC for the calls, HTTP for the blocks of files, both on the loopback."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Coroutine
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from aiohttp import web
from grpclib.server import Server

from tests.modalserver.faults import Faults
from tests.modalserver.sandboxes import Run, kill_tree
from tests.modalserver.service import Service
from tests.modalserver.volumes import BLOCK_BYTES, Blocks, Volume

TOKEN_ID, TOKEN_SECRET = "ak-standin", "as-standin"
_START_S = 30.0
_FILES: dict[str, bytes] = {}  # by sha256, so that the stand-ins of many tests may share what was sent to one
_T = TypeVar("_T")


class ModalServer:
    """``folder`` holds the volumes and what runs. Enter it to start it; leaving kills every process it started."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.faults = Faults()
        self.calls: Counter[str] = Counter()
        self.ledger: list[Run] = []
        self.volumes: dict[str, Volume] = {}
        self.tokens = {TOKEN_ID: TOKEN_SECRET}
        self.rates: dict[str, str] = {}  # what the workspace says its prices are; empty: it may not ask
        self.images: list[Any] = []  # api_pb2.Image of every layer that was asked for
        self.files = _FILES  # of mounts
        self.blocks = Blocks()
        self.http_url = ""
        self.url = ""
        self.tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="modal stand-in", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._call(self._start()).result(_START_S)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._call(self._stop()).result(_START_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_START_S)
        self._loop.close()

    def run_of(self, name: str) -> Run:
        """The last sandbox of that name."""
        return next(run for run in reversed(self.ledger) if run.name == name)

    def kill(self, name: str) -> None:
        """As the kernel does when memory runs out: everything at once, exit code 137."""
        pid = self.run_of(name).pid
        assert pid is not None
        kill_tree(pid)

    def preempt(self, name: str) -> None:
        """Terminated from outside, for Modal's own reasons."""
        self._call(self.terminate(self.run_of(name))).result(_START_S)

    def expire(self, name: str) -> None:
        """Modal's own limit of time is reached."""
        run = self.run_of(name)
        assert run.pid is not None
        run.timed_out = True
        kill_tree(run.pid)

    def volume(self, name: str) -> Volume:
        return next(volume for volume in self.volumes.values() if volume.name == name)

    async def terminate(self, run: Run) -> None:
        if run.running:
            run.terminated = True
            if run.pid is not None:
                kill_tree(run.pid)
            while run.running:
                await run.changed.wait()

    def _call(self, work: Coroutine[Any, Any, _T]) -> Future[_T]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    async def _start(self) -> None:
        self._grpc = Server([Service(self)])
        await self._grpc.start("127.0.0.1", 0)
        assert self._grpc._server is not None
        port = self._grpc._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
        self.url = f"http://127.0.0.1:{port}"
        app = web.Application(client_max_size=2 * BLOCK_BYTES)
        app.router.add_put("/block/{sha256}", self._put_block)
        app.router.add_get("/file/{volume}/{number}/{path:.*}", self._get_block)
        self._web = web.AppRunner(app, shutdown_timeout=0.1)
        await self._web.setup()
        site = web.TCPSite(self._web, "127.0.0.1", 0)
        await site.start()
        assert site._server is not None
        http_port = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
        self.http_url = f"http://127.0.0.1:{http_port}"

    async def _stop(self) -> None:
        for run in self.ledger:
            await self.terminate(run)
        self._grpc.close()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self._grpc.wait_closed()
        await self._web.cleanup()

    async def _put_block(self, request: web.Request) -> web.Response:
        data = await request.read()
        try:
            self.blocks.put(request.match_info["sha256"], data)
        except ValueError as error:
            return web.Response(status=400, text=str(error))
        return web.Response(body=b"put:" + request.match_info["sha256"].encode())

    async def _get_block(self, request: web.Request) -> web.Response:
        volume = self.volumes[request.match_info["volume"]]
        path, number = request.match_info["path"], int(request.match_info["number"])
        file = volume.at(path)
        if not file.is_file():
            return web.Response(status=404)
        with file.open("rb") as reader:
            reader.seek(number * BLOCK_BYTES)
            data = reader.read(BLOCK_BYTES)
        return web.Response(body=self.faults.damaged(path, data))
