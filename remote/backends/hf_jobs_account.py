"""One account at Hugging Face and its jobs: found by their key, inspected, stopped."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from remote.backends.hf_jobs_client import Client, HubFault

if TYPE_CHECKING:
    from huggingface_hub import HfApi, JobInfo

TERMINAL = frozenset({"COMPLETED", "CANCELED", "ERROR", "DELETED"})
KEY_LABEL = "ml-intern-key"
_END_WAIT_S = (0.1, 0.2, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)  # for the provider to see that a job has ended


def digest(key: str) -> str:
    """A key as a label's value, which may hold letters, digits, '-' and '_' only."""
    return hashlib.sha256(key.encode()).hexdigest()[:40]


def over(job: JobInfo) -> bool:
    return job.status.stage in TERMINAL


def deleted(job: JobInfo) -> JobInfo:
    """``job`` as one that the provider no longer knows."""
    from huggingface_hub import JobStage, JobStatus

    gone = copy.copy(job)
    gone.status = JobStatus(JobStage.DELETED, None, None, None)
    return gone


class Account:
    """``namespace`` pays; ``None`` is the token's own account, which is asked for when it is needed. Every
    method raises HubFault."""

    def __init__(self, client: Client, namespace: str | None, clock: Callable[[], datetime]) -> None:
        self.client = client
        self.namespace = namespace
        self._clock = clock
        self._ids: dict[str, str] = {}  # key -> the provider's id; looked up when it is not here

    async def owner(self) -> str:
        if self.namespace is None:
            who: dict[str, Any] = await self.client.call(lambda api: api.whoami())
            self.namespace = str(who["name"])
        return self.namespace

    async def listed(self, labels: Mapping[str, str], stages: list[str] | None = None) -> list[JobInfo]:
        namespace = await self.owner()

        def listing(api: HfApi) -> list[JobInfo]:
            # This method does not look at the api's own token.
            found = api.list_jobs(labels=dict(labels), status=stages, namespace=namespace, token=api.token)
            return list(found)

        return await self.client.call(listing)

    async def lookup(self, key: str) -> JobInfo | None:
        """The job with this key: the oldest one, so that every submitter sees the same."""
        found = await self.listed({KEY_LABEL: digest(key)})
        first = min(found, key=lambda job: (job.created_at or self._clock(), job.id), default=None)
        if first is not None:
            self._ids[key] = first.id
        return first

    async def find(self, key: str) -> JobInfo | None:
        """As :meth:`lookup`, by the provider's id where it is known."""
        job = await self.inspect(self._ids[key]) if key in self._ids else None
        return job if job is not None else await self.lookup(key)

    async def inspect(self, job_id: str) -> JobInfo | None:
        namespace = await self.owner()
        try:
            return await self.client.call(lambda api: api.inspect_job(job_id=job_id, namespace=namespace))
        except HubFault as failed:
            if failed.fault.status == 404:
                return None
            raise

    async def now(self, job: JobInfo) -> JobInfo:
        found = await self.inspect(job.id)
        return found if found is not None else deleted(job)

    async def end_of(self, job: JobInfo) -> JobInfo:
        """The job as it is when the provider has noticed its end, or after a minute."""
        now = await self.now(job)
        for pause_s in _END_WAIT_S:
            if over(now):
                break
            await self.client.sleep(pause_s)
            now = await self.now(job)
        return now

    async def stop(self, job: JobInfo) -> None:
        """Harmless where it has ended in the same moment."""
        namespace = await self.owner()
        try:
            await self.client.call(lambda api: api.cancel_job(job_id=job.id, namespace=namespace))
        except HubFault:
            if not over(await self.now(job)):
                raise

    async def unlabel(self, job: JobInfo, key: str) -> None:
        """The provider keeps its record of a job for ever; without its label it is found no more."""
        namespace = await self.owner()
        labels = {f"{KEY_LABEL}-forgotten": digest(key)}
        await self.client.call(
            lambda api: api.update_job_labels(job_id=job.id, labels=labels, namespace=namespace)
        )
        self._ids.pop(key, None)
