"""Files of a run: written beside and renamed into place, so that a reader never sees half of one."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from graph.errors import StageFailed
from graph.names import FailureKind


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield temporary
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StageFailed(
                f"The disk is full: {path.name} could not be written.",
                "Free some space, then `intern resume`.",
                FailureKind.NO_DISK,
            ) from error
        raise StageFailed(
            f"{path} could not be written: {error.strerror}.", "Check the folder's permissions."
        ) from error


def write_text(path: Path, text: str) -> None:
    with _beside(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n")


def read_json(path: Path) -> Any:
    """What the file holds; ``None`` where it is missing, unreadable or no JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def copy_file(source: Path, path: Path) -> None:
    with _beside(path) as temporary:
        shutil.copyfile(source, temporary)


def copy_tree(source: Path, path: Path, ignore: tuple[str, ...] = ()) -> None:
    """Copy a folder of plain files, without the entries ``ignore`` at its top and what
    Python compiled; what was at ``path`` is replaced once the copy is whole."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    shutil.rmtree(temporary, ignore_errors=True)

    def skip(folder: str, names: list[str]) -> set[str]:
        unwanted = (*ignore, "__pycache__") if Path(folder) == source else ("__pycache__",)
        return {n for n in names if n in unwanted}

    shutil.copytree(source, temporary, ignore=skip)
    if path.exists():
        old = path.with_name(f".{path.name}.{os.getpid()}.old")
        path.rename(old)
        temporary.rename(path)
        shutil.rmtree(old)
    else:
        temporary.rename(path)


def listed(value: Any) -> list[Any]:
    """``value`` if it is a list, else none: JSON of others is read so."""
    return value if isinstance(value, list) else []
