"""A stand-in for the Hugging Face Hub, spoken to by the real client library, with faults on demand.

It keeps repositories in memory and answers what huggingface_hub 2.x asks: whoami, search, repository
information, resolve (HEAD and GET with ETag, X-Repo-Commit, Range), create, validate-yaml, preupload (always
"regular") and commit. It lives in the test's own event loop, on a free port of this machine.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.hub import github, models, papers, publishing, viewer

OWNER_TOKEN = "hf_" + "o" * 34
READ_TOKEN = "hf_" + "r" * 34


@dataclass
class Repo:
    """``lfs``: paths that the Hub keeps as large files, known by sha256."""

    id: str
    files: dict[str, bytes] = field(default_factory=dict)
    private: bool = False
    gated: bool = False
    granted: bool = False  # gated, and the accounts of the tokens have been let in
    disabled: bool = False
    tags: list[str] = field(default_factory=list)
    card: dict[str, Any] = field(default_factory=dict)
    description: str = ""
    downloads: int = 0
    modified: str = "2026-01-01T00:00:00.000Z"
    moved_to: str = ""  # renamed: the old name answers with where it is now
    lfs: frozenset[str] = frozenset()
    messages: list[str] = field(default_factory=list)
    history: dict[str, dict[str, bytes]] = field(default_factory=dict)
    pulls: list[publishing.Pull] = field(default_factory=list)
    refs: dict[str, str] = field(default_factory=dict)  # "refs/pr/1" to commit

    @property
    def head(self) -> str:
        return self.keep(self.messages, self.files)

    def keep(self, messages: list[str], files: dict[str, bytes]) -> str:
        """The commit that holds ``files``."""
        body = json.dumps([messages, sorted((p, sha256(c)) for p, c in files.items())])
        oid = hashlib.sha1(body.encode()).hexdigest()
        self.history.setdefault(oid, dict(files))
        return oid

    def info(self, commit: str) -> dict[str, Any]:
        return {
            "_id": "0" * 24, "id": self.id, "modelId": self.id, "sha": commit, "private": self.private,
            "gated": "manual" if self.gated else False, "disabled": self.disabled, "tags": self.tags,
            "cardData": self.card, "description": self.description, "downloads": self.downloads, "likes": 0,
            "lastModified": self.modified,
            "siblings": [self._sibling(path, content) for path, content in self.history[commit].items()],
        }  # fmt: skip

    def _sibling(self, path: str, content: bytes) -> dict[str, Any]:
        sibling: dict[str, Any] = {"rfilename": path, "size": len(content), "blobId": git_oid(content)}
        if path in self.lfs:
            sibling["lfs"] = {"sha256": sha256(content), "size": len(content), "pointerSize": 134}
        return sibling


@dataclass
class Fault:
    """What goes wrong the next ``times`` times that ``method path`` matches ``pattern``.

    ``kind``: "status" (answer with it), "body" (200 and this), "truncate" (half a body), "lost" (done, but the
    connection drops).
    """

    pattern: str
    kind: str = "status"
    status: int = 500
    body: bytes = b""
    times: int = 1
    headers: dict[str, str] = field(default_factory=dict)
    skip: int = 0  # matching requests that still go well before


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def git_oid(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class HubServer:
    """``repos``: (type, id) to repository, type being "dataset", "model" or "space"."""

    def __init__(self) -> None:
        self.repos: dict[tuple[str, str], Repo] = {}
        self.collections: dict[str, publishing.Collection] = {}
        self.faults: list[Fault] = []
        self.requests: list[str] = []
        self.tokens_seen: set[str] = set()
        self.viewer: dict[str, dict[str, Any]] = {}  # data set to the viewer's answers by path
        self.latency_s = 0.0
        self.ranges = True  # whether a part of a file can be had
        self.in_flight = self.most_at_once = self.bytes_sent = 0
        self.url = ""
        self.before_commit: Callable[[Repo], None] | None = (
            None  # called once: what somebody else does meanwhile
        )

    def add(self, kind: str, repo: Repo) -> Repo:
        self.repos[kind, repo.id] = repo
        return repo

    @asynccontextmanager
    async def running(self) -> AsyncIterator[HubServer]:
        app = web.Application(middlewares=[self._middleware], client_max_size=64 << 20)
        api = r"/api/{kind:datasets|models|spaces}"
        repo = api + r"/{owner:[\w.-]+}/{name:[\w.-]+}"
        models.add_routes(app, self)
        papers.add_routes(app, self)
        github.add_routes(app, self)
        app.router.add_get("/api/whoami-v2", self._whoami)
        app.router.add_get(api, self._search)
        app.router.add_get(repo, self._info)
        app.router.add_get(repo + "/revision/{revision:.+}", self._info)
        publishing.add_routes(app, self)
        for prefix in ("/{kind:datasets|spaces}", ""):
            app.router.add_get(
                prefix + r"/{owner:[\w.-]+}/{name:[\w.-]+}/resolve/{revision}/{path:.+}", self._resolve
            )
        viewer.add_routes(app, self)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        try:
            yield self
        finally:
            await runner.cleanup()

    @web.middleware
    async def _middleware(self, request: web.Request, handler: Any) -> web.StreamResponse:
        line = f"{request.method} {request.path}"
        self.requests.append(line)
        if token := request.headers.get("Authorization", "").removeprefix("Bearer "):
            self.tokens_seen.add(token)
        self.in_flight += 1
        self.most_at_once = max(self.most_at_once, self.in_flight)
        try:
            if self.latency_s:
                await asyncio.sleep(self.latency_s)
            return await self._answer(request, handler, self._fault(line))
        finally:
            self.in_flight -= 1

    async def _answer(self, request: web.Request, handler: Any, fault: Fault | None) -> web.StreamResponse:
        if fault and fault.kind == "status":
            return web.json_response({"error": "fault"}, status=fault.status, headers=fault.headers)
        if fault and fault.kind == "body":
            return web.Response(body=fault.body, headers=fault.headers)
        response: web.StreamResponse = await handler(request)
        if isinstance(response, web.Response) and isinstance(response.body, bytes):
            self.bytes_sent += len(response.body)
        if fault and fault.kind == "lost" and request.transport:
            request.transport.abort()
        if fault and fault.kind == "truncate" and isinstance(response, web.Response):
            return await self._half(request, response)
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

    async def _half(self, request: web.Request, response: web.Response) -> web.StreamResponse:
        body = response.body if isinstance(response.body, bytes) else b""
        half = web.StreamResponse(status=response.status, headers=response.headers)
        half.content_length = len(body)
        await half.prepare(request)
        await half.write(body[: len(body) // 2])
        if request.transport:
            request.transport.close()
        return half

    def role(self, request: web.Request) -> str:
        return {f"Bearer {OWNER_TOKEN}": "write", f"Bearer {READ_TOKEN}": "read"}.get(
            request.headers.get("Authorization", ""), ""
        )

    async def _whoami(self, request: web.Request) -> web.Response:
        role = self.role(request)
        if not role:
            return web.json_response({"error": "Invalid credentials in Authorization header"}, status=401)
        orgs = [{"name": "team", "roleInOrg": "write"}, {"name": "readers", "roleInOrg": "read"}]
        return web.json_response({"name": "ada", "orgs": orgs, "auth": {"accessToken": {"role": role}}})

    async def _search(self, request: web.Request) -> web.Response:
        kind = request.match_info["kind"].removesuffix("s")
        words = " ".join(request.query.getall("search", [])).casefold().split()
        filters = {*request.query.getall("filter", [])}
        author, mine = request.query.get("author"), bool(self.role(request))
        found = [
            repo
            for (of, _), repo in self.repos.items()
            if of == kind
            and not repo.moved_to
            and (mine or not repo.private)
            and all(word in repo.id.casefold() for word in words)
            and filters <= {*repo.tags}
            and author in (None, repo.id.partition("/")[0])
        ]
        if request.query.get("sort") == "downloads":
            found.sort(key=lambda repo: -repo.downloads)
        shown = found[: int(request.query.get("limit", "100"))]
        return web.json_response([repo.info(repo.head) for repo in shown])

    @staticmethod
    def no(status: int, code: str) -> web.Response:
        return no(status, code)

    def find(self, request: web.Request) -> tuple[Repo, str] | web.Response:
        """The repository and commit, or the Hub's way of saying no."""
        kind = request.match_info.get("kind", "models").removesuffix("s")
        repo = self.repos.get((kind, f"{request.match_info['owner']}/{request.match_info['name']}"))
        if repo is not None and repo.moved_to:
            there = request.path_qs.replace(repo.id, repo.moved_to, 1)
            return web.Response(status=307, headers={"Location": there})
        if repo is None or (repo.private and not self.role(request)):
            return no(404 if self.role(request) else 401, "RepoNotFound")
        if repo.disabled:
            return no(403, "DisabledRepo", "Access to this resource is disabled.")
        revision = request.match_info.get("revision", "main")
        commit = repo.head if revision == "main" else repo.refs.get(revision, revision)
        if commit not in repo.history:
            return no(404, "RevisionNotFound")
        return repo, commit

    async def _info(self, request: web.Request) -> web.Response:
        found = self.find(request)
        return found if isinstance(found, web.Response) else web.json_response(found[0].info(found[1]))

    async def _resolve(self, request: web.Request) -> web.Response:
        found = self.find(request)
        if isinstance(found, web.Response):
            return found
        repo, commit = found
        if repo.gated and not (repo.granted and self.role(request)):
            return no(403, "GatedRepo")
        path = request.match_info["path"]
        content = repo.history[commit].get(path)
        if content is None:
            return no(404, "EntryNotFound")
        headers = {"X-Repo-Commit": commit, "ETag": f'"{git_oid(content)}"', "Accept-Ranges": "bytes"}
        if path in repo.lfs:
            headers |= {"X-Linked-Etag": f'"{sha256(content)}"', "X-Linked-Size": str(len(content))}
        status = 200
        if self.ranges and (match := re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("Range", ""))):
            start, end = int(match[1]), min(int(match[2] or len(content)), len(content) - 1)
            headers["Content-Range"] = f"bytes {start}-{end}/{len(content)}"
            content, status = content[start : end + 1], 206
        return web.Response(body=content, headers=headers, status=status)


def no(status: int, code: str, message: str = "") -> web.Response:
    headers = {"X-Error-Code": code, "X-Error-Message": message or code}
    return web.json_response({"error": message or code}, status=status, headers=headers)
