"""The kinds of base model that are offered are those that the recipe's encoder runs, and no others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from graph.research.encoders import SUPPORTED
from remote.recipes.finetune.inference import Encoder, pool

SMALL = {
    "vocab_size": 60, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32,
    "max_position_embeddings": 64, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "sep_token_id": 2,
    "cls_token_id": 1,
}  # fmt: skip
OTHER_NAMES: dict[str, dict[str, Any]] = {
    "distilbert": {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32},
    "electra": {"embedding_size": 8},
    "albert": {"embedding_size": 8},
}
OWN = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")


def config_of(kind: str) -> Any:
    more = OTHER_NAMES.get(kind, {})
    left_out = OWN if kind == "distilbert" else ()
    return transformers.AutoConfig.for_model(
        kind, **{k: v for k, v in SMALL.items() if k not in left_out}, **more
    )


@pytest.mark.parametrize("kind", sorted(SUPPORTED))
def test_an_offered_kind_gives_a_vector_that_padding_does_not_change(kind: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    transformers.AutoModel.from_config(config_of(kind)).save_pretrained(tmp_path)
    encoder = Encoder.from_folder(tmp_path)
    ids, padded = torch.tensor([[5, 6, 7]]), torch.tensor([[5, 6, 7, 0, 0]])
    with torch.inference_mode():
        alone = pool(encoder(ids, torch.ones_like(ids)), torch.ones_like(ids))
        mask = torch.tensor([[1, 1, 1, 0, 0]])
        beside = pool(encoder(padded, mask), mask)
    assert alone.shape == (1, encoder.width)
    assert torch.allclose(alone, beside, atol=1e-4)
    assert encoder.longest >= 60
