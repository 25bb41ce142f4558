"""What is fitted on validation."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from remote.recipes.finetune.inference import temper
from remote.recipes.finetune.linear import fit_temperature
from tests.remote.recipes.tiny import Job

MakeJob = Callable[..., Job]


def test_a_temperature_undoes_over_confidence() -> None:
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(4), 4000)
    truth = np.array([rng.choice(4, p=row) for row in p])
    sharp = temper(p, 1 / 3, "multiclass")
    assert fit_temperature(sharp, truth, "multiclass") == pytest.approx(3, rel=0.15)
    assert fit_temperature(p, truth, "multiclass") == pytest.approx(1, rel=0.15)
