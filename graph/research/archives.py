"""Reading from archives that came from outside: bounded in size, no links, no path that leaves its folder.

Members are named one by one; nothing is unpacked wholesale, and nothing that an archive says about itself
(declared sizes, modes, owners) is believed. Errors: :class:`graph.errors.SourceError` (``data_error``).
"""

from __future__ import annotations

import io
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from graph.errors import SourceError
from graph.names import FailureKind

CHUNK_BYTES = 1 << 20
MAX_MEMBER_BYTES = 256 << 20
INNER = "::"  # "outer.tar.gz member :: member of the archive inside"


def read_member(archive: Path, member: str, max_bytes: int = MAX_MEMBER_BYTES) -> bytes:
    """The content of one file of a zip or tar archive; ``a.tar.gz::b`` reads ``b`` of the archive in it."""
    outer, _, inner = member.partition(INNER)
    with archive.open("rb") as file:
        content = _read(file, archive.name, outer, max_bytes)
    return _read(io.BytesIO(content), outer, inner, max_bytes) if inner else content


def extract_folder(
    archive: Path, prefix: str, into: Path, suffixes: frozenset[str], max_bytes: int = MAX_MEMBER_BYTES
) -> tuple[str, ...]:
    """Write the files of a zip under ``prefix`` with an allowed suffix; returns their paths below ``into``.

    ``into`` is a new folder of ours, so that no link in it can lead elsewhere. ``max_bytes`` bounds the sum.
    """
    written: list[str] = []
    left = max_bytes
    with _opened(archive.name), zipfile.ZipFile(archive) as bundle:
        for info in bundle.infolist():
            name = PurePosixPath(info.filename)
            if info.is_dir() or not info.filename.startswith(prefix) or name.suffix not in suffixes:
                continue
            relative = _safe(info.filename.removeprefix(prefix), archive.name)
            path = into / relative
            path.parent.mkdir(parents=True, exist_ok=True)
            with bundle.open(info) as source, path.open("xb") as target:
                left -= _copy(source, target, left, archive.name)
            written.append(relative.as_posix())
    return tuple(written)


def _safe(name: str, archive: str) -> PurePosixPath:
    path = PurePosixPath(name)
    if path.is_absolute() or not path.parts or ".." in path.parts or "\\" in name or "\0" in name:
        raise _bad(archive, f"it holds a file with the unsafe name {name[:80]!r}")
    return path


def _copy(source: IO[bytes], target: IO[bytes], max_bytes: int, archive: str) -> int:
    size = 0
    while chunk := source.read(CHUNK_BYTES):
        size += len(chunk)
        if size > max_bytes:
            raise _bad(archive, "it unpacks to more than is allowed")
        target.write(chunk)
    return size


def _read(file: IO[bytes], archive: str, member: str, max_bytes: int) -> bytes:
    content = io.BytesIO()
    with _opened(archive):
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as bundle, bundle.open(member) as source:
                _copy(source, content, max_bytes, archive)
        else:
            file.seek(0)
            with tarfile.open(fileobj=file, mode="r:*") as tar:
                _copy(_regular(tar, member, archive), content, max_bytes, archive)
    return content.getvalue()


def _regular(tar: tarfile.TarFile, member: str, archive: str) -> IO[bytes]:
    info = tar.getmember(member)
    source = tar.extractfile(info) if info.isreg() else None  # extractfile would follow a link
    if source is None:
        raise _bad(archive, f"{member} in it is not a plain file")
    return source


@contextmanager
def _opened(archive: str) -> Iterator[None]:
    try:
        yield
    except KeyError as error:
        raise _bad(archive, f"{error.args[0] if error.args else 'a file'}") from error
    except (
        zipfile.BadZipFile,
        tarfile.TarError,
        zlib.error,
        EOFError,
        RuntimeError,
        NotImplementedError,
    ) as error:
        raise _bad(archive, "it is damaged, encrypted or no archive") from error


def _bad(archive: str, why: str) -> SourceError:
    return SourceError(
        f"The archive {archive} cannot be used: {why}.",
        "Delete it and try again; if it stays so, name data of your own.",
        FailureKind.DATA_ERROR,
    )
