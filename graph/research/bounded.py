"""The beginning of what an address has, and no more of it. Blocking: it is called in a thread.

Neither a server that ignores ``Range`` nor a body without an end moves more than was asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin

CHUNK_BYTES = 1 << 14


@dataclass(frozen=True, slots=True)
class Beginning:
    """``total_bytes``: of the whole, where the server says so. ``headers``: with names in lower case."""

    status: int
    body: bytes
    whole: bool
    total_bytes: int | None = None
    url: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def location(self) -> str:
        """Where an answer that was not followed leads."""
        return urljoin(self.url, self.headers.get("location", ""))


def read_beginning(
    url: str,
    *,
    most_bytes: int,
    timeout_s: float,
    params: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
    follow_redirects: bool = True,
) -> Beginning:
    """At most ``most_bytes`` of the body. Raises HfHubHTTPError for 429 and for what a gateway answers (502 to 504),
    which are worth another try; any other status is the caller's to judge. httpx errors come through.
    """
    from huggingface_hub import get_session
    from huggingface_hub.errors import HfHubHTTPError

    asked = get_session().stream(
        "GET",
        url,
        params=dict(params or {}),
        headers=dict(headers or {}),
        timeout=timeout_s,
        follow_redirects=follow_redirects,
    )
    with asked as response:
        if response.status_code in (429, 502, 503, 504):
            raise HfHubHTTPError(f"answered with {response.status_code}", response=response)
        kept = bytearray()
        for chunk in response.iter_bytes(CHUNK_BYTES):
            kept += chunk
            if len(kept) > most_bytes:
                break
        total = _total(response.headers)
        whole = len(kept) <= most_bytes and (total is None or total <= len(kept))
        told = {name.lower(): value for name, value in response.headers.items()}
        return Beginning(
            response.status_code, bytes(kept[:most_bytes]), whole, total, str(response.url), told
        )


def _total(headers: Mapping[str, str]) -> int | None:
    """Bytes of the whole, of ``Content-Range: bytes 0-9/100``, else of ``Content-Length``."""
    of_range = headers.get("content-range", "").rpartition("/")[2]
    named = of_range or ("" if "content-encoding" in headers else headers.get("content-length", ""))
    return int(named) if named.isdecimal() else None
