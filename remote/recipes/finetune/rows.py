"""Rows, their targets, and the order in which an epoch sees them."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .events import TrainingError
from .settings import Config


@dataclass(slots=True)
class Rows:
    """Texts with targets: class numbers [n], 0/1 [n, classes] (multi-label), standardised numbers [n, 1]."""

    row_ids: list[int]
    texts: list[str]
    raw: list[Any]  # labels as in the file
    targets: NDArray[Any]
    ids: list[list[int]] = field(default_factory=list)  # token ids

    def __len__(self) -> int:
        return len(self.texts)


def read_rows(path: Path, config: Config) -> Rows:
    """Raises TrainingError (data_error) for a file without usable rows or with unknown labels."""
    try:
        with path.open(encoding="utf-8") as file:
            lines = [json.loads(line) for line in file if line.strip()]
        row_ids, texts = [int(r["row_id"]) for r in lines], [str(r["text"]) for r in lines]
        raw = [r["label"] for r in lines]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TrainingError(
            "data_error", f"{path.name} cannot be read as rows ({type(error).__name__}: {error})."
        ) from error
    if not lines:
        raise TrainingError("data_error", f"{path.name} has no rows.")
    try:
        return Rows(row_ids, texts, raw, _targets(raw, config))
    except (KeyError, ValueError, TypeError) as error:
        raise TrainingError(
            "data_error", f"{path.name} has a label that the config does not know: {error}."
        ) from error


def _targets(raw: Sequence[Any], config: Config) -> NDArray[Any]:
    if config.family == "regression":
        numbers = np.array([[float(value)] for value in raw])
        if not np.isfinite(numbers).all():
            raise ValueError("a number that is not finite")
        return numbers
    index = {label: i for i, label in enumerate(config.labels)}
    if config.family != "multilabel":
        return np.array([index[str(value)] for value in raw], dtype=np.int64)
    marks = np.zeros((len(raw), len(index)), dtype=np.float32)
    for i, names in enumerate(raw):
        for name in names:
            marks[i, index[str(name)]] = 1
    return marks


def sampled(rows: Rows, config: Config) -> Rows:
    """``max_train_rows`` of them, then some once more with typing errors. The same for the same seed."""
    rng = random.Random(config.seed)  # noqa: S311 - not for secrets
    chosen = list(range(len(rows)))
    if config.max_train_rows and config.max_train_rows < len(rows):
        chosen = sorted(rng.sample(chosen, config.max_train_rows))
    again = (
        rng.sample(chosen, round(config.typo_augmentation * len(chosen))) if config.typo_augmentation else []
    )
    texts = [rows.texts[i] for i in chosen] + [_with_typos(rows.texts[i], rng) for i in again]
    both = chosen + again
    return Rows([rows.row_ids[i] for i in both], texts, [rows.raw[i] for i in both], rows.targets[both])


def _with_typos(text: str, rng: random.Random) -> str:
    """Swap, drop or double a letter in about one word of four."""
    words = text.split(" ")
    for i, word in enumerate(words):
        if len(word) > 3 and rng.random() < 0.25:
            at = rng.randrange(len(word) - 1)
            a, b = word[at], word[at + 1]
            words[i] = word[:at] + rng.choice((b + a, a, a + a + b)) + word[at + 2 :]
    return " ".join(words)


def epoch_steps(lengths: Sequence[int], rows_a_step: int, seed: int, epoch: int) -> list[list[int]]:
    """One epoch's steps: rows of like length together, in an order that (seed, epoch) fixes."""
    rng = np.random.default_rng([seed, epoch])
    order = rng.permutation(len(lengths)).tolist()
    steps: list[list[int]] = []
    for start in range(0, len(order), rows_a_step * 32):
        window = sorted(order[start : start + rows_a_step * 32], key=lambda row: lengths[row])
        steps += [window[at : at + rows_a_step] for at in range(0, len(window), rows_a_step)]
    return [steps[i] for i in rng.permutation(len(steps))]


def standardise_targets(train: Rows, validation: Rows, config: Config) -> tuple[float, float]:
    """For regression: bring targets to mean 0 and standard deviation 1 (of train), in place."""
    if config.family != "regression":
        return 0.0, 1.0
    mean, std = float(train.targets.mean()), float(train.targets.std()) or 1.0
    for rows in (train, validation):
        rows.targets = (rows.targets - mean) / std
    return mean, std
