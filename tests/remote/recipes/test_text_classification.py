from __future__ import annotations

import json
import math
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score
from transformers import AutoModel

from remote.protocol import JobEventType, decode, sha256_file
from remote.recipes import text_classification as recipe
from remote.recipes.inference import Model, temper
from tests.remote.recipes.tiny import Job, labelled, lay_out, write_rows

MakeJob = Callable[..., Job]


def ticking(step_s: float) -> Callable[[], float]:
    """A clock that moves on by ``step_s`` whenever it is read."""
    times: Iterator[float] = (i * step_s for i in range(10**9))
    return lambda: next(times)


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


def test_the_cache_of_hidden_states_changes_nothing_but_time(job: MakeJob) -> None:
    kept, recomputed = job(), job(hidden_cache_mb=0)
    kept.result()
    recomputed.result()
    texts = [row["text"] for row in labelled("multiclass", 48, seed=2)]
    one, two = (Model.from_folder(made.out / "model").probabilities(texts) for made in (kept, recomputed))
    np.testing.assert_allclose(one, two, atol=1e-3)


def test_accumulated_batches_are_one_step(job: MakeJob) -> None:
    whole, halves = (
        job(batch_size=16),
        job(batch_size=8, gradient_accumulation=2, gradient_checkpointing=True),
    )
    whole.result()
    halves.result()
    texts = [row["text"] for row in labelled("multiclass", 48, seed=2)]
    one, two = (Model.from_folder(made.out / "model").probabilities(texts) for made in (whole, halves))
    np.testing.assert_allclose(one, two, atol=1e-2)
    steps = [json.loads((made.out / "training.json").read_text())["steps"] for made in (whole, halves)]
    assert steps[0] == steps[1] == 30


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


# ---- time


def test_a_budget_that_is_too_short_still_ends_with_a_model(job: MakeJob) -> None:
    made = job(epochs=8, time_budget_s=60.0)
    result = made.result(clock=ticking(0.5))
    schedule = json.loads((made.out / "schedule.json").read_text())["progress"]
    assert result["stopped"] == "budget"
    assert 0 < result["epochs"] < 8
    assert schedule == sorted(schedule)
    assert schedule[-1] > 0.9  # the rate had come down before the end
    assert Model.from_folder(made.out / "model").predict(["lost card"])


def test_with_no_time_at_all_the_linear_start_is_packed(job: MakeJob) -> None:
    result = (made := job(time_budget_s=0.001)).result()
    assert (result["stopped"], result["epochs"]) == ("budget", 0)
    assert (made.out / "model" / "model.safetensors").exists()


def test_a_schedule_replays_without_the_clock(job: MakeJob) -> None:
    first, again = job(epochs=8, time_budget_s=60.0), job(epochs=8, time_budget_s=60.0)
    first.result(clock=ticking(0.5))
    again.result(clock=ticking(0.01), schedule=str(first.out / "schedule.json"))
    assert again.predictions == first.predictions
    assert weights(again.out / "model") == weights(first.out / "model")


def test_progress_is_said_while_it_trains(job: MakeJob) -> None:
    events = job().run(clock=ticking(0.3))
    steps = [e.fields for e in events if e.type is JobEventType.PROGRESS and e.fields["total"]]
    assert [f["step"] for f in steps] == sorted({f["step"] for f in steps})
    assert all(
        f["total"] == 30 and f["metrics"].keys() >= {"loss", "learning_rate", "rows_per_s"} for f in steps
    )
    epochs = [e.fields for e in events if e.type is JobEventType.EPOCH]
    assert [f["epoch"] for f in epochs] == [0, 1, 2, 3]
    assert all(f["metrics"].keys() >= {"train_loss", "val_loss", "macro_f1"} for f in epochs[1:])


# ---- stopping and going on


def launched(made: Job, **changes: Any) -> subprocess.Popen[str]:
    """The script as it is delivered: its own process, its companions beside it, no package in sight."""
    lay_out(made.folder)
    (made.folder / "config.json").write_text(json.dumps(made.config | changes), encoding="utf-8")
    command = [sys.executable, "-P", "-W", "error::UserWarning", str(made.folder / "train.py")]
    environment = {**os.environ, "PYTHONPATH": str(made.folder)}
    return subprocess.Popen(
        [*command, "--config", str(made.folder / "config.json")],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
        cwd=made.folder,
    )


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_training_goes_on_to_the_same_predictions(job: MakeJob, how: signal.Signals) -> None:
    whole, cut = job(epochs=12, patience=30), job(epochs=12, patience=30, checkpoint_every_s=0.0)
    whole.result()
    process = launched(cut)
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        event = decode(line)
        if event is not None and event.type is JobEventType.EPOCH and event.fields["epoch"] >= 3:
            process.send_signal(how)
            break
    with process:  # closes the pipe and waits
        lines += process.stdout.readlines()
    assert process.returncode != 0
    if how is signal.SIGTERM:
        last = decode(lines[-1])
        assert last is not None
        assert last.fields["kind"] == "preempted"
    assert not (cut.out / "model").exists()
    saved = {path.suffix for path in (cut.out / "checkpoint").rglob("*") if path.is_file()}
    assert saved == {".json", ".safetensors"}

    moved = cut.folder / "fetched"
    (cut.out / "checkpoint").rename(moved)
    events = cut.run(resume_from=str(moved), checkpoint_every_s=30.0)
    assert next(e.fields["detail"] for e in events if e.type is JobEventType.WARNING).startswith(
        "Training goes on"
    )
    assert cut.predictions == whole.predictions
    assert weights(cut.out / "model") == weights(whole.out / "model")


def test_a_checkpoint_of_other_settings_is_not_used(job: MakeJob) -> None:
    kept = job(epochs=4, checkpoint_every_s=0.0)

    def stop_soon(*_: Any) -> None:
        raise MemoryError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recipe.Packer, "choose", stop_soon)
        assert kept.failure()[0] == "out_of_memory"
    assert (kept.out / "checkpoint" / "latest.json").exists()
    events = kept.run(learning_rate=1e-3)
    (warning,) = [e.fields for e in events if e.type is JobEventType.WARNING]
    assert warning["kind"] == "checkpoint_ignored"


# ---- failures


def test_an_absurd_learning_rate_is_named(job: MakeJob) -> None:
    kind, detail = job().failure(learning_rate=1e30, head_learning_rate=1e30, epochs=8)
    assert kind in ("nan_loss", "diverged")
    assert "learning rate" in detail


def test_a_high_learning_rate_diverges(job: MakeJob) -> None:
    kind, _ = job().failure(
        learning_rate=0.0, head_learning_rate=300.0, epochs=20, max_grad_norm=1e9, patience=20
    )
    assert kind == "diverged"


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


def test_overfitting_stops_early_and_says_so(job: MakeJob) -> None:
    """Labels by chance: every epoch fits the training rows better and tells nothing about the others."""
    made = job(epochs=30, patience=4, label_smoothing=0.0)
    rng = np.random.default_rng(0)
    for name, seed, count in (("train", 1, 160), ("validation", 2, 48)):
        rows = labelled("multiclass", count, seed)
        for row in rows:
            row["label"] = str(rng.choice(["card", "loan", "transfer"]))
        write_rows(made.folder / f"{name}.jsonl", rows)
    events = made.run()
    assert events[-1].fields["data"]["stopped"] == "early"
    assert "overfit" in [e.fields["kind"] for e in events if e.type is JobEventType.WARNING]


# ---- parts


def test_every_setting_is_documented_and_has_a_unit() -> None:
    for setting in fields(recipe.Config):
        assert setting.metadata["meaning"], setting.name
        assert isinstance(setting.metadata["unit"], str)


def test_bf16_needs_native_hardware(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    assert not recipe._native_bf16(torch.device("cpu"))


def test_steps_hold_every_row_once_in_batches_of_like_length() -> None:
    rng = np.random.default_rng(0)
    lengths = rng.integers(3, 60, 500).tolist()
    steps = recipe.epoch_steps(lengths, 16, seed=3, epoch=1)
    assert sorted(row for step in steps for row in step) == list(range(500))
    padded = sum(len(step) * max(lengths[row] for row in step) for step in steps)
    assert padded < 1.15 * sum(lengths)
    assert steps == recipe.epoch_steps(lengths, 16, seed=3, epoch=1)
    assert steps != recipe.epoch_steps(lengths, 16, seed=3, epoch=2)


def test_typos_and_samples_are_seeded(job: MakeJob) -> None:
    config = recipe.Config.from_mapping(job(max_train_rows=40, typo_augmentation=0.5).config)
    rows = recipe.read_rows(Path(config.train_file), config)
    one, two = recipe.sampled(rows, config), recipe.sampled(rows, config)
    assert one.texts == two.texts
    assert len(one) == 60
    by_id = dict(zip(rows.row_ids, rows.texts, strict=True))
    changed = [text for row_id, text in zip(one.row_ids, one.texts, strict=True) if text != by_id[row_id]]
    assert 5 < len(changed) <= 20


def test_class_weights_help_rare_classes() -> None:
    config = recipe.Config.from_mapping({"labels": ["a", "b"]})
    rare = np.array([0] * 90 + [1] * 10)
    weights_ = recipe.class_weights(config, rare)
    assert weights_ is not None
    assert weights_[1] > 2 * weights_[0]
    assert float(weights_[torch.from_numpy(rare)].mean()) == pytest.approx(1)
    assert recipe.class_weights(config, np.array([0] * 60 + [1] * 40)) is None


def test_a_temperature_undoes_over_confidence() -> None:
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(4), 4000)
    truth = np.array([rng.choice(4, p=row) for row in p])
    sharp = temper(p, 1 / 3, "multiclass")
    assert recipe.fit_temperature(sharp, truth, "multiclass") == pytest.approx(3, rel=0.15)
    assert recipe.fit_temperature(p, truth, "multiclass") == pytest.approx(1, rel=0.15)
