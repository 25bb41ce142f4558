"""What the stand-in Hub answers to those who publish: repositories, commits, pull requests, settings, collections."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiohttp import web

if TYPE_CHECKING:
    from tests.hub.server import HubServer, Repo

_AT = "2026-11-28T12:00:00.000Z"
_PREFIX = {"model": "", "space": "spaces/", "dataset": "datasets/"}


@dataclass
class Pull:
    number: int
    title: str
    status: str = "open"


@dataclass
class Collection:
    slug: str
    title: str
    owner: str
    private: bool
    items: list[dict[str, Any]] = field(default_factory=list)

    def body(self) -> dict[str, Any]:
        return {
            "slug": self.slug, "title": self.title, "owner": {"name": self.owner}, "items": self.items,
            "lastUpdated": _AT, "private": self.private, "theme": "blue", "upvotes": 0, "position": 0,
        }  # fmt: skip


def add_routes(app: web.Application, hub: HubServer) -> None:
    answers = Publishing(hub)
    api = r"/api/{kind:datasets|models|spaces}"
    repo = api + r"/{owner:[\w.-]+}/{name:[\w.-]+}"
    collection = r"/api/collections/{slug:[\w.-]+/[\w.-]+}"
    app.router.add_post("/api/repos/create", answers.create)
    app.router.add_delete("/api/repos/delete", answers.delete)
    app.router.add_put(repo + "/settings", answers.settings)
    app.router.add_post("/api/validate-yaml", answers.validate)
    app.router.add_post(repo + "/preupload/{revision}", answers.preupload)
    app.router.add_post(repo + "/commit/{revision}", answers.commit)
    app.router.add_get(repo + "/discussions", answers.discussions)
    app.router.add_post(repo + r"/discussions/{number:\d+}/status", answers.status)
    app.router.add_get("/api/collections", answers.collections)
    app.router.add_post("/api/collections", answers.create_collection)
    app.router.add_get(collection, answers.collection)
    app.router.add_patch(collection, answers.change_collection)
    app.router.add_delete(collection, answers.delete_collection)
    app.router.add_post(collection + "/items", answers.add_item)
    app.router.add_delete(collection + r"/items/{item:\w+}", answers.delete_item)


class Publishing:
    def __init__(self, hub: HubServer) -> None:
        self.hub = hub

    # -- repositories ----------------------------------------------------------------------------------------

    async def create(self, request: web.Request) -> web.Response:
        from tests.hub.server import Repo

        if self.hub.role(request) != "write":
            return web.json_response({"error": "You need write access"}, status=403)
        body = await request.json()
        owner = body.get("organization") or "ada"
        key = (body.get("type") or "model", f"{owner}/{body['name']}")
        if owner not in ("ada", "team"):
            return web.json_response({"error": "You don't have the rights"}, status=403)
        url = {"url": f"{self.hub.url}/{_PREFIX[key[0]]}{key[1]}", "id": key[1]}
        if key in self.hub.repos:
            return web.json_response({"error": "You already created this repo", **url}, status=409)
        private = body.get("visibility") == "private" or bool(body.get("private"))
        self.hub.add(key[0], Repo(key[1], {".gitattributes": b""}, private=private))
        return web.json_response(url)

    async def delete(self, request: web.Request) -> web.Response:
        body = await request.json()
        key = (body.get("type") or "model", f"{body.get('organization') or 'ada'}/{body['name']}")
        if self.hub.role(request) != "write":
            return web.json_response({"error": "You need write access"}, status=403)
        if self.hub.repos.pop(key, None) is None:
            return self.hub.no(404, "RepoNotFound")
        return web.json_response({})

    async def settings(self, request: web.Request) -> web.Response:
        found = self.hub.find(request)
        if isinstance(found, web.Response):
            return found
        if self.hub.role(request) != "write":
            return web.json_response({"error": "You need write access"}, status=403)
        body = await request.json()
        found[0].private = body["visibility"] == "private"
        return web.json_response({"private": found[0].private})

    async def validate(self, request: web.Request) -> web.Response:
        return web.json_response({"errors": [], "warnings": []})

    async def preupload(self, request: web.Request) -> web.Response:
        files = (await request.json())["files"]
        answer = [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in files]
        return web.json_response({"files": answer})

    async def commit(self, request: web.Request) -> web.Response:
        found = self.hub.find(request)
        if isinstance(found, web.Response):
            return found
        repo, head = found
        if self.hub.before_commit:
            self.hub.before_commit(repo)
            self.hub.before_commit, head = None, repo.head
        lines = [json.loads(line) for line in (await request.text()).splitlines() if line.strip()]
        header = next(line["value"] for line in lines if line["key"] == "header")
        if header.get("parentCommit") not in (None, head):
            return web.json_response({"error": "A commit has happened since."}, status=412)
        answer: dict[str, Any] = {"success": True}
        if request.query.get("create_pr") == "1":
            number = len(repo.pulls) + 1
            files = {**repo.files, **_added(lines)}
            oid = repo.keep([*repo.messages, header["summary"]], files)
            repo.pulls.append(Pull(number, header["summary"]))
            repo.refs[f"refs/pr/{number}"] = oid
            answer["pullRequestUrl"] = f"{self.hub.url}/{repo.id}/discussions/{number}"
        else:
            repo.files |= _added(lines)
            for line in lines:
                if line["key"] == "deletedFile":
                    del repo.files[line["value"]["path"]]
            repo.messages.append(header["summary"])
            oid = repo.head
        return web.json_response(
            {**answer, "commitOid": oid, "commitUrl": f"{self.hub.url}/{repo.id}/commit/{oid}"}
        )

    # -- pull requests ---------------------------------------------------------------------------------------

    async def discussions(self, request: web.Request) -> web.Response:
        found = self.hub.find(request)
        if isinstance(found, web.Response):
            return found
        repo, kind = found[0], request.match_info["kind"].removesuffix("s")
        listed = [
            {
                "title": p.title, "num": p.number, "author": {"name": "ada"}, "createdAt": _AT, "status": p.status,
                "repo": {"name": repo.id, "type": kind}, "isPullRequest": True,
            }
            for p in repo.pulls
        ]  # fmt: skip
        return web.json_response({"count": len(listed), "start": 0, "discussions": listed})

    async def status(self, request: web.Request) -> web.Response:
        found = self.hub.find(request)
        if isinstance(found, web.Response):
            return found
        pull = found[0].pulls[int(request.match_info["number"]) - 1]
        pull.status = (await request.json())["status"]
        event = {
            "id": "1", "type": "status-change", "createdAt": _AT, "author": {"name": "ada"},
            "data": {"status": pull.status},
        }  # fmt: skip
        return web.json_response({"newStatus": event})

    # -- collections -----------------------------------------------------------------------------------------

    def _collection(self, request: web.Request) -> Collection | None:
        found = self.hub.collections.get(request.match_info["slug"])
        return found if found and (not found.private or self.hub.role(request)) else None

    async def collections(self, request: web.Request) -> web.Response:
        owner = request.query.get("owner")
        mine = [c.body() for c in self.hub.collections.values() if c.owner == owner]
        return web.json_response([c for c in mine if not c["private"] or self.hub.role(request)])

    async def create_collection(self, request: web.Request) -> web.Response:
        body = await request.json()
        slug = f"{body['namespace']}/{body['title'].replace(' ', '-')}-0123456789abcdef01234567"
        if slug in self.hub.collections:
            return web.json_response({"error": "It exists.", "slug": slug}, status=409)
        made = Collection(slug, body["title"], body["namespace"], bool(body.get("private")))
        self.hub.collections[slug] = made
        return web.json_response(made.body())

    async def collection(self, request: web.Request) -> web.Response:
        found = self._collection(request)
        return web.json_response(found.body()) if found else self.hub.no(404, "")

    async def change_collection(self, request: web.Request) -> web.Response:
        found = self._collection(request)
        if found is None:
            return self.hub.no(404, "")
        found.private = bool((await request.json()).get("private", found.private))
        return web.json_response({"data": found.body()})

    async def delete_collection(self, request: web.Request) -> web.Response:
        if self.hub.collections.pop(request.match_info["slug"], None) is None:
            return self.hub.no(404, "")
        return web.json_response({})

    async def add_item(self, request: web.Request) -> web.Response:
        found, item = self._collection(request), (await request.json())["item"]
        if found is None:
            return self.hub.no(404, "")
        if any((i["type"], i["id"]) == (item["type"], item["id"]) for i in found.items):
            return web.json_response({"error": "It is in there."}, status=409)
        number = f"item{len(found.items)}"
        found.items.append(
            {"_id": number, "id": item["id"], "type": item["type"], "position": len(found.items)}
        )
        return web.json_response(found.body())

    async def delete_item(self, request: web.Request) -> web.Response:
        found = self._collection(request)
        if found is None:
            return self.hub.no(404, "")
        found.items = [i for i in found.items if i["_id"] != request.match_info["item"]]
        return web.json_response({})


def _added(lines: list[dict[str, Any]]) -> dict[str, bytes]:
    files = (line["value"] for line in lines if line["key"] == "file")
    return {file["path"]: base64.b64decode(file["content"]) for file in files}


def seen_by_everyone(hub: HubServer) -> dict[tuple[str, str], Repo]:
    """The repositories that somebody without a token sees."""
    return {key: repo for key, repo in hub.repos.items() if not repo.private}
