"""Papers on the stand-in: the Hub's paper pages, and arXiv's API and files, as the real clients ask for them.

A paper is a repository of the kind "paper": its id is arXiv's, ``files["paper.pdf"]`` the file, ``card`` its title and
``licence`` (an address).
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from aiohttp import web

if TYPE_CHECKING:
    from tests.hub.server import HubServer, Repo

_FEED = '<?xml version="1.0" encoding="UTF-8"?><feed xmlns="http://www.w3.org/2005/Atom"><title>Query</title>{}</feed>'
_ENTRY = (
    '<entry><id>http://arxiv.org/abs/{id}v1</id><title>{title}</title>'
    '<license xmlns="http://arxiv.org/schemas/atom">{licence}</license></entry>'
)  # fmt: skip


def add_routes(app: web.Application, hub: HubServer) -> None:
    def papers() -> list[Repo]:
        return [repo for (kind, _), repo in hub.repos.items() if kind == "paper"]

    async def search(request: web.Request) -> web.Response:
        words = request.query.get("q", "").casefold().split()
        found = [
            _info(p) for p in papers() if any(w in str(p.card.get("title", "")).casefold() for w in words)
        ]
        return web.json_response(found[: int(request.query.get("limit", "20"))])

    async def info(request: web.Request) -> web.Response:
        paper = hub.repos.get(("paper", request.match_info["id"]))
        return (
            web.json_response(_info(paper))
            if paper
            else web.json_response({"error": "Not found"}, status=404)
        )

    async def query(request: web.Request) -> web.Response:
        paper = hub.repos.get(("paper", request.query.get("id_list", "")))
        entry = ""
        if paper:
            entry = _ENTRY.format(
                id=paper.id,
                title=escape(str(paper.card.get("title", ""))),
                licence=paper.card.get("licence", ""),
            )
        return web.Response(text=_FEED.format(entry), content_type="application/atom+xml")

    async def pdf(request: web.Request) -> web.Response:
        paper = hub.repos.get(("paper", request.match_info["id"]))
        if paper is None:
            return web.Response(status=404, text="no such paper")
        return web.Response(body=paper.files["paper.pdf"], content_type="application/pdf")

    app.router.add_get("/api/papers/search", search)
    app.router.add_get("/api/papers/{id}", info)
    app.router.add_get("/api/query", query)
    app.router.add_get("/pdf/{id:.+}", pdf)


def _info(paper: Repo) -> dict[str, Any]:
    return {"paper": {"id": paper.id, "summary": paper.description}, "title": paper.card.get("title", "")}
