"""Hugging Face Jobs as a backend, through huggingface_hub's own client.

How a job gets there and back:

- **A private bucket, mounted.** Inputs travel as one archive (:mod:`remote.backends.hf_jobs_pack`) into a bucket
  that the platform mounts into the job, read-only; what the job leaves returns through a second mount. Of the
  documented ways this is the only one for which **the job needs no secret**: a repository would have to be
  written by the job with a token that may write, next to a training script that nobody trusts. So nothing is
  passed in ``secrets=``, and in ``env=`` only the job's key.
- **The log is the event stream** (:mod:`remote.backends.hf_jobs_lines`): the provider keeps it and gives it from
  its first line to whoever asks, so another process re-attaches by reading it again.
- **One job a key.** The API has no idempotency key, so the key's digest is a label. A submit looks for it before
  it creates; a create whose answer was lost is looked for and never repeated; where two machines were at it in
  the same moment, both see two jobs, keep the older and stop the younger.
- **A reference is the key**, not the provider's id: after a crash between create and record it is all we have.

The network of a job cannot be closed at this provider. What a job could give away are its own inputs, and an
offer says so (``isolation``). The job's time limit is held inside it (:mod:`remote.backends.hf_jobs_inside`); the
provider's own limit, which would be 30 minutes if nobody named one, stands behind it with room for set-up and
saving.
"""

from __future__ import annotations

import asyncio
import fcntl
import re
import secrets
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from remote import prices
from remote.backend import (
    ArtifactError,
    BackendError,
    Health,
    JobNotFound,
    JobRef,
    JobSpec,
    Need,
    Offer,
    Reason,
)
from remote.backends import hf_jobs_errors as errors
from remote.backends import hf_jobs_offers as hardware
from remote.backends.hf_jobs_account import KEY_LABEL, Account, digest, over
from remote.backends.hf_jobs_client import MAX_WAIT_S, Client, HubFault, Sleep, as_backend_error
from remote.backends.hf_jobs_errors import Fault
from remote.backends.hf_jobs_follow import Follower
from remote.backends.hf_jobs_inside import SETUP_TIMEOUT_S, Settings
from remote.backends.hf_jobs_store import BUNDLE, Bucket, build_bundle
from remote.protocol import FailureKind, JobEvent
from remote.sandbox import artifacts, machine
from remote.sandbox.folder import KEY, job_json, write_atomic

if TYPE_CHECKING:
    from huggingface_hub import HfApi, JobInfo

IMAGE = "ghcr.io/astral-sh/uv:python3.12-bookworm"  # the client's own choice for Python scripts; it has uv
BUCKET = "ml-intern-jobs"
MOUNT_IN, MOUNT_OUT = "/intern/in", "/intern/out"
SAVE_TIMEOUT_S = 300.0
_PRICES_TIMEOUT_S = 10.0
_RETRIES_S = (0.5, 2.0, 5.0)  # of a create that was refused, and between looks for one that was not answered
_SAVED_WAIT_S = (1.0, 2.0, 5.0, 10.0, 20.0, 30.0)  # for a snapshot to leave the mount
_LOCK_POLL_S = 0.05
_LABEL, _RUN_LABEL = "ml-intern", "ml-intern-run"
_KEY_VARIABLE = "INTERN_JOB_KEY"


def _utc_now() -> datetime:
    return datetime.now(UTC)


class HfJobsBackend:
    """``home`` is ``INTERN_HOME``; ``namespace`` pays for the jobs (default: the token's own account).
    ``requirements`` are what the image lacks (``name==version``; default: the extra ``train``, pinned to what is
    installed here). After ``silence_s`` without a line of its log a job is looked at. ``sleep`` waits; ``new_id``
    names this installation, once. ``corrections``: what finished runs measured, asked for at every offer."""

    name = hardware.BACKEND

    def __init__(
        self,
        token: SecretStr | None,
        endpoint: str | None,
        home: Path,
        *,
        namespace: str | None = None,
        image: str = IMAGE,
        requirements: Sequence[str] | None = None,
        snapshot_every_s: float = 60.0,
        probe_timeout_s: float = 4.5,
        silence_s: float = 10.0,
        clock: Callable[[], datetime] = _utc_now,
        sleep: Sleep = asyncio.sleep,
        new_id: Callable[[], str] = lambda: secrets.token_hex(8),
        corrections: prices.Corrections = dict,
    ) -> None:
        self._client = Client(token, endpoint, sleep, silence_s)
        self._account = Account(self._client, namespace, clock)
        self._home = home.absolute() / "hf_jobs"
        self._image = image
        self._requirements = requirements
        self._snapshot_every_s = snapshot_every_s
        self._probe_timeout_s = probe_timeout_s
        self._clock = clock
        self._sleep = sleep
        self._new_id = new_id
        self._corrections = corrections

    async def probe(self) -> Health:
        """Asks whose the token is and whether its jobs may be listed."""
        if not self._client.has_token:
            return errors.no_token().health()
        try:
            async with asyncio.timeout(self._probe_timeout_s):
                return await self._probe()
        except HubFault as failed:
            return failed.fault.health()
        except TimeoutError as error:
            return errors.explain(error).health()

    async def _probe(self) -> Health:
        def look(api: HfApi) -> tuple[str, str]:
            who: Mapping[str, Any] = api.whoami()
            namespace = self._account.namespace or str(who["name"])
            role = str(((who.get("auth") or {}).get("accessToken") or {}).get("role"))
            if role != "read":
                jobs = api.list_jobs(namespace=namespace, token=api.token)
                next(iter(jobs), None)
            return namespace, role

        namespace, role = await self._client.once(look)
        if role == "read":
            hint = errors.HINTS[Reason.DENIED]
            raise HubFault(Fault(Reason.DENIED, "The Hugging Face token may only read.", hint, True))
        self._account.namespace = namespace
        return Health(True, detail=f"Hugging Face Jobs, paid by {namespace}", isolation=hardware.ISOLATION)

    async def offers(self, need: Need, estimated_s: float) -> list[Offer]:
        """With live prices; where they cannot be had, with those of ``prices.toml`` and their date."""
        catalogue, cores = await self._catalogue(), machine.cpus()
        corrections = await asyncio.to_thread(self._corrections)
        return hardware.offers(catalogue, need, estimated_s, reference_cores=cores, corrections=corrections)

    async def _catalogue(self) -> hardware.Catalogue:
        today = self._clock().date().isoformat()
        try:
            return await self._client.once(
                lambda api: hardware.live(api.list_jobs_hardware(), today), _PRICES_TIMEOUT_S
            )
        except HubFault:
            return hardware.table()

    async def submit(self, job: JobSpec) -> JobRef:
        """Errors: ``data_error`` (bad key, chain or input), ``no_token``, ``no_credit``, ``denied``,
        ``no_capacity`` (no machine of this kind), ``unreachable``, ``no_disk``."""
        _check(job)
        with as_backend_error():
            self._need_token()
            if await self._account.lookup(job.key) is None:
                async with self._alone(job.key):
                    if await self._account.lookup(job.key) is None:
                        await self._create(job)
        return JobRef(self.name, job.key)

    async def _create(self, job: JobSpec) -> None:
        flavor = hardware.choose((await self._catalogue()).flavors, job.need)
        if flavor is None:
            detail = f"Hugging Face has no machine with {job.need.gpu or 'this much memory'}."
            raise BackendError(FailureKind.NO_CAPACITY, detail, "Choose other hardware.")
        bucket, namespace = await self._bucket(), await self._account.owner()
        with tempfile.TemporaryDirectory(prefix="bundle-", dir=self._folder()) as scratch:
            bundle = await asyncio.to_thread(build_bundle, job, Path(scratch))
            await bucket.send(job.key, bundle)
        settings = Settings(
            need=job.need,
            programs=tuple(program.name for program in job.programs),
            out=MOUNT_OUT,
            requirements=tuple(self._pinned()),
            snapshot_every_s=self._snapshot_every_s,
        )
        labels = {_LABEL: self._installation(), KEY_LABEL: digest(job.key), _RUN_LABEL: _word(job.run_id)}
        volumes = bucket.volumes(job.key, MOUNT_IN, MOUNT_OUT)

        def run(api: HfApi) -> JobInfo:
            return api.run_job(
                image=self._image,
                command=["python", f"{MOUNT_IN}/{BUNDLE}", settings.encode()],
                env={_KEY_VARIABLE: job.key},
                flavor=flavor.name,
                timeout=int(job.need.timeout_s + SETUP_TIMEOUT_S + SAVE_TIMEOUT_S),
                name=_word(job.key),
                labels=labels,
                volumes=volumes,
                namespace=namespace,
            )

        await self._run_once(job.key, run)

    async def _run_once(self, key: str, run: Callable[[HfApi], JobInfo]) -> None:
        """Create the job. What was refused for the moment is asked for again; what was not answered is looked
        for, and where it is not found, left to the next submit. Raises HubFault."""
        for pause_s in (*_RETRIES_S, None):
            try:
                created = await self._client.once(run)
            except HubFault as failed:
                fault = failed.fault
                if fault.retry_after_s is None or fault.retry_after_s > MAX_WAIT_S:
                    raise
                if fault.status != 429 and await self._landed(key, fault.answered):
                    return
                if not fault.answered or pause_s is None:
                    raise
                await self._sleep(max(pause_s, fault.retry_after_s))
            else:
                first = await self._account.lookup(key)
                if first is not None and first.id != created.id:  # another machine was quicker
                    await self._account.stop(created)
                return

    async def _landed(self, key: str, answered: bool) -> bool:
        """Whether a create without a good answer has made the job after all. A server that did answer is done
        with the request, so that one look is enough."""
        for pause_s in () if answered else _RETRIES_S:
            if await self._account.lookup(key) is not None:
                return True
            await self._sleep(pause_s)
        return await self._account.lookup(key) is not None

    async def events(self, ref: JobRef, after: int = -1) -> AsyncGenerator[JobEvent, None]:
        with as_backend_error():
            follower = Follower(self._account, await self._found(ref), self._clock)
            async with aclosing(follower.events()) as events:
                async for together in events:
                    for event in together:
                        if event.seq > after:
                            yield event
            last = follower.last_word()
            if last is not None and last.seq > after:
                yield last

    async def cancel(self, ref: JobRef) -> None:
        """Returns when the provider says that the job has stopped."""
        with as_backend_error():
            job = await self._found(ref)
            if over(job):
                return
            await self._account.stop(job)
            if over(await self._account.end_of(job)):
                return
        detail = f"Hugging Face has not stopped the job {ref.id!r} yet."
        raise BackendError(FailureKind.UNKNOWN, detail, "Stop it on its page on the Hub, then try again.")

    async def fetch(self, ref: JobRef, into: Path) -> None:
        """sha256 is enforced for a job that ended in a result; of another one the last snapshot is taken."""
        with as_backend_error():
            job = await self._found(ref)
            if not over(job):
                detail = f"The job {ref.id!r} is still running."
                raise BackendError(FailureKind.UNKNOWN, detail, "Wait for its end, or cancel it.")
            follower = Follower(self._account, job, self._clock)
            async with aclosing(follower.events()) as events:
                async for _ in events:
                    pass
            reader, well, bucket = follower.reader, follower.went_well, await self._bucket()
            name = await self._snapshot(bucket, ref.id, reader.saved)
            if name is None and well:
                detail = "The job's files did not arrive in its bucket."
                raise ArtifactError(FailureKind.SCRIPT_ERROR, detail, "Try again; else run the job again.")
            await asyncio.to_thread(into.mkdir, parents=True, exist_ok=True)
            if name is not None:
                with tempfile.TemporaryDirectory(prefix="fetch-", dir=self._folder()) as scratch:
                    out = await bucket.bring(ref.id, name, Path(scratch), _may_write_bytes(job))
                    announced = reader.shas if well else {}
                    await asyncio.to_thread(artifacts.fetch, out, into, announced, unfinished=not well)

    async def _snapshot(self, bucket: Bucket, key: str, expected: str | None) -> str | None:
        """The last snapshot in the bucket; one that the log promises is waited for."""
        names: Collection[str] = ()
        for pause_s in (0.0, *_SAVED_WAIT_S):
            if pause_s:
                await self._sleep(pause_s)
            names = await bucket.snapshots(key)
            if expected is None or expected in names:
                break
        return max(names, default=None)

    async def forget(self, ref: JobRef) -> None:
        """What lies in the bucket goes first, so that a forget which was cut short is done again."""
        with as_backend_error():
            try:
                job = await self._found(ref)
            except JobNotFound:
                return
            if over(job):
                await (await self._bucket()).remove(ref.id)
                await self._account.unlabel(job, ref.id)
                self._lock_of(ref.id).unlink(missing_ok=True)

    async def orphans(self, live_keys: Collection[str]) -> list[JobRef]:
        """Jobs that this installation started, that still run or wait, and that no run knows: every key that
        is not among ``live_keys``. Raises BackendError."""
        with as_backend_error():
            self._need_token()
            found = await self._account.listed({_LABEL: self._installation()}, ["RUNNING", "SCHEDULING"])
        keys = {str((job.environment or {}).get(_KEY_VARIABLE, "")) for job in found}
        return [JobRef(self.name, key) for key in sorted(keys - {"", *live_keys})]

    async def sweep(self, live_keys: Collection[str]) -> list[JobRef]:
        """Stop the orphans; returns which they were. Raises BackendError."""
        found = await self.orphans(live_keys)
        for ref in found:
            await self.cancel(ref)
        return found

    async def _found(self, ref: JobRef) -> JobInfo:
        job: JobInfo | None = None
        if ref.backend == self.name and KEY.fullmatch(ref.id):
            self._need_token()
            job = await self._account.find(ref.id)
        if job is None:
            detail = f"There is no job {ref.id!r} at Hugging Face."
            raise JobNotFound(FailureKind.UNKNOWN, detail, "It may have been removed: start the step again.")
        return job

    def _need_token(self) -> None:
        if not self._client.has_token:
            raise HubFault(errors.no_token())

    async def _bucket(self) -> Bucket:
        return Bucket(self._client, f"{await self._account.owner()}/{BUCKET}")

    def _folder(self) -> Path:
        self._home.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self._home

    def _lock_of(self, key: str) -> Path:
        return self._folder() / f"{key}.lock"

    def _installation(self) -> str:
        """Tells this installation's jobs from those of another one that uses the same account."""
        path = self._folder() / "installation"
        if not path.exists():
            write_atomic(path, self._new_id())
        return _word(path.read_text("utf-8").strip())

    def _pinned(self) -> Sequence[str]:
        if self._requirements is not None:
            return self._requirements
        from remote.backends import modal_image as pins

        declared = pins.declared_for_training()
        return pins.requirements_for(declared, pins.installed_versions(declared))

    @asynccontextmanager
    async def _alone(self, key: str) -> AsyncIterator[None]:
        """Among the submitters of this machine, one at a time for a key. Polled, as a thread that waits for a
        lock could be the one that its holder needs."""
        with self._lock_of(key).open("w") as file:
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    await asyncio.sleep(_LOCK_POLL_S)
            yield


def _check(job: JobSpec) -> None:
    if not KEY.fullmatch(job.key) or not job.programs:
        detail = f"The job {job.key!r} has no valid key or no program."
        raise BackendError(FailureKind.DATA_ERROR, detail, "Use letters, digits, '-', '_' and '.' for a key.")
    try:
        job_json(job.programs)
    except (TypeError, ValueError) as error:
        detail = f"The settings of the job {job.key!r} are not plain JSON: {error}."
        hint = "Use numbers, texts, lists and tables only."
        raise BackendError(FailureKind.DATA_ERROR, detail, hint) from error


def _may_write_bytes(job: JobInfo) -> int:
    """What the job was allowed to leave, from its own command; nothing that is larger is downloaded."""
    try:
        return Settings.decode((job.command or [""])[-1]).need.disk_mb * 1024**2
    except (ValueError, KeyError, TypeError):
        return artifacts.MAX_BYTES


def _word(text: str) -> str:
    """``text`` as a label's value or a job's name."""
    return re.sub(r"[^\w-]", "-", text, flags=re.ASCII)[:100]
