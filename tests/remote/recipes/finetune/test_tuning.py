"""The loop within the whole script: steps, time, and what it notices."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from remote.protocol import JobEventType
from remote.recipes.finetune.inference import Model
from tests.remote.recipes.tiny import Job, labelled, write_rows

MakeJob = Callable[..., Job]


def ticking(step_s: float) -> Callable[[], float]:
    """A clock that moves on by ``step_s`` whenever it is read."""
    times: Iterator[float] = (i * step_s for i in range(10**9))
    return lambda: next(times)


def weights(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.safetensors"))}


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


def test_an_absurd_learning_rate_is_named(job: MakeJob) -> None:
    kind, detail = job().failure(learning_rate=1e30, head_learning_rate=1e30, epochs=8)
    assert kind in ("nan_loss", "diverged")
    assert "learning rate" in detail


def test_a_high_learning_rate_diverges(job: MakeJob) -> None:
    kind, _ = job().failure(
        learning_rate=0.0, head_learning_rate=300.0, epochs=20, max_grad_norm=1e9, patience=20
    )
    assert kind == "diverged"


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
