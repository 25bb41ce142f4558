"""Rows of a split: the JSON lines that the audit writes and every later job reads.

The order of the lines is the order of the raw data, so that a split's sha256 depends on the data, the seed
and the shares alone. Empty ``group`` and ``slices`` are left out of the file.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from remote.protocol import FailureKind, JobError

Label = str | list[str] | float


@dataclass(frozen=True, slots=True)
class Row:
    """``label`` is a class name, a list of class names (multi-label) or a number (regression)."""

    row_id: int
    text: str
    label: Label
    group: str | None = None
    slices: Mapping[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        body: dict[str, Any] = {"row_id": self.row_id, "text": self.text, "label": self.label}
        if self.group is not None:
            body["group"] = self.group
        if self.slices:
            body["slices"] = dict(self.slices)
        return body


def read_rows(path: Path | str) -> list[Row]:
    """Every row of a split's file. Raises JobError (``data_error``) when it is missing or not such a file."""
    path = Path(path)
    rows: list[Row] = []
    try:
        with path.open(encoding="utf-8") as file:
            rows.extend(_row(json.loads(line)) for line in file if line.strip())
    except FileNotFoundError:
        raise JobError(
            FailureKind.DATA_ERROR, f"{path.name} is missing: run the audit again, it writes the splits."
        ) from None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise JobError(
            FailureKind.DATA_ERROR,
            f"Line {len(rows) + 1} of {path.name} is not a row: run the audit again, it writes the splits.",
        ) from None
    return rows


def write_rows(path: Path | str, rows: Iterable[Row]) -> Path:
    """Write a split's file beside its place, then rename it into place. Returns its path."""
    text = "".join(json.dumps(row.as_json(), ensure_ascii=False, allow_nan=False) + "\n" for row in rows)
    return write_text(Path(path), text)


def write_text(path: Path, text: str) -> Path:
    """Write UTF-8 beside ``path``, then rename it into place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".part")
    beside.write_text(text, encoding="utf-8", newline="\n")
    return beside.replace(path)


def _row(body: dict[str, Any]) -> Row:
    label = body["label"]
    if isinstance(label, int | float) and not isinstance(label, bool):
        label = float(label)
    elif isinstance(label, list):
        label = [str(name) for name in label]
    elif not isinstance(label, str):
        raise TypeError("a label is a class name, a list of class names or a number")
    group = body.get("group")
    return Row(
        row_id=int(body["row_id"]),
        text=str(body["text"]),
        label=label,
        group=None if group is None else str(group),
        slices={str(k): str(v) for k, v in body.get("slices", {}).items()},
    )
