"""Reads a paper: a foreign PDF file in, structured facts out, each with its page and the words that say it.

The file is untrusted and its parser is C++: that is why this is a job. Everything in the paper is data; a sentence in
it that gives orders is a sentence in it. ``docs/papers.md`` describes ``out/paper.json``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from remote.jobs import paper_names as names
from remote.jobs import paper_ocr
from remote.jobs.paper_pages import Page, open_pdf, read_page
from remote.jobs.paper_rules import Fact, Passage, hyperparameters, links, losses, named, optimisers
from remote.jobs.paper_tables import MAX_RESULTS, Result, Table, results_of, rows_of, said, tables_of
from remote.jobs.rows import write_text
from remote.protocol import Emitter, FailureKind, JobError
from remote.quotes import normal, that_stand

OUT = Path("out")
MAX_PAGES = 80  # of a longer file the first ones
TITLE_CHARS = 200
_REFERENCES = re.compile(r"(?:\d{1,2}\.? )?(?:references|bibliography)", re.IGNORECASE)
_APPENDIX = re.compile(
    r"(?i:appendix|appendices|supplementary)\b.*|[A-H](?:\.\d)? [A-Z][A-Za-z-]+(?: [A-Za-z-]+){0,6}"
)


def run(config: Mapping[str, Any], emit: Emitter) -> Mapping[str, Any]:
    """config ``{"file": path, "name": str}`` → ``out/paper.json``, ``out/pages.json``.

    Result: its title, pages, counts and notes.

    Raises JobError (``data_error``) for a file that is no PDF, is encrypted, damaged, or holds no text.
    """
    name = str(config.get("name") or "The paper")[:80]
    document = open_pdf(Path(config["file"]), name)
    try:
        count = len(document)
        pages = [
            _page(document, index, emit, min(count, MAX_PAGES)) for index in range(min(count, MAX_PAGES))
        ]
        pages, notes = paper_ocr.with_text(document, pages)
        metadata = str(document.get_metadata_dict().get("Title") or "")
    finally:
        document.close()
    if not any(page.lines for page in pages):
        raise JobError(FailureKind.DATA_ERROR, _textless(name, pages, notes))
    if count > len(pages):
        notes = [*notes, f"It has {count} pages; I read the first {len(pages)}."]
    body = {
        "title": title_of(pages, metadata),
        "pages": count,
        "pages_read": len(pages),
        "pages_scanned": [page.number for page in pages if page.scanned],
        "notes": notes,
        **facts_of(pages),
    }
    text = json.dumps(body, ensure_ascii=False, indent=1, allow_nan=False) + "\n"
    emit.artifact(write_text(OUT / "paper.json", text), OUT)
    emit.artifact(write_text(OUT / "pages.json", _texts(pages)), OUT)
    return {
        "title": body["title"],
        "pages": count,
        "facts": len(body["facts"]),
        "results": len(body["results"]),
        "notes": notes,
    }


def _texts(pages: Sequence[Page]) -> str:
    """``{"pages": [{"number", "text"}]}``: what a quotation is checked against."""
    texts = [{"number": page.number, "text": page.text} for page in pages if page.text]
    return json.dumps({"pages": texts}, ensure_ascii=False)


def _page(document: Any, index: int, emit: Emitter, count: int) -> Page:
    emit.progress(index + 1, count)
    return read_page(document, index)


def _textless(name: str, pages: Sequence[Page], notes: Sequence[str]) -> str:
    if any(page.scanned for page in pages):
        return f"{name} is scanned: its pages are images without text. {' '.join(notes)}".strip()
    return f"{name} holds no text."


def title_of(pages: Sequence[Page], metadata: str) -> str:
    """The file's own title, else the first line of the first page with text that could be one."""
    if len(normal(metadata).split()) >= 3:
        return normal(metadata)[:TITLE_CHARS]
    for page in pages:
        for line in page.lines[:8]:
            text = normal(line.text)
            if len(text.split()) >= 3 and not text.lower().startswith(
                ("arxiv", "proceedings", "published", "preprint")
            ):
                return text[:TITLE_CHARS]
    return "Untitled paper"


def facts_of(pages: Sequence[Page]) -> dict[str, Any]:
    """``{"facts": [...], "results": [...]}``: only what stands on its page."""
    tables = [table for page in pages for table in tables_of(page)]
    prose = _prose(pages, tables)
    rows = [passage for table in tables for passage in rows_of(table)]
    everything = [*prose, *rows]
    facts = [
        *named("task", names.TASKS, everything, 3),
        *named("data_set", names.DATA_SETS, everything),
        *named("architecture", names.ARCHITECTURES, everything),
        *losses(prose),
        *optimisers(everything),
        *hyperparameters([*rows, *prose]),
    ]
    texts = {page.number: page.text for page in pages}
    kept = that_stand(facts, texts, lambda fact: (fact.page, fact.quote))
    results = [*(r for table in tables for r in results_of(table)), *said(prose)]
    standing = that_stand(results, texts, lambda result: (result.page, result.quote))
    pointed = [fact for page in pages for fact in links(page.number, normal(page.text), page.links)]
    return {
        "facts": [asdict(fact) for fact in (*kept, *_once(pointed))],
        "results": [asdict(result) for result in _distinct(standing)[:MAX_RESULTS]],
    }


def _once(facts: Sequence[Fact]) -> list[Fact]:
    return list({fact.value: fact for fact in reversed(facts)}.values())[::-1][:20]


def _distinct(results: Sequence[Result]) -> list[Result]:
    return list({(r.metric, r.value, r.model, r.data, r.split, r.page): r for r in results}.values())


def _prose(pages: Sequence[Page], tables: Sequence[Table]) -> list[Passage]:
    """A page's text without its tables' rows and without the list of references, which is about other papers."""
    tabular = {(table.page, id(row)) for table in tables for row in (*table.header, *table.rows)}
    passages, listing = [], False
    for page in pages:
        lines = []
        for line in page.lines:
            text = normal(line.text)
            if _REFERENCES.fullmatch(text):
                listing = True
            elif listing and _APPENDIX.fullmatch(text):
                listing = False
            if not listing and (page.number, id(line)) not in tabular:
                lines.append(line.text)
        if lines:
            passages.append(Passage(page.number, normal("\n".join(lines))))
    return passages
