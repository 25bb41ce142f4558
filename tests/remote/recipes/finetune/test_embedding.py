"""The frozen encoder over rows: what is kept, and how many layers stay frozen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

from remote.recipes.finetune.embedding import Embedder, choose_frozen
from remote.recipes.finetune.inference import Encoder, token_ids
from remote.recipes.finetune.rows import Rows, read_rows
from remote.recipes.finetune.settings import Config
from remote.recipes.finetune.settings import Job as Work
from tests.remote.recipes.tiny import Job

MakeJob = Callable[..., Job]


def work(made: Job, **changes: Any) -> Work:
    return Work(Config.from_mapping(made.config | changes), lambda *_, **__: None, lambda: 0.0)


def read(made: Job, base: Path) -> Rows:
    config = Config.from_mapping(made.config)
    rows = read_rows(Path(config.train_file), config)
    rows.ids = token_ids(AutoTokenizer.from_pretrained(base), rows.texts, 32)
    return rows


def test_kept_states_are_what_the_encoder_computes(job: MakeJob, base: Path) -> None:
    made = job(precision="fp32")
    encoder, rows = Encoder.from_folder(base), read(made, base)
    vectors, hidden = Embedder(work(made), encoder, 0).embed(rows, 1, keep=True)
    assert hidden is not None
    batch = [5, 0, 17]
    states, mask = hidden.get(batch)
    assert states.shape == (3, max(len(rows.ids[i]) for i in batch), encoder.width)
    with torch.inference_mode():
        for at, row in enumerate(batch):
            ids = torch.tensor([rows.ids[row]])
            alone = encoder.lower(ids, torch.ones_like(ids), 1)[0]
            assert int(mask[at].sum()) == len(alone)
            torch.testing.assert_close(states[at][mask[at].bool()], alone, atol=1e-5, rtol=1e-5)
            whole = encoder(ids, torch.ones_like(ids))[0].mean(dim=0)
            np.testing.assert_allclose(vectors[row], whole, atol=1e-5)


@pytest.mark.parametrize(("mb", "keep"), [(0, True), (1024, False)])
def test_states_are_kept_where_they_are_wanted_and_fit(job: MakeJob, base: Path, mb: int, keep: bool) -> None:
    made = job()
    embedder = Embedder(work(made, hidden_cache_mb=mb), Encoder.from_folder(base), 0)
    assert embedder.embed(read(made, base), 1, keep)[1] is None


@pytest.mark.parametrize(
    ("changes", "rows_per_s", "frozen"),
    [
        ({"frozen_layers": 5}, 100.0, 5),
        ({"frozen_layers": 99}, 100.0, 12),  # no more than there are
        ({"frozen_layers": "auto"}, 100.0, 4),  # as long as it takes
        ({"frozen_layers": "auto", "time_budget_s": 600.0}, 100.0, 4),
        ({"frozen_layers": "auto", "time_budget_s": 45.0}, 100.0, 5),
        ({"frozen_layers": "auto", "time_budget_s": 10.0}, 100.0, 6),  # the clock ends it earlier
        ({"frozen_layers": "auto", "time_budget_s": 10.0, "epochs": 0}, 100.0, 4),
    ],
)
def test_as_few_layers_stay_frozen_as_the_time_allows(
    job: MakeJob, changes: dict[str, Any], rows_per_s: float, frozen: int
) -> None:
    encoder: Any = SimpleNamespace(depth=12)
    rows = Rows([0] * 600, [""] * 600, [], np.zeros(600))
    assert choose_frozen(work(job(), **changes), encoder, rows, rows_per_s) == frozen
