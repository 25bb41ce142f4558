"""The graph's one exception tree. Every member carries the kind that is recorded and words for a person."""

from __future__ import annotations

from graph.names import FailureKind


class GraphError(Exception):
    """``detail``: what happened, one sentence. ``hint``: what to do, one sentence."""

    kind = FailureKind.UNKNOWN

    def __init__(self, detail: str, hint: str = "", kind: FailureKind | None = None) -> None:
        super().__init__(f"{detail} {hint}".strip())
        self.detail = detail
        self.hint = hint
        if kind is not None:
            self.kind = kind


class StoreError(GraphError):
    """The database is locked, full or unreadable."""


class RunNotFound(GraphError):
    """No run, or more than one, has that id."""


class LeaseLost(GraphError):
    """Another process has taken the run over; what this one still wanted to write is dropped."""


class SourceError(GraphError):
    """The Hub or the catalogue could not give what was asked."""

    kind = FailureKind.UNREACHABLE


class PublishRefused(GraphError):
    """The folder holds something that is never published: a pickle, a secret, a link."""

    kind = FailureKind.DENIED


class PublishError(GraphError):
    """The place to publish to refused or did not answer."""

    kind = FailureKind.UNREACHABLE


class StageFailed(GraphError):
    """A stage cannot go on; the run ends as failed with what was saved."""
