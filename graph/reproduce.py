"""Trains a finished run again from what it recorded, and compares the test predictions row by row.

Same split, seed, settings and the recorded learning-rate schedule give the same predictions on the same machine; on
another machine the rounding of another processor may move rows near the boundary, and the report says how many and
whether the score still lies within the interval. Data and base model that are gone, or that a person wants fetched
again, come from where they came from, at the same revision and with the same hashes (:mod:`graph.refetch`).
"""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graph.deps import Deps, Recipe
from graph.errors import StageFailed
from graph.inputs import HEAVY, metric_of
from graph.jobs import run_once
from graph.refetch import SPLITS, Fetched, data_again, kept_split, model_again, recorded_files
from graph.scripts import changed, companions, script_inputs
from graph.state import RunState
from remote.backend import Input, JobSpec, Program

NEEDED = ("run.json", "config.json", "train.py", "schedule.json", "predictions.csv", "metrics.json")


@dataclass(frozen=True, slots=True)
class Reproduction:
    rows: int
    differing: int
    metric: str
    before: Mapping[str, float]  # value, low, high
    after: Mapping[str, float]
    said: tuple[str, ...] = ()  # what was fetched again

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
            found = f"The same predictions on all {self.rows} test rows: {scores}."
        else:
            within = "within" if self.agrees else "outside"
            share = f"{self.differing} of {self.rows} test rows are predicted differently"
            found = f"{share}: {scores}, {within} the 95 % interval."
        return " ".join((*self.said, found))


async def reproduce(deps: Deps, state: RunState, run_id: str, *, fresh: bool = False) -> Reproduction:
    """``fresh``: fetch data and base model again, although they are here.

    Raises StageFailed when the run left too little to redo it, BackendError when no job can run.
    """
    folder, into = deps.run_dir(run_id), deps.run_dir(run_id) / "reproduced"
    _check_kept(deps, state, run_id)
    shutil.rmtree(into, ignore_errors=True)
    key = f"{run_id}-reproduce-{int(deps.now().timestamp())}"
    recorded = recorded_files(json.loads((folder / "run.json").read_text("utf-8")))
    base = Fetched(Path(state["model"].path))
    if fresh or not base.folder.is_dir():
        base = await model_again(deps, state, recorded)
    data = Fetched(folder / "data")
    if fresh or not kept_split(data.folder, state["audit"].split_sha256):
        data = await data_again(deps, state, run_id, into, key)
    primary = await _train_and_evaluate(deps, state, run_id, key, data.folder, base.folder)
    said = tuple(fetched.said for fetched in (base, data) if fetched.said)
    return _compare(folder, into, primary, said)


def _check_kept(deps: Deps, state: RunState, run_id: str) -> None:
    folder, hint = deps.run_dir(run_id), "Only a run that is done can be reproduced."
    script = state.get("script")
    missing = [name for name in NEEDED if not (folder / name).is_file()]
    if script is not None and not missing:
        beside = companions(script, folder, _recipe(deps, state))
        missing = [name for name, path in beside.items() if not path.exists()]
    if missing or script is None:
        raise StageFailed(
            f"Run {run_id} cannot be redone: {', '.join(missing) or 'its script'} is not there.", hint
        )
    if others := changed(script, folder, _recipe(deps, state)):
        raise StageFailed(
            f"Run {run_id} cannot be redone: its {others[0]} is not the script that ran.",
            "Put that one back.",
        )


async def _train_and_evaluate(
    deps: Deps, state: RunState, run_id: str, key: str, split: Path, base: Path
) -> str:
    """Both jobs, into the folder ``reproduced``; the name of the deciding metric."""
    folder, into = deps.run_dir(run_id), deps.run_dir(run_id) / "reproduced"
    config = json.loads((folder / "config.json").read_text("utf-8"))
    config |= {"schedule": "in/schedule.json", "resume_from": None}
    data = [_input(split / f"{s}.jsonl") for s in SPLITS]
    model = Input("base_model", str(base), shared=True)
    code = (*script_inputs(state["script"], folder, _recipe(deps, state)), _input(folder / "schedule.json"))
    unisolated = state["request"].allow_unisolated
    train = JobSpec(
        f"{key}-train",
        run_id,
        (Program("train", "in/train.py", config),),
        (*data[:2], *code, model),
        HEAVY,
        unisolated,
    )
    await run_once(deps, train, into / "trained")
    evaluate = JobSpec(
        f"{key}-evaluate",
        run_id,
        (Program("evaluate", "evaluate", _evaluation(state)),),
        (*data, Input("trained", str(into / "trained")), model),
        HEAVY,
        unisolated,
    )
    return str((await run_once(deps, evaluate, into))["primary"])


def _recipe(deps: Deps, state: RunState) -> Recipe:
    return deps.recipes.for_family(state["audit"].family)


def _input(path: Path) -> Input:
    return Input(path.name, str(path))


def _evaluation(state: RunState) -> dict[str, Any]:
    audit = state["audit"]
    return {
        "family": audit.family.value,
        "labels": list(audit.labels),
        "metric": metric_of(state),
        "seed": state["request"].seed,
    }


def _compare(folder: Path, into: Path, metric: str, said: tuple[str, ...]) -> Reproduction:
    before, after = _predictions(folder / "predictions.csv"), _predictions(into / "predictions.csv")
    scores = [json.loads((f / "metrics.json").read_text("utf-8"))[metric] for f in (folder, into)]
    differing = sum(after.get(row) != said for row, said in before.items())
    return Reproduction(len(before), differing, metric, scores[0], scores[1], said)


def _predictions(path: Path) -> dict[str, tuple[str, str]]:
    with path.open(newline="", encoding="utf-8") as lines:
        return {r["row_id"]: (r["prediction"], r["confidence"]) for r in csv.DictReader(lines)}
