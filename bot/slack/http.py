"""Slack over HTTP: signed requests at ``/slack/events``, the pages of OAuth where they are on, and ``/healthz``.

The signature is checked before anything is parsed: Bolt parses first, and what a stranger sends must not get that far.
Source: https://docs.slack.dev/authentication/verifying-requests-from-slack.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web
from slack_bolt.adapter.aiohttp import to_aiohttp_response, to_bolt_request
from slack_bolt.async_app import AsyncApp, AsyncBoltRequest
from slack_bolt.oauth.async_oauth_flow import AsyncOAuthFlow
from slack_bolt.response import BoltResponse
from slack_sdk.signature import SignatureVerifier

from bot.chat.feed import SurfaceDown
from bot.errors import UsageError
from bot.slack.errors import translated

log = logging.getLogger(__name__)

EVENTS_PATH = "/slack/events"  # for events, commands, clicks and forms alike
MAX_BODY_BYTES = 4 << 20
Handler = Callable[[web.Request], Awaitable[web.Response]]


@asynccontextmanager
async def serving(bolt: AsyncApp, signing_secret: str, port: int) -> AsyncIterator[int]:
    """Gives the port: a free one, where ``port`` is 0. Raises UsageError where it cannot be listened on."""
    # No access log: the address that ends an installation carries a code.
    runner = web.AppRunner(application(bolt, signing_secret), access_log=None)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, None, port).start()
        except OSError as error:
            raise UsageError(f"Port {port} cannot be listened on: set PORT to a free one.") from error
        # Where the port was to be a free one, IPv4 and IPv6 have each their own: the first is what people try.
        yield min((address for address in runner.addresses), key=len)[1]
    finally:
        await runner.cleanup()


def application(bolt: AsyncApp, signing_secret: str) -> web.Application:
    verifier = SignatureVerifier(signing_secret)

    async def events(request: web.Request) -> web.Response:
        body = await _signed(request, verifier)
        if body is None:
            return web.Response(status=401, text="The signature does not fit.")
        try:
            asked = AsyncBoltRequest(body=body, query=request.query_string, headers=dict(request.headers))
        except ValueError:
            return web.Response(status=400, text="That is no JSON.")
        return await to_aiohttp_response(await bolt.async_dispatch(asked))

    async def health(request: web.Request) -> web.Response:
        return web.Response(text="ok")

    made = web.Application(client_max_size=MAX_BODY_BYTES)
    made.add_routes([web.post(EVENTS_PATH, events), web.get("/healthz", health)])
    flow = bolt.oauth_flow
    if flow is not None:
        made.add_routes([web.get(flow.install_path, _page(flow, flow.handle_installation))])
        made.add_routes([web.get(flow.redirect_uri_path, _page(flow, flow.handle_callback))])
    return made


async def _signed(request: web.Request, verifier: SignatureVerifier) -> str | None:
    """The body, if Slack signed it within the last five minutes."""
    try:
        body = (await request.read()).decode()
        fits = verifier.is_valid_request(body, dict(request.headers))
    except (ValueError, TypeError):  # no UTF-8, a time that is no number, a signature that is no ASCII
        fits = False
    if not fits:
        log.warning("slack: a request whose signature does not fit was refused")
        return None
    return body


def _page(flow: AsyncOAuthFlow, handle: Callable[[AsyncBoltRequest], Awaitable[BoltResponse]]) -> Handler:
    async def page(request: web.Request) -> web.Response:
        try:
            with translated("the installation"):
                return await to_aiohttp_response(await handle(await to_bolt_request(request)))
        except SurfaceDown as error:
            log.warning("slack: %s", error)
            text = f"Slack cannot be reached now: go back to {flow.install_path} in a minute."
            return web.Response(status=503, text=text)

    return page
