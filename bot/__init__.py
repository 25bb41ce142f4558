"""Who talks to people. ``from bot import Intern`` is the Python door; it is loaded when it is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bot.api import Intern as Intern


def __getattr__(name: str) -> Any:
    if name == "Intern":
        from bot.api import Intern

        return Intern
    raise AttributeError(f"module 'bot' has no attribute {name!r}")
