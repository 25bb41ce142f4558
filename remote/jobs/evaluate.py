"""Evaluates the packaged model and the stored baselines on the test rows, which no earlier job has seen.

What counts is written to files first: ``predictions.csv`` holds what the packaged model says of each row,
and every value in ``metrics.json`` is scikit-learn's on that file. Confidences are written with all their
digits, so that the calibration error can be recomputed too. The test split's sha256 is checked against the
audit's: a split that changed since would make the score mean something else.
"""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics as sk

from remote.jobs import pages, plots, slices, suspicion
from remote.jobs.leaderboard import (
    Contest,
    Entrant,
    compare,
    entry,
    human_row,
    metric_name,
    name_of,
    stored_baselines,
    verdict,
)
from remote.jobs.linear_store import size_mb
from remote.jobs.predict import ask, load
from remote.jobs.rows import Row, read_rows, write_text
from remote.jobs.scores import CONVENTION, Predicted, as_text, encode, scored_ece, scored_mean, top_k
from remote.protocol import Emitter, FailureKind, JobError, finite, sha256_file

EXAMPLES = 10
EXAMPLE_CHARS = 300
POOR_ECE = 0.1
POOR_F1 = 0.5
TOP_K = 3
TOP_K_CLASSES = 10  # from so many classes on, whether the truth is among the three likeliest is worth knowing
IN, OUT = Path("in"), Path("out")


@dataclass(frozen=True, slots=True)
class Assessed:
    """The test rows with the model's answers; ``right`` [n]: 1 where it is right (regression: the error)."""

    rows: Sequence[Row]
    contest: Contest
    said: Predicted
    right: NDArray[Any]
    split_sha256: str


def run(config: Mapping[str, Any], emit: Emitter) -> Mapping[str, Any]:
    """See ``docs/jobs.md``. Result: metrics, primary, leaderboard, comparison, verdict, plots, notes."""
    facts = read_json(IN / "facts.json")
    training = read_json(IN / "trained/training.json")
    rows, digest = _test_rows(facts)
    family, labels = str(config["family"]), list(config["labels"])
    truth = encode([row.label for row in rows], labels, family)
    contest = Contest(truth, family, labels, str(config["metric"]), int(config.get("seed", 0)))
    model = _ask_model(contest, rows, facts, training, emit)
    assessed = Assessed(rows, contest, model.said, _right(contest, model.said), digest)
    write_text(OUT / "predictions.csv", predictions_csv(assessed))
    texts = [row.text for row in rows]
    others = stored_baselines(
        contest, texts, IN / "baselines", IN / "base_model", facts.get("baselines", []), emit
    )
    board = _leaderboard(assessed, model, others, facts)
    metrics = measure(assessed, emit)
    metrics["suspicion"] = suspicion.check(
        read_rows(IN / "train.jsonl"), rows, contest.metric, metrics[contest.metric]["value"]
    )
    pictures = draw(assessed, metrics, training)
    notes = notes_on(metrics, board)
    metrics["notes"] = notes
    write_text(OUT / "metrics.json", dumps(metrics))
    write_text(OUT / "leaderboard.json", dumps(board))
    for path in ("predictions.csv", "metrics.json", "leaderboard.json", *(p["path"] for p in pictures)):
        emit.artifact(OUT / path, OUT)
    return {
        "metrics": {name: score for name, score in metrics.items() if pages.is_score(score)},
        "primary": contest.metric,
        "leaderboard": board["leaderboard"],
        "comparison": board["comparison"],
        "verdict": board["verdict"],
        "plots": pictures,
        "notes": notes,
        "rows": len(rows),
        "split_sha256": digest,
    }


def read_json(path: Path) -> dict[str, Any]:
    """An input's object; an empty one when the file is missing. Raises JobError when it is not JSON."""
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError:
        raise JobError(FailureKind.DATA_ERROR, f"{path.name} is not readable: start the run again.") from None
    return body if isinstance(body, dict) else {}


def dumps(body: Mapping[str, Any]) -> str:
    return json.dumps(finite(body), ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def _test_rows(facts: Mapping[str, Any]) -> tuple[list[Row], str]:
    rows = read_rows(IN / "test.jsonl")
    if not rows:
        raise JobError(FailureKind.DATA_ERROR, "The test split is empty: give more rows.")
    digest = sha256_file(IN / "test.jsonl")
    expected = facts.get("audit", {}).get("split_sha256", {}).get("test")
    if expected and expected != digest:
        raise JobError(
            FailureKind.DATA_ERROR,
            "The test split has changed since the audit, so a score would mean nothing: start a new run.",
        )
    return rows, digest


def _ask_model(
    contest: Contest,
    rows: Sequence[Row],
    facts: Mapping[str, Any],
    training: Mapping[str, Any],
    emit: Emitter,
) -> Entrant:
    folder = IN / "trained/model"
    model = load(folder)
    texts = [row.text for row in rows]
    ask(model, texts[:4], contest.labels, contest.family)  # the first call sets things up; it is not timed
    started = time.perf_counter()
    said = ask(model, texts, contest.labels, contest.family).predicted
    spent_ms = 1000 * (time.perf_counter() - started) / len(rows)
    emit.progress(len(rows), len(rows))
    known = {
        "fit_s": facts.get("training", {}).get("seconds") or training.get("seconds"),
        "usd": facts.get("usd", {}).get("actual"),
        "size_mb": round(size_mb(folder), 3),
        "note": "linear model only, no fine-tuning" if facts.get("baseline_only") else "",
    }
    return Entrant(entry(contest, "model", said, known, spent_ms), said)


def _right(contest: Contest, said: Predicted) -> NDArray[Any]:
    if contest.family == "regression":
        return np.abs(said.classes - contest.truth)
    hits = said.classes == contest.truth
    return hits.all(axis=1) if contest.family == "multilabel" else hits


def label_at(contest: Contest, value: Any) -> Any:
    """A class name, a list of class names or a number, from how arrays hold it."""
    if contest.family == "regression":
        return float(value)
    if contest.family == "multilabel":
        return [name for name, yes in zip(contest.labels, value, strict=True) if yes]
    return contest.labels[int(value)]


def predictions_csv(assessed: Assessed) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["row_id", "label", "prediction", "confidence", "split_sha256"])
    said = assessed.said
    for row, value, confidence in zip(assessed.rows, said.classes, said.confidence, strict=True):
        shown = "" if np.isnan(confidence) else repr(float(confidence))
        prediction = as_text(label_at(assessed.contest, value))
        writer.writerow([row.row_id, as_text(row.label), prediction, shown, assessed.split_sha256])
    return out.getvalue()


def _leaderboard(
    assessed: Assessed, model: Entrant, others: Sequence[Entrant], facts: Mapping[str, Any]
) -> dict[str, Any]:
    contest, human = assessed.contest, human_row(facts.get("human", {}), assessed.contest.metric)
    comparison = compare(contest, model, others)
    best = next((o.row for o in others if o.row["name"] == comparison.get("best_baseline")), None)
    if best is not None and comparison["overlap"]:
        model.row["note"] = "; ".join(
            filter(
                None,
                [model.row["note"], f"interval overlaps that of {name_of(best['name'], contest.family)}"],
            )
        )
    return {
        "metric": contest.metric,
        "split": "test",
        "rows": len(assessed.rows),
        "split_sha256": assessed.split_sha256,
        "leaderboard": [*(o.row for o in others), model.row, *([human] if human else [])],
        "reported": facts.get("reported", []),  # by others, never among our own rows
        "comparison": comparison,
        "verdict": verdict(len(assessed.rows), contest, model.row, best, comparison, human),
    }


def measure(assessed: Assessed, emit: Emitter) -> dict[str, Any]:
    """The content of ``metrics.json``, without what needs the training rows."""
    contest, said = assessed.contest, assessed.said
    body: dict[str, Any] = {
        "family": contest.family,
        "metric": contest.metric,
        "split": "test",
        "rows": len(assessed.rows),
        "split_sha256": assessed.split_sha256,
        "convention": CONVENTION,
    }
    body |= contest.scores(said)
    if contest.family != "regression":
        body |= _calibration(contest, said)
        body["labels"] = list(contest.labels)
        body["per_class"] = per_class(contest, said)
    if contest.family in ("binary", "multiclass"):
        numbers = range(len(contest.labels))
        matrix = sk.confusion_matrix(contest.truth, said.classes, labels=numbers)
        body["confusion_matrix"] = matrix.tolist()
        body["most_confused"] = [asdict(pair) for pair in plots.most_confused(matrix, contest.labels)]
        if len(contest.labels) >= TOP_K_CLASSES:
            near = top_k(contest.truth, said.probabilities, TOP_K)
            body[f"top_{TOP_K}_accuracy"] = scored_mean(near, contest.seed)
    regression = contest.family == "regression"
    body["slices"] = slices.by_group(assessed.rows, assessed.right, contest.seed, errors=regression)
    body["examples"] = examples(assessed)
    return body


def _calibration(contest: Contest, said: Predicted) -> dict[str, Any]:
    """ECE of the confidence in the answer; multi-label: of each class's probability."""
    if contest.family == "multilabel":
        truth, chance = contest.truth.ravel(), said.probabilities.ravel()
        return {"ece": scored_ece(truth, chance, contest.seed)}
    return {"ece": scored_ece(said.classes == contest.truth, said.confidence, contest.seed)}


def per_class(contest: Contest, said: Predicted) -> dict[str, dict[str, float]]:
    """Label -> precision, recall, F1 and support (its true rows)."""
    numbers = list(range(len(contest.labels)))
    parts = sk.precision_recall_fscore_support(contest.truth, said.classes, labels=numbers, zero_division=0)
    return {
        label: {"precision": float(p), "recall": float(r), "f1": float(f), "support": int(s)}
        for label, p, r, f, s in zip(contest.labels, *parts, strict=True)
    }


def examples(assessed: Assessed) -> dict[str, list[dict[str, Any]]]:
    """The most confident mistakes, and the rows nearest the boundary between the two likeliest classes."""
    contest, said = assessed.contest, assessed.said
    if contest.family == "regression":
        return {"largest_errors": _shown(assessed, np.argsort(-assessed.right, kind="stable")[:EXAMPLES])}
    wrong = np.flatnonzero(~assessed.right.astype(bool))
    mistakes = wrong[np.argsort(-said.confidence[wrong], kind="stable")][:EXAMPLES]
    margins = margin(said.probabilities, contest.family)
    nearest = np.argsort(margins, kind="stable")[:EXAMPLES]
    return {
        "most_confident_mistakes": _shown(assessed, mistakes),
        "nearest_boundary": [
            shown | {"margin": float(margins[i])}
            for shown, i in zip(_shown(assessed, nearest), nearest, strict=True)
        ],
    }


def margin(probabilities: NDArray[np.float64], family: str) -> NDArray[np.float64]:
    """[n]: likeliest minus second likeliest; multi-label: twice the least distance from one half."""
    if family == "multilabel":
        return np.asarray(2 * np.abs(probabilities - 0.5).min(axis=1))
    top = np.sort(probabilities, axis=1)[:, -2:]
    return np.asarray(top[:, -1] - top[:, 0])


def _shown(assessed: Assessed, places: NDArray[np.int64]) -> list[dict[str, Any]]:
    return [
        {
            "row_id": assessed.rows[i].row_id,
            "text": assessed.rows[i].text[:EXAMPLE_CHARS],
            "label": assessed.rows[i].label,
            "prediction": label_at(assessed.contest, assessed.said.classes[i]),
            "confidence": float(assessed.said.confidence[i]),
        }
        for i in places
    ]


def draw(assessed: Assessed, metrics: Mapping[str, Any], training: Mapping[str, Any]) -> list[dict[str, str]]:
    """The family's plots: ``[{"path", "alt"}]``."""
    contest, said, folder = assessed.contest, assessed.said, OUT / "plots"
    made = []
    if contest.family == "regression":
        plots.predicted_vs_true(folder / "predicted_vs_true.png", contest.truth, said.classes)
        made.append(("predicted_vs_true.png", "Predicted against true numbers of the test rows"))
    elif contest.family == "multilabel":
        plots.class_scores(folder / "class_scores.png", metrics["per_class"])
        made.append(("class_scores.png", "F1 by class"))
    else:
        matrix = np.array(metrics["confusion_matrix"])
        plots.confusion_matrix(folder / "confusion_matrix.png", matrix, contest.labels)
        made.append(("confusion_matrix.png", "Confusion matrix: which classes are taken for which"))
    history = training.get("history", [])
    metric = str(training.get("metric", contest.metric))
    plots.learning_curve(folder / "learning_curve.png", history, metric)
    made.append(("learning_curve.png", "Learning curve: losses and the deciding metric by epoch"))
    if contest.family != "regression":
        multilabel = contest.family == "multilabel"
        correct = contest.truth.ravel() if multilabel else assessed.right
        sure = said.probabilities.ravel() if multilabel else said.confidence
        plots.reliability(folder / "reliability.png", correct, sure, metrics["ece"]["value"])
        made.append(("reliability.png", "Reliability: how often the model is right, by its confidence"))
    return [{"path": f"plots/{name}", "alt": alt} for name, alt in made]


def notes_on(metrics: Mapping[str, Any], board: Mapping[str, Any]) -> list[str]:
    """What a reader must not miss, one sentence each."""
    notes = []
    if metrics["suspicion"]["suspicious"]:
        notes.append(metrics["suspicion"]["because"])
    failing = [item for item in metrics["slices"] if item["failing"]]
    notes += [
        f"The model fails the group {item['slice']} = {item['group']}: {item['metric']} "
        f"{item['score']['value']:.3f} on {item['n']} rows, against {item['rest']:.3f} on all others."
        for item in failing[:5]
    ]
    weak = [
        (v["f1"], name)
        for name, v in metrics.get("per_class", {}).items()
        if v["support"] and v["f1"] < POOR_F1
    ]
    if weak:
        worst = ", ".join(f"{name} ({f1:.2f})" for f1, name in sorted(weak)[:3])
        notes.append(f"{len(weak)} of {len(metrics['labels'])} classes have an F1 below {POOR_F1}: {worst}.")
    absent = [name for name, v in metrics.get("per_class", {}).items() if not v["support"]]
    if absent:
        notes.append(f"{len(absent)} classes have no test row, so nothing is known about them.")
    if metrics.get("ece", {}).get("value", 0.0) > POOR_ECE:
        notes.append(
            f"Its confidences are off by {metrics['ece']['value']:.2f} on average: do not use them as odds."
        )
    if board["rows"] < 200:
        notes.append(
            f"The test split has only {board['rows']} rows: the intervals are wide, more rows would help."
        )
    return notes


__all__ = ["dumps", "metric_name", "read_json", "run"]
