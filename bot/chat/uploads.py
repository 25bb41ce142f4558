"""Files that people attach: which are taken, and how they are kept. The name and the size are looked at before a
byte is fetched; what is in it is found out in the sandbox, like every other data."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator
from pathlib import Path

from bot.chat.incoming import Attachment
from bot.errors import UsageError
from graph.research.localfile import SUFFIXES

MAX_BYTES = 500_000_000
PAPER = ".pdf"
_KINDS = (
    "Attach a CSV, TSV, JSONL, Parquet or Excel file with one text column and one label column; "
    "a paper beside it as PDF."
)


def is_data(name: str) -> bool:
    return name.casefold().endswith(SUFFIXES)


def is_paper(name: str) -> bool:
    return name.casefold().endswith(PAPER)


def checked_name(attachment: Attachment) -> str:
    """A safe file name for it. Raises UsageError for what is neither data nor a paper, or too large."""
    name = attachment.name
    suffix = next((s for s in (*SUFFIXES, PAPER) if name.casefold().endswith(s)), None)
    if suffix is None:
        raise UsageError(f"I cannot read files like {name[:80]!r}. {_KINDS}")
    if attachment.bytes is not None and attachment.bytes > MAX_BYTES:
        raise UsageError(
            f"{name[:80]} has {attachment.bytes / 1e6:,.0f} MB; I take at most {MAX_BYTES / 1e6:,.0f} MB from a chat. "
            "Attach a part of it, or put it on the Hub and name it there."
        )
    if attachment.bytes == 0:
        raise UsageError(f"{name[:80]} is empty. {_KINDS}")
    stem = re.sub(r"[^\w\-]+", "_", name[: -len(suffix)])[-80:].strip("_")
    return f"{stem or 'data'}{suffix}"


async def save(chunks: AsyncIterator[bytes], into: Path, expected: int | None) -> None:
    """Write beside, check the size, then move in place. Raises UsageError for a cut or too large download."""
    beside = into.with_name(f".{into.name}.{os.getpid()}.part")
    count = 0
    try:
        with beside.open("wb") as file:
            async for chunk in chunks:
                count += len(chunk)
                if count > MAX_BYTES:
                    raise UsageError(f"{into.name} has over {MAX_BYTES / 1e6:,.0f} MB. Attach a part of it.")
                file.write(chunk)
        if expected is not None and count != expected:
            raise UsageError(
                f"{into.name} came only in part ({count} of {expected} bytes). Please attach it again."
            )
        beside.replace(into)
    finally:
        beside.unlink(missing_ok=True)
