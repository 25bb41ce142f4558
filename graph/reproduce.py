"""Trains a finished run again from what it recorded, and compares the test predictions row by row.

Same split, seed, settings and the recorded learning-rate schedule give the same predictions on the same machine; on
another machine the rounding of another processor may move rows near the boundary, and the report says how many.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graph.deps import Deps
from graph.errors import StageFailed
from graph.inputs import HEAVY, metric_of
from graph.jobs import run_once
from graph.state import RunState
from remote.backend import Input, JobSpec, Program


@dataclass(frozen=True, slots=True)
class Reproduction:
    rows: int
    differing: int
    metric: str
    before: Mapping[str, float]  # value, low, high
    after: Mapping[str, float]

    @property
    def same(self) -> bool:
        return self.differing == 0

    @property
    def agrees(self) -> bool:
        """Whether the new score lies within the old interval."""
        return self.before["low"] <= self.after["value"] <= self.before["high"]

    def words(self) -> str:
        scores = f"{self.metric} {self.before['value']:.4f} then, {self.after['value']:.4f} now"
        if self.same:
            return f"The same predictions on all {self.rows} test rows: {scores}."
        within = "within" if self.agrees else "outside"
        share = f"{self.differing} of {self.rows} test rows are predicted differently"
        return f"{share}: {scores}, {within} the 95 % interval."


async def reproduce(deps: Deps, state: RunState, run_id: str) -> Reproduction:
    """Raises StageFailed when the run left too little to redo it, BackendError when no job can run."""
    folder, into = deps.run_dir(run_id), deps.run_dir(run_id) / "reproduced"
    needed = [
        "config.json",
        "train.py",
        "schedule.json",
        "predictions.csv",
        "metrics.json",
        "data/test.jsonl",
    ]
    missing = [name for name in needed if not (folder / name).is_file()]
    if missing or not Path(state["model"].path).is_dir():
        raise StageFailed(
            f"Run {run_id} cannot be redone: {', '.join(missing) or 'its base model'} is not there.",
            "Only a run that is done can be reproduced.",
        )
    key = f"{run_id}-reproduce-{int(deps.now().timestamp())}"
    config = json.loads((folder / "config.json").read_text("utf-8"))
    config |= {"schedule": "in/schedule.json", "resume_from": None}
    data = [Input(f"{s}.jsonl", str(folder / "data" / f"{s}.jsonl")) for s in ("train", "validation", "test")]
    await run_once(
        deps,
        JobSpec(
            f"{key}-train",
            run_id,
            (Program("train", "in/train.py", config),),
            (
                *data[:2],
                *(
                    Input(n, str(folder / n))
                    for n in ("train.py", "schedule.json", *_companions(deps, state))
                ),
                Input("base_model", state["model"].path, shared=True),
            ),
            HEAVY,
            state["request"].allow_unisolated,
        ),
        into / "trained",
    )
    result = await run_once(
        deps,
        JobSpec(
            f"{key}-evaluate",
            run_id,
            (Program("evaluate", "evaluate", _evaluation(state)),),
            (
                *data,
                Input("trained", str(into / "trained")),
                Input("base_model", state["model"].path, shared=True),
            ),
            HEAVY,
            state["request"].allow_unisolated,
        ),
        into,
    )
    return _compare(folder, into, str(result["primary"]))


def _companions(deps: Deps, state: RunState) -> list[str]:
    return [path.name for path in deps.recipes.for_family(state["audit"].family).companions]


def _evaluation(state: RunState) -> dict[str, Any]:
    audit = state["audit"]
    return {
        "family": audit.family.value,
        "labels": list(audit.labels),
        "metric": metric_of(state),
        "seed": state["request"].seed,
    }


def _compare(folder: Path, into: Path, metric: str) -> Reproduction:
    before, after = _predictions(folder / "predictions.csv"), _predictions(into / "predictions.csv")
    scores = [json.loads((f / "metrics.json").read_text("utf-8"))[metric] for f in (folder, into)]
    differing = sum(after.get(row) != said for row, said in before.items())
    return Reproduction(len(before), differing, metric, scores[0], scores[1])


def _predictions(path: Path) -> dict[str, tuple[str, str]]:
    with path.open(newline="", encoding="utf-8") as lines:
        return {r["row_id"]: (r["prediction"], r["confidence"]) for r in csv.DictReader(lines)}
