"""The fine-tuning loop.

AdamW, a learning rate of its own for the head, no dropout, label smoothing and clipped gradients. Progress
p = max(step / steps, elapsed / time left) drives the rate: it rises, then falls to zero.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from .checkpoints import MOMENTS, Checkpoints, Params, Snapshot, State, read_schedule
from .embedding import Hidden
from .events import TrainingError
from .inference import Encoder, length_batches, pad, pool, to_probabilities
from .linear import Linear, clearly_worse, fit_threshold, loss_of, scores_of
from .objective import Objective
from .rows import Rows, epoch_steps
from .settings import Job


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
        checkpoints = Checkpoints(job)
        if snapshot := checkpoints.load(self.params.keys()):
            self._resume(snapshot)
        state = self.state
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
                if job.team.leads:
                    checkpoints.save(self._snapshot())
            if preempted:  # as the first process saw it: a signal reaches each at another step
                job.preempted = True
                job.check()
        if state.losses:  # an epoch that was not finished
            self._evaluate(validation, kept[1], state.step / epoch_length)
        state.elapsed_s = job.now() - started
        self._restore_best()

    def _snapshot(self) -> Snapshot:
        moments = {
            f"{part}.{name}": self.optimiser.state[param][part]
            for name, param in self.params.items()
            for part in MOMENTS
            if param in self.optimiser.state
        }
        weights = {name: param.detach() for name, param in self.params.items()}
        return Snapshot(self.state, weights, self.best, moments)

    def _resume(self, snapshot: Snapshot) -> None:
        with torch.no_grad():
            for name, param in self.params.items():
                param.copy_(snapshot.weights[name])
                if f"step.{name}" in snapshot.moments:
                    self.optimiser.state[param] = {
                        part: snapshot.moments[f"{part}.{name}"] for part in MOMENTS
                    }
        self.best, self.state = snapshot.best, snapshot.state

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
