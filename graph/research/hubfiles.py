"""Which files of a Hub data set to read, from the names in its tree alone. Pure; loading scripts are never
run.

Splits come from the card's ``configs`` where it has them, else from names such as
``train-00000-of-00002.parquet``, ``data/test.csv`` or ``dev.jsonl``. A split may lie in several files, its parts: all
that the card lists, else those that are named alike but for a number. All of them are read while that is little
enough for one machine's memory, and else it is said which share is.
"""

from __future__ import annotations

import fnmatch
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
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
MAX_DEPTH = 32  # folders of a path
MAX_PARTS = 64  # files of one data set
TEXT_BYTES = (
    256 << 20
)  # of all parts together: the audit takes some 8 times that in memory, and a second a MB
PARQUET_BYTES = 96 << 20  # which hold two or three times as much
_PART = re.compile(r"(?<![a-zA-Z\d])(?:part|shard|chunk|file)?\d+(?![a-zA-Z\d])")
_FOLD = re.compile(
    r"(?:fold|cv|seed|run|round|split|trial)[-_. ]?\Z", re.IGNORECASE
)  # what a number counts if no parts
_PARTS = re.compile(r"part|shard|chunk|-of-|(?<!\d)0\d{2}", re.IGNORECASE)
_BARE = re.compile(r"(?<![a-zA-Z\d])\d+(?![a-zA-Z\d])")
_OF = re.compile(r"-of-0*(\d+)\b")
_READ_FIRST = ("test", "validation", "train")
USUAL_CONFIGS = ("default", "main", "plain_text", "en", "all")


@dataclass(frozen=True, slots=True)
class Chosen:
    """Split to the paths of its parts in the repository, in order; ``note``: what to know about it; ``why_not``: why
    there is nothing; ``left_out``: split to which share of it is read, where that is not all."""

    files: Mapping[str, tuple[str, ...]]
    note: str = ""
    why_not: str = ""
    left_out: Mapping[str, str] = field(default_factory=dict)

    @property
    def paths(self) -> list[str]:
        return [path for parts in self.files.values() for path in parts]


def choose_files(paths: Iterable[str], card: Mapping[str, Any] | None = None, named: str = "") -> Chosen:
    """``named``: one file that the person chose; it becomes the train split."""
    names = sorted(paths)
    if named:
        return (
            Chosen({"train": (named,)})
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
            found = [n for n in data if any(matches(n, str(p)) for p in patterns)]
            if split and found:
                held = parts.setdefault(split, [])
                held += [name for name in found if name not in held]  # two patterns may mean one file
    others = len(configs) - 1
    note = f"its configuration {str(config.get('config_name'))[:40]}, one of {len(configs)}" if others else ""
    one = {split: _of_one_format(found) for split, found in parts.items()}
    return _with_train(one, note) if parts else None


def _of_one_format(names: Sequence[str]) -> list[str]:
    """Those of the commonest format: ``train.csv`` and ``train.parquet`` hold the same rows."""
    counts = Counter(PurePosixPath(name).suffix for name in names)
    kept = min(counts, key=lambda suffix: (-counts[suffix], FORMATS.index(suffix)))
    return [name for name in names if PurePosixPath(name).suffix == kept]


def matches(path: str, pattern: str) -> bool:
    """As the Hub reads a card's patterns: ``*`` stays within a folder, ``**`` stands for any number of them.

    A pattern is a stranger's: each component is matched by itself, so that none takes for ever.
    """
    names, wanted = path.split("/"), pattern.removeprefix("./").split("/")
    if max(len(names), len(wanted)) > MAX_DEPTH:
        return False
    here = {0}  # how many of the names may be used up by the components so far
    for part in wanted:
        if part == "**":
            here = set(range(min(here), len(names) + 1)) if here else here
        else:
            here = {n + 1 for n in here if n < len(names) and fnmatch.fnmatchcase(names[n], part)}
    return len(names) in here


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
        if len(_alike(names)) < len(names):
            shown = ", ".join(names[:4])
            return Chosen(
                {},
                why_not=f"none of its files is named as a split ({shown}): add #FILE to its name",
            )
        parts = {"train": list(names)}
    count = len({f for f, _ in groups})
    notes = [f"its folder {folder or '/'}, one of {count}"] if count > 1 else []
    alike = {split: _alike(found) for split, found in parts.items()}
    if _are_folds(alike):
        alike = {split: found[:1] for split, found in alike.items()}
    if others := [split for split in parts if len(alike[split]) < len(parts[split])]:
        notes.append(f"of several files for {' and '.join(others)} the first")
    return _with_train(alike, "; ".join(notes))


def _alike(names: Sequence[str]) -> list[str]:
    """The first one, and those that are named as it is but for a number that stands alone: not ``train_v2``."""
    first, *_ = shapes = [_PART.sub(_shape, _file(name)) for name in names]
    return [name for name, shape in zip(names, shapes, strict=True) if shape == first]


def _file(path: str) -> str:
    return PurePosixPath(path).name


def _shape(number: re.Match[str]) -> str:
    return number[0] if _FOLD.search(number.string, 0, number.start()) else "#"


def _are_folds(parts: Mapping[str, Sequence[str]]) -> bool:
    """Whether ``train_0`` and ``test_0`` to ``train_4`` and ``test_4`` are the folds of a cross-validation: together
    each split holds all rows. Those who write parts fill their numbers up with zeros."""
    several = [names for names in parts.values() if len(names) > 1]
    if len(several) < 2 or any(_PARTS.search(name) for names in several for name in names):
        return False
    numbers = {
        tuple(sorted(int(n) for name in names for n in _BARE.findall(_file(name)))) for names in several
    }
    count = len(several[0])
    return numbers <= {tuple(range(count)), tuple(range(1, count + 1))} and len(numbers) == 1


def _with_train(parts: Mapping[str, Sequence[str]], note: str) -> Chosen:
    if "train" not in parts:
        if len(parts) > 1:
            return Chosen({}, why_not="it has no training split")
        parts = {"train": next(iter(parts.values()))}
    return Chosen({split: tuple(names) for split, names in parts.items()}, note)


def within_bounds(chosen: Chosen, sizes: Mapping[str, int]) -> Chosen:
    """The parts that are read; ``sizes``: bytes by path. One of each split, whatever its size, then more of test,
    validation and train while all of them together stay below the bound."""
    bound = PARQUET_BYTES if any(path.endswith(".parquet") for path in chosen.paths) else TEXT_BYTES
    room = bound - sum(sizes.get(parts[0], 0) for parts in chosen.files.values())
    places = MAX_PARTS - len(chosen.files)
    taken: dict[str, list[int]] = {}
    for split in sorted(chosen.files, key=_READ_FIRST.index):
        parts = chosen.files[split]
        taken[split] = [0]
        for number in _spread(len(parts))[1:]:
            room, places = room - sizes.get(parts[number], 0), places - 1
            if room < 0 or places < 0:
                break
            taken[split].append(number)
    files = {split: tuple(parts[i] for i in sorted(taken[split])) for split, parts in chosen.files.items()}
    said = {split: _share(parts, files[split], sizes) for split, parts in chosen.files.items()}
    return replace(chosen, files=files, left_out={split: share for split, share in said.items() if share})


def _spread(count: int) -> list[int]:
    """0 to ``count`` - 1 so that every beginning lies spread over the whole: rows are often sorted by label."""
    bits = max(count - 1, 1).bit_length()
    return sorted(range(count), key=lambda number: int(f"{number:0{bits}b}"[::-1], 2))


def _share(parts: Sequence[str], read: Sequence[str], sizes: Mapping[str, int]) -> str:
    """Which share of a split is read; empty for all of it."""
    if len(read) < len(parts):
        whole = sum(sizes.get(path, 0) for path in parts)
        share = sum(sizes.get(path, 0) for path in read) / whole if whole else len(read) / len(parts)
        return f"{len(read)} of {len(parts)} files, {100 * share:.0f} % of the bytes"
    named = {match[1] for path in parts if (match := _OF.search(path))}
    if len(named) == 1 and (count := int(*named)) > len(parts):
        return f"{len(parts)} of {count} files, the others are not there"
    return ""
