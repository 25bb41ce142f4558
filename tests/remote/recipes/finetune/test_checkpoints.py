"""What is saved and read again, and interrupted trainings in a process of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from remote.protocol import JobEventType, decode
from remote.recipes.finetune import settings
from remote.recipes.finetune.checkpoints import MOMENTS, Checkpoints, Snapshot, State
from tests.remote.recipes.tiny import Job, lay_out, train

MakeJob = Callable[..., Job]


def weights(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.safetensors"))}


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
        patch.setattr(train.Packer, "choose", stop_soon)
        assert kept.failure()[0] == "out_of_memory"
    assert (kept.out / "checkpoint" / "latest.json").exists()
    events = kept.run(learning_rate=1e-3)
    (warning,) = [e.fields for e in events if e.type is JobEventType.WARNING]
    assert warning["kind"] == "checkpoint_ignored"


class Saved:
    """A checkpoint of two parameters, one of which the optimiser has seen."""

    def __init__(self, made: Job) -> None:
        self.said: list[str] = []
        job = settings.Job(settings.Config.from_mapping(made.config), self._say, lambda: 0.0)
        self.checkpoints = Checkpoints(job)
        tensors = {"a": torch.arange(3.0), "head.weight": torch.ones(2, 2)}
        self.moments = {f"{part}.a": torch.full((3,), 0.5) for part in MOMENTS}
        self.snapshot = Snapshot(State(1, 30, None, step=7, progress=[0.5]), tensors, tensors, self.moments)

    def _say(self, _: str, kind: str, detail: str) -> None:
        self.said.append(f"{kind}: {detail}")

    @property
    def folder(self) -> Path:
        return self.checkpoints.folder / "step-00000007"


def test_a_checkpoint_is_read_as_it_was_saved(job: MakeJob) -> None:
    saved = Saved(job())
    assert saved.checkpoints.load({"a", "head.weight"}) is None
    saved.checkpoints.save(replace(saved.snapshot, state=State(1, 30, None, step=6)))
    saved.checkpoints.save(saved.snapshot)
    assert sorted(path.name for path in saved.checkpoints.folder.iterdir()) == [
        "latest.json",
        saved.folder.name,
    ]
    again = saved.checkpoints.load({"a", "head.weight"})
    assert again is not None
    assert again.state == saved.snapshot.state
    for one, other in zip(
        (again.weights, again.best, again.moments),
        (saved.snapshot.weights, saved.snapshot.best, saved.snapshot.moments),
        strict=True,
    ):
        assert one.keys() == other.keys()
        assert all(torch.equal(one[name], other[name]) for name in one)
    assert saved.said == ["resumed: Training goes on from step 7."]


DAMAGE: dict[str, Callable[[Saved], object]] = {
    "cut off": lambda saved: (saved.folder / "weights.safetensors").write_bytes(b"\x08"),
    "no state": lambda saved: (saved.folder / "state.json").unlink(),
    "a field of another version": lambda saved: (saved.folder / "state.json").write_text('{"colour": 1}'),
    "half of a moment": lambda saved: save_file(
        {"step.a": torch.ones(())}, saved.folder / "optimiser.safetensors"
    ),
    "another encoder": lambda saved: save_file({"b": torch.ones(1)}, saved.folder / "weights.safetensors"),
    "no json": lambda saved: (saved.checkpoints.folder / "latest.json").write_text("{"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_checkpoint_that_is_not_whole_is_left_alone(job: MakeJob, damage: str) -> None:
    saved = Saved(job())
    saved.checkpoints.save(saved.snapshot)
    DAMAGE[damage](saved)
    assert saved.checkpoints.load({"a", "head.weight"}) is None
    (said,) = saved.said
    assert said.startswith("checkpoint_ignored: The checkpoint in checkpoint cannot be read (")
