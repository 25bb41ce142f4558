from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard, SpaceCard

from remote.jobs.card import copy_model, licence_id
from remote.protocol import FailureKind, JobError
from tests.remote.jobs.conftest import Run

Make = Callable[[str], Run]
FAMILIES = ("binary", "multiclass", "multilabel", "regression")


@pytest.mark.parametrize("family", FAMILIES)
def test_the_card_is_read_by_the_hub_and_holds_what_was_measured(assessed: Make, family: str) -> None:
    run = assessed(family)
    card = ModelCard.load(run.out / "model/README.md")
    data, metrics = card.data.to_dict(), run.json("metrics.json")
    assert (data["license"], data["license_name"]) == ("other", "data-and-base")
    assert data["base_model"] == "sentence-transformers/tiny"
    assert data["datasets"] == ["someone/messages"]
    assert data["pipeline_tag"] == "text-classification"
    results = data["model-index"][0]["results"][0]
    assert results["dataset"]["split"] == "test"
    measured = {item["name"]: item["value"] for item in results["metrics"]}
    name = {"regression": "RMSE"}.get(family, "macro-F1")
    assert measured[name] == round(metrics[metrics["metric"]]["value"], 6)


def test_the_card_says_what_a_reader_needs(assessed: Make) -> None:
    text = (assessed("multiclass").out / "model/README.md").read_text()
    for heading in ("Intended use", "How to use", "Data", "Training", "Evaluation", "Limitations", "Risks"):
        assert f"\n## {heading}\n" in text
    assert "Energy: About" in text
    assert "made by a test" in text, "the attribution of the data"
    assert "a small data set" in text, "the reason of a hyperparameter"


def test_the_example_in_the_card_runs_as_it_stands(assessed: Make) -> None:
    run = assessed("binary")
    card = (run.out / "model/README.md").read_text()
    code = card.split("```python\n")[1].split("\n```")[0]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=run.out / "model", capture_output=True, text=True, check=True
    )
    example = run.results["card"]["example"]
    assert done.stdout.startswith(f"{example['label']} {example['confidence']}")


def test_the_report_leads_with_the_verdict_and_links_what_exists(assessed: Make) -> None:
    for family in FAMILIES:
        run = assessed(family)
        report = (run.out / "report.md").read_text()
        assert report.splitlines()[2].startswith("**On 120 test rows")
        for plot in run.results["evaluate"]["plots"]:
            assert f"]({plot['path']})" in report
        for heading in (
            "Plots",
            "Under stress",
            "What to try next",
            "Costs",
            "Decisions",
            "How to reproduce",
        ):
            assert f"## {heading}\n" in report
        assert "ann" in report


def test_the_work_of_others_stands_in_the_report_and_not_among_our_rows(assessed: Make) -> None:
    done = assessed("multiclass")
    report = (done.out / "report.md").read_text(encoding="utf-8")
    assert (
        report.index("## What others report for this data")
        < report.index("## The paper")
        < report.index("## Plots")
    )
    assert "Not comparable with ours" in report
    assert "Table 2, page 5" in report
    assert "| epochs | 3 | 3 | same | page 4 |" in report
    board = done.json("leaderboard.json")
    assert [row["apart"] for row in board["reported"]] == ["", "another metric"]
    assert {row["name"] for row in board["leaderboard"]} <= {
        "majority",
        "tfidf_lr",
        "embedding_lr",
        "model",
        "human",
    }


@pytest.mark.parametrize("name", ["report.md", "model/README.md", "space/README.md"])
def test_data_is_shown_and_never_obeyed(assessed: Make, name: str) -> None:
    text = (assessed("multiclass").out / name).read_text()
    assert "<script" not in text
    assert "@everyone" not in text
    assert not re.search(r"(?<!\\)\]\(http", text), "a link that somebody's data made"


def test_no_text_of_a_row_stands_in_the_card(assessed: Make) -> None:
    run = assessed("multiclass")
    card = (run.out / "model/README.md").read_text()
    rows = (run.folder.path / "in/test.jsonl").read_text().splitlines()
    assert not [row for row in rows if json.loads(row)["text"] in card]


def test_a_pickle_is_never_packaged(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model/training_args.bin").write_bytes(b"x")
    with pytest.raises(JobError) as caught:
        copy_model(tmp_path / "model", tmp_path / "out")
    assert caught.value.kind is FailureKind.DENIED
    assert not (tmp_path / "out").exists()


def test_the_card_claims_no_licence_of_its_own() -> None:
    judged = {"licence": {"id": "cc-by-sa-4.0", "name": "", "why": "It carries over."}}
    assert licence_id(judged) == "cc-by-sa-4.0"
    assert licence_id({"candidate": {"licence": "mit"}, "model": {"licence": "mit"}}) == "other"


def test_the_licence_that_was_judged_and_whom_the_model_owes(assessed: Make) -> None:
    card = ModelCard.load(assessed("multiclass").out / "model/README.md")
    assert card.data.license == "other"
    assert card.data.to_dict()["license_name"] == "data-and-base"
    text = card.text.replace("\\", "")
    assert "Licence of this model: other (data-and-base). Both hold." in text
    assert "Data: Messages, made by a test, licence mit." in text


def test_the_space_is_code_of_ours_and_settings(assessed: Make) -> None:
    space = assessed("multiclass").out / "space"
    assert {p.name for p in space.iterdir()} == {
        "app.py", "inference.py", "settings.json", "requirements.txt", "README.md",
    }  # fmt: skip
    data = SpaceCard.load(space / "README.md").data.to_dict()
    assert (data["sdk"], data["app_file"]) == ("gradio", "app.py")
    assert data["models"] == ["someone/messages"]
    pins = (space / "requirements.txt").read_text().splitlines()
    assert all("==" in line and "+" not in line for line in pins)
    assert f"gradio=={data['sdk_version']}" in pins
    assert json.loads((space / "settings.json").read_text())["model_id"] == "someone/messages"


@contextmanager
def started(space: Path) -> Iterator[str]:
    """The demo, headless on a free port of this machine; its address."""
    pytest.importorskip("gradio", reason="the demo needs gradio, which the extra `dev` installs")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {
        "GRADIO_SERVER_PORT": str(port),
        "GRADIO_ANALYTICS_ENABLED": "False",
        "HF_HUB_OFFLINE": "1",
        "PYTHONUNBUFFERED": "1",
    }
    process = subprocess.Popen(
        [sys.executable, "app.py"],
        cwd=space,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        assert process.stdout is not None
        said = []
        for line in process.stdout:  # waits for the line that the demo prints when it listens
            said.append(line)
            if "Running on local URL" in line:
                break
        assert process.poll() is None, "".join(said)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.communicate()


def call(address: str, text: str) -> list[Any]:
    """What ``/predict`` answers, through Gradio's HTTP interface."""
    body = json.dumps({"data": [text]}).encode()
    url = f"{address}/gradio_api/call/predict"
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as reply:
        event = json.load(reply)["event_id"]
    with urllib.request.urlopen(f"{url}/{event}", timeout=60) as stream:
        lines = stream.read().decode().splitlines()
    answers: list[Any] = json.loads(next(line for line in lines if line.startswith("data: "))[6:])
    return answers


def test_the_space_starts_and_answers(assessed: Make) -> None:
    with started(assessed("multiclass").out / "space") as address:
        answer, warning = call(address, "please help, my card was stolen")
        assert {part["label"] for part in answer["confidences"]} == {"card", "loan", "transfer"}
        assert answer["label"] == max(answer["confidences"], key=lambda part: part["confidence"])["label"]
        assert warning == ""
        assert "unlike" in call(address, "qwrtz plmkn vbcxy")[1]
        assert call(address, "  ")[1] == "Type a text first."
