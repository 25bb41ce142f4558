"""Frozen values to JSON and back. pydantic reads the dataclasses as they are, so that an old row with a field
missing gets its default and a row with an unknown value is an error that names it."""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import cache
from typing import Any, TypeVar

from pydantic import TypeAdapter

T = TypeVar("T")


@cache
def _adapter(cls: Any) -> TypeAdapter[Any]:
    return TypeAdapter(cls)


def dump(value: Any) -> str:
    """JSON text of a dataclass."""
    return json.dumps(asdict(value), ensure_ascii=False)


def load(cls: type[T], text: str) -> T:
    """The ``cls`` in ``text``; raises ``pydantic.ValidationError`` for text that holds none."""
    value: T = _adapter(cls).validate_json(text)  # type: ignore[arg-type]  # a class is hashable
    return value
