"""The first rows of a file on the Hub, where the viewer knows nothing of the data set: one request, a quarter of a
megabyte at most, read as text. Nothing is executed, and a Parquet file is left to the inspect job, which has a reader
for it: its rows are looked at once it is chosen.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

from graph.errors import SourceError
from graph.research.bounded import Beginning, read_beginning
from graph.research.cache import AnswerCache
from graph.research.evidence import MAX_ROWS, Evidence, from_rows
from graph.research.hubclient import HubClient
from graph.state import TaskSpec

SAMPLE_BYTES = 1 << 18
TIMEOUT_S = 8.0
LINES = (".jsonl", ".ndjson", ".json")
TABLES: Mapping[str, str] = {".csv": ",", ".tsv": "\t"}


async def sample(
    client: HubClient, cache: AnswerCache, repo: str, revision: str, file: str, task: TaskSpec
) -> Evidence | None:
    """What the beginning of ``file`` tells; ``None`` where it cannot be read."""
    suffix = PurePosixPath(file).suffix
    if suffix not in (*LINES, *TABLES):
        return None
    url = client.page(f"datasets/{repo}/resolve/{quote(revision, safe='')}/{quote(file)}")
    kept = cache.get(url, {})
    if not isinstance(kept, dict):
        try:
            got = await client.call(f"the file {file} of {repo}", lambda _: _read(client, url), TIMEOUT_S)
        except SourceError:
            return None
        if got.status not in (200, 206):
            return None
        kept = {"text": got.body.decode("utf-8", "replace"), "whole": got.whole, "bytes": got.total_bytes}
        cache.put(url, {}, kept)
    text, whole, total = str(kept.get("text")), bool(kept.get("whole")), kept.get("bytes")
    rows = rows_of(text, suffix, whole=whole)
    if not rows:
        return Evidence(rows=0, sampled=True) if whole and suffix in TABLES else None
    read = len(text.encode())
    estimate = (
        len(rows) if whole else round(len(rows) * total / read) if isinstance(total, int) and read else None
    )
    seen = from_rows(rows, task, estimate, total if isinstance(total, int) else None)
    return replace(seen, note=f"looked at the first {len(rows)} rows of {PurePosixPath(file).name[:60]}")


def _read(client: HubClient, url: str) -> Beginning:
    secret = client.secret()
    headers = {"Range": f"bytes=0-{SAMPLE_BYTES - 1}", "Accept-Encoding": "identity"}
    headers |= {"Authorization": f"Bearer {secret}"} if secret else {}
    return read_beginning(url, most_bytes=SAMPLE_BYTES, timeout_s=2 * TIMEOUT_S, headers=headers)


def rows_of(text: str, suffix: str, *, whole: bool) -> list[dict[str, Any]]:
    """At most ``MAX_ROWS`` rows; the last one of a text that was cut off is left away. Empty for nonsense."""
    if not whole:
        text = text[: text.rfind("\n") + 1]
    rows = _lines(text) if suffix in LINES else _table(text, TABLES[suffix])
    return rows[:MAX_ROWS]


def _table(text: str, delimiter: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    reader = csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline=""), delimiter=delimiter)
    try:
        for row in reader:
            rows.append({str(k): v for k, v in row.items() if k is not None})
            if len(rows) == MAX_ROWS:
                break
    except csv.Error:
        pass  # what was read so far stands
    return rows


def _lines(text: str) -> list[dict[str, Any]]:
    rows = []
    for line in text.splitlines()[: MAX_ROWS + 1]:
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(row, dict):
            rows.append(row)
    return rows
