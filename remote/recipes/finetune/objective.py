"""The training loss, and the weights of its classes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from .settings import Config


class Objective:
    """The training loss, summed over a batch: weighted, smoothed cross-entropy; squared error for numbers."""

    def __init__(self, config: Config, targets: NDArray[Any], device: torch.device) -> None:
        self.config = config
        self.targets = torch.from_numpy(targets).to(device)
        if config.family == "regression":
            self.targets = self.targets.float()
        classes = max(len(config.labels), 2)
        self.chance = {"regression": 1.0, "multilabel": math.log(2)}.get(config.family, math.log(classes))
        self.weights = class_weights(config, targets)
        if self.weights is not None:
            self.weights = self.weights.to(device)

    def __call__(self, logits: Tensor, rows: Sequence[int]) -> Tensor:
        wanted, smoothing = self.targets[list(rows)], self.config.label_smoothing
        if self.config.family == "regression":
            return ((logits - wanted) ** 2).sum()
        if self.config.family == "multilabel":
            smooth = wanted * (1 - smoothing) + smoothing / 2
            loss = binary_cross_entropy_with_logits(logits, smooth, pos_weight=self.weights, reduction="none")
            return loss.mean(dim=1).sum()
        loss = cross_entropy(logits, wanted, label_smoothing=smoothing, reduction="none")
        return (loss if self.weights is None else loss * self.weights[wanted]).sum()


def class_weights(config: Config, targets: NDArray[Any]) -> Tensor | None:
    """Inverse square roots of the classes' shares (full inverses overdo it), with mean 1 over the rows."""
    if config.family == "regression" or config.class_weights == "off":
        return None
    if config.family == "multilabel":
        counts = np.maximum(targets.sum(axis=0), 1)
        weights = np.clip(np.sqrt((len(targets) - counts) / counts), 1.0, 10.0)
        return torch.from_numpy(weights.astype(np.float32)) if config.class_weights == "on" else None
    counts = np.maximum(np.bincount(targets, minlength=len(config.labels)), 1)
    if config.class_weights == "auto" and counts.max() <= 5 * counts.min():
        return None
    weights = 1 / np.sqrt(counts)
    return torch.from_numpy((weights * len(targets) / (weights * counts).sum()).astype(np.float32))
