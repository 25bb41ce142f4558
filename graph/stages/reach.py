"""Which files of this machine a request may name. Who asks from a chat must not read them by naming them."""

from __future__ import annotations

from pathlib import Path

from graph.errors import SourceError
from graph.names import FailureKind


def check_reach(wanted: str, below: str | None, hint: str) -> None:
    """Raises SourceError for a path outside of ``below``, where there is a bound. ``hint``: what to name instead."""
    if below is None or Path(wanted).expanduser().resolve().is_relative_to(Path(below).resolve()):
        return
    raise SourceError(f"I can't read {Path(wanted).name[:80]} from here.", hint, FailureKind.DENIED)


def is_folder(wanted: str) -> bool:
    """Whether it is meant as a folder's path: it starts like one, or there is one."""
    return wanted.startswith(("/", "./", "../", "~")) or Path(wanted).is_dir()
