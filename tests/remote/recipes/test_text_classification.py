"""The script as a whole: every family, the packed model, and what cannot work."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score
from transformers import AutoModel

from remote.protocol import JobEventType, sha256_file
from remote.recipes.finetune.inference import Model
from tests.remote.recipes.tiny import Job, labelled, write_rows

MakeJob = Callable[..., Job]


def weights(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.safetensors"))}


@pytest.mark.parametrize("family", ["binary", "multiclass", "multilabel", "regression"])
def test_every_family_learns_and_leaves_a_complete_model(job: MakeJob, family: str) -> None:
    made = job(family, epochs=6)
    events = made.run()
    result = events[-1].fields["data"]
    model = Model.from_folder(made.out / "model")
    rows = made.answers()
    texts = [row["text"] for row in labelled(family, 48, seed=2)]
    answers = model.predict(texts)

    if family == "regression":
        truth = np.array([float(row["label"]) for row in rows])
        error = math.sqrt(np.mean((truth - np.array([float(row["prediction"]) for row in rows])) ** 2))
        assert error == pytest.approx(result["metrics"]["rmse"])
        assert error < 0.7 * truth.std()
        assert [a.label for a in answers] == pytest.approx([float(row["prediction"]) for row in rows])
    else:
        joined = ["|".join(a.label) if isinstance(a.label, list) else a.label for a in answers]
        assert joined == [row["prediction"] for row in rows]
        assert [a.confidence for a in answers] == pytest.approx([float(row["confidence"]) for row in rows])
        assert result["metrics"]["macro_f1"] > 0.75
    for event in events:
        if event.type is JobEventType.ARTIFACT:
            assert sha256_file(made.out / event.fields["path"]) == event.fields["sha256"]
    left = {path.relative_to(made.out).as_posix() for path in made.out.rglob("*") if path.is_file()}
    assert {"training.json", "schedule.json", "validation_predictions.csv", "model/inference.json"} <= left
    assert {
        "model/config.json",
        "model/model.safetensors",
        "model/tokenizer.json",
        "model/inference.py",
    } <= left
    assert not [name for name in left if name.endswith((".bin", ".pt", ".pkl", ".pickle", ".part"))]
    assert not (made.out / "checkpoint").exists()


def test_scores_can_be_recomputed_from_the_predictions(job: MakeJob) -> None:
    made = job()
    result = made.result()
    rows = made.answers()
    truth, guess = [row["label"] for row in rows], [row["prediction"] for row in rows]
    assert f1_score(truth, guess, average="macro") == pytest.approx(result["metrics"]["macro_f1"])
    assert [int(row["row_id"]) for row in rows] == [row["row_id"] for row in labelled("multiclass", 48, 2)]


def test_the_same_seed_gives_the_same_model_bit_by_bit(job: MakeJob) -> None:
    one, two, other = job(), job(), job(seed=1)
    for made in (one, two, other):
        made.result()
    assert one.predictions == two.predictions
    assert weights(one.out / "model") == weights(two.out / "model")
    assert weights(one.out / "model") != weights(other.out / "model")


def test_the_encoder_loads_by_itself_and_only_trained_layers_changed(job: MakeJob, base: Path) -> None:
    made = job()
    assert made.result()["best_epoch"] > 0
    tuned = AutoModel.from_pretrained(made.out / "model").state_dict()
    before = AutoModel.from_pretrained(base).state_dict()
    changed = {name for name in tuned if not torch.equal(tuned[name], before[name])}
    assert changed
    assert all(name.startswith("encoder.layer.1.") for name in changed)


def test_without_epochs_the_linear_model_is_the_model(job: MakeJob, base: Path) -> None:
    made = job(epochs=0)
    result = made.result()
    assert (result["epochs"], result["ensemble_weight"]) == (0, 1)
    assert result["metrics"]["macro_f1"] > 0.6
    tuned, before = AutoModel.from_pretrained(made.out / "model"), AutoModel.from_pretrained(base)
    for (name, a), b in zip(tuned.state_dict().items(), before.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


def test_a_refit_adds_the_validation_rows_to_the_linear_model(job: MakeJob) -> None:
    """Of a class that only validation has nothing but the refit can know; the written scores do not."""
    made = job(epochs=0, refit=True)
    rows = [row for row in labelled("multiclass", 160, seed=1) if row["label"] != "loan"]
    write_rows(made.folder / "train.jsonl", rows)
    made.result()
    assert "loan" not in {row["prediction"] for row in made.answers()}
    texts = [row["text"] for row in labelled("multiclass", 48, seed=2) if row["label"] == "loan"]
    assert "loan" in {answer.label for answer in Model.from_folder(made.out / "model").predict(texts)}


def test_the_ensemble_is_packed_with_the_encoder_before_tuning(job: MakeJob, base: Path) -> None:
    made = job(ensemble="on")
    assert 0 < made.result()["ensemble_weight"] < 1
    model = Model.from_folder(made.out / "model")
    texts = [row["text"] for row in labelled("multiclass", 48, seed=2)]
    rows = made.answers()
    assert [a.confidence for a in model.predict(texts)] == pytest.approx(
        [float(r["confidence"]) for r in rows]
    )
    assert model.base is not None
    before = AutoModel.from_pretrained(base).state_dict()
    assert all(torch.equal(before[name], tensor) for name, tensor in model.base.model.state_dict().items())
    assert any(not torch.equal(before[n], tensor) for n, tensor in model.encoder.model.state_dict().items())


@pytest.mark.parametrize(
    ("changes", "kind", "words"),
    [
        ({"lerning_rate": 1}, "script_error", "lerning_rate"),
        ({"family": "images"}, "script_error", "family"),
        ({"labels": ["card", "card"]}, "script_error", "labels"),
        ({"labels": ["card", "loan"]}, "data_error", "transfer"),
        ({"train_file": "nowhere.jsonl"}, "data_error", "nowhere.jsonl"),
        ({"base_model": "nowhere"}, "script_error", "nowhere"),
        ({"schedule": "nowhere.json"}, "data_error", "nowhere.json"),
    ],
)
def test_what_cannot_work_is_one_sentence(
    job: MakeJob, changes: dict[str, Any], kind: str, words: str
) -> None:
    got, detail = job().failure(**changes)
    assert got == kind
    assert words in detail
    assert "\n" not in detail


def test_empty_and_broken_rows_are_data_errors(job: MakeJob) -> None:
    made = job()
    for content in ("", "{broken", '{"row_id": 1}\n', "[1]\n"):
        (made.folder / "train.jsonl").write_text(content)
        assert made.failure()[0] == "data_error"
