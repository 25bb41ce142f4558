"""Fine-tune a pre-trained encoder on labelled texts: ``python train.py --config config.json``.

Runs with the folder ``finetune`` beside it and nothing else of this project, on a CPU or on one to eight GPUs of one
machine. Binary, multi-class, multi-label, regression. Every setting stands in ``finetune/settings.py``; what it says
on stdout are JSON lines (``started``, ``progress``, ``epoch``, ``warning``, ``artifact``, ``result``, ``failed``).

The road that :func:`run` takes
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
import csv
import json
import math
import os
import platform
import re
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from safetensors.torch import save_file
from transformers import AutoTokenizer

from finetune import inference
from finetune.checkpoints import CHECKPOINT, Params, State, read_schedule
from finetune.embedding import Embedder, Hidden, choose_frozen
from finetune.events import Say, TrainingError, explain, say_artifact, speaker, write_json
from finetune.inference import (
    Encoder,
    Floats,
    Model,
    combine,
    coverage,
    temper,
    to_probabilities,
    token_ids,
    vocabulary,
)
from finetune.linear import (
    Linear,
    Probes,
    clearly_worse,
    fit_probes,
    fit_temperature,
    fit_threshold,
    loss_of,
    scores_of,
    tensors,
)
from finetune.parallel import PeerLost, launch, team, wanted
from finetune.rows import Rows, read_rows, sampled, standardise_targets
from finetune.settings import Config, Job, make_deterministic
from finetune.tuning import Tuner

_TOKENIZER_FILES = re.compile(r"(tokenizer|vocab|merges|special_tokens|added_tokens|sentencepiece|spiece)")


def run(job: Job) -> dict[str, Any]:
    """The whole road, from rows to ``out/``; the data of the ``result`` event. Raises TrainingError."""
    config = job.config
    Path(config.output_dir).mkdir(parents=True, exist_ok=True)
    with job.phase("load"):
        base, data = load(job)
    with job.phase("embed"):
        seen = embed(job, base, data)
    with job.phase("probe"):
        train, validation = (seen.train, data.train.targets), (seen.validation, data.validation.targets)
        probes = job.team.agree(lambda: fit_probes(train, validation, config))
    tuned = Tuned(State(seen.frozen, 0, None), probes.baseline, {})
    if config.epochs:
        with job.phase("train"):
            tuned = fine_tune(job, base, data, seen, probes)
    if not job.team.leads:
        return {}
    with job.phase("package"):
        packer = Packer(job, base, data, tuned, probes, vocabulary(data.train.texts))
        model, judged = packer.choose()
        packer.pack(model)
    return record(job, tuned.state, model, judged, data.validation)


# ------------------------------------------------------------------------------------------- load and embed


@dataclass(frozen=True, slots=True)
class Base:
    """The pre-trained encoder, and how texts become its token ids."""

    tokenizer: Any
    encoder: Encoder
    max_length: int

    @property
    def filler(self) -> int:
        return self.tokenizer.pad_token_id or 0


@dataclass(frozen=True, slots=True)
class Data:
    """Both splits. A number is ``standardised * target_std + target_mean``."""

    train: Rows
    validation: Rows
    target_mean: float
    target_std: float


@dataclass(frozen=True, slots=True)
class Seen:
    """What the frozen encoder makes of both splits: vectors [rows, width], and states below layer ``frozen``."""

    frozen: int
    train: Floats
    validation: Floats
    hidden: tuple[Hidden | None, Hidden | None]
    rows_per_s: float


def load(job: Job) -> tuple[Base, Data]:
    config = job.config
    tokenizer, encoder = load_base(job)
    train = sampled(read_rows(Path(config.train_file), config), config)
    validation = read_rows(Path(config.validation_file), config)
    mean, std = standardise_targets(train, validation, config)
    max_length = min(config.max_length, encoder.longest)
    for rows in (train, validation):
        rows.ids = token_ids(tokenizer, rows.texts, max_length)
    return Base(tokenizer, encoder, max_length), Data(train, validation, mean, std)


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


def embed(job: Job, base: Base, data: Data) -> Seen:
    """Choose the layers that stay frozen, then run the encoder over both splits."""
    embedder = Embedder(job, base.encoder, base.filler)
    if job.config.schedule:
        frozen = read_schedule(job.config)["frozen_layers"]
    else:
        speed = embedder.speed(data.train)
        frozen = job.team.agree(lambda: choose_frozen(job, base.encoder, data.train, speed))
    keep = job.config.epochs > 0
    train, hidden = embedder.embed(data.train, frozen, keep)
    speed = embedder.rows_per_s
    validation, hidden_validation = embedder.embed(data.validation, frozen, keep)
    return Seen(frozen, train, validation, (hidden, hidden_validation), speed)


# ------------------------------------------------------------------------------------------------ fine-tune


@dataclass(frozen=True, slots=True)
class Tuned:
    """How training went, and the head for the encoder as it now is."""

    state: State
    head: Linear
    before: Params  # trained parameters as they were before; empty: nothing was trained


def fine_tune(job: Job, base: Base, data: Data, seen: Seen, probes: Probes) -> Tuned:
    """The encoder then holds the best epoch's weights."""
    state = new_state(job, seen.frozen, data.train, len(data.validation) / seen.rows_per_s)
    tuner = Tuner(job, base.encoder, probes.start, state, base.filler, data.target_std)
    tuner.fit(data.train, data.validation, seen.hidden)
    if tuner.state.best == 0:  # the frozen encoder was best: then the better linear model is the head
        return Tuned(tuner.state, probes.baseline, {})
    return Tuned(tuner.state, tuner.linear_head(), tuner.before)


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


# ------------------------------------------------------------------------------------------ choose and pack


@dataclass(frozen=True, slots=True)
class Judged:
    """One way to combine both models, as validation sees it. ``answer``: probabilities or standardised numbers."""

    loss: float
    settings: dict[str, Any]
    scores: dict[str, float]
    answer: Floats


@dataclass(slots=True)
class Packer:
    """Decides how to answer and writes the model."""

    job: Job
    base: Base
    data: Data
    tuned: Tuned
    probes: Probes
    known: NDArray[np.int64]  # words of the training rows

    def model(self, settings: Mapping[str, Any], linear: Linear | None) -> Model:
        second = None
        if linear is not None:
            second = tensors(linear) | {f"base.{name}": t.cpu() for name, t in self.tuned.before.items()}
        encoder, head = self.base.encoder.to("cpu"), tensors(self.tuned.head)
        return Model(encoder, self.base.tokenizer, head, settings, second, self.known)

    def choose(self) -> tuple[Model, Judged]:
        """Fit temperatures, decide on the ensemble and on thresholds, all on validation."""
        config, rows = self.job.config, self.data.validation
        settings = self._settings()
        covered = [coverage(text, self.known) for text in rows.texts]
        settings["coverage_min"] = float(np.clip(np.quantile(covered, 0.01), 0.1, 0.5))
        second = self.probes.baseline if self.tuned.before and config.ensemble != "off" else None
        tuned, plain = self.model(settings, second).logits(rows.texts)
        probabilities = to_probabilities(tuned, config.family)
        settings["encoder_temperature"] = fit_temperature(probabilities, rows.targets, config.family)
        best = alone = _judged(tuned, None, dict(settings), rows.targets, config)
        if plain is not None:
            t = fit_temperature(to_probabilities(plain, config.family), rows.targets, config.family)
            weights = [settings | {"linear_temperature": t, "ensemble_weight": w / 10} for w in range(1, 10)]
            both = [_judged(tuned, plain, one, rows.targets, config) for one in weights]
            mixed = min(both, key=lambda one: one.loss)
            metric = config.deciding_metric
            worse = clearly_worse(mixed.scores[metric], alone.scores[metric], metric, len(rows))
            # At least 1 % less loss and not clearly worse by the metric: two models cost more than one.
            if config.ensemble == "on" or (mixed.loss < 0.99 * alone.loss and not worse):
                best = mixed
        keep = second if best.settings["ensemble_weight"] < 1 else None
        return self.model(best.settings, keep), best

    def _settings(self) -> dict[str, Any]:
        """``inference.json`` before anything is fitted."""
        config = self.job.config
        return {
            "family": config.family,
            "labels": list(config.labels),
            "pooling": "mean",
            "max_length": self.base.max_length,
            "frozen_layers": self.tuned.state.frozen,
            "target_mean": self.data.target_mean,
            "target_std": self.data.target_std,
            "temperature": 1.0,
            "encoder_temperature": 1.0,
            "linear_temperature": 1.0,
            "ensemble_weight": 1.0,
            "thresholds": [],
        }

    def pack(self, model: Model) -> None:
        """Write ``out/model``, whole or not at all, and announce its files."""
        config, refitted = self.job.config, self.probes.refitted
        final = Path(config.output_dir) / "model"
        folder = final.with_name("model.part")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for path in Path(config.base_model).iterdir():
            if _TOKENIZER_FILES.match(path.name):
                shutil.copyfile(path, folder / path.name)
        network = self.base.encoder.model
        network.config.save_pretrained(folder)  # type: ignore[union-attr, operator]
        weights = {name: t.detach().cpu().contiguous() for name, t in network.state_dict().items()}
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
        save_file(tensors(self.tuned.head if self.tuned.before else refitted), folder / "head.safetensors")
        if model.linear is not None:
            save_file({**model.linear, **tensors(refitted)}, folder / "linear.safetensors")
        save_file({"words": torch.from_numpy(self.known)}, folder / "vocabulary.safetensors")
        write_json(folder / "inference.json", model.settings)
        shutil.copyfile(inference.__file__, folder / "inference.py")
        shutil.rmtree(final, ignore_errors=True)
        folder.replace(final)
        for path in sorted(final.iterdir()):
            say_artifact(self.job.say, path, Path(config.output_dir))


def _judged(
    tuned: Floats, plain: Floats | None, settings: dict[str, Any], truth: NDArray[Any], config: Config
) -> Judged:
    """``settings`` are completed in place."""
    family = config.family
    answer = combine(tuned, plain, settings)
    settings["temperature"] = fit_temperature(answer, truth, family)
    answer = temper(answer, settings["temperature"], family)
    threshold = fit_threshold(answer, truth) if family == "multilabel" else 0.5
    settings["thresholds"] = [threshold] * len(config.labels) if family == "multilabel" else []
    scores = scores_of(answer, truth, config, float(settings["target_std"]), threshold)
    return Judged(loss_of(answer, truth, family), settings, scores, answer)


# ------------------------------------------------------------------------------------------------ record


def record(job: Job, state: State, model: Model, judged: Judged, validation: Rows) -> dict[str, Any]:
    """Write what the run leaves besides the model; the ``result``'s data."""
    config, out = job.config, Path(job.config.output_dir)
    best = state.history[state.best] if state.history else {"epoch": 0.0}
    summary = {
        "metric": config.deciding_metric,
        "metrics": judged.scores,
        "epochs": state.history[-1]["epoch"] if state.history else 0.0,
        "best_epoch": best["epoch"],
        "seconds": round(job.elapsed_s, 3),
        "rows_per_s": round(state.rows / state.elapsed_s, 2) if state.elapsed_s else 0.0,
        "ensemble_weight": judged.settings["ensemble_weight"],
        "temperature": judged.settings["temperature"],
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
    write_predictions(out / "validation_predictions.csv", validation, model, judged)
    for name in ("training.json", "schedule.json", "validation_predictions.csv"):
        say_artifact(job.say, out / name, out)
    shutil.rmtree(out / CHECKPOINT, ignore_errors=True)
    return summary


def write_predictions(path: Path, rows: Rows, model: Model, judged: Judged) -> None:
    """``row_id,label,prediction,confidence``; several labels are joined by ``|``."""
    beside = path.with_name(path.name + ".part")
    with beside.open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file)
        out.writerow(["row_id", "label", "prediction", "confidence"])
        answers = model.in_units(judged.answer)
        predictions = [model.interpret(text, p) for text, p in zip(rows.texts, answers, strict=True)]
        for row_id, label, one in zip(rows.row_ids, rows.raw, predictions, strict=True):
            said = "" if isinstance(one.label, float) else repr(one.confidence)
            out.writerow([row_id, _joined(label), _joined(one.label), said])
    beside.replace(path)


def _joined(label: Any) -> str:
    return "|".join(map(str, label)) if isinstance(label, list) else str(label)


# ------------------------------------------------------------------------------------------- the command line


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


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
