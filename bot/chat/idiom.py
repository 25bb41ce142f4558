"""What a surface calls things, for the texts that all of them share. Plain data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Idiom:
    """``community``: what its people belong to, such as "workspace". ``start``: how a run is started, after "Start
    one:". ``help``: what can be written, and what it does.
    """

    community: str
    start: str
    help: tuple[tuple[str, str], ...]
