"""Where papers come from: a person's file, arXiv, the Hub's paper pages. And what they point at."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from graph.errors import SourceError
from graph.literature import Linked, PaperFile, Reported
from graph.names import FailureKind
from graph.research.cache import AnswerCache
from graph.research.hubclient import HubClient
from graph.research.licences import licence_from_tags
from graph.research.papers.arxiv import MAX_PDF_BYTES, Arxiv
from graph.research.papers.github import HOSTS, GitHub
from graph.research.papers.prior import reported_by_models
from graph.research.papers.reference import reference
from graph.research.words import topic_words, words_of
from graph.state import Candidate, TaskSpec
from remote.protocol import sha256_file

if TYPE_CHECKING:
    from huggingface_hub import HfApi

FOUND = 5
LOOKED_UP = 4  # repositories of one paper


@dataclass(frozen=True, slots=True)
class PaperSource:
    """A :class:`graph.literature.Literature`."""

    hub: HubClient
    arxiv: Arxiv
    github: GitHub
    folder: Path  # fetched files, kept by arXiv id
    cache: AnswerCache | None = None

    async def search(self, task: TaskSpec) -> str | None:
        """The id of the Hub's paper that shares most words with the task, if it shares at least two. One request."""
        query = " ".join(dict.fromkeys(task.keywords))[:100]
        if not query or not await self.hub.ready():
            return None
        titles = await self._titles(query)
        wanted = topic_words(task).keys()
        ranked = [(len(wanted & words_of(title)), paper_id) for paper_id, title in titles]
        most = max((count for count, _ in ranked), default=0)
        return next((paper_id for count, paper_id in ranked if count == most), None) if most >= 2 else None

    async def _titles(self, query: str) -> list[list[str]]:
        kept = self.cache.get("papers", {"query": query}) if self.cache else None
        if isinstance(kept, list):
            return kept
        titles = await self.hub.call("the list of papers", lambda api: _titles(api, query))
        if self.cache:
            self.cache.put("papers", {"query": query}, titles)
        return titles

    async def fetch(self, wanted: str, into: Path) -> PaperFile:
        named = reference(wanted)
        if named is None:
            raise SourceError(
                f"{wanted[:80]!r} is no paper that I can read.",
                "Give me a PDF file, an arXiv number such as 2003.04807, or a paper's address on arXiv or the Hub.",
                FailureKind.DATA_ERROR,
            )
        if named.kind == "file":
            return _own(Path(named.id).expanduser(), into)
        kept = self.folder / f"{named.id.replace('/', '_')}.pdf"
        if not kept.is_file():
            await self.arxiv.pdf(named.id, kept)
        return await self._described(named.kind, named.id, _copied(kept, into))

    async def _described(self, kind: str, paper_id: str, path: Path) -> PaperFile:
        """Title and licence are a courtesy: without an answer the PDF's own title serves."""
        licence, title = None, ""
        try:
            entry = await self.arxiv.entry(paper_id)
            if entry:
                licence, title = entry.licence, entry.title
        except SourceError:
            pass
        url = self.hub.page(f"papers/{paper_id}") if kind == "hub" else f"https://arxiv.org/abs/{paper_id}"
        return PaperFile(str(path), paper_id, kind, title, url, sha256_file(path), licence)

    async def licences(self, urls: Sequence[str]) -> tuple[Linked, ...]:
        """Of repositories on the Hub and on GitHub; others are named as not looked up."""
        return tuple(await asyncio.gather(*(self._licence(url) for url in urls[:LOOKED_UP])))

    async def _licence(self, url: str) -> Linked:
        host, _, path = url.removeprefix("https://").partition("/")
        if host in HOSTS:
            return await self.github.licence(url)
        if host not in ("huggingface.co", "hf.co"):
            return Linked(url, note=f"I look licences up on the Hub and on GitHub: read it at {host}")
        kind = path.split("/")[0] if path.startswith(("datasets/", "spaces/")) else "models"
        repo = path.removeprefix(f"{kind}/")
        try:
            info = await self.hub.call(
                f"the repository {repo}",
                lambda api: api.repo_info(repo, repo_type=kind.removesuffix("s"), timeout=10),
            )
        except SourceError as error:
            return Linked(url, note=error.detail)
        licence = licence_from_tags(getattr(info, "tags", None) or ())
        return Linked(url, licence, "" if licence else "its page states none")

    async def reported(self, candidate: Candidate) -> tuple[Reported, ...]:
        if candidate.source != "hub" or not await self.hub.ready():
            return ()
        asked = {"data": candidate.id}
        kept = self.cache.get("reported", asked) if self.cache else None
        if isinstance(kept, list):
            return tuple(Reported(**row) for row in kept)
        rows = await reported_by_models(self.hub, candidate.id)
        if rows and self.cache:
            self.cache.put("reported", asked, [asdict(row) for row in rows])
        return rows


def _titles(api: HfApi, query: str) -> list[list[str]]:
    """``[id, title]`` of the first papers."""
    papers = api.list_papers(query=query, limit=FOUND)
    return [[str(paper.id), str(paper.title or "")] for paper in papers if paper.id]


def _own(path: Path, into: Path) -> PaperFile:
    if not path.is_file():
        raise SourceError(
            f"There is no file {path.name[:80]} here.", "Check the path.", FailureKind.DATA_ERROR
        )
    size = path.stat().st_size
    if not 0 < size <= MAX_PDF_BYTES:
        what = "is empty" if not size else f"has over {MAX_PDF_BYTES / 1e6:.0f} MB"
        raise SourceError(f"The paper {path.name[:80]} {what}.", "Give another file.", FailureKind.DATA_ERROR)
    copy = _copied(path, into)
    return PaperFile(str(copy), path.name, "file", "", "", sha256_file(copy))


def _copied(source: Path, into: Path) -> Path:
    into.mkdir(parents=True, exist_ok=True)
    copy = into / "paper.pdf"
    beside = into / ".paper.pdf.part"
    shutil.copyfile(source, beside)
    return beside.replace(copy)
