"""What a training says, and how it words what went wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from remote.protocol import FailureKind, JobEventType, decode
from remote.recipes.finetune.events import TrainingError, explain, speaker, write_json


def test_events_are_numbered_lines_of_the_jobs_protocol(capsys: pytest.CaptureFixture[str]) -> None:
    say = speaker("train")
    say("started", pid=1)
    say("progress", step=1, total=2, metrics={"loss": float("nan"), "curve": (float("inf"), 0.5)})
    events = [decode(line) for line in capsys.readouterr().out.splitlines()]
    assert [(e.seq, e.type, e.stage) for e in events if e] == [
        (0, JobEventType.STARTED, "train"),
        (1, JobEventType.PROGRESS, "train"),
    ]
    assert events[1] is not None
    assert events[1].fields["metrics"] == {"loss": None, "curve": [None, 0.5]}


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (TrainingError("nan_loss", "The loss was not a number."), "nan_loss", "The loss was not a number."),
        (MemoryError(), "out_of_memory", "The memory was not enough"),
        (torch.OutOfMemoryError("CUDA out of memory"), "out_of_memory", "The memory was not enough"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "out_of_memory", "The memory was"),
        (OSError(28, "No space left on device"), "no_disk", "The disk was full"),
        (OSError(2, "No such file"), "script_error", "The training stopped with FileNotFoundError: "),
        (KeyError("two\nlines"), "script_error", "The training stopped with KeyError: "),
    ],
)
def test_failures_have_a_kind_and_one_sentence(error: BaseException, kind: str, words: str) -> None:
    found, detail = explain(error)
    assert FailureKind(found) == kind
    assert detail.startswith(words)
    assert "\n" not in detail


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    write_json(path, {"step": 1})
    with pytest.raises(TypeError):
        write_json(path, {"step": object()})
    assert json.loads(path.read_text("utf-8")) == {"step": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["state.json"]
