"""Which rows, in which order."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from remote.recipes.finetune.rows import epoch_steps, read_rows, sampled
from remote.recipes.finetune.settings import Config
from tests.remote.recipes.tiny import Job

MakeJob = Callable[..., Job]


def test_steps_hold_every_row_once_in_batches_of_like_length() -> None:
    rng = np.random.default_rng(0)
    lengths = rng.integers(3, 60, 500).tolist()
    steps = epoch_steps(lengths, 16, seed=3, epoch=1)
    assert sorted(row for step in steps for row in step) == list(range(500))
    padded = sum(len(step) * max(lengths[row] for row in step) for step in steps)
    assert padded < 1.15 * sum(lengths)
    assert steps == epoch_steps(lengths, 16, seed=3, epoch=1)
    assert steps != epoch_steps(lengths, 16, seed=3, epoch=2)


def test_typos_and_samples_are_seeded(job: MakeJob) -> None:
    config = Config.from_mapping(job(max_train_rows=40, typo_augmentation=0.5).config)
    rows = read_rows(Path(config.train_file), config)
    one, two = sampled(rows, config), sampled(rows, config)
    assert one.texts == two.texts
    assert len(one) == 60
    by_id = dict(zip(rows.row_ids, rows.texts, strict=True))
    changed = [text for row_id, text in zip(one.row_ids, one.texts, strict=True) if text != by_id[row_id]]
    assert 5 < len(changed) <= 20
