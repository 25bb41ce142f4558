"""The first look at a person's files: what the columns are, and which is the text and which the target.

A proposal is ``certain`` when no other column is nearly as good; otherwise a person is asked. Only names,
counts and a few cut examples leave this job.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from remote.jobs.columns import JOINED, Column, cut, describe, family_of, indicator_columns, lists_of
from remote.jobs.headers import TARGET_NAMES, TEXT_NAMES, words_of
from remote.jobs.tables import Cell, Table, read_parts
from remote.protocol import Emitter, FailureKind, JobError

SHOWN_COLUMNS = 40
PREVIEW_ROWS = 5
PREVIEW_CHARS = 200
MARGIN = 1.0  # in points of the scores below: a runner-up nearer than this makes the proposal uncertain

_PRIMARY_TARGETS = frozenset(("label", "labels", "target", "class", "y", "category", "intent"))
_PRIMARY_TEXTS = frozenset(("text", "sentence", "review", "message", "utterance"))


@dataclass(frozen=True, slots=True)
class Proposal:
    """Column names by falling score; ``certain``: the first is clearly the best or a person named it."""

    names: tuple[str, ...]
    certain: bool
    why: str


def run(config: Mapping[str, Any], emit: Emitter) -> Mapping[str, Any]:
    """See ``docs/jobs.md``, inspect. Raises JobError (``data_error``)."""
    del emit
    tables = {split: read_parts(paths) for split, paths in config["files"].items()}
    if not tables:
        raise error("No file was given: name a CSV, TSV, JSONL, Parquet or Excel file.")
    first = next(iter(tables.values()))
    rows = sum(len(table.frame) for table in tables.values())
    columns = [describe(name, first.frame[name]) for name in first.frame.columns]
    text = propose_text(columns, len(first.frame), named(config.get("text_column"), columns, "text"))
    target = propose_target(columns, first.frame, text.names[0], named_target(config.get("target"), columns))
    cells = target_cells(first.frame, target.names[0])
    family, because = family_of(target.names[0], cells)
    return {
        "format": first.format,
        "encoding": first.encoding,
        "delimiter": first.delimiter,
        "rows": rows,
        "columns": [column.as_json() for column in columns[:SHOWN_COLUMNS]],
        "text_column": text.names[0],
        "target": target.names[0],
        "family": family,
        "families": _families(family, because),
        "classes": None if family == "regression" else _class_count(family, cells),
        "certain": text.certain and target.certain,
        "unsure": [role for role, said in (("target", target), ("text", text)) if not said.certain],
        "why": f"{text.why} {target.why} I read it as {family} because {because}.",
        "alternatives": {"text": list(text.names[:8]), "target": list(target.names[:8])},
        "group_column": propose_group(columns, rows),
        "preview": _preview(first, text.names[0], cells),
    }


def _families(family: str, because: str) -> list[str]:
    return [family, "regression"] if "taken as classes" in because else [family]


def _class_count(family: str, cells: Sequence[Cell]) -> int:
    if family == "multilabel":
        return len({name for names in lists_of(cells) for name in names or ()})
    return len({cell.strip() for cell in cells if isinstance(cell, str)})


def _preview(table: Table, text: str, cells: Sequence[Cell]) -> list[dict[str, str]]:
    shown: list[dict[str, str]] = []
    for value, label in zip(table.frame[text], cells, strict=True):
        if value is not None and label is not None and len(shown) < PREVIEW_ROWS:
            words = label if isinstance(label, str) else ", ".join(label)
            shown.append({"text": cut(_plain(value), PREVIEW_CHARS), "label": cut(words, PREVIEW_CHARS)})
    return shown


def _plain(cell: Cell) -> str:
    return cell if isinstance(cell, str) else ", ".join(cell or ())


def named(name: str | None, columns: Sequence[Column], role: str) -> str | None:
    """The column that a person named, whatever its case. Raises JobError when there is none of that name."""
    if not name:
        return None
    for same in (str, str.casefold):
        for column in columns:
            if same(column.name) == same(name.strip()):
                return column.name
    names = ", ".join(column.name for column in columns[:12])
    raise error(f"There is no {role} column named {cut(name, 60)}: the file has {names}.")


def named_target(name: str | None, columns: Sequence[Column]) -> str | None:
    """As :func:`named`, also for several columns joined by " + "."""
    if name and JOINED in name and all(column.name != name for column in columns):
        return JOINED.join(named(part, columns, "target") or "" for part in name.split(JOINED))
    return named(name, columns, "target")


def propose_text(columns: Sequence[Column], rows: int, wish: str | None) -> Proposal:
    """Raises JobError when no column holds text."""
    if len(columns) < 2:
        raise error(
            "The file has one column, but each row needs a text and a label: "
            "add a column, or check what separates the columns."
        )
    scores = {column.name: _text_score(column, rows) for column in columns}
    if wish:
        column = next(c for c in columns if c.name == wish)
        if column.kind in ("empty", "constant"):
            raise error(f"The text column {wish} is {column.kind}: name a column that holds different texts.")
        ranked = (wish, *(name for name in _ranked(scores) if name != wish))
        return Proposal(ranked, True, f"The text is in {wish}, as you said.")
    ranked = _ranked(scores)
    if not ranked:
        raise error("No column holds text: give me a file with a column of sentences and a column of labels.")
    sure = len(ranked) == 1 or scores[ranked[0]] - scores[ranked[1]] >= MARGIN
    column = next(c for c in columns if c.name == ranked[0])
    return Proposal(ranked, sure, f"The text is in {ranked[0]} ({column.mean_words:.0f} words on average).")


def _ranked(scores: Mapping[str, float]) -> tuple[str, ...]:
    return tuple(sorted((name for name, score in scores.items() if score > 0), key=lambda n: -scores[n]))


def _text_score(column: Column, rows: int) -> float:
    """0: cannot be the text. Prose and a telling name count most, then length and few gaps."""
    if column.kind not in ("text", "category") or (
        column.kind == "category" and column.distinct < min(8, rows / 4)
    ):
        return 0.0
    words = {column.name.casefold(), *words_of(column.name)}
    score = 1.0 if column.kind == "text" else 0.2
    score += 2.0 * bool(words & _PRIMARY_TEXTS) + 1.5 * bool(words & TEXT_NAMES)
    score -= 1.0 * bool(words & (TARGET_NAMES - TEXT_NAMES) - {"y"}) + 2.0 * column.missing
    return max(0.01, score + min(3.0, column.mean_words / 8))


def propose_target(columns: Sequence[Column], frame: pd.DataFrame, text: str, wish: str | None) -> Proposal:
    """Raises JobError when no column could be a target."""
    rows = len(frame)
    scores = {column.name: _target_score(column, rows) for column in columns if column.name != text}
    last = columns[-1].name
    if scores.get(last, 0.0) > 0:
        scores[last] += 0.3  # targets tend to stand last
    indicators = [name for name in indicator_columns(columns, frame) if name != text]
    if len(indicators) > 1 and max(scores.values(), default=0.0) < 3.0:
        scores[JOINED.join(indicators)] = 3.5
    ranked = _ranked(scores)
    if wish == text:
        raise error(f"Text and target are both {text}: name two different columns.")
    if wish:
        _refuse_empty(wish, columns)
        return Proposal(
            (wish, *(n for n in ranked if n != wish)), True, f"The target is {wish}, as you said."
        )
    if not ranked:
        for column in columns:
            if set(words_of(column.name)) & TARGET_NAMES and column.name != text:
                _refuse_empty(column.name, columns)
        raise error(
            "No column could be the label: give me a column whose values recur, such as classes or ratings."
        )
    sure = len(ranked) == 1 or scores[ranked[0]] - scores[ranked[1]] >= MARGIN
    others = "" if sure else f", though it could also be {' or '.join(ranked[1:3])}"
    return Proposal(ranked, sure, f"The target is {ranked[0]}{others}.")


def _refuse_empty(wish: str, columns: Sequence[Column]) -> None:
    for column in columns:
        if column.name == wish and column.kind == "empty":
            raise error(f"The target column {wish} is empty: fill it in, or name another column.")
        if column.name == wish and column.kind == "constant":
            raise error(
                f"The target column {wish} has the same value in every row, so there is nothing to learn: "
                "add rows of another class, or name another column."
            )


def _target_score(column: Column, rows: int) -> float:
    if column.kind in ("empty", "constant", "id"):
        return 0.0
    words = {column.name.casefold(), *words_of(column.name)}
    name = 2.0 * bool(words & _PRIMARY_TARGETS) + 1.5 * bool(words & TARGET_NAMES)
    if column.kind == "text" and not name:
        return 0.0
    filled = round(rows * (1 - column.missing))
    recurs = column.kind in ("number", "list") or 2 <= column.distinct <= max(2, filled / 2)
    score = name + {"category": 1.0, "list": 0.8, "number": 0.6}.get(column.kind, 0.0) - column.missing
    score -= 0.0 if recurs else 2.0
    return max(score, 0.0)


def target_cells(frame: pd.DataFrame, target: str) -> list[Cell]:
    """The target's cells; of several 0/1 columns the names of those that are set."""
    if target in frame.columns or JOINED not in target:
        return list(frame[target])
    names = target.split(JOINED)
    return [
        [
            name
            for name, value in zip(names, values, strict=True)
            if str(value).strip().casefold() in ("1", "true")
        ]
        for values in zip(*(frame[name] for name in names), strict=True)
    ]


def propose_group(columns: Sequence[Column], rows: int) -> str | None:
    """An id column whose values recur: rows of one review, author or conversation belong in one split."""
    for column in columns:
        if column.kind == "id" and 20 <= column.distinct <= 0.9 * rows:
            return column.name
    return None


def error(detail: str) -> JobError:
    return JobError(FailureKind.DATA_ERROR, detail)
