"""What ``fetch`` takes over from a job's ``out/``, and what it refuses."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from remote.backend import ArtifactError
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


def test_an_interrupted_fetch_is_completed_by_the_next(tmp_path: Path) -> None:
    out, into = tmp_path / "out", tmp_path / "into"
    (out / "model").mkdir(parents=True)
    (out / "model" / "w.bin").write_bytes(b"weights" * 1000)
    (into / "model").mkdir(parents=True)
    (into / "model" / ".w.bin.part").write_bytes(b"weig")  # what a killed fetch leaves
    (into / "mine.txt").write_text("not of this job")
    fetch(out, into, {})
    names = sorted(path.name for path in into.rglob("*") if path.is_file())
    assert names == ["mine.txt", "w.bin"]
    assert (into / "model" / "w.bin").read_bytes() == b"weights" * 1000


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
