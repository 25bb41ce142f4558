"""Publishing: the place to publish to (a Protocol), and values about what was or would be published."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class PublishFile:
    path: str
    bytes: int
    sha256: str
    repo: str = ""  # on the Hub: "model", "dataset" or "space"


@dataclass(frozen=True, slots=True)
class PublishedRepo:
    """A repository of a publication. What existed before it is never deleted by unpublishing."""

    id: str
    type: str  # "model", "dataset" or "space"
    url: str
    revision: str
    created: bool  # by this publication
    pull_request: str = ""  # its address, where the repository existed with other content
    number: int | None = None  # of the pull request


@dataclass(frozen=True, slots=True)
class Checkup:
    """What the published model said when it was fetched again, beside ``predictions.csv``."""

    rows: int
    differing: int
    detail: str  # one sentence


@dataclass(frozen=True, slots=True)
class Publication:
    url: str
    revision: str | None
    files: tuple[PublishFile, ...]
    repos: tuple[PublishedRepo, ...] = ()
    collection: str = ""  # its slug, where several repositories were grouped
    collection_created: bool = False
    checkup: Checkup | None = None


class Steps(Protocol):
    """The effects ledger of one publication: what was done is found again after a crash, not repeated."""

    async def once(self, step: str, do: Callable[[], Awaitable[Mapping[str, Any]]]) -> Mapping[str, Any]:
        """The recorded result of ``step``, or that of ``do``, which is recorded. ``do`` may run again where the
        process dies before the record: it looks before it acts."""


Verify = Callable[[Path], Awaitable[Checkup]]  # given a folder with the published model, fetched anew


class Publisher(Protocol):
    """A place to publish to. ``tests/contract/test_publisher.py`` is its contract."""

    name: str  # "folder", "hub"

    async def check(self, target: str) -> None:
        """Whether one may publish there at all; raises PublishError. Asked before training, not after."""

    async def dry_run(self, folder: Path, target: str = "") -> tuple[PublishFile, ...]:
        """What would be published; raises PublishRefused for pickles, secrets, links."""

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
        """Idempotent on ``key`` and ``steps``: a publication that already landed is found, not repeated. Nobody else
        sees any of it before all of it is there and ``verify`` found the same predictions."""

    async def unpublish(self, publication: Mapping[str, Any], *, keep: bool) -> tuple[str, ...]:
        """Take back what a :class:`Publication` (as plain data) made, and nothing that was there before: a sentence
        for each thing done or left. ``keep``: hide it instead of deleting it, where the place can."""
