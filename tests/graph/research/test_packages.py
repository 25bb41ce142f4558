"""Fetching pinned package files. The real pip runs here, with a folder in place of an index."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from graph.errors import SourceError
from graph.names import FailureKind
from graph.research.entries import load_contents
from graph.research.packages import Ended, Packages
from tests.graph.research.packs import FakePip, package, sdist, zip_of

WHEEL = {
    "tiny/__init__.py": b"",
    "tiny-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n",
    "tiny-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    "tiny-1.0.dist-info/RECORD": b"",
}


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """pip's only index is a folder."""
    folder = tmp_path / "index"
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def test_real_pip_fetches_a_source_package_and_runs_nothing_of_it(index: Path, tmp_path: Path) -> None:
    rated = sdist(index)
    path = Packages(tmp_path / "kept").fetch(rated)
    assert path.read_bytes() == (index / rated.file).read_bytes()
    assert not (index / "setup-was-run").exists()


def test_real_pip_fetches_a_wheel(index: Path, tmp_path: Path) -> None:
    tiny = package(index, "tiny", "tiny-1.0-py3-none-any.whl", zip_of(WHEEL), source=False)
    assert Packages(tmp_path / "kept").fetch(tiny).name == tiny.file


def test_real_pip_refuses_a_file_with_another_hash(index: Path, tmp_path: Path) -> None:
    rated = sdist(index)
    (index / rated.file).write_bytes((index / sdist(index, extra={"more": b"!"}).file).read_bytes())
    packages = Packages(tmp_path / "kept")
    with pytest.raises(SourceError, match="sha256 differs") as caught:
        packages.fetch(rated)
    assert caught.value.kind is FailureKind.DATA_ERROR
    assert not packages.path(rated).exists()
    assert not (index / "setup-was-run").exists()


def test_real_pip_says_when_there_is_no_such_package(index: Path, tmp_path: Path) -> None:
    rated = sdist(index)
    (index / rated.file).unlink()
    with pytest.raises(SourceError, match=r"does not have rated==1\.0"):
        Packages(tmp_path / "kept").fetch(rated)


def test_the_hash_is_checked_here_too(tmp_path: Path) -> None:
    rated = sdist(tmp_path)
    (tmp_path / rated.file).write_bytes(b"something else")
    packages = Packages(tmp_path / "kept", ["pip"], FakePip(tmp_path))
    with pytest.raises(SourceError, match="sha256 differs"):
        packages.fetch(rated)
    assert not packages.path(rated).exists()


def test_a_kept_file_is_not_fetched_again_and_a_damaged_one_is(tmp_path: Path) -> None:
    pip = FakePip(tmp_path)
    packages = Packages(tmp_path / "kept", ["pip"], pip)
    rated = sdist(tmp_path)
    path = packages.fetch(rated)
    assert packages.fetch(rated) == path
    assert len(pip.commands) == 1
    path.write_bytes(b"damaged")
    packages.fetch(rated)
    assert path.read_bytes() == (tmp_path / rated.file).read_bytes()
    assert len(pip.commands) == 2


def test_two_at_once_share_one_download(tmp_path: Path) -> None:
    pip = FakePip(tmp_path)
    rated = sdist(tmp_path)
    with ThreadPoolExecutor(4) as pool:
        several = [Packages(tmp_path / "kept", ["pip"], pip) for _ in range(4)]
        paths = set(pool.map(lambda packages: packages.fetch(rated), several))
    assert len(paths) == len(pip.commands) == 1


def test_nothing_half_done_is_left(tmp_path: Path) -> None:
    packages = Packages(tmp_path / "kept", ["pip"], FakePip(tmp_path, "ERROR: something odd"))
    with pytest.raises(SourceError, match="something odd"):
        packages.fetch(sdist(tmp_path))
    assert [p.name for p in (tmp_path / "kept").iterdir() if not p.name.endswith(".lock")] == []


@pytest.mark.parametrize(
    ("output", "kind", "words"),
    [
        (
            "WARNING: Retrying after NewConnectionError: name resolution",
            FailureKind.UNREACHABLE,
            "cannot be reached",
        ),
        (
            "ERROR: Could not install packages due to an OSError: [Errno 28] No space left",
            FailureKind.NO_DISK,
            "disk",
        ),
        ("ERROR: HTTP error 403 while getting x", FailureKind.DENIED, "refused"),
        ("/usr/bin/python3: No module named pip", FailureKind.UNREACHABLE, "pip is missing"),
        ("", FailureKind.UNREACHABLE, "no reason"),
    ],
)
def test_what_pip_says_becomes_one_sentence_with_a_hint(
    tmp_path: Path, output: str, kind: FailureKind, words: str
) -> None:
    with pytest.raises(SourceError, match=words) as caught:
        Packages(tmp_path / "kept", ["pip"], FakePip(tmp_path, output)).fetch(sdist(tmp_path))
    assert caught.value.kind is kind
    assert caught.value.hint


def test_too_little_room_is_said_before_anything_is_fetched(tmp_path: Path) -> None:
    pip = FakePip(tmp_path)
    huge = replace(sdist(tmp_path), bytes=1 << 60)
    with pytest.raises(SourceError, match="MB are needed") as caught:
        Packages(tmp_path / "kept", ["pip"], pip).fetch(huge)
    assert caught.value.kind is FailureKind.NO_DISK
    assert pip.commands == []


def test_a_pip_that_hangs_and_one_that_is_missing(tmp_path: Path) -> None:
    def hang(command: Sequence[str], environment: Mapping[str, str], timeout_s: float) -> Ended:
        raise subprocess.TimeoutExpired(list(command), timeout_s)

    rated = sdist(tmp_path)
    with pytest.raises(SourceError, match="did not arrive"):
        Packages(tmp_path / "kept", ["pip"], hang).fetch(rated)
    missing = Packages(tmp_path / "kept", [str(tmp_path / "no-pip")])
    assert not missing.installed()
    with pytest.raises(SourceError, match="pip is missing"):
        missing.fetch(rated)


@pytest.mark.slow
def test_the_real_index_has_what_the_catalogue_names(tmp_path: Path) -> None:
    vader = load_contents().packages["vader"]
    try:
        path = Packages(tmp_path / "kept").fetch(vader)
    except SourceError as error:
        if error.kind is FailureKind.UNREACHABLE:
            pytest.skip(f"no package index here: {error.detail}")
        raise
    assert path.stat().st_size == vader.bytes
