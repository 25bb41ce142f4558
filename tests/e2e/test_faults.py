"""Faults injected into real trainings: the recipe's script in a process of its own, then the remedy that the
table gives, until the training ends well. Nothing is simulated but the encoder's size."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from graph.names import FailureKind, Stage
from graph.remedies import Remedy, config_diff, remedy
from graph.routes import MAX_ATTEMPTS
from graph.state import Attempt
from remote.protocol import JobEvent, JobEventType, decode
from tests.remote.recipes.tiny import LABELS, labelled, lay_out, make_base, write_rows

# Runs the script with so many MB of address space beyond what the imported libraries take: what is short is
# what the training itself needs, whatever the build of torch maps.
CRAMPED = """
import resource, runpy, sys
import sklearn.linear_model, torch, transformers
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
limit = used + int(sys.argv[1]) * 2**20
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
sys.argv = sys.argv[2:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


class Training:
    """A job's folder; ``run`` is one try in a new process."""

    def __init__(self, folder: Path, base: Path, rows: list[dict[str, Any]], **config: Any) -> None:
        self.folder = folder
        folder.mkdir()
        lay_out(folder)
        write_rows(folder / "train.jsonl", rows)
        write_rows(folder / "validation.jsonl", labelled("multiclass", 48, seed=2))
        self.config: dict[str, Any] = {
            "family": "multiclass",
            "labels": LABELS["multiclass"],
            "train_file": "train.jsonl",
            "validation_file": "validation.jsonl",
            "base_model": str(base),
            "output_dir": "out",
            "epochs": 3,
            "batch_size": 16,
            "gradient_accumulation": 1,
            "learning_rate": 2e-3,
            "head_learning_rate": 1e-2,
            "frozen_layers": 1,
            "max_length": 32,
            "threads": 1,
        } | config
        self.attempts: list[Attempt] = []

    def start(self, room_mb: int | None = None) -> subprocess.Popen[str]:
        (self.folder / "config.json").write_text(json.dumps(self.config), encoding="utf-8")
        limit = ["-c", CRAMPED, str(room_mb)] if room_mb else []
        return subprocess.Popen(
            [sys.executable, *limit, "train.py", "--config", "config.json"],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            # One arena for all threads: each would reserve address space of its own.
            env={**os.environ, "MALLOC_ARENA_MAX": "1", "OMP_NUM_THREADS": "1"},
        )

    def run(self, room_mb: int | None = None) -> list[JobEvent]:
        with self.start(room_mb) as process:
            return list(heard(process))

    def mend(self, last: JobEvent) -> Remedy:
        """Take the next remedy into the settings, as the stage does."""
        kind = FailureKind(last.fields["kind"])
        found = remedy(kind, self.config, self.attempts, {})
        assert found is not None
        assert found.action in ("retry", "resume")
        diff = config_diff(self.config, self.config | dict(found.changes))
        self.attempts.append(Attempt(Stage.WATCH, kind, last.fields["detail"], found.text, diff))
        self.config |= found.changes
        return found

    def until_it_works(self, room_mb: int | None = None) -> Mapping[str, Any]:
        """The result's data after as many remedies as the graph would try."""
        for _ in range(MAX_ATTEMPTS + 1):
            last = self.run(room_mb)[-1]
            if last.type is JobEventType.RESULT:
                return dict(last.fields["data"])
            assert last.type is JobEventType.FAILED
            self.mend(last)
        raise AssertionError(f"still failing after {self.attempts}")

    @property
    def predictions(self) -> list[dict[str, str]]:
        with (self.folder / "out/validation_predictions.csv").open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))


def heard(process: subprocess.Popen[str]) -> Iterator[JobEvent]:
    assert process.stdout is not None
    return (event for line in process.stdout if (event := decode(line)) is not None)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("base") / "tiny")


def test_a_loss_that_is_lost_is_mended_by_a_sane_rate(tmp_path: Path, base: Path) -> None:
    training = Training(
        tmp_path / "job",
        base,
        labelled("multiclass", 160, seed=1),
        learning_rate=1e30,
        head_learning_rate=1e30,
    )
    result = training.until_it_works()
    assert [a.kind for a in training.attempts] in ([FailureKind.NAN_LOSS], [FailureKind.DIVERGED])
    assert "-learning_rate: 1e+30\n+learning_rate: 0.0002" in training.attempts[0].diff
    assert result["metrics"]["macro_f1"] > 1 / 3  # better than chance


def test_memory_that_is_short_is_mended_by_a_smaller_batch(tmp_path: Path, base: Path) -> None:
    """1,024 rows of 64 tokens at once were measured to take 605 MB, 512 took 522, 256 took 379."""
    rows = labelled("multiclass", 1024, seed=1)
    for row in rows:
        row["text"] = " ".join([row["text"]] * 12)
    training = Training(
        tmp_path / "job", base, rows, batch_size=1024, epochs=1, max_length=64, frozen_layers=0
    )
    result = training.until_it_works(room_mb=450)
    assert {a.kind for a in training.attempts} == {FailureKind.OUT_OF_MEMORY}
    assert "-batch_size: 1024\n+batch_size: 512" in training.attempts[0].diff
    assert training.config["batch_size"] * training.config["gradient_accumulation"] == 1024
    assert training.config["batch_size"] in (512, 256, 128)
    assert training.config["max_length"] == 64
    assert result["epochs"] == 1


def test_a_stopped_machine_is_mended_by_its_checkpoint(tmp_path: Path, base: Path) -> None:
    rows = labelled("multiclass", 160, seed=1)
    settings = {"epochs": 30, "patience": 30}
    whole = Training(tmp_path / "whole", base, rows, **settings)
    cut = Training(tmp_path / "cut", base, rows, **settings, checkpoint_every_s=0.0)

    with whole.start() as undisturbed, cut.start() as process:
        events = []
        for event in heard(process):
            events.append(event)
            if event.type is JobEventType.EPOCH and event.fields["epoch"] == 3:
                process.send_signal(signal.SIGTERM)
        assert list(heard(undisturbed))[-1].type is JobEventType.RESULT
    assert (events[-1].type, events[-1].fields["kind"]) == (JobEventType.FAILED, FailureKind.PREEMPTED)
    assert cut.mend(events[-1]).action == "resume"
    assert cut.attempts[0].diff == ""

    shutil.move(cut.folder / "out/checkpoint", cut.folder / "fetched")
    shutil.rmtree(cut.folder / "out")
    cut.config |= {"resume_from": "fetched"}
    events = cut.run()
    assert next(e.fields["epoch"] for e in events if e.type is JobEventType.EPOCH) > 1  # not from the start
    assert events[-1].type is JobEventType.RESULT
    assert cut.predictions == whole.predictions


def test_a_spent_budget_ends_with_the_best_model_so_far(tmp_path: Path, base: Path) -> None:
    training = Training(
        tmp_path / "job",
        base,
        labelled("multiclass", 160, seed=1),
        epochs=100_000,
        patience=100_000,
        time_budget_s=4.0,
    )
    last = training.run()[-1]
    assert last.type is JobEventType.RESULT
    assert last.fields["data"]["stopped"] == "budget"
    assert last.fields["data"]["epochs"] < 100_000
    assert (training.folder / "out/model/model.safetensors").is_file()
    assert len(training.predictions) == 48


def test_overfitting_is_said_and_the_best_epoch_kept(tmp_path: Path, base: Path) -> None:
    """Training labels by chance: what is learnt from them is of no use on the validation rows."""
    rows = labelled("multiclass", 160, seed=1)
    for i, row in enumerate(rows):
        row["label"] = LABELS["multiclass"][i % 3]
    training = Training(tmp_path / "job", base, rows, epochs=40, label_smoothing=0.0)
    *events, last = training.run()
    assert last.type is JobEventType.RESULT
    assert last.fields["data"]["stopped"] == "early"
    assert last.fields["data"]["best_epoch"] < last.fields["data"]["epochs"] < 40
    (warning,) = [e for e in events if e.type is JobEventType.WARNING and e.fields["kind"] == "overfit"]
    training.mend(warning)
    assert training.config["epochs"] == 20
    assert training.config["label_smoothing"] == 0.1
