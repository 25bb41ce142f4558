"""How fast this machine embeds and trains: what the plan's estimate of minutes rests on.

Decisions:

- Real rows on the real encoder, one step each at three quantiles of length. A batch holds rows of like
  length, so one of middle length would mislead wherever the lengths are skewed.
- The first step warms up and is left out. Of training all layers it takes the longest rows, which is where
  memory would run out: better here than an hour into a training.
- The faster of two tries counts, as other work on the machine only ever makes a step slower.
- What the recipe computes once and keeps (the states below the trained layers) is not part of a step's time.
"""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

TOKENISED_ROWS = 512
EMBED_BATCH = 64  # the recipe's and the baselines'
AGAIN_BELOW_S = 1.0  # what measuring a second time may cost
QUANTILES = (1 / 6, 1 / 2, 5 / 6)  # of row length: the middles of three equal parts

Batch = Sequence[Sequence[int]]  # token ids of rows
Timed = Callable[[Batch], float]  # -> s
Clock = Callable[[], float]  # -> s


def calibrate(
    inference: ModuleType,
    settings: Mapping[str, Any],
    outputs: int,
    texts: Sequence[str],
    facts: Mapping[str, Any],
) -> dict[str, Any]:
    """Rows a second of embedding, of training all layers and of training the upper half, on these texts.

    ``inference``: the recipe's module of that name. ``settings``: the training's config. ``outputs``: number
    of classes (regression: 1). ``facts``: what ``training.json`` of a first run says of device and precision.
    Raises RuntimeError or MemoryError where the memory is not enough.
    """
    import torch
    from transformers import AutoTokenizer

    device = torch.device(str(facts.get("device") or "cpu"))
    folder = Path(settings["base_model"])
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    encoder = inference.Encoder.from_folder(folder).to(device)
    bench = Bench(inference, encoder, tokenizer.pad_token_id or 0, device, facts.get("precision") == "bf16")
    rng = random.Random(int(settings.get("seed", 0)))  # noqa: S311 - not for secrets
    few = rng.sample(list(texts), min(TOKENISED_ROWS, len(texts)))
    start = time.perf_counter()
    rows = sorted(inference.token_ids(tokenizer, few, int(settings.get("max_length", 128))), key=len)
    tokenise_s = (time.perf_counter() - start) / len(few)
    batch_size, depth = int(settings.get("batch_size", 32)), int(encoder.depth)
    embed_s = tokenise_s + seconds_a_row(rows, EMBED_BATCH, bench.embed)
    full_s = seconds_a_row(rows, batch_size, bench.training(0, outputs), warm_up=rows[-batch_size:])
    half_s = seconds_a_row(rows, batch_size, bench.training(depth // 2, outputs))
    return {
        "rows_per_s": {
            "embed": round(1 / embed_s, 1),
            "train_full": round(1 / full_s, 1),
            "train_frozen_half": round(1 / half_s, 1),
        },
        "seconds_per_step": {
            "train_full": round(full_s * batch_size, 4),
            "train_frozen_half": round(half_s * batch_size, 4),
        },
        "parameters_m": round(sum(p.numel() for p in encoder.parameters()) / 1e6, 2),
        "hidden_layers": depth,
    }


def seconds_a_row(
    rows: Batch, size: int, timed: Timed, warm_up: Batch | None = None, clock: Clock = time.perf_counter
) -> float:
    """Mean s a row over batches at ``QUANTILES``; ``rows`` are sorted by length.

    The warm-up takes the shortest rows where ``warm_up`` names no others.
    """
    size = min(size, len(rows))
    timed(warm_up or rows[:size])
    last = len(rows) - size
    batches = [rows[min(max(round(q * len(rows) - size / 2), 0), last) :][:size] for q in QUANTILES]
    start = clock()
    fastest = [timed(batch) for batch in batches]
    if clock() - start < AGAIN_BELOW_S:
        fastest = [min(before, timed(batch)) for before, batch in zip(fastest, batches, strict=True)]
    return max(sum(fastest) / (size * len(batches)), 1e-9)


@dataclass(frozen=True, slots=True)
class Bench:
    """An encoder on a device, and the two things that are timed on it."""

    inference: ModuleType
    encoder: Any
    filler: int
    device: Any
    bf16: bool

    def embed(self, batch: Batch) -> float:
        import torch

        ids, mask = self.inference.pad(batch, self.filler, self.device)
        with torch.inference_mode(), self._autocast():
            start = time.perf_counter()
            self.inference.pool(self.encoder(ids, mask).float(), mask).cpu()
            return time.perf_counter() - start

    def training(self, frozen: int, outputs: int) -> Timed:
        """A step of the recipe (forward, backward, clip, AdamW) with the lowest ``frozen`` layers left alone.

        The rate is zero: the encoder stays as it is.
        """
        import torch

        encoder, splits = self.encoder, bool(self.encoder.splits)
        for parameter in encoder.parameters():
            parameter.requires_grad_(not splits)
        trained = list(encoder.parameters())
        if splits:
            trained = [p for layer in encoder.layers[frozen:] for p in layer.parameters()]
            for parameter in trained:
                parameter.requires_grad_(True)
        head = torch.nn.Linear(encoder.width, outputs).to(self.device)
        parameters = [*trained, *head.parameters()]
        optimiser = torch.optim.AdamW(parameters, lr=0.0)

        def timed(batch: Batch) -> float:
            ids, mask = self.inference.pad(batch, self.filler, self.device)
            with torch.no_grad(), self._autocast():
                below = encoder.lower(ids, mask, frozen) if splits else None
            start = time.perf_counter()
            with self._autocast():
                last = encoder.upper(below, mask, frozen) if splits else encoder(ids, mask)
                loss = head(self.inference.pool(last.float(), mask)).square().mean()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            float(loss.detach())  # waits for a GPU
            return time.perf_counter() - start

        return timed

    def _autocast(self) -> contextlib.AbstractContextManager[Any]:
        import torch

        return (
            torch.autocast(self.device.type, dtype=torch.bfloat16) if self.bf16 else contextlib.nullcontext()
        )
