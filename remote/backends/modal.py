"""Modal's serverless GPUs as a backend: a job is a ``modal.Sandbox`` and a folder in a Volume.

Design decisions:

- **The name pays once.** A sandbox is created under the job's key as its name, which Modal keeps unique among running
  sandboxes; which sandbox a job has is then written to a Volume, where the first writer wins. A submitter that was
  killed between the two finds the sandbox again by its name or by what the sandbox itself wrote, and a second
  sandbox for a job that was started ends at once (:mod:`remote.backends.modal_runner`).
- **Two sources of events.** While the job runs they come from the sandbox's output, which any process can read from
  its start; when it has ended, from ``events.jsonl`` in the Volume. A log stream that drops, lags or has been thrown
  away therefore loses nothing: numbers tell what is new.
- **The sandbox is the isolation** (gVisor). It has no network unless the job needs it, no secret, none of this
  process's environment, one CPU and memory limit, and a lifetime a little over the job's own deadline.
- **Every call has a deadline of ours.** The client waits 56 s for a server that is gone and 21 minutes for a GPU.
  A create that is late is taken back, by name, so that it cannot start and cost something afterwards.

``modal`` is imported inside functions: a bot that does not use it starts without it.
"""

from __future__ import annotations

import asyncio
import hashlib
import importlib.util
import json
import math
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import aclosing
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import SecretStr

from remote import prices
from remote.backend import BackendError, Health, JobNotFound, JobRef, JobSpec, Need, Offer, Reason
from remote.backends import modal_image
from remote.backends.modal_errors import HINTS, SAYS, Deadlines, Refusal, calling
from remote.backends.modal_follow import Following
from remote.backends.modal_harvest import fetch
from remote.backends.modal_runner import spec_json
from remote.backends.modal_session import Session
from remote.backends.modal_store import LocalFile, local_files
from remote.protocol import FailureKind, JobEvent
from remote.sandbox import machine
from remote.sandbox.folder import KEY, job_json

if TYPE_CHECKING:
    import modal

ISOLATION = "modal"
JOB, SHARED = "/job", "/shared"  # mount points in the sandbox
MAX_LIFE_S = 24 * 3600
NAME_CHARS = 63  # Modal allows 64 in a name and 63 in a tag

_GRACE_S = 90  # beyond the job's own deadline: the container's start, and saving what the job left
_HEADROOM_MB = 512  # beyond the job's own limit: the supervisor, which then says what happened


def sandbox_name(key: str) -> str:
    """The key where it fits, else its start and a digest of the whole."""
    if len(key) <= NAME_CHARS:
        return key
    return f"{key[: NAME_CHARS - 17]}-{hashlib.sha256(key.encode()).hexdigest()[:16]}"


def _utc_now() -> datetime:
    return datetime.now(UTC)


class ModalBackend:
    """``token_id`` and ``token_secret``: where they are not given, Modal's own variables and file are read.

    ``app``: the name of the app in the workspace, and the start of its volumes' names. ``corrections``: what
    finished runs measured (:mod:`remote.speeds`), asked for at every offer.
    """

    name = "modal"

    def __init__(
        self,
        token_id: SecretStr | None = None,
        token_secret: SecretStr | None = None,
        *,
        app: str = "ml-intern",
        clock: Callable[[], datetime] = _utc_now,
        deadlines: Deadlines | None = None,
        corrections: prices.Corrections = dict,
    ) -> None:
        self._deadlines = deadlines or Deadlines()
        self._session = Session(app, token_id, token_secret, self._deadlines)
        self._clock = clock
        self._corrections = corrections
        self._submitting: dict[str, asyncio.Lock] = {}
        self._sandboxes: dict[str, str] = {}  # key -> sandbox id, as read from the Volume

    async def aclose(self) -> None:
        """Close the connection; the backend opens a new one when it is used again."""
        await self._session.aclose()

    async def probe(self) -> Health:
        """Says hello with the token; never raises, and answers within ``Deadlines.probe_s``."""
        if importlib.util.find_spec("modal") is None:
            return Health(False, Reason.NO_SDK, SAYS[Reason.NO_SDK], HINTS[Reason.NO_SDK], ISOLATION)
        try:
            async with calling("saying hello", self._deadlines.probe_s):
                await (await self._session.client()).hello.aio()  # type: ignore[no-untyped-call]
        except Refusal as error:
            return Health(False, error.reason, error.detail, error.hint, ISOLATION)
        return Health(True, detail="Modal, serverless GPUs", isolation=ISOLATION)

    async def offers(self, need: Need, estimated_s: float) -> list[Offer]:
        """The ladder of GPUs and the processor alone, at the workspace's own rates where it tells them."""
        table = await self._prices()
        return prices.offers(
            table,
            replace(need, memory_mb=need.memory_mb + _HEADROOM_MB),  # it is paid for
            estimated_s,
            backend=self.name,
            isolation=ISOLATION,
            reference_cores=machine.cpus(),
            corrections=await asyncio.to_thread(self._corrections),
        )

    async def submit(self, job: JobSpec) -> JobRef:
        """Errors: ``data_error`` (bad key, chain, input or GPU name), ``no_credit``, ``no_capacity``, ``no_token``,
        ``denied``, ``unreachable``, ``unknown``. After any of them nothing runs and the key may be tried again."""
        chain, own, shared = await asyncio.to_thread(_checked, job)
        async with self._submitting.setdefault(job.key, asyncio.Lock()):
            self._sandboxes.pop(job.key, None)  # another process may have forgotten the job
            if await self._submitted(job.key) is None:
                await self._start(job, chain, own, shared)
        return JobRef(self.name, job.key)

    async def events(self, ref: JobRef, after: int = -1) -> AsyncIterator[JobEvent]:
        sandbox_id = await self._sandbox_of(ref)
        client, store = await self._session.client(), await self._session.store()
        following = Following(client, store, ref.id, sandbox_id, self._deadlines, self._clock)
        async with aclosing(following.events()) as events:
            async for event in events:
                if event.seq > after:
                    yield event

    async def cancel(self, ref: JobRef) -> None:
        """The job's events then end in ``failed`` (``preempted``). Returns when the sandbox has stopped."""
        sandbox_id = await self._sandbox_of(ref)
        sandbox = await self._session.sandbox(sandbox_id)
        if sandbox.returncode is not None:
            return
        store = await self._session.store()
        at = json.dumps({"at": self._clock().isoformat()}).encode()
        await store.put_once(f"control/{ref.id}/cancelled.json", at)
        await self._session.stop(sandbox)

    async def fetch(self, ref: JobRef, into: Path) -> None:
        """sha256 is enforced for a job that ended in a result. A file that arrives damaged is asked for again."""
        sandbox_id = await self._sandbox_of(ref)
        if (await self._session.sandbox(sandbox_id)).returncode is None:
            detail = f"The job {ref.id!r} is still running."
            raise BackendError(FailureKind.UNKNOWN, detail, "Wait for its end, or cancel it.")
        events = [event async for event in self.events(ref)]
        store = await self._session.store()
        submitted = await store.read_json(f"control/{ref.id}/submitted.json") or {}
        at_most_bytes = Need(**submitted.get("need", {})).disk_mb * 1024**2
        await fetch(store, ref.id, into, events, at_most_bytes=at_most_bytes, retry_s=self._deadlines.retry_s)

    async def forget(self, ref: JobRef) -> None:
        """Its folders go, the inputs included; shared inputs stay for the next job."""
        try:
            sandbox_id = await self._sandbox_of(ref)
        except JobNotFound:
            return
        if (await self._session.sandbox(sandbox_id)).returncode is None:
            return
        store = await self._session.store()
        await store.remove(f"jobs/{ref.id}")
        await store.remove(f"control/{ref.id}")  # last: until then a second call finishes what was begun
        self._sandboxes.pop(ref.id, None)

    async def orphans(self, live_keys: Collection[str]) -> list[JobRef]:
        """Sandboxes of this app that run and belong to none of ``live_keys``. Their price is still being paid."""
        return [ref for ref, _ in await self._orphans(live_keys)]

    async def sweep(self, live_keys: Collection[str]) -> list[JobRef]:
        """Stop the orphans; the ones that were stopped."""
        stopped = []
        for ref, sandbox in await self._orphans(live_keys):
            await self._session.stop(sandbox)
            stopped.append(ref)
        return stopped

    async def _orphans(self, live_keys: Collection[str]) -> list[tuple[JobRef, modal.Sandbox]]:
        live = {sandbox_name(key) for key in live_keys}
        found = [
            (tags["job"], sandbox)
            for tags, sandbox in await self._session.all_running()
            if tags.get("job", "") not in {"", *live}
        ]
        if not found:
            return []
        entries = await (await self._session.store()).list("control", recursive=False)
        keys = {sandbox_name(key): key for key in (Path(entry.path).name for entry in entries)}
        return [(JobRef(self.name, keys.get(name, name)), sandbox) for name, sandbox in found]

    async def _start(
        self, job: JobSpec, chain: str, own: Sequence[LocalFile], shared: Sequence[LocalFile]
    ) -> None:
        """Find the sandbox of a submitter that was killed before it wrote the id down, or make one."""
        store = await self._session.store()
        sandbox_id = await self._session.running(sandbox_name(job.key)) or await self._started(job.key)
        if sandbox_id is None:
            need = replace(job.need, cpus=prices.cores_for(job.need))
            programs = tuple(program.name for program in job.programs)
            places = {file.name: file.name for file in shared}
            spec = spec_json(job.key, job.run_id, programs, need, places)
            sha256 = await store.put_shared(shared) if shared else None
            await store.put_job(job.key, {"job.json": chain, "spec.json": spec}, own)
            sandbox_id = await self._create(job, need, sha256)
        await self._record(job, sandbox_id)

    async def _create(self, job: JobSpec, need: Need, shared_sha256: str | None) -> str:
        import modal

        client, app, store = (
            await self._session.client(),
            await self._session.app(),
            await self._session.store(),
        )
        image = await self._session.image()
        volumes = {JOB: store.jobs.with_mount_options(sub_path=f"/jobs/{job.key}")}
        if shared_sha256:
            volumes[SHARED] = store.shared.with_mount_options(read_only=True, sub_path=f"/{shared_sha256}")
        memory_mb = need.memory_mb + _HEADROOM_MB
        name = sandbox_name(job.key)
        try:
            async with calling("finding a machine", self._deadlines.create_s, Reason.NO_CAPACITY):
                sandbox = await modal.Sandbox.create.aio(
                    "python",
                    "-I",
                    f"{modal_image.CODE}/remote/backends/modal_runner.py",
                    JOB,
                    SHARED,
                    app=app,
                    name=name,
                    tags={"job": name, "run": job.run_id[:NAME_CHARS]},
                    image=image,
                    timeout=min(math.ceil(need.timeout_s) + _GRACE_S, MAX_LIFE_S),
                    gpu=need.gpu,
                    cpu=(float(need.cpus or 1), float(need.cpus or 1)),
                    memory=(memory_mb, memory_mb),
                    block_network=not need.network,
                    volumes=volumes,  # type: ignore[arg-type] # a dict is invariant
                    client=client,
                )
        except Refusal as refusal:
            found = await self._after_refusal(job.key, refusal)
            if found is None:
                raise
            return found
        return sandbox.object_id

    async def _after_refusal(self, key: str, refusal: Refusal) -> str | None:
        """The sandbox that another submitter made, or that was made although the answer got lost; else nothing may
        be left that could still start."""
        from modal.exception import AlreadyExistsError, ConflictError

        try:
            sandbox_id = await self._session.running(sandbox_name(key))
            if isinstance(refusal.__cause__, AlreadyExistsError | ConflictError):
                return sandbox_id or await self._started(key)
            if sandbox_id is None or refusal.reason is Reason.UNREACHABLE:
                return sandbox_id
            await self._session.stop(await self._session.sandbox(sandbox_id))
            await (await self._session.store()).remove(f"jobs/{key}")
        except BackendError:
            return None  # not reachable now: the first refusal says it, and a sweep finds what is left
        return None

    async def _record(self, job: JobSpec, sandbox_id: str) -> None:
        store, path = await self._session.store(), f"control/{job.key}/submitted.json"
        body = {
            "sandbox_id": sandbox_id,
            "at": self._clock().isoformat(),
            "run_id": job.run_id,
            "programs": [program.name for program in job.programs],
            "need": asdict(job.need),
        }
        if not await store.put_once(path, json.dumps(body).encode()):
            winner = await store.read_json(path)
            if winner is not None and winner["sandbox_id"] != sandbox_id:
                await self._session.stop(await self._session.sandbox(sandbox_id))

    async def _submitted(self, key: str) -> str | None:
        if key not in self._sandboxes:
            body = await (await self._session.store()).read_json(f"control/{key}/submitted.json")
            if body is None:
                return None
            self._sandboxes[key] = str(body["sandbox_id"])
        return self._sandboxes[key]

    async def _started(self, key: str) -> str | None:
        """What the sandbox itself wrote when it began."""
        body = await (await self._session.store()).read_json(f"jobs/{key}/started.json")
        return str(body["sandbox_id"]) or None if body else None

    async def _sandbox_of(self, ref: JobRef) -> str:
        known = ref.backend == self.name and KEY.fullmatch(ref.id)
        sandbox_id = await self._submitted(ref.id) if known else None
        if sandbox_id is None:
            detail = f"There is no job {ref.id!r} at Modal."
            raise JobNotFound(FailureKind.UNKNOWN, detail, "It may have been removed: start the step again.")
        return sandbox_id

    async def _prices(self) -> prices.PriceTable:
        table = prices.load(self.name)
        if importlib.util.find_spec("modal") is None:
            return table
        import modal

        try:
            async with calling("asking for prices", self._deadlines.prices_s):
                workspace = modal.Workspace.from_context(client=await self._session.client())
                rates = dict(await workspace.billing.rates.aio())
        except BackendError:
            return table  # the table says where it is from, and when
        today = self._clock().date().isoformat()
        return prices.with_live_rates(table, rates, "the Modal workspace's own rates", today)


def _checked(job: JobSpec) -> tuple[str, list[LocalFile], list[LocalFile]]:
    """(``job.json``, own files, shared files). Raises BackendError (``data_error``) before anything is sent."""
    if not KEY.fullmatch(job.key) or not job.programs:
        detail = f"The job {job.key!r} has no valid key or no program."
        raise BackendError(FailureKind.DATA_ERROR, detail, "Use letters, digits, '-', '_' and '.' for a key.")
    if job.need.gpu is not None and prices.find_gpu(prices.load("modal"), job.need.gpu) is None:
        detail = f"Modal has no GPU {job.need.gpu!r}."
        raise BackendError(FailureKind.DATA_ERROR, detail, "Choose one of the offers.")
    try:
        chain = job_json(job.programs)
    except (TypeError, ValueError) as error:
        detail = f"The settings of the job {job.key!r} are not plain JSON: {error}."
        hint = "Use numbers, texts, lists and tables only."
        raise BackendError(FailureKind.DATA_ERROR, detail, hint) from error
    own = local_files(item for item in job.inputs if not item.shared)
    return chain, own, local_files(item for item in job.inputs if item.shared)
