"""A stand-in for Hugging Face Jobs and its buckets, spoken to by the real client library, with faults on demand.

A job's command is really run, as a process of this machine: its bucket mounts are folders (their paths are
replaced in the command), its output is streamed as server-sent events from the first line to whoever asks, and
what it wrote into a writable mount is in the bucket when it has ended. The storage behind the buckets is the
client's own (hf_xet) on a local folder, so that uploads and downloads are the real ones too.

It lives in the test's event loop, on a free port of this machine.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiohttp import web

from remote.sandbox import watch
from tests.jobsserver.buckets import Buckets, no

OWNER = "ada"
OWNER_TOKEN = "hf_" + "o" * 34
READ_TOKEN = "hf_" + "r" * 34
HARDWARE: list[dict[str, Any]] = [
    {"name": "cpu-basic", "cpu": "2 vCPU", "ram": "16 GB", "usd": 0.000167},
    {"name": "cpu-upgrade", "cpu": "8 vCPU", "ram": "32 GB", "usd": 0.0005},
    {"name": "t4-small", "cpu": "4 vCPU", "ram": "15 GB", "usd": 0.00667, "gpu": ("T4", "1", "16 GB")},
    {"name": "a10g-small", "cpu": "4 vCPU", "ram": "15 GB", "usd": 0.01667, "gpu": ("A10G", "1", "24 GB")},
    {"name": "l4x4", "cpu": "48 vCPU", "ram": "186 GB", "usd": 0.06333, "gpu": ("L4", "4", "96 GB")},
    {"name": "a100-large", "cpu": "12 vCPU", "ram": "142 GB", "usd": 0.04167, "gpu": ("A100", "1", "80 GB")},
]


@dataclass
class Fault:
    """What goes wrong the next ``times`` times that ``METHOD path`` matches ``pattern``.

    ``kind``: "status" (answer with it), "lost" (done, but the connection drops before the answer), "dropped" (not
    even done), "nonsense" (a body that is not the Hub's), "silent" (no answer, until the server ends), "cut" (of a
    log: the connection drops after ``lines`` lines), "hole" (of a log: that line is missing), "crumbs" (of a log: it
    comes a few bytes at a time).
    """

    pattern: str
    kind: str = "status"
    status: int = 500
    times: int = 1
    headers: dict[str, str] = field(default_factory=dict)
    message: str = ""
    lines: int = 0
    skip: int = 0  # matching requests that still go well before


_CRUMB_BYTES = 37
_FAULT: web.RequestKey[Fault | None] = web.RequestKey("fault", Fault | None)  # type: ignore[arg-type]


@dataclass
class Job:
    id: str
    namespace: str
    spec: dict[str, Any]
    created_at: datetime
    labels: dict[str, str]
    stage: str = "SCHEDULING"
    message: str | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    lines: list[dict[str, str]] = field(default_factory=list)
    process: asyncio.subprocess.Process | None = None
    verdict: tuple[str, str | None] | None = None  # stage and message, where they are not the exit code's
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def over(self) -> bool:
        return self.stage not in ("SCHEDULING", "RUNNING")

    def say(self, line: str) -> None:
        stamp = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        self.lines.append({"data": line, "timestamp": stamp})
        self.wake()

    def wake(self) -> None:
        changed, self.changed = self.changed, asyncio.Event()
        changed.set()

    def info(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "createdAt": _stamp(self.created_at),
            "startedAt": _stamp(self.started_at),
            "finishedAt": _stamp(self.finished_at),
            "dockerImage": self.spec.get("dockerImage"),
            "command": self.spec["command"],
            "arguments": self.spec["arguments"],
            "environment": self.spec["environment"],
            "secrets": dict.fromkeys(self.spec.get("secrets", {}), ""),
            "flavor": self.spec["flavor"],
            "labels": self.labels,
            "volumes": self.spec.get("volumes"),
            "status": {"stage": self.stage, "message": self.message},
            "owner": {"id": "1", "name": self.namespace, "type": "user"},
        }


def _stamp(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class JobsServer:
    """``created`` holds what every create asked for, in order: the ledger of what was paid. ``hold``: jobs stay
    in SCHEDULING."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.jobs: dict[str, Job] = {}
        self.buckets = Buckets(root / "storage")
        self.faults: list[Fault] = []
        self.created: list[dict[str, Any]] = []
        self.requests: list[str] = []
        self.hold = False
        self.now: datetime | None = None
        self.before_create: Callable[[dict[str, Any]], object] | None = None  # somebody else is quicker, once
        self.url = ""
        self._tasks: set[asyncio.Task[None]] = set()
        self._ending = asyncio.Event()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[JobsServer]:
        self.root.mkdir(parents=True, exist_ok=True)
        app = web.Application(middlewares=[self._middleware], client_max_size=64 << 20)
        jobs, job = "/api/jobs/{namespace}", "/api/jobs/{namespace}/{id}"
        app.router.add_get("/api/whoami-v2", self._whoami)
        app.router.add_get("/api/jobs/hardware", self._hardware)
        app.router.add_post(jobs, self._create)
        app.router.add_get(jobs, self._list)
        app.router.add_get(job, self._inspect)
        app.router.add_get(job + "/logs", self._logs)
        app.router.add_post(job + "/cancel", self._cancel)
        app.router.add_put(job + "/labels", self._relabel)
        self.buckets.add_routes(app.router)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = self.buckets.url = "http://{}:{}".format(*runner.addresses[0][:2])
        try:
            yield self
        finally:
            self._ending.set()
            for each in self.jobs.values():
                self._kill(each)
                each.wake()
            await asyncio.gather(*self._tasks)
            await runner.cleanup()

    # -- what tests do to jobs -----------------------------------------------------------------------------

    def job(self, key: str) -> Job:
        """The job that the backend made for this key."""
        return next(j for j in self.jobs.values() if j.spec["environment"]["INTERN_JOB_KEY"] == key)

    def end(self, key: str, stage: str, message: str | None) -> None:
        """The machine goes away, with everything on it, without a word."""
        job = self.job(key)
        job.verdict = (stage, message)
        self._kill(job)

    def delete(self, key: str) -> None:
        """The provider forgets the job."""
        job = self.job(key)
        self._kill(job)
        del self.jobs[job.id]
        job.wake()

    # -- answers -------------------------------------------------------------------------------------------

    @web.middleware
    async def _middleware(self, request: web.Request, handler: Any) -> web.StreamResponse:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        line = f"{request.method} {request.path}"
        self.requests.append(line)
        fault = self._fault(line)
        request[_FAULT] = fault
        if fault and fault.kind == "status":
            body = {"error": fault.message or "fault"}
            return web.json_response(body, status=fault.status, headers=fault.headers)
        if fault and fault.kind == "nonsense":
            return web.Response(text="<html>Welcome to the hotel's network</html>", content_type="text/html")
        if fault and fault.kind == "dropped" and request.transport:
            request.transport.abort()
            return web.Response()
        if fault and fault.kind == "silent":
            await self._ending.wait()
            return web.Response(status=503)
        if token not in (OWNER_TOKEN, READ_TOKEN) and request.path != "/api/jobs/hardware":
            return no(401, "Invalid credentials in Authorization header")
        if token == READ_TOKEN and request.method != "GET":
            return no(403, "This token may only read")
        response: web.StreamResponse = await handler(request)
        if fault and fault.kind == "lost" and request.transport:
            request.transport.abort()
        return response

    def _fault(self, line: str) -> Fault | None:
        for fault in self.faults:
            if fault.times and re.search(fault.pattern, line):
                if fault.skip:
                    fault.skip -= 1
                    continue
                fault.times -= 1
                return fault
        return None

    async def _whoami(self, request: web.Request) -> web.Response:
        role = "read" if READ_TOKEN in request.headers["Authorization"] else "write"
        return web.json_response({"name": OWNER, "orgs": [], "auth": {"accessToken": {"role": role}}})

    async def _hardware(self, _request: web.Request) -> web.Response:
        return web.json_response([_machine(each) for each in HARDWARE])

    async def _create(self, request: web.Request) -> web.Response:
        spec = await request.json()
        if spec["flavor"] not in {each["name"] for each in HARDWARE}:
            return no(400, "No such hardware")
        if not all(re.fullmatch(r"[\w-]{1,100}", v, re.ASCII) for v in spec.get("labels", {}).values()):
            return no(400, "Labels may hold letters, digits, dashes and underscores")
        if self.before_create is not None:
            rival, self.before_create = self.before_create, None
            rival(spec)
        return web.json_response(self.add(request.match_info["namespace"], spec).info())

    def add(self, namespace: str, spec: dict[str, Any]) -> Job:
        number = len(self.created)
        self.created.append(spec)
        at = self.now or datetime.now(UTC)
        job = Job(f"{number:024x}", namespace, spec, at, dict(spec.get("labels", {})))
        self.jobs[job.id] = job
        task = asyncio.get_running_loop().create_task(self._run(job))
        self._tasks.add(task)
        return job

    async def _list(self, request: web.Request) -> web.Response:
        wanted = [label.partition("=") for label in request.query.getall("label", [])]
        stages = request.query.getall("stage", [])
        found = [
            job.info()
            for job in self.jobs.values()
            if job.namespace == request.match_info["namespace"]
            and all(job.labels.get(name) == value for name, _, value in wanted)
            and (not stages or job.stage in stages)
        ]
        return web.json_response(found[::-1])  # the newest first

    def _find(self, request: web.Request) -> Job:
        job = self.jobs.get(request.match_info["id"])
        if job is None:
            raise web.HTTPNotFound(text='{"error": "Job not found"}', content_type="application/json")
        return job

    async def _inspect(self, request: web.Request) -> web.Response:
        return web.json_response(self._find(request).info())

    async def _logs(self, request: web.Request) -> web.StreamResponse:
        job, fault = self._find(request), request[_FAULT]
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        sent = 0
        while True:
            changed, over = job.changed, job.over or job.id not in self.jobs or self._ending.is_set()
            for line in job.lines[sent:]:
                sent += 1
                if fault and fault.kind == "cut" and sent > fault.lines and request.transport:
                    request.transport.abort()
                    return response
                if fault and fault.kind == "hole" and sent - 1 == fault.lines:
                    continue
                data = b"data: " + json.dumps(line, ensure_ascii=False).encode() + b"\n\n"
                size = _CRUMB_BYTES if fault and fault.kind == "crumbs" else len(data)
                with suppress(ConnectionError):
                    for at in range(0, len(data), size):
                        await response.write(data[at : at + size])
            if over:
                return response
            await changed.wait()

    async def _cancel(self, request: web.Request) -> web.Response:
        job = self._find(request)
        if job.over:
            return no(400, "Job is not running")
        job.verdict = job.verdict or ("CANCELED", None)
        if job.process is not None and job.process.returncode is None:
            job.process.terminate()
        job.wake()
        return web.json_response(job.info())

    async def _relabel(self, request: web.Request) -> web.Response:
        job = self._find(request)
        job.labels = (await request.json())["labels"]
        return web.json_response(job.info())

    # -- running -------------------------------------------------------------------------------------------

    async def _run(self, job: Job) -> None:
        while self.hold and job.verdict is None and not self._ending.is_set():
            await job.changed.wait()
        if job.verdict is None and not self._ending.is_set():
            with tempfile.TemporaryDirectory(dir=self.root, ignore_cleanup_errors=True) as folder:
                await self._run_in(job, Path(folder))
        job.finished_at = datetime.now(UTC)
        job.stage, job.message = job.verdict or ("CANCELED", None)
        job.wake()

    async def _run_in(self, job: Job, folder: Path) -> None:
        volumes = job.spec.get("volumes", [])
        mounts = await asyncio.to_thread(self.buckets.mount, volumes, folder)
        command = [_replaced(word, mounts) for word in job.spec["command"]]
        command[0] = {"python": sys.executable}.get(command[0], command[0])
        env = {"PATH": "/usr/bin:/bin", "TMPDIR": str(folder), **job.spec["environment"]}
        job.started_at, job.stage = datetime.now(UTC), "RUNNING"
        job.say("===== Job started at 2026-01-01 00:00:00 =====")
        job.process = process = await asyncio.create_subprocess_exec(
            *command,
            env=env | job.spec.get("secrets", {}),
            cwd=folder,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            limit=1 << 20,
        )
        if job.verdict is not None or self._ending.is_set():  # cancelled while it was being started
            self._kill(job)
        assert process.stdout is not None
        try:
            async with asyncio.timeout(job.spec["timeoutSeconds"]):
                async for line in process.stdout:
                    for piece in _cut(line.rstrip(b"\n")):
                        job.say(piece.decode("utf-8", "replace"))
        except TimeoutError:
            job.verdict = ("ERROR", "Job timeout")
            self._kill(job)
        code = await process.wait()
        if job.verdict is None:
            failed = ("ERROR", f"Job failed with exit code: {code if code >= 0 else 128 - code}")
            job.verdict = ("COMPLETED", None) if code == 0 else failed
        await asyncio.to_thread(self.buckets.unmount, volumes, mounts)

    def _kill(self, job: Job) -> None:
        """Everything in the job's container."""
        if job.process is not None and job.process.returncode is None:
            for pid in watch.tree(job.process.pid):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def _replaced(word: str, mounts: dict[str, Path]) -> str:
    for path, folder in mounts.items():
        word = word.replace(path, str(folder))
    return word


def _cut(line: bytes) -> Iterable[bytes]:
    """As container runtimes do, at 16 KiB."""
    return [line[at : at + 16384] for at in range(0, max(len(line), 1), 16384)]


def _machine(each: dict[str, Any]) -> dict[str, Any]:
    gpu = each.get("gpu")
    accelerator = gpu and {
        "type": "gpu", "model": gpu[0], "quantity": gpu[1], "vram": gpu[2], "manufacturer": "Nvidia"
    }  # fmt: skip
    return {
        "name": each["name"], "prettyName": each["name"], "cpu": each["cpu"], "ram": each["ram"],
        "ephemeralStorage": "50 GB", "accelerator": accelerator, "unitCostUSD": each["usd"],
        "unitCostMicroUSD": round(each["usd"] * 1e6), "unitLabel": "minute",
    }  # fmt: skip
