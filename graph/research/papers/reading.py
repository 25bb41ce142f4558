"""From the ``paper.json`` of the reading job to frozen values. Pure; the file was made from a foreign PDF, so every
field is checked and cut, and what does not fit is left out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from graph.files import listed
from graph.literature import Paper, PaperFact, PaperResult

MAX_FACTS = 80
MAX_RESULTS = 80  # of a run's state; the file holds all
MAX_CHARS = 480


def paper_of(body: Mapping[str, Any], **more: Any) -> Paper:
    """``more``: what the file cannot know (id, source, url, sha256, named, licence)."""
    facts = [fact for item in _items(body, "facts") if (fact := _fact(item))]
    results = [result for item in _items(body, "results") if (result := _result(item))]
    return Paper(
        title=_text(body.get("title"), 200) or "Untitled paper",
        pages=_whole(body.get("pages")),
        facts=tuple(facts[:MAX_FACTS]),
        results=tuple(results[:MAX_RESULTS]),
        notes=tuple(_text(note, 300) for note in listed(body.get("notes"))[:6]),
        **more,
    )


def _items(body: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    return [item for item in listed(body.get(key)) if isinstance(item, dict)]


def _text(value: Any, chars: int = MAX_CHARS) -> str:
    return " ".join(value.split())[:chars] if isinstance(value, str) else ""


def _whole(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**6 else 0


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return value


def _fact(item: Mapping[str, Any]) -> PaperFact | None:
    value, page, quote = item.get("value"), _whole(item.get("page")), _text(item.get("quote"))
    if isinstance(value, list):
        value = tuple(v for v in value[:12] if _number(v) is not None)
    elif isinstance(value, str):
        value = _text(value, 120)
    elif _number(value) is None:
        return None
    if not (page and quote) or value in ("", ()):
        return None
    return PaperFact(_text(item.get("field"), 40), value, page, quote, _text(item.get("where"), 20))


def _result(item: Mapping[str, Any]) -> PaperResult | None:
    value, page, quote = _number(item.get("value")), _whole(item.get("page")), _text(item.get("quote"))
    metric = _text(item.get("metric"), 40)
    if value is None or not (page and quote and metric):
        return None
    return PaperResult(
        metric,
        float(value),
        _text(item.get("written"), 40),
        _text(item.get("model"), 80),
        _text(item.get("data"), 80) or None,
        _text(item.get("split"), 20) or None,
        page,
        quote,
        _text(item.get("where"), 20),
    )
