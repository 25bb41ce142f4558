"""What every source promises: catalogue over tiny packages, Hub over a local server, a local file."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from graph.deps import Source
from graph.errors import SourceError
from graph.names import TaskFamily
from graph.research.catalogue import CatalogueSource
from graph.research.hub import HubSource
from graph.research.localfile import LocalFileSource
from graph.state import TaskSpec
from tests.graph.research.packs import MODEL, FakePip, contents
from tests.hub.server import HubServer, Repo

TASK = TaskSpec(
    "Tell positive from negative product reviews.",
    "Reviews",
    TaskFamily.BINARY,
    keywords=("product", "reviews"),
    labels=("positive", "negative"),
)
CSV = b"text,label\n" + b"good,positive\nbad,negative\n" * 40


@dataclass(frozen=True)
class Case:
    source: Source
    known: str
    unknown: str


def plain_files(folder: Path) -> set[str]:
    """Names below a folder that are files and no links."""
    found = {
        p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file() and not p.is_symlink()
    }
    return found | {f"link {p.name}" for p in folder.rglob("*") if p.is_symlink()}


def hashes(splits: Mapping[str, str]) -> dict[str, str]:
    return {split: hashlib.sha256(Path(path).read_bytes()).hexdigest() for split, path in splits.items()}


async def no_wait(seconds: float) -> None:
    return None


@asynccontextmanager
async def catalogue(home: Path) -> AsyncIterator[Case]:
    made = contents(home / "index")
    source = CatalogueSource(home, pip=["sh"], run=FakePip(home / "index"), contents=made)
    yield Case(source, "product_reviews", "catalogue:nothing")


@asynccontextmanager
async def hub(home: Path) -> AsyncIterator[Case]:
    async with HubServer().running() as server:
        tags = ["license:mit", "language:en", "task_categories:text-classification"]
        files = {"train.csv": CSV, "test.csv": CSV, "README.md": b"# Reviews"}
        server.add(
            "dataset", Repo("ada/product-reviews", files, tags=tags, card={"language": ["en"]}, downloads=90)
        )
        server.add(
            "model", Repo("sentence-transformers/all-MiniLM-L6-v2", dict(MODEL), tags=["license:apache-2.0"])
        )
        yield Case(
            HubSource(home=home, endpoint=server.url, sleep=no_wait), "ada/product-reviews", "ada/nothing"
        )


@asynccontextmanager
async def local_file(home: Path) -> AsyncIterator[Case]:
    (home / "mine.csv").write_bytes(CSV)
    yield Case(LocalFileSource(), str(home / "mine.csv"), str(home / "missing.csv"))


CASES = {"catalogue": catalogue, "hub": hub, "file": local_file}


@pytest.fixture(params=CASES)
async def case(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Case]:
    async with CASES[request.param](tmp_path) as made:
        yield made


async def test_claims_its_own_names_and_no_prose(case: Case) -> None:
    assert case.source.claims(case.known)
    assert not case.source.claims("tell good reviews from bad ones")


async def test_is_ready(case: Case) -> None:
    assert await case.source.ready()


async def test_search_gives_the_fitting_one_first_with_reasons(case: Case) -> None:
    if not case.source.searchable:
        assert await case.source.search(TASK) == []
        return
    found = await case.source.search(TASK, 3)
    assert found[0].id == case.known
    assert found[0].usable
    assert found[0].reasons
    assert all(0 <= candidate.score <= 1 for candidate in found)
    assert all(candidate.source == case.source.name for candidate in found)
    assert [c.usable for c in found] == sorted((c.usable for c in found), reverse=True)


async def test_fetch_writes_files_with_the_hashes_it_names(case: Case, tmp_path: Path) -> None:
    candidate = await case.source.candidate(case.known)
    data = await case.source.fetch(candidate, tmp_path / "run" / "raw")
    assert "train" in data.splits
    assert set(data.splits) <= {"train", "validation", "test"}
    assert data.splits.keys() == data.sha256.keys()
    assert all(Path(path).parent == tmp_path / "run" / "raw" for path in data.splits.values())
    assert hashes(data.splits) == data.sha256
    assert data.candidate.source == case.source.name


async def test_fetching_again_gives_the_same_and_leaves_no_rest(case: Case, tmp_path: Path) -> None:
    candidate = await case.source.candidate(case.known)
    first = await case.source.fetch(candidate, tmp_path / "run")
    again = await case.source.fetch(first.candidate, tmp_path / "run")
    assert again == first
    assert plain_files(tmp_path / "run") == {Path(path).name for path in first.splits.values()}


async def test_an_unknown_name_is_one_clear_error(case: Case) -> None:
    with pytest.raises(SourceError) as caught:
        await case.source.candidate(case.unknown)
    assert caught.value.detail.endswith(".")
    assert caught.value.hint.endswith(".")
    assert "Traceback" not in str(caught.value)


async def test_a_folder_that_cannot_be_written_is_an_error_of_ours(case: Case, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file where a folder is needed")
    candidate = await case.source.candidate(case.known)
    with pytest.raises(SourceError, match="written"):
        await case.source.fetch(candidate, tmp_path / "taken" / "raw")


async def test_the_base_model_is_a_folder_without_pickles(case: Case) -> None:
    if not case.source.searchable:
        with pytest.raises(SourceError):
            await case.source.model(TASK)
        return
    model = await case.source.model(TASK)
    assert plain_files(Path(model.path)) == set(MODEL) - {"pytorch_model.bin"}
    assert model.licence == "apache-2.0"
    assert (await case.source.model(TASK)).path == model.path
