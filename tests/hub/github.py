"""GitHub's API on the stand-in: the licence of a repository of the kind "github", whose ``card["spdx"]`` it is.

One that was renamed (``moved_to``) answers with another address, as GitHub does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from tests.hub.server import HubServer


def add_routes(app: web.Application, hub: HubServer) -> None:
    async def licence(request: web.Request) -> web.Response:
        repo = hub.repos.get(("github", f"{request.match_info['owner']}/{request.match_info['name']}"))
        if repo is not None and repo.moved_to:
            return web.json_response({"message": "Moved"}, status=301, headers={"Location": repo.moved_to})
        if repo is None or "spdx" not in repo.card:
            return web.json_response({"message": "Not Found"}, status=404)
        return web.json_response(
            {"name": "LICENSE", "content": "TWl0", "license": {"key": "x", "spdx_id": repo.card["spdx"]}}
        )

    app.router.add_get(r"/repos/{owner:[\w.-]+}/{name:[\w.-]+}/license", licence)
