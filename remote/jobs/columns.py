"""What a table's columns are: their kind, how numbers are written in them, and what a target column asks for.

Kinds: ``text`` (prose), ``category`` (few values that recur), ``number``, ``id``, ``list`` (several names
in a cell), ``empty``, ``constant``. A column of star ratings is a ``number`` here; whether the numbers are
classes or quantities is decided by :func:`family_of`.
"""

from __future__ import annotations

import itertools
import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from remote.jobs.headers import ID_NAMES, words_of
from remote.jobs.tables import Cell

EXAMPLE_CHARS = 60
NUMBER_SHARE = 0.95
LIST_CHARS = 200  # cells that are longer on average hold prose
MAX_NUMBER_CLASSES = 12  # more distinct whole numbers are quantities, unless the column is named like a class
SEPARATORS = ("|", ";", ",")
JOINED = " + "  # several 0/1 columns as one target: "toxic + obscene"

_POINT = re.compile(r"(?=[-+]?\.?\d)[-+]?(\d{1,3}(,\d{3})+|\d+)?(\.\d+)?([eE][-+]?\d+)?")
_COMMA = re.compile(r"[-+]?(\d{1,3}(\.\d{3})+|\d+)(,\d+)?")
_ID_VALUE = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F-]{27}|[0-9a-f]{16,64}|[A-Za-z]{0,6}[-_#]?\d+")
_CLASS_NAMES = frozenset(
    ["label", "labels", "target", "class", "category", "intent", "topic", "y", "klasse", "kategorie"]
)


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    kind: str
    missing: float  # share, 0..1
    distinct: int
    mean_chars: float
    mean_words: float
    examples: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "kind": self.kind,
            "missing": round(self.missing, 4),
            "distinct": self.distinct,
            "mean_chars": round(self.mean_chars, 1),
            "examples": list(self.examples),
        }


def describe(name: str, values: pd.Series[Any]) -> Column:
    """The column's profile; ``values`` are cells (:data:`remote.jobs.tables.Cell`)."""
    cells = [cell for cell in values if cell is not None and cell != []]
    shown = [cell if isinstance(cell, str) else ", ".join(cell) for cell in cells]
    distinct = len(set(shown))
    count = max(1, len(shown))
    return Column(
        name=name,
        kind=_kind(name, cells, shown, distinct),
        missing=1 - len(cells) / max(1, len(values)),
        distinct=distinct,
        mean_chars=sum(map(len, shown)) / count,
        mean_words=sum(len(text.split()) for text in shown[:2000]) / min(count, 2000),
        examples=tuple(cut(text, EXAMPLE_CHARS) for text in list(dict.fromkeys(shown[:200]))[:3]),
    )


def _kind(name: str, cells: Sequence[Cell], shown: Sequence[str], distinct: int) -> str:
    if not cells:
        return "empty"
    if distinct == 1:
        return "constant"
    if any(isinstance(cell, list) for cell in cells) or split_lists(shown) is not None:
        return "list"
    if _is_id(name, shown, distinct):
        return "id"
    if as_numbers(shown) is not None:
        return "number"
    words = sum(len(text.split()) for text in shown[:2000]) / min(len(shown), 2000)
    recurs = distinct <= max(2, 0.2 * len(shown)) or (words < 2 and distinct <= 0.6 * len(shown))
    return "category" if recurs and words < 8 else "text"


def _is_id(name: str, shown: Sequence[str], distinct: int) -> bool:
    """Named like one, or all different and shaped like one (numbers counted up, UUIDs, hashes)."""
    words = words_of(name)
    named = bool(words) and words[-1] in ID_NAMES and not set(words[:-1]) & _CLASS_NAMES
    if named and sum(" " in text.strip() for text in shown) < 0.1 * len(shown):
        return True
    if distinct < len(shown) or len(shown) < 8:
        return False
    if not all(_ID_VALUE.fullmatch(text.strip()) for text in shown[:1000]):
        return False
    numbers = as_numbers(shown)
    return numbers is None or all(b - a == numbers[1] - numbers[0] for a, b in itertools.pairwise(numbers))


def as_numbers(texts: Sequence[str]) -> list[float] | None:
    """The texts as numbers (NaN where one is none), or ``None`` when fewer than 95 % are numbers.

    Decimal commas are found out for the column as a whole: ``3,5`` beside ``1.234,5`` is 3.5; ``1,234`` is
    1234 only when every comma of the column stands before exactly three digits. Infinities count as no
    numbers.
    """
    stripped = [text.strip() for text in texts]
    for pattern, thousands, decimal in ((_POINT, ",", "."), (_COMMA, ".", ",")):
        numbers = [
            float(text.replace(thousands, "").replace(decimal, ".")) if pattern.fullmatch(text) else math.nan
            for text in stripped
        ]
        numbers = [number if math.isfinite(number) else math.nan for number in numbers]
        if sum(map(math.isfinite, numbers)) >= NUMBER_SHARE * len(numbers) > 0:
            return numbers
    return None


def split_lists(texts: Sequence[str]) -> list[list[str]] | None:
    """The texts as lists of names: JSON or Python lists, or names joined by ``|``, ``;`` or ``,``.

    Joined names are taken for a list only when the parts are short and recur in different combinations, so
    that a class called "Tops, women" or a sentence with a comma stays whole.
    """
    some = [text.strip() for text in texts]
    if sum(map(len, some)) > LIST_CHARS * len(some):
        return None
    if some and all(text[:1] == "[" and text[-1:] == "]" for text in some):
        return [_list_literal(text) for text in some]
    for separator in SEPARATORS:
        joined = [text for text in some if separator in text]
        if len(joined) < max(2, 0.02 * len(some)):
            continue
        rows = [[part.strip() for part in text.split(separator) if part.strip()] for text in some]
        if _are_names(rows):
            return rows
    return None


def _are_names(rows: Sequence[Sequence[str]]) -> bool:
    uses = Counter(part for row in rows for part in row)
    if not uses or any(len(part) > 40 or len(part.split()) > 4 for part in uses):
        return False
    if as_numbers(list(uses)) is not None:
        return False  # decimal commas, or codes
    combinations = {tuple(sorted(row)) for row in rows}
    partners: dict[str, set[tuple[str, ...]]] = {}
    for combination in combinations:
        for part in combination:
            partners.setdefault(part, set()).add(combination)
    varied = sum(uses[part] for part, found in partners.items() if len(found) > 1)
    recurs = sum(count for count in uses.values() if count >= 3)
    total = sum(uses.values())
    return len(uses) < len(combinations) + 1 and varied > 0.8 * total and recurs > 0.8 * total


def _list_literal(text: str) -> list[str]:
    """``["a", "b"]`` and ``['a', 'b']``; never evaluated."""
    try:
        found = json.loads(text)
        return [str(item) for item in found]
    except (ValueError, RecursionError):
        return [part for part in (piece.strip(" '\"") for piece in text[1:-1].split(",")) if part]


def lists_of(cells: Iterable[Cell]) -> list[list[str] | None]:
    """Multi-label cells as lists of names without repetition; a single name is a list of one."""
    cells = list(cells)
    texts = [cell for cell in cells if isinstance(cell, str)]
    split = iter(split_lists(texts) or [[text.strip()] for text in texts])
    lists = [cell if cell is None or isinstance(cell, list) else next(split) for cell in cells]
    return [
        None if names is None else list(dict.fromkeys(n.strip() for n in names if n.strip()))
        for names in lists
    ]


def indicator_columns(columns: Sequence[Column], frame: pd.DataFrame) -> list[str]:
    """Columns that hold only 0 and 1 (or false and true): several of them are a multi-label target."""
    return [
        column.name
        for column in columns
        if column.kind in ("number", "category")
        and {str(v).strip().casefold() for v in frame[column.name] if v is not None}
        in ({"0", "1"}, {"false", "true"})
    ]


def family_of(name: str, cells: Sequence[Cell]) -> tuple[str, str]:
    """``(family, why)`` for a target column's cells: binary, multiclass, multilabel or regression."""
    present = [cell for cell in cells if cell is not None]
    texts = [cell for cell in present if isinstance(cell, str)]
    if len(texts) < len(present) or split_lists(texts) is not None:
        return "multilabel", "its cells hold several names"
    distinct = len({text.strip() for text in texts})
    numbers = as_numbers(texts)
    if numbers is not None and distinct > 2:
        found = sorted({number for number in numbers if number == number})
        whole = all(number.is_integer() for number in found)
        counted = whole and found[0] in (0, 1) and found[-1] - found[0] == len(found) - 1
        named = bool(set(words_of(name)) & _CLASS_NAMES)
        if not whole or (len(found) > MAX_NUMBER_CLASSES and not (counted and named)):
            return "regression", f"it holds {len(found)} different numbers"
        return "multiclass", f"it holds {distinct} whole numbers, taken as classes"
    return ("binary" if distinct <= 2 else "multiclass"), f"it holds {distinct} classes"


def cut(text: str, chars: int) -> str:
    line = " ".join(text[: 4 * chars].split())
    return line if len(line) <= chars else line[: chars - 1] + "…"
