from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AlbertConfig, AlbertModel

from remote.recipes.finetune.inference import Encoder, Model, coverage, length_batches, temper, vocabulary
from tests.remote.recipes.tiny import Job, labelled, make_base, make_job


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Job:
    folder = tmp_path_factory.mktemp("trained")
    made = make_job(folder / "job", make_base(folder / "base"), ensemble="on")
    made.result()
    return made


def test_answers_do_not_depend_on_order_or_batch(trained: Job) -> None:
    model = Model.from_folder(trained.out / "model")
    texts = [row["text"] for row in labelled("multiclass", 30, seed=5)]
    one = model.probabilities(texts)
    other = model.probabilities(texts[::-1], batch_size=3)[::-1]
    np.testing.assert_allclose(one, other, atol=1e-6)
    np.testing.assert_array_equal(one, Model.from_folder(trained.out / "model").probabilities(texts))
    np.testing.assert_allclose(one.sum(axis=1), 1)


def test_odd_texts_are_answered(trained: Job) -> None:
    model = Model.from_folder(trained.out / "model")
    odd = ["", " \n\t", "\x00\x1b[31m", "card " * 20_000, "ß漢字🙂", "a" * 100_000]
    answers = model.predict(odd)
    assert len(answers) == len(odd)
    assert all(0 <= answer.confidence <= 1 for answer in answers)
    assert model.predict([]) == []
    assert answers[0].unlike_training


def test_gibberish_is_unlike_training_and_like_texts_are_not(trained: Job) -> None:
    model = Model.from_folder(trained.out / "model")
    known, strange = model.predict(["please help me my card is lost", "qwzx vbnk plqt zzgh"])
    assert (known.unlike_training, strange.unlike_training) == (False, True)
    assert strange.vocabulary_coverage == 0
    assert known.label == "card"


def test_the_packed_folder_answers_alone(trained: Job) -> None:
    """``python inference.py "…"`` in the model's own folder, with nothing else of this project at hand."""
    done = subprocess.run(
        [sys.executable, "inference.py", "my card is lost", "-x"][:3],
        cwd=trained.out / "model",
        env={**os.environ, "PYTHONPATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    answer = json.loads(done.stdout)
    assert answer["label"] == Model.from_folder(trained.out / "model").predict(["my card is lost"])[0].label
    assert answer.keys() >= {"text", "confidence", "scores", "unlike_training", "vocabulary_coverage"}


def test_an_encoder_of_another_build_is_run_whole() -> None:
    """ALBERT shares one layer's weights: its stack cannot be run as BERT's is, and must not be."""
    torch.manual_seed(0)
    config = AlbertConfig(
        vocab_size=50,
        embedding_size=8,
        hidden_size=16,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=32,
    )
    model = AlbertModel(config).eval()
    encoder = Encoder(model)
    ids, mask = torch.tensor([[1, 5, 9]]), torch.ones(1, 3, dtype=torch.long)
    assert not encoder.splits
    assert torch.equal(encoder(ids, mask), model(input_ids=ids, attention_mask=mask).last_hidden_state)


def test_running_in_two_parts_gives_the_whole(base: Path) -> None:
    encoder = Encoder.from_folder(base)
    assert encoder.splits
    ids, mask = torch.tensor([[2, 7, 9, 3], [2, 8, 3, 0]]), torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]])
    whole = encoder.model(input_ids=ids, attention_mask=mask).last_hidden_state
    for depth in range(3):
        parts = encoder.upper(encoder.lower(ids, mask, depth), mask, depth)
        torch.testing.assert_close(parts[mask.bool()], whole[mask.bool()])


def test_batches_hold_every_row_once_and_few_tokens() -> None:
    lengths = np.random.default_rng(0).integers(1, 512, 300).tolist()
    batches = length_batches(lengths, 64, max_tokens=4096)
    assert sorted(row for batch in batches for row in batch) == list(range(300))
    assert all(len(batch) <= 64 for batch in batches)
    assert all(len(batch) * max(lengths[row] for row in batch) <= 4096 for batch in batches)


def test_coverage_counts_words_of_any_script() -> None:
    known = vocabulary(["Wo ist meine Überweisung?", "我的卡丢了"])
    assert coverage("meine ÜBERWEISUNG", known) == 1
    assert coverage("我的钱", known) == pytest.approx(2 / 3)
    assert coverage("?!", known) == 0


@pytest.mark.parametrize("family", ["multiclass", "multilabel"])
def test_a_temperature_keeps_the_order_and_can_be_undone(family: str) -> None:
    p = np.random.default_rng(0).dirichlet(np.ones(5), 50)
    soft = temper(p, 3.0, family)
    assert (soft.argmax(axis=1) == p.argmax(axis=1)).all()
    assert (soft.max(axis=1) < p.max(axis=1)).all() or family == "multilabel"
    np.testing.assert_allclose(temper(soft, 1 / 3, family), p, atol=1e-9)
