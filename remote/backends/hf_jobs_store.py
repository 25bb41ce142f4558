"""The private bucket through which a job's files travel. One folder a job: ``<key>/in`` holds its archive,
``<key>/out`` its snapshots, whose names carry a number and their sha256."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from remote.backend import ArtifactError, BackendError, JobSpec
from remote.backends import hf_jobs_pack as archives
from remote.backends.hf_jobs_client import Client, HubFault
from remote.protocol import FailureKind
from remote.sandbox import inputs
from remote.sandbox.folder import job_json
from remote.sandbox.interpreter import package_root

if TYPE_CHECKING:
    from huggingface_hub import HfApi, Volume

TRANSFER_TIMEOUT_S = 3600.0
BUNDLE = "bundle.zip"
_DOWNLOADS = 3
_OVERHEAD_BYTES = 8 * 1024**2  # of an archive with many small files
_SNAPSHOT = re.compile(r"\d{6}-([0-9a-f]{64})\.zip")
_CODE = ("*.py", "*.toml")
_MAIN = "from remote.backends.hf_jobs_inside import main\n\nmain()\n"


def build_bundle(job: JobSpec, folder: Path) -> Path:
    """Code, chain and inputs as one archive in ``folder``. Raises BackendError (``data_error``, ``no_disk``) and
    OSError."""
    tree = folder / "tree"
    (tree / "job" / "in").mkdir(parents=True)
    inputs.place(job.inputs, tree / "job" / "in", isolated=False, other_uid=False)
    (tree / "job" / "job.json").write_text(job_json(job.programs), "utf-8")
    (tree / "__main__.py").write_text(_MAIN, "utf-8")
    package = package_root() / "remote"
    code = [path for pattern in _CODE for path in package.rglob(pattern)]
    for path in code:
        target = tree / path.relative_to(package_root())
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(path)
    bundle = folder / BUNDLE
    archives.pack(tree, bundle)
    return bundle


class Bucket:
    """``id`` is ``namespace/name``."""

    def __init__(self, client: Client, id_: str) -> None:
        self._client = client
        self._id = id_
        self._is_private = False

    async def send(self, key: str, bundle: Path) -> None:
        """The archive of a job, and a file that makes its folder for snapshots exist. Raises HubFault, and
        BackendError where the bucket is public: then nothing is sent."""
        await self._make()
        add: list[tuple[str | Path | bytes, str]] = [
            (bundle, f"{key}/in/{BUNDLE}"),
            (b"snapshots of out/\n", f"{key}/out/.keep"),  # a folder of a bucket cannot be empty
        ]
        await self._client.call(lambda api: api.batch_bucket_files(self._id, add=add), TRANSFER_TIMEOUT_S)

    async def _make(self) -> None:
        if self._is_private:
            return
        await self._client.call(lambda api: api.create_bucket(self._id, private=True, exist_ok=True))
        info = await self._client.call(lambda api: api.bucket_info(self._id))
        if not info.private:
            detail = f"The bucket {self._id} is public, so no data was sent there."
            raise BackendError(FailureKind.DENIED, detail, "Make it private on its page on the Hub.")
        self._is_private = True

    def volumes(self, key: str, mount_in: str, mount_out: str) -> list[Volume]:
        from huggingface_hub import Volume

        return [
            Volume(type="bucket", source=self._id, path=f"{key}/in", mount_path=mount_in, read_only=True),
            Volume(type="bucket", source=self._id, path=f"{key}/out", mount_path=mount_out, read_only=False),
        ]

    async def snapshots(self, key: str) -> list[str]:
        """Names, the oldest first. Raises HubFault."""
        names = [path.rpartition("/")[2] for path in await self._files(f"{key}/out")]
        return sorted(name for name in names if _SNAPSHOT.fullmatch(name))

    async def bring(self, key: str, name: str, folder: Path, at_most_bytes: int) -> Path:
        """Download and unpack a snapshot below ``folder``; the folder with its files. Raises HubFault,
        ArtifactError (too large, or of another sha256 even after a second and third try) and OSError."""
        match = _SNAPSHOT.fullmatch(name)
        assert match is not None, "snapshots() gives such names only"
        size = (await self._files(f"{key}/out")).get(f"{key}/out/{name}", 0)
        if size > at_most_bytes + _OVERHEAD_BYTES:
            detail = f"The job left {size} bytes, more than the {at_most_bytes} that it may write."
            raise ArtifactError(FailureKind.SCRIPT_ERROR, detail, "Look at the training script.")
        for _ in range(_DOWNLOADS):
            with tempfile.TemporaryDirectory(dir=folder) as scratch:
                archive = Path(scratch, name)
                await self._client.call(self._download(f"{key}/out/{name}", archive), TRANSFER_TIMEOUT_S)
                if archive.exists() and archives.sha256_of(archive) == match[1]:
                    out = folder / "out"
                    out.mkdir()
                    archives.unpack_out(archive, out)
                    return out
        detail = "The job's files arrived damaged three times (another sha256)."
        raise ArtifactError(FailureKind.SCRIPT_ERROR, detail, "Try again; else run the job again.")

    def _download(self, path: str, target: Path) -> Callable[[HfApi], None]:
        def download(api: HfApi) -> None:
            api.download_bucket_files(self._id, [(path, target)], raise_on_missing_files=True)

        return download

    async def remove(self, key: str) -> None:
        """Everything of the job. Raises HubFault."""
        paths = list(await self._files(key))
        if paths:
            await self._client.call(lambda api: api.batch_bucket_files(self._id, delete=paths))

    async def _files(self, prefix: str) -> dict[str, int]:
        """Path -> bytes."""

        def listing(api: HfApi) -> dict[str, int]:
            from huggingface_hub import BucketFile

            entries = api.list_bucket_tree(self._id, prefix=prefix, recursive=True)
            return {entry.path: entry.size for entry in entries if isinstance(entry, BucketFile)}

        try:
            found = await self._client.call(listing)
        except HubFault as failed:
            if failed.fault.status == 404:
                return {}
            raise
        return {path: size for path, size in found.items() if path.startswith(f"{prefix}/")}
