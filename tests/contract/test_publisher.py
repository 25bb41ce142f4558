"""What every place to publish to promises, on each of them: a folder, and the Hub over a local server."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest
from pydantic import SecretStr

from graph.deps import Publisher
from graph.errors import PublishError, PublishRefused
from graph.publishing.folder import NOTE, FolderPublisher
from graph.publishing.hub import HubPublisher
from tests.graph.publishing.runs import PRIVATE, Steps, make_run, tree
from tests.hub.server import OWNER_TOKEN, HubServer

SECRET = "a-secret-of-this-process"


@dataclass(frozen=True)
class Case:
    publisher: Publisher
    target: str
    forbidden: str  # a target that this process may not write
    published: Callable[[], dict[str, bytes]]
    publications: Callable[[], int]
    is_there: Callable[[], bool]
    touch: Callable[[], object]  # somebody changes what was published


async def no_wait(seconds: float) -> None:
    return None


@asynccontextmanager
async def folder(home: Path) -> AsyncIterator[Case]:
    target = home / "out" / "published"
    (home / "file").write_text("no folder can be made below this")

    def published() -> dict[str, bytes]:
        return {name: content for name, content in tree(target).items() if name != NOTE}

    yield Case(
        FolderPublisher(secrets=[SecretStr(SECRET)]),
        f"folder:{target}",
        f"folder:{home / 'file' / 'x'}",
        published,
        lambda: len(list((home / "out").iterdir())) if (home / "out").exists() else 0,
        target.exists,
        lambda: (target / "their.txt").write_text("theirs"),
    )


@asynccontextmanager
async def hub(home: Path) -> AsyncIterator[Case]:
    async with HubServer().running() as server:

        def published() -> dict[str, bytes]:
            repo = server.repos["model", "ada/reviews"]
            files = repo.history[list(repo.refs.values())[-1]] if repo.refs else repo.files
            return {name: content for name, content in files.items() if name != ".gitattributes"}

        yield Case(
            HubPublisher(server.url, SecretStr(OWNER_TOKEN), secrets=[SecretStr(SECRET)], sleep=no_wait),
            "hub:ada/reviews",
            "hub:somebody/reviews",
            published,
            lambda: sum(len(repo.messages) for repo in server.repos.values()),
            lambda: ("model", "ada/reviews") in server.repos,
            lambda: server.repos["model", "ada/reviews"].messages.append("Their change"),
        )


CASES = {"folder": folder, "hub": hub}


@pytest.fixture(params=CASES)
async def case(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Case]:
    async with CASES[request.param](tmp_path) as made:
        yield made


async def test_dry_run_names_what_publish_then_publishes(case: Case, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    planned = await case.publisher.dry_run(run)
    assert case.publications() == 0
    done = await case.publisher.publish(run, case.target, private=True, key="r1/publish/1", steps=Steps())
    assert done.files == planned
    assert {f.path: f.sha256 for f in planned} == {
        name: hashlib.sha256(content).hexdigest() for name, content in case.published().items()
    }
    assert all(f.bytes == len(case.published()[f.path]) for f in planned)
    assert "://" in done.url
    assert done.revision


async def test_data_and_working_files_stay(case: Case, tmp_path: Path) -> None:
    await case.publisher.publish(
        make_run(tmp_path / "run"), case.target, private=True, key="k", steps=Steps()
    )
    assert not set(case.published()) & set(PRIVATE)
    assert not any(b"a person's rows" in content for content in case.published().values())


async def test_the_same_key_again_publishes_nothing_new(case: Case, tmp_path: Path) -> None:
    run, steps = make_run(tmp_path / "run"), Steps()
    first = await case.publisher.publish(run, case.target, private=True, key="k", steps=steps)
    again = await case.publisher.publish(run, case.target, private=True, key="k", steps=steps)
    assert again == first
    assert case.publications() == 1


async def test_a_later_publication_brings_what_changed(case: Case, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    first = await case.publisher.publish(run, case.target, private=True, key="k1", steps=Steps())
    make_run(run, {"metrics.json": b'{"macro_f1": 0.95}'})
    second = await case.publisher.publish(run, case.target, private=True, key="k2", steps=Steps())
    assert second.revision != first.revision
    assert b'{"macro_f1": 0.95}' in case.published().values()


@pytest.mark.parametrize(
    "more",
    [
        {"model/weights.bin": b"x"},
        {"model/notes.txt": b"\x80\x04\x95\x02\0\0\0\0\0\0\0K\x01."},
        {"model/README.md": f"use {SECRET}".encode()},
        {"train.py": b"token = 'hf_" + b"a" * 34 + b"'"},
        {"model/more.zip": b"PK\x03\x04rest"},
    ],
)
async def test_pickles_and_secrets_are_refused_before_anything_is_published(
    case: Case, tmp_path: Path, more: dict[str, bytes]
) -> None:
    run = make_run(tmp_path / "run", more)
    with pytest.raises(PublishRefused) as planned:
        await case.publisher.dry_run(run)
    with pytest.raises(PublishRefused) as caught:
        await case.publisher.publish(run, case.target, private=True, key="k", steps=Steps())
    assert case.publications() == 0
    assert str(caught.value) == str(planned.value)
    assert SECRET not in str(caught.value)
    assert caught.value.hint


async def test_links_are_refused(case: Case, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    (run / "model" / "extra.txt").symlink_to("/etc/hostname")
    with pytest.raises(PublishRefused, match="link"):
        await case.publisher.publish(run, case.target, private=True, key="k", steps=Steps())
    assert case.publications() == 0


async def test_a_place_that_may_not_be_written(case: Case, tmp_path: Path) -> None:
    with pytest.raises(PublishError) as caught:
        await case.publisher.publish(
            make_run(tmp_path / "run"), case.forbidden, private=True, key="k", steps=Steps()
        )
    assert caught.value.detail.endswith(".")
    assert caught.value.hint.endswith(".")


async def test_an_empty_folder_is_refused(case: Case, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "empty", tmp_path / "missing"):
        with pytest.raises(PublishRefused):
            await case.publisher.publish(folder, case.target, private=True, key="k", steps=Steps())


async def test_what_was_published_can_be_taken_back(case: Case, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    done = await case.publisher.publish(run, case.target, private=True, key="k", steps=Steps())
    kept = await case.publisher.unpublish(asdict(done), keep=True)
    assert case.is_there()
    said = await case.publisher.unpublish(asdict(done), keep=False)
    assert not case.is_there()
    assert [len(kept), len(said)] == [1, 1]
    assert (await case.publisher.unpublish(asdict(done), keep=False))[0].endswith("already gone.")


async def test_what_was_changed_since_is_not_deleted(case: Case, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    done = await case.publisher.publish(run, case.target, private=True, key="k", steps=Steps())
    case.touch()
    (said,) = await case.publisher.unpublish(asdict(done), keep=False)
    assert case.is_there()
    assert "change" in said
