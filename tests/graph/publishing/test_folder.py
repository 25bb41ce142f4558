"""Publishing to a folder: complete or nothing, and nothing of anybody else's is touched."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from graph.errors import PublishError
from graph.names import FailureKind
from graph.publishing.folder import FolderPublisher
from tests.graph.publishing.runs import Steps, make_run, tree


async def publish(run: Path, target: Path, *, private: bool = True) -> None:
    await FolderPublisher().publish(run, f"folder:{target}", private=private, key="k", steps=Steps())


async def test_a_full_disk_half_way_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, real, count = make_run(tmp_path / "run"), shutil.copyfile, 0

    def full(*args: Any, **kwargs: Any) -> Any:
        nonlocal count
        count += 1
        if count == 4:
            raise OSError(28, "No space left on device")
        return real(*args, **kwargs)

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(PublishError, match="No space left") as caught:
        await publish(run, tmp_path / "out" / "x")
    assert caught.value.kind is FailureKind.NO_DISK
    assert list((tmp_path / "out").iterdir()) == []


async def test_a_failed_replacement_keeps_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tmp_path / "run")
    await publish(run, tmp_path / "x")
    before = tree(tmp_path / "x")
    make_run(run, {"report.md": b"new"})

    def full(*args: Any, **kwargs: Any) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(PublishError):
        await publish(run, tmp_path / "x")
    assert tree(tmp_path / "x") == before


async def test_a_file_that_changes_meanwhile_is_not_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def changed(source: Path, target: Path, **kwargs: Any) -> None:
        target.write_bytes(b"something else")

    run = make_run(tmp_path / "run")
    monkeypatch.setattr(shutil, "copyfile", changed)
    with pytest.raises(PublishError, match="changed while"):
        await publish(run, tmp_path / "out" / "x")
    assert tree(tmp_path / "out") == {}


async def test_a_folder_that_is_no_run_goes_whole_but_for_hidden_files(tmp_path: Path) -> None:
    (tmp_path / "plain" / ".git").mkdir(parents=True)
    (tmp_path / "plain" / ".git" / "config").write_text("token")
    (tmp_path / "plain" / "notes.md").write_text("notes")
    files = await FolderPublisher().dry_run(tmp_path / "plain")
    assert [f.path for f in files] == ["notes.md"]


async def test_a_replacement_is_exact(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", {"plots/old.png": b"old"})
    await publish(run, tmp_path / "x")
    (run / "plots" / "old.png").unlink()
    await publish(run, tmp_path / "x")
    assert "plots/old.png" not in tree(tmp_path / "x")
    assert {name.partition("/")[0] for name in tree(tmp_path)} == {"run", "x"}


async def test_what_already_stands_there_is_left_alone(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    await publish(run, tmp_path / "x")
    before = (tmp_path / "x" / "report.md").stat().st_ino
    await publish(run, tmp_path / "x")
    assert (tmp_path / "x" / "report.md").stat().st_ino == before


async def test_a_changed_publication_is_made_whole_again(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    await publish(run, tmp_path / "x")
    (tmp_path / "x" / "report.md").write_text("edited")
    await publish(run, tmp_path / "x")
    assert (tmp_path / "x" / "report.md").read_bytes() == (run / "report.md").read_bytes()


async def test_other_peoples_files_are_never_touched(tmp_path: Path) -> None:
    run, taken = make_run(tmp_path / "run"), tmp_path / "taken"
    taken.mkdir()
    (taken / "thesis.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(taken)
    for target in (taken, tmp_path / "file", tmp_path / "link"):
        with pytest.raises(PublishError, match=r"other files|not a folder"):
            await publish(run, target)
    assert tree(taken) == {"thesis.txt": b"mine"}


async def test_an_empty_folder_may_be_used(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    await publish(make_run(tmp_path / "run"), tmp_path / "x")
    assert "report.md" in tree(tmp_path / "x")


@pytest.mark.parametrize("inner", ["run", "run/model/out", "."])
async def test_not_into_itself(tmp_path: Path, inner: str) -> None:
    run = make_run(tmp_path / "run")
    with pytest.raises(PublishError, match="into itself"):
        await publish(run, tmp_path / inner)


@pytest.mark.parametrize(("private", "mode"), [(True, 0o700), (False, 0o755)])
async def test_private_means_for_this_user_alone(tmp_path: Path, private: bool, mode: int) -> None:
    await publish(make_run(tmp_path / "run"), tmp_path / "x", private=private)
    assert (tmp_path / "x").stat().st_mode & 0o777 == mode
