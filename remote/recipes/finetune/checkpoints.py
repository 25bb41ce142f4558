"""Going on after an interruption, and repeating a learning-rate schedule. Safetensors and JSON only."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file, save_file

from .events import TrainingError, write_json
from .settings import Config

if TYPE_CHECKING:
    from .tuning import Tuner

CHECKPOINT = "checkpoint"


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


def fingerprint(config: Config) -> str:
    """Of all settings and rows that shape the weights; only the rows a step count, not how they are split."""
    free = {
        *(
            "output_dir",
            "stage",
            "time_budget_s",
            "checkpoint_every_s",
            "resume_from",
            "schedule",
            "hidden_cache_mb",
            "processes",
        ),
        *("batch_size", "gradient_accumulation", "gradient_checkpointing"),
        *("train_file", "validation_file", "base_model", "refit", "ensemble"),
    }
    body = {k: v for k, v in asdict(config).items() if k not in free}
    digest = hashlib.sha256(json.dumps([body, config.rows_a_step], sort_keys=True).encode())
    for path in (config.train_file, config.validation_file):
        digest.update(Path(path).read_bytes())
    return digest.hexdigest()


class Checkpoints:
    """``out/checkpoint/``: a folder a save, and ``latest.json`` that names the last complete one."""

    def __init__(self, tuner: Tuner, fingerprint: str) -> None:
        self.tuner, self.fingerprint = tuner, fingerprint
        self.folder = Path(tuner.config.output_dir) / CHECKPOINT

    def save(self) -> None:
        tuner = self.tuner
        if not tuner.job.team.leads:
            return
        name = f"step-{tuner.state.step:08d}"
        target = self.folder / name
        target.mkdir(parents=True, exist_ok=True)
        moments = {
            f"{part}.{key}": tuner.optimiser.state[param][part]
            for key, param in tuner.params.items()
            for part in ("step", "exp_avg", "exp_avg_sq")
            if param in tuner.optimiser.state
        }
        save_file({k: p.detach() for k, p in tuner.params.items()}, target / "weights.safetensors")
        save_file(tuner.best, target / "best.safetensors")
        save_file(moments, target / "optimiser.safetensors")
        write_json(target / "state.json", asdict(tuner.state))
        write_json(self.folder / "latest.json", {"name": name, "fingerprint": self.fingerprint})
        for old in self.folder.glob("step-*"):
            if old.name != name:
                shutil.rmtree(old)

    def load(self) -> bool:
        """Go on from ``out/checkpoint``, else from ``resume_from``; says so, or why it does not."""
        places = [self.folder]
        if self.tuner.config.resume_from:
            places.append(Path(self.tuner.config.resume_from))
        for place in places:
            if not (place / "latest.json").exists():
                continue
            try:
                return self._load(place)
            except (OSError, ValueError, KeyError, TypeError) as error:
                reason = f"{type(error).__name__}: {error}"
                detail = f"The checkpoint in {place.name} cannot be read ({reason}): training starts anew."
                self.tuner.job.say("warning", kind="checkpoint_ignored", detail=detail)
        return False

    def _load(self, place: Path) -> bool:
        latest = json.loads((place / "latest.json").read_text(encoding="utf-8"))
        tuner = self.tuner
        if latest["fingerprint"] != self.fingerprint:
            detail = "The checkpoint is of other settings or rows: training starts anew."
            tuner.job.say("warning", kind="checkpoint_ignored", detail=detail)
            return False
        source = place / str(latest["name"])
        weights, best, moments = (
            load_file(source / f"{part}.safetensors", device=str(tuner.job.device))
            for part in ("weights", "best", "optimiser")
        )
        state = State(**json.loads((source / "state.json").read_text(encoding="utf-8")))
        if weights.keys() != tuner.params.keys():
            raise ValueError("the checkpoint is of another encoder")
        with torch.no_grad():
            for key, param in tuner.params.items():
                param.copy_(weights[key])
                if f"step.{key}" in moments:
                    tuner.optimiser.state[param] = {
                        part: moments[f"{part}.{key}"].cpu()
                        if part == "step" and param.device.type == "cpu"
                        else moments[f"{part}.{key}"]
                        for part in ("step", "exp_avg", "exp_avg_sq")
                    }
        tuner.best, tuner.state = best, state
        tuner.job.say("warning", kind="resumed", detail=f"Training goes on from step {state.step}.")
        return True


def read_schedule(config: Config) -> dict[str, Any]:
    try:
        body = json.loads(Path(str(config.schedule)).read_text(encoding="utf-8"))
        return {"progress": [float(p) for p in body["progress"]], "frozen_layers": int(body["frozen_layers"])}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TrainingError(
            "data_error", f"{config.schedule} is not the schedule of an earlier run."
        ) from error
