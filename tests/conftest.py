"""The order of the tests: what takes minutes begins first, so that no process is left alone with it at the end."""

from __future__ import annotations

from pathlib import Path

import pytest

FIRST = Path(__file__).parent / "e2e"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: FIRST not in item.path.parents)
