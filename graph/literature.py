"""The work of others: where papers come from (a Protocol), and values about a paper that was read and about scores that
were published. The values are part of a run's state, so a new field needs a default.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from graph.state import Candidate, TaskSpec


@dataclass(frozen=True, slots=True)
class PaperFact:
    """One thing that a paper says. ``quote`` stands literally on ``page``; ``value``: a name, a number, or several."""

    field: str  # task, data_set, architecture, loss, optimiser, link, or a hyperparameter
    value: Any
    page: int  # from 1
    quote: str
    where: str = ""  # "Table 3"
    by: str = ""  # the language model that read it; "": rules


@dataclass(frozen=True, slots=True)
class PaperResult:
    """A score that a paper reports. ``value`` is a share where the metric is one; ``None``: it does not say."""

    metric: str
    value: float
    written: str
    model: str
    data: str | None
    split: str | None
    page: int
    quote: str
    where: str = ""
    by: str = ""


@dataclass(frozen=True, slots=True)
class Linked:
    """A repository that a paper points at; ``note`` says why its licence is not known."""

    url: str
    licence: str | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Paper:
    id: str
    source: str  # "file", "arxiv" or "hub"
    title: str
    url: str = ""
    sha256: str = ""
    pages: int = 0
    named: bool = False  # a person named it, so the plan follows it
    licence: str | None = None  # of the paper itself
    facts: tuple[PaperFact, ...] = ()
    results: tuple[PaperResult, ...] = ()
    linked: tuple[Linked, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reported:
    """A score that others published for the data: reported, not measured here."""

    metric: str
    value: float
    model: str
    source: str  # "model card" or "paper"
    url: str
    split: str | None = None
    config: str | None = None
    where: str = ""  # "Table 3, page 5"
    verified: bool = False
    task: str | None = None  # the Hub's id of the task, where the card says it


@dataclass(frozen=True, slots=True)
class PaperFile:
    """A paper's PDF file in the run's folder, not yet read. ``title``: as its source names it, or ""."""

    path: str
    id: str
    source: str  # "file", "arxiv", "hub"
    title: str
    url: str
    sha256: str
    licence: str | None = None


class Literature(Protocol):
    """Papers and prior results. Errors: :class:`graph.errors.SourceError` with a sentence and a hint, but for
    ``licences``, which says it in a note."""

    async def search(self, task: TaskSpec) -> str | None:
        """What to give :meth:`fetch` for a paper on this task, or ``None``."""

    async def fetch(self, wanted: str, into: Path) -> PaperFile: ...
    async def licences(self, urls: Sequence[str]) -> tuple[Linked, ...]:
        """Licences of the first few repositories that a paper points at."""

    async def reported(self, candidate: Candidate) -> tuple[Reported, ...]:
        """What others published for the data set; at most two requests."""
