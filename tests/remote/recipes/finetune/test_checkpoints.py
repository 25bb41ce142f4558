"""Interrupted trainings, in a process of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from remote.protocol import JobEventType, decode
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
