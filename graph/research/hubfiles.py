"""Which files of a Hub data set to read, from the names in its tree alone. Pure; loading scripts are never
run.

Splits come from the card's ``configs`` where it has them, else from names such as
``train-00000-of-00002.parquet``, ``data/test.csv`` or ``dev.jsonl``. One file a split is taken: of several
parts the first, and the candidate says so.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

FORMATS = (".parquet", ".csv", ".tsv", ".jsonl", ".ndjson", ".json")  # in order of preference
_SPLITS = {
    "train": "train", "training": "train",
    "validation": "validation", "valid": "validation", "val": "validation", "dev": "validation",
    "eval": "validation",
    "test": "test", "testing": "test",
}  # fmt: skip
_NOT_DATA = frozenset(
    {"dataset_infos.json", "dataset_info.json", "dataset_dict.json", "state.json", "package.json"}
)
USUAL_CONFIGS = ("default", "main", "plain_text", "en", "all")


@dataclass(frozen=True, slots=True)
class Chosen:
    """Split to path in the repository; ``note``: what to know about it; ``why_not``: why there is nothing."""

    files: Mapping[str, str]
    note: str = ""
    why_not: str = ""


def choose_files(paths: Iterable[str], card: Mapping[str, Any] | None = None, named: str = "") -> Chosen:
    """``named``: one file that the person chose; it becomes the train split."""
    names = sorted(paths)
    if named:
        return (
            Chosen({"train": named})
            if named in names
            else Chosen({}, why_not=f"it has no file {named[:120]}")
        )
    data = [n for n in names if PurePosixPath(n).suffix in FORMATS and PurePosixPath(n).name not in _NOT_DATA]
    data = [n for n in data if not any(part.startswith(".") for part in PurePosixPath(n).parts)]
    if not data:
        return Chosen({}, why_not=_nothing(names))
    return _by_card(data, card or {}) or _by_name(data)


def split_of(path: str) -> str | None:
    """The split that a path names, looking at the file's own name first."""
    for part in reversed(PurePosixPath(path).parts):
        for word in re.split(r"[^a-z]+", part.casefold()):
            if word in _SPLITS:
                return _SPLITS[word]
    return None


def _nothing(names: Sequence[str]) -> str:
    if any(name.endswith(".py") for name in names):
        return "it comes only with a loading script, and foreign code is never run"
    if any(name.endswith((".zip", ".tar", ".gz", ".tgz", ".7z", ".zst", ".bz2")) for name in names):
        return "its files are packed archives; I read CSV, TSV, JSON lines and Parquet"
    return "it has no CSV, TSV, JSON lines or Parquet file"


def _by_card(data: Sequence[str], card: Mapping[str, Any]) -> Chosen | None:
    """The files of the card's default configuration, if it names any that exist."""
    configs = [c for c in card.get("configs") or () if isinstance(c, dict) and c.get("data_files")]
    if not configs:
        return None
    config = next((c for c in configs if c.get("default")), None) or next(
        (c for name in USUAL_CONFIGS for c in configs if c.get("config_name") == name), configs[0]
    )
    entries = config["data_files"]
    if isinstance(entries, str):
        entries = [{"split": "train", "path": entries}]
    parts: dict[str, list[str]] = {}
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, dict) and "path" in entry:
            patterns = entry["path"] if isinstance(entry["path"], list) else [entry["path"]]
            split = _SPLITS.get(str(entry.get("split", "train")))
            found = [n for n in data if any(fnmatch.fnmatch(n, str(p)) for p in patterns)]
            if split and found:
                parts.setdefault(split, []).extend(found)
    others = len(configs) - 1
    note = f"its configuration {str(config.get('config_name'))[:40]}, one of {len(configs)}" if others else ""
    return _first_parts(parts, note) if parts else None


def _by_name(data: Sequence[str]) -> Chosen:
    """Of one folder and one format, so that no two versions of the same rows are mixed."""
    groups: dict[tuple[str, str], list[str]] = {}
    for name in data:
        path = PurePosixPath(name)
        folders = [p for p in path.parts[:-1] if p.casefold() not in _SPLITS]
        groups.setdefault(("/".join(folders), path.suffix), []).append(name)

    def order(item: tuple[tuple[str, str], list[str]]) -> tuple[bool, int, int, str]:
        (folder, suffix), names = item
        splits = {split_of(n) for n in names}
        leaf = folder.rpartition("/")[2]
        usual = (
            USUAL_CONFIGS.index(leaf)
            if leaf in USUAL_CONFIGS
            else len(USUAL_CONFIGS) * (leaf not in ("", "data"))
        )
        return ("train" not in splits, usual, FORMATS.index(suffix), folder)

    (folder, _), names = min(groups.items(), key=order)
    parts: dict[str, list[str]] = {}
    for name in names:
        split = split_of(name)
        if split:
            parts.setdefault(split, []).append(name)
    if not parts:
        if len(names) > 1:
            shown = ", ".join(names[:4])
            return Chosen(
                {},
                why_not=f"none of its files is named as a split ({shown}): add #FILE to its name",
            )
        parts = {"train": list(names)}
    count = len({f for f, _ in groups})
    return _first_parts(parts, f"its folder {folder or '/'}, one of {count}" if count > 1 else "")


def _first_parts(parts: Mapping[str, Sequence[str]], note: str) -> Chosen:
    if "train" not in parts:
        if len(parts) > 1:
            return Chosen({}, why_not="it has no training split")
        parts = {"train": next(iter(parts.values()))}
    most = max(len(names) for names in parts.values())
    notes = [note] if note else []
    if most > 1:
        notes.append(f"the first of up to {most} parts of each split")
    return Chosen({split: names[0] for split, names in parts.items()}, "; ".join(notes))
