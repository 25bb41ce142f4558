"""Keeps rows that look alike, or belong together, from standing on both sides of a split."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from remote.jobs.cleaning import exact_key, loose_key
from remote.jobs.columns import cut
from remote.jobs.findings import Finding, rows_of
from remote.jobs.near_duplicates import Clusters, NearDuplicates, near_duplicates
from remote.jobs.rows import Row
from remote.jobs.splits import SPLITS

LARGEST_CLUSTER = 0.05  # share of rows; a longer chain of look-alikes would make a fair split impossible
MANY = 0.1


def cluster_rows(
    rows: list[Row], split_of: Callable[[Row], str], *, grouped: bool
) -> tuple[list[Row], list[int], list[Finding]]:
    """``(rows, cluster of each row, findings)``; rows of one cluster must stay in one split.

    Where splits were given, earlier ones lose what also stands in a later one. ``grouped``: rows of one
    group are one cluster.
    """
    near = near_duplicates([row.text for row in rows])
    clusters = near.clusters
    if near.largest > max(5, LARGEST_CLUSTER * len(rows)):
        loose = Clusters(len(rows))
        loose.join_equal(loose_key(row.text) for row in rows)
        clusters = loose.names()
    findings = [] if near.compared else [_not_compared()]
    if len({split_of(row) for row in rows}) > 1:
        rows, clusters, leaks = _without_leaks(rows, clusters, split_of)
        return rows, clusters, findings + leaks + (_group_overlap(rows, split_of) if grouped else [])
    findings += _look_alikes(rows, clusters, near)
    if grouped:
        sets = Clusters(len(rows))
        sets.join_equal(str(cluster) for cluster in clusters)
        sets.join_equal(row.group for row in rows)
        clusters = sets.names()
    return rows, clusters, findings


def _not_compared() -> Finding:
    detail = "There is too much text to compare every pair of rows."
    return Finding("near_duplicates", "info", detail, "Compared whole texts only.")


def _look_alikes(rows: Sequence[Row], clusters: Sequence[int], near: NearDuplicates) -> list[Finding]:
    together = len(rows) - len(set(clusters))
    if not together:
        return []
    severity = "warning" if together > MANY * len(rows) else "info"
    detail = f"Texts that say nearly the same as another one: {together:,} of {len(rows):,}."
    done = "Kept, each beside its like in one split, so that test rows are new to the model."
    pairs = tuple(f"{cut(rows[a].text, 55)} ≈ {cut(rows[b].text, 55)}" for a, b in near.pairs[:5])
    return [Finding("near_duplicates", severity, detail, done, pairs)]


def _without_leaks(
    rows: list[Row], clusters: list[int], split_of: Callable[[Row], str]
) -> tuple[list[Row], list[int], list[Finding]]:
    """A row leaves train when validation or test hold its like, and leaves validation when test does."""
    rank = {split: number for number, split in enumerate(SPLITS)}
    highest: dict[int, int] = {}
    for row, cluster in zip(rows, clusters, strict=True):
        highest[cluster] = max(highest.get(cluster, 0), rank[split_of(row)])
    keep = [rank[split_of(row)] == highest[cluster] for row, cluster in zip(rows, clusters, strict=True)]
    leaks = [row for row, kept in zip(rows, keep, strict=True) if not kept]
    if not leaks:
        return rows, clusters, []
    later = {exact_key(row.text) for row in rows if split_of(row) != "train"}
    exact = sum(exact_key(row.text) in later for row in leaks)
    finding = Finding(
        "leakage",
        "warning",
        f"{rows_of(len(leaks))} of train or validation also stand in a later split: {exact} word for word, "
        f"{len(leaks) - exact} nearly so.",
        "Took them out of the earlier split.",
        tuple(cut(row.text, 100) for row in leaks[:5]),
    )
    return (
        [row for row, kept in zip(rows, keep, strict=True) if kept],
        [cluster for cluster, kept in zip(clusters, keep, strict=True) if kept],
        [finding],
    )


def _group_overlap(rows: Sequence[Row], split_of: Callable[[Row], str]) -> list[Finding]:
    held = {row.group for row in rows if split_of(row) == "test" and row.group is not None}
    shared = sum(row.group in held for row in rows if split_of(row) != "test")
    if not shared:
        return []
    detail = f"Rows of train and validation that share a group with the given test split: {shared:,}."
    return [Finding("group_overlap", "warning", detail, "Kept as given; scores on new groups may be lower.")]
