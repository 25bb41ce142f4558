"""Which files of a run are published, and under which names. An allow-list: what is not named here stays.

Never published: the person's raw data (``raw/``), working folders, hidden files; the rows of the split (``data/``)
only where a person asked for them. The Hub also gets neither the run's log nor the reports that quote rows.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from graph.errors import PublishRefused

_RUN = (
    "run.json", "events.jsonl", "audit.json", "audit.md", "train.py", "finetune", "inference.py", "parallel.py",
    "config.json", "train.log", "training.json", "schedule.json", "validation_predictions.csv", "leaderboard.json",
    "metrics.json", "predictions.csv", "stress.json", "report.md", "plots", "model", "space",
    "dataset",
)  # fmt: skip
_FRONT = re.compile(r"---\n(.*?\n)---\n", re.DOTALL)
_MODELS = re.compile(r"^models:\n(?:- .*\n)*", re.MULTILINE)
_EVIDENCE = (
    "train.py",
    "finetune",
    "config.json",
    "metrics.json",
    "leaderboard.json",
    "predictions.csv",
    "plots",
)


@dataclass(frozen=True, slots=True)
class Item:
    """A file to publish: where it lies, and its name there (relative, with ``/``)."""

    source: Path
    path: str


def run_items(folder: Path) -> tuple[Item, ...]:
    """A run's folder as it is, without data; any other folder whole."""
    names = _RUN if (folder / "model").is_dir() else _all(folder)
    return tuple(item for name in names for item in _walk(folder / name, name))


def model_items(folder: Path) -> tuple[Item, ...]:
    """A model repository: ``model/`` at its top, its evidence in ``training/``; any other folder whole."""
    if not (folder / "model").is_dir():
        return run_items(folder)
    evidence = (item for name in _EVIDENCE for item in _walk(folder / name, f"training/{name}"))
    return (*_walk(folder / "model", ""), *evidence)


def hub_items(folder: Path, kind: str, repo_id: str, made: Path, rows: bool = False) -> tuple[Item, ...]:
    """The files of the repository of type ``kind``; ``made`` is a folder for what is written for it."""
    if kind == "dataset":
        return dataset_items(folder, rows)
    return space_items(folder, repo_id, made) if kind == "space" else model_items(folder)


def dataset_items(folder: Path, rows: bool) -> tuple[Item, ...]:
    """The split's card and hashes; its rows only where they were asked for. Raises PublishRefused."""
    if not (folder / "dataset").is_dir():
        raise PublishRefused(
            "There is no data-set card in this run.", "Publish the model alone: leave out +data and +rows."
        )
    lines = _walk(folder / "data", "data") if rows else ()
    return (*_walk(folder / "dataset", ""), *lines)


def space_items(folder: Path, model_id: str, made: Path) -> tuple[Item, ...]:
    """A Space repository: ``space/`` at its top, showing the model ``model_id``. Raises PublishRefused where there is
    none. What says which model it shows is written into ``made``: the run did not know its name."""
    if not (folder / "space").is_dir():
        raise PublishRefused("There is no Space in this run.", "Publish the model alone: leave out +space.")
    items = tuple(_walk(folder / "space", ""))
    return tuple(_naming(item, model_id, made) for item in items)


def _naming(item: Item, model_id: str, made: Path) -> Item:
    text = item.source.read_text("utf-8") if item.path in ("settings.json", "README.md") else ""
    if item.path == "settings.json":
        text = json.dumps({**json.loads(text), "model_id": model_id}, ensure_ascii=False, indent=2) + "\n"
    elif match := _FRONT.match(text):
        kept = [line for line in _MODELS.sub("", match[1]).splitlines() if line]
        text = "\n".join(["---", *kept, "models:", f"- {model_id}", "---", text[match.end() :]])
    else:
        return item
    path = made / item.path
    path.write_text(text, encoding="utf-8")
    return Item(path, item.path)


def _all(folder: Path) -> tuple[str, ...]:
    if not folder.is_dir():
        raise PublishRefused(f"There is no folder {folder}.", "Check the run with `intern show`.")
    return tuple(sorted(entry.name for entry in folder.iterdir() if _shown(entry.name)))


def _shown(name: str) -> bool:
    return not name.startswith(".") and name != "__pycache__"


def _walk(path: Path, name: str) -> Iterator[Item]:
    """Files below ``path`` in a fixed order; PublishRefused for links and special files."""
    if path.is_symlink():
        raise PublishRefused(
            f"{name or path.name} is a link, and links are never published.", "Put the file itself there."
        )
    if path.is_dir():
        with os.scandir(path) as entries:
            names = sorted(entry.name for entry in entries if _shown(entry.name))
        for inner in names:
            yield from _walk(path / inner, f"{name}/{inner}" if name else inner)
    elif path.is_file():
        yield Item(path, name)
    elif path.exists():
        raise PublishRefused(f"{name} is neither a file nor a folder.", "Remove it from the run's folder.")
