"""Checks a person's data, mends what can be mended, and writes the splits once (``docs/jobs.md``, audit).

Order of the work, each step on what the one before left: read → labels → roles of the columns → rows without
text or label → contradictions and duplicates → near-duplicates and leaks between given splits → classes too
small → split → counts. Nothing after this job may change the test split; its sha256 goes with every score.
Everything is deterministic in the data, the config and the seed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from remote.jobs.audit_page import page, plot
from remote.jobs.columns import JOINED, Column, as_numbers, cut, describe
from remote.jobs.findings import (
    Blocked,
    Finding,
    balance,
    check_classes,
    check_named_class,
    class_counts,
    drop_rare,
    giveaway_words,
    lengths,
    licence_finding,
    listed,
    personal,
    rows_of,
    template_made,
)
from remote.jobs.inspect import named, named_target, propose_group, target_cells
from remote.jobs.language import MIXED_SHARE, guess_language, languages
from remote.jobs.leakage import cluster_rows
from remote.jobs.prepare import (
    Raw,
    assign_roles,
    combine,
    labels_of,
    resolve,
    usable_rows,
    without_unknown_classes,
)
from remote.jobs.rows import Row, write_rows, write_text
from remote.jobs.splits import SPLITS, sample_rows, split_rows
from remote.jobs.tables import Table, read_parts, with_class_names
from remote.protocol import Emitter, FailureKind, JobError, finite, sha256_file

OUT = Path("out")
STEPS = 4
MIN_GROUPS = 20
LARGEST_GROUP = 0.1


@dataclass(slots=True)
class Audit:
    """The work so far; ``facts`` becomes ``audit.json``."""

    config: Mapping[str, Any]
    findings: list[Finding] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    given: tuple[str, ...] = ()  # the split that each raw row came in
    family: str = ""

    def split_of(self, row: Row) -> str:
        return self.given[row.row_id]


def run(config: Mapping[str, Any], emit: Emitter) -> Mapping[str, Any]:
    """See ``docs/jobs.md``, audit. Raises JobError (``data_error``) after a blocking finding."""
    audit = Audit(config)
    keys = (
        "title",
        "source",
        "revision",
        "licence",
        "sha256",
        "seed",
        "text_column",
        "target",
        "group_column",
    )
    audit.facts = {key: config.get(key) for key in keys}
    try:
        splits = _splits(audit, emit)
    except Blocked as blocked:
        audit.findings.append(blocked.finding)
        _write_report(audit, emit)
        raise JobError(FailureKind.DATA_ERROR, blocked.finding.detail) from None
    _write_splits(audit, splits, emit)
    _write_report(audit, emit)
    facts = audit.facts
    return {
        "family": audit.family,
        "labels": facts["labels"],
        "rows": facts["rows"],
        "findings": [finding.as_json(examples=False) for finding in audit.findings],
        "split_sha256": facts["split_sha256"],
        "imbalance": facts["imbalance"],
        "words_p95": facts["lengths"]["words_p95"],
        "language": facts["language"],
    }


def _splits(audit: Audit, emit: Emitter) -> dict[str, list[Row]]:
    raw = _read(audit)
    emit.progress(1, STEPS)
    rows = _rows(audit, raw)
    check_classes(audit.family, rows)
    audit.findings += check_named_class(rows)
    rows = _mended(audit, rows)
    emit.progress(2, STEPS)
    rows, clusters, found = cluster_rows(rows, audit.split_of, grouped=bool(audit.facts["group_column"]))
    audit.findings += found
    rows, clusters = _without_rare(audit, rows, clusters)
    emit.progress(3, STEPS)
    rows = _with_language(audit, rows)
    splits = _split(audit, rows, clusters)
    _describe(audit, splits)
    emit.progress(4, STEPS)
    return splits


def _read(audit: Audit) -> Raw:
    """The given files; a split without the target column, such as a hidden test set, is put aside."""
    files: Mapping[str, str | list[str]] = audit.config["files"]
    class_names: Mapping[str, Sequence[str]] = audit.config.get("class_names") or {}
    tables: dict[str, Table] = {
        split: with_class_names(read_parts(paths), class_names)
        for split, paths in files.items()
        if split in SPLITS
    }
    if not tables:
        raise Blocked("no_file", "No file was given: name a CSV, TSV, JSONL, Parquet or Excel file.")
    if len(tables) == 1:
        tables = {"train": next(iter(tables.values()))}
    lead = tables.get("train") or next(iter(tables.values()))
    columns = [describe(name, lead.frame[name]) for name in lead.frame.columns]
    text = named(audit.config["text_column"], columns, "text")
    target = named_target(audit.config["target"], columns)
    if not text or not target or text == target:
        raise Blocked("same_column", "Name one column with the texts and another one with the target.")
    audit.facts |= {"text_column": text, "target": target}
    for split in [split for split in tables if split != "train"]:
        have = set(tables[split].frame.columns)
        needed = {text, *(target.split(JOINED) if target not in lead.frame.columns else [target])}
        if not needed <= have:
            lacking = ", ".join(sorted(needed - have))
            detail = f"The given {split} split has no column {cut(lacking, 80)}."
            audit.findings.append(
                Finding("split_ignored", "warning", detail, "Not used; took rows of train instead.")
            )
            del tables[split]
    for split, table in tables.items():
        for words, count in table.notes.items():
            detail = f"While reading the {split} file: {count:,} {words}."
            audit.findings.append(Finding("mended_file", "warning", detail, "Went on with the rest."))
    for split, share in (audit.config.get("left_out") or {}).items():
        detail = f"Of the {split} split only a part was read: {share}."
        audit.findings.append(Finding("partly_read", "warning", detail, "Went on with that part."))
    raw = combine({split: table.frame for split, table in tables.items()})
    audit.given = raw.split
    audit.facts["raw_rows"] = len(raw.frame)
    return raw


def _rows(audit: Audit, raw: Raw) -> list[Row]:
    facts, findings = audit.facts, audit.findings
    cells = target_cells(raw.frame, facts["target"])
    missing = sum(cell is None for cell in cells)
    if missing >= 0.9 * len(cells):
        raise Blocked(
            "missing_target",
            f"{missing / len(cells):.0%} of the target column {cut(facts['target'], 60)} is missing: "
            "fill it in, or name another column.",
        )
    audit.family, labels, more = labels_of(facts["target"], cells, audit.config.get("family"))
    findings += more
    columns = [describe(name, raw.frame[name]) for name in raw.frame.columns]
    facts["columns"] = [column.as_json() for column in columns]
    group = named(audit.config.get("group_column"), columns, "group") or _own_group(audit, raw, columns)
    facts["group_column"] = group
    roles, more = assign_roles(raw, columns, facts["text_column"], facts["target"], group, labels)
    findings += more
    facts["slices"] = list(roles.slices)
    rows, more = usable_rows(raw, roles, labels)
    findings += more
    facts["family"] = audit.family = _counted(audit.family, rows)
    return rows


def _counted(family: str, rows: Sequence[Row]) -> str:
    if family in ("binary", "multiclass"):
        return "binary" if len(class_counts(rows)) <= 2 else "multiclass"
    return family


def _own_group(audit: Audit, raw: Raw, columns: Sequence[Column]) -> str | None:
    """An id that recurs in small groups, such as one review's sentences, where the splits are ours."""
    name = propose_group(columns, len(raw.frame))
    if name is None or len(set(raw.split)) > 1:
        return None
    sizes = raw.frame[name].value_counts()
    if len(sizes) < MIN_GROUPS or sizes.max() > LARGEST_GROUP * len(raw.frame):
        return None
    detail = f"Rows share values of {cut(name, 40)} ({len(sizes):,} groups)."
    audit.findings.append(Finding("groups", "info", detail, "Kept each group within one split."))
    return name


def _mended(audit: Audit, rows: Sequence[Row]) -> list[Row]:
    """Contradictions and duplicates resolved within each given split; a given test split stays as it is."""
    result: list[Row] = []
    for split in SPLITS:
        part = [row for row in rows if audit.split_of(row) == split]
        if split != "test":
            part, findings = resolve(part)
            audit.findings += findings
        result += part
    check_classes(audit.family, [row for row in result if audit.split_of(row) == "train"])
    return result


def _without_rare(audit: Audit, rows: list[Row], clusters: list[int]) -> tuple[list[Row], list[int]]:
    """Only where the split is ours to make: in given splits a rare class is part of what was given."""
    of_row = {row.row_id: cluster for row, cluster in zip(rows, clusters, strict=True)}
    if len(set(audit.given)) > 1:
        rows, findings = without_unknown_classes(rows, audit.split_of)
    else:
        rows, findings = drop_rare(audit.family, rows)
    audit.findings += findings
    check_classes(audit.family, rows)
    audit.facts["family"] = audit.family = _counted(audit.family, rows)
    return rows, [of_row[row.row_id] for row in rows]


def _with_language(audit: Audit, rows: list[Row]) -> list[Row]:
    """The data's language; where a second one is frequent, each row's language becomes a slice."""
    shares = languages([row.text for row in rows])
    audit.facts["languages"] = {language: round(share, 4) for language, share in shares.items()}
    main = next(iter(shares), None)
    audit.facts["language"] = main
    others = {
        language: share for language, share in shares.items() if language != main and share >= MIXED_SHARE
    }
    if not others:
        return rows
    said = ", ".join(f"{language} {share:.0%}" for language, share in shares.items() if share >= MIXED_SHARE)
    done = "Scores are reported for each language; choose a multilingual base model."
    audit.findings.append(
        Finding("mixed_languages", "warning", f"The texts are in several languages: {said}.", done)
    )
    return [
        replace(
            row,
            slices={
                **row.slices,
                "language": row.slices.get("language") or guess_language(row.text) or "other",
            },
        )
        for row in rows
    ]


def _split(audit: Audit, rows: list[Row], clusters: list[int]) -> dict[str, list[Row]]:
    """The given splits, with what is lacking carved from train."""
    config, given = audit.config, {audit.split_of(row) for row in rows}
    seed = int(config.get("seed") or 0)
    shares = {
        "validation": float(config.get("validation_share", 0.1)),
        "test": float(config.get("test_share", 0.2)),
    }
    splits = {split: [row for row in rows if audit.split_of(row) == split] for split in SPLITS}
    lacking = {split: share for split, share in shares.items() if split not in given}
    if lacking:
        whole = 1 - sum(share for split, share in shares.items() if split in given)
        own = [(row, c) for row, c in zip(rows, clusters, strict=True) if audit.split_of(row) == "train"]
        dealt = split_rows(
            [row.label for row, _ in own],
            [cluster for _, cluster in own],
            seed,
            {split: share / whole for split, share in lacking.items()},
        )
        for split in ("train", *lacking):
            splits[split] = [row for (row, _), which in zip(own, dealt, strict=True) if which == split]
    for split in SPLITS:
        if not splits[split]:
            raise Blocked(
                "empty_split",
                f"No rows are left for {split} once look-alikes are kept together: add different rows.",
            )
    most = config.get("max_train_rows")
    if most and len(splits["train"]) > int(most):
        kept = sample_rows([row.label for row in splits["train"]], int(most), seed)
        detail = f"Train has {rows_of(len(splits['train']))}, and the limit is {int(most):,}."
        done = "Took a seeded sample with the same share of each class."
        audit.findings.append(Finding("sampled", "info", detail, done))
        splits["train"] = [splits["train"][i] for i in kept]
    return splits


def _describe(audit: Audit, splits: Mapping[str, Sequence[Row]]) -> None:
    rows = [row for split in SPLITS for row in splits[split]]
    texts = [row.text for row in rows]
    audit.facts["lengths"], long = lengths(texts)
    imbalance, uneven = balance(audit.family, rows)
    counts = {split: class_counts(splits[split]) for split in SPLITS}
    labels = sort_labels(class_counts(rows))
    audit.findings += [*uneven, *_absent(labels, counts), *giveaway_words(rows), *template_made(rows), *long]
    audit.findings += personal(texts)
    licence, source = audit.config.get("licence"), str(audit.config.get("source") or "the file")
    audit.findings.append(licence_finding(licence, source))
    audit.facts |= {
        "imbalance": round(imbalance, 3),
        "labels": labels,
        "class_counts": {split: dict(sorted(counts[split].items())) for split in SPLITS} if labels else {},
        "rows": {split: len(splits[split]) for split in SPLITS},
    }


def sort_labels(names: Iterable[str]) -> list[str]:
    """By number when all are numbers, else by name."""
    labels = sorted(names)
    numbers = as_numbers(labels)
    if numbers is None or any(number != number for number in numbers):
        return labels
    return [label for _, label in sorted(zip(numbers, labels, strict=True))]


def _absent(labels: Sequence[str], counts: Mapping[str, Mapping[str, int]]) -> list[Finding]:
    found = []
    for split in ("validation", "test"):
        absent = [label for label in labels if not counts[split].get(label)]
        if absent:
            detail = f"{len(absent)} classes have no row in {split}: {listed(absent)}."
            done = "They count as 0 in macro-F1, so read the scores by class too."
            found.append(Finding("absent_classes", "warning", detail, done))
    return found


def _write_splits(audit: Audit, splits: Mapping[str, Sequence[Row]], emit: Emitter) -> None:
    audit.facts["split_sha256"] = {}
    for split in SPLITS:
        path = write_rows(OUT / f"{split}.jsonl", splits[split])
        audit.facts["split_sha256"][split] = sha256_file(path)
        emit.artifact(path, OUT)
    emit.artifact(plot(OUT / "plots" / "class_balance.png", splits, audit.facts["labels"]), OUT)


def _write_report(audit: Audit, emit: Emitter) -> None:
    audit.facts["findings"] = [finding.as_json() for finding in audit.findings]
    text = json.dumps(finite(audit.facts), ensure_ascii=False, indent=2, allow_nan=False) + "\n"
    emit.artifact(write_text(OUT / "audit.json", text), OUT)
    emit.artifact(write_text(OUT / "audit.md", page(audit.facts, audit.findings)), OUT)
