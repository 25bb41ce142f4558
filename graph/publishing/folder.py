"""Publishing to a folder: complete or nothing. The files are copied beside it and renamed into place.

A note in it (``.publication.json``) says by which run and step it was made, so that the same publication is
found instead of repeated, and a later one of ours may replace it. A folder that holds anything else is never
touched.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from pydantic import SecretStr

from graph.deps import Publication, PublishFile, Steps, Verify
from graph.errors import PublishError
from graph.files import read_json
from graph.names import FailureKind
from graph.publishing.checks import Checked, check
from graph.publishing.layout import Item, run_items
from remote.protocol import sha256_file

NOTE = ".publication.json"


class FolderPublisher:
    """A :class:`graph.deps.Publisher`. ``secrets``: values that no published file may hold."""

    name = "folder"

    def __init__(self, secrets: Sequence[SecretStr] = ()) -> None:
        self._secrets = tuple(secrets)

    async def check(self, target: str) -> None:
        path = Path(target.removeprefix("folder:")).expanduser().absolute()
        existing = next(p for p in (path, *path.parents) if p.exists())
        if not (existing.is_dir() and os.access(existing, os.W_OK)):
            raise PublishError(
                f"{path} cannot be written.", "Name a folder that you may write.", FailureKind.DENIED
            )

    async def dry_run(self, folder: Path, target: str = "") -> tuple[PublishFile, ...]:
        return (await self.checked(folder)).files

    async def checked(self, folder: Path) -> Checked:
        """As :meth:`dry_run`, with the warnings."""
        return await asyncio.to_thread(self._check, run_items(folder))

    async def publish(
        self,
        folder: Path,
        target: str,
        *,
        private: bool,
        key: str,
        steps: Steps,
        verify: Verify | None = None,
    ) -> Publication:
        """``private``: only this user may open the folder. It appears in one rename, after each file's hash was
        compared, so there are no ``steps`` to keep and nothing to ``verify``. Raises PublishRefused, PublishError."""
        return await asyncio.to_thread(self._publish, folder, target.removeprefix("folder:"), private, key)

    async def unpublish(self, publication: Mapping[str, Any], *, keep: bool) -> tuple[str, ...]:
        """Delete the folder where it is as it was published; ``keep``: let only this user open it."""
        return (await asyncio.to_thread(_withdraw, publication, keep),)

    def _check(self, items: Sequence[Item]) -> Checked:
        return check(items, [secret.get_secret_value() for secret in self._secrets])

    def _publish(self, folder: Path, target: str, private: bool, key: str) -> Publication:
        folder, path = folder.absolute(), Path(target).expanduser().absolute()
        if path == folder or path in folder.parents or folder in path.parents:
            raise PublishError(
                "A run cannot be published into itself.", "Name another folder.", FailureKind.DENIED
            )
        items = run_items(folder)
        files = self._check(items).files
        publication = Publication(path.as_uri(), _revision(files), files)
        note = {"key": key, "files": [[f.path, f.bytes, f.sha256] for f in files]}
        if _holds(path, note):
            return publication
        _may_replace(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            part = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent))
            try:
                _copy(items, files, part)
                (part / NOTE).write_text(json.dumps(note), encoding="utf-8")
                part.chmod(0o700 if private else 0o755)
                _replace(part, path)
            finally:
                shutil.rmtree(part, ignore_errors=True)
        except OSError as error:
            raise PublishError(
                f"{path} could not be written: {error.strerror or error}.",
                "Check free space and permissions, or name another folder.",
                FailureKind.NO_DISK,
            ) from error
        return publication


def _copy(items: Sequence[Item], files: Sequence[PublishFile], part: Path) -> None:
    for item, file in zip(items, files, strict=True):
        copy = part / item.path
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(item.source, copy, follow_symlinks=False)
        if sha256_file(copy) != file.sha256:
            raise PublishError(
                f"{item.path} changed while it was published.", "Publish again.", FailureKind.UNKNOWN
            )


def _holds(path: Path, note: dict[str, Any]) -> bool:
    """Whether exactly this stands there, unchanged, whatever its key was."""
    found = _note(path)
    if found is None or found.get("files") != note["files"]:
        return False
    return all(
        (path / name).is_file() and not (path / name).is_symlink() and sha256_file(path / name) == sha256
        for name, _, sha256 in note["files"]
    )


def _note(path: Path) -> dict[str, Any] | None:
    note = read_json(path / NOTE)
    return note if isinstance(note, dict) else None


def _withdraw(publication: Mapping[str, Any], keep: bool) -> str:
    path = Path(url2pathname(urlsplit(str(publication["url"])).path))
    if not path.is_dir():
        return f"{path} was already gone."
    files = [[f["path"], f["bytes"], f["sha256"]] for f in publication["files"]]
    ours = {name for name, _, _ in files} | {NOTE}
    if not _holds(path, {"files": files}) or any(
        f.relative_to(path).as_posix() not in ours for f in path.rglob("*") if not f.is_dir()
    ):
        return f"{path} has changed since it was published: it was left as it is."
    try:
        if keep:
            path.chmod(0o700)
            return f"{path} can be opened by this user only."
        shutil.rmtree(path)
    except OSError as error:
        raise PublishError(
            f"{path} could not be taken back: {error.strerror or error}.",
            "Check its permissions.",
            FailureKind.DENIED,
        ) from error
    return f"{path} is deleted."


def _may_replace(path: Path) -> None:
    if not os.path.lexists(path) or _note(path) is not None:
        return
    if path.is_symlink() or not path.is_dir():
        raise PublishError(f"{path} is not a folder.", "Name a new folder.", FailureKind.DENIED)
    if any(path.iterdir()):
        raise PublishError(
            f"{path} holds other files, which stay as they are.", "Name a new folder.", FailureKind.DENIED
        )


def _replace(part: Path, path: Path) -> None:
    if not path.exists():
        part.rename(path)
        return
    old = part.with_suffix(".old")
    path.rename(old)
    part.rename(path)
    shutil.rmtree(old)


def _revision(files: Sequence[PublishFile]) -> str:
    body = "".join(f"{f.sha256}  {f.path}\n" for f in files)
    return hashlib.sha256(body.encode()).hexdigest()[:12]
