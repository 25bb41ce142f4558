"""A finished run's folder, small."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

RUN: Mapping[str, bytes] = {
    "run.json": b'{"status": "done"}',
    "events.jsonl": b"{}\n",
    "report.md": b'# Report\n\nMost confident mistake: "a customer\'s words".\n',
    "train.py": b"print('training')\n",
    "finetune/rows.py": b"print('rows')\n",
    "finetune/__pycache__/rows.pyc": b"compiled",
    "config.json": b"{}",
    "metrics.json": b'{"macro_f1": 0.9}',
    "leaderboard.json": b"[]",
    "predictions.csv": b"row_id,label\n1,a\n",
    "plots/confusion_matrix.png": b"\x89PNG\r\n\x1a\n\0",
    "model/model.safetensors": b"\x02\0\0\0\0\0\0\0{}",
    "model/config.json": b'{"model_type": "bert"}',
    "model/README.md": b"---\nlicense: mit\n---\n# Model\n",
    "space/app.py": b"print('space')\n",
    "space/README.md": b"---\nsdk: gradio\nmodels:\n- old/name\n---\n# Space\n",
    "space/settings.json": b'{"model_id": ""}',
    "dataset/README.md": b"---\nlicense: mit\n---\n# Split\n",
    "dataset/splits.json": b"{}",
    "raw/mine.csv": b"a person's rows",
    "data/train.jsonl": b"a person's rows",
    "work/audit/log.txt": b"working file",
    "model/.cache/x": b"hidden",
}
PRIVATE = (
    "finetune/__pycache__/rows.pyc",
    "raw/mine.csv",
    "data/train.jsonl",
    "work/audit/log.txt",
    "model/.cache/x",
)
HUB = {
    "model.safetensors", "config.json", "README.md", "training/train.py", "training/finetune/rows.py",
    "training/config.json",    "training/metrics.json", "training/leaderboard.json", "training/predictions.csv",
    "training/plots/confusion_matrix.png",
}  # fmt: skip


def make_run(folder: Path, more: Mapping[str, bytes] | None = None) -> Path:
    for name, content in {**RUN, **(more or {})}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, hidden ones too."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


class Steps:
    """A :class:`graph.deps.Steps` in memory."""

    def __init__(self) -> None:
        self.done: dict[str, Mapping[str, Any]] = {}

    async def once(self, step: str, do: Callable[[], Awaitable[Mapping[str, Any]]]) -> Mapping[str, Any]:
        if step not in self.done:
            self.done[step] = await do()
        return self.done[step]
