from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.remote.recipes.tiny import Job, make_base, make_job


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("base") / "tiny")


@pytest.fixture
def job(tmp_path: Path, base: Path) -> Callable[..., Job]:
    """``job(family, **config)``: a job in a folder of its own."""
    made: list[Job] = []

    def make(family: str = "multiclass", **config: object) -> Job:
        made.append(make_job(tmp_path / f"job{len(made)}", base, family, **config))  # type: ignore[arg-type]
        return made[-1]

    return make
