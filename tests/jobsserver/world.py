"""The stand-in with a backend that talks to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from pydantic import SecretStr

from remote.backends.hf_jobs import BUCKET, HfJobsBackend
from tests.jobsserver.server import OWNER, OWNER_TOKEN, JobsServer


@dataclass
class HfWorld:
    """A stand-in with a backend that talks to it. The backend's waits are noted, and last only while a job might
    do something meanwhile."""

    server: JobsServer
    home: Path
    waited: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.backend = self.another()

    def another(
        self,
        token: str | None = OWNER_TOKEN,
        *,
        home: Path | None = None,
        url: str | None = None,
        requirements: tuple[str, ...] = (),
        snapshot_every_s: float = 60.0,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> HfJobsBackend:
        """As in another process, or on another machine (``home``): it knows nothing of the first."""
        return HfJobsBackend(
            SecretStr(token) if token is not None else None,
            url or self.server.url,
            home or self.home,
            requirements=requirements,
            snapshot_every_s=snapshot_every_s,
            probe_timeout_s=1.0,
            silence_s=0.2,
            clock=clock,
            sleep=self.sleep,
        )

    async def sleep(self, seconds: float) -> None:
        self.waited.append(seconds)
        open_jobs = [job for job in self.server.jobs.values() if not job.over]
        changes = [asyncio.ensure_future(job.changed.wait()) for job in open_jobs]
        if changes:
            await asyncio.wait(changes, timeout=min(seconds, 1.0), return_when=asyncio.FIRST_COMPLETED)
        for change in changes:
            change.cancel()
        await asyncio.sleep(0)

    def tamper(self, key: str, path: str, data: bytes | None) -> None:
        self.server.buckets.tamper(key, path, data)

    @property
    def bucket(self) -> str:
        return f"{OWNER}/{BUCKET}"

    @property
    def files(self) -> dict[str, tuple[str, int]]:
        """Of the backend's bucket: path -> (storage hash, bytes)."""
        return self.server.buckets.files[self.bucket]


@asynccontextmanager
async def hf_world(folder: Path) -> AsyncIterator[HfWorld]:
    async with JobsServer(folder / "server").running() as server:
        yield HfWorld(server, folder / "home")
