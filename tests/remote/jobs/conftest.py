"""Whole chains on a tiny random encoder: trained with the real recipe, assessed with the real programs."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from remote.jobs.__main__ import main
from remote.protocol import JobEvent, JobEventType, decode, sha256_file
from tests.remote.recipes.tiny import LABELS, labelled, make_base, make_job, write_rows

METRIC = {"regression": "rmse"}
HOSTILE = "<script>alert(1)</script> @everyone [click](http://evil.example) | `x` **bold**"


@dataclass(frozen=True)
class Folder:
    """A job's folder; ``run`` runs programs in it, in this process."""

    path: Path
    config: Mapping[str, Any]

    @property
    def out(self) -> Path:
        return self.path / "out"

    def run(self, *programs: str, **config: Any) -> list[JobEvent]:
        chain = [{"name": p, "module": p, "config": {**self.config, **config}} for p in programs]
        (self.path / "job.json").write_text(json.dumps({"programs": chain}), encoding="utf-8")
        said = io.StringIO()
        with chdir(self.path):
            main(self.path, said)
        return [event for line in said.getvalue().splitlines() if (event := decode(line))]

    def results(self, *programs: str, **config: Any) -> dict[str, dict[str, Any]]:
        """Program -> its result; fails with what the job said when one has none."""
        events = self.run(*programs, **config)
        failed = [e.fields for e in events if e.type is JobEventType.FAILED]
        assert not failed, failed
        return {e.stage: dict(e.fields["data"]) for e in events if e.type is JobEventType.RESULT}

    def failure(self, program: str, **config: Any) -> tuple[str, str]:
        last = self.run(program, **config)[-1]
        assert last.type is JobEventType.FAILED, last
        return last.fields["kind"], last.fields["detail"]

    def json(self, name: str) -> Any:
        return json.loads((self.out / name).read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Run:
    """A finished chain: its folder and each program's result."""

    folder: Folder
    results: Mapping[str, Mapping[str, Any]]

    @property
    def out(self) -> Path:
        return self.folder.out

    def json(self, name: str) -> Any:
        return self.folder.json(name)


def rows_with_slices(family: str, count: int, seed: int) -> list[dict[str, Any]]:
    """Rows of two channels and one hostile text; the class texts are those of the recipe's tests."""
    rows = labelled(family, count, seed)
    for i, row in enumerate(rows):
        row["slices"] = {"channel": "web" if i % 3 else "phone"}
    rows[0]["text"] += " " + HOSTILE
    return rows


def make_folder(path: Path, base: Path, family: str) -> Folder:
    inputs = path / "in"
    inputs.mkdir(parents=True)
    for seed, (split, count) in enumerate({"train": 160, "validation": 60, "test": 120}.items(), start=1):
        write_rows(inputs / f"{split}.jsonl", rows_with_slices(family, count, seed))
    (inputs / "base_model").symlink_to(base)
    config = {
        "family": family,
        "labels": LABELS[family],
        "metric": METRIC.get(family, "macro_f1"),
        "seed": 0,
        "train_file": "in/train.jsonl",
        "validation_file": "in/validation.jsonl",
        "base_model": "in/base_model",
        "max_length": 32,
    }
    return Folder(path, config)


def facts(folder: Folder, baselines: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "run_id": "r-1",
        "title": "Sorts messages",
        "task": {"goal": "Sort messages by topic", "publish_to": "hub:someone/messages"},
        "candidate": {
            "id": "someone/messages",
            "source": "hub",
            "title": "Messages",
            "licence": "mit",
            "attribution": "made by a test",
        },
        "human": {"macro_f1": 0.97},
        "licence": {"id": "other", "name": "data-and-base", "why": "Both hold."},
        "attributions": [
            "Data: Messages, made by a test, licence mit.",
            f"Base model: {HOSTILE}, licence mit.",
        ],
        "audit": {
            "language": "en",
            "rows": {"train": 160, "validation": 60, "test": 120},
            "split_sha256": {"test": sha256_file(folder.path / "in/test.jsonl")},
            "findings": [
                {"kind": "x", "severity": "info", "detail": f"Found {HOSTILE}", "done": "kept"},
            ],
        },
        "plan": {
            "hardware": "this machine, 2 CPU cores",
            "estimated_s": 5.0,
            "hyperparameters": [{"name": "epochs", "value": 3, "reason": "a small data set"}],
        },
        "model": {"id": "sentence-transformers/tiny", "source": "hub", "licence": "apache-2.0"},
        "training": {"seconds": 4.2},
        "usd": {"estimated": 0.0, "actual": 0.0},
        "decisions": [
            {
                "kind": "compute",
                "value": "approve",
                "actor": "ann",
                "surface": "console",
                "at": "now",
                "why": "",
            }
        ],
        "seconds": {"audit": 1.0},
        "baselines": baselines["leaderboard"],
        "attempts": [],
        "reported": [reported("macro_f1", apart=""), reported("accuracy", apart="another metric")],
        "official_test": True,
        "paper": PAPER,
    }


PAPER = {
    "id": "2003.04807",
    "title": f"On messages {HOSTILE}",
    "url": "https://arxiv.org/abs/2003.04807",
    "named": True,
    "licence": "cc-by-4.0",
    "facts": [{"field": "epochs", "value": 3, "page": 4, "quote": "three epochs", "where": ""}],
    "results": [
        {
            "metric": "macro_f1", "value": 0.5, "model": HOSTILE, "split": "test", "page": 5, "where": "Table 2",
            "same_data": True,
        },
    ],
    "linked": [{"url": "https://github.com/ada/code", "licence": None, "note": "not looked up"}],
}  # fmt: skip


def reported(metric: str, *, apart: str) -> dict[str, Any]:
    return {
        "metric": metric, "value": 0.5, "model": f"ada/model {HOSTILE}", "source": "model card",
        "url": "https://hub.example/ada/model", "split": "test", "where": "", "verified": False, "apart": apart,
    }  # fmt: skip


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("base") / "tiny")


@pytest.fixture(scope="session")
def probed(tmp_path_factory: pytest.TempPathFactory, base: Path) -> Callable[[str], Run]:
    """``probed(family)``: the baselines, measured; once a session for each family."""
    made: dict[str, Run] = {}

    def probe(family: str) -> Run:
        if family not in made:
            folder = make_folder(tmp_path_factory.mktemp(family) / "probe", base, family)
            made[family] = Run(folder, folder.results("baselines"))
        return made[family]

    return probe


@pytest.fixture(scope="session")
def assessed(
    tmp_path_factory: pytest.TempPathFactory, base: Path, probed: Callable[[str], Run]
) -> Callable[[str], Run]:
    """``assessed(family)``: trained, evaluated, stressed and packaged; once a session for each family."""
    made: dict[str, Run] = {}

    def assess(family: str) -> Run:
        if family not in made:
            probe = probed(family)
            folder = make_folder(tmp_path_factory.mktemp(family) / "assess", base, family)
            job = make_job(folder.path / "train", base, family, max_length=32)
            job.result(
                train_file=str(folder.path / "in/train.jsonl"),
                validation_file=str(folder.path / "in/validation.jsonl"),
            )
            job.out.rename(folder.path / "in/trained")
            (folder.path / "in/baselines").symlink_to(probe.out / "baselines")
            body = facts(folder, probe.results["baselines"])
            (folder.path / "in/facts.json").write_text(json.dumps(body), encoding="utf-8")
            made[family] = Run(folder, folder.results("evaluate", "stress", "card"))
        return made[family]

    return assess
