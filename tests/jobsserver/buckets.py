"""The stand-in's buckets. What is kept lies in the client's own storage library (hf_xet) on a local folder."""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import hf_xet  # type: ignore[import-untyped]
from aiohttp import web
from huggingface_hub.utils._xet import get_xet_session

from remote.backends import hf_jobs_pack as archives

EMPTY = "0" * 64  # the storage's hash of a file without content


class Storage:
    """The client's own storage library on a local folder. Blocks; touches no network."""

    def __init__(self, folder: Path) -> None:
        self.url = f"local://{folder}"

    def put(self, file: Path) -> tuple[str, int]:
        """The hash under which ``file`` is kept, and its size."""
        with get_xet_session().new_upload_commit(endpoint=self.url) as commit:
            handle = commit.start_upload_file(str(file), sha256=hf_xet.SKIP_SHA256)
        info = handle.result().xet_info
        return info.hash, info.file_size

    def get(self, hash_: str, target: Path) -> int:
        """Writes what is kept under ``hash_`` to ``target``; its size."""
        if hash_ == EMPTY:
            target.touch()
            return 0
        with get_xet_session().new_file_download_group(endpoint=self.url) as group:
            group.start_download_file(hf_xet.XetFileInfo(hash_, None), str(target))
        return target.stat().st_size

    def size(self, hash_: str) -> int:
        with tempfile.TemporaryDirectory() as folder:
            return self.get(hash_, Path(folder, "file"))


class Buckets:
    """``files``: bucket id -> path -> (storage hash, bytes; negative while it is not known)."""

    def __init__(self, folder: Path) -> None:
        self.storage = Storage(folder)
        self.files: dict[str, dict[str, tuple[str, int]]] = {}
        self.public: set[str] = set()
        self.url = ""

    def add_routes(self, router: web.UrlDispatcher) -> None:
        bucket = "/api/buckets/{owner}/{name}"
        router.add_post(bucket, self._make_bucket)
        router.add_get(bucket, self._bucket_info)
        router.add_post(bucket + "/batch", self._batch)
        router.add_post(bucket + "/paths-info", self._paths_info)
        router.add_get(bucket + "/tree/{prefix:.+}", self._tree)
        router.add_get(bucket + "/xet-{right:read|write}-token", self._storage_token)
        router.add_get("/buckets/{owner}/{name}/resolve/{path:.+}", self._resolve)

    def tamper(self, key: str, path: str, data: bytes | None) -> None:
        """Change or remove (``None``) a file in what the job left: a snapshot that is whole in itself."""
        files = next(files for files in self.files.values() if f"{key}/out/.keep" in files)
        name = max(name for name in files if name.startswith(f"{key}/out/0"))
        with tempfile.TemporaryDirectory() as folder:
            archive, tree = Path(folder, "archive.zip"), Path(folder, "tree")
            self.storage.get(files.pop(name)[0], archive)
            archives.unpack_out(archive, tree)
            if data is None:
                (tree / path).unlink()
            else:
                (tree / path).write_bytes(data)
            archives.pack_out(tree, archive)
            files[f"{key}/out/000099-{archives.sha256_of(archive)}.zip"] = self.storage.put(archive)

    def mount(self, volumes: list[dict[str, Any]], folder: Path) -> dict[str, Path]:
        """Mount path -> the folder that stands for it, with the bucket's files."""
        mounts = {}
        for number, volume in enumerate(volumes):
            place = mounts[volume["mountPath"]] = folder / f"mount-{number}"
            files = self.files[volume["source"]]
            inside = [path for path in files if path.startswith(volume["path"] + "/")]
            assert inside, "a folder that is not there cannot be mounted"
            for path in inside:
                target = place / path.removeprefix(volume["path"] + "/")
                target.parent.mkdir(parents=True, exist_ok=True)
                self.storage.get(files[path][0], target)
            if volume.get("readOnly"):
                place.chmod(0o555)
        return mounts

    def unmount(self, volumes: list[dict[str, Any]], mounts: dict[str, Path]) -> None:
        for volume in volumes:
            if volume.get("readOnly"):
                continue
            files, place = self.files[volume["source"]], mounts[volume["mountPath"]]
            for path in [path for path in files if path.startswith(volume["path"] + "/")]:
                del files[path]
            for file in place.iterdir():
                files[f"{volume['path']}/{file.name}"] = self.storage.put(file)

    def _bucket_id(self, request: web.Request) -> str:
        return "{owner}/{name}".format(**request.match_info)

    async def _make_bucket(self, request: web.Request) -> web.Response:
        id_ = self._bucket_id(request)
        body = {"url": f"{self.url}/buckets/{id_}"}
        if id_ in self.files:
            return web.json_response(body | {"error": "exists"}, status=409)
        self.files[id_] = {}
        if (await request.json()).get("visibility") != "private":
            self.public.add(id_)
        return web.json_response(body)

    async def _bucket_info(self, request: web.Request) -> web.Response:
        id_ = self._bucket_id(request)
        if id_ not in self.files:
            return no(404, "No bucket", {"X-Error-Code": "RepoNotFound"})
        files = self.files[id_].values()
        return web.json_response({
            "id": id_, "private": id_ not in self.public, "createdAt": "2026-01-01T00:00:00.000Z",
            "size": sum(size for _, size in files), "totalFiles": len(files),
        })  # fmt: skip

    async def _batch(self, request: web.Request) -> web.Response:
        files = self.files[self._bucket_id(request)]
        for line in (await request.text()).splitlines():
            entry = json.loads(line)
            if entry["type"] == "deleteFile":
                files.pop(entry["path"], None)
            else:
                files[entry["path"]] = (entry["xetHash"], -1)  # the request does not say the size
        return web.json_response({"success": True})

    async def _paths_info(self, request: web.Request) -> web.Response:
        files = await self._sized(self._bucket_id(request))
        paths = (await request.json())["paths"]
        return web.json_response([_entry(path, files[path]) for path in paths if path in files])

    async def _sized(self, id_: str) -> dict[str, tuple[str, int]]:
        """The bucket's files, their sizes read from the storage: not during an upload, which has it locked."""
        files = self.files[id_]
        for path, (hash_, size) in list(files.items()):
            if size < 0:
                files[path] = (hash_, await asyncio.to_thread(self.storage.size, hash_))
        return files

    async def _tree(self, request: web.Request) -> web.Response:
        if self._bucket_id(request) not in self.files:
            return no(404, "No bucket", {"X-Error-Code": "RepoNotFound"})
        files = await self._sized(self._bucket_id(request))
        prefix = request.match_info["prefix"]
        return web.json_response([_entry(p, f) for p, f in sorted(files.items()) if p.startswith(prefix)])

    async def _storage_token(self, _request: web.Request) -> web.Response:
        body = {"casUrl": self.storage.url, "accessToken": "x", "exp": int(time.time()) + 3600}
        return web.json_response(body)

    async def _resolve(self, request: web.Request) -> web.Response:
        files = await self._sized(self._bucket_id(request))
        path = request.match_info["path"]
        if path not in files:
            return no(404, "No file", {"X-Error-Code": "EntryNotFound"})
        route = f"{self.url}/api/buckets/{self._bucket_id(request)}/xet-read-token"
        hash_, size = files[path]
        headers = {"X-Xet-Hash": hash_, "X-Xet-Refresh-Route": route, "X-Linked-Size": str(size)}
        return web.Response(headers=headers)


def _entry(path: str, file: tuple[str, int]) -> dict[str, Any]:
    return {"type": "file", "path": path, "xetHash": file[0], "size": file[1]}


def no(status: int, message: str, headers: dict[str, str] | None = None) -> web.Response:
    headers = {"X-Error-Message": message, **(headers or {})}
    return web.json_response({"error": message}, status=status, headers=headers)
