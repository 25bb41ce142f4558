"""The offline catalogue's table of contents: ``catalogue.toml`` as frozen values."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources

from graph.names import TaskFamily
from graph.research.packages import Package
from graph.research.ranking import Found
from graph.research.ratings import Variant
from graph.state import Candidate, TaskSpec

_OPINIONS = frozenset(
    {
        "good",
        "bad",
        "pos",
        "neg",
        "happy",
        "unhappy",
        "favourable",
        "unfavourable",
        "favorable",
        "unfavorable",
    }
)
_ASKS = frozenset(
    {"sentiment", "opinion", "polarity", "positive", "negative", "tone", "mood", "rating", "star", "review"}
    | {"feedback", "feeling", "emotion", "attitude", "valence"}
)
TOPICS = "classes"  # the one variant of a data set with classes of its own


@dataclass(frozen=True, slots=True)
class DataEntry:
    id: str
    title: str
    package: Package
    kind: str  # "ratings" or "tab"
    member: str  # path in the package, without the ending that differs between its files
    words: frozenset[str]
    rows: Mapping[str, int]  # by variant
    attribution: str
    url: str
    licence: str | None = None
    classes: int | None = None
    grouped: bool = False
    language: str = "en"

    def variant(self, task: TaskSpec) -> str:
        """What of this data set fits the task."""
        if self.kind != "ratings":
            return TOPICS
        if task.family is TaskFamily.REGRESSION:
            return Variant.RATING
        wants_neutral = "neutral" in (label.casefold() for label in task.labels) or len(task.labels) == 3
        return Variant.NEUTRAL if wants_neutral or task.family is TaskFamily.MULTICLASS else Variant.BINARY

    def found(self, candidate: Candidate) -> Found:
        """What the ranking may know of it."""
        rated = self.kind == "ratings"
        families = (
            {TaskFamily.BINARY, TaskFamily.MULTICLASS, TaskFamily.REGRESSION}
            if rated
            else {TaskFamily.MULTICLASS}
        )
        labels = {"positive", "negative", "neutral"} if rated else ()
        also = _OPINIONS if rated else frozenset()
        return Found(
            candidate,
            self.words,
            self.language,
            frozenset(families),
            frozenset(labels),
            also,
            asks=_ASKS if rated else frozenset(),
        )


@dataclass(frozen=True, slots=True)
class ModelEntry:
    id: str
    package: Package
    prefix: str
    licence: str
    parameters_m: float
    languages: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Contents:
    data: Mapping[str, DataEntry]
    model: ModelEntry
    packages: Mapping[str, Package] = field(default_factory=dict)


def load_contents() -> Contents:
    raw = tomllib.loads(
        resources.files("graph.research").joinpath("catalogue.toml").read_text(encoding="utf-8")
    )
    packages = {key: Package(**value) for key, value in raw["packages"].items()}
    data = {}
    for entry in raw["data"]:
        fields = {**entry, "package": packages[entry["package"]], "words": frozenset(entry["words"])}
        data[entry["id"]] = DataEntry(**fields)
    model = raw["model"]
    return Contents(
        data,
        ModelEntry(
            **{**model, "package": packages[model["package"]], "languages": tuple(model["languages"])}
        ),
        packages,
    )
