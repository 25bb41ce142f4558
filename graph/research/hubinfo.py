"""What is read out of the Hub's answers about a repository, data set or model alike. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from graph.errors import SourceError
from graph.names import FailureKind

if TYPE_CHECKING:
    from huggingface_hub.hf_api import DatasetInfo, ModelInfo

DOWNLOAD_TIMEOUT_S = 1800.0
ID = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)(@(?P<revision>[\w./-]+))?(#(?P<file>[^\0]+))?")


def plain_id(wanted: str) -> str:
    """``owner/name`` out of the forms in which people write it."""
    text = wanted.strip().removeprefix("hub:").removeprefix("hf://")
    text = re.sub(r"^https?://[^/]+/", "", text)
    return text.removeprefix("datasets/").rstrip("/")


def parse_id(wanted: str) -> tuple[str, str | None, str]:
    match = ID.fullmatch(plain_id(wanted))
    if match is None:
        raise SourceError(f"{wanted[:80]!r} is no Hub id.", "Write it as owner/name.", FailureKind.DATA_ERROR)
    return match["repo"], match["revision"], match["file"] or ""


def card_of(info: DatasetInfo | ModelInfo) -> dict[str, Any]:
    return dict(vars(info.card_data)) if info.card_data else {}


def paths_of(info: DatasetInfo | ModelInfo) -> list[str]:
    return [sibling.rfilename for sibling in info.siblings or ()]


def bytes_of(info: DatasetInfo | ModelInfo, files: Sequence[str]) -> int:
    return sum(size for path, size in sizes_of(info).items() if path in files)


def sizes_of(info: DatasetInfo | ModelInfo) -> dict[str, int]:
    """Path to bytes; 0 where the Hub does not say."""
    return {sibling.rfilename: sibling.size or 0 for sibling in info.siblings or ()}


def languages_of(card: Mapping[str, Any]) -> tuple[str, ...]:
    named = card.get("language") or ()
    return (named,) if isinstance(named, str) else tuple(str(n) for n in named)
