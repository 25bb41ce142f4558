"""Folders as single files, for the way to a job and back.

One archive a job and one a snapshot: a bucket has no transactions, so many files could arrive in part, while
one file is there or not, and its name carries its sha256. Archives are zip files without compression: the
Hub's storage finds repeated content by itself (model weights travel once), ``python archive.zip`` runs a
job without any file of ours in its image, and an archive cannot unfold into more than its own size.

Archives that come back were made by a job and are not trusted: only plain files with harmless names are
taken, and everything is looked at before anything is written. Standard library only.
"""

from __future__ import annotations

import hashlib
import os
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from remote.backend import ArtifactError
from remote.protocol import FailureKind
from remote.sandbox.artifacts import refused

_CHUNK_BYTES = 1024**2
_DATE = (1980, 1, 1, 0, 0, 0)  # the same files give the same archive


def pack(folder: Path, archive: Path) -> None:
    """All files below ``folder`` (a trusted one: links are followed) as ``archive``. Raises OSError."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as target:
        for path in _walk(folder, follow=True):
            if path.is_file():
                _add(target, path, path.relative_to(folder).as_posix())


def pack_out(folder: Path, archive: Path) -> None:
    """A job's ``out/``. A link or special file is named in the archive but never read. Raises OSError."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as target:
        for path in _walk(folder, follow=False):
            name = os.fsencode(path.relative_to(folder)).decode("utf-8", "backslashreplace")
            mode = path.lstat().st_mode
            if stat.S_ISREG(mode):
                _add(target, path, name)
            else:
                entry = zipfile.ZipInfo(name, _DATE)
                entry.external_attr = mode << 16
                target.writestr(entry, b"")


def unpack_out(archive: Path, into: Path) -> None:
    """The files of a snapshot below ``into``. Raises ArtifactError for anything but plain files below it, and
    OSError when ``into`` cannot be written."""
    try:
        with zipfile.ZipFile(archive) as source:
            entries = source.infolist()
            if sum(entry.file_size for entry in entries) > archive.stat().st_size:
                raise refused(archive.name, "unfolds into more than it holds")
            for entry in entries:
                _check(entry)
            for entry in entries:
                _extract(source, entry, into)
    except (zipfile.BadZipFile, NotImplementedError, EOFError) as error:
        detail = "What came back from the job is no archive, or only a part of one."
        raise ArtifactError(FailureKind.SCRIPT_ERROR, detail, "Run the job again.") from error


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def link_tree(source: Path, target: Path) -> None:
    """``source`` as it is at this moment, in hard links: files that are replaced later stay as they were."""
    for path in _walk(source, follow=False):
        copy = target / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        os.link(path, copy, follow_symlinks=False)


def signature(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """What changes when any file below ``folder`` does: names, sizes and times in ns."""
    found = []
    for path in _walk(folder, follow=False):
        try:
            info = path.lstat()
        except FileNotFoundError:  # replaced while we looked
            continue
        found.append((str(path), info.st_size, info.st_mtime_ns))
    return tuple(sorted(found))


def _walk(folder: Path, *, follow: bool) -> Iterator[Path]:
    """Everything below ``folder`` but folders, in a fixed order."""
    for root, folders, files in os.walk(folder, followlinks=follow):
        folders.sort()
        links = [] if follow else [name for name in folders if Path(root, name).is_symlink()]
        for name in sorted([*files, *links]):
            yield Path(root, name)


def _add(target: zipfile.ZipFile, path: Path, name: str) -> None:
    entry = zipfile.ZipInfo(name, _DATE)
    entry.external_attr = (stat.S_IFREG | 0o644) << 16
    entry.file_size = path.stat().st_size  # tells zipfile whether it needs 64 bits
    with path.open("rb") as reader, target.open(entry, "w") as writer:
        while chunk := reader.read(_CHUNK_BYTES):
            writer.write(chunk)


def _check(entry: zipfile.ZipInfo) -> None:
    name = PurePosixPath(entry.filename)
    plain = (
        entry.filename == name.as_posix() and "\\" not in entry.filename and "\0" not in entry.orig_filename
    )
    if not plain or name.is_absolute() or ".." in name.parts or not name.parts:
        raise refused(entry.filename, "has a name that leads out of its folder")
    if not entry.filename.isprintable():
        raise refused(entry.filename, "has control characters in its name")
    if not stat.S_ISREG(entry.external_attr >> 16):
        raise refused(entry.filename, "is a link or a special file, which is not taken over")
    if entry.compress_type != zipfile.ZIP_STORED:
        raise refused(entry.filename, "is compressed, which no file of a job is")


def _extract(source: zipfile.ZipFile, entry: zipfile.ZipInfo, into: Path) -> None:
    target = into / entry.filename
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with source.open(entry) as reader, target.open("xb") as writer:
            while chunk := reader.read(_CHUNK_BYTES):
                writer.write(chunk)
    except (FileExistsError, NotADirectoryError) as error:
        raise refused(entry.filename, "is in the archive twice") from error
