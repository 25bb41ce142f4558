"""The smoke test: the real script on a few rows before anything is paid for, and this machine's speeds.

``run`` follows ``docs/jobs.md``. In order: static checks; columns and labels; a run of two steps on some 32
rows, of which events and files are judged; a run that over-fits one batch of eight; the speeds. The first
check that fails ends the job with a kind of the taxonomy and the check's name at the start of the detail.

Decisions:

- A script is judged by what it says and leaves (``docs/jobs.md``), so one that a person or an LLM wrote is
  tested like the recipe. Settings are only changed where the script's config has them.
- The recipe's speeds are measured on its own encoder (``calibration.py``); another script's are what its own
  progress events say.
- ``startup_s`` runs until the script's first word: interpreter and imports, which every training pays.
"""

from __future__ import annotations

import contextlib
import csv
import importlib
import importlib.util
import json
import math
import random
import resource
import shutil
import sys
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import Any

from remote.jobs.__main__ import explain
from remote.jobs.calibration import calibrate
from remote.jobs.rows import Row, read_rows, write_text
from remote.jobs.script_run import SCRIPT_ERRORS, Run, run_script
from remote.jobs.static_checks import Check, check_script, fix_renames
from remote.protocol import Emitter, FailureKind, JobError, JobEventType, sha256_file

WORK = Path("out") / "smoke"  # removed at the end
MENDED = Path("out") / "mended" / "train.py"
RECIPE = Path(__file__).resolve().parents[1] / "recipes" / "text_classification.py"
PARTS = "finetune"  # the folder beside a script of ours
STEPS, OVERFIT_STEPS, OVERFIT_ROWS = 2, 10, 8
LOSS_FALLS_BELOW = 0.9  # last loss / first loss
CONFIDENCE_TOLERANCE = 1e-3  # other batches, other rounding
PROBABILITY_TOLERANCE = 1e-3
PICKLES = frozenset({".bin", ".ckpt", ".joblib", ".npy", ".pickle", ".pkl", ".pt", ".pth"})


@dataclass(slots=True)
class Report:
    """The checks so far. ``expect`` ends the job at the first that fails."""

    emit: Emitter
    total: int
    checks: list[Check] = field(default_factory=list)

    def expect(self, name: str, problem: str | None, kind: FailureKind = FailureKind.SCRIPT_ERROR) -> None:
        if problem:
            raise JobError(kind, f"{name}: {problem}")
        self.checks.append(Check(name, True))
        self.emit.progress(len(self.checks), self.total)


def run(config: Mapping[str, Any], emit: Emitter) -> Mapping[str, Any]:
    """See the module. Raises JobError: the first failed check."""
    settings, script = dict(config["config"]), Path(config["script"])
    classes = [] if config["family"] == "regression" else [str(label) for label in config["labels"]]
    report, start = Report(emit, total=14), time.perf_counter()
    try:
        _static(script, report)
        train, validation = _rows(settings, classes, config["family"], report)
        few = sample(train, int(config.get("rows", 32)), int(settings.get("seed", 0)))
        held_out = sample(validation, len(few), int(settings.get("seed", 0)))
        short = _short_run(script, settings, few, held_out, report)
        startup_s = short.first_word - start
        inference = _inference(script.parent)
        _judge_files(short, inference, classes, held_out, report)
        overfit = _overfit_run(script, settings, few, report)
        facts = _facts(short.out)
        if _code(script) == _code(RECIPE):
            speeds = calibrate(inference, settings, len(classes) or 1, [row.text for row in train], facts)
        else:
            speeds = _speeds_said(overfit)
        report.expect("speed", None)
    finally:
        shutil.rmtree(WORK, ignore_errors=True)
    return {
        "checks": [asdict(check) for check in report.checks],
        "max_length": settings.get("max_length"),
        "precision": facts.get("precision") or settings.get("precision"),
        "startup_s": round(startup_s, 2),
        "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        **speeds,
    }


# Before the script runs


def _static(script: Path, report: Report) -> None:
    for check in check_script(script):
        if check.name == "arguments" and not check.ok:
            mended, changes = fix_renames(script.read_text(encoding="utf-8"))
            if changes:
                report.emit.artifact(write_text(MENDED, mended), MENDED.parents[1])
                detail = f"{check.detail}. A copy with the arguments mended is in {MENDED}."
                raise JobError(FailureKind.SCRIPT_ERROR, f"arguments: {detail}")
        report.expect(check.name, check.detail if not check.ok else None)


def _rows(
    settings: Mapping[str, Any], classes: Sequence[str], family: str, report: Report
) -> tuple[list[Row], list[Row]]:
    """Both splits. Their columns and labels must be what the config says."""
    train, validation = read_rows(settings["train_file"]), read_rows(settings["validation_file"])
    empty = [name for name, rows in (("train", train), ("validation", validation)) if not rows]
    report.expect("columns", f"the {empty[0]} split has no rows." if empty else None, FailureKind.DATA_ERROR)
    report.expect("labels", _label_problem([*train, *validation], classes, family), FailureKind.DATA_ERROR)
    return train, validation


def _label_problem(rows: Sequence[Row], classes: Sequence[str], family: str) -> str | None:
    known = set(classes)
    for row in rows:
        label = row.label
        if family == "regression":
            fine = isinstance(label, float) and math.isfinite(label)
        elif family == "multilabel":
            fine = isinstance(label, list) and set(label) <= known
        else:
            fine = isinstance(label, str) and label in known
        if not fine:
            what = "finite number" if family == "regression" else "class of the config"
            return f"row {row.row_id} has the label {str(label)[:80]!r}, no {what}; run the audit again."
    return None


def sample(rows: Sequence[Row], count: int, seed: int) -> list[Row]:
    """About ``count`` rows with every class in turn, texts not repeated; the same for the same seed."""
    shuffled = list(rows)
    random.Random(seed).shuffle(shuffled)  # noqa: S311 - not for secrets
    by_label: dict[str, list[Row]] = {}
    seen: set[str] = set()
    for row in shuffled:
        if row.text.strip() and row.text not in seen:
            seen.add(row.text)
            by_label.setdefault("" if isinstance(row.label, float) else str(row.label), []).append(row)
    turns = [group[turn] for turn in range(count) for group in by_label.values() if turn < len(group)]
    return (turns or shuffled)[:count]


# The script's runs


def _short_run(
    script: Path, settings: Mapping[str, Any], few: list[Row], held_out: list[Row], report: Report
) -> Run:
    wanted = {"epochs": STEPS, "max_steps": STEPS, "refit": False, "processes": 1}
    short = run_script("run", WORK, script, settings, wanted, few, held_out)
    report.expect("run", None)
    losses = short.numbers("loss")
    if not losses:
        report.expect("finite_loss", "the script reported no loss in any progress or epoch event.")
    bad = None in losses  # an event holds null for what is no finite number
    report.expect(
        "finite_loss", "the loss is not a number within two steps." if bad else None, FailureKind.NAN_LOSS
    )
    return short


def _overfit_run(script: Path, settings: Mapping[str, Any], few: list[Row], report: Report) -> Run:
    """A batch that is seen again and again must be learnt, or loss and labels do not fit together."""
    batch = few[:OVERFIT_ROWS]
    wanted = {
        "epochs": OVERFIT_STEPS,
        "max_steps": OVERFIT_STEPS,
        "batch_size": len(batch),
        "gradient_accumulation": 1,
        "patience": OVERFIT_STEPS,
        "label_smoothing": 0.0,
        "class_weights": "off",
        "ensemble": "off",
        "refit": False,
        "processes": 1,
    }
    overfit = run_script("overfits_batch", WORK, script, settings, wanted, batch, batch)
    losses = [loss for loss in overfit.numbers("train_loss") or overfit.numbers("loss") if loss is not None]
    problem = None
    if len(losses) > 1 and losses[-1] > max(losses[0] * LOSS_FALLS_BELOW, 0.01):
        problem = (
            f"the loss went from {losses[0]:.3g} to {losses[-1]:.3g} on a few rows seen "
            f"{OVERFIT_STEPS} times; lower the learning rate, or check that loss and labels fit together."
        )
    report.expect("overfits_batch", problem, FailureKind.DIVERGED)
    return overfit


# What a run left


def _judge_files(
    short: Run, inference: ModuleType, classes: Sequence[str], held_out: list[Row], report: Report
) -> None:
    report.expect("files", _file_problem(short.out))
    texts = [row.text for row in held_out]
    with _as_check("shapes"):
        model = inference.Model.from_folder(short.out / "model")
        answers = model.probabilities(texts)
    report.expect("shapes", _shape_problem(answers, len(texts), classes))
    with _as_check("save_reload"):
        again = inference.Model.from_folder(short.out / "model").probabilities(texts)
        predictions = model.predict(texts)
    problem = None
    if (answers != again).any():
        problem = "loading the saved model twice gives two answers: some of its weights are not in the file."
    problem = problem or _prediction_problem(short.out / "validation_predictions.csv", held_out, predictions)
    report.expect("save_reload", problem)


@contextlib.contextmanager
def _as_check(name: str) -> Iterator[None]:
    """Errors of the model's own code become a failure of this check."""
    try:
        yield
    except SCRIPT_ERRORS as error:
        traceback.print_exception(error, file=sys.stderr)  # the log, not a person
        kind, detail = explain("inference.py", error)
        raise JobError(kind, f"{name}: {detail}") from error


def _shape_problem(answers: Any, texts: int, classes: Sequence[str]) -> str | None:
    """``answers``: [texts, classes] probabilities; regression: [texts] numbers."""
    shape = (texts, len(classes)) if classes else (texts,)
    if answers.shape != shape:
        return f"the model answers numbers of shape {answers.shape}, not {shape}."
    if not (abs(answers) < math.inf).all():  # also false of not-a-number
        return "the model's answers are not all finite."
    inside = (answers > -PROBABILITY_TOLERANCE) & (answers < 1 + PROBABILITY_TOLERANCE)
    return "the model's answers are no probabilities." if classes and not inside.all() else None


def _file_problem(out: Path) -> str | None:
    wanted = ("model/config.json", "model/inference.json", "validation_predictions.csv")
    missing = [name for name in wanted if not (out / name).is_file()]
    if not list((out / "model").glob("*.safetensors")):
        missing.append("model/model.safetensors")
    if missing:
        return f"the script did not write {', '.join(missing)}."
    pickled = sorted(p.name for p in out.rglob("*") if p.suffix in PICKLES)
    return (
        f"the script wrote {', '.join(pickled)}, which may be pickles; use safetensors." if pickled else None
    )


def _prediction_problem(path: Path, rows: Sequence[Row], predictions: Sequence[Any]) -> str | None:
    """Whether what the script predicted before saving is what the loaded model predicts."""
    with path.open(encoding="utf-8", newline="") as file:
        said = {record.get("row_id"): record for record in csv.DictReader(file)}
    for row, now in zip(rows, predictions, strict=True):
        record = said.get(str(row.row_id))
        if record is None or not {"label", "prediction", "confidence"} <= record.keys():
            return f"validation_predictions.csv says nothing about row {row.row_id}."
        before = record["prediction"]
        if isinstance(now.label, float):
            same = math.isclose(_number(before), now.label, rel_tol=1e-3, abs_tol=1e-3)
        else:
            # One class: the probability of what was answered before, so that a tie may fall either way.
            score = now.confidence if isinstance(now.label, list) else now.scores.get(before, math.nan)
            same = abs(_number(record["confidence"]) - score) < CONFIDENCE_TOLERANCE
        if not same:
            return f"row {row.row_id} was {before[:80]!r} before saving and is {now.label!r} after loading."
    return None


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan  # equal to nothing


def _inference(folder: Path) -> ModuleType:
    """``inference.py`` among the script's parts or (as it used to be) beside it, else the recipe's."""
    places = (folder / PARTS / "inference.py", folder / "inference.py")
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        return importlib.import_module("remote.recipes.finetune.inference")
    spec = importlib.util.spec_from_file_location("smoke_inference", path)
    assert spec is not None, "a .py file has a spec"
    assert spec.loader is not None, "a .py file has a loader"
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def _code(script: Path) -> list[str]:
    """Hashes of the script and its parts."""
    return [sha256_file(path) for path in (script, *sorted((script.parent / PARTS).glob("*.py")))]


def _facts(out: Path) -> dict[str, Any]:
    try:
        body = json.loads((out / "training.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return body if isinstance(body, dict) else {}


# Speed


def _speeds_said(done: Run) -> dict[str, Any]:
    """Rows per second as the script reports them, or one batch's rows over the time between two steps."""
    said = [value for value in done.numbers("rows_per_s") if value]
    rate = said[-1] if said else None
    steps = [event for event in done.events if event.type is JobEventType.PROGRESS]
    if rate is None and len(steps) > 1:
        first, last = steps[0], steps[-1]
        passed_s = (datetime.fromisoformat(last.t) - datetime.fromisoformat(first.t)).total_seconds()
        rate = (last.fields["step"] - first.fields["step"]) * OVERFIT_ROWS / max(passed_s, 1e-3)
    if rate is None:
        rate = OVERFIT_STEPS * OVERFIT_ROWS / done.seconds  # a lower bound
    return {"rows_per_s": {"train_full": rate}, "seconds_per_step": {"train_full": OVERFIT_ROWS / rate}}
