"""Two processes train as one: the path of many GPUs, with gloo on a CPU."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from remote.backend import Input, JobSpec, Need, Program
from remote.backends.local import LocalBackend
from remote.protocol import JobEvent, JobEventType, decode
from remote.recipes.finetune.parallel import Team, wanted
from remote.recipes.registry import TextClassification
from tests.remote.recipes.tiny import Job, lay_out

MakeJob = Callable[..., Job]


class Training:
    """The script in a folder of its own, as a job has it, in a process that can be killed."""

    def __init__(self, job: Job, **changes: Any) -> None:
        lay_out(job.folder)
        (job.folder / "train.json").write_text(json.dumps(job.config | changes), encoding="utf-8")
        self.job = job
        self.command = [str(job.folder / "train.py"), "--config", str(job.folder / "train.json")]
        self.events: list[JobEvent] = []

    def start(self, *launcher: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, *launcher, *self.command], stdout=subprocess.PIPE, text=True, cwd=self.job.folder
        )

    def until(self, kind: JobEventType | None = None) -> JobEvent:
        """Read on to the next event of this kind; without one to the end."""
        for line in self.process.stdout or ():
            event = decode(line)
            if event is not None:
                self.events.append(event)
                if event.type is kind:
                    return event
        if self.process.stdout:
            self.process.stdout.close()
        self.process.wait()
        assert kind is None, [event.encode() for event in self.events[-3:]]
        return self.events[-1]

    def members(self) -> list[int]:
        """Pids of the training processes, below the launcher."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal() and _has(entry, self.command[0]):
                environment = (entry / "environ").read_bytes().split(b"\0")
                found += [int(entry.name)] if any(e.startswith(b"LOCAL_RANK=") for e in environment) else []
        return found


def _has(entry: Path, script: str) -> bool:
    try:
        return script.encode() in (entry / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return False


def history(job: Job) -> list[dict[str, float]]:
    found: list[dict[str, float]] = json.loads((job.out / "training.json").read_text("utf-8"))["history"]
    return found


@pytest.mark.parametrize("family", ["multiclass", pytest.param("regression", marks=pytest.mark.slow)])
def test_two_processes_take_the_steps_that_one_takes(job: MakeJob, family: str) -> None:
    rows = 161  # the last step of an epoch has one row: one of the two has nothing to do
    alone, together = job(family, rows=rows), job(family, rows=rows)
    alone.result(processes=1)
    events = together.run(processes=2)
    assert [e.type for e in events].count(JobEventType.STARTED) == 1
    for one, two in zip(history(alone), history(together), strict=True):
        assert two == pytest.approx(one, rel=1e-3, abs=1e-4)
    said = [[row["prediction"] for row in made.answers()] for made in (alone, together)]
    if family == "regression":
        assert [float(v) for v in said[1]] == pytest.approx([float(v) for v in said[0]], rel=1e-3)
    else:
        assert said[1] == said[0]
    details = json.loads((together.out / "training.json").read_text("utf-8"))
    assert details["processes"] == 2


@pytest.mark.slow
def test_torchrun_starts_it_as_well(job: MakeJob) -> None:
    training = Training(job(epochs=1))
    training.start("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    assert training.until().type is JobEventType.RESULT
    assert [e.type for e in training.events].count(JobEventType.RESULT) == 1


@pytest.mark.slow
def test_a_killed_process_ends_the_team_which_goes_on_from_its_checkpoint(job: MakeJob) -> None:
    whole, broken = job(epochs=30, patience=99), job(epochs=30, patience=99)
    whole.result(processes=2, checkpoint_every_s=0.0)
    training = Training(broken, processes=2, checkpoint_every_s=0.0)
    training.start()
    training.until(JobEventType.EPOCH)
    training.until(JobEventType.EPOCH)
    os.kill(max(training.members()), signal.SIGKILL)
    ended = training.until()
    assert (ended.type, ended.fields["kind"]) == (JobEventType.FAILED, "preempted"), ended
    assert training.members() == []
    again = broken.run(processes=2, checkpoint_every_s=0.0)
    assert any(e.fields.get("kind") == "resumed" for e in again)
    assert broken.predictions == whole.predictions


@pytest.mark.slow
def test_a_team_that_is_asked_to_stop_saves_first(job: MakeJob) -> None:
    training = Training(job(epochs=200, patience=999), processes=2, checkpoint_every_s=999.0)
    training.start()
    training.until(JobEventType.EPOCH)
    training.process.send_signal(signal.SIGTERM)
    ended = training.until()
    assert (ended.type, ended.fields["kind"]) == (JobEventType.FAILED, "preempted"), ended
    assert (training.job.out / "checkpoint" / "latest.json").is_file()
    assert training.members() == []


@pytest.mark.slow
def test_what_goes_wrong_in_a_team_is_said_by_its_name(job: MakeJob) -> None:
    made = job(epochs=1)
    rows = (made.folder / "train.jsonl").read_text("utf-8").replace('"label": "', '"label": "un')
    (made.folder / "train.jsonl").write_text(rows, encoding="utf-8")
    training = Training(made, processes=2)
    training.start()
    assert training.until().fields["kind"] == "data_error"
    assert {e.type for e in training.events} == {JobEventType.STARTED, JobEventType.FAILED}


def test_one_process_a_gpu_unless_it_is_said_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    assert wanted(0, "auto") == 4
    assert wanted(0, "cpu") == 1
    assert wanted(2, "auto") == 2
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE"):
        monkeypatch.setenv(name, "0")
    assert wanted(8, "auto") == 1  # torchrun has started the others already


def test_rows_are_dealt_out_evenly() -> None:
    rows = list(range(10))
    shares = [Team(rank, rank, 3).share(rows) for rank in range(3)]
    assert sorted(row for share in shares for row in share) == rows
    assert [len(share) for share in shares] == [4, 3, 3]


@pytest.mark.slow
async def test_a_team_trains_inside_the_walls(job: MakeJob, base: Path, tmp_path: Path) -> None:
    made = job(epochs=1, processes=2)
    lay_out(made.folder)
    names = ("train.jsonl", "validation.jsonl", "train.py", "finetune")
    files = {"train_file": "in/train.jsonl", "validation_file": "in/validation.jsonl"}
    config = made.config | files | {"base_model": "in/base_model", "output_dir": "out"}
    backend = LocalBackend(tmp_path / "home", python=Path(sys.executable))
    if not (await backend.probe()).ready:
        pytest.skip("no isolation is possible on this machine")
    spec = JobSpec(
        "team",
        "r1",
        (Program("train", "in/train.py", config),),
        (
            *(Input(name, str(made.folder / name)) for name in names),
            Input("base_model", str(base), shared=True),
        ),
        Need(timeout_s=300),
    )
    ref = await backend.submit(spec)
    events = [event async for event in backend.events(ref)]
    assert events[-1].type is JobEventType.RESULT, events[-1]
    await backend.fetch(ref, tmp_path / "out")
    assert json.loads((tmp_path / "out" / "training.json").read_text("utf-8"))["processes"] == 2


def test_the_road_to_any_cloud_starts_what_a_run_leaves() -> None:
    """What SkyPilot is given trains as the docs say: the commands of its ``run``, with files as a run has them."""
    task = yaml.safe_load((Path(__file__).parents[4] / "docs" / "skypilot.yaml").read_text("utf-8"))
    assert task["num_nodes"] == 1
    assert "train.py --config config.json" in task["run"]
    defaults = TextClassification().defaults()
    for name in ("train_file", "validation_file"):
        assert f"data/{Path(defaults[name]).name}" in task["run"]
    assert defaults["base_model"] in task["setup"]
    for line in task["setup"].splitlines()[:1]:
        wanted = re.findall(r"'([a-z_-]+)[=>]", line)
        assert set(wanted) == {"torch", "transformers", "scikit-learn", "safetensors"}
