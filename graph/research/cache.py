"""Answers of the Hub and of its viewer, kept for a while as small JSON files.

A file's name is the hash of what was asked: endpoint, path, parameters, and the hash of the token that it was asked
with, so that what one account may see is never shown to another. Neither the question nor the token stands in a file.
A broken or foreign file counts as none. Files are for this user's eyes only, as a private answer may be among them.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import SecretStr

TTL_S = 6 * 3600.0


class AnswerCache:
    """``folder`` is made when it is needed; a disk that cannot be written makes it a cache that keeps nothing."""

    def __init__(
        self,
        folder: Path,
        endpoint: str,
        token: SecretStr | None,
        *,
        clock: Callable[[], float] = time.time,
        ttl_s: float = TTL_S,
    ) -> None:
        self._folder = folder
        self._clock = clock
        self._ttl_s = ttl_s
        secret = token.get_secret_value() if token else ""
        asker = hashlib.sha256(secret.encode()).hexdigest() if secret else ""
        self._asked = f"{endpoint}\n{asker}"

    def get(self, path: str, params: Mapping[str, Any]) -> Any | None:
        """The JSON value, or ``None`` where there is none that is fresh."""
        try:
            kept = json.loads(self._file(path, params).read_text(encoding="utf-8"))
            fresh = 0 <= self._clock() - float(kept["at"]) < self._ttl_s
            return kept["value"] if fresh else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def put(self, path: str, params: Mapping[str, Any], value: Any) -> None:
        file = self._file(path, params)
        beside = file.with_name(f"{file.name}.{os.getpid()}.part")
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            beside.touch(mode=0o600)
            beside.write_text(json.dumps({"at": self._clock(), "value": value}), encoding="utf-8")
            beside.replace(file)
        except OSError:
            beside.unlink(missing_ok=True)

    def prune(self) -> None:
        """Remove what is too old to be of use."""
        for file in self._folder.glob("*.json"):
            try:
                if self._clock() - file.stat().st_mtime > self._ttl_s:
                    file.unlink()
            except OSError:
                continue  # somebody else was quicker

    def _file(self, path: str, params: Mapping[str, Any]) -> Path:
        asked = f"{self._asked}\n{path}\n{json.dumps(dict(params), sort_keys=True, default=str)}"
        return self._folder / f"{hashlib.sha256(asked.encode()).hexdigest()}.json"
