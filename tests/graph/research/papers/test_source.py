"""Papers and prior results through the real clients: what comes, what is refused, what is asked of whom."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from graph.errors import SourceError
from graph.literature import Linked
from graph.names import FailureKind
from graph.research.cache import AnswerCache
from graph.research.hubclient import HubClient
from graph.research.papers import arxiv
from graph.research.papers.arxiv import Arxiv, entry_of, licence_id
from graph.research.papers.github import GitHub
from graph.research.papers.reference import Reference, reference
from graph.research.papers.source import PaperSource
from graph.state import Candidate, TaskSpec
from tests.hub.server import Fault, HubServer, Repo
from tests.remote.jobs import pdfs

NUMBER = "2003.04807"
TASK = TaskSpec("Sort questions.", "Questions", None, keywords=("banking questions", "intent"))
BANKING = Candidate("PolyAI/banking77", "hub", "BANKING77", "cc-by-4.0")


async def no_wait(seconds: float) -> None:
    return None


@pytest.fixture
async def server() -> AsyncIterator[HubServer]:
    async with HubServer().running() as server:
        card = {
            "title": "Intent & banking questions",
            "licence": "http://creativecommons.org/licenses/by/4.0/",
        }
        server.add("paper", Repo(NUMBER, {"paper.pdf": pdfs.paper()}, card=card))
        yield server


@pytest.fixture
def literature(server: HubServer, tmp_path: Path) -> PaperSource:
    client = HubClient(server.url, None, error=SourceError, sleep=no_wait)
    return PaperSource(client, Arxiv(server.url), GitHub(server.url), tmp_path / "papers")


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (NUMBER, Reference("arxiv", NUMBER)),
        ("arXiv:2003.04807v2", Reference("arxiv", "2003.04807v2")),
        ("https://arxiv.org/abs/2003.04807", Reference("arxiv", NUMBER)),
        ("https://arxiv.org/pdf/2003.04807.pdf", Reference("arxiv", NUMBER)),
        ("arxiv.org/abs/cs.CL/0112017", Reference("arxiv", "cs.CL/0112017")),
        ("https://huggingface.co/papers/2003.04807", Reference("hub", NUMBER)),
        ("my/methods.PDF", Reference("file", "my/methods.PDF")),
        ("https://example.org/methods.pdf", None),
        ("https://arxiv.org.evil.example/abs/2003.04807", None),
        ("a paper", None),
        ("20030.48", None),
    ],
)
def test_what_names_a_paper(wanted: str, found: Reference | None) -> None:
    assert reference(wanted) == found


async def test_a_paper_comes_with_title_licence_and_hash_and_is_kept(
    literature: PaperSource, server: HubServer, tmp_path: Path
) -> None:
    file = await literature.fetch(NUMBER, tmp_path / "run")
    assert (file.title, file.licence, file.source) == ("Intent & banking questions", "cc-by-4.0", "arxiv")
    assert Path(file.path).read_bytes() == pdfs.paper()
    assert len(file.sha256) == 64
    server.requests.clear()
    again = await literature.fetch(f"https://huggingface.co/papers/{NUMBER}", tmp_path / "other")
    assert again.url == f"{server.url}/papers/{NUMBER}"
    assert [r for r in server.requests if "/pdf/" in r] == []


async def test_without_its_description_the_paper_still_comes(
    literature: PaperSource, server: HubServer, tmp_path: Path
) -> None:
    server.faults = [Fault("GET /api/query", status=500, times=9)]
    file = await literature.fetch(NUMBER, tmp_path / "run")
    assert (file.title, file.licence) == ("", None)


@pytest.mark.parametrize(
    ("status", "words", "kind"),
    [
        (404, "arXiv has no paper 2003.04807.", FailureKind.DATA_ERROR),
        (429, "arXiv asks for a pause", FailureKind.NO_CAPACITY),
        (503, "arXiv asks for a pause", FailureKind.NO_CAPACITY),
        (500, "arXiv answered with an error (500)", FailureKind.UNREACHABLE),
    ],
)
async def test_what_arxiv_says_no_to(
    literature: PaperSource, server: HubServer, tmp_path: Path, status: int, words: str, kind: FailureKind
) -> None:
    server.faults = [Fault("GET /pdf", status=status, times=9)]
    with pytest.raises(SourceError) as caught:
        await literature.fetch(NUMBER, tmp_path / "run")
    assert words in caught.value.detail
    assert caught.value.kind is kind
    assert caught.value.hint


async def test_a_file_that_breaks_off_is_not_kept(
    literature: PaperSource, server: HubServer, tmp_path: Path
) -> None:
    server.faults = [Fault("GET /pdf", kind="truncate")]
    with pytest.raises(SourceError, match="cannot be reached"):
        await literature.fetch(NUMBER, tmp_path / "run")
    assert list((tmp_path / "papers").iterdir()) == []
    assert Path((await literature.fetch(NUMBER, tmp_path / "run")).path).read_bytes() == pdfs.paper()


async def test_a_file_too_large_is_given_up_on_the_way(
    literature: PaperSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arxiv, "MAX_PDF_BYTES", 1000)
    with pytest.raises(SourceError, match="over"):
        await literature.fetch(NUMBER, tmp_path / "run")
    assert list((tmp_path / "papers").iterdir()) == []


async def test_no_arxiv_is_one_sentence(tmp_path: Path, literature: PaperSource) -> None:
    nobody = replace(literature, arxiv=Arxiv("http://127.0.0.1:9"))
    with pytest.raises(SourceError, match="cannot be reached"):
        await nobody.fetch(NUMBER, tmp_path / "run")


@pytest.mark.parametrize(("content", "words"), [(None, "There is no file"), (b"", "is empty")])
async def test_a_file_of_ones_own_that_is_not_there(
    literature: PaperSource, tmp_path: Path, content: bytes | None, words: str
) -> None:
    if content is not None:
        (tmp_path / "mine.pdf").write_bytes(content)
    with pytest.raises(SourceError, match=words):
        await literature.fetch(str(tmp_path / "mine.pdf"), tmp_path / "run")


async def test_search_takes_what_shares_words_with_the_task(
    literature: PaperSource, server: HubServer
) -> None:
    server.add("paper", Repo("1901.00001", {}, card={"title": "Banking on weather"}))
    assert await literature.search(TASK) == NUMBER
    assert await literature.search(replace(TASK, keywords=("weather", "rain"))) is None
    assert sum("/api/papers/search" in r for r in server.requests) == 2


async def test_answers_are_kept_for_a_while(
    literature: PaperSource, server: HubServer, tmp_path: Path
) -> None:
    server.add("model", trained(result(0.9)))
    now = [1000.0]
    cache = AnswerCache(tmp_path / "answers", server.url, None, clock=lambda: now[0])
    keeping = replace(literature, cache=cache)
    first = (await keeping.search(TASK), await keeping.reported(BANKING))
    asked = [r for r in server.requests if r != "GET /api/datasets"]
    assert len(asked) == 3
    again = (await keeping.search(TASK), await keeping.reported(BANKING))
    assert again == first
    assert [r for r in server.requests if r != "GET /api/datasets"] == asked
    now[0] += 7 * 3600
    await keeping.search(TASK)
    assert sum("/api/papers/search" in r for r in server.requests) == 2


@pytest.mark.parametrize("body", [b"<html>", b'{"papers": 3}', b"[3]", b'[{"paper": null}]', b"null"])
async def test_an_answer_that_is_no_list_of_papers_is_one_sentence(
    literature: PaperSource, server: HubServer, body: bytes
) -> None:
    server.faults = [Fault("/api/papers/search", kind="body", body=body)]
    with pytest.raises(SourceError, match="the Hub's answer for the list of papers cannot be understood"):
        await literature.search(TASK)


async def test_a_title_that_is_none_shares_no_words(literature: PaperSource, server: HubServer) -> None:
    server.add("paper", Repo("1", {}, card={"title": {"not": "a title"}}))
    server.repos["paper", NUMBER].card["title"] = "Weather"
    assert await literature.search(TASK) is None


@pytest.mark.parametrize(
    ("feed", "title"),
    [
        ("<feed><entry><title>A\n  b &amp; c</title></entry></feed>", "A b & c"),
        ("<feed><title>Query</title></feed>", None),
        ("<feed><entry><title>Error</title></entry></feed>", None),
        ("not xml <entry>", None),
    ],
)
def test_what_a_feed_says(feed: str, title: str | None) -> None:
    entry = entry_of(feed, "1")
    assert (entry.title if entry else None) == title


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("http://creativecommons.org/licenses/by-nc-sa/4.0/", "cc-by-nc-sa-4.0"),
        ("http://creativecommons.org/publicdomain/zero/1.0/", "cc0-1.0"),
        ("http://arxiv.org/licenses/nonexclusive-distrib/1.0/", "arxiv-nonexclusive"),
        ("", None),
    ],
)
def test_licences_by_their_addresses(address: str, found: str | None) -> None:
    assert licence_id(address) == found


async def test_licences_of_repositories(literature: PaperSource, server: HubServer) -> None:
    server.add("dataset", Repo("ada/intents", {}, tags=["license:cc-by-4.0"]))
    server.add("model", Repo("ada/bare", {}))
    urls = [
        "https://huggingface.co/datasets/ada/intents",
        "https://huggingface.co/ada/bare",
        "https://huggingface.co/ada/gone",
        "https://gitlab.com/ada/code",
        "https://huggingface.co/ada/never-asked",
    ]
    assert await literature.licences(urls) == (
        Linked(urls[0], "cc-by-4.0"),
        Linked(urls[1], None, "its page states none"),
        Linked(urls[2], None, "The Hub has no repository ada/gone, or not for you."),
        Linked(urls[3], None, "I look licences up on the Hub and on GitHub: read it at gitlab.com"),
    )
    assert not any("never-asked" in r for r in server.requests)


def trained(
    *results: dict[str, Any], name: str = "ada/model", tags: tuple[str, ...] = ("dataset:PolyAI/banking77",)
) -> Repo:
    index = [{"name": name, "results": list(results)}]
    return Repo(name, {}, tags=list(tags), card={"model-index": index}, downloads=5)


def result(
    value: Any, metric: str = "accuracy", data: str = "PolyAI/banking77", split: str = "test"
) -> dict[str, Any]:
    return {
        "task": {"type": "text-classification"},
        "dataset": {"type": data, "name": data, "split": split},
        "metrics": [{"type": metric, "value": value, "name": metric.title()}],
    }


async def test_results_in_the_cards_of_models(literature: PaperSource, server: HubServer) -> None:
    server.add("model", trained(result(0.921), result(93.4), result(88.0, "f1_macro", split="validation")))
    server.add("model", trained(result(0.5, data="other/data"), name="ada/elsewhere"))
    server.add("model", trained(result(0.9, data="banking77"), name="ada/old", tags=("dataset:banking77",)))
    server.add("model", trained(result(0.99), name="ada/untagged", tags=()))
    rows = await literature.reported(BANKING)
    assert [(r.model, r.metric, r.value, r.split) for r in rows] == [
        ("ada/model", "accuracy", 0.934, "test"),
        ("ada/model", "accuracy", 0.921, "test"),
        ("ada/old", "accuracy", 0.9, "test"),
        ("ada/model", "macro_f1", 0.88, "validation"),
    ]
    assert rows[0].url == f"{server.url}/ada/model"
    assert sum(r == "GET /api/models" for r in server.requests) == 2


@pytest.mark.parametrize("value", ["high", None, True, float("nan"), 1e9, [0.9]])
async def test_what_is_no_score_is_left_out(literature: PaperSource, server: HubServer, value: Any) -> None:
    server.add("model", trained(result(value)))
    assert await literature.reported(BANKING) == ()


async def test_a_broken_index_is_left_out(literature: PaperSource, server: HubServer) -> None:
    broken = Repo(
        "ada/broken", {}, tags=["dataset:PolyAI/banking77"], card={"model-index": [3, {"results": "x"}]}
    )
    server.add("model", broken)
    server.add("model", trained(result(0.9)))
    assert [r.model for r in await literature.reported(BANKING)] == ["ada/model"]


async def test_without_an_answer_there_are_no_prior_results(
    literature: PaperSource, server: HubServer
) -> None:
    server.faults = [Fault("GET /api/models", status=500, times=99)]
    assert await literature.reported(BANKING) == ()


async def test_nobody_is_asked_about_a_persons_own_file(literature: PaperSource, server: HubServer) -> None:
    assert await literature.reported(replace(BANKING, source="file")) == ()
    assert server.requests == []
