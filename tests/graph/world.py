"""A small world for the graph: real store, real driver, real understanding; fakes only behind our own Protocols."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from langgraph.checkpoint.base import BaseCheckpointSaver

from graph.deps import Deps, Literature, Publication, PublishFile, Recipe, Source, Steps, Verify
from graph.driver import Driver
from graph.errors import SourceError
from graph.llm.model import LanguageModel
from graph.names import TaskFamily
from graph.state import Candidate, DataFiles, ModelChoice, Request, TaskSpec
from graph.store.checkpoints import sqlite_saver
from graph.store.sqlite import SqliteStore
from remote.backends.fake import FakeBackend, Reply, Script
from remote.protocol import JobEventType

SENTENCE = "Tell positive from negative product reviews. I care about macro-F1. Don't spend any money."
SCORE = {"value": 0.9, "low": 0.88, "high": 0.92}
LEADERBOARD = [
    {"name": "tfidf_lr", "score": {"value": 0.8, "low": 0.78, "high": 0.82}, "fit_s": 1.0, "usd": 0.0},
    {"name": "embedding_lr", "score": {"value": 0.85, "low": 0.83, "high": 0.87}, "fit_s": 2.0, "usd": 0.0},
]
PROGRESS = [
    (JobEventType.PROGRESS, {"step": i, "total": 3, "metrics": {"loss": 1.0 / i}}) for i in range(1, 4)
]


def good_script() -> dict[str, Any]:
    """Every program answers at once and well."""
    return {
        "inspect": Reply(
            {
                "rows": 100,
                "columns": [],
                "text_column": "text",
                "target": "label",
                "classes": 2,
                "certain": True,
                "why": "one text column, one with two values",
                "alternatives": {"text": [], "target": []},
            }
        ),
        "audit": Reply(
            {
                "family": "binary",
                "labels": ["negative", "positive"],
                "rows": {"train": 70, "validation": 10, "test": 20},
                "findings": [
                    {"kind": "duplicates", "severity": "info", "detail": "3 rows", "done": "dropped"}
                ],
                "split_sha256": {"train": "a", "validation": "b", "test": "c"},
                "imbalance": 1.4,
                "words_p95": 30,
                "language": "en",
            },
            files={
                **{f"{s}.jsonl": "{}\n" for s in ("train", "validation", "test")},
                "audit.json": "{}",
                "audit.md": "# Audit",
                "plots/class_balance.png": b"png",
            },
        ),
        "smoke": Reply(
            {"checks": [{"name": "loss", "ok": True, "detail": ""}], "rows_per_s": {"embed": 100}}
        ),
        "baselines": Reply(
            {"leaderboard": LEADERBOARD, "split": "validation", "overlap": False, "ceiling_reached": False},
            files={"baselines/tfidf.json": "{}"},
        ),
        "train": Reply(
            {
                "metric": "macro_f1",
                "metrics": {"macro_f1": 0.9},
                "epochs": 2,
                "best_epoch": 2,
                "seconds": 30.0,
                "rows_per_s": 99.0,
            },
            events=[*PROGRESS, (JobEventType.EPOCH, {"epoch": 1, "metrics": {"macro_f1": 0.9}})],
            files={
                "model/config.json": "{}",
                "model/model.safetensors": b"weights",
                "training.json": '{"versions": {"torch": "2"}}',
                "schedule.json": "{}",
                "validation_predictions.csv": "row_id\n",
            },
        ),
        "evaluate": Reply(
            {
                "metrics": {"macro_f1": SCORE},
                "primary": "macro_f1",
                "leaderboard": [*LEADERBOARD, {"name": "model", "score": SCORE}],
                "verdict": "The model is better than the baselines.",
                "plots": [],
            },
            files={
                "metrics.json": "{}",
                "predictions.csv": "row_id\n",
                "leaderboard.json": "[]",
                "plots/confusion_matrix.png": b"png",
            },
        ),
        "stress": Reply({"findings": [], "suggestions": []}, files={"stress.json": "{}"}),
        "card": Reply(
            {},
            files={
                "report.md": "# Report",
                "model/config.json": "{}",
                "model/model.safetensors": b"weights",
                "model/README.md": "# Card",
                "space/app.py": "print()",
            },
        ),
    }


@dataclass
class FakeSource:
    """A catalogue with one data set and one model, on disk."""

    folder: Path
    name: str = "catalogue"
    searchable: bool = True
    licence: str | None = "mit"
    up: bool = True
    searches: list[TaskSpec] = field(default_factory=list)

    def claims(self, wanted: str) -> bool:
        return wanted == "reviews"

    async def ready(self) -> bool:
        return self.up

    def _candidate(self, number: int = 1) -> Candidate:
        title = f"Product reviews {number}"
        return Candidate(
            f"reviews{number}", self.name, title, self.licence, text_column="text", target="label"
        )

    async def search(self, task: TaskSpec, limit: int = 5, skip: Collection[str] = ()) -> list[Candidate]:
        self.searches.append(task)
        return [c for c in (self._candidate(1), self._candidate(2)) if c.id not in skip]

    async def candidate(self, dataset_id: str) -> Candidate:
        if not self.claims(dataset_id):
            raise SourceError(f"There is no data set {dataset_id!r}.", "Check its name.")
        return self._candidate()

    async def fetch(self, candidate: Candidate, into: Path) -> DataFiles:
        into.mkdir(parents=True, exist_ok=True)
        path = into / "reviews.csv"
        path.write_text("text,label\ngood,positive\n")
        return DataFiles(
            candidate, {"train": str(path)}, {"train": hashlib.sha256(path.read_bytes()).hexdigest()}
        )

    async def model(self, task: TaskSpec) -> ModelChoice:
        path = self.folder / "base"
        path.mkdir(exist_ok=True)
        return ModelChoice("tiny", self.name, str(path), "apache-2.0")


@dataclass
class FakePublisher:
    name: str = "folder"
    published: list[tuple[str, bool, str]] = field(default_factory=list)
    error: Exception | None = None
    refuses: Exception | None = None
    unpublished: list[tuple[str, bool]] = field(default_factory=list)

    async def check(self, target: str) -> None:
        if self.refuses:
            raise self.refuses

    async def dry_run(self, folder: Path, target: str = "") -> tuple[PublishFile, ...]:
        return (PublishFile("README.md", 3, "00"),)

    async def publish(
        self,
        folder: Path,
        target: str,
        *,
        private: bool,
        key: str,
        steps: Steps,
        verify: Verify | None = None,
    ) -> Publication:
        if self.error:
            raise self.error
        if key not in [k for _, _, k in self.published]:
            self.published.append((target, private, key))
        return Publication(target, "rev", (PublishFile("README.md", 3, "00"),))

    async def unpublish(self, publication: Mapping[str, Any], *, keep: bool) -> tuple[str, ...]:
        self.unpublished.append((str(publication["url"]), keep))
        return ("It is gone.",)


@dataclass(frozen=True)
class FakeRecipe:
    name: str
    families: tuple[str, ...]
    script: Path
    companions: tuple[Path, ...]

    def defaults(self) -> Mapping[str, Any]:
        return {
            "batch_size": 32,
            "gradient_accumulation": 1,
            "learning_rate": 2e-4,
            "epochs": 2,
            "max_length": 128,
        }

    def plan(self, facts: Mapping[str, Any]) -> tuple[list[tuple[str, Any, str]], float]:
        epochs = facts["overrides"].get("epochs", 2)
        return [("epochs", epochs, "asked for" if "epochs" in facts["overrides"] else "usual")], 30.0 * epochs


@dataclass(frozen=True)
class FakeRecipes:
    folder: Path

    def for_family(self, family: TaskFamily) -> Recipe:
        script, parts = self.folder / "recipe.py", self.folder / "finetune"
        parts.mkdir(exist_ok=True)
        for path in (script, parts / "loop.py"):
            path.write_text("print('hello')\n")
        return FakeRecipe("text_classification", ("binary",), script, (parts,))


@dataclass
class World:
    """Builds as many "processes" over one home as a test wants."""

    home: Path
    script: Script = field(default_factory=good_script)
    backend: FakeBackend | None = None
    source: Source | None = None
    publisher: FakePublisher = field(default_factory=FakePublisher)
    literature: Literature | None = None
    llm: LanguageModel | None = None
    ticks: int = 0

    def now(self) -> datetime:
        self.ticks += 1
        return datetime.fromtimestamp(1_800_000_000 + self.ticks / 1000, UTC)

    def deps(self, store: SqliteStore) -> Deps:
        self.backend = self.backend or FakeBackend(self.script, name="local")
        self.source = self.source or FakeSource(self.home)
        return Deps(
            store=store,
            backends=[self.backend],
            sources=[self.source],
            publishers={"folder": self.publisher},
            recipes=FakeRecipes(self.home),
            home=self.home,
            now=self.now,
            literature=self.literature,
            llm=self.llm,
        )

    @asynccontextmanager
    async def process(
        self, wrap: Callable[[BaseCheckpointSaver[str]], BaseCheckpointSaver[str]] = lambda s: s
    ) -> AsyncIterator[Driver]:
        self.home.mkdir(parents=True, exist_ok=True)
        store = await SqliteStore.open(self.home / "intern.db")
        try:
            async with sqlite_saver(self.home / "intern.db") as saver:
                yield Driver(self.deps(store), wrap(saver), lambda: 1_800_000_000.0)
        finally:
            await store.close()

    async def start(self, driver: Driver, **request: Any) -> str:
        asked = replace(Request(SENTENCE, yes=True), **request)
        await driver.deps.store.create_run("r1", asked, "Reviews", driver.deps.at())
        return "r1"
