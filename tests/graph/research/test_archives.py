"""Archives from outside: what is not a plain, bounded file below its folder is refused."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from graph.errors import SourceError
from graph.research.archives import extract_folder, read_member
from tests.graph.research.packs import tar_gz, zip_of

JSON = frozenset({".json"})


def test_reads_a_member_of_an_archive_within_an_archive(tmp_path: Path) -> None:
    path = tmp_path / "a.tar.gz"
    path.write_bytes(tar_gz({"x/in.zip": zip_of({"deep.txt": b"found"})}))
    assert read_member(path, "x/in.zip::deep.txt") == b"found"


@pytest.mark.parametrize(
    "content",
    [b"", b"no archive", tar_gz({"a": b"b"})[:-20], zip_of({"a": b"b"})[:-30]],
    ids=["empty", "none", "tar", "zip"],
)
def test_what_is_no_whole_archive_is_an_error_of_ours(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.tar.gz"
    path.write_bytes(content)
    with pytest.raises(SourceError, match="cannot be used"):
        read_member(path, "a")


@pytest.mark.parametrize("make", [tar_gz, zip_of])
def test_a_missing_member_is_named(tmp_path: Path, make: object) -> None:
    path = tmp_path / "a"
    path.write_bytes(tar_gz({"x": b""}) if make is tar_gz else zip_of({"x": b""}))
    with pytest.raises(SourceError, match="nothing-like-it"):
        read_member(path, "nothing-like-it")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_a_tar_are_not_followed(tmp_path: Path, kind: bytes) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        info = tarfile.TarInfo("link")
        info.type, info.linkname = kind, "/etc/passwd"
        tar.addfile(info)
    path = tmp_path / "a.tar"
    path.write_bytes(out.getvalue())
    with pytest.raises(SourceError, match="not a plain file"):
        read_member(path, "link")


def test_a_bomb_stops_at_the_bound_whatever_it_declares(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(zip_of({"m/big.json": bytes(4_000_000)}))
    with pytest.raises(SourceError, match="more than is allowed"):
        read_member(path, "m/big.json", max_bytes=1_000_000)
    with pytest.raises(SourceError, match="more than is allowed"):
        extract_folder(path, "m/", tmp_path / "out", JSON, max_bytes=1_000_000)


@pytest.mark.parametrize("name", ["m/../../evil.json", "m//abs.json", "m/a\\..\\b.json"])
def test_no_name_leads_out_of_the_folder(tmp_path: Path, name: str) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as bundle:
        bundle.writestr(zipfile.ZipInfo(name), b"{}")
    path = tmp_path / "a.zip"
    path.write_bytes(out.getvalue())
    with pytest.raises(SourceError, match="unsafe name"):
        extract_folder(path, "m/", tmp_path / "in" / "out", JSON)
    assert not list(tmp_path.rglob("evil.json"))


def test_only_allowed_files_below_the_prefix_are_written(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(zip_of({"m/a.json": b"{}", "m/deep/b.json": b"{}", "m/code.py": b"", "n/c.json": b"{}"}))
    assert set(extract_folder(path, "m/", tmp_path / "out", JSON)) == {"a.json", "deep/b.json"}
    assert {p.name for p in (tmp_path / "out").rglob("*") if p.is_file()} == {"a.json", "b.json"}
