"""The calls of Modal's API that the backend's client makes, with the meaning that they have at Modal."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import re
import uuid
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from google.protobuf.empty_pb2 import Empty
from grpclib.const import Cardinality, Handler, Status
from grpclib.exceptions import GRPCError
from modal_proto import api_pb2
from modal_proto.api_grpc import ModalClientBase

from tests.modalserver.sandboxes import Run, execute, now
from tests.modalserver.volumes import BLOCK_BYTES, Exists, Missing, Volume

if TYPE_CHECKING:
    from tests.modalserver.server import ModalServer

_SUCCESS = api_pb2.GenericResult(status=api_pb2.GenericResult.GENERIC_STATUS_SUCCESS)


class Service:
    """``__mapping__`` is what grpclib asks a service for. Calls that are not here answer UNIMPLEMENTED."""

    def __init__(self, server: ModalServer) -> None:
        self._server = server
        self._apps: dict[str, str] = {}
        self._mounts: dict[str, Any] = {}
        self._by_idempotency_key: dict[str, Run] = {}

    def __mapping__(self) -> dict[str, Handler]:
        every: Any = type("_Calls", (ModalClientBase,), {})
        every.__abstractmethods__ = frozenset()
        mapping = {}
        for path, handler in every().__mapping__().items():
            name = path.rpartition("/")[2]
            ours = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
            unary = getattr(self, ours, None)
            stream = getattr(self, f"stream_{ours}", None)
            if unary is not None:
                mapping[path] = handler._replace(func=self._unary(name, unary))
            elif stream is not None:
                assert handler.cardinality is Cardinality.UNARY_STREAM
                mapping[path] = handler._replace(func=self._streaming(name, stream))
        return mapping

    def _unary(
        self, name: str, call: Callable[[Any, Any], Awaitable[Any]]
    ) -> Callable[[Any], Awaitable[None]]:
        async def handle(stream: Any) -> None:
            request = await stream.recv_message()
            await self._admit(name, stream)
            answer = await call(request, stream.metadata)
            if self._server.faults.mutes(name):
                await asyncio.Event().wait()
            await stream.send_message(answer)

        return handle

    def _streaming(
        self, name: str, call: Callable[[Any, Any], Awaitable[None]]
    ) -> Callable[[Any], Awaitable[None]]:
        async def handle(stream: Any) -> None:
            request = await stream.recv_message()
            await self._admit(name, stream)
            await call(request, stream)

        return handle

    async def _admit(self, name: str, stream: Any) -> None:
        self._server.calls[name] += 1
        metadata = stream.metadata
        secret = self._server.tokens.get(metadata.get("x-modal-token-id", ""))
        if secret is None or secret != metadata.get("x-modal-token-secret"):
            raise GRPCError(Status.UNAUTHENTICATED, "Token ID is malformed or invalid.")
        refusal = self._server.faults.refusal(name)
        if refusal is not None:
            raise GRPCError(*refusal)
        if self._server.faults.hangs(name):
            await asyncio.Event().wait()

    # The workspace

    async def client_hello(self, request: Any, metadata: Any) -> Any:
        return api_pb2.ClientHelloResponse()

    async def environment_get_or_create(self, request: Any, metadata: Any) -> Any:
        settings = api_pb2.EnvironmentSettings(image_builder_version="2025.06")
        found = api_pb2.EnvironmentMetadata(name="main", settings=settings)
        return api_pb2.EnvironmentGetOrCreateResponse(environment_id="en-main", metadata=found)

    async def workspace_name_lookup(self, request: Any, metadata: Any) -> Any:
        return api_pb2.WorkspaceNameLookupResponse(workspace_name="standin", username="standin")

    async def workspace_billing_rates(self, request: Any, metadata: Any) -> Any:
        if not self._server.rates:
            raise GRPCError(Status.PERMISSION_DENIED, "Only managers may see billing.")
        return api_pb2.WorkspaceBillingRatesResponse(rates=self._server.rates)

    async def app_get_or_create(self, request: Any, metadata: Any) -> Any:
        app_id = self._apps.setdefault(request.app_name, _id("ap"))
        return api_pb2.AppGetOrCreateResponse(app_id=app_id)

    # Images, and files laid over them

    async def image_get_or_create(self, request: Any, metadata: Any) -> Any:
        self._server.images.append(request.image)
        digest = hashlib.sha256(request.image.SerializeToString(deterministic=True)).hexdigest()
        return api_pb2.ImageGetOrCreateResponse(image_id=f"im-{digest[:22]}", result=_SUCCESS)

    async def mount_batched_check_existence(self, request: Any, metadata: Any) -> Any:
        missing = [sha for sha in request.sha256_hex_hashes if sha not in self._server.files]
        return api_pb2.MountBatchedCheckExistenceResponse(missing_sha256_hex_hashes=missing)

    async def mount_put_file(self, request: Any, metadata: Any) -> Any:
        if request.WhichOneof("data_oneof") == "data":
            self._server.files[request.sha256_hex] = request.data
        return api_pb2.MountPutFileResponse(exists=request.sha256_hex in self._server.files)

    async def mount_get_or_create(self, request: Any, metadata: Any) -> Any:
        mount_id = _id("mo")
        self._mounts[mount_id] = request.files
        root = self._server.folder / "mounts" / mount_id
        for file in request.files:
            target = root / file.filename.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(self._server.files[file.sha256_hex])
        return api_pb2.MountGetOrCreateResponse(mount_id=mount_id)

    # Volumes

    async def volume_get_or_create(self, request: Any, metadata: Any) -> Any:
        name, volumes = request.deployment_name, self._server.volumes
        volume = next((each for each in volumes.values() if each.name == name), None)
        if volume is None:
            volume = Volume(_id("vo"), name, self._server.folder / "volumes" / name)
            volume.root.mkdir(parents=True, exist_ok=True)
            volumes[volume.id] = volume
        found = api_pb2.VolumeMetadata(version=api_pb2.VOLUME_FS_VERSION_V2, name=name)
        return api_pb2.VolumeGetOrCreateResponse(volume_id=volume.id, metadata=found)

    async def volume_put_files2(self, request: Any, metadata: Any) -> Any:
        missing = self._server.blocks.missing(request.files)
        if not missing:
            volume = self._server.volumes[request.volume_id]
            overwrite = not request.disallow_overwrite_existing_files
            try:
                self._server.blocks.write(volume, request.files, overwrite)
            except Exists as error:
                raise GRPCError(Status.ALREADY_EXISTS, f"{error} exists") from None
        answer = api_pb2.VolumePutFiles2Response()
        for file, block, sha256 in missing:
            url = f"{self._server.http_url}/block/{sha256}"
            answer.missing_blocks.add(file_index=file, block_index=block, put_url=url)
        return answer

    async def volume_get_file2(self, request: Any, metadata: Any) -> Any:
        file = self._server.volumes[request.volume_id].at(request.path)
        if not file.is_file():
            raise GRPCError(Status.NOT_FOUND, f"no file {request.path}")
        size, inside = file.stat().st_size, request.path.lstrip("/")
        count = (size + BLOCK_BYTES - 1) // BLOCK_BYTES
        urls = [f"{self._server.http_url}/file/{request.volume_id}/{n}/{inside}" for n in range(count)]
        return api_pb2.VolumeGetFile2Response(get_urls=urls, size=size, start=0, len=size)

    async def stream_volume_list_files2(self, request: Any, stream: Any) -> None:
        try:
            entries = self._server.volumes[request.volume_id].list(request.path, request.recursive)
        except Missing:
            raise GRPCError(Status.NOT_FOUND, f"no folder {request.path}") from None
        await stream.send_message(api_pb2.VolumeListFiles2Response(entries=entries))

    async def volume_remove_file2(self, request: Any, metadata: Any) -> Any:
        try:
            self._server.volumes[request.volume_id].remove(request.path)
        except Missing:
            raise GRPCError(Status.NOT_FOUND, f"no file {request.path}") from None
        return Empty()

    # Sandboxes

    async def sandbox_create(self, request: Any, metadata: Any) -> Any:
        key = metadata.get("x-idempotency-key", uuid.uuid4().hex)
        run = self._by_idempotency_key.get(key)
        if run is None:
            name = request.definition.name
            if any(each.name == name and each.running for each in self._server.ledger if name):
                raise GRPCError(Status.ALREADY_EXISTS, f"A sandbox named {name} already exists.")
            tags = {tag.tag_name: tag.tag_value for tag in request.tags}
            run = Run(_id("sb"), name, request.definition, tags, now())
            self._by_idempotency_key[key] = run
            self._server.ledger.append(run)
            task = asyncio.create_task(self._run(run))
            self._server.tasks.add(task)
            task.add_done_callback(self._server.tasks.discard)
        return api_pb2.SandboxCreateResponse(sandbox_id=run.id)

    async def _run(self, run: Run) -> None:
        places = {}
        for mount in run.definition.volume_mounts:
            folder = self._server.volumes[mount.volume_id].at(mount.sub_path)
            folder.mkdir(parents=True, exist_ok=True)
            places[mount.mount_path] = folder
        for mount_id in run.definition.mount_ids:
            for top in (self._server.folder / "mounts" / mount_id).iterdir():
                places[f"/{top.name}"] = top
        await execute(run, self._server.folder / "sandboxes" / run.id, places)

    async def sandbox_get_task_id(self, request: Any, metadata: Any) -> Any:
        return api_pb2.SandboxGetTaskIdResponse(task_id=f"ta-{self._find(request.sandbox_id).id}")

    async def sandbox_get_from_name(self, request: Any, metadata: Any) -> Any:
        for run in self._server.ledger:
            if run.name == request.sandbox_name and run.running:
                return api_pb2.SandboxGetFromNameResponse(sandbox_id=run.id)
        raise GRPCError(Status.NOT_FOUND, f"No running sandbox is named {request.sandbox_name}.")

    async def sandbox_wait(self, request: Any, metadata: Any) -> Any:
        run = self._find(request.sandbox_id)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(request.timeout):
                while run.running:
                    await run.changed.wait()
        return api_pb2.SandboxWaitResponse(result=run.result)

    async def sandbox_terminate(self, request: Any, metadata: Any) -> Any:
        await self._server.terminate(self._find(request.sandbox_id))
        return api_pb2.SandboxTerminateResponse()

    async def sandbox_list(self, request: Any, metadata: Any) -> Any:
        older = [run for run in self._server.ledger if run.running]
        if request.before_timestamp:
            older = [run for run in older if run.created_at < request.before_timestamp]
        answer = api_pb2.SandboxListResponse()
        for run in sorted(older, key=lambda run: -run.created_at)[:2]:  # pages of two
            answer.sandboxes.add(id=run.id, created_at=run.created_at, name=run.name)
        return answer

    async def sandbox_tags_get(self, request: Any, metadata: Any) -> Any:
        tags = self._find(request.sandbox_id).tags
        protos = [api_pb2.SandboxTag(tag_name=name, tag_value=value) for name, value in tags.items()]
        return api_pb2.SandboxTagsGetResponse(tags=protos)

    async def stream_sandbox_get_logs(self, request: Any, stream: Any) -> None:
        """From the entry after ``last_entry_id``, then live until the end; silent for stderr."""
        run, faults = self._find(request.sandbox_id), self._server.faults
        sent = int(request.last_entry_id or 0)
        stdout = request.file_descriptor == api_pb2.FILE_DESCRIPTOR_STDOUT
        while True:
            changed, over = run.changed, not run.running
            lines = run.lines[sent:] if stdout and not faults.silent_logs else []
            breaks = bool(faults.drop_logs_times) and sent + len(lines) > (faults.drop_logs_after or 0)
            if breaks:
                lines = lines[: max(0, (faults.drop_logs_after or 0) - sent)]
            if lines:
                sent += len(lines)
                text = "".join(lines)
                size = faults.log_piece_chars or len(text)
                items = [api_pb2.TaskLogs(data=text[at : at + size]) for at in range(0, len(text), size)]
                await stream.send_message(api_pb2.TaskLogsBatch(entry_id=str(sent), items=items))
            if breaks:
                faults.drop_logs_times -= 1
                raise GRPCError(Status.DATA_LOSS, "log stream lost")
            if over and not faults.silent_logs:
                await stream.send_message(api_pb2.TaskLogsBatch(entry_id=str(sent), eof=True))
                return
            await changed.wait()

    def _find(self, sandbox_id: str) -> Run:
        for run in self._server.ledger:
            if run.id == sandbox_id:
                return run
        raise GRPCError(Status.NOT_FOUND, f"There is no sandbox {sandbox_id}.")


def _id(prefix: str) -> str:
    return f"{prefix}-{uuid.uuid4().hex[:22]}"
