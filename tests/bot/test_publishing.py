"""``intern publish`` and ``intern unpublish`` at the terminal, and what their cards say."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bot import cli
from bot.access import Access, Rules
from bot.cards import Bullets, Card, Fields, Table, Text
from bot.dispatch import Dispatch
from bot.errors import NotWaiting, UsageError
from bot.present import present
from graph.deps import Event
from graph.names import EventType, RunStatus
from tests.graph.world import World


@pytest.fixture(autouse=True)
def _nobody_types(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", None)


@asynccontextmanager
async def waiting(home: Path) -> AsyncIterator[tuple[World, Dispatch]]:
    """A run that asks whether to publish to ``folder:/x``."""
    world = World(home)
    async with world.process() as driver:
        await world.start(driver, yes=False, publish_to="folder:/x")
        door = Dispatch(driver.deps, driver, Access(Rules()), lambda: "r2")
        await driver.advance("r1")
        for choice in ("use:1", "approve"):
            await door.decide("r1", choice, actor="ann", surface="console")
            await driver.advance("r1")
        yield world, door


async def intern(door: Dispatch, *words: str) -> int:
    args = cli.parser().parse_args(words)
    command: Any = {"publish": cli._publish, "unpublish": cli._unpublish}[words[0]]
    return int(await command(SimpleNamespace(dispatch=door), args))


async def test_a_dry_run_lists_the_files_and_decides_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with waiting(tmp_path / "home") as (world, door):
        assert await intern(door, "publish", "r1", "--dry-run") == 0
        shown = capsys.readouterr().out
        assert (await door.find("r1")).status is RunStatus.WAITING
    assert "README.md" in shown
    assert "would go to folder:/x. Nothing was sent." in shown
    assert world.publisher.published == []


@pytest.mark.parametrize(("words", "place", "private"), [
    ((), "folder:/x", True), (("--public",), "folder:/x", False), (("folder:/y",), "folder:/y", True),
])  # fmt: skip
async def test_publish_answers_the_open_question(
    tmp_path: Path, words: tuple[str, ...], place: str, private: bool
) -> None:
    async with waiting(tmp_path / "home") as (world, door):
        assert await intern(door, "publish", "r1", *words) == 0
        with pytest.raises(NotWaiting):
            await intern(door, "publish", "r1")
    assert [(target, hidden) for target, hidden, _ in world.publisher.published] == [(place, private)]


async def test_a_place_of_its_own_is_never_public_in_one_step(tmp_path: Path) -> None:
    async with waiting(tmp_path / "home") as (world, door):
        with pytest.raises(UsageError, match="leave out --public"):
            await intern(door, "publish", "r1", "folder:/y", "--public")
    assert world.publisher.published == []


async def test_unpublish_asks_and_then_says_what_it_did(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with waiting(tmp_path / "home") as (world, door):
        await intern(door, "publish", "r1")
        for typed in ("", "no\n"):
            monkeypatch.setattr("sys.stdin", io.StringIO(typed))
            assert await intern(door, "unpublish", "r1") == cli.CANCELLED
        assert world.publisher.unpublished == []
        monkeypatch.setattr("sys.stdin", io.StringIO("yes\n"))
        assert await intern(door, "unpublish", "r1") == 0
        assert await intern(door, "unpublish", "r1", "--keep", "--yes") == 0
        events = await door.events("r1")
    assert world.publisher.unpublished == [("folder:/x", False), ("folder:/x", True)]
    assert "It is gone." in capsys.readouterr().out
    card = present(events)["unpublished"]
    assert [block.items for block in card.blocks if isinstance(block, Bullets)] == [("It is gone.",)]


def card_of(type_: EventType, **payload: Any) -> Card:
    (card,) = present([Event("r1", 0, "2026-11-28T12:00:00+00:00", type_, None, payload)]).values()
    return card


def test_the_card_of_the_files_lists_what_a_yes_would_send() -> None:
    files = [{"path": f"f{i}.txt", "bytes": 1000, "repo": "model"} for i in range(20)]
    files[0] |= {"path": "app.py", "repo": "space"}
    card = card_of(
        EventType.PACKAGED, folder="x", files=[], would_publish={"target": "hub:a/b", "files": files}
    )
    (table,) = [block for block in card.blocks if isinstance(block, Table)]
    said = " ".join(block.text for block in card.blocks if isinstance(block, Text))
    assert table.rows[0][0] == "space: app.py"
    assert "20 files" in said
    assert "hub:a/b" in said
    assert f"and {20 - len(table.rows)} more files" in said


def test_the_card_of_a_publication_has_pull_request_revision_and_check() -> None:
    repos = [
        {"type": "model", "url": "https://hub/a/b", "pull_request": "https://hub/a/b/discussions/1"},
        {"type": "space", "url": "https://hub/spaces/a/b"},
    ]
    checkup = {"rows": 20, "differing": 2, "detail": "2 of 20 test rows are predicted otherwise."}
    card = card_of(
        EventType.PUBLISHED, url="https://hub/a/b", private=True, revision="0" * 40, repos=repos, checkup=checkup
    )  # fmt: skip
    (fields,) = [block for block in card.blocks if isinstance(block, Fields)]
    assert dict(fields.items)["Pull request"] == "https://hub/a/b/discussions/1"
    assert dict(fields.items)["Demo"] == "https://hub/spaces/a/b"
    assert dict(fields.items)["Revision"] == "0" * 12
    assert checkup["detail"] in [block.text for block in card.blocks if isinstance(block, Text)]


def test_a_publication_of_an_older_version_still_shows() -> None:
    card = card_of(EventType.PUBLISHED, target="hub:a/b", files=["x"], private=False)
    (fields,) = [block for block in card.blocks if isinstance(block, Fields)]
    assert fields.items == (("Where", "hub:a/b"), ("For", "everyone"), ("Files", "1"))
