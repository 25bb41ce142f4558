"""Which files a job may hand on, told by their bytes: a name is the job's own word.

What comes out of ``out/`` lands in a person's folder and may be published, and whoever loads a model runs what a
pickle says. So no pickle passes, under whatever name or wrapping; archives and compressed files do not pass at all,
because what is in them could not be seen (and may be a bomb); a ``.safetensors`` file must be one, to the last byte,
as its header is read by other people's programs (https://huggingface.co/docs/safetensors, "Format").

This looks for what would be loaded by accident. Text that somebody pipes into ``pickle.load`` on purpose is not found.
"""

from __future__ import annotations

import io
import json
import math
import pickletools
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

MAX_HEADER_BYTES = 8 * 1024**2  # of a thousand tensors it takes 100 kB; the format would allow 100 MB
MAX_DIMENSIONS = 64
MAX_MEMBERS = 10_000
_MAX_RATIO = 1000  # unpacked to packed: arrays of zeros reach it, little else does
_HEAD_BYTES = 64 * 1024

_PICKLE_NAMES = {".pkl", ".pickle", ".pt", ".pth", ".pt2", ".ckpt", ".joblib", ".dill", ".sav", ".pck"}
_OPAQUE_NAMES = {"", ".bin", ".dat", ".model", ".data", ".weights"}
_RUNS_CODE = {"GLOBAL", "STACK_GLOBAL", "INST", "OBJ", "REDUCE", "NEWOBJ", "NEWOBJ_EX", "BUILD", "EXT1"}
_ARCHIVES: Mapping[bytes, str] = {
    b"PK\x03\x04": "zip",
    b"PK\x05\x06": "zip",
    b"\x1f\x8b": "gzip",
    b"BZh9": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x04\x22\x4d\x18": "lz4",
    b"7z\xbc\xaf\x27\x1c": "7z",
    b"Rar!\x1a\x07": "rar",
    b"\x78\x01": "zlib",
    b"\x78\x9c": "zlib",
    b"\x78\xda": "zlib",
}
_TAR_MAGIC, _TAR_AT = b"ustar", 257
# Bytes of one value; the sizes of the library's own table.
_DTYPES = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0"), 1),
    **dict.fromkeys(("I16", "U16", "F16", "BF16"), 2),
    **dict.fromkeys(("I32", "U32", "F32"), 4),
    **dict.fromkeys(("I64", "U64", "F64", "C64"), 8),
}


def refusal(path: Path, name: str) -> str | None:
    """Why the file at ``path``, which the job calls ``name``, is not taken over: the end of a sentence; ``None``
    when nothing speaks against it. Reads the head, a header or a table of contents, never the whole file."""
    suffix = PurePosixPath(name).suffix.lower()
    with path.open("rb") as file:
        if suffix == ".safetensors":  # first: the length that it begins with may look like a pickle
            return _bad_safetensors(file, path.stat().st_size)
        head = file.read(_HEAD_BYTES)
    if suffix in _PICKLE_NAMES or is_pickle(head, suffix):
        return "is a pickle, which runs code when it is loaded: save safetensors or JSON instead"
    if head.startswith(b"\x7fELF"):
        return "is a machine program, which is not taken over"
    if head.startswith(b"\x93NUMPY"):
        return _bad_array(head)
    kind = _archive(head)
    if suffix == ".npz" and kind == "zip":
        return _bad_arrays(path)
    if kind is not None:
        return f"is an archive or compressed ({kind}), so it cannot be looked into: save plain files instead"
    return None


def is_pickle(head: bytes, suffix: str = "") -> bool:
    """Protocols 2 and later by their first bytes, with which no text and no usual format begins; the older ones,
    which look like text, only under names that tell nothing, and only with an opcode that runs code."""
    if len(head) > 1 and head[0] == 0x80 and 2 <= head[1] <= 5:
        return True
    if suffix not in _OPAQUE_NAMES:
        return False
    seen: set[str] = set()
    try:
        for opcode, _, _ in pickletools.genops(io.BytesIO(head)):
            seen.add(opcode.name)
    except (ValueError, OverflowError):  # not a pickle, or cut off at the end of the head
        return len(head) == _HEAD_BYTES and not _RUNS_CODE.isdisjoint(seen)
    return not _RUNS_CODE.isdisjoint(seen)


def _archive(head: bytes) -> str | None:
    if head[_TAR_AT : _TAR_AT + len(_TAR_MAGIC)] == _TAR_MAGIC:
        return "tar"
    return next((kind for magic, kind in _ARCHIVES.items() if head.startswith(magic)), None)


def _bad_safetensors(file: BinaryIO, size: int) -> str | None:
    no = "is not a valid safetensors file"
    prefix = file.read(8)
    length = int.from_bytes(prefix, "little")
    if len(prefix) < 8 or length > min(MAX_HEADER_BYTES, size - 8):
        return f"{no}: its header is longer than the file or the format allows"
    try:
        header = json.loads(file.read(length))
    except (ValueError, RecursionError):
        return f"{no}: its header is not JSON"
    if not isinstance(header, dict):
        return f"{no}: its header is not a table"
    notes = header.pop("__metadata__", {})
    if not isinstance(notes, dict) or not all(isinstance(value, str) for value in notes.values()):
        return f"{no}: its metadata is not a table of texts"
    return f"{no}: its tensors do not fill it exactly" if _gaps(header, size - 8 - length) else None


def _gaps(tensors: Mapping[str, Any], size: int) -> bool:
    """Whether the tensors leave room, overlap, reach beyond the ``size`` bytes or are not tensors at all."""
    spans: list[tuple[int, int]] = []
    for tensor in tensors.values():
        try:
            begin, end = tensor["data_offsets"]
            shape, width = list(tensor["shape"]), _DTYPES.get(tensor["dtype"])
        except (KeyError, TypeError, ValueError):
            return True
        numbers = (begin, end, *shape)
        if len(shape) > MAX_DIMENSIONS or any(type(n) is not int or not 0 <= n < 2**63 for n in numbers):
            return True
        if (
            width is not None and end - begin != math.prod(shape) * width
        ):  # None: a type newer than this table
            return True
        spans.append((begin, end))
    at = 0
    for begin, end in sorted(spans):
        if begin != at:
            return True
        at = end
    return at != size


def _bad_array(head: bytes) -> str | None:
    """An array of objects is a pickle inside; its type's code holds an ``O``."""
    described = head[: head.find(b"fortran_order")]
    if b"O" in described.partition(b"descr")[2]:
        return "holds Python objects as a pickle: save numbers only"
    return None


def _bad_arrays(path: Path) -> str | None:
    """``.npz``: a zip of arrays and nothing else."""
    try:
        if _directory_bytes(path) > MAX_MEMBERS * 256:
            return "has too many arrays in it"
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if len(members) > MAX_MEMBERS:
                return "has too many arrays in it"
            for member in members:
                if member.file_size > _MAX_RATIO * max(member.compress_size, 1024):
                    return "unpacks to far more than it holds"
                with archive.open(member) as file:
                    head = file.read(4096)
                if not head.startswith(b"\x93NUMPY"):
                    return "holds something that is not an array"
                if (why := _bad_array(head)) is not None:
                    return why
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError, ValueError):
        return "is a damaged or encrypted archive"
    return None


def _directory_bytes(path: Path) -> int:
    """Size of a zip's table of contents, which :mod:`zipfile` reads into memory as a whole."""
    with path.open("rb") as file:
        file.seek(max(path.stat().st_size - 65_557, 0))
        tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < 22:
        raise zipfile.BadZipFile
    size: int = struct.unpack_from("<I", tail, at + 12)[0]
    return size
