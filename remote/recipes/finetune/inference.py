"""Ask a packaged text model: ``python inference.py "a text"``, or ``Model.from_folder(".").predict([...])``.

This file is copied into the packaged model and runs alone; it needs torch, transformers, numpy, safetensors.

Design
- The encoder (``config.json``, ``model.safetensors``) loads with ``AutoModel`` as it is. A text's vector is
  the mean of its token vectors, and the answer comes from a linear head on it (``head.safetensors``).
- If ``linear.safetensors`` is there, the answer is the weighted mean of two opinions: the fine-tuned
  encoder's, and a linear model's on the encoder as it was *before* fine-tuning. That file holds the linear
  model and the parameters (``base.*``) that fine-tuning changed. Layers that both share are computed once.
- Texts are sorted by length and padded only within their batch: most of the work on short texts is saved.
- :class:`Encoder` finds the stack of layers and *checks on a dummy text* that running it layer by layer gives
  what the whole model gives; if not (another architecture), the whole model is used.
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import AutoModel, AutoTokenizer
from transformers.utils import logging as transformers_logging

Floats = NDArray[np.floating[Any]]

# In scripts written without spaces one character counts as a word; elsewhere a run of letters and digits.
_UNSPACED = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\u0e00-\u0e7f"
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W_{_UNSPACED}]+")


@dataclass(frozen=True, slots=True)
class Prediction:
    """One answer. ``label``: a class, a list of classes (multi-label) or a number (regression)."""

    label: str | list[str] | float
    confidence: float  # 0..1; of a number: nan
    scores: dict[str, float]  # class -> probability; empty for regression
    unlike_training: bool  # few of the text's words were seen in training: trust the answer less
    vocabulary_coverage: float  # share of the text's words seen in training, 0..1


class Encoder(nn.Module):
    """A pre-trained encoder that can be run in two parts, below and above a given layer."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.recompute = False  # in training: compute activations twice instead of keeping them
        stack = _layers(model)
        self.splits = stack is not None and self._runs_layer_by_layer()
        self.depth = len(stack) if stack is not None else 0

    @classmethod
    def from_folder(cls, folder: Path) -> Encoder:
        """Load weights (safetensors only) in fp32 for evaluation. Raises OSError when files are missing."""
        transformers_logging.disable_progress_bar()
        # Eager attention is faster than the fused one on the short texts that this is made for.
        model = AutoModel.from_pretrained(
            folder,
            local_files_only=True,
            use_safetensors=True,
            attn_implementation="eager",
            dtype=torch.float32,
        )
        return cls(model.eval())

    @property
    def width(self) -> int:
        return int(self.model.config.hidden_size)  # type: ignore[union-attr, arg-type]

    @property
    def longest(self) -> int:
        """Tokens that the encoder has positions for; RoBERTa counts from after the padding token."""
        config: Any = self.model.config
        offset = (
            int(config.pad_token_id) + 1
            if config.model_type in ("roberta", "xlm-roberta", "camembert")
            else 0
        )
        return int(getattr(config, "max_position_embeddings", 0) or 512) - offset

    @property
    def layers(self) -> nn.ModuleList:
        stack = _layers(self.model)
        assert stack is not None
        return stack

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """[rows, tokens] ids and mask -> [rows, tokens, width] last hidden states."""
        if self.splits:
            return self.upper(self.lower(ids, mask, 0), mask, 0)
        out: Tensor = self.model(input_ids=ids, attention_mask=mask).last_hidden_state
        return out

    def lower(self, ids: Tensor, mask: Tensor, depth: int) -> Tensor:
        """Hidden states below layer ``depth`` (0: the embeddings), [rows, tokens, width]."""
        hidden: Tensor = self.model.embeddings(input_ids=ids)  # type: ignore[operator]
        return self._run(hidden, mask, 0, depth)

    def upper(self, hidden: Tensor, mask: Tensor, depth: int) -> Tensor:
        """Last hidden states from those below layer ``depth``."""
        return self._run(hidden, mask, depth, self.depth or None)

    def _run(self, hidden: Tensor, mask: Tensor, start: int, end: int | None) -> Tensor:
        bias = None
        if not bool(mask.all()):
            bias = (1.0 - mask[:, None, None, :].to(hidden.dtype)) * torch.finfo(hidden.dtype).min
        for layer in self.layers[start:end]:
            if self.recompute and torch.is_grad_enabled():
                hidden = checkpoint(layer, hidden, bias, use_reentrant=False)
            else:
                hidden = layer(hidden, bias)
        return hidden

    @torch.inference_mode()
    def _runs_layer_by_layer(self) -> bool:
        device = next(self.model.parameters()).device
        ids = torch.tensor([[1, 2, 3, 4], [4, 3, 1, 1]], device=device)
        mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]], device=device)
        expected = self.model(input_ids=ids, attention_mask=mask).last_hidden_state
        try:
            got = self._run(self.model.embeddings(input_ids=ids), mask, 0, None)  # type: ignore[operator]
            return bool(torch.allclose(pool(got, mask), pool(expected, mask), atol=1e-4))
        except (AttributeError, TypeError, ValueError, RuntimeError, IndexError):
            return False  # another architecture: its layers want other arguments


def _layers(model: nn.Module) -> nn.ModuleList | None:
    for path in ("encoder.layer", "transformer.layer", "encoder.layers", "layers"):
        try:
            found = model.get_submodule(path)
        except AttributeError:
            continue
        if isinstance(found, nn.ModuleList):
            return found
    return None


def pool(hidden: Tensor, mask: Tensor) -> Tensor:
    """Mean over a text's own tokens: [rows, tokens, width] -> [rows, width]."""
    weight = mask.unsqueeze(-1).to(hidden.dtype)
    return (hidden * weight).sum(1) / weight.sum(1)


def token_ids(tokenizer: Any, texts: Sequence[str], max_length: int) -> list[list[int]]:
    """Ids of each text, special tokens included, at most ``max_length`` and at least one of them."""
    if not texts:
        return []
    encoded = tokenizer(list(texts), truncation=True, max_length=max_length, padding=False)["input_ids"]
    filler = tokenizer.unk_token_id or tokenizer.pad_token_id or 0
    return [list(ids) or [filler] for ids in encoded]


def pad(
    rows: Sequence[Sequence[int]], filler: int, device: torch.device | str = "cpu"
) -> tuple[Tensor, Tensor]:
    """Ids and mask, [rows, longest row]."""
    ids = np.full((len(rows), max(map(len, rows))), filler, dtype=np.int64)
    mask = np.zeros_like(ids)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = row
        mask[i, : len(row)] = 1
    return torch.from_numpy(ids).to(device), torch.from_numpy(mask).to(device)


def length_batches(lengths: Sequence[int], batch_size: int, max_tokens: int = 16_384) -> list[list[int]]:
    """Row numbers in batches of like length, longest first, of at most ``max_tokens`` tokens with padding."""
    batches: list[list[int]] = []
    for row in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        last = batches[-1] if batches else None
        if last is None or len(last) >= batch_size or (len(last) + 1) * lengths[last[0]] > max_tokens:
            batches.append([row])
        else:
            last.append(row)
    return batches


def vocabulary(texts: Iterable[str]) -> NDArray[np.int64]:
    """A sketch of the words in ``texts``: their sorted 48-bit hashes."""
    return np.array(sorted({_hash(word) for text in texts for word in _words(text)}), dtype=np.int64)


def coverage(text: str, known: NDArray[np.int64]) -> float:
    """Share of the text's words that stand in ``known``; 0 for a text without words."""
    words = np.array([_hash(word) for word in _words(text)], dtype=np.int64)
    return float(np.isin(words, known).mean()) if len(words) else 0.0


def _words(text: str) -> list[str]:
    return _WORD.findall(text[:20_000].lower())  # enough words to judge by, however long the text is


def _hash(word: str) -> int:
    return int.from_bytes(hashlib.blake2b(word.encode("utf-8", "replace"), digest_size=6).digest(), "big")


def to_probabilities(logits: Floats, family: str) -> Floats:
    """Softmax over classes, a sigmoid for each (multi-label), or the number itself (regression), in fp64."""
    z = logits.astype(np.float64)
    if family == "regression":
        return z
    if family == "multilabel":
        return 1.0 / (1.0 + np.exp(-np.clip(z, -60, 60)))
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def temper(probabilities: Floats, temperature: float, family: str) -> Floats:
    """Sharper (``temperature`` < 1) or flatter probabilities, as if their logits were divided by it."""
    if family == "regression" or temperature == 1.0:
        return probabilities
    p = np.clip(probabilities, 1e-12, 1 - 1e-12)
    logits = np.log(p / (1 - p)) if family == "multilabel" else np.log(p)
    return to_probabilities(logits / temperature, family)


def combine(encoder_logits: Floats, linear_logits: Floats | None, settings: Mapping[str, Any]) -> Floats:
    """Both opinions in one: [rows, classes] probabilities, or [rows, 1] standardised numbers (regression)."""
    family, weight = str(settings["family"]), float(settings["ensemble_weight"])
    answer = to_probabilities(encoder_logits / float(settings["encoder_temperature"]), family)
    if linear_logits is not None:
        other = to_probabilities(linear_logits / float(settings["linear_temperature"]), family)
        answer = weight * answer + (1.0 - weight) * other
    return temper(answer, float(settings["temperature"]), family)


class Model:
    """A packaged model in memory. ``settings`` is its ``inference.json``."""

    def __init__(
        self,
        encoder: Encoder,
        tokenizer: Any,
        head: Mapping[str, Tensor],
        settings: Mapping[str, Any],
        linear: Mapping[str, Tensor] | None = None,
        known_words: NDArray[np.int64] | None = None,
    ) -> None:
        self.encoder = encoder.eval()
        self.tokenizer = tokenizer
        self.settings = settings
        self.labels: list[str] = list(settings["labels"])
        self.head = head
        self.linear = linear
        self.known_words = known_words
        self._shared = int(settings["frozen_layers"]) if encoder.splits else 0
        self.base = _before_tuning(encoder, linear, self._shared) if linear is not None else None

    @classmethod
    def from_folder(cls, folder: str | Path) -> Model:
        """Load a packaged model. Raises OSError or ValueError when it is incomplete."""
        folder = Path(folder)
        settings = json.loads((folder / "inference.json").read_text(encoding="utf-8"))
        linear = folder / "linear.safetensors"
        known = load_file(folder / "vocabulary.safetensors")["words"].numpy()
        return cls(
            Encoder.from_folder(folder),
            AutoTokenizer.from_pretrained(folder, local_files_only=True),
            load_file(folder / "head.safetensors"),
            settings,
            load_file(linear) if linear.exists() else None,
            known,
        )

    @torch.inference_mode()
    def logits(self, texts: Sequence[str], batch_size: int = 64) -> tuple[Floats, Floats | None]:
        """Raw outputs of the head and of the linear model, [texts, classes] each (regression: 1)."""
        rows = token_ids(self.tokenizer, texts, int(self.settings["max_length"]))
        width = self.head["bias"].shape[0]
        tuned = np.zeros((len(rows), width), dtype=np.float32)
        plain = np.zeros_like(tuned) if self.linear is not None else None
        for batch in length_batches([len(row) for row in rows], batch_size):
            ids, mask = pad([rows[i] for i in batch], self.tokenizer.pad_token_id or 0)
            a, b = self._both(ids, mask)
            tuned[batch] = a.numpy()
            if plain is not None and b is not None:
                plain[batch] = b.numpy()
        return tuned, plain

    def _both(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor | None]:
        if not self.encoder.splits:
            tuned = pool(self.encoder(ids, mask), mask)
            base = pool(self.base(ids, mask), mask) if self.base is not None else None
        else:
            hidden = self.encoder.lower(ids, mask, self._shared)
            tuned = pool(self.encoder.upper(hidden, mask, self._shared), mask)
            base = pool(self.base.upper(hidden, mask, self._shared), mask) if self.base is not None else None
        answer = nn.functional.linear(tuned, self.head["weight"], self.head["bias"])
        if base is None or self.linear is None:
            return answer, None
        return answer, nn.functional.linear(base, self.linear["weight"], self.linear["bias"])

    def probabilities(self, texts: Sequence[str], batch_size: int = 64) -> Floats:
        """[texts, classes] calibrated probabilities; regression: [texts] numbers in the target's own unit."""
        return self.in_units(combine(*self.logits(texts, batch_size), self.settings))

    def in_units(self, answers: Floats) -> Floats:
        """Probabilities as they are; standardised numbers [texts, 1] in the target's own unit [texts]."""
        if self.settings["family"] != "regression":
            return answers
        return answers[:, 0] * float(self.settings["target_std"]) + float(self.settings["target_mean"])

    def predict(self, texts: Sequence[str], batch_size: int = 64) -> list[Prediction]:
        """An answer for each text, in order; empty texts too, and long ones, cut to ``max_length``."""
        answers = self.probabilities(texts, batch_size)
        return [self.interpret(text, answer) for text, answer in zip(texts, answers, strict=True)]

    def interpret(self, text: str, answer: Any) -> Prediction:
        """The prediction that one row of ``probabilities`` stands for."""
        seen = coverage(text, self.known_words) if self.known_words is not None else 1.0
        unlike = seen < float(self.settings["coverage_min"])
        family = self.settings["family"]
        if family == "regression":
            return Prediction(float(answer), float("nan"), {}, unlike, seen)
        scores = {label: float(p) for label, p in zip(self.labels, answer, strict=True)}
        if family == "multilabel":
            chosen = answer >= np.asarray(self.settings["thresholds"])
            sure = np.where(chosen, answer, 1 - answer)  # probability of the decision made for each class
            names = [label for label, yes in zip(self.labels, chosen, strict=True) if yes]
            return Prediction(names, float(sure.min()), scores, unlike, seen)
        best = int(np.argmax(answer))
        return Prediction(self.labels[best], float(answer[best]), scores, unlike, seen)


def _before_tuning(encoder: Encoder, linear: Mapping[str, Tensor], shared: int) -> Encoder:
    """The encoder as it was: a copy that shares the layers that fine-tuning left alone."""
    keep: list[nn.Module] = []
    if encoder.splits:
        keep = [encoder.model.embeddings, *encoder.layers[:shared]]  # type: ignore[list-item]
    base = copy.deepcopy(encoder, {id(module): module for module in keep})
    changed = {name.removeprefix("base."): t for name, t in linear.items() if name.startswith("base.")}
    _, unexpected = base.model.load_state_dict(changed, strict=False)
    if unexpected:
        raise ValueError(f"linear.safetensors holds unknown parameters: {', '.join(unexpected)}")
    return base


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description="Predict with the model in this folder; a JSON line a text.")
    parser.add_argument("texts", nargs="+", metavar="text")
    parser.add_argument("--model", type=Path, default=Path(__file__).resolve().parent)
    options = parser.parse_args(arguments)
    model = Model.from_folder(options.model)
    for text, prediction in zip(options.texts, model.predict(options.texts), strict=True):
        print(json.dumps({"text": text} | asdict(prediction), ensure_ascii=False))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
