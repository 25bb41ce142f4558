"""Going on after an interruption, and repeating a learning-rate schedule. Safetensors and JSON only."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Collection
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from .events import TrainingError, write_json
from .settings import Config, Job

Params = dict[str, Tensor]

CHECKPOINT = "checkpoint"
MOMENTS = ("step", "exp_avg", "exp_avg_sq")  # what AdamW remembers of a parameter


@dataclass(slots=True)
class State:
    """What a checkpoint remembers beside tensors; plain JSON."""

    frozen: int
    total_steps: int
    train_budget_s: float | None
    step: int = 0
    elapsed_s: float = 0.0  # of training, over all its processes
    rows: int = 0
    progress: list[float] = field(default_factory=list)  # p of each step done
    history: list[dict[str, float]] = field(default_factory=list)  # one entry an evaluation
    best: int = 0  # index into history: the weights that are kept
    top: int = 0  # index into history: the highest score so far
    losses: list[float] = field(default_factory=list)  # of the current epoch
    start_loss: float = 0.0
    smooth_loss: float = 0.0
    high_steps: int = 0
    stopped: str = "epochs"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A training between two steps; all tensors by the names of the trained parameters."""

    state: State
    weights: Params
    best: Params  # the weights of the best epoch so far
    moments: Params  # AdamW's, as ``<part>.<name>``


# Settings that do not shape the weights. Of batches only the rows a step count, not how they are split.
_FREE = frozenset(
    {
        "output_dir", "stage", "time_budget_s", "checkpoint_every_s", "resume_from", "schedule",
        "hidden_cache_mb", "processes",
        "batch_size", "gradient_accumulation", "gradient_checkpointing",
        "train_file", "validation_file", "base_model", "refit", "ensemble",
    }
)  # fmt: skip


def fingerprint(config: Config) -> str:
    """Of all settings and rows that shape the weights: a checkpoint of others is not gone on from."""
    body = {k: v for k, v in asdict(config).items() if k not in _FREE}
    digest = hashlib.sha256(json.dumps([body, config.rows_a_step], sort_keys=True).encode())
    for path in (config.train_file, config.validation_file):
        digest.update(Path(path).read_bytes())
    return digest.hexdigest()


class Checkpoints:
    """``out/checkpoint/``: a folder a save, and ``latest.json`` that names the last complete one."""

    def __init__(self, job: Job) -> None:
        self.job, self.fingerprint = job, fingerprint(job.config)
        self.folder = Path(job.config.output_dir) / CHECKPOINT

    def save(self, snapshot: Snapshot) -> None:
        name = f"step-{snapshot.state.step:08d}"
        target = self.folder / name
        target.mkdir(parents=True, exist_ok=True)
        save_file(snapshot.weights, target / "weights.safetensors")
        save_file(snapshot.best, target / "best.safetensors")
        save_file(snapshot.moments, target / "optimiser.safetensors")
        write_json(target / "state.json", asdict(snapshot.state))
        write_json(self.folder / "latest.json", {"name": name, "fingerprint": self.fingerprint})
        for old in self.folder.glob("step-*"):
            if old.name != name:
                shutil.rmtree(old)

    def load(self, names: Collection[str]) -> Snapshot | None:
        """From ``out/checkpoint``, else from ``resume_from``, for parameters of these names; says so, or why not."""
        places = [self.folder]
        if self.job.config.resume_from:
            places.append(Path(self.job.config.resume_from))
        for place in places:
            if not (place / "latest.json").exists():
                continue
            try:
                return self._load(place, names)
            except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
                reason = f"{type(error).__name__}: {error}"
                detail = f"The checkpoint in {place.name} cannot be read ({reason}): training starts anew."
                self.job.say("warning", kind="checkpoint_ignored", detail=detail)
        return None

    def _load(self, place: Path, names: Collection[str]) -> Snapshot | None:
        latest = json.loads((place / "latest.json").read_text(encoding="utf-8"))
        if latest["fingerprint"] != self.fingerprint:
            detail = "The checkpoint is of other settings or rows: training starts anew."
            self.job.say("warning", kind="checkpoint_ignored", detail=detail)
            return None
        source = place / str(latest["name"])
        weights, best, moments = (
            load_file(source / f"{part}.safetensors", device=str(self.job.device))
            for part in ("weights", "best", "optimiser")
        )
        state = State(**json.loads((source / "state.json").read_text(encoding="utf-8")))
        if not weights.keys() == best.keys() == set(names):
            raise ValueError("the checkpoint is of another encoder")
        remembered = [sum(f"{part}.{name}" in moments for part in MOMENTS) for name in names]
        if not set(remembered) <= {0, len(MOMENTS)}:
            raise ValueError("the optimiser's state is not whole")
        self.job.say("warning", kind="resumed", detail=f"Training goes on from step {state.step}.")
        return Snapshot(state, weights, best, moments)


def read_schedule(config: Config) -> dict[str, Any]:
    try:
        body = json.loads(Path(str(config.schedule)).read_text(encoding="utf-8"))
        return {"progress": [float(p) for p in body["progress"]], "frozen_layers": int(body["frozen_layers"])}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TrainingError(
            "data_error", f"{config.schedule} is not the schedule of an earlier run."
        ) from error
