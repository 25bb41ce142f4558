"""The settings of a training, and the job that all of its parts share."""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import torch

from .events import Say, TrainingError
from .parallel import Team

LOWER_IS_BETTER = ("rmse", "mae")
HIGHER_IS_BETTER = ("macro_f1", "accuracy")


def setting(default: Any, unit: str, meaning: str) -> Any:
    """A field of :class:`Config`; unit and meaning are for people and for the documentation."""
    return field(default=default, metadata={"unit": unit, "meaning": meaning})


@dataclass(frozen=True, slots=True)
class Config:
    """``config.json``: every key, its default, unit and meaning."""

    family: str = setting("multiclass", "", "binary, multiclass, multilabel or regression")
    labels: tuple[str, ...] = setting((), "", "class names, in the order of the model's outputs")
    train_file: str = setting("in/train.jsonl", "path", "rows: {row_id, text, label}, a JSON object a line")
    validation_file: str = setting(
        "in/validation.jsonl", "path", "rows that choose epoch, weights and temperature"
    )
    base_model: str = setting(
        "in/base_model", "path", "folder of the encoder: safetensors, config, tokenizer"
    )
    output_dir: str = setting("out", "path", "where everything that comes back is written")
    stage: str = setting("train", "", "name under which events are said")
    metric: str = setting("auto", "", "macro_f1, accuracy, rmse or mae; auto: macro_f1, for regression rmse")
    seed: int = setting(0, "", "fixes the order of rows, typos and dropout")
    epochs: int = setting(3, "epochs", "0: a linear model on frozen embeddings, no fine-tuning")
    batch_size: int = setting(32, "rows", "rows in memory at once")
    gradient_accumulation: int = setting(1, "batches", "batches whose gradients make one step")
    gradient_checkpointing: bool = setting(False, "", "compute activations twice to need less memory")
    learning_rate: float = setting(2e-4, "", "peak rate of the encoder's top layer")
    head_learning_rate: float = setting(2e-3, "", "peak rate of the head")
    layer_lr_decay: float = setting(1.0, "", "factor on the rate for each layer further down")
    warmup_fraction: float = setting(0.05, "share", "part of the training over which the rate rises")
    weight_decay: float = setting(0.01, "", "AdamW's decay of weight matrices")
    max_grad_norm: float = setting(1.0, "", "gradients are scaled down to this norm")
    dropout: float = setting(0.0, "share", "in all of the encoder's dropout layers")
    label_smoothing: float = setting(0.1, "share", "probability spread over all classes; not for regression")
    class_weights: str = setting(
        "auto", "", "on, off, auto: when the largest class is over 5 times the smallest"
    )
    frozen_layers: int | str = setting(
        "auto", "layers", "lowest layers left as they are; auto: by time budget"
    )
    max_length: int = setting(128, "tokens", "longer texts are cut")
    max_train_rows: int | None = setting(None, "rows", "train on a seeded sample of so many rows")
    typo_augmentation: float = setting(
        0.0, "share", "rows repeated with typing errors, against losses under typos"
    )
    ensemble: str = setting("auto", "", "on, off, auto: mix in the linear model if validation says it helps")
    refit: bool = setting(
        True, "", "fit the linear model once more, on the validation rows too, before packing"
    )
    patience: int = setting(2, "epochs", "stop after so many without a better metric")
    time_budget_s: float | None = setting(None, "s", "all of the work after imports ends in this time")
    max_steps: int | None = setting(None, "steps", "stop after so many, for smoke tests")
    checkpoint_every_s: float = setting(30.0, "s", "between two checkpoints")
    resume_from: str | None = setting(
        None, "path", "folder of a checkpoint; out/checkpoint is found by itself"
    )
    schedule: str | None = setting(None, "path", "schedule.json of a run to repeat exactly; no clock then")
    hidden_cache_mb: int = setting(
        1024, "MiB", "memory for kept hidden states; beyond it they are recomputed"
    )
    threads: int = setting(0, "", "CPU threads; 0: as many as torch finds")
    device: str = setting("auto", "", "cpu, cuda, auto")
    precision: str = setting("auto", "", "fp32, bf16, auto: bf16 where the hardware has it natively")
    processes: int = setting(0, "", "that train as one, on one machine; 0: one a GPU, one without GPUs")

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Config:
        """Raises TrainingError (script_error) for unknown keys and values that mean nothing."""
        unknown = sorted(set(values) - {f.name for f in fields(cls)})
        if unknown:
            raise TrainingError("script_error", f"config.json has unknown keys: {', '.join(unknown)}.")
        config = cls(**{**values, "labels": tuple(values.get("labels", ()))})
        metrics = LOWER_IS_BETTER if config.family == "regression" else HIGHER_IS_BETTER
        fine_values = {
            "family": config.family in ("binary", "multiclass", "multilabel", "regression"),
            "labels": config.family == "regression" or len(set(config.labels)) == len(config.labels) > 0,
            "epochs": config.epochs >= 0,
            "processes": 0 <= config.processes <= 64,
            "batch_size": config.batch_size > 0 and config.gradient_accumulation > 0,
            "max_length": config.max_length >= 3,
            "metric": config.metric in ("auto", *metrics),
            "ensemble": config.ensemble in ("on", "off", "auto"),
            "class_weights": config.class_weights in ("on", "off", "auto"),
            "frozen_layers": config.frozen_layers == "auto" or type(config.frozen_layers) is int,
        }
        wrong = [key for key, fine in fine_values.items() if not fine]
        if wrong:
            raise TrainingError("script_error", f"config.json has no usable value for: {', '.join(wrong)}.")
        return config

    @property
    def deciding_metric(self) -> str:
        if self.metric != "auto":
            return self.metric
        return "rmse" if self.family == "regression" else "macro_f1"

    @property
    def rows_a_step(self) -> int:
        return self.batch_size * self.gradient_accumulation


class Job:
    """What every part of the work needs: the settings, a voice, a clock, whom it works with, and whether to stop."""

    def __init__(
        self, config: Config, say: Say, now: Callable[[], float], team_of: Team | None = None
    ) -> None:
        self.team = team_of or Team()
        self.config, self.now = config, now
        self.say: Say = say if self.team.leads else lambda *_, **__: None  # all would say the same
        self.started = now()
        self.preempted = False
        self.seconds: dict[str, float] = {}  # phase -> s
        kind = config.device if config.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
        self.device = torch.device("cuda", self.team.local_rank) if kind == "cuda" else torch.device(kind)
        fine = _native_bf16(self.device) and config.precision == "auto"
        self.precision = "bf16" if fine or config.precision == "bf16" else "fp32"

    @property
    def elapsed_s(self) -> float:
        return self.now() - self.started

    def autocast(self) -> contextlib.AbstractContextManager[Any]:
        if self.precision == "fp32":
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)

    def check(self) -> None:
        if self.preempted:
            raise TrainingError(
                "preempted", "The machine asked the training to stop; resume from its checkpoint."
            )

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        start = self.now()
        yield
        self.seconds[name] = round(self.seconds.get(name, 0.0) + self.now() - start, 3)


def _native_bf16(device: torch.device) -> bool:
    """Whether bf16 is faster than fp32: emulated bf16 is some 80 times slower."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return False
    x86 = platform.machine() in ("x86_64", "AMD64")
    return not x86 or bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def make_deterministic(job: Job) -> None:
    if job.config.threads:
        torch.set_num_threads(job.config.threads)
    torch.manual_seed(job.config.seed)
    if job.device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)
