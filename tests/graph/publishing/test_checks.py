"""What is found in files: pickles by content, secrets by form and value, paths of this machine."""

from __future__ import annotations

import datetime
import gzip
import io
import json
import pickle
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graph.errors import PublishRefused
from graph.publishing import checks
from graph.publishing.checks import check, is_pickle
from graph.publishing.layout import Item


def items(folder: Path, files: dict[str, bytes]) -> list[Item]:
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return [Item(folder / name, name) for name in files]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_of_every_protocol_whatever_their_name(tmp_path: Path, protocol: int) -> None:
    content = pickle.dumps({"when": datetime.datetime(2026, 1, 1), "all": list(range(3))}, protocol)
    with pytest.raises(PublishRefused, match="pickle"):
        check(items(tmp_path, {"notes.json": content}))


@pytest.mark.parametrize(
    "name", ["a.bin", "a.PT", "a.pkl", "a.joblib", "training_args.bin", "a.pickle.txt", "a.ckpt"]
)
def test_names_of_pickles(tmp_path: Path, name: str) -> None:
    with pytest.raises(PublishRefused, match="pickle"):
        check(items(tmp_path, {name: b"{}"}))


def test_packed_files_and_numpy_objects(tmp_path: Path) -> None:
    header = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }"
    array = b"\x93NUMPY\x01\0" + struct.pack("<H", len(header)) + header
    for content in (b"PK\x03\x04", gzip.compress(b"x"), b"BZh9", array):
        with pytest.raises(PublishRefused):
            check(items(tmp_path, {"file": content}))


def test_safetensors_whose_header_length_looks_like_a_pickle(tmp_path: Path) -> None:
    """A header of 0x0480 bytes starts with the bytes of a pickle of protocol 4."""
    header = json.dumps({"__metadata__": {"pad": ""}}).encode().ljust(0x0480)
    content = struct.pack("<Q", len(header)) + header + bytes(64)
    assert content[:2] == b"\x80\x04"
    assert check(items(tmp_path, {"model.safetensors": content})).files[0].bytes == len(content)


@given(st.text(max_size=300))
def test_no_text_is_taken_for_a_pickle(text: str) -> None:
    lines = f"# Title\n{text}\n"
    assert not _is_pickle(lines.encode())


def _is_pickle(content: bytes) -> bool:
    class Held:
        def open(self, mode: str) -> io.BytesIO:
            return io.BytesIO(content)

    return is_pickle(Held())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("secret", "kind"),
    [
        ("hf_" + "a" * 34, "Hugging Face"),
        ("xoxb-123456789012-abcdefghij", "Slack"),
        ("xapp-1-A0123456789-123", "Slack"),
        ("https://hooks.slack.com/services/T00000000/B00000000/" + "x" * 24, "Slack webhook"),
        ("M" + "a" * 25 + ".Gabcde." + "b" * 30, "Discord"),
        ("ak-" + "A1b2" * 6, "Modal"),
        ("AKIA" + "A" * 16, "AWS"),
        ("sk-proj-" + "a" * 40, "LLM"),
        ("ghp_" + "a" * 36, "GitHub"),
        ("-----BEGIN RSA PRIVATE KEY-----", "private key"),
        ("postgresql://intern:hunter2@db/runs", "database"),
    ],
)
def test_secrets_by_their_form(tmp_path: Path, secret: str, kind: str) -> None:
    with pytest.raises(PublishRefused, match=kind) as caught:
        check(items(tmp_path, {"a.py": f'x = "{secret}"\n'.encode()}))
    assert secret not in str(caught.value)


def test_known_secrets_are_found_in_binary_files_too(tmp_path: Path) -> None:
    with pytest.raises(PublishRefused, match="secret of this process"):
        check(items(tmp_path, {"a.dat": b"\0\0my-known-secret\0"}), ["my-known-secret"])


def test_a_secret_across_two_chunks_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "_CHUNK_BYTES", 64)
    content = b"a" * 40 + b" hf_" + b"b" * 34
    with pytest.raises(PublishRefused, match="Hugging Face"):
        check(items(tmp_path, {"a.txt": content}))


def test_ordinary_files_pass(tmp_path: Path) -> None:
    ordinary = {
        "vocab.txt": b"ask-\nsk-\nhf_\nak-47\ntask-oriented-dialogue-systems\n",
        "README.md": b"Set HF_TOKEN to a token such as `hf_...`. c\n(lp0\n.",
        "a.csv": b"row_id,label\n1,a.\n",
        "empty.txt": b"",
    }
    assert check(items(tmp_path, ordinary)).warnings == ()


def test_a_path_of_this_machine_warns(tmp_path: Path) -> None:
    found = check(
        items(
            tmp_path, {"a.json": b'{"data": "/home/ada/secret-project/x.csv"}', "b": b"https://x.org/home/a"}
        )
    )
    assert found.warnings == ("a.json names a path of this machine: /home/ada",)


def test_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "MAX_FILE_BYTES", 10)
    with pytest.raises(PublishRefused, match="more than"):
        check(items(tmp_path, {"a": b"x" * 11}))
