"""Does the published model say what was measured? It is asked some test rows, beside ``predictions.csv``.

The rows are spread evenly over the test split. A label has to be equal and a confidence within ``TOLERANCE``, which
leaves room for the rounding of another batch and for nothing else; a number has to be within that share of itself.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graph.deps import Checkup, Deps
from graph.predict import MAX_TEXT_CHARS, ask_model

ROWS = 20
TOLERANCE = 1e-4


@dataclass(frozen=True, slots=True)
class Sample:
    text: str
    prediction: str  # as a cell of predictions.csv
    confidence: float | None  # None for a regression


def sample(folder: Path, rows: int = ROWS) -> list[Sample]:
    """Test rows of a run with what was predicted for them; empty where either file is not there."""
    predictions, test = folder / "predictions.csv", folder / "data" / "test.jsonl"
    if not (predictions.is_file() and test.is_file()):
        return []
    with predictions.open(newline="", encoding="utf-8") as lines:
        said = {row["row_id"]: row for row in csv.DictReader(lines)}
    found = []
    with test.open(encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            known = said.get(str(row.get("row_id")))
            if known and len(row["text"]) <= MAX_TEXT_CHARS:
                sure = known["confidence"]
                found.append(Sample(row["text"], known["prediction"], float(sure) if sure else None))
    step = max(1, math.ceil(len(found) / rows))
    return found[::step]


def compare(samples: Sequence[Sample], answers: Sequence[Mapping[str, Any]]) -> Checkup:
    """``answers``: as the predict job gives them, in the order of ``samples``."""
    differing = sum(not _same(one, answer) for one, answer in zip(samples, answers, strict=True))
    if differing:
        detail = f"{differing} of {len(samples)} test rows are predicted otherwise than in predictions.csv."
    else:
        detail = f"Fetched anew, it gives the same predictions on {len(samples)} test rows."
    return Checkup(len(samples), differing, detail)


async def check_up(deps: Deps, run_id: str, model: Path, *, allow_unisolated: bool) -> Checkup:
    """Ask the model in the folder ``model``. Raises StageFailed, BackendError where no job can run."""
    samples = sample(deps.run_dir(run_id))
    if not samples:
        return Checkup(0, 0, "There are no test rows here to compare it on.")
    answers = await ask_model(
        deps, run_id, model, [one.text for one in samples], allow_unisolated=allow_unisolated
    )
    return compare(samples, answers)


def _same(one: Sample, answer: Mapping[str, Any]) -> bool:
    label = answer["label"]
    if isinstance(label, str | list):
        cell = label if isinstance(label, str) else json.dumps(sorted(label), ensure_ascii=False)
        sure = one.confidence is None or abs(answer["confidence"] - one.confidence) <= TOLERANCE
        return cell == one.prediction and sure
    return math.isclose(float(label), float(one.prediction), rel_tol=TOLERANCE, abs_tol=TOLERANCE)
