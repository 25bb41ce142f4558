"""What is known of a data set's rows before they are fetched: columns, classes, balance, what is missing. Pure.

It comes from the viewer's answers or from the first rows of a file. All of it was written by strangers: whatever is
not of the shape that is documented counts as not said, texts are bounded, and nothing but names and numbers is kept.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

from graph.files import listed
from graph.names import TaskFamily
from graph.research.columns import Column, Kind, choose_columns
from graph.research.hubfiles import USUAL_CONFIGS
from graph.state import TaskSpec

MAX_COLUMNS = 200
MAX_CLASSES = 1000
MAX_NAME_CHARS = 80
MAX_ROWS = 1000


@dataclass(frozen=True, slots=True)
class Evidence:
    """``certain``: no other column could be meant. ``class_counts``: of ``counted`` rows. Shares are 0..1."""

    text_column: str | None = None
    target: str | None = None
    target_kind: Kind | None = None
    certain: bool = False
    columns: tuple[str, ...] = ()
    rows: int | None = None
    about: bool = False  # ``rows`` is an estimate
    data_bytes: int | None = None
    class_counts: Mapping[str, int] = field(default_factory=dict)
    counted: int = 0
    classes: tuple[str, ...] = ()  # named, whether or not they were counted
    missing: float | None = None
    duplicates: float | None = None
    looked_at: int = 0  # rows that were read
    note: str = ""
    sampled: bool = False  # the beginning of a file: what it lacks may come later

    @property
    def families(self) -> frozenset[TaskFamily]:
        """What its target can teach; empty: not known."""
        count = len(self.class_counts) or len(self.classes)
        if self.target_kind is Kind.LIST:
            return frozenset({TaskFamily.MULTILABEL})
        if self.target_kind is Kind.FLOAT:
            return frozenset({TaskFamily.REGRESSION})
        both = {TaskFamily.REGRESSION} if self.target_kind is Kind.INT and count > 2 else set()
        if count == 2:
            return frozenset({TaskFamily.BINARY})
        return frozenset({TaskFamily.MULTICLASS, *both}) if count > 2 else frozenset(both)


def config_of(info: Mapping[str, Any]) -> tuple[str, str]:
    """The usual configuration and its training split of the viewer's ``/info``; two empty words for none."""
    configs = _object(info.get("dataset_info"))
    names = [name for name in configs if _object(configs[name]).get("features")]
    if not names:
        return "", ""
    config = next((name for name in USUAL_CONFIGS if name in names), names[0])
    splits = [str(name) for name in _object(configs[config].get("splits"))]
    split = next((name for name in splits if name.startswith("train")), splits[0] if splits else "train")
    return str(config), split


def from_viewer(
    info: Mapping[str, Any],
    config: str,
    statistics: Mapping[str, Any],
    first_rows: Mapping[str, Any],
    task: TaskSpec,
) -> Evidence:
    """The viewer's ``/info``, ``/statistics`` and ``/first-rows``; any of the last two may be empty."""
    described = _object(_object(info.get("dataset_info")).get(config))
    features = dict(list(_object(described.get("features")).items())[:MAX_COLUMNS])
    told = {
        str(item.get("column_name")): item
        for item in listed(statistics.get("statistics"))
        if isinstance(item, dict)
    }
    rows = [_object(_object(row).get("row")) for row in listed(first_rows.get("rows"))[:MAX_ROWS]]
    columns = [
        _column(name, _object(feature), told.get(name, {}), rows) for name, feature in features.items()
    ]
    splits = _object(described.get("splits"))
    counts = [_count(_object(split).get("num_examples")) for split in splits.values()]
    whole = sum(n for n in counts if n is not None) if counts and None not in counts else None
    seen = _evidence(columns, rows, task, whole, _count(described.get("dataset_size")))
    alone = (
        len(_object(info.get("dataset_info"))) == 1
    )  # else the files that are fetched may be of another one
    return replace(seen, certain=seen.certain and alone)


def from_rows(
    rows: Sequence[Mapping[str, Any]], task: TaskSpec, estimate: int | None, data_bytes: int | None
) -> Evidence:
    """The first rows of a file; ``estimate``: rows that all of it may have."""
    names = list(dict.fromkeys(name for row in rows for name in row))[:MAX_COLUMNS]
    columns = [_column(name, {}, {}, rows) for name in names]
    return _evidence(columns, rows, task, estimate, data_bytes, about=True)


def _evidence(
    columns: Sequence[Column],
    rows: Sequence[Mapping[str, Any]],
    task: TaskSpec,
    count: int | None,
    data_bytes: int | None,
    *,
    about: bool = False,
) -> Evidence:
    text, target, certain = choose_columns(columns, task)
    counts = dict(target.counts) if target else {}
    texts = [row.get(text.name) for row in rows] if text else []
    filled = [value for value in texts if isinstance(value, str) and value.strip()]
    absent = None if text is None else max(text.missing, 1 - len(filled) / len(texts) if texts else 0.0)
    if target and absent is not None:
        absent = max(absent, target.missing)
    return Evidence(
        text_column=text.name if text else None,
        target=target.name if target else None,
        target_kind=target.kind if target else None,
        certain=certain,
        columns=tuple(column.name for column in columns),
        rows=count,
        about=about and count is not None,
        data_bytes=data_bytes,
        class_counts=counts,
        counted=sum(counts.values()),
        classes=target.classes if target else (),
        missing=absent,
        duplicates=1 - len({*filled}) / len(filled) if filled else None,
        looked_at=len(rows),
        sampled=about,
    )


def _column(
    name: str, feature: Mapping[str, Any], told: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]
) -> Column:
    """One column, from its declared type and statistics where there are some, else from its values."""
    values = [row.get(name) for row in rows]
    seen = [value for value in values if value is not None and value != ""]
    numbers = _object(told.get("column_statistics"))
    kind = _declared(feature) or _kind_of(seen)
    classes = _class_names(feature)
    counts = _frequencies(numbers, classes) or _counted(seen, classes, kind)
    mean = _number(numbers.get("mean")) if str(told.get("column_type")) == "string_text" else None
    if mean is None:
        mean = sum(len(v) for v in seen if isinstance(v, str)) / len(seen) if seen else 0.0
    share = _number(numbers.get("nan_proportion"))
    missing = (
        min(1.0, max(0.0, share)) if share is not None else (1 - len(seen) / len(values) if values else 0.0)
    )
    distinct = len({str(value)[:500] for value in seen}) / len(seen) if seen else 0.0
    is_text = kind is Kind.STRING and (str(told.get("column_type")) == "string_text" or not counts)
    return Column(name, kind, classes, counts, mean, missing, distinct, is_text)


def _declared(feature: Mapping[str, Any]) -> Kind | None:
    match feature.get("_type"):
        case "ClassLabel":
            return Kind.CLASSES
        case "List" | "Sequence" | "LargeList":
            return Kind.LIST
        case "Value":
            dtype = str(feature.get("dtype"))
            if "string" in dtype:
                return Kind.STRING
            if dtype == "bool":
                return Kind.BOOL
            return (
                Kind.INT
                if "int" in dtype
                else Kind.FLOAT
                if "float" in dtype or "decimal" in dtype
                else Kind.OTHER
            )
        case None:
            return None
    return Kind.OTHER


def _kind_of(seen: Sequence[Any]) -> Kind:
    """Of values as JSON or CSV has them."""
    if not seen:
        return Kind.OTHER
    if all(isinstance(v, bool) for v in seen):
        return Kind.BOOL
    if all(isinstance(v, int) for v in seen):
        return Kind.INT
    if all(isinstance(v, int | float) for v in seen):
        return Kind.FLOAT
    if all(isinstance(v, list) for v in seen):
        return Kind.LIST
    if not all(isinstance(v, str) for v in seen):
        return Kind.OTHER
    numbers = [_parsed(v) for v in seen]
    if None in numbers:
        return Kind.STRING
    return Kind.INT if all(str(v).strip().lstrip("-").isdecimal() for v in seen) else Kind.FLOAT


def _class_names(feature: Mapping[str, Any]) -> tuple[str, ...]:
    inner = feature.get("feature")
    described = inner if isinstance(inner, dict) else feature
    return tuple(_name(name) for name in listed(described.get("names"))[:MAX_CLASSES])


def _frequencies(numbers: Mapping[str, Any], classes: Sequence[str]) -> dict[str, int]:
    """Rows a class: the statistics' own counts, or a histogram that has a bin for each whole number."""
    counted = {
        _name(k): n for k, v in _object(numbers.get("frequencies")).items() if (n := _count(v)) is not None
    }
    if counted:
        return dict(list(counted.items())[:MAX_CLASSES])
    histogram = _object(numbers.get("histogram"))
    hist, edges = listed(histogram.get("hist")), listed(histogram.get("bin_edges"))
    whole = [e for e in edges if isinstance(e, int) and not isinstance(e, bool)]
    if classes or not 2 <= len(hist) <= 20 or len(whole) != len(edges) or len(edges) != len(hist) + 1:
        return {}
    if any(b - a != 1 for a, b in pairwise(whole[:-1])):
        return {}
    return {str(e): n for e, v in zip(whole, hist, strict=False) if (n := _count(v)) is not None}


def _counted(seen: Sequence[Any], classes: Sequence[str], kind: Kind) -> dict[str, int]:
    """Rows a class among those that were read; nothing for values that hardly ever come twice."""
    if kind is Kind.LIST:
        return {}
    if classes:
        seen = [classes[v] for v in seen if isinstance(v, int) and 0 <= v < len(classes)]
    counts = Counter(_name(value) for value in seen if isinstance(value, str | int | bool))
    few = len(counts) <= max(2, len(seen) // 3)
    return dict(counts.most_common(MAX_CLASSES)) if few and kind is not Kind.FLOAT else {}


def _name(value: Any) -> str:
    text = " ".join(str(value)[: 4 * MAX_NAME_CHARS].split())
    return text if len(text) <= MAX_NAME_CHARS else text[: MAX_NAME_CHARS - 1] + "…"


def _parsed(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 53 else None


def _number(value: Any) -> float | None:
    fine = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if fine and abs(value) < 1e300 and math.isfinite(value) else None
