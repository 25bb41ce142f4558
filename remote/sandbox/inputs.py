"""Placing a job's inputs: copies in ``in/``, or read-only binds for what is shared.

Copies are real ones: the source may be edited while the job runs (a user's CSV), and a hard link would
follow it. Shared inputs (model weights) are large and do not change, so they are bound. A model in the
Hub's cache is a folder of links into ``blobs/``; each such file is bound by itself, as the links would lead
nowhere in the sandbox.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from remote.backend import BackendError, Input
from remote.protocol import FailureKind
from remote.sandbox.isolation import VIEW, Bind

_MAX_BINDS = 500  # files; a mount is cheap, but not free


def place(inputs: Sequence[Input], folder: Path, *, isolated: bool, other_uid: bool) -> tuple[Bind, ...]:
    """Fill ``folder`` (the job's ``in/``) and return the binds with which a sandbox sees them.

    ``other_uid``: the job runs as a uid that owns nothing here, so what it reads must be readable by all.
    Raises BackendError: ``data_error`` for a missing or unreadable source, ``no_disk`` when the copy does
    not fit.
    """
    binds: list[Bind] = []
    for item in inputs:
        source = Path(item.source).absolute()
        _check(item, source)
        if item.shared and isolated:
            shared = _shared_binds(item.name, source)
            if len(shared) <= _MAX_BINDS and not (other_uid and _closed(shared)):
                binds += shared
                continue
        target = folder / item.name
        target.parent.mkdir(parents=True, exist_ok=True)
        if item.shared and not isolated:
            target.symlink_to(source)
            continue
        _copy(source, target)
        binds.append(Bind(str(target), str(VIEW / "in" / item.name)))
    if other_uid:
        _open_up(folder)
    return tuple(binds)


def _check(item: Input, source: Path) -> None:
    name = PurePosixPath(item.name)
    if name.is_absolute() or ".." in name.parts or not name.parts:
        detail = f"The input name {item.name!r} is not a path below the job's in/."
        raise BackendError(FailureKind.DATA_ERROR, detail, "Give a relative name without '..'.")
    if not source.exists():
        detail = f"The input {str(source)!r} does not exist."
        raise BackendError(FailureKind.DATA_ERROR, detail, "Check the path, or fetch the data again.")
    if not (source.is_file() or source.is_dir()):
        detail = f"The input {str(source)!r} is neither a file nor a folder."
        raise BackendError(FailureKind.DATA_ERROR, detail, "Give a plain file or a folder.")


def _shared_binds(name: str, source: Path) -> list[Bind]:
    target = VIEW / "in" / name
    if source.is_file():
        return [Bind(str(source.resolve()), str(target))]
    files = [path for path in source.rglob("*") if path.is_file()]
    if not any(path.is_symlink() for path in source.rglob("*")):
        return [Bind(str(source.resolve()), str(target))]
    return [Bind(str(path.resolve()), str(target / path.relative_to(source))) for path in sorted(files)]


def _closed(binds: Sequence[Bind]) -> bool:
    """Whether another uid could not read some of it."""
    for bind in binds:
        top = Path(bind.source)
        for path in (top, *top.rglob("*")):
            need = 0o005 if path.is_dir() else 0o004
            if path.stat().st_mode & need != need:
                return True
    return False


def _copy(source: Path, target: Path) -> None:
    try:
        if source.is_dir():
            shutil.copytree(source, target, copy_function=shutil.copyfile, dirs_exist_ok=True)
        else:
            shutil.copyfile(source, target)
    except PermissionError as error:
        detail = f"The input {str(source)!r} cannot be read."
        raise BackendError(FailureKind.DATA_ERROR, detail, "Give yourself the right to read it.") from error
    except (shutil.Error, OSError) as error:
        detail = f"The input {str(source)!r} could not be copied into the job's folder."
        raise BackendError(FailureKind.NO_DISK, detail, "Free some disk space and try again.") from error


def _open_up(folder: Path) -> None:
    """Readable by all; the folder above (``jobs/``) stays closed to others."""
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() else 0o644)
