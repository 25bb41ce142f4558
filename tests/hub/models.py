"""Models on the stand-in: their pages, and search by tags (``filter``), words and how many, with what ``expand`` adds.

A model's ``config`` is that of its ``config.json``; ``card`` may hold ``parameters`` (a count) and ``model-index``.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from aiohttp import web

if TYPE_CHECKING:
    from tests.hub.server import HubServer, Repo


def add_routes(app: web.Application, hub: HubServer) -> None:
    async def search(request: web.Request) -> web.Response:
        words = " ".join(request.query.getall("search", [])).casefold().split()
        wanted = set(request.query.getall("filter", []))
        found = [
            repo
            for (kind, _), repo in hub.repos.items()
            if kind == "model"
            and not repo.private
            and wanted <= set(repo.tags)
            and all(w in repo.id.casefold() for w in words)
        ]
        if request.query.get("sort") == "downloads":
            found.sort(key=lambda repo: -repo.downloads)
        found = found[: int(request.query.get("limit", "100"))]
        return web.json_response([_info(repo, repo.head) for repo in found])

    async def info(request: web.Request) -> web.Response:
        found = hub.find(request)
        return found if isinstance(found, web.Response) else web.json_response(_info(*found))

    app.router.add_get("/api/models", search)
    for end in ("", "/revision/{revision:.+}"):
        app.router.add_get(r"/api/models/{owner:[\w.-]+}/{name:[\w.-]+}" + end, info)


def _info(repo: Repo, commit: str) -> dict[str, Any]:
    more: dict[str, Any] = {"model-index": repo.card.get("model-index")}
    try:
        config = json.loads(repo.files.get("config.json", b"{}"))
    except ValueError:
        config = {}
    more["config"] = {key: config[key] for key in ("architectures", "model_type") if key in config}
    if count := repo.card.get("parameters"):
        more["safetensors"] = {"parameters": {"F32": count}, "total": count}
    return repo.info(commit) | more
