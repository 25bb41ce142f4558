"""What an audit finds, and the checks of labels and texts that find it.

Severity: ``blocking`` stops the run (the data cannot give a meaningful model), ``warning`` is for a person
to weigh, ``info`` is for the record. ``detail`` and ``done`` are one sentence each; ``examples`` are cut,
and masked where they may be personal. Checks that need a rate, such as a word that gives the label away,
count rows, not occurrences.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from remote.jobs.cleaning import loose_key
from remote.jobs.columns import cut
from remote.jobs.privacy import personal_data
from remote.jobs.rows import Row
from remote.jobs.splits import names

MIN_ROWS = 20
MIN_CLASS_ROWS = 3
SMALL_CLASS_ROWS = 10
IMBALANCE = 10.0
NAMED_SHARE = 0.98  # of texts that contain the name of their own class: there is nothing to learn then
GIVEAWAY_SHARE = 0.95
MODEL_WORDS = 350  # about what 512 tokens hold
MAX_LABEL_BYTES = 40_000  # all names together: a job's result is a line of at most 64 kB
TEMPLATE_SHARE = 0.5

OPEN_LICENCES = re.compile(
    r"cc0|cc-by|apache|mit\b|bsd|odc|pddl|public domain|openrail|gpl|unlicense|own", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Finding:
    kind: str
    severity: str
    detail: str
    done: str = ""
    examples: tuple[str, ...] = ()

    def as_json(self, *, examples: bool = True) -> dict[str, Any]:
        body: dict[str, Any] = {
            "kind": self.kind,
            "severity": self.severity,
            "detail": self.detail,
            "done": self.done,
        }
        return body | {"examples": list(self.examples)} if examples else body


class Blocked(Exception):
    """The data cannot be trained on; carries the blocking finding."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(detail)
        self.finding = Finding(kind, "blocking", detail, "Stopped here; nothing was trained.")


def rows_of(count: int) -> str:
    return f"{count:,} row" + ("" if count == 1 else "s")


def listed(items: Iterable[str], most: int = 5) -> str:
    """``a, b and 3 more``; each item cut to 40 characters."""
    items = [cut(item, 40) for item in items]
    shown = ", ".join(items[:most])
    return shown if len(items) <= most else f"{shown} and {len(items) - most} more"


def check_classes(family: str, rows: Sequence[Row]) -> None:
    """Raises Blocked: too few rows, one class, too many classes, class names that are texts."""
    if len(rows) < MIN_ROWS:
        raise Blocked(
            "too_few_rows",
            f"Only {rows_of(len(rows))} can be used, and training needs at least {MIN_ROWS}: add rows.",
        )
    if family == "regression":
        if len({row.label for row in rows if isinstance(row.label, float)}) < 2:
            raise Blocked(
                "one_class", "Every row has the same number as its target: add rows with other numbers."
            )
        return
    counts = class_counts(rows)
    if len(counts) < 2:
        only = listed(counts)
        raise Blocked(
            "one_class",
            f"There is only one class ({only}), so nothing to tell apart: add rows of another class.",
        )
    if family != "multilabel" and len(counts) > len(rows) / 2:
        raise Blocked(
            "too_many_classes",
            f"{len(counts):,} classes in {rows_of(len(rows))} are too many to learn: "
            "merge classes, add rows, or name another target column.",
        )
    if len(json.dumps(list(counts)).encode()) > MAX_LABEL_BYTES:
        raise Blocked(
            "target_is_text",
            "The target column looks like text, not class names: name another column, or shorten the names.",
        )


def class_counts(rows: Iterable[Row]) -> Counter[str]:
    return Counter(name for row in rows for name in names(row.label))


def drop_rare(family: str, rows: Sequence[Row]) -> tuple[list[Row], list[Finding]]:
    """Drops classes too small to stand in all three splits: they can be neither learned nor measured."""
    if family == "regression":
        return list(rows), []
    counts = class_counts(rows)
    rare = {name for name, count in counts.items() if count < MIN_CLASS_ROWS}
    small = [name for name, count in counts.items() if MIN_CLASS_ROWS <= count < SMALL_CLASS_ROWS]
    findings = []
    if small:
        findings.append(
            Finding(
                "small_classes",
                "warning",
                f"Classes with fewer than {SMALL_CLASS_ROWS} rows, with rough scores ({len(small):,} of "
                f"{len(counts):,}): {listed(sorted(small))}.",
                "Kept, with at least one row in each split; more rows of them would help most.",
            )
        )
    if not rare:
        return list(rows), findings
    kept = []
    for row in rows:
        if isinstance(row.label, list):
            kept.append(
                Row(row.row_id, row.text, [n for n in row.label if n not in rare], row.group, row.slices)
            )
        elif row.label not in rare:
            kept.append(row)
    lost = len(rows) - len(kept)
    findings.append(
        Finding(
            "rare_classes",
            "warning",
            f"Classes with fewer than {MIN_CLASS_ROWS} rows, too few to learn and measure ({len(rare):,}): "
            f"{listed(sorted(rare))}.",
            f"Left them out ({rows_of(lost)}); the model will not know these classes."
            if lost
            else "Left these names out of their rows; the model will not know them.",
        )
    )
    return kept, findings


def balance(family: str, rows: Sequence[Row]) -> tuple[float, list[Finding]]:
    """``(largest class / smallest class, findings)``; 1.0 for numbers."""
    counts = class_counts(rows)
    if family == "regression" or not counts:
        return 1.0, []
    (large, most), (small, least) = (
        counts.most_common(1)[0],
        min(counts.items(), key=lambda item: (item[1], item[0])),
    )
    ratio = most / least
    detail = (
        f"The largest class ({cut(large, 40)}) has {most:,} rows, the smallest ({cut(small, 40)}) {least:,}."
    )
    if ratio < IMBALANCE:
        return ratio, [Finding("class_balance", "info", detail)]
    done = "Macro-F1 counts every class alike, and training weighs the classes."
    return ratio, [Finding("imbalance", "warning", detail, done)]


def check_named_class(rows: Sequence[Row]) -> list[Finding]:
    """Whether texts contain the name of their class. Raises Blocked when nearly all do."""
    labelled = [(row.text, row.label) for row in rows if isinstance(row.label, str)]
    if not labelled:
        return []
    keys = {label: f" {loose_key(label)} " for _, label in labelled}
    usable = {label: key for label, key in keys.items() if len(key) > 3 and not key.strip().isdecimal()}
    hits = sum(label in usable and usable[label] in f" {loose_key(text[:2000])} " for text, label in labelled)
    share = hits / len(labelled)
    if share >= NAMED_SHARE:
        raise Blocked(
            "target_leak",
            f"{share:.0%} of the texts contain the name of their own class, so there is nothing to learn: "
            "take the class names out of the texts, or name another text column.",
        )
    if share >= 0.5:
        return [
            Finding(
                "named_class",
                "warning",
                f"{share:.0%} of the texts contain the name of their own class, which makes the task easy.",
                "Kept; compare the model with the word-based baseline.",
            )
        ]
    return []


def giveaway_words(rows: Sequence[Row]) -> list[Finding]:
    """Words that alone tell a class: in nearly all of its texts and in nearly none of the others."""
    per_class: dict[str, Counter[str]] = {}
    total: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for row in rows:
        if isinstance(row.label, str):
            words = set(loose_key(row.text[:5000]).split())
            per_class.setdefault(row.label, Counter()).update(words)
            total.update(words)
            sizes[row.label] += 1
    found = []
    for label in sorted(per_class):
        for word, count in per_class[label].most_common(20):
            if sizes[label] >= 10 and count >= GIVEAWAY_SHARE * sizes[label] and count >= 0.99 * total[word]:
                found.append(f"{word} → {label}")
                break
    if not found:
        return []
    return [
        Finding(
            "giveaway_word",
            "warning",
            f"One word alone tells {len(found)} of {len(sizes)} classes: {listed(found)}.",
            "Kept; if real texts will lack these words, the scores here promise too much.",
            tuple(cut(item, 80) for item in found[:10]),
        )
    ]


def template_made(rows: Sequence[Row]) -> list[Finding]:
    """Texts that differ in a word or two only: many share both their first and their last three words."""
    frames: Counter[tuple[str, ...]] = Counter()
    for row in rows:
        words = loose_key(row.text[:2000]).split()
        if len(words) >= 7:
            frames[(*words[:3], *words[-3:])] += 1
    made = sum(count for count in frames.values() if count >= 5)
    if made < TEMPLATE_SHARE * len(rows):
        return []
    likely = [" ".join((*frame[:3], "…", *frame[3:])) for frame, _ in frames.most_common(3)]
    return [
        Finding(
            "template_made",
            "warning",
            f"{made / len(rows):.0%} of the texts seem made from templates, so scores here promise too much.",
            "Kept; test with texts that people wrote before you rely on the model.",
            tuple(cut(text, 80) for text in likely),
        )
    ]


def personal(texts: Sequence[str]) -> list[Finding]:
    found = []
    for suspect in personal_data(texts):
        what = suspect.kind + ("es" if suspect.kind.endswith("s") else "s")
        found.append(
            Finding(
                "personal_data",
                "warning",
                f"What looks like {what} stands in {rows_of(suspect.rows)}.",
                "Kept in the data, masked in reports; take them out before you publish the data or a model.",
                suspect.examples,
            )
        )
    return found


def lengths(texts: Sequence[str]) -> tuple[dict[str, float], list[Finding]]:
    """Words a text: ``{"words_p50", "words_p95", "words_max", "chars_max"}``, and what is remarkable."""
    counts = sorted(len(text.split()) for text in texts)
    at = {share: float(counts[min(len(counts) - 1, int(share * len(counts)))]) for share in (0.5, 0.95)}
    stats = {
        "words_p50": at[0.5],
        "words_p95": at[0.95],
        "words_max": float(counts[-1]),
        "chars_max": float(max(map(len, texts))),
    }
    long = sum(count > MODEL_WORDS for count in counts)
    findings = []
    if long:
        findings.append(
            Finding(
                "long_texts",
                "warning" if long > 0.05 * len(counts) else "info",
                f"Texts of over {MODEL_WORDS} words, more than a small model reads: {long:,}.",
                "The model sees the beginning of these texts.",
            )
        )
    return stats, findings


def licence_finding(licence: str | None, source: str) -> Finding:
    if not licence:
        return Finding(
            "licence",
            "warning",
            f"The licence of the data ({cut(source, 60)}) is not stated.",
            "Training goes on; confirm that you may use the data before you publish anything.",
        )
    if not OPEN_LICENCES.search(licence) or re.search(r"-n[cd]\b|non.?commercial", licence, re.IGNORECASE):
        return Finding(
            "licence",
            "warning",
            f"The licence of the data is {cut(licence, 60)}: check what it allows.",
            "Recorded for the model card.",
        )
    return Finding(
        "licence", "info", f"The licence of the data is {cut(licence, 60)}.", "Recorded for the model card."
    )
