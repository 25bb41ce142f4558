"""The loss."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from remote.recipes.finetune.objective import class_weights
from remote.recipes.finetune.settings import Config
from tests.remote.recipes.tiny import Job

MakeJob = Callable[..., Job]


def test_class_weights_help_rare_classes() -> None:
    config = Config.from_mapping({"labels": ["a", "b"]})
    rare = np.array([0] * 90 + [1] * 10)
    weights_ = class_weights(config, rare)
    assert weights_ is not None
    assert weights_[1] > 2 * weights_[0]
    assert float(weights_[torch.from_numpy(rare)].mean()) == pytest.approx(1)
    assert class_weights(config, np.array([0] * 60 + [1] * 40)) is None
