"""From raw tables to rows that can be split: which column plays which part, labels, gaps, duplicates, leaks.

Given splits are read one after another (train, validation, test) and their rows numbered through. A given
test split is left as it was given, but for rows that nobody could score (no text, no label, a class that
train lacks), so that its scores compare with those that others publish. What stands in it is taken out of
train.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from remote.jobs.cleaning import MAX_CHARS, clean_label, clean_text, exact_key, spelled_alike
from remote.jobs.columns import JOINED, Column, as_numbers, cut, family_of, lists_of
from remote.jobs.findings import Blocked, Finding, listed, rows_of
from remote.jobs.rows import Label, Row
from remote.jobs.splits import SPLITS, names
from remote.jobs.tables import Cell

MAX_MISSING = 0.9
SLICE_VALUES = (2, 12)
MAX_SLICES = 6
LEAK_SHARE = 0.99
PLACEHOLDERS = frozenset(("na", "n/a", "none", "unknown", "?", "-", "undefined", "tbd"))


@dataclass(frozen=True, slots=True)
class Raw:
    """All given splits below one another; ``split`` of each row."""

    frame: pd.DataFrame
    split: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Roles:
    text: str
    target: str
    group: str | None
    slices: tuple[str, ...]


def combine(frames: Mapping[str, pd.DataFrame]) -> Raw:
    """One frame with the columns of all splits; a column that a split lacks is missing there."""
    ordered = [(split, frames[split]) for split in SPLITS if split in frames]
    cells: dict[str, list[Cell]] = {name: [] for _, frame in ordered for name in frame.columns}
    split: list[str] = []
    for which, frame in ordered:
        split.extend([which] * len(frame))
        for name in cells:
            cells[name].extend(frame[name] if name in frame.columns else [None] * len(frame))
    return Raw(pd.DataFrame({name: pd.Series(c, dtype=object) for name, c in cells.items()}), tuple(split))


def labels_of(
    target: str, cells: Sequence[Cell], wish: str | None
) -> tuple[str, list[Label | None], list[Finding]]:
    """``(family, labels, findings)``. Raises Blocked when the wished family does not fit the cells."""
    family, why = family_of(target, cells)
    findings: list[Finding] = []
    texts = [cell for cell in cells if isinstance(cell, str)]
    if wish == "regression" and family != "regression":
        if family == "multilabel" or as_numbers(texts) is None:
            raise Blocked(
                "not_numbers",
                f"The target {target} does not hold numbers: name another target, or ask for classes.",
            )
        family = "regression"
    elif wish == "multilabel" or (family == "regression" and wish in ("binary", "multiclass")):
        family = wish
    elif wish and wish != family and {wish, family} != {"binary", "multiclass"}:
        findings.append(
            Finding("family", "warning", f"You asked for {wish}, but {why}.", f"Went on with {family}.")
        )
    if family == "regression":
        return family, _numbers(cells), findings
    if family == "multilabel":
        lists = lists_of(cells)
        return family, [None if some is None else sorted(map(clean_label, some)) for some in lists], findings
    single, merged = _class_names(cells)
    return family, single, findings + merged


def _numbers(cells: Sequence[Cell]) -> list[Label | None]:
    texts = [cell if isinstance(cell, str) else "" for cell in cells]
    present = [text for text in texts if text]
    found = iter(as_numbers(present) or [float("nan")] * len(present))
    numbers = [next(found) if text else float("nan") for text in texts]
    return [None if number != number else number for number in numbers]


def _class_names(cells: Sequence[Cell]) -> tuple[list[Label | None], list[Finding]]:
    """Clean names; whole floats as integers; spellings that differ in case only become one class."""
    cleaned = [clean_label(cell) if isinstance(cell, str) else "" for cell in cells]
    present = [name for name in cleaned if name]
    if any("." in name for name in present):
        numbers = as_numbers(present)
        if numbers and all(number.is_integer() for number in numbers):
            whole = {name: str(int(number)) for name, number in zip(present, numbers, strict=True)}
            cleaned = [whole.get(name, name) for name in cleaned]
    findings = []
    alike = spelled_alike(name for name in cleaned if name)
    if alike:
        pairs = listed([f"{old} → {new}" for old, new in sorted(alike.items())])
        findings.append(
            Finding(
                "label_spelling",
                "warning",
                f"{len(alike)} class names differ from another in case or spacing only: {pairs}.",
                "Took them as one class.",
            )
        )
    odd = sorted({name for name in cleaned if name.casefold() in PLACEHOLDERS})
    if odd:
        findings.append(
            Finding(
                "placeholder_class",
                "warning",
                f"Rows are labelled {listed(odd)}, which may mean that the label is missing.",
                "Kept as a class; empty these cells if they are gaps.",
            )
        )
    return [alike.get(name, name) or None for name in cleaned], findings


def usable_rows(raw: Raw, roles: Roles, labels: Sequence[Label | None]) -> tuple[list[Row], list[Finding]]:
    """Rows with a text and a label. Raises Blocked when 90 % of either are missing."""
    texts = [_text(cell) for cell in raw.frame[roles.text]]
    total = len(texts)
    no_text = sum(not text for text in texts)
    no_label = sum(label is None for label in labels)
    for count, role, name in ((no_text, "text", roles.text), (no_label, "target", roles.target)):
        if count >= MAX_MISSING * total:
            raise Blocked(
                f"missing_{role}",
                f"{count / total:.0%} of the {role} column {cut(name, 60)} is missing: fill it in.",
            )
    keep = [bool(text) and label is not None for text, label in zip(texts, labels, strict=True)]
    extra = {
        name: [_plain(c) for c in raw.frame[name]] for name in (*roles.slices, *filter(None, [roles.group]))
    }
    rows = []
    for i, label in enumerate(labels):
        if keep[i] and label is not None:
            slices = {name: value for name in roles.slices if (value := extra[name][i]) is not None}
            rows.append(Row(i, texts[i], label, extra[roles.group][i] if roles.group else None, slices))
    findings = []
    if len(rows) < total:
        detail = f"{rows_of(no_text)} had no text and {rows_of(no_label)} no label (of {total:,})."
        severity = "warning" if len(rows) < 0.9 * total else "info"
        findings.append(Finding("missing", severity, detail, f"Left out {rows_of(total - len(rows))}."))
    longest = sum(isinstance(cell, str) and len(cell) > MAX_CHARS for cell in raw.frame[roles.text])
    if longest:
        done = f"Cut them at {MAX_CHARS:,} characters."
        findings.append(
            Finding("huge_texts", "warning", f"Texts of over {MAX_CHARS:,} characters: {longest}.", done)
        )
    return rows, findings


def _text(cell: Cell) -> str:
    return clean_text(cell if isinstance(cell, str) else " ".join(cell or ()))


def _plain(cell: Cell) -> str | None:
    return (cut(_text(cell), 40) or None) if cell is not None else None


def resolve(rows: Sequence[Row]) -> tuple[list[Row], list[Finding]]:
    """One row a text: contradicting labels by majority (numbers: their mean), then duplicates dropped."""
    by_text: dict[str, list[Row]] = {}
    for row in rows:
        by_text.setdefault(exact_key(row.text), []).append(row)
    kept: list[Row] = []
    conflicts: list[str] = []
    undecided = contested = duplicates = 0
    for same in by_text.values():
        counts = Counter(_comparable(row.label) for row in same)
        if len(counts) == 1:
            duplicates += len(same) - 1
            kept.append(same[0])
            continue
        contested += len(same)
        conflicts.append(same[0].text)
        winner = _winner(same, counts)
        if winner is None:
            undecided += len(same)
        else:
            kept.append(winner)
    findings = []
    if conflicts:
        findings.append(
            Finding(
                "label_conflicts",
                "warning",
                f"{len(conflicts)} texts stand in the data with different labels ({rows_of(contested)}).",
                "Kept the label that most of their rows have (numbers: the mean), and left out "
                f"{rows_of(undecided)} where none has a majority.",
                tuple(cut(text, 100) for text in conflicts[:5]),
            )
        )
    if duplicates:
        severity = "warning" if duplicates > 0.1 * len(rows) else "info"
        done = "Kept the first of each."
        findings.append(
            Finding("duplicates", severity, f"{rows_of(duplicates)} repeat another word for word.", done)
        )
    return sorted(kept, key=lambda row: row.row_id), findings


def _comparable(label: Label) -> tuple[str, ...] | float:
    if isinstance(label, float):
        return label
    return (label,) if isinstance(label, str) else tuple(label)


def _winner(same: Sequence[Row], counts: Counter[tuple[str, ...] | float]) -> Row | None:
    if isinstance(same[0].label, float):
        values = [row.label for row in same if isinstance(row.label, float)]
        return replace(same[0], label=sum(values) / len(values))
    (best, first), (_, second) = counts.most_common(2)
    return next(row for row in same if _comparable(row.label) == best) if first > second else None


def assign_roles(
    raw: Raw,
    columns: Sequence[Column],
    text: str,
    target: str,
    group: str | None,
    labels: Sequence[Label | None],
) -> tuple[Roles, list[Finding]]:
    """What every other column is good for. Only the text is trained on, so nothing else can leak."""
    findings: list[Finding] = []
    others = [
        column
        for column in columns
        if column.name not in (text, group) and column.name not in target_parts(target)
    ]
    idle = [column.name for column in others if column.kind in ("empty", "constant")]
    if idle:
        findings.append(
            Finding("constant_columns", "info", f"Columns without information: {listed(idle)}.", "Not used.")
        )
    ids = [column.name for column in others if column.kind == "id"]
    if ids:
        findings.append(
            Finding("id_columns", "info", f"Columns that look like ids: {listed(ids)}.", "Not used.")
        )
    told = [
        c.name for c in others if c.name not in (*idle, *ids) and _determines(list(raw.frame[c.name]), labels)
    ]
    if told:
        findings.append(
            Finding(
                "target_copy",
                "warning",
                f"Columns that tell the target by themselves: {listed(told)}.",
                "Not used; the model sees only the text.",
            )
        )
    slices = [
        column.name
        for column in others
        if SLICE_VALUES[0] <= column.distinct <= SLICE_VALUES[1]
        and column.kind in ("category", "number", "text")
        and column.name not in told
    ]
    return Roles(text, target, group, tuple(slices[:MAX_SLICES])), findings


def target_parts(target: str) -> tuple[str, ...]:
    """The target column, or the several 0/1 columns it is made of."""
    return (target, *target.split(JOINED))


def _determines(cells: Sequence[Cell], labels: Sequence[Label | None]) -> bool:
    """Whether the most frequent label of each value is nearly always right, with values that recur."""
    by_value: dict[str, Counter[tuple[str, ...] | float]] = {}
    everyone: Counter[tuple[str, ...] | float] = Counter()
    for cell, label in zip(cells, labels, strict=True):
        if cell is not None and label is not None:
            by_value.setdefault(str(cell), Counter())[_comparable(label)] += 1
            everyone[_comparable(label)] += 1
    total = sum(everyone.values())
    if total == 0 or not 2 <= len(by_value) <= total / 2:
        return False
    right = sum(max(counts.values()) for counts in by_value.values())
    # A column that is no better than always guessing the largest class tells nothing.
    return right >= LEAK_SHARE * total and max(everyone.values()) < 0.95 * right


def without_unknown_classes(
    rows: Sequence[Row], given: Callable[[Row], str]
) -> tuple[list[Row], list[Finding]]:
    """Rows of given validation and test splits whose class never stands in train are left out."""
    known = {name for row in rows if given(row) == "train" for name in names(row.label)}
    strange: Counter[str] = Counter()
    kept = []
    for row in rows:
        new = [name for name in names(row.label) if name not in known]
        strange.update(new)
        if not new:
            kept.append(row)
    if not strange:
        return kept, []
    lost = rows_of(len(rows) - len(kept))
    detail = f"Classes of the given splits that train lacks ({lost}): {listed(sorted(strange))}."
    return kept, [
        Finding("unknown_classes", "warning", detail, "Left them out; add rows of these classes to train.")
    ]
