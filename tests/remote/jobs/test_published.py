"""Publish → read back → ``from_pretrained`` → the same predictions: a real small model, the Hub's real client, and the
real predict job on the folder that was fetched anew."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest
from pydantic import SecretStr
from transformers import AutoModel

from graph.deps import Checkup, Deps, Publication
from graph.errors import PublishError
from graph.publishing.hub import HubPublisher
from graph.publishing.readback import ROWS, check_up, compare, sample
from remote.recipes.finetune.inference import Model
from tests.graph.publishing.runs import Steps
from tests.hub.server import OWNER_TOKEN, HubServer
from tests.remote.jobs.conftest import Folder, Run
from tests.remote.sandbox.jobs import local

Make = Callable[[str], Run]


def run_folder(assessed: Run, folder: Path) -> Path:
    """What packaging leaves of a finished chain."""
    for name in ("model", "space", "plots"):
        shutil.copytree(assessed.out / name, folder / name)
    for name in ("predictions.csv", "metrics.json", "leaderboard.json"):
        shutil.copyfile(assessed.out / name, folder / name)
    (folder / "data").mkdir()
    shutil.copyfile(assessed.folder.path / "in/test.jsonl", folder / "data/test.jsonl")
    return folder


async def test_it_is_asked_in_the_sandbox_like_any_model(assessed: Make, tmp_path: Path) -> None:
    run = run_folder(assessed("multiclass"), tmp_path / "runs" / "r1")
    deps = Deps(
        store=cast(Any, None), backends=[local(tmp_path)], sources=[], publishers={}, recipes=cast(Any, None),
        home=tmp_path, now=lambda: datetime(2026, 11, 28, tzinfo=UTC),
    )  # fmt: skip
    async with HubServer().running() as hub:
        publisher = HubPublisher(hub.url, SecretStr(OWNER_TOKEN))
        done = await publisher.publish(
            run, "hub:ada/topics", private=True, key="k", steps=Steps(),
            verify=lambda folder: check_up(deps, "r1", folder, allow_unisolated=False),
        )  # fmt: skip
    assert done.checkup is not None
    assert (done.checkup.rows, done.checkup.differing) == (ROWS, 0)
    assert list((run / "work").iterdir()) == []


@dataclass
class Asking:
    """A verification that runs the predict job, and keeps what it was given."""

    run: Path
    scratch: Path
    loaded: list[int] = field(default_factory=list)

    async def __call__(self, model: Path) -> Checkup:
        job = Folder(self.scratch / "job", {})
        (job.path / "in").mkdir(parents=True)
        shutil.copytree(model, job.path / "in/model")
        samples = sample(self.run)
        texts = [one.text for one in samples]
        said: Mapping[str, Any] = job.results("predict", model="in/model", texts=texts)["predict"]
        self.loaded.append(AutoModel.from_pretrained(model).num_parameters())
        self.check_without_this_project(model, texts)
        return compare(samples, said["predictions"])

    def check_without_this_project(self, model: Path, texts: list[str]) -> None:
        with (self.run / "predictions.csv").open(newline="") as lines:
            measured = {row["row_id"]: row for row in csv.DictReader(lines)}
        rows = [json.loads(line) for line in (self.run / "data/test.jsonl").read_text().splitlines()]
        answers = Model.from_folder(model).predict([row["text"] for row in rows])
        for row, answer in zip(rows, answers, strict=True):
            label = answer.label if isinstance(answer.label, str) else json.dumps(answer.label)
            if not isinstance(answer.label, float):
                assert label == measured[str(row["row_id"])]["prediction"]
        assert set(texts) <= {row["text"] for row in rows}


async def publish(run: Path, hub: HubServer, asking: Asking) -> Publication:
    publisher = HubPublisher(hub.url, SecretStr(OWNER_TOKEN))
    return await publisher.publish(
        run, "hub:ada/topics", private=False, key="k", steps=Steps(), verify=asking
    )


@pytest.mark.parametrize("family", ["multiclass", "multilabel", "regression"])
async def test_the_published_model_says_what_was_measured(
    assessed: Make, tmp_path: Path, family: str
) -> None:
    run = run_folder(assessed(family), tmp_path / "run")
    asking = Asking(run, tmp_path / "scratch")
    async with HubServer().running() as hub:
        done = await publish(run, hub, asking)
        assert not hub.repos["model", "ada/topics"].private
    assert done.checkup == Checkup(
        ROWS, 0, f"Fetched anew, it gives the same predictions on {ROWS} test rows."
    )
    assert asking.loaded[0] > 1000


async def test_a_model_that_is_not_the_one_that_was_measured_is_shown_to_nobody(
    assessed: Make, tmp_path: Path
) -> None:
    run = run_folder(assessed("multiclass"), tmp_path / "run")
    lines = (run / "predictions.csv").read_text().splitlines()
    cells = [line.split(",") for line in lines]
    for cell in cells[1:]:
        cell[3] = repr(float(cell[3]) - 0.001)  # ten times what another batch's rounding could do
    (run / "predictions.csv").write_text("\n".join(",".join(cell) for cell in cells) + "\n")
    asking = Asking(run, tmp_path / "scratch")
    async with HubServer().running() as hub:
        with pytest.raises(PublishError, match=rf"{ROWS} of {ROWS} test rows are predicted otherwise"):
            await publish(run, hub, asking)
        assert hub.repos["model", "ada/topics"].private
