"""``python -m tests.bench.bench_papers``: what reading papers and choosing a base model take.

read    a paper of 12 pages, and one of 80, from submitting the job to its fetched findings, in the local sandbox
models  the base model chosen in front of the tests' own Hub, every answer 50 ms late: first, and again

Exits with 1 when a limit is missed. Takes some ten seconds.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from graph.inputs import LIGHT
from graph.research.hub import HubSource
from graph.state import TaskSpec
from remote.backend import Input, JobSpec, Program
from remote.backends.local import LocalBackend
from tests.bench.figures import Figure
from tests.graph.research.packs import MODEL
from tests.hub.server import HubServer, Repo
from tests.remote.jobs import pdfs

LATENCY_S = 0.05
REQUESTS = 8
READ_S = 10.0  # of a usual paper


async def read(home: Path) -> list[Figure]:
    figures = []
    for pages in (12, 80):
        backend = LocalBackend(home, python=Path(sys.executable))
        path = home / f"{pages}.pdf"
        path.write_bytes(pdfs.pdf((pdfs.paper_sheets() * (pages // 3 + 1))[:pages]))
        programs = (Program("paper", "paper", {"file": "in/paper.pdf", "name": path.name}),)
        began_s = time.monotonic()
        ref = await backend.submit(
            JobSpec(f"k{pages}", "r1", programs, (Input("paper.pdf", str(path)),), LIGHT, False)
        )
        async for _ in backend.events(ref):
            pass
        into = home / f"out{pages}"
        into.mkdir()
        await backend.fetch(ref, into)
        took_s = time.monotonic() - began_s
        found = json.loads((into / "paper.json").read_text("utf-8"))
        figures += [
            Figure(f"read: {pages} pages", took_s, "s", READ_S if pages == 12 else None),
            Figure(f"read: findings in {pages} pages", len(found["facts"]) + len(found["results"]), ""),
        ]
    return figures


async def models(home: Path) -> list[Figure]:
    figures = []
    async with HubServer().running() as hub:
        hub.add(
            "model", Repo("sentence-transformers/all-MiniLM-L6-v2", dict(MODEL), tags=["license:apache-2.0"])
        )
        for n in range(40):
            tags = ["sentence-transformers", "safetensors", "en", "license:mit"]
            card = {"language": ["en"], "parameters": 1_000_000 * (n + 1)}
            hub.add("model", Repo(f"owner{n}/encoder", dict(MODEL), tags=tags, card=card, downloads=n))
        hub.latency_s = LATENCY_S
        task = TaskSpec("Sort reviews.", "Reviews", None, keywords=("reviews",))
        for when in ("first", "again"):
            hub.requests.clear()
            began_s = time.monotonic()
            choice = await HubSource(home=home, endpoint=hub.url).model(task)
            took_s = time.monotonic() - began_s
            asked = [r for r in hub.requests if "/resolve/" not in r]
            figures += [
                Figure(f"models: {when}, of {len(choice.considered)} shown", took_s, "s"),
                Figure(f"models: requests {when}, without files", len(asked), "", REQUESTS),
            ]
    return figures


async def main() -> int:
    figures: list[Figure] = []
    for measure in (read, models):
        with tempfile.TemporaryDirectory() as folder:
            figures += await measure(Path(folder))
    return told(figures)


def told(figures: Sequence[Figure]) -> int:
    for figure in figures:
        print(figure)
    return 0 if all(figure.kept for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
