"""What is never published: pickles by whatever name, packed files that could hide one, secrets, files too
large.

Pickles are found by content, not by name alone: the opcodes are read (``pickletools``, which executes
nothing). Secrets are found by their issuers' formats and by the values that this process was given. A message
names the file and the kind, never the secret. Paths of this machine in text files only warn: they tell
little, but something.
"""

from __future__ import annotations

import hashlib
import pickletools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from graph.deps import PublishFile
from graph.errors import PublishRefused
from graph.publishing.layout import Item
from graph.research.basemodel import PICKLES

MAX_FILE_BYTES = 5 << 30
MAX_OPCODES = 20_000  # a pickle that goes on for longer is one
_CHUNK_BYTES = 1 << 20
_OVERLAP_BYTES = 512  # longer than any secret, so that none hides on a border
_MIN_SECRET_CHARS = 8

_PACKED = {
    b"PK\x03\x04": "a zip archive",
    b"\x1f\x8b": "gzip data",
    b"BZh": "bzip2 data",
    b"\xfd7zXZ": "xz data",
    b"\x28\xb5\x2f\xfd": "zstandard data",
    b"7z\xbc\xaf": "a 7z archive",
}
_SECRETS = {
    "a Hugging Face token": rb"hf_[A-Za-z0-9]{30,}",
    "a Slack token": rb"xox[abeoprs]-[A-Za-z0-9-]{10,}|xapp-\d-[A-Za-z0-9-]{10,}",
    "a Slack webhook": rb"hooks\.slack\.com/services/[A-Z0-9]+/[A-Z0-9]+/[A-Za-z0-9]{16,}",
    "a Discord token": rb"[MNO][A-Za-z0-9_-]{23,27}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,}",
    "a Modal token": rb"a[ks]-[A-Za-z0-9]{22,}",
    "an AWS key": rb"(?:AKIA|ASIA)[0-9A-Z]{16}",
    "an API key of an LLM provider": rb"sk-[A-Za-z0-9_-]{20,}",
    "a GitHub token": rb"gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{40,}",
    "a Google key": rb"AIza[0-9A-Za-z_-]{35}",
    "a private key": rb"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    "a database password": rb"postgres(?:ql)?://[^\s:/@]+:[^\s:/@]+@",
}
_PATTERNS = {kind: re.compile(rb"(?<![A-Za-z0-9_-])(?:" + body + rb")") for kind, body in _SECRETS.items()}
_MACHINE_PATH = re.compile(rb"(?<![\w./:-])/(?:home|Users|root|tmp|var|mnt|srv|private)/[\w.@-]+")


@dataclass(frozen=True, slots=True)
class Checked:
    files: tuple[PublishFile, ...]  # in the order of the items
    warnings: tuple[str, ...]


def check(items: Sequence[Item], secrets: Iterable[str] = (), repo: str = "") -> Checked:
    """Sizes and hashes of what would be published (to ``repo``); PublishRefused at the first thing that must not
    be."""
    if not items:
        raise PublishRefused("There is nothing to publish.", "Let the run finish first.")
    known = [s.encode() for s in secrets if len(s) >= _MIN_SECRET_CHARS]
    files, warnings = [], []
    for item in items:
        _refuse_pickle(item)
        file, warning = _read(item, known)
        files.append(replace(file, repo=repo))
        if warning:
            warnings.append(warning)
    return Checked(tuple(files), tuple(warnings))


def is_pickle(path: Path) -> bool:
    """Whether the file starts with a pickle: any protocol from 2 on, or an older one that builds objects."""
    with path.open("rb") as file:
        start = file.read(2)
        file.seek(0)
        modern = start[:1] == b"\x80" and start[1:] in (b"\x02", b"\x03", b"\x04", b"\x05")
        names: set[str] = set()
        try:
            for count, (opcode, _, _) in enumerate(pickletools.genops(file)):
                names.add(opcode.name)
                if count > MAX_OPCODES:
                    return True
        except (ValueError, IndexError, UnicodeDecodeError, OverflowError):
            return False  # no pickle, or one that no Python can load
    return modern or bool(names & {"GLOBAL", "INST"} and names & {"REDUCE", "BUILD", "OBJ", "INST"})


def _refuse_pickle(item: Item) -> None:
    suffixes = {s.casefold() for s in PurePosixPath(item.path).suffixes}
    hint = "Save weights as safetensors and everything else as JSON."
    if suffixes & PICKLES or is_pickle(item.source):
        raise PublishRefused(f"{item.path} is a pickle, which runs code when it is loaded.", hint)
    with item.source.open("rb") as file:
        head = file.read(128)
    if head.startswith(b"\x93NUMPY") and re.search(rb"'descr': '\|O'", head):
        raise PublishRefused(f"{item.path} is a NumPy file with a pickle inside.", hint)
    for magic, what in _PACKED.items():
        if head.startswith(magic):
            raise PublishRefused(
                f"{item.path} is {what}, in which a pickle or a secret could hide.", "Unpack it."
            )


def _read(item: Item, known: Sequence[bytes]) -> tuple[PublishFile, str]:
    """One pass: size, sha256, secrets, paths of this machine."""
    digest, size, tail, warning = hashlib.sha256(), 0, b"", ""
    text = True
    with item.source.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            if size == 0:
                text = b"\0" not in chunk[:8192]
            size += len(chunk)
            if size > MAX_FILE_BYTES:
                raise PublishRefused(
                    f"{item.path} has more than {MAX_FILE_BYTES / 1e9:.1f} GB.", "Leave it out or split it."
                )
            digest.update(chunk)
            window = tail + chunk
            _refuse_secret(item, window, known, text)
            if text and not warning and (found := _MACHINE_PATH.search(window)):
                warning = (
                    f"{item.path} names a path of this machine: {found.group().decode(errors='replace')[:60]}"
                )
            tail = window[-_OVERLAP_BYTES:]
    return PublishFile(item.path, size, digest.hexdigest()), warning


def _refuse_secret(item: Item, window: bytes, known: Sequence[bytes], text: bool) -> None:
    kind = "a secret of this process" if any(secret in window for secret in known) else None
    if kind is None and text:
        kind = next((kind for kind, pattern in _PATTERNS.items() if pattern.search(window)), None)
    if kind:
        raise PublishRefused(
            f"{item.path} holds {kind}.", "Remove it there, and revoke it if anybody else may have seen it."
        )
