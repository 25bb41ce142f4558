from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, root_mean_squared_error

from remote.jobs import slices, suspicion
from remote.jobs.leaderboard import Contest, Entrant, compare, human_row, verdict
from remote.jobs.rows import Row
from remote.jobs.scores import Predicted
from remote.protocol import sha256_file
from tests.remote.jobs.conftest import Folder, Run

Make = Callable[[str], Run]


def predictions(run: Run) -> list[dict[str, str]]:
    with (run.out / "predictions.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("family", ["binary", "multiclass"])
def test_metrics_are_recomputed_from_predictions_to_the_last_digit(assessed: Make, family: str) -> None:
    run = assessed(family)
    rows, metrics = predictions(run), run.json("metrics.json")
    truth, said = [r["label"] for r in rows], [r["prediction"] for r in rows]
    assert metrics["accuracy"]["value"] == accuracy_score(truth, said)
    assert metrics["macro_f1"]["value"] == f1_score(truth, said, average="macro")
    labels = metrics["labels"]
    assert metrics["confusion_matrix"] == confusion_matrix(truth, said, labels=labels).tolist()
    each = f1_score(truth, said, labels=labels, average=None)
    assert [metrics["per_class"][name]["f1"] for name in labels] == each.tolist()
    right = np.array([a == b for a, b in zip(truth, said, strict=True)], dtype=float)
    sure = np.array([float(r["confidence"]) for r in rows])
    bins = np.minimum((sure * 15).astype(int), 14)
    gaps = [abs((right - sure)[bins == b].sum()) for b in range(15)]
    assert metrics["ece"]["value"] == pytest.approx(sum(gaps) / len(rows), abs=1e-15)
    assert "zero_division=0" in metrics["convention"]


def test_multilabel_predictions_are_lists_that_recompute(assessed: Make) -> None:
    run = assessed("multilabel")
    rows, metrics = predictions(run), run.json("metrics.json")
    labels = metrics["labels"]
    truth, said = (
        np.array([[name in json.loads(row[key]) for name in labels] for row in rows])
        for key in ("label", "prediction")
    )
    assert metrics["macro_f1"]["value"] == f1_score(truth, said, average="macro", zero_division=0)
    assert metrics["subset_accuracy"]["value"] == accuracy_score(truth, said)


def test_regression_predictions_recompute(assessed: Make) -> None:
    run = assessed("regression")
    rows, metrics = predictions(run), run.json("metrics.json")
    truth, said = ([float(row[key]) for row in rows] for key in ("label", "prediction"))
    assert metrics["rmse"]["value"] == root_mean_squared_error(truth, said)
    assert {row["confidence"] for row in rows} == {""}
    assert (run.out / "plots/predicted_vs_true.png").is_file()


def test_every_test_row_is_predicted_once_in_order(assessed: Make) -> None:
    run = assessed("multiclass")
    path = run.folder.path / "in/test.jsonl"
    ids = [json.loads(line)["row_id"] for line in path.read_text().splitlines()]
    rows = predictions(run)
    assert list(rows[0]) == ["row_id", "label", "prediction", "confidence", "split_sha256"]
    assert [int(row["row_id"]) for row in rows] == ids
    assert {row["split_sha256"] for row in rows} == {sha256_file(path)}


def test_the_leaderboard_holds_all_candidates_on_the_same_rows(assessed: Make) -> None:
    run = assessed("multiclass")
    board = run.json("leaderboard.json")
    rows = {row["name"]: row for row in board["leaderboard"]}
    assert list(rows) == ["majority", "tfidf_lr", "embedding_lr", "model", "human"]
    assert rows["human"]["score"]["value"] == 0.97
    assert rows["model"]["fit_s"] == 4.2
    assert all(rows[name]["fit_s"] >= 0 for name in rows if name != "human")
    assert all(rows[name]["size_mb"] > 0 and rows[name]["ms_per_row"] > 0 for name in rows if name != "human")
    assert run.results["evaluate"]["leaderboard"] == board["leaderboard"]
    assert board["comparison"]["best_baseline"] == "tfidf_lr"
    assert board["comparison"]["outcome"] == "worse"
    assert "use the baseline" in board["verdict"], "a random encoder loses to TF-IDF, and it says so"


def test_the_event_is_small_and_names_files_that_exist(assessed: Make) -> None:
    for family in ("multiclass", "multilabel", "regression"):
        run = assessed(family)
        result = run.results["evaluate"]
        assert len(json.dumps(result)) < 20_000
        assert result["primary"] in result["metrics"]
        for plot in result["plots"]:
            assert (run.out / plot["path"]).is_file()
            assert plot["alt"]


def test_mistakes_and_boundary_rows_are_listed(assessed: Make) -> None:
    run = assessed("multiclass")
    examples = run.json("metrics.json")["examples"]
    mistakes, nearest = examples["most_confident_mistakes"], examples["nearest_boundary"]
    wrong = {
        int(r["row_id"]): float(r["confidence"]) for r in predictions(run) if r["label"] != r["prediction"]
    }
    assert [m["confidence"] for m in mistakes] == sorted(wrong.values(), reverse=True)[: len(mistakes)]
    assert all(m["row_id"] in wrong for m in mistakes)
    assert [n["margin"] for n in nearest] == sorted(n["margin"] for n in nearest)


def copy_of(run: Run, path: Path) -> Folder:
    shutil.copytree(run.folder.path, path, symlinks=True)
    shutil.rmtree(path / "out")
    return Folder(path, run.folder.config)


def test_a_test_split_that_changed_is_refused(assessed: Make, tmp_path: Path) -> None:
    folder = copy_of(assessed("binary"), tmp_path / "changed")
    with (folder.path / "in/test.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"row_id": 1, "text": "one more", "label": "yes"}\n')
    kind, detail = folder.failure("evaluate")
    assert kind == "data_error"
    assert "has changed since the audit" in detail
    assert not (folder.out / "metrics.json").exists()


def test_a_missing_model_or_other_classes_are_named(assessed: Make, tmp_path: Path) -> None:
    folder = copy_of(assessed("binary"), tmp_path / "other")
    assert "other classes" in folder.failure("evaluate", labels=["no", "yes", "maybe"])[1]
    (folder.path / "in/trained/model/model.safetensors").unlink()
    assert "incomplete" in folder.failure("evaluate")[1]


# --- groups of rows


def rows_of(count: int, **fields: Callable[[int], Any]) -> list[Row]:
    made = {
        "text": lambda i: f"some text number {i}",
        "label": lambda i: "a",
        "slices": lambda i: {},
    } | fields
    return [Row(i, **{name: make(i) for name, make in made.items()}) for i in range(count)]


def test_a_group_that_the_model_fails_is_flagged_and_only_that_one() -> None:
    rows = rows_of(300, slices=lambda i: {"channel": ("web", "phone", "post")[i % 3]})
    right = np.array([0 if row.slices["channel"] == "post" and row.row_id % 2 else 1 for row in rows])
    found = {item["group"]: item for item in slices.by_group(rows, right, 0) if item["slice"] == "channel"}
    assert {name for name, item in found.items() if item["failing"]} == {"post"}
    assert found["post"]["score"]["high"] < found["post"]["rest"]
    assert found["post"]["n"] == 100


def test_chance_alone_flags_no_group() -> None:
    rng = np.random.default_rng(0)
    flagged = 0
    for _ in range(60):
        rows = rows_of(200, slices=lambda i: {"channel": str(i % 8)})
        found = slices.by_group(rows, (rng.random(200) < 0.8).astype(int), 0)
        flagged += any(item["failing"] for item in found)
    assert flagged <= 6


def test_languages_and_lengths_are_groups() -> None:
    english, german = (
        "this is what i want to know about my card",
        "ich habe eine Frage zu der Karte und warte",
    )
    rows = rows_of(60, text=lambda i: (english if i % 2 else german) + " x" * (i // 4))
    names = {(item["slice"], item["group"]) for item in slices.by_group(rows, np.ones(60), 0)}
    assert {("language", "en"), ("language", "de")} <= names
    assert sum(name == "text length" for name, _ in names) == 4


# --- a score that is too good


def test_a_word_that_gives_the_label_away_is_found() -> None:
    train = rows_of(
        80, text=lambda i: f"row {i} {'spam' if i % 2 else 'ham'} z{i * 7}", label=lambda i: "ab"[i % 2]
    )
    test = rows_of(
        40, text=lambda i: f"now {'spam' if i % 2 else 'ham'} q{i * 5}", label=lambda i: "ab"[i % 2]
    )
    checks = {item["check"]: item for item in suspicion.check(train, test, "macro_f1", 0.99)["checks"]}
    assert checks["a single word that gives the label away"]["found"]
    assert "spam → b" in checks["a single word that gives the label away"]["examples"]


def test_repeated_rows_are_found_and_an_honest_score_is_left_alone() -> None:
    words = [f"w{a}{b} v{b}{c} u{c}{a}" for a in "abcdef" for b in "ghijk" for c in "lmn"]
    train = rows_of(
        60, text=lambda i: f"the long story of {words[i]} and its end", label=lambda i: "ab"[i % 2]
    )
    fresh = rows_of(30, text=lambda i: f"quite another {words[60 + i]} matter", label=lambda i: "ab"[i % 2])
    again = suspicion.check(train, train[:20], "macro_f1", 0.99)
    found = {item["check"]: item["found"] for item in again["checks"]}
    assert found["near-duplicates across splits"]
    earned = suspicion.check(train, fresh, "macro_f1", 0.99)
    assert not {item["check"]: item["found"] for item in earned["checks"]}["near-duplicates across splits"]
    assert suspicion.check(train, train[:20], "macro_f1", 0.95) == {
        "suspicious": False,
        "because": "The score is not suspiciously good.",
        "checks": [],
    }


# --- the verdict


def contest(metric: str = "accuracy") -> Contest:
    return Contest(np.arange(400) % 2, "binary", ["no", "yes"], metric, 0)


def entrant(name: str, mistakes: int, among: Contest) -> Entrant:
    classes = among.truth.copy()
    classes[:mistakes] = 1 - classes[:mistakes]
    said = Predicted(classes, np.ones(len(classes)), np.zeros((len(classes), 2)))
    return Entrant({"name": name, "score": among.scores(said)[among.metric]}, said)


@pytest.mark.parametrize(
    ("model", "baseline", "words"),
    [
        (10, 90, "The model is better by 0.200"),
        (30, 45, "a small gain, as the two intervals overlap"),
        (40, 41, "cannot be told from chance: the cheaper baseline does as well"),
        (90, 10, "use the baseline, not the model"),
    ],
)
def test_the_verdict_says_what_was_measured(model: int, baseline: int, words: str) -> None:
    among = contest()
    ours, other = entrant("model", model, among), entrant("tfidf_lr", baseline, among)
    said = verdict(400, among, ours.row, other.row, compare(among, ours, [other]), None)
    assert words in said
    assert said.count(". ") == 1, "two sentences"


def test_the_human_ceiling_is_named() -> None:
    among = contest()
    ours, other = entrant("model", 20, among), entrant("tfidf_lr", 90, among)
    human = human_row({"accuracy": 0.99}, "accuracy")
    assert "reach 0.990" in verdict(400, among, ours.row, other.row, compare(among, ours, [other]), human)
    level = human_row({"accuracy": 0.95}, "accuracy")
    assert "ceiling" in verdict(400, among, ours.row, other.row, compare(among, ours, [other]), level)
    assert human_row({"f1": 0.9}, "accuracy") is None
