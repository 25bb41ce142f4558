"""Texts rated by people, as in C. J. Hutto and E. Gilbert, VADER (ICWSM 2014): rows to learn from, and how
well a person does on them.

Two tab-separated files: ``id, mean rating (-4..4), text`` and ``id, mean, standard deviation, [ratings]``.

- Classes: a mean above ``THRESHOLD`` is positive, below ``-THRESHOLD`` negative. Rows between carry no clear
  opinion: dropped for two classes, "neutral" for three.
- An id such as ``12_3`` is snippet 3 of review 12; its group, 12, keeps a review within one split.
- One file has either ``label`` or ``rating``, never both: each would give the other away.
- The ceiling by human agreement: each person's rating against the mean of all the *others* on that row, so
  that nobody is compared with himself. Of two classes, a rating of 0 is an answer that a classifier may not
  give; it counts half for either, which is what a guess would earn.
"""

from __future__ import annotations

import ast
import csv
import io
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from graph.errors import SourceError
from graph.names import FailureKind

THRESHOLD = 0.5


class Variant(StrEnum):
    """What is learnt from the ratings."""

    BINARY = "binary"
    NEUTRAL = "neutral"  # three classes
    RATING = "rating"  # the mean itself


@dataclass(frozen=True, slots=True)
class Rated:
    id: str
    rating: float
    text: str

    @property
    def group(self) -> str:
        return self.id.partition("_")[0]


@dataclass(frozen=True, slots=True)
class Table:
    csv: bytes  # UTF-8 with a header
    rows: int
    classes: int | None


def parse_rated(content: bytes, name: str) -> list[Rated]:
    """Rows of a ``*_GroundTruth.txt``; a malformed file is an error, not a shorter data set."""
    rows = []
    for line in _lines(content, name):
        try:
            key, rating, text = line.split("\t", 2)
            rows.append(Rated(key, float(rating), text.strip()))
        except ValueError as error:
            raise _malformed(name, line) from error
    return rows


def parse_ratings(content: bytes, name: str) -> dict[str, list[float]]:
    """Rows of a ``*_anonDataRatings.txt``: id to each person's rating."""
    ratings = {}
    for line in _lines(content, name):
        try:
            key, _, _, people = line.split("\t", 3)
            ratings[key] = [float(rating) for rating in ast.literal_eval(people)]
        except (ValueError, SyntaxError, TypeError) as error:
            raise _malformed(name, line) from error
    return ratings


def label_of(rating: float, variant: Variant) -> str | None:
    """The class of a mean rating; ``None``: between the classes."""
    if rating > THRESHOLD:
        return "positive"
    if rating < -THRESHOLD:
        return "negative"
    return "neutral" if variant is Variant.NEUTRAL else None


def table(rows: Iterable[Rated], variant: Variant, grouped: bool) -> Table:
    """CSV with the columns text, label (or rating) and, where texts come in groups, group."""
    target = "rating" if variant is Variant.RATING else "label"
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["text", target, *(["group"] if grouped else [])])
    labels: set[str] = set()
    count = 0
    for row in rows:
        value = f"{row.rating:.4f}" if variant is Variant.RATING else label_of(row.rating, variant)
        if value is None or not row.text:
            continue
        labels.add(value)
        count += 1
        writer.writerow([row.text, value, *([row.group] if grouped else [])])
    classes = None if variant is Variant.RATING else len(labels)
    return Table(out.getvalue().encode(), count, classes)


def human_ceiling(
    rows: Iterable[Rated], ratings: Mapping[str, Sequence[float]], variant: Variant
) -> dict[str, float]:
    """How well one person agrees with the mean of the others, on the rows that :func:`table` keeps.

    Returns accuracy and macro_f1 for classes, rmse and mae (in rating points) for ratings; or nothing.
    """
    if variant is Variant.RATING:
        return _ceiling_of_ratings(rows, ratings)
    confusion: defaultdict[tuple[str, str], float] = defaultdict(float)  # (truth, answer) -> people
    for row in rows:
        people = ratings.get(row.id, ())
        if label_of(row.rating, variant) is None or len(people) < 2:
            continue
        total = sum(people)
        for rating in people:
            others = (total - rating) / (len(people) - 1)
            truth = label_of(others, variant) or ("positive" if others > 0 else "negative")
            if rating == 0 and variant is Variant.BINARY:
                confusion[truth, "positive"] += 0.5
                confusion[truth, "negative"] += 0.5
            else:
                confusion[truth, "neutral" if rating == 0 else "positive" if rating > 0 else "negative"] += 1
    return _scores(confusion)


def _scores(confusion: Mapping[tuple[str, str], float]) -> dict[str, float]:
    total = sum(confusion.values())
    if not total:
        return {}
    f1 = []
    for label in sorted({truth for truth, _ in confusion}):
        hit = confusion.get((label, label), 0.0)
        given = sum(n for (_, answer), n in confusion.items() if answer == label)
        true = sum(n for (truth, _), n in confusion.items() if truth == label)
        f1.append(2 * hit / (given + true))
    right = sum(n for (truth, answer), n in confusion.items() if truth == answer)
    return {"accuracy": right / total, "macro_f1": sum(f1) / len(f1)}


def _ceiling_of_ratings(rows: Iterable[Rated], ratings: Mapping[str, Sequence[float]]) -> dict[str, float]:
    misses = []
    for row in rows:
        people = ratings.get(row.id, ())
        if len(people) >= 2:
            total = sum(people)
            misses += [rating - (total - rating) / (len(people) - 1) for rating in people]
    if not misses:
        return {}
    return {
        "rmse": math.sqrt(sum(miss * miss for miss in misses) / len(misses)),
        "mae": sum(abs(miss) for miss in misses) / len(misses),
    }


def _lines(content: bytes, name: str) -> list[str]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _malformed(name, "a byte that is no UTF-8") from error
    return [line for line in text.replace("\r\n", "\n").split("\n") if line.strip()]


def _malformed(name: str, line: str) -> SourceError:
    return SourceError(
        f"{name} does not have the expected columns, at {line[:60]!r}.",
        "Report this, and name data of your own meanwhile.",
        FailureKind.DATA_ERROR,
    )
