"""``python -m tests.bench.bench_research``: what research on the Hub takes, in front of the tests' own Hub.

The real stage (driver, store, huggingface_hub) in this process, which plays the Hub as well, on the same cores; every
answer comes 50 ms late.

stage  200 data sets that the search lists, the ten best looked into through the viewer, base model fetched. Then the
       same request again, in a new run: answers and model are there
huge   one data set of 10 GB inspected, by the viewer and, where that knows nothing, by the beginning of a file of
       40 MB that stands for it: what the Hub sent

Exits with 1 when a limit is missed. Takes some ten seconds.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from graph.names import EventType, Stage
from graph.research.hub import HubSource
from graph.state import Request, TaskSpec
from graph.understanding import understand
from tests.bench.figures import Figure
from tests.graph.research.packs import MODEL
from tests.graph.world import World
from tests.hub.collection import SHELF, Shelf, repo_of, viewer_of
from tests.hub.server import HubServer, Repo

SENTENCE = "Tell positive from negative product reviews in English."
LATENCY_S = 0.05
CANDIDATES = 300  # on the Hub, of which the questions list 200
STAGE_S, AGAIN_S = 6.0, 0.5
REQUESTS, AT_ONCE = 60, 8
INSPECT_MB = 20.0
# Name and tags of a data set, in turns: no query finds them all.
KINDS = (
    ("product-reviews-{n}", "reviews"),
    ("sentiment-{n}", "opinion"),
    ("polarity-{n}", "polarity"),
    ("opinions-{n}", "sentiment"),
    ("shop-{n}", "product reviews"),
)


def shelf() -> list[Shelf]:
    made = []
    for n in range(CANDIDATES):
        name, tags = KINDS[n % len(KINDS)]
        classes = {"negative": 3000 + 10 * n, "positive": 3000 + 7 * n}
        title = f"Product reviews {n}"
        made.append(Shelf(f"owner{n}/{name.format(n=n)}", title, classes, tags, about="Product reviews."))
    return made


def task() -> TaskSpec:
    read = understand(Request(SENTENCE), {}).task
    assert read is not None
    return read


def source(hub: HubServer, home: Path) -> HubSource:
    return HubSource(
        home=home, endpoint=hub.url, viewer_url=f"{hub.url}/viewer", now=lambda: datetime.now(UTC)
    )


async def stage(hub: HubServer, home: Path) -> list[Figure]:
    for item in shelf():
        hub.add("dataset", repo_of(item))
        hub.viewer[item.id] = viewer_of(item)
    tags = ["license:apache-2.0"]
    hub.add("model", Repo("sentence-transformers/all-MiniLM-L6-v2", dict(MODEL), tags=tags))
    hub.latency_s = LATENCY_S
    first_s = await run(hub, home, "r1")
    requests, at_once = len(hub.requests), hub.most_at_once
    hub.requests.clear()
    again_s = await run(hub, home, "r2")
    return [
        Figure("stage: data sets listed", len(await source(hub, home).data.listed(task())), ""),
        Figure("stage: first time", first_s, "s", STAGE_S),
        Figure("stage: requests", requests, "", REQUESTS),
        Figure("stage: requests at once, most", at_once, "", AT_ONCE),
        Figure("stage: again, from the cache", again_s, "s", AGAIN_S),
        Figure("stage: requests again", len(hub.requests), ""),
    ]


async def run(hub: HubServer, home: Path, run_id: str) -> float:
    """Seconds of the stage alone, as its own event has them; real time, as the driver is given this clock."""
    world = RealTime(home, source=source(hub, home))
    async with world.process() as driver:
        request = Request(SENTENCE)
        await driver.deps.store.create_run(run_id, request, "Reviews", driver.deps.at())
        await driver.advance(run_id)
        events = await driver.deps.store.events(run_id)
    return next(
        float(e.payload["seconds"])
        for e in events
        if e.type is EventType.STAGE_FINISHED and e.stage is Stage.RESEARCH
    )


class RealTime(World):
    def now(self) -> datetime:
        return datetime.now(UTC)


async def huge(hub: HubServer, home: Path) -> list[Figure]:
    item = replace(next(item for item in SHELF if item.gigabytes), id="webscale/product-reviews")
    repo = hub.add("dataset", repo_of(item))
    lines = b"".join(
        b'"the %d. review that somebody wrote about a product",%s\n' % (n, label)
        for n, label in enumerate([b"positive", b"negative"] * 500)
    )
    repo.files["train.csv"] = b"text,label\n" + lines * (40_000_000 // len(lines))
    moved = {}
    for way in ("viewer", "file"):
        hub.viewer = {item.id: viewer_of(item)} if way == "viewer" else {}
        hub.bytes_sent, began_s = 0, time.monotonic()
        found = await source(hub, home / way).search(task())
        assert item.id in {c.id for c in found if c.class_counts}
        moved[way] = hub.bytes_sent / 1e6, time.monotonic() - began_s
    return [
        Figure("huge: the data set", item.gigabytes or 0.0, "GB"),
        *(Figure(f"huge: moved, by the {way}", mb, "MB", INSPECT_MB) for way, (mb, _) in moved.items()),
        *(Figure(f"huge: took, by the {way}", seconds, "s") for way, (_, seconds) in moved.items()),
    ]


async def main() -> int:
    kept = True
    for measure in (stage, huge):
        with tempfile.TemporaryDirectory() as folder:
            async with HubServer().running() as hub:
                for figure in await measure(hub, Path(folder) / "home"):
                    print(figure, flush=True)
                    kept = kept and figure.kept
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
