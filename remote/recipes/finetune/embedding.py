"""The frozen encoder over all rows, once: vectors for the linear models, and the states that training starts from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from .inference import Encoder, Floats, length_batches, pad, pool
from .rows import Rows
from .settings import Job


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
