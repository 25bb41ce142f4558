"""Volumes of the stand-in: a folder each, filled by blocks and read by blocks over HTTP, as version 2 does."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from modal_proto import api_pb2

BLOCK_BYTES = 8 * 1024**2


class Missing(Exception):
    """There is no such file or folder."""


class Exists(Exception):
    """The file is there and may not be overwritten."""


@dataclass
class Volume:
    id: str
    name: str
    root: Path

    def at(self, path: str) -> Path:
        inside = PurePosixPath(path.lstrip("/"))
        if ".." in inside.parts:
            raise Missing(path)
        return self.root / inside

    def list(self, path: str, recursive: bool) -> list[Any]:
        top = self.at(path)
        if not top.exists():
            raise Missing(path)
        found = sorted(top.rglob("*") if recursive else top.iterdir()) if top.is_dir() else [top]
        return [self._entry(each) for each in found]

    def remove(self, path: str) -> None:
        target = self.at(path)
        if target.is_dir():
            shutil.rmtree(target)
        elif target.exists():
            target.unlink()
        else:
            raise Missing(path)

    def _entry(self, path: Path) -> Any:
        kinds = api_pb2.FileEntry.FileType
        kind = kinds.SYMLINK if path.is_symlink() else kinds.DIRECTORY if path.is_dir() else kinds.FILE
        info = path.lstat()
        inside = path.relative_to(self.root).as_posix()
        return api_pb2.FileEntry(path=inside, type=kind, mtime=int(info.st_mtime), size=info.st_size)


class Blocks:
    """Content-addressed bytes that clients have put. ``uploaded_bytes``: what came over the wire."""

    def __init__(self) -> None:
        self._blocks: dict[str, bytes] = {}
        self.uploaded_bytes = 0

    def put(self, sha256_hex: str, data: bytes) -> None:
        if hashlib.sha256(data).hexdigest() != sha256_hex:
            raise ValueError("not that content")
        self.uploaded_bytes += len(data)
        self._blocks[sha256_hex] = data

    def has(self, sha256_hex: str) -> bool:
        return sha256_hex in self._blocks

    def get(self, sha256_hex: str) -> bytes:
        return self._blocks[sha256_hex]

    def missing(self, files: Sequence[Any]) -> list[tuple[int, int, str]]:
        """(file, block, sha256) of what :meth:`write` would lack."""
        return [
            (i, j, block.contents_sha256.hex())
            for i, file in enumerate(files)
            for j, block in enumerate(file.blocks)
            if not self.has(block.contents_sha256.hex())
        ]

    def write(self, volume: Volume, files: Sequence[Any], overwrite: bool) -> None:
        """All of ``files`` or none. Raises Exists."""
        if not overwrite:
            for file in files:
                if volume.at(file.path).exists():
                    raise Exists(file.path)
        for file in files:
            target = volume.at(file.path)
            target.parent.mkdir(parents=True, exist_ok=True)
            beside = target.with_name(f".{target.name}.put")
            with beside.open("wb") as out:
                for number, block in enumerate(file.blocks):  # without their trailing zeros
                    out.seek(number * BLOCK_BYTES)
                    out.write(self.get(block.contents_sha256.hex()))
                out.truncate(file.size)
            beside.replace(target)
