from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from remote.jobs import baselines
from remote.jobs.linear_store import Baseline, TextFeatures
from remote.jobs.rows import read_rows
from remote.jobs.scores import decide, encode, values
from remote.protocol import FailureKind, JobError
from tests.remote.jobs.conftest import Folder, Run, make_folder
from tests.remote.recipes.tiny import write_rows

FAMILIES = ("binary", "multiclass", "multilabel", "regression")
Make = Callable[[str], Run]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_has_three_scored_baselines(probed: Make, family: str) -> None:
    run = probed(family)
    result = run.results["baselines"]
    rows = {row["name"]: row for row in result["leaderboard"]}
    assert list(rows) == ["majority", "tfidf_lr", "embedding_lr"]
    for row in rows.values():
        assert row["score"]["low"] <= row["score"]["value"] <= row["score"]["high"]
        assert row["fit_s"] >= 0
        assert row["ms_per_row"] > 0
        assert row["usd"] == 0.0
    a, b = rows["tfidf_lr"]["score"], rows["embedding_lr"]["score"]
    assert result["overlap"] == (a["low"] <= b["high"] and b["low"] <= a["high"])
    better = min if family == "regression" else max
    best = better(row["score"]["value"] for row in rows.values())
    assert best != rows["majority"]["score"]["value"], "words tell more than nothing"


@pytest.mark.parametrize("family", FAMILIES)
def test_a_stored_baseline_answers_as_it_was_measured(probed: Make, family: str) -> None:
    run = probed(family)
    rows = read_rows(run.folder.path / "in/validation.jsonl")
    baseline = Baseline.load(run.out / "baselines/tfidf_lr")
    said = decide(baseline.probabilities(baseline.features([row.text for row in rows])), family)
    labels = run.folder.config["labels"]
    got = values(encode([row.label for row in rows], labels, family), said.classes, family, len(labels))
    assert got == run.results["baselines"]["leaderboard"][1]["scores"]


def test_what_is_stored_holds_no_pickle(probed: Make) -> None:
    folder = probed("multiclass").out / "baselines"
    assert {path.name for path in folder.rglob("*") if path.is_file()} == {"baseline.json", "weights.npz"}
    for path in folder.rglob("weights.npz"):
        with np.load(path, allow_pickle=False) as arrays:
            assert all(arrays[name].dtype == np.float32 for name in arrays.files)


def test_a_pickle_in_its_place_is_refused(probed: Make, tmp_path: Path) -> None:
    folder = tmp_path / "tfidf_lr"
    shutil.copytree(probed("multiclass").out / "baselines/tfidf_lr", folder)
    np.savez(folder / "weights.npz", weights=np.array([{}], dtype=object), intercept=np.zeros(1))
    with pytest.raises(JobError) as caught:
        Baseline.load(folder)
    assert caught.value.kind is FailureKind.DATA_ERROR


def test_hostile_terms_survive_the_store(tmp_path: Path) -> None:
    texts = ["naïve \ud800 é 日本", "naïve 日本 \x00 tab\t"] * 3
    text = TextFeatures(200)
    features = text.fit(texts)
    weights = np.ones((features.shape[1], 2), dtype=np.float32)
    made = Baseline("tfidf_lr", "binary", ("a", "b"), "softmax", weights, np.zeros(2, np.float32), text)
    again = Baseline.load(made.save(tmp_path / "x"))
    assert (again.features(texts) != features).nnz == 0


def test_the_same_seed_gives_the_same_scores(probed: Make, tmp_path: Path, base: Path) -> None:
    again = make_folder(tmp_path / "again", base, "multiclass").results("baselines")["baselines"]
    first = probed("multiclass").results["baselines"]
    assert [row["score"] for row in again["leaderboard"]] == [row["score"] for row in first["leaderboard"]]


def test_a_class_without_a_training_row_is_never_the_answer() -> None:
    features = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    link, weights, intercept = baselines._logistic(features, np.array([0, 2] * 20), 4, 1.0)
    said = (features @ weights + intercept).argmax(axis=1)
    assert link == "softmax"
    assert set(said) <= {0, 2}


def test_very_many_classes_use_the_solver_that_stays_small(
    tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(baselines, "MANY_CLASSES", 10)
    names = [f"c{i:02d}" for i in range(30)]
    folder = make_folder(tmp_path / "many", base, "multiclass")
    rows = [{"row_id": i, "text": f"about topic{i % 30} please", "label": names[i % 30]} for i in range(240)]
    write_rows(folder.path / "in/train.jsonl", rows)
    write_rows(folder.path / "in/validation.jsonl", rows[:60])
    result = folder.results("baselines", labels=names)["baselines"]
    assert Baseline.load(folder.out / "baselines/tfidf_lr").link == "ovr"
    assert result["leaderboard"][1]["scores"]["accuracy"] > 0.9
    assert result["ceiling_reached"]


def test_more_rows_than_needed_are_sampled_and_it_says_so(
    tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(baselines, "MAX_FIT_ROWS", 90)
    folder = make_folder(tmp_path / "large", base, "binary")
    row = folder.results("baselines")["baselines"]["leaderboard"][1]
    assert row["note"] == "fitted on 90 of 160 training rows"


def test_errors_end_in_one_sentence(tmp_path: Path, base: Path) -> None:
    folder: Folder = make_folder(tmp_path / "bad", base, "binary")
    kind, detail = folder.failure("baselines", base_model="in/nothing")
    assert (kind, detail.count(".")) == ("script_error", 1)
    write_rows(folder.path / "in/train.jsonl", [])
    assert folder.failure("baselines")[0] == "data_error"


def test_an_error_is_no_ceiling() -> None:
    row = {"score": {"value": 0.99, "low": 0.98, "high": 1.2}}
    assert baselines.ceiling_reached([row], "macro_f1")
    assert not baselines.ceiling_reached([row], "rmse")


def test_labels_are_data(probed: Make) -> None:
    body = json.loads((probed("binary").out / "baselines/majority/baseline.json").read_text())
    assert body["labels"] == ["no", "yes"]
