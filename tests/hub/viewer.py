"""The data-set viewer's answers, below ``/viewer`` of the tests' Hub: what stands in ``hub.viewer``, or the way in
which the real one says that it has none. Also whether an account may read a data set.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from tests.hub.server import HubServer


def add_routes(app: web.Application, hub: HubServer) -> None:
    async def answer(request: web.Request) -> web.Response:
        repo = hub.repos.get(("dataset", request.query.get("dataset", "")))
        if repo is not None and not _open(repo.private, repo.gated, repo.granted, bool(hub.role(request))):
            headers = {"X-Error-Code": "ExternalUnauthenticatedError"}
            return web.json_response({"error": "The dataset does not exist."}, status=401, headers=headers)
        known = hub.viewer.get(request.query.get("dataset", ""), {})
        found = known.get(request.match_info["what"])
        if found is None:
            headers = {"X-Error-Code": "ResponseNotFound"}
            return web.json_response({"error": "Not found."}, status=404, headers=headers)
        if isinstance(found, bytes):
            return web.Response(body=found, content_type="application/json")
        return web.json_response(found)

    async def auth_check(request: web.Request) -> web.Response:
        found = hub.find(request)
        if isinstance(found, web.Response):
            return found
        repo, _ = found
        if not _open(repo.private, repo.gated, repo.granted, bool(hub.role(request))):
            return hub.no(403, "GatedRepo")
        return web.json_response({})

    app.router.add_get("/viewer/{what:[a-z-]+}", answer)
    app.router.add_get(r"/api/{kind:datasets}/{owner:[\w.-]+}/{name:[\w.-]+}/auth-check", auth_check)


def _open(private: bool, gated: bool, granted: bool, known: bool) -> bool:
    return not (private and not known) and not (gated and not (granted and known))
