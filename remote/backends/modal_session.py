"""The connection to a Modal workspace, and the few things that every call needs: app, volumes, image, sandboxes.

Each is looked up once for a backend; ``modal`` is imported here, inside functions, and nowhere at import.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pydantic import SecretStr

from remote.backends import modal_image
from remote.backends.modal_errors import Deadlines, calling
from remote.backends.modal_store import Store

if TYPE_CHECKING:
    import modal


class Session:
    """Opened by its first use. Every method raises :class:`remote.backends.modal_errors.Refusal`."""

    def __init__(
        self,
        app_name: str,
        token_id: SecretStr | None,
        token_secret: SecretStr | None,
        deadlines: Deadlines,
    ) -> None:
        self._app_name = app_name
        self._token_id = token_id
        self._token_secret = token_secret
        self._deadlines = deadlines
        self._client: modal.Client | None = None
        self._app: modal.App | None = None
        self._store: Store | None = None
        self._image: modal.Image | None = None
        self._turns = {name: asyncio.Lock() for name in ("client", "app", "store", "image")}

    async def aclose(self) -> None:
        client, self._client = self._client, None
        self._app = self._store = self._image = None
        if client is not None:
            await client.close.aio()

    async def client(self) -> modal.Client:
        """With the token that was given, else with Modal's own variables and file."""
        import modal

        async with self._turns["client"]:
            if self._client is None:
                async with calling("connecting", self._deadlines.call_s):
                    if self._token_id and self._token_secret:
                        token = self._token_id.get_secret_value(), self._token_secret.get_secret_value()
                        self._client = await modal.Client.from_credentials.aio(*token)
                    else:
                        self._client = await modal.Client.from_env.aio()
            return self._client

    async def app(self) -> modal.App:
        import modal

        client = await self.client()
        async with self._turns["app"]:
            if self._app is None:
                async with calling("looking up the app", self._deadlines.call_s):
                    self._app = await modal.App.lookup.aio(
                        self._app_name, client=client, create_if_missing=True
                    )
            return self._app

    async def store(self) -> Store:
        import modal

        client = await self.client()
        async with self._turns["store"]:
            if self._store is None:
                jobs, shared = (
                    modal.Volume.from_name(
                        f"{self._app_name}-{name}", create_if_missing=True, version=2, client=client
                    )
                    for name in ("jobs", "shared")
                )
                async with calling("opening the volumes", self._deadlines.call_s):
                    await jobs.hydrate.aio()
                    await shared.hydrate.aio()
                self._store = Store(jobs, shared)
            return self._store

    async def image(self) -> modal.Image:
        """Built; the first time for a set of pins this takes minutes."""
        app = await self.app()
        async with self._turns["image"]:
            if self._image is None:
                async with calling("building the image", self._deadlines.build_s):
                    self._image = await modal_image.image().build.aio(app)
            return self._image

    async def sandbox(self, sandbox_id: str) -> modal.Sandbox:
        """With its result, if it has ended."""
        import modal

        client = await self.client()
        async with calling("looking at the job's sandbox", self._deadlines.call_s):
            return await modal.Sandbox.from_id.aio(sandbox_id, client=client)

    async def running(self, name: str) -> str | None:
        """The id of the running sandbox of that name."""
        import modal

        client = await self.client()
        async with calling("looking for the job's sandbox", self._deadlines.call_s):
            try:
                found = await modal.Sandbox.from_name.aio(self._app_name, name, client=client)
            except modal.exception.NotFoundError:
                return None
            return found.object_id

    async def all_running(self) -> list[tuple[dict[str, str], modal.Sandbox]]:
        """Every running sandbox of the app with its tags."""
        import modal

        client, app = await self.client(), await self.app()
        async with calling("listing sandboxes", self._deadlines.call_s):
            running = modal.Sandbox.list.aio(app_id=app.app_id, client=client)
            return [(await sandbox.get_tags.aio(), sandbox) async for sandbox in running]

    async def stop(self, sandbox: modal.Sandbox) -> None:
        """Returns when it has stopped."""
        async with calling("stopping a sandbox", self._deadlines.call_s):
            await sandbox.terminate.aio(wait=True)
