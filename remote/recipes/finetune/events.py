"""What a training says and leaves: JSON lines on stdout, whole files, and its failures in one sentence."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

Say = Callable[..., None]  # say(type, **fields) writes one event


class TrainingError(Exception):
    """A failure with a kind of the jobs' taxonomy and one sentence for a person."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail


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


def say_artifact(say: Say, path: Path, out: Path) -> None:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    say("artifact", path=path.relative_to(out).as_posix(), sha256=digest)


def write_text(path: Path, text: str) -> None:
    """Written beside and renamed into place."""
    beside = path.with_name(path.name + ".part")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)


def write_json(path: Path, body: Any) -> None:
    write_text(path, json.dumps(body, ensure_ascii=False, indent=1) + "\n")
