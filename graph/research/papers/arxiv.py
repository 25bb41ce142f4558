"""arXiv: a paper's title and licence, and its PDF file. Bounded, with time-outs; nothing there is executed."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from dataclasses import dataclass
from html import unescape
from pathlib import Path

from graph.errors import SourceError
from graph.names import FailureKind

ENDPOINT = "https://export.arxiv.org"
TIMEOUT_S = 30.0
CONNECT_TIMEOUT_S = 4.0
MAX_PDF_BYTES = 40 << 20
MAX_FEED_BYTES = 2 << 20
_HINT = "Give me the PDF file instead, or go on without it."


@dataclass(frozen=True, slots=True)
class Entry:
    id: str
    title: str
    licence: str | None = None


class Arxiv:
    """``endpoint``: where the API (``/api/query``) and the files (``/pdf/ID``) are."""

    def __init__(self, endpoint: str | None = None) -> None:
        self.endpoint = (endpoint or ENDPOINT).rstrip("/")

    async def entry(self, paper_id: str) -> Entry | None:
        """Title and licence, or ``None`` where arXiv does not say. Raises SourceError."""
        body = await asyncio.to_thread(self._get, f"/api/query?id_list={paper_id}&max_results=1", paper_id)
        return entry_of(body.decode("utf-8", errors="replace"), paper_id)

    async def pdf(self, paper_id: str, into: Path) -> Path:
        """The file at ``into``, written whole or not at all. Raises SourceError."""
        await asyncio.to_thread(self._download, paper_id, into)
        return into

    def _get(self, path: str, paper_id: str) -> bytes:
        return b"".join(self._stream(path, paper_id, MAX_FEED_BYTES))

    def _download(self, paper_id: str, into: Path) -> None:
        into.parent.mkdir(parents=True, exist_ok=True)
        beside = into.with_name(f".{into.name}.part")
        try:
            with beside.open("wb") as file:
                for chunk in self._stream(f"/pdf/{paper_id}", paper_id, MAX_PDF_BYTES):
                    file.write(chunk)
            beside.replace(into)
        finally:
            beside.unlink(missing_ok=True)

    def _stream(self, path: str, paper_id: str, most: int) -> Iterator[bytes]:
        import httpx2
        from huggingface_hub import get_session

        timeout = httpx2.Timeout(TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
        count = 0
        try:
            with get_session().stream(
                "GET", self.endpoint + path, timeout=timeout, follow_redirects=True
            ) as answer:
                if answer.status_code != 200:
                    raise _refused(paper_id, answer.status_code)
                for chunk in answer.iter_bytes():
                    count += len(chunk)
                    if count > most:
                        raise SourceError(
                            f"What arXiv sends for {paper_id} has over {most / 1e6:.0f} MB.",
                            _HINT,
                            FailureKind.DATA_ERROR,
                        )
                    yield chunk
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            raise SourceError(f"arXiv cannot be reached for {paper_id}.", _HINT) from error


def _refused(paper_id: str, status: int) -> SourceError:
    if status in (400, 404):
        return SourceError(
            f"arXiv has no paper {paper_id}.",
            "Check the number, or give me the PDF file.",
            FailureKind.DATA_ERROR,
        )
    if status in (403, 429, 503):
        return SourceError(
            f"arXiv asks for a pause ({status}).",
            "Try again in some minutes, or give me the PDF file.",
            FailureKind.NO_CAPACITY,
        )
    return SourceError(f"arXiv answered with an error ({status}) for {paper_id}.", _HINT)


_ENTRY = re.compile(r"<entry>(.*?)</entry>", re.DOTALL)
_TITLE = re.compile(r"<title[^>]*>(.*?)</title>", re.DOTALL)
_LICENCE = re.compile(
    r"<(?:\w+:)?license[^>]*>(.*?)</|rel=\"license\"[^>]*href=\"([^\"]{1,200})\"", re.DOTALL
)


def entry_of(feed: str, paper_id: str) -> Entry | None:
    """The first entry of an Atom feed. Three tags are looked for; a whole XML parser would be one more door."""
    entry = _ENTRY.search(feed)
    title = _TITLE.search(entry[1]) if entry else None
    if entry is None or title is None or title[1].strip() == "Error":
        return None
    licence = _LICENCE.search(entry[1])
    found = (licence[1] or licence[2] or "").strip() if licence else ""
    return Entry(paper_id, " ".join(unescape(title[1]).split())[:200], licence_id(found))


def licence_id(address: str) -> str | None:
    """The Hub's id for a Creative Commons address; ``None`` for none. arXiv's own lets only arXiv distribute."""
    match = re.search(
        r"creativecommons\.org/(?:licenses/(by(?:-nc)?(?:-sa|-nd)?)/(\d\.\d)|publicdomain/(zero)/(\d\.\d))",
        address,
    )
    if match:
        return f"cc0-{match[4]}" if match[3] else f"cc-{match[1]}-{match[2]}"
    return "arxiv-nonexclusive" if "arxiv.org/licenses" in address else None
