"""Folders that were made to be counted wrongly, or never to go away."""

from __future__ import annotations

import os
from pathlib import Path

from remote.sandbox import tree

MB = 1024**2


def _nest(top: Path, depth: int) -> None:
    """Deeper than any path to it may be long; the last folder holds 2 MB."""
    fd = os.open(top, os.O_RDONLY | os.O_DIRECTORY)
    for _ in range(depth):
        os.mkdir("d" * 200, dir_fd=fd)
        inner = os.open("d" * 200, os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd)
        os.close(fd)
        fd = inner
    file = os.open("big", os.O_WRONLY | os.O_CREAT, dir_fd=fd)
    os.write(file, b"x" * 2 * MB)
    os.close(file)
    os.close(fd)


def test_a_folder_counts_blocks_and_names_and_follows_no_link(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "big").write_bytes(b"x" * MB)
    (tmp_path / "sparse").touch()
    os.truncate(tmp_path / "sparse", 100 * MB)
    (tmp_path / "out").symlink_to("/usr")
    assert MB < tree.usage(tmp_path).bytes < 2 * MB
    assert tree.usage(tmp_path / "nowhere") == tree.Usage(0, False)
    assert tree.usage(tmp_path / "out") == tree.Usage(0, False)


def test_what_no_path_reaches_is_counted_until_it_is_too_deep(tmp_path: Path) -> None:
    (tmp_path / "long").mkdir()
    _nest(tmp_path / "long", 40)  # 8000 characters
    counted = tree.usage(tmp_path / "long")
    assert counted.bytes > 2 * MB
    assert not counted.too_deep
    (tmp_path / "deep").mkdir()
    _nest(tmp_path / "deep", tree.MAX_DEPTH + 10)
    assert tree.usage(tmp_path / "deep").too_deep


def test_any_depth_is_removed(tmp_path: Path) -> None:
    top = tmp_path / "top"
    top.mkdir()
    _nest(top, 1500)  # beyond what recursion in Python reaches
    for number in range(3 * 1000 // 2):
        (top / str(number)).touch()
    tree.remove(top)
    assert not top.exists()
    tree.remove(top)


def test_closed_folders_are_counted_and_removed_and_links_only_cut(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").touch()
    top = tmp_path / "top"
    (top / "closed").mkdir(parents=True)
    (top / "closed" / "big").write_bytes(b"x" * MB)
    (top / "link").symlink_to(outside)
    (top / "closed").chmod(0)
    assert tree.usage(top).bytes > MB
    (top / "closed").chmod(0)
    top.chmod(0o500)
    tree.remove(top)
    assert not top.exists()
    assert (outside / "kept").exists()
