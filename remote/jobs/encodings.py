"""Finds out how a file's bytes are to be read as text.

In this order: a byte-order mark; UTF-16 without one (NULs in every other byte); strict UTF-8; Western
European cp1252 when nearly all bytes above 127 are letters or marks that Western languages use there; what
charset-normalizer says. charset-normalizer alone mistakes short German or French latin-1 files for cp1250 or
an Asian encoding, and cp1252 is a superset of latin-1's printable characters.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

from charset_normalizer import from_bytes

from remote.protocol import FailureKind, JobError

SAMPLE_BYTES = 256 * 1024
BINARY_SHARE = 0.05  # of control characters; random bytes have 12 %, text with stray NULs far fewer

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_WESTERN = frozenset(
    "äöüßÄÖÜàâæçéèêëîïôœùûÿÀÂÆÇÉÈÊËÎÏÔŒÙÛáíóúñÁÍÓÚÑ¿¡åøÅØãõÃÕìòÌÒ€£§°–—‘’“”„…«»·©®™´\u00a0²³½µ×"
)
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_BINARY = (
    (b"\x89PNG", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"GIF8", "a GIF picture"),
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\xd0\xcf\x11\xe0", "an old Excel or Word file"),
    (b"SQLite format 3\x00", "an SQLite database"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ\x00", "an xz archive"),
    (b"(\xb5/\xfd", "a zstd archive"),
    (b"Rar!", "a RAR archive"),
    (b"\x7fELF", "a program"),
    (b"ARROW1", "an Arrow file"),
    (b"\x89HDF", "an HDF5 file"),
)


@dataclass(frozen=True, slots=True)
class Decoded:
    text: str
    encoding: str
    replaced: int = 0  # bytes that no encoding could read, now U+FFFD


def refuse_binary(data: bytes, name: str) -> None:
    """Raises JobError (``data_error``) for well-known formats that are not tables, whatever the name."""
    for magic, words in _BINARY:
        if data.startswith(magic):
            advice = "unpack it" if "archive" in words else "export the table from it"
            raise JobError(
                FailureKind.DATA_ERROR,
                f"{name} is {words}, not a table: {advice} and give me a CSV, TSV, JSONL, Parquet or Excel file.",
            )


def decode_text(data: bytes, name: str) -> Decoded:
    """The file as text, without its byte-order mark. Raises JobError (``data_error``) for a binary file."""
    refuse_binary(data, name)
    decoded = _decode(data)
    sample = decoded.text[:SAMPLE_BYTES]
    if len(_CONTROL.findall(sample)) > BINARY_SHARE * len(sample) or decoded.replaced > 0.1 * len(data):
        raise JobError(
            FailureKind.DATA_ERROR,
            f"{name} is a binary file, not a table: give me a CSV, TSV, JSONL, Parquet or Excel file.",
        )
    return decoded


def _decode(data: bytes) -> Decoded:
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return _with(data, encoding)
    sample = data[:SAMPLE_BYTES]
    for encoding, zeros, others in (
        ("utf-16-le", sample[1::2], sample[0::2]),
        ("utf-16-be", sample[0::2], sample[1::2]),
    ):
        if len(zeros) > 1 and zeros.count(0) > 0.6 * len(zeros) and others.count(0) < 0.1 * len(others):
            return _with(data, encoding)
    try:
        return Decoded(data.decode("utf-8"), "utf-8")
    except UnicodeDecodeError:
        return _with(data, _eight_bit(data))


def _eight_bit(data: bytes) -> str:
    high = bytes(b for b in data[: 8 * SAMPLE_BYTES] if b > 127)
    western = sum(c in _WESTERN for c in high.decode("cp1252", errors="replace"))
    if western > 0.95 * len(high) and len(high) < 0.3 * len(data):
        return "cp1252"
    if len(data.decode("utf-8", errors="ignore").encode()) > 0.999 * len(data):
        return "utf-8"  # a few broken bytes, such as a character cut in two by a truncated download
    best = from_bytes(data[:SAMPLE_BYTES]).best()
    return best.encoding if best is not None else "cp1252"


def _with(data: bytes, encoding: str) -> Decoded:
    try:
        return Decoded(data.decode(encoding), encoding)
    except UnicodeDecodeError:
        text = data.decode(encoding, errors="replace")
        return Decoded(text, encoding, text.count("\ufffd"))
