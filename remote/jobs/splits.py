"""A seeded, stratified split that keeps clusters (near-duplicates, groups) whole.

scikit-learn's StratifiedGroupKFold has the same aim, but needs folds of equal size and minutes for 100,000
groups in 1,000 classes. Here clusters of each stratum are shuffled and dealt to test and validation until
their share is reached; a stratum of three clusters or more gives each split at least one. Strata: the
class; for multi-label rows their rarest class; for numbers ten quantile bins. What rounding gives a split
too much in one stratum is taken off the next one's, so that many small strata do not add up to a wrong
share.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence

from remote.jobs.rows import Label

SPLITS = ("train", "validation", "test")
BINS = 10
MIN_BIN_ROWS = 10


def strata(labels: Sequence[Label]) -> list[str]:
    """The stratum of each row."""
    if any(isinstance(label, list) for label in labels):
        uses = Counter(name for label in labels if isinstance(label, list) for name in label)
        return [
            min(label, key=lambda name: (uses[name], name), default="") if isinstance(label, list) else ""
            for label in labels
        ]
    numbers = sorted(label for label in labels if isinstance(label, float))
    if not numbers:
        return [str(label) for label in labels]
    bins = max(1, min(BINS, len(numbers) // MIN_BIN_ROWS))
    edges = [numbers[len(numbers) * i // bins] for i in range(1, bins)]
    return [str(sum(label >= edge for edge in edges)) if isinstance(label, float) else "" for label in labels]


def split_rows(
    labels: Sequence[Label], clusters: Sequence[int], seed: int, shares: Mapping[str, float]
) -> list[str]:
    """The split of each row; ``shares`` of ``validation`` and ``test`` (0 for one that is not wanted).

    ``clusters``: rows with the same number stay together. Every class of three rows or more is in train.
    """
    stratum = strata(labels)
    members: dict[int, list[int]] = {}
    for row, cluster in enumerate(clusters):
        members.setdefault(cluster, []).append(row)
    by_stratum: dict[str, list[int]] = {}
    for cluster, rows in members.items():
        name = Counter(stratum[row] for row in rows).most_common(1)[0][0]
        by_stratum.setdefault(name, []).append(cluster)
    of_cluster: dict[int, str] = {}
    chance = random.Random(seed)  # noqa: S311 - not for secrets
    owed = dict.fromkeys(("test", "validation"), 0.0)
    for name in sorted(by_stratum):
        of_cluster.update(_deal(sorted(by_stratum[name]), members, chance, shares, owed))
    result = [of_cluster[cluster] for cluster in clusters]
    _keep_in_train(labels, clusters, result)
    return result


def _deal(
    clusters: list[int],
    members: Mapping[int, Sequence[int]],
    chance: random.Random,
    shares: Mapping[str, float],
    owed: dict[str, float],
) -> dict[int, str]:
    """One stratum's clusters dealt to the splits; one larger than what a split still wants goes to train.

    ``owed``: rows that rounding kept from each split so far, at most one row either way; updated.
    """
    rows = sum(len(members[cluster]) for cluster in clusters)
    chance.shuffle(clusters)
    dealt: dict[int, str] = {}
    for split in owed:
        exact = shares.get(split, 0.0) * rows
        if exact <= 0 or len(clusters) < 3:
            continue
        quota = left = max(1, round(exact + owed[split]))
        free = [cluster for cluster in clusters if cluster not in dealt]
        for cluster in free:
            if len(members[cluster]) <= left and len(dealt) < len(clusters) - 1:
                dealt[cluster] = split
                left -= len(members[cluster])
        if left == quota and len(free) > 1:  # every cluster is larger than the share: then the smallest one
            smallest = min(free, key=lambda cluster: (len(members[cluster]), cluster))
            dealt[smallest] = split
            left -= len(members[smallest])
        owed[split] = min(1.0, max(-1.0, owed[split] + exact - (quota - left)))
    return {cluster: dealt.get(cluster, "train") for cluster in clusters}


def _keep_in_train(labels: Sequence[Label], clusters: Sequence[int], splits: list[str]) -> None:
    """Move clusters so that train knows every class; mixed clusters may have taken a class away from it."""
    known = {
        name for label, split in zip(labels, splits, strict=True) if split == "train" for name in names(label)
    }
    for row, label in enumerate(labels):
        if isinstance(label, float) or known.issuperset(names(label)):
            continue
        for other, cluster in enumerate(clusters):
            if cluster == clusters[row]:
                splits[other] = "train"
                known.update(names(labels[other]))


def names(label: Label) -> tuple[str, ...]:
    """The classes of a label; a number has none."""
    if isinstance(label, str):
        return (label,)
    return tuple(label) if isinstance(label, list) else ()


def sample_rows(labels: Sequence[Label], count: int, seed: int) -> list[int]:
    """Positions of a stratified sample of ``count`` rows, ascending; every stratum keeps at least one."""
    by_stratum: dict[str, list[int]] = {}
    for row, name in enumerate(strata(labels)):
        by_stratum.setdefault(name, []).append(row)
    chance = random.Random(seed)  # noqa: S311 - not for secrets
    ranked: list[tuple[float, int]] = []
    for name in sorted(by_stratum):
        rows = by_stratum[name]
        chance.shuffle(rows)
        # Row i of k stands at i/k of its stratum: the lowest positions are a proportional sample.
        ranked.extend((i / len(rows), row) for i, row in enumerate(rows))
    return sorted(row for _, row in sorted(ranked)[:count])
