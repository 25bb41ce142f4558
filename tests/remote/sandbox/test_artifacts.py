"""What ``fetch`` takes over from a job's ``out/``, and what it refuses."""

from __future__ import annotations

import fcntl
import os
import pickle
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from remote.backend import ArtifactError
from remote.sandbox import artifacts
from remote.sandbox.artifacts import fetch
from tests.remote.sandbox.jobs import job, local, run


def _link(out: Path) -> None:
    (out / "bad").symlink_to("/etc/passwd")


def _folder_link(out: Path) -> None:
    (out / "bad").symlink_to("/etc")


def _dangling(out: Path) -> None:
    (out / "bad").symlink_to("nowhere")


def _hard_link(out: Path) -> None:
    (out / "bad").hardlink_to(out / "good.txt")


def _fifo(out: Path) -> None:
    os.mkfifo(out / "bad")


def _socket(out: Path) -> None:
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(os.path.relpath(out / "bad"))


def _control_characters(out: Path) -> None:
    (out / "bad\x1b[31m\n").write_text("x")


def _not_utf8(out: Path) -> None:
    (out / os.fsdecode(b"bad\xff")).write_text("x")


@pytest.mark.parametrize(
    "spoil",
    [_link, _folder_link, _dangling, _hard_link, _fifo, _socket, _control_characters, _not_utf8],
)
def test_what_is_no_plain_file_is_refused_before_anything_is_copied(
    tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "good.txt").write_text("good")
    spoil(out)
    with pytest.raises(ArtifactError) as caught:
        fetch(out, tmp_path / "into", {})
    assert caught.value.detail.isprintable()
    assert not (tmp_path / "into").exists()


@pytest.mark.parametrize("path", ["../secret", "/etc/passwd", "a/../../secret", ""])
def test_an_announced_path_outside_out_is_refused(tmp_path: Path, path: str) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "secret").write_text("x")
    with pytest.raises(ArtifactError):
        fetch(tmp_path / "out", tmp_path / "into", {path: "0" * 64})


def test_what_a_killed_fetch_left_goes_and_nothing_else(tmp_path: Path) -> None:
    out, into = tmp_path / "out", tmp_path / "into"
    (out / "model").mkdir(parents=True)
    (out / "model" / "w.bin").write_bytes(b"weights" * 1000)
    (tmp_path / ".into.part-killed").mkdir()
    (tmp_path / ".into.part-killed" / "0").write_bytes(b"weig")
    busy = tmp_path / ".into.part-busy"
    busy.mkdir()
    into.mkdir()
    (into / "mine.txt").write_text("not of this job")
    at_work = os.open(busy, os.O_RDONLY)
    fcntl.flock(at_work, fcntl.LOCK_EX)
    fetch(out, into, {})
    os.close(at_work)
    names = sorted(path.name for path in tmp_path.rglob("*") if path.is_relative_to(into) and path.is_file())
    assert names == ["mine.txt", "w.bin"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [".into.part-busy", "into", "out"]
    assert (into / "model" / "w.bin").read_bytes() == b"weights" * 1000


def test_one_bad_file_and_nothing_comes(tmp_path: Path) -> None:
    out, into = tmp_path / "out", tmp_path / "into"
    out.mkdir()
    (out / "a.txt").write_text("new")
    (out / "z.pkl").write_bytes(pickle.dumps({}))
    into.mkdir()
    (into / "a.txt").write_text("old")
    with pytest.raises(ArtifactError, match="pickle"):
        fetch(out, into, {})
    assert (into / "a.txt").read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["into", "out"]


def test_an_unfinished_job_leaves_its_broken_files_behind(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "torn.safetensors").write_bytes((1000).to_bytes(8, "little") + b'{"a":')
    (out / "good.json").write_text("{}")
    fetch(out, tmp_path / "into", {}, unfinished=True)
    assert [path.name for path in (tmp_path / "into").iterdir()] == ["good.json"]


def test_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sparse, many, deep = (tmp_path / name for name in ("sparse", "many", "deep"))
    for folder in (sparse, many, deep):
        folder.mkdir()
    (sparse / "giant").touch()
    os.truncate(sparse / "giant", 2**42)
    monkeypatch.setattr(artifacts, "MAX_FILES", 100)
    for number in range(101):
        (many / str(number)).touch()
    (deep / "/".join("d" * 20)).mkdir(parents=True)
    for folder, words in (
        (sparse, "more than the 1048576 bytes"),
        (many, "too many"),
        (deep, "too many folders"),
    ):
        with pytest.raises(ArtifactError, match=words):
            fetch(folder, tmp_path / "into", {}, at_most_bytes=1024**2)
    assert not (tmp_path / "into").exists()


@pytest.mark.parametrize("swapped", ["file", "folder", "grown"])
def test_what_is_swapped_between_look_and_copy_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, swapped: str
) -> None:
    out = tmp_path / "out"
    (out / "model").mkdir(parents=True)
    (out / "model" / "w.txt").write_text("weights")
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "w.txt").write_text("the secret")
    look = artifacts.plain_files

    def then_swap(folder: Path) -> list[artifacts.Found]:
        found = look(folder)
        if swapped == "file":
            (out / "model" / "w.txt").unlink()
            (out / "model" / "w.txt").symlink_to(tmp_path / "secret" / "w.txt")
        elif swapped == "folder":
            (out / "model").rename(out / "other")
            (out / "model").symlink_to(tmp_path / "secret")
        else:
            (out / "model" / "w.txt").write_text("weights and more")
        return found

    monkeypatch.setattr(artifacts, "plain_files", then_swap)
    with pytest.raises(ArtifactError, match="while it was being read"):
        fetch(out, tmp_path / "into", {})
    assert not (tmp_path / "into").exists()


def test_modes_of_the_job_are_not_taken_over(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "run.sh").write_text("#!/bin/sh")
    (out / "run.sh").chmod(0o6777)
    fetch(out, tmp_path / "into", {})
    assert (tmp_path / "into" / "run.sh").stat().st_mode & 0o7111 == 0


async def test_a_link_made_in_the_sandbox_is_refused(tmp_path: Path) -> None:
    code = """
        Path("out/model").symlink_to("/etc/passwd")
        emit.emit(JobEventType.ARTIFACT, path="model", sha256="0" * 64)
        emit.result({})
    """
    backend = local(tmp_path)
    ended = await run(backend, tmp_path, job(tmp_path, code))
    assert ended.result == {}
    with pytest.raises(ArtifactError, match="link"):
        await backend.fetch(ended.ref, tmp_path / "into")
    assert not (tmp_path / "into").exists()
