"""Copies of a data set under another name: only the best of them is offered. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from graph.state import Candidate


def without_copies(ranked: Sequence[Candidate]) -> list[Candidate]:
    """``ranked``, best first: a later one that has the rows of an earlier one is marked as its copy, and goes last."""
    first: dict[tuple[object, ...], Candidate] = {}
    kept, copies = [], []
    for candidate in ranked:
        same = _same(candidate)
        if candidate.usable and same and same in first:
            why_not = f"it is a copy of {first[same].id}"
            copies.append(replace(candidate, usable=False, why_not=why_not))
            continue
        if candidate.usable and same:
            first[same] = candidate
        kept.append(candidate)
    return [*(c for c in kept if c.usable), *copies, *(c for c in kept if not c.usable)]


def _same(candidate: Candidate) -> tuple[object, ...]:
    """What two copies have in common: the very same number of rows in each class, and columns or title."""
    if not candidate.rows or len(candidate.class_counts) < 2:
        return ()
    counts = tuple(sorted(candidate.class_counts.items()))
    return (candidate.rows, counts, candidate.learns, re.sub(r"\W+", " ", candidate.title.casefold()).strip())
