"""Mean-pooled embeddings of the frozen base model, with the packaged model's own encoder and batching.

Batches hold texts of like length, as padding is most of the work on mixed lengths. bfloat16 is used only
where the hardware has it: emulated, it is 80 times slower than float32.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoTokenizer

from remote.protocol import FailureKind, JobError
from remote.recipes.finetune.inference import Encoder, length_batches, pad, pool, token_ids

BATCH_ROWS = 64
CHARS_A_TOKEN = 12  # longer texts are cut before the tokenizer, which else reads all 100,000 characters


class Embedder:
    """A frozen encoder with its tokenizer. ``max_length`` is in tokens."""

    def __init__(self, folder: Path, max_length: int) -> None:
        """Raises JobError (``script_error``) when the folder holds no encoder."""
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            self._encoder = Encoder.from_folder(folder)
        except (OSError, ValueError) as error:
            raise JobError(
                FailureKind.SCRIPT_ERROR,
                "The base model could not be loaded: choose a text encoder stored as safetensors.",
            ) from error
        dtype = torch.bfloat16 if has_bf16(self.device) else torch.float32
        self._encoder.to(self.device, dtype)
        positions = getattr(self._encoder.model.config, "max_position_embeddings", None)
        self.max_length = min(max_length, int(positions or max_length))

    @torch.inference_mode()
    def embed(
        self, texts: Sequence[str], progress: Callable[[int, int], None] | None = None
    ) -> NDArray[np.float32]:
        """[n, hidden]: the mean of the last hidden states over each text's tokens."""
        pooled = np.zeros((len(texts), self._encoder.width), dtype=np.float32)
        cut = [text[: self.max_length * CHARS_A_TOKEN] for text in texts]
        rows = token_ids(self._tokenizer, cut, self.max_length)
        done = 0
        for batch in length_batches([len(row) for row in rows], BATCH_ROWS):
            ids, mask = pad([rows[i] for i in batch], self._tokenizer.pad_token_id or 0, self.device)
            pooled[batch] = pool(self._encoder(ids, mask).float(), mask).cpu().numpy()
            done += len(batch)
            if progress:
                progress(done, len(rows))
        return pooled


def has_bf16(device: torch.device) -> bool:
    """Whether the hardware itself computes in bfloat16."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
