"""Rows that say nearly the same: MinHash over character 4-grams, then each pair's exact Jaccard similarity.

Rows of one cluster must not stand on both sides of a split. Texts with equal loose keys are always a cluster;
pairs at or above ``SIMILARITY`` join clusters too. 40 hashes in 8 bands of 5 find a pair of similarity 0.9
with probability 0.999 and cost a few passes of numpy, so that datasketch is not needed.

Source: A. Broder, On the resemblance and containment of documents, 1997.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from remote.jobs.cleaning import loose_key

SIMILARITY = 0.9
GRAM_CHARS = 4
BANDS = 8
BAND_HASHES = 5
MAX_KEY_CHARS = 1000  # longer texts are compared by their beginning
MAX_GRAMS = 40_000_000  # beyond it (some 200,000 long texts) only equal loose keys are found
MAX_BUCKET = 200  # pairs compared in a bucket grow with its square; of larger ones neighbours only


class Clusters:
    """Disjoint sets of row positions 0..n-1; the smallest position of a set names it."""

    def __init__(self, size: int) -> None:
        self._parent = list(range(size))

    def find(self, i: int) -> int:
        while self._parent[i] != i:
            self._parent[i] = self._parent[self._parent[i]]
            i = self._parent[i]
        return i

    def join(self, i: int, j: int) -> None:
        a, b = sorted((self.find(i), self.find(j)))
        self._parent[b] = a

    def join_equal(self, keys: Iterable[str | None]) -> None:
        """Join positions that have the same key; ``None`` joins nothing."""
        first: dict[str, int] = {}
        for position, key in enumerate(keys):
            if key is not None and first.setdefault(key, position) != position:
                self.join(first[key], position)

    def names(self) -> list[int]:
        return [self.find(i) for i in range(len(self._parent))]


@dataclass(frozen=True, slots=True)
class NearDuplicates:
    clusters: list[int]  # of each text, the position of its cluster's first text
    pairs: list[tuple[int, int]]  # near but not loosely equal, first < second
    compared: bool  # False: too much text, only equal loose keys were found

    @property
    def largest(self) -> int:
        return max(np.unique(self.clusters, return_counts=True)[1], default=0)


def near_duplicates(texts: Sequence[str]) -> NearDuplicates:
    """Clusters of ``texts``; deterministic."""
    keys = [loose_key(text[: 4 * MAX_KEY_CHARS])[:MAX_KEY_CHARS] for text in texts]
    full = [
        key if len(text) <= MAX_KEY_CHARS else loose_key(text) for key, text in zip(keys, texts, strict=True)
    ]
    sets = Clusters(len(texts))
    sets.join_equal(full)
    firsts = sorted(set(sets.names()))
    pairs: list[tuple[int, int]] = []
    compared = sum(len(keys[i]) for i in firsts) <= MAX_GRAMS
    if compared:
        grams = [_grams(keys[i]) for i in firsts]
        pairs = [(firsts[a], firsts[b]) for a, b in _similar(grams)]
        for a, b in pairs:
            sets.join(a, b)
    return NearDuplicates(sets.names(), pairs, compared)


def _grams(key: str) -> NDArray[np.uint64]:
    """Distinct hashes of the key's character 4-grams, ascending; [grams]."""
    codes = np.frombuffer(key.encode("utf-32-le"), dtype=np.uint32).astype(np.uint64)
    if len(codes) < GRAM_CHARS:
        codes = np.pad(codes, (0, GRAM_CHARS - len(codes)))
    count = len(codes) - GRAM_CHARS + 1
    mixed = np.zeros(count, dtype=np.uint64)
    for offset in range(GRAM_CHARS):
        mixed = mixed * np.uint64(0x100000001B3) + codes[offset : offset + count]  # FNV's prime, modulo 2**64
    return np.unique(mixed)


def _similar(grams: Sequence[NDArray[np.uint64]]) -> list[tuple[int, int]]:
    if len(grams) < 2:
        return []
    signatures = _signatures(grams)
    seen: set[tuple[int, int]] = set()
    for band in range(BANDS):
        part = np.ascontiguousarray(signatures[:, band * BAND_HASHES : (band + 1) * BAND_HASHES])
        buckets: dict[bytes, list[int]] = {}
        for position, row in enumerate(part):
            buckets.setdefault(row.tobytes(), []).append(position)
        for members in buckets.values():
            if len(members) > 1:
                near = (
                    itertools.combinations(members, 2)
                    if len(members) <= MAX_BUCKET
                    else itertools.pairwise(members)
                )
                seen.update(near)
    return sorted(pair for pair in seen if _jaccard(grams[pair[0]], grams[pair[1]]) >= SIMILARITY)


def _signatures(grams: Sequence[NDArray[np.uint64]]) -> NDArray[np.uint32]:
    """MinHash signatures; [texts, BANDS * BAND_HASHES]."""
    flat = np.concatenate(grams)
    flat ^= flat >> np.uint64(33)
    starts = np.concatenate(([0], np.cumsum([len(g) for g in grams])[:-1]))
    factors = np.random.default_rng(0).integers(
        1, 2**61, size=BANDS * BAND_HASHES, dtype=np.uint64
    ) | np.uint64(1)
    signatures = np.empty((len(grams), len(factors)), dtype=np.uint32)
    for column, factor in enumerate(factors):
        hashed = ((flat * factor) >> np.uint64(32)).astype(np.uint32)  # multiply-shift hashing
        signatures[:, column] = np.minimum.reduceat(hashed, starts)
    return signatures


def _jaccard(a: NDArray[np.uint64], b: NDArray[np.uint64]) -> float:
    if min(len(a), len(b)) < SIMILARITY * max(len(a), len(b)):
        return 0.0
    both = len(np.intersect1d(a, b, assume_unique=True))
    return both / (len(a) + len(b) - both)
