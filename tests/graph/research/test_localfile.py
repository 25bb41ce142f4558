"""A person's own file: what they may write, and what they are told when it cannot be used."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from graph.errors import SourceError
from graph.research import localfile
from graph.research.localfile import LocalFileSource, local_candidate


@pytest.mark.parametrize("wanted", ["/a/b", "./b", "../b", "~/b", "b.csv", "B.JSONL", "a/b.parquet"])
def test_claims_what_looks_like_a_path(wanted: str) -> None:
    assert LocalFileSource().claims(wanted)


@pytest.mark.parametrize(
    "wanted", ["owner/name", "product_reviews", "https://x.example/a.csv", "owner/name#a.csv", "a\0.csv"]
)
def test_leaves_ids_to_others(wanted: str) -> None:
    assert not LocalFileSource().claims(wanted)


def test_claims_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "owner").mkdir()
    (tmp_path / "owner" / "name").write_text("x")
    assert LocalFileSource().claims("owner/name")


def test_each_thing_that_is_no_file_has_its_own_words(tmp_path: Path) -> None:
    (tmp_path / "empty.csv").touch()
    (tmp_path / "photo.jpg").write_bytes(b"x")
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "loop.csv").symlink_to("loop.csv")
    for name, words in {
        "missing.csv": "no file",
        "": "is a folder.*empty.csv",
        "empty.csv": "is empty",
        "photo.jpg": "cannot read files like photo.jpg",
        "pipe.csv": "no plain file",
        "loop.csv": "cannot be read|no file",
    }.items():
        with pytest.raises(SourceError, match=words) as caught:
            local_candidate(str(tmp_path / name))
        assert caught.value.hint


def test_a_file_that_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(localfile, "MAX_BYTES", 3)
    (tmp_path / "a.csv").write_text("four")
    with pytest.raises(SourceError, match="at most"):
        local_candidate(str(tmp_path / "a.csv"))


async def test_the_runs_copy_does_not_follow_later_changes(tmp_path: Path) -> None:
    source, mine = LocalFileSource(), tmp_path / "my data;(1).csv"
    mine.write_text("a,b\n1,2\n")
    data = await source.fetch(await source.candidate(str(mine)), tmp_path / "raw")
    mine.write_text("changed")
    copy = tmp_path / "raw" / "my_data__1_.csv"
    assert data.splits == {"train": str(copy)}
    assert copy.read_text() == "a,b\n1,2\n"


async def test_a_file_that_has_gone_since(tmp_path: Path) -> None:
    source, mine = LocalFileSource(), tmp_path / "a.csv"
    mine.write_text("a,b\n")
    candidate = await source.candidate(str(mine))
    mine.unlink()
    with pytest.raises(SourceError, match="no file"):
        await source.fetch(candidate, tmp_path / "raw")
