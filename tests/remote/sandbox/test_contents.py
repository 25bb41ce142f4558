"""What a file is, whatever it is called."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import pickle
import tarfile
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save as save_safetensors

from remote.sandbox import contents
from remote.sandbox.contents import refusal


class Bomb:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return print, ("pwned",)


def _saved(what: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(what, buffer, **options)
    return buffer.getvalue()


def _array(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


def _zip(members: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def _tar() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("../../etc/cron.d/x"))
    return buffer.getvalue()


def _safetensors(header: object, data: bytes = b"", *, length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def _tensor(begin: int, end: int, shape: list[int], dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


GOOD: dict[str, np.ndarray] = {
    "w": np.arange(6, dtype=np.float32).reshape(2, 3),
    "b": np.zeros(0, dtype=np.int64),
}
PICKLES = [pickle.dumps(Bomb(), protocol) for protocol in range(6)]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("model.safetensors", save_safetensors(GOOD)),
        ("empty.safetensors", _safetensors({})),
        ("like_a_pickle.safetensors", _safetensors(b"{}" + b" " * 638)),  # its length is 80 02 00 ...
        ("noted.safetensors", save_safetensors(GOOD, {"format": "pt"})),
        ("array.npy", _array(np.arange(10))),
        ("arrays.npz", _zip({"a.npy": _array(np.arange(10))})),
        ("config.json", b"{}"),
        ("notes", b"I care about macro-F1.\nc is a column."),
        ("words.txt", b"counts\nfoo\n0.5"),
        ("empty.bin", b""),
        ("plot.png", b"\x89PNG\r\n\x1a\n"),
        ("tokenizer.model", b"\n\x0e\n\x05<unk>\x15\x00"),
    ],
)
def test_what_jobs_really_write_passes(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / "copy").write_bytes(data)
    assert refusal(tmp_path / "copy", name) is None


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        *((f"model/{n}.bin", data, "pickle") for n, data in enumerate(PICKLES)),
        *((f"{n}.txt", data, "pickle") for n, data in enumerate(PICKLES) if n > 1),
        *((f"{n}.safetensors", data, "safetensors") for n, data in enumerate(PICKLES)),
        ("long.bin", pickle.dumps("x" * 200_000) + PICKLES[4], "pickle"),
        ("old.dat", PICKLES[0], "pickle"),
        ("model.pt", _saved({"w": torch.zeros(2)}), "pickle"),
        ("training_args.bin", _saved({"w": torch.zeros(2)}), "zip"),
        ("weights.safetensors", _saved({"w": torch.zeros(2)}), "safetensors"),
        ("legacy.bin", _saved({"w": torch.zeros(2)}, _use_new_zipfile_serialization=False), "pickle"),
        ("innocent.pkl", b"hello", "pickle"),
        ("UPPER.PKL", b"hello", "pickle"),
        ("objects.npy", _array(np.array([Bomb()], dtype=object)), "pickle"),
        ("objects.npz", _zip({"a.npy": _array(np.array([Bomb()], dtype=object))}), "pickle"),
        ("other.npz", _zip({"a.npy": PICKLES[4]}), "not an array"),
        ("bomb.npz", _zip({"a.npy": b"\x93NUMPY" + bytes(64 * 1024**2)}), "far more"),
        ("bomb.zip", _zip({"zeros": bytes(64 * 1024**2)}), "zip"),
        ("slip.zip", _zip({"../../x": b"x"}), "zip"),
        ("slip.tar", _tar(), "tar"),
        ("a.csv", gzip.compress(PICKLES[4], mtime=0), "gzip"),
        ("a.csv", bz2.compress(PICKLES[4]), "bzip2"),
        ("a.csv", lzma.compress(PICKLES[4]), "xz"),
        ("a.z", zlib.compress(PICKLES[4]), "zlib"),
        ("helper", b"\x7fELF\x02\x01\x01", "program"),
        ("damaged.npz", b"PK\x03\x04" + b"x" * 100, "damaged"),
    ],
)
def test_what_could_run_code_or_hide_it_is_refused(
    tmp_path: Path, name: str, data: bytes, words: str
) -> None:
    (tmp_path / "copy").write_bytes(data)
    why = refusal(tmp_path / "copy", name)
    assert why is not None
    assert words in why


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00" * 7,
        _safetensors({}, length=2**63),
        _safetensors({}, length=contents.MAX_HEADER_BYTES + 1),
        _safetensors(b"[" * 100_000),
        _safetensors(b"[]"),
        _safetensors(b"\xff\xfe"),
        _safetensors({"w": 3}),
        _safetensors({"w": {}}),
        _safetensors({"w": _tensor(0, 8, [2])}, b"x" * 9),  # a byte is left over: room for something else
        _safetensors({"w": _tensor(0, 8, [2])}, b"x" * 7),
        _safetensors({"w": _tensor(0, 8, [3])}, b"x" * 8),
        _safetensors({"w": _tensor(0, 8, [2]), "v": _tensor(4, 12, [2])}, b"x" * 12),
        _safetensors({"w": _tensor(4, 12, [2])}, b"x" * 12),
        _safetensors({"w": _tensor(-8, 0, [-2])}),
        _safetensors({"w": _tensor(0, 8, [2**62, 2**62])}, b"x" * 8),
        _safetensors({"w": _tensor(0, 8, [10**30])}, b"x" * 8),
        _safetensors({"w": _tensor(0, 4, [1] * 10_000)}, b"x" * 4),
        _safetensors({"w": _tensor(0, 8, [True, 2])}, b"x" * 8),
        _safetensors({"w": {"dtype": [], "shape": [2], "data_offsets": [0, 8]}}, b"x" * 8),
        _safetensors({"__metadata__": {"a": 1}}),
        _safetensors({"__metadata__": []}),
    ],
)
def test_a_false_safetensors_file_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "copy").write_bytes(data)
    why = refusal(tmp_path / "copy", "model.safetensors")
    assert why is not None
    assert "safetensors" in why


@given(
    data=st.binary(max_size=300),
    suffix=st.sampled_from(["", ".bin", ".npz", ".npy", ".safetensors", ".json"]),
)
def test_nothing_makes_it_raise(tmp_path_factory: pytest.TempPathFactory, data: bytes, suffix: str) -> None:
    path = tmp_path_factory.getbasetemp() / "copy"
    for begin in (b"", b"\x93NUMPY\x01\x00", b"PK\x03\x04", b"\x80\x04"):
        path.write_bytes(begin + data)
        why = refusal(path, f"x{suffix}")
        assert why is None or (why.isprintable() and len(why) < 200)
