"""Reading an event's payload without ever failing.

A log may be older than this code, or come from a newer one: a missing or odd field is shown as nothing,
never as an error, because a surface that cannot show one card must still show the others.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


class Payload:
    def __init__(self, data: Any) -> None:
        self.data: Mapping[str, Any] = data if isinstance(data, Mapping) else {}

    def __bool__(self) -> bool:
        return bool(self.data)

    def has(self, key: str) -> bool:
        return self.data.get(key) is not None

    def text(self, key: str, default: str = "") -> str:
        return as_text(self.data.get(key), default)

    def number(self, key: str) -> float | None:
        return as_number(self.data.get(key))

    def flag(self, key: str, default: bool = False) -> bool:
        value = self.data.get(key)
        return value if isinstance(value, bool) else default

    def part(self, key: str) -> Payload:
        return Payload(self.data.get(key))

    def parts(self, key: str) -> list[Payload]:
        return [Payload(item) for item in self._list(key) if isinstance(item, Mapping)]

    def texts(self, key: str) -> tuple[str, ...]:
        return tuple(text for item in self._list(key) if (text := as_text(item)))

    def numbers(self) -> dict[str, float]:
        """The fields that are numbers, in the payload's order."""
        found = {str(name): as_number(value) for name, value in self.data.items()}
        return {name: value for name, value in found.items() if value is not None}

    def _list(self, key: str) -> list[Any]:
        value = self.data.get(key)
        return list(value) if isinstance(value, list | tuple) else []


def as_text(value: Any, default: str = "") -> str:
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, Mapping | list | tuple):
        return default
    return str(value)


def as_number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None
