"""Fine-tune a pre-trained encoder on labelled texts: ``python train.py --config config.json``.

Runs alone, on a CPU or on one to eight GPUs of one machine, with ``inference.py`` and ``parallel.py`` beside it.
Binary, multi-class, multi-label, regression.
Every setting stands in :class:`Config`; what it says on stdout are JSON lines (``started``, ``progress``,
``epoch``, ``warning``, ``artifact``, ``result``, ``failed``).

Design, in the order of the work
1. Embed all rows once with the frozen encoder, in batches of like length, and keep the hidden states below
   the trained layers. They never change, so no epoch computes them again. Word embeddings always stay frozen:
   they are half of a small encoder's parameters, and a few epochs hardly move them.
2. Two linear models on these embeddings. The one on *plain* embeddings gives the head its first weights, so
   that fine-tuning starts from the baseline instead of from chance. The one on *standardised* embeddings is
   the better baseline, but a poor start (fine-tuning stands still from there): it is kept as a second
   opinion. ``epochs: 0`` ends here, with that baseline as the model.
3. Fine-tune with AdamW, a learning rate of its own for the head, no dropout, label smoothing and clipped
   gradients. Progress p = max(step / steps, elapsed / time left) drives the rate: it rises, then falls to
   zero. While the machine keeps pace, p is a function of the step alone; when it does not, the run still ends
   in time and with a decayed rate. Every p is written to ``schedule.json``; the setting ``schedule`` replays
   it without looking at the clock, so that a run can be repeated bit by bit on the same machine.
4. Take the best epoch by the metric on validation (epoch 0: the frozen encoder with its linear head), fit
   temperatures, and mix in the linear model where validation says that it helps. With everything chosen, the
   linear model is fitted once more on training and validation rows: a tenth more data for a second of work.
   ``validation_predictions.csv`` holds the answers from before that, so that its scores stay honest.

Randomness is a function of (seed, epoch, step), so a checkpoint needs no random state. A checkpoint is made
of safetensors and JSON only. Resuming gives the predictions that an uninterrupted run would have given.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import hashlib
import json
import math
import os
import platform
import random
import re
import shutil
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import accuracy_score, f1_score, mean_absolute_error, root_mean_squared_error
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, linear
from transformers import AutoTokenizer

if __package__:  # imported from the package, by its tests
    from .inference import (
        Encoder,
        Floats,
        Model,
        combine,
        coverage,
        length_batches,
        pad,
        pool,
        temper,
        to_probabilities,
        token_ids,
        vocabulary,
    )
    from .parallel import PeerLost, Team, launch, team, wanted
else:
    from inference import (  # type: ignore[import-not-found, no-redef, unused-ignore]
        Encoder,
        Floats,
        Model,
        combine,
        coverage,
        length_batches,
        pad,
        pool,
        temper,
        to_probabilities,
        token_ids,
        vocabulary,
    )
    from parallel import (  # type: ignore[import-not-found, no-redef, unused-ignore]
        PeerLost,
        Team,
        launch,
        team,
        wanted,
    )


Say = Callable[..., None]  # say(type, **fields) writes one event
Params = dict[str, Tensor]

CHECKPOINT = "checkpoint"
NOTHING_FITTED = {
    "temperature": 1.0,
    "encoder_temperature": 1.0,
    "linear_temperature": 1.0,
    "ensemble_weight": 1.0,
    "thresholds": [],
}
STANDARDISED_C = (0.05, 0.2)  # inverse regularisation strengths tried on validation
RIDGE_ALPHA = (1.0, 10.0, 100.0, 1000.0)
LOWER_IS_BETTER = ("rmse", "mae")


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
        problems = {
            "family": config.family in ("binary", "multiclass", "multilabel", "regression"),
            "labels": config.family == "regression" or len(set(config.labels)) == len(config.labels) > 0,
            "epochs": config.epochs >= 0,
            "processes": 0 <= config.processes <= 64,
            "batch_size": config.batch_size > 0 and config.gradient_accumulation > 0,
            "max_length": config.max_length >= 3,
            "metric": config.metric in ("auto", *(LOWER_IS_BETTER if config.family == "regression" else _F1)),
            "ensemble": config.ensemble in ("on", "off", "auto"),
            "class_weights": config.class_weights in ("on", "off", "auto"),
            "frozen_layers": config.frozen_layers == "auto" or type(config.frozen_layers) is int,
        }
        wrong = [key for key, fine in problems.items() if not fine]
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


_F1 = ("macro_f1", "accuracy")


class TrainingError(Exception):
    """A failure with a kind of the jobs' taxonomy and one sentence for a person."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail


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


# ---------------------------------------------------------------------------------------------------- data


@dataclass(slots=True)
class Rows:
    """Texts with targets: class numbers [n], 0/1 [n, classes] (multi-label), standardised numbers [n, 1]."""

    row_ids: list[int]
    texts: list[str]
    raw: list[Any]  # labels as in the file
    targets: NDArray[Any]
    ids: list[list[int]] = field(default_factory=list)  # token ids

    def __len__(self) -> int:
        return len(self.texts)


def read_rows(path: Path, config: Config) -> Rows:
    """Raises TrainingError (data_error) for a file without usable rows or with unknown labels."""
    try:
        with path.open(encoding="utf-8") as file:
            lines = [json.loads(line) for line in file if line.strip()]
        row_ids, texts = [int(r["row_id"]) for r in lines], [str(r["text"]) for r in lines]
        raw = [r["label"] for r in lines]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TrainingError(
            "data_error", f"{path.name} cannot be read as rows ({type(error).__name__}: {error})."
        ) from error
    if not lines:
        raise TrainingError("data_error", f"{path.name} has no rows.")
    try:
        return Rows(row_ids, texts, raw, _targets(raw, config))
    except (KeyError, ValueError, TypeError) as error:
        raise TrainingError(
            "data_error", f"{path.name} has a label that the config does not know: {error}."
        ) from error


def _targets(raw: Sequence[Any], config: Config) -> NDArray[Any]:
    if config.family == "regression":
        numbers = np.array([[float(value)] for value in raw])
        if not np.isfinite(numbers).all():
            raise ValueError("a number that is not finite")
        return numbers
    index = {label: i for i, label in enumerate(config.labels)}
    if config.family != "multilabel":
        return np.array([index[str(value)] for value in raw], dtype=np.int64)
    marks = np.zeros((len(raw), len(index)), dtype=np.float32)
    for i, names in enumerate(raw):
        for name in names:
            marks[i, index[str(name)]] = 1
    return marks


def sampled(rows: Rows, config: Config) -> Rows:
    """``max_train_rows`` of them, then some once more with typing errors. The same for the same seed."""
    rng = random.Random(config.seed)  # noqa: S311 - not for secrets
    chosen = list(range(len(rows)))
    if config.max_train_rows and config.max_train_rows < len(rows):
        chosen = sorted(rng.sample(chosen, config.max_train_rows))
    again = (
        rng.sample(chosen, round(config.typo_augmentation * len(chosen))) if config.typo_augmentation else []
    )
    texts = [rows.texts[i] for i in chosen] + [_with_typos(rows.texts[i], rng) for i in again]
    both = chosen + again
    return Rows([rows.row_ids[i] for i in both], texts, [rows.raw[i] for i in both], rows.targets[both])


def _with_typos(text: str, rng: random.Random) -> str:
    """Swap, drop or double a letter in about one word of four."""
    words = text.split(" ")
    for i, word in enumerate(words):
        if len(word) > 3 and rng.random() < 0.25:
            at = rng.randrange(len(word) - 1)
            a, b = word[at], word[at + 1]
            words[i] = word[:at] + rng.choice((b + a, a, a + a + b)) + word[at + 2 :]
    return " ".join(words)


def epoch_steps(lengths: Sequence[int], rows_a_step: int, seed: int, epoch: int) -> list[list[int]]:
    """One epoch's steps: rows of like length together, in an order that (seed, epoch) fixes."""
    rng = np.random.default_rng([seed, epoch])
    order = rng.permutation(len(lengths)).tolist()
    steps: list[list[int]] = []
    for start in range(0, len(order), rows_a_step * 32):
        window = sorted(order[start : start + rows_a_step * 32], key=lambda row: lengths[row])
        steps += [window[at : at + rows_a_step] for at in range(0, len(window), rows_a_step)]
    return [steps[i] for i in rng.permutation(len(steps))]


# ---------------------------------------------------------------------------------------------- embeddings


class Hidden:
    """Hidden states below the trained layers, kept for all tokens of all rows: [tokens, width]."""

    def __init__(self, rows: Rows, width: int) -> None:
        self.states = torch.empty((sum(map(len, rows.ids)), width))
        self.start = np.zeros(len(rows), dtype=np.int64)
        self.length = np.array([len(ids) for ids in rows.ids])
        self._filled = 0

    def keep(self, batch: Sequence[int], hidden: Tensor, mask: Tensor) -> None:
        tokens = hidden[mask.bool()].float().cpu()
        self.states[self._filled : self._filled + len(tokens)] = tokens
        ends = self._filled + np.cumsum(self.length[list(batch)])
        self.start[list(batch)] = ends - self.length[list(batch)]
        self._filled = int(ends[-1])

    def get(self, batch: Sequence[int]) -> tuple[Tensor, Tensor]:
        """[rows, tokens, width] and mask. Beyond a row's end stands another's state, which the mask hides."""
        rows = list(batch)
        column = np.arange(self.length[rows].max())
        inside = column < self.length[rows][:, None]
        index = np.where(inside, self.start[rows][:, None] + column, 0)
        return self.states[torch.from_numpy(index)], torch.from_numpy(inside.astype(np.int64))


class Embedder:
    """The frozen encoder applied to rows."""

    def __init__(self, job: Job, encoder: Encoder, filler: int) -> None:
        self.job, self.encoder, self.filler = job, encoder, filler
        self.rows_per_s = 0.0

    @torch.inference_mode()
    def embed(self, rows: Rows, depth: int, keep: bool) -> tuple[Floats, Hidden | None]:
        """[rows, width] pooled vectors, and the states below layer ``depth`` if they are kept and fit."""
        vectors = np.zeros((len(rows), self.encoder.width), dtype=np.float32)
        hidden = Hidden(rows, self.encoder.width) if keep and self._fits(rows) else None
        start, done, said = self.job.now(), 0, self.job.now()
        for batch in self.job.team.share(length_batches([len(ids) for ids in rows.ids], 64)):
            self.job.check()
            vectors[batch] = self._batch(rows, batch, depth, hidden)
            done += len(batch)
            if self.job.now() - said >= 1:
                said = self.job.now()
                self.job.say(
                    "progress", step=0, total=0, metrics={"embedded_rows": done, "of_rows": len(rows)}
                )
        self.job.team.sum([torch.from_numpy(vectors)])
        self.rows_per_s = len(rows) / max(self.job.now() - start, 1e-6)
        return vectors, hidden

    def _batch(self, rows: Rows, batch: list[int], depth: int, hidden: Hidden | None) -> Floats:
        ids, mask = pad([rows.ids[i] for i in batch], self.filler, self.job.device)
        with self.job.autocast():
            if self.encoder.splits:
                below = self.encoder.lower(ids, mask, depth)
                if hidden is not None:
                    hidden.keep(batch, below, mask)
                last = self.encoder.upper(below, mask, depth)
            else:
                last = self.encoder(ids, mask)
        vectors: Floats = pool(last.float(), mask).cpu().numpy()
        return vectors

    def _fits(self, rows: Rows) -> bool:
        """In a team each process needs other rows at every step: the layers below are then computed anew."""
        mb = sum(map(len, rows.ids)) * self.encoder.width * 4 / 2**20
        return self.encoder.splits and self.job.team.size == 1 and mb <= self.job.config.hidden_cache_mb

    @torch.inference_mode()
    def speed(self, rows: Rows) -> float:
        """Rows per second of the team, from a few batches of middle length (the first one only warms up)."""
        batches = length_batches([len(ids) for ids in rows.ids], 64)
        middle = batches[len(batches) // 2]
        self._batch(rows, middle, 0, None)
        start = self.job.now()
        self._batch(rows, middle, 0, None)
        return self.job.team.size * len(middle) / max(self.job.now() - start, 1e-6)


def choose_frozen(job: Job, encoder: Encoder, rows: Rows, rows_per_s: float) -> int:
    """The fewest frozen layers with which all epochs fit into the time budget; without one, a third."""
    config = job.config
    if isinstance(config.frozen_layers, int):
        return min(config.frozen_layers, encoder.depth)
    third = encoder.depth // 3
    if config.time_budget_s is None or not config.epochs:
        return third
    forward_s = len(rows) / rows_per_s
    left_s = config.time_budget_s - job.elapsed_s - 1.5 * forward_s
    for frozen in range(third, encoder.depth):
        trained = (encoder.depth - frozen) / encoder.depth
        if config.epochs * forward_s * 3.3 * trained <= left_s:  # a step costs forward + backward + update
            return frozen
    return max(encoder.depth // 2, third)  # the clock ends it earlier


# ------------------------------------------------------------------------------------------- linear models


@dataclass(frozen=True, slots=True)
class Linear:
    """A linear model on plain embeddings: weight [outputs, width], bias [outputs]."""

    weight: Floats
    bias: Floats

    def logits(self, vectors: Floats) -> Floats:
        return vectors @ self.weight.T + self.bias


def fit_linear(
    vectors: Floats, targets: NDArray[Any], config: Config, strength: float, standardise: bool
) -> Linear:
    """Logistic regression (multi-label: one a class) or ridge; standardisation is folded into the weights."""
    mean, scale = np.zeros(vectors.shape[1]), np.ones(vectors.shape[1])
    if standardise:
        mean, std = vectors.mean(axis=0, dtype=np.float64), vectors.std(axis=0, dtype=np.float64)
        scale = np.where(std > 1e-4, std, 1.0)  # some encoders have constant outputs
    x = ((vectors - mean) / scale).astype(np.float32)
    if config.family == "regression":
        ridge = Ridge(alpha=strength).fit(x, targets[:, 0])
        weight, bias = ridge.coef_[None, :], np.array([ridge.intercept_])
    elif config.family == "multilabel":
        parts = [_logistic(x, column, 2, strength) for column in targets.T.astype(np.int64)]
        weight = np.stack([w[1] - w[0] for w, _ in parts])
        bias = np.array([b[1] - b[0] for _, b in parts])
    else:
        weight, bias = _logistic(x, targets, len(config.labels), strength)
    weight = weight / scale
    return Linear(weight.astype(np.float32), (bias - weight @ mean).astype(np.float32))


def _logistic(x: Floats, classes: NDArray[Any], count: int, strength: float) -> tuple[Floats, Floats]:
    """Weights [count, width] and biases [count]; classes without rows get a bias that rules them out."""
    weight, bias = np.zeros((count, x.shape[1])), np.full(count, -10.0)
    seen = np.unique(classes)
    if len(seen) == 1:
        bias[seen[0]] = 0.0
        return weight, bias
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an unfinished fit is still a good start
        model = LogisticRegression(C=strength, max_iter=200, tol=1e-3).fit(x, classes)
    if len(seen) == 2:
        weight[seen], bias[seen] = np.stack([-model.coef_[0], model.coef_[0]]) / 2, 0.0
        bias[seen] = np.array([-1.0, 1.0]) * model.intercept_[0] / 2
    else:
        weight[seen], bias[seen] = model.coef_, model.intercept_
    return weight, bias


def best_linear(
    train: tuple[Floats, NDArray[Any]], validation: tuple[Floats, NDArray[Any]], config: Config
) -> tuple[Linear, float]:
    """On standardised embeddings, and the strength of it that has the lowest loss on validation."""
    grid = RIDGE_ALPHA if config.family == "regression" else STANDARDISED_C
    models = [fit_linear(*train, config, strength, standardise=True) for strength in grid]
    losses = []
    for model in models:
        logits = model.logits(validation[0])
        t = fit_temperature(to_probabilities(logits, config.family), validation[1], config.family)
        losses.append(loss_of(to_probabilities(logits / t, config.family), validation[1], config.family))
    best = int(np.argmin(losses))
    return models[best], grid[best]


# ------------------------------------------------------------------------------- judging (on validation)


@dataclass(frozen=True, slots=True)
class Probes:
    """The linear models on frozen embeddings."""

    baseline: Linear  # the best on validation
    refitted: Linear  # the same, fitted on the validation rows too
    start: Linear  # on plain embeddings: the head's first weights


def fit_probes(
    train: tuple[Floats, NDArray[Any]], validation: tuple[Floats, NDArray[Any]], config: Config
) -> Probes:
    baseline, strength = best_linear(train, validation, config)
    refitted = start = baseline
    if config.refit:
        vectors = np.concatenate([train[0], validation[0]])
        targets = np.concatenate([train[1], validation[1]])
        refitted = fit_linear(vectors, targets, config, strength, standardise=True)
    if config.epochs:
        strength = 10.0 if config.family == "regression" else 1.0
        start = fit_linear(*train, config, strength, standardise=False)
    return Probes(baseline, refitted, start)


def loss_of(answer: Floats, targets: NDArray[Any], family: str) -> float:
    """Mean negative log-likelihood of probabilities; mean squared error of numbers."""
    if family == "regression":
        return float(np.mean((answer - targets) ** 2))
    p = np.clip(answer, 1e-9, 1 - 1e-9)
    if family == "multilabel":
        return float(-np.mean(targets * np.log(p) + (1 - targets) * np.log(1 - p)))
    return float(-np.mean(np.log(p[np.arange(len(p)), targets])))


def fit_temperature(answer: Floats, targets: NDArray[Any], family: str) -> float:
    """The temperature with the lowest loss, on a grid from 1/8 to 8."""
    if family == "regression":
        return 1.0
    grid = [2.0 ** (i / 10) for i in range(-30, 31)]
    return min(grid, key=lambda t: loss_of(temper(answer, t, family), targets, family))


def fit_threshold(answer: Floats, targets: NDArray[Any]) -> float:
    """For multi-label: the one threshold with the best macro-F1 (one a class would follow chance)."""
    grid = [i / 20 for i in range(2, 17)]
    scores = [f1_score(targets, answer >= t, average="macro", zero_division=0) for t in grid]
    best = max(scores)
    return min((t for t, s in zip(grid, scores, strict=True) if s >= best), key=lambda t: abs(t - 0.5))


def scores_of(
    answer: Floats, targets: NDArray[Any], config: Config, unit: float, threshold: float
) -> dict[str, float]:
    """Metrics of probabilities, or of numbers (``unit`` turns standardised ones into the target's own)."""
    if config.family == "regression":
        return {
            "rmse": float(root_mean_squared_error(targets, answer)) * unit,
            "mae": float(mean_absolute_error(targets, answer)) * unit,
        }
    guess = answer >= threshold if config.family == "multilabel" else answer.argmax(axis=1)
    known = list(range(len(config.labels)))  # absent classes count as 0, as in the evaluation
    f1 = f1_score(targets, guess, labels=known, average="macro", zero_division=0)
    return {"macro_f1": float(f1), "accuracy": float(accuracy_score(targets, guess))}


def clearly_worse(new: float, old: float, metric: str, rows: int) -> bool:
    """Whether ``new`` is worse by more than chance explains: half a standard error of a share of ``rows``.

    On a few hundred validation rows two epochs often differ by a handful of answers. The later one, whose
    learning rate has come down further, deserves the benefit of the doubt.
    """
    if metric in LOWER_IS_BETTER:
        return new > old
    return new < old - 0.5 * math.sqrt(max(old * (1 - old), 0.0) / rows)


# -------------------------------------------------------------------------------------------- fine-tuning


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


class Tuner:
    """Fine-tunes the encoder's upper layers and a linear head; then both hold the best epoch's weights."""

    def __init__(
        self, job: Job, encoder: Encoder, head: Linear, state: State, filler: int, unit: float
    ) -> None:
        self.job, self.config, self.encoder, self.state = job, job.config, encoder, state
        self.filler, self.unit = filler, unit
        self.head = nn.Linear(encoder.width, len(head.bias), device=job.device)
        self.head.weight.data.copy_(torch.from_numpy(head.weight))
        self.head.bias.data.copy_(torch.from_numpy(head.bias))
        for module in encoder.modules():
            if isinstance(module, nn.Dropout):
                module.p = self.config.dropout
        encoder.recompute = self.config.gradient_checkpointing
        if encoder.recompute and not encoder.splits:
            detail = "This encoder's layers cannot be run one by one: activations are kept in memory."
            job.say("warning", kind="no_gradient_checkpointing", detail=detail)
        self.params = trainable(encoder, state.frozen)
        self.before = {name: p.detach().clone() for name, p in self.params.items()}
        self.params |= {"head.weight": self.head.weight, "head.bias": self.head.bias}
        self.best: Params = {}
        self.optimiser = torch.optim.AdamW(
            self._groups(), betas=(0.9, 0.98), fused=job.device.type in ("cpu", "cuda")
        )

    def _groups(self) -> list[dict[str, Any]]:
        groups = []
        for name, param in self.params.items():
            depth = _layer_number(name)
            below = self.encoder.depth - 1 - depth if depth is not None else 0
            peak = self.config.learning_rate * self.config.layer_lr_decay**below
            if name.startswith("head."):
                peak = self.config.head_learning_rate
            decay = self.config.weight_decay if param.ndim > 1 else 0.0
            groups.append({"params": [param], "peak": peak, "lr": 0.0, "weight_decay": decay})
        return groups

    def linear_head(self) -> Linear:
        return Linear(*(t.detach().cpu().numpy() for t in (self.head.weight, self.head.bias)))

    def logits(self, rows: Rows, hidden: Hidden | None, batch: Sequence[int]) -> Tensor:
        """[rows, outputs] in fp32."""
        if hidden is not None:
            below, mask = (t.to(self.job.device) for t in hidden.get(batch))
            with self.job.autocast():
                last = self.encoder.upper(below, mask, self.state.frozen)
        else:
            ids, mask = pad([rows.ids[i] for i in batch], self.filler, self.job.device)
            with self.job.autocast():
                last = self._from_ids(ids, mask)
        return linear(pool(last.float(), mask), self.head.weight, self.head.bias)

    def _from_ids(self, ids: Tensor, mask: Tensor) -> Tensor:
        if not self.encoder.splits:
            return self.encoder(ids, mask)
        with torch.no_grad():
            below = self.encoder.lower(ids, mask, self.state.frozen)
        return self.encoder.upper(below, mask, self.state.frozen)

    def fit(self, train: Rows, validation: Rows, kept: tuple[Hidden | None, Hidden | None]) -> None:
        """Train until the last step, the end of the budget, or no better metric. Raises TrainingError."""
        config, job = self.config, self.job
        checkpoints = Checkpoints(self, fingerprint(config))
        checkpoints.load()
        state = self.state  # from here on: the checkpoint's
        replay = read_schedule(config)["progress"] if config.schedule else None
        objective = Objective(config, train.targets, job.device)
        lengths = [len(ids) for ids in train.ids]
        a_step = config.rows_a_step
        epoch_length = math.ceil(len(train) / a_step)
        if not state.history:
            self._evaluate(validation, kept[1], 0.0)
        started = job.now() - state.elapsed_s
        saved = said = job.now()
        plan: list[list[int]] = []
        while state.step < state.total_steps:
            epoch, at = divmod(state.step, epoch_length)
            plan = plan if plan and at else epoch_steps(lengths, a_step, config.seed, epoch)
            p, preempted, due = self._decision(replay, started, saved)
            if p >= 1:
                state.stopped = "budget"
                break
            self._step(train, kept[0], plan[at], p, objective)
            state.elapsed_s = job.now() - started
            if job.now() - said >= 1:
                said = job.now()
                self._say_progress(p)
            if at + 1 == epoch_length:
                self._evaluate(validation, kept[1], epoch + 1)
                if self._stale():
                    state.stopped = "early"
                    break
            if preempted or due:
                saved = job.now()
                checkpoints.save()
            if preempted:  # as the first process saw it: a signal reaches each at another step
                job.preempted = True
                job.check()
        if state.losses:  # an epoch that was not finished
            self._evaluate(validation, kept[1], state.step / epoch_length)
        state.elapsed_s = job.now() - started
        self._restore_best()

    def _decision(self, replay: list[float] | None, started: float, saved: float) -> tuple[float, bool, bool]:
        """Progress p, whether the machine wants to stop, whether to save: by the first process's clock."""
        job, step = self.job, self.state.step

        def decide() -> tuple[float, bool, bool]:
            p = replay[step] if replay is not None else self._progress(job.now() - started)
            return p, job.preempted, job.now() - saved >= self.config.checkpoint_every_s

        return job.team.agree(decide)

    def _progress(self, elapsed_s: float) -> float:
        by_step = (self.state.step + 0.5) / self.state.total_steps
        budget = self.state.train_budget_s
        if budget is None:
            return by_step
        return max(by_step, elapsed_s / budget) if budget > 0 else 1.0

    def _step(
        self, rows: Rows, hidden: Hidden | None, chosen: list[int], p: float, objective: Objective
    ) -> None:
        config = self.config
        factor = min(
            p / config.warmup_fraction if config.warmup_fraction else 1.0,
            (1 - p) / (1 - config.warmup_fraction),
        )
        for group in self.optimiser.param_groups:
            group["lr"] = group["peak"] * factor
        if config.dropout:
            seed = [config.seed, self.state.step, *([self.job.team.rank] if self.job.team.rank else [])]
            torch.manual_seed(int(np.random.SeedSequence(seed).generate_state(1)[0]))
        self.encoder.train()
        total = 0.0
        mine = self.job.team.share(chosen)
        for start in range(0, len(mine), config.batch_size):
            part = mine[start : start + config.batch_size]
            loss = objective(self.logits(rows, hidden, part), part) / len(chosen)
            loss.backward()
            total += loss.item()
        total = self._summed(total)
        norm = float(nn.utils.clip_grad_norm_(list(self.params.values()), config.max_grad_norm))
        if not (math.isfinite(total) and math.isfinite(norm)):
            raise TrainingError(
                "nan_loss", f"The loss was not a number at step {self.state.step}: lower the learning rate."
            )
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        self._watch(total, objective.chance)
        self.state.progress.append(p)
        self.state.rows += len(chosen)
        self.state.step += 1

    def _summed(self, loss: float) -> float:
        """The team's loss; its gradients take the place of this process's."""
        if self.job.team.size == 1:
            return loss
        whole = torch.tensor([loss], device=self.job.device)
        for param in self.params.values():
            if param.grad is None:  # a short step may leave a process without rows
                param.grad = torch.zeros_like(param)
        self.job.team.sum([*(p.grad for p in self.params.values() if p.grad is not None), whole])
        return whole.item()

    def _watch(self, loss: float, chance: float) -> None:
        """Diverged: for long well above both its start and the loss of a guess."""
        state = self.state
        state.losses.append(loss)
        if state.step < 5:
            state.start_loss += loss / 5
        state.smooth_loss = loss if state.step == 0 else 0.9 * state.smooth_loss + 0.1 * loss
        high = state.step >= 5 and state.smooth_loss > 1.5 * max(state.start_loss, chance)
        state.high_steps = state.high_steps + 1 if high else 0
        if state.high_steps >= max(10, state.total_steps // 20):
            rise = f"{state.start_loss:.3g} to {state.smooth_loss:.3g}"
            detail = f"The loss rose from {rise}: lower the learning rate."
            raise TrainingError("diverged", detail)

    @torch.inference_mode()
    def _evaluate(self, rows: Rows, hidden: Hidden | None, epoch: float) -> None:
        self.encoder.eval()
        answers = np.zeros((len(rows), self.head.out_features))
        for batch in self.job.team.share(length_batches([len(ids) for ids in rows.ids], 64)):
            answers[batch] = self.logits(rows, hidden, batch).cpu().numpy()
        self.job.team.sum([torch.from_numpy(answers)])
        state, family = self.state, self.config.family
        answer = to_probabilities(answers, family)
        threshold = fit_threshold(answer, rows.targets) if family == "multilabel" else 0.5
        entry = {"epoch": epoch, "step": state.step, "val_loss": loss_of(answer, rows.targets, family)}
        if state.losses:
            entry["train_loss"] = float(np.mean(state.losses))
        entry |= scores_of(answer, rows.targets, self.config, self.unit, threshold)
        state.history.append(entry)
        state.losses = []
        metric = self.config.deciding_metric
        score, best = entry[metric], state.history[state.top][metric]
        if not self.best or not clearly_worse(score, best, metric, len(rows)):
            state.best = len(state.history) - 1
            self.best = {name: p.detach().clone() for name, p in self.params.items()}
        if clearly_worse(best, score, metric, 10**12):
            state.top = len(state.history) - 1
        metrics = {key: value for key, value in entry.items() if key not in ("epoch", "step")}
        self.job.say("epoch", epoch=epoch, metrics=metrics)

    def _stale(self) -> bool:
        state = self.state
        if len(state.history) - 1 - state.best < self.config.patience:
            return False
        lowest, last = min(state.history[1:], key=lambda entry: entry["val_loss"]), state.history[-1]
        if last["val_loss"] > lowest["val_loss"] and last["train_loss"] < lowest["train_loss"]:
            detail = "The model fits its training rows better and new ones worse: training stopped early."
            self.job.say("warning", kind="overfit", detail=detail)
        return True

    def _say_progress(self, p: float) -> None:
        state = self.state
        metrics = {
            "loss": round(state.smooth_loss, 5),
            "learning_rate": max(
                float(g["lr"]) for g in self.optimiser.param_groups[:-2] or self.optimiser.param_groups
            ),
            "rows_per_s": round(state.rows / max(state.elapsed_s, 1e-6), 1),
            "progress": round(p, 4),
        }
        self.job.say("progress", step=state.step, total=state.total_steps, metrics=metrics)

    def _restore_best(self) -> None:
        with torch.no_grad():
            for name, param in self.params.items():
                param.copy_(self.best[name])
        self.encoder.eval()


class Objective:
    """The training loss, summed over a batch: weighted, smoothed cross-entropy; squared error for numbers."""

    def __init__(self, config: Config, targets: NDArray[Any], device: torch.device) -> None:
        self.config = config
        self.targets = torch.from_numpy(targets).to(device)
        if config.family == "regression":
            self.targets = self.targets.float()
        classes = max(len(config.labels), 2)
        self.chance = {"regression": 1.0, "multilabel": math.log(2)}.get(config.family, math.log(classes))
        self.weights = class_weights(config, targets)
        if self.weights is not None:
            self.weights = self.weights.to(device)

    def __call__(self, logits: Tensor, rows: Sequence[int]) -> Tensor:
        wanted, smoothing = self.targets[list(rows)], self.config.label_smoothing
        if self.config.family == "regression":
            return ((logits - wanted) ** 2).sum()
        if self.config.family == "multilabel":
            smooth = wanted * (1 - smoothing) + smoothing / 2
            loss = binary_cross_entropy_with_logits(logits, smooth, pos_weight=self.weights, reduction="none")
            return loss.mean(dim=1).sum()
        loss = cross_entropy(logits, wanted, label_smoothing=smoothing, reduction="none")
        return (loss if self.weights is None else loss * self.weights[wanted]).sum()


def class_weights(config: Config, targets: NDArray[Any]) -> Tensor | None:
    """Inverse square roots of the classes' shares (full inverses overdo it), with mean 1 over the rows."""
    if config.family == "regression" or config.class_weights == "off":
        return None
    if config.family == "multilabel":
        counts = np.maximum(targets.sum(axis=0), 1)
        weights = np.clip(np.sqrt((len(targets) - counts) / counts), 1.0, 10.0)
        return torch.from_numpy(weights.astype(np.float32)) if config.class_weights == "on" else None
    counts = np.maximum(np.bincount(targets, minlength=len(config.labels)), 1)
    if config.class_weights == "auto" and counts.max() <= 5 * counts.min():
        return None
    weights = 1 / np.sqrt(counts)
    return torch.from_numpy((weights * len(targets) / (weights * counts).sum()).astype(np.float32))


def trainable(encoder: Encoder, frozen: int) -> Params:
    """Parameters of the layers from ``frozen`` up; everything else stops needing gradients."""
    names = {name: p for name, p in encoder.model.named_parameters() if (_layer_number(name) or 0) >= frozen}
    chosen = {n: p for n, p in names.items() if "embeddings" not in n and "pooler" not in n}
    for param in encoder.model.parameters():
        param.requires_grad_(False)
    for param in chosen.values():
        param.requires_grad_(True)
    return dict(chosen)


def _layer_number(name: str) -> int | None:
    found = re.search(r"\blayers?\.(\d+)\.", name)
    return int(found.group(1)) if found else None


# -------------------------------------------------------------------------------- checkpoints and schedule


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


def write_text(path: Path, text: str) -> None:
    """Written beside and renamed into place."""
    beside = path.with_name(path.name + ".part")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)


def write_json(path: Path, body: Any) -> None:
    write_text(path, json.dumps(body, ensure_ascii=False, indent=1) + "\n")


# ------------------------------------------------------------------------------------ choosing and packing


@dataclass(slots=True)
class Answer:
    """The finished model and how it does on validation."""

    model: Model
    settings: dict[str, Any]
    probabilities: Floats
    scores: dict[str, float]


@dataclass(slots=True)
class Packer:
    """Decides how to answer and writes the model."""

    job: Job
    tokenizer: Any
    encoder: Encoder
    head: Linear
    baseline: Linear
    before: Params  # trained parameters as they were before; empty: nothing was trained
    known: NDArray[np.int64]  # words of the training rows

    def model(self, settings: Mapping[str, Any], head: Linear, linear: Linear | None) -> Model:
        second = None
        if linear is not None:
            second = tensors(linear) | {f"base.{name}": t.cpu() for name, t in self.before.items()}
        return Model(self.encoder.to("cpu"), self.tokenizer, tensors(head), settings, second, self.known)

    def choose(self, settings: dict[str, Any], validation: Rows) -> Answer:
        """Fit temperatures, decide on the ensemble and on thresholds, all on validation."""
        config, truth = self.job.config, validation.targets
        covered = [coverage(text, self.known) for text in validation.texts]
        settings["coverage_min"] = float(np.clip(np.quantile(covered, 0.01), 0.1, 0.5))
        second = self.baseline if self.before and config.ensemble != "off" else None
        tuned, plain = self.model(settings, self.head, second).logits(validation.texts)
        probabilities = to_probabilities(tuned, config.family)
        settings["encoder_temperature"] = fit_temperature(probabilities, truth, config.family)
        alone = _judged(tuned, None, dict(settings), truth, config)
        best = alone
        if plain is not None:
            t = fit_temperature(to_probabilities(plain, config.family), truth, config.family)
            weights = [settings | {"linear_temperature": t, "ensemble_weight": w / 10} for w in range(1, 10)]
            mixed = min((_judged(tuned, plain, w, truth, config) for w in weights), key=lambda one: one[0])
            metric = config.deciding_metric
            worse = clearly_worse(mixed[2][metric], alone[2][metric], metric, len(validation))
            # At least 1 % less loss and not clearly worse by the metric: two models cost more than one.
            if config.ensemble == "on" or (mixed[0] < 0.99 * alone[0] and not worse):
                best = mixed
        _, final, scores, answer = best
        keep = second if final["ensemble_weight"] < 1 else None
        return Answer(self.model(final, self.head, keep), final, answer, scores)

    def pack(self, answer: Answer, refitted: Linear) -> None:
        """Write ``out/model``, whole or not at all, and announce its files."""
        config = self.job.config
        final = Path(config.output_dir) / "model"
        folder = final.with_name("model.part")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for path in Path(config.base_model).iterdir():
            if re.match(
                r"(tokenizer|vocab|merges|special_tokens|added_tokens|sentencepiece|spiece)", path.name
            ):
                shutil.copyfile(path, folder / path.name)
        network = self.encoder.model
        network.config.save_pretrained(folder)  # type: ignore[union-attr, operator]
        weights = {name: t.detach().cpu().contiguous() for name, t in network.state_dict().items()}
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
        save_file(tensors(self.head if self.before else refitted), folder / "head.safetensors")
        if answer.model.linear is not None:
            save_file({**answer.model.linear, **tensors(refitted)}, folder / "linear.safetensors")
        save_file({"words": torch.from_numpy(self.known)}, folder / "vocabulary.safetensors")
        write_json(folder / "inference.json", answer.settings)
        shutil.copyfile(Path(__file__).with_name("inference.py"), folder / "inference.py")
        shutil.rmtree(final, ignore_errors=True)
        folder.replace(final)
        for path in sorted(final.iterdir()):
            say_artifact(self.job.say, path, Path(config.output_dir))


def _judged(
    tuned: Floats, plain: Floats | None, settings: dict[str, Any], truth: NDArray[Any], config: Config
) -> tuple[float, dict[str, Any], dict[str, float], Floats]:
    """Loss, completed settings, scores and answers of one way to combine both."""
    family = config.family
    answer = combine(tuned, plain, settings)
    settings["temperature"] = fit_temperature(answer, truth, family)
    answer = temper(answer, settings["temperature"], family)
    threshold = fit_threshold(answer, truth) if family == "multilabel" else 0.5
    settings["thresholds"] = [threshold] * len(config.labels) if family == "multilabel" else []
    scores = scores_of(answer, truth, config, float(settings["target_std"]), threshold)
    return loss_of(answer, truth, family), settings, scores, answer


def say_artifact(say: Say, path: Path, out: Path) -> None:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    say("artifact", path=path.relative_to(out).as_posix(), sha256=digest)


def write_predictions(path: Path, rows: Rows, answer: Answer, config: Config) -> None:
    """``row_id,label,prediction,confidence``; several labels are joined by ``|``."""
    beside = path.with_name(path.name + ".part")
    with beside.open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file)
        out.writerow(["row_id", "label", "prediction", "confidence"])
        answers = answer.model.in_units(answer.probabilities)
        predictions = [answer.model.interpret(text, p) for text, p in zip(rows.texts, answers, strict=True)]
        for row_id, label, one in zip(rows.row_ids, rows.raw, predictions, strict=True):
            said = "" if config.family == "regression" else repr(one.confidence)
            out.writerow([row_id, _joined(label), _joined(one.label), said])
    beside.replace(path)


def _joined(label: Any) -> str:
    return "|".join(map(str, label)) if isinstance(label, list) else str(label)


# ------------------------------------------------------------------------------------------------ the work


def run(job: Job) -> dict[str, Any]:
    """Everything from rows to ``out/``; the data of the ``result`` event. Raises TrainingError."""
    config, out = job.config, Path(job.config.output_dir)
    out.mkdir(parents=True, exist_ok=True)
    with job.phase("load"):
        tokenizer, encoder = load_base(job)
        train = sampled(read_rows(Path(config.train_file), config), config)
        validation = read_rows(Path(config.validation_file), config)
        mean, std = standardise_targets(train, validation, config)
        max_length = min(config.max_length, encoder.longest)
        for rows in (train, validation):
            rows.ids = token_ids(tokenizer, rows.texts, max_length)
    filler = tokenizer.pad_token_id or 0
    with job.phase("embed"):
        embedder = Embedder(job, encoder, filler)
        frozen = read_schedule(config)["frozen_layers"] if config.schedule else None
        if frozen is None:
            speed = embedder.speed(train)
            frozen = job.team.agree(lambda: choose_frozen(job, encoder, train, speed))
        keep = config.epochs > 0
        vectors, hidden = embedder.embed(train, frozen, keep)
        speed = embedder.rows_per_s
        seen, hidden_validation = embedder.embed(validation, frozen, keep)
    state, before = State(frozen, 0, None), Params()
    with job.phase("probe"):
        probes = job.team.agree(
            lambda: fit_probes((vectors, train.targets), (seen, validation.targets), config)
        )
        head = probes.baseline
    if config.epochs:
        with job.phase("train"):
            state = new_state(job, frozen, train, len(validation) / speed)
            tuner = Tuner(job, encoder, probes.start, state, filler, std)
            tuner.fit(train, validation, (hidden, hidden_validation))
            state = tuner.state
            if state.best:  # else the frozen encoder was best: then the better linear model is the head
                head, before = tuner.linear_head(), tuner.before
    if not job.team.leads:
        return {}
    with job.phase("package"):
        fixed = {
            "max_length": max_length,
            "frozen_layers": state.frozen,
            "target_mean": mean,
            "target_std": std,
        }
        settings = {"family": config.family, "labels": list(config.labels), "pooling": "mean", **fixed}
        settings |= NOTHING_FITTED
        known = vocabulary(train.texts)
        packer = Packer(job, tokenizer, encoder, head, probes.baseline, before, known=known)
        answer = packer.choose(settings, validation)
        packer.pack(answer, probes.refitted)
    return record(job, state, answer, validation)


def load_base(job: Job) -> tuple[Any, Encoder]:
    try:
        tokenizer = AutoTokenizer.from_pretrained(job.config.base_model, local_files_only=True)
        encoder = Encoder.from_folder(Path(job.config.base_model))
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0][:200]
        raise TrainingError(
            "script_error", f"The base model in {job.config.base_model} does not load: {reason}"
        ) from error
    return tokenizer, encoder.to(job.device)


def standardise_targets(train: Rows, validation: Rows, config: Config) -> tuple[float, float]:
    """For regression: bring targets to mean 0 and standard deviation 1 (of train), in place."""
    if config.family != "regression":
        return 0.0, 1.0
    mean, std = float(train.targets.mean()), float(train.targets.std()) or 1.0
    for rows in (train, validation):
        rows.targets = (rows.targets - mean) / std
    return mean, std


def new_state(job: Job, frozen: int, train: Rows, validation_s: float) -> State:
    """Steps and seconds for training; the end (packing, twice the encoder over validation) is set apart."""
    config = job.config
    steps = config.epochs * math.ceil(len(train) / config.rows_a_step)
    if config.schedule:
        return State(frozen, len(read_schedule(config)["progress"]), None)
    if config.max_steps is not None:
        steps = min(steps, config.max_steps)
    budget = None
    if config.time_budget_s is not None:
        budget = config.time_budget_s - job.elapsed_s - 2.5 * validation_s - 2.0
    return State(frozen, steps, budget)


def tensors(model: Linear) -> Params:
    return {"weight": torch.from_numpy(model.weight.copy()), "bias": torch.from_numpy(model.bias.copy())}


def record(job: Job, state: State, answer: Answer, validation: Rows) -> dict[str, Any]:
    """Write what the run leaves besides the model; the ``result``'s data."""
    config, out = job.config, Path(job.config.output_dir)
    best = state.history[state.best] if state.history else {"epoch": 0.0}
    summary = {
        "metric": config.deciding_metric,
        "metrics": answer.scores,
        "epochs": state.history[-1]["epoch"] if state.history else 0.0,
        "best_epoch": best["epoch"],
        "seconds": round(job.elapsed_s, 3),
        "rows_per_s": round(state.rows / state.elapsed_s, 2) if state.elapsed_s else 0.0,
        "ensemble_weight": answer.settings["ensemble_weight"],
        "temperature": answer.settings["temperature"],
        "stopped": state.stopped,
    }
    details = {
        "history": state.history,
        "phases_s": job.seconds,
        "steps": state.step,
        "frozen_layers": state.frozen,
        "device": str(job.device),
        "precision": job.precision,
        "threads": torch.get_num_threads(),
        "processes": job.team.size,
        "versions": {"python": platform.python_version(), "torch": torch.__version__}
        | {"transformers": transformers.__version__, "numpy": np.__version__},
        "config": asdict(config),
    }
    write_json(out / "training.json", summary | details)
    write_json(out / "schedule.json", {"frozen_layers": state.frozen, "progress": state.progress})
    write_predictions(out / "validation_predictions.csv", validation, answer, config)
    for name in ("training.json", "schedule.json", "validation_predictions.csv"):
        say_artifact(job.say, out / name, out)
    shutil.rmtree(out / CHECKPOINT, ignore_errors=True)
    return summary


def speaker(stage: str) -> Say:
    """Events as JSON lines on stdout."""
    count = 0

    def say(type_: str, **body: Any) -> None:
        nonlocal count
        stamp = datetime.now(UTC).isoformat(timespec="milliseconds")
        head = {"v": 1, "seq": count, "t": stamp, "type": type_, "stage": stage}
        print(json.dumps(head | _finite(body), ensure_ascii=False, allow_nan=False), flush=True)
        count += 1

    return say


def _finite(value: Any) -> Any:
    """JSON has neither NaN nor infinity: null takes their place."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value


def explain(error: BaseException) -> tuple[str, str]:
    """Kind and sentence of what went wrong."""
    if isinstance(error, TrainingError):
        return error.kind, error.detail
    words = " ".join(str(error).split())[:300]
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or re.search(
        r"out of memory|can.t allocate memory", words, re.IGNORECASE
    ):
        return (
            "out_of_memory",
            "The memory was not enough: use a smaller batch, shorter texts or fewer trained layers.",
        )
    if isinstance(error, OSError) and error.errno in (28, 122):
        return "no_disk", "The disk was full when the training wanted to write."
    return "script_error", f"The training stopped with {type(error).__name__}: {words}"


def main(arguments: Sequence[str], now: Callable[[], float] = time.monotonic) -> int:
    """Returns 0, or 1 after a ``failed`` event."""
    parser = argparse.ArgumentParser(description="Fine-tune an encoder on labelled texts.")
    parser.add_argument("--config", type=Path, required=True)
    path = parser.parse_args(arguments).config
    say = speaker("train")
    before = signal.getsignal(signal.SIGTERM)
    try:
        config = Config.from_mapping(json.loads(path.read_text(encoding="utf-8")))
        say = speaker(config.stage)
        count = wanted(config.processes, config.device)
        if count > 1:
            return lead(count, path, say)
        with team() as members:
            job = Job(config, say, now, members)
            job.say("started", pid=os.getpid())
            signal.signal(signal.SIGTERM, lambda *_: setattr(job, "preempted", True))
            make_deterministic(job)
            job.say("result", data=run(job))
    except PeerLost:
        traceback.print_exc(file=sys.stderr)
        return 1
    except Exception as error:  # noqa: BLE001 - the job's outermost edge: whatever happens is said
        if not isinstance(error, TrainingError):
            traceback.print_exc(file=sys.stderr)
        kind, detail = explain(error)
        say("failed", kind=kind, detail=detail)
        return 1
    finally:
        signal.signal(signal.SIGTERM, before)
    return 0


def lead(count: int, config: Path, say: Say) -> int:
    """The same script in ``count`` processes; what none of them could say is said here."""
    code, said, killed = launch(count, Path(__file__), config)
    if code and not said:
        detail = killed or f"The {count} processes ended with exit code {code}."
        say("failed", kind="preempted" if killed else "script_error", detail=detail)
    return 1 if code else 0


def make_deterministic(job: Job) -> None:
    if job.config.threads:
        torch.set_num_threads(job.config.threads)
    torch.manual_seed(job.config.seed)
    if job.device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
