"""GitHub: the licence of a repository that a paper points at, and nothing else of it. One bounded request each.

Only the API's own address is asked, never what a paper or an answer names: of a paper's address the owner and the name
are taken, and an answer that sends elsewhere (a renamed repository) is followed on the same address alone, once. No
token is sent.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from graph.literature import Linked
from graph.research.bounded import Beginning, read_beginning
from graph.research.cache import AnswerCache
from graph.research.licences import licence_of

ENDPOINT = "https://api.github.com"
TIMEOUT_S = 10.0
ALL_S = 20.0  # however slowly an answer trickles in
MAX_ANSWER_BYTES = 512 << 10  # the licence's text comes with its name
HOSTS = ("github.com", "www.github.com")
_REPOSITORY = re.compile(
    r"(?P<owner>[\w-][\w.-]{0,98})/(?P<name>(?!\.{1,2}(?:/|$))[\w.-]{1,100})(?:/.*)?", re.ASCII
)
_SPDX = re.compile(r"[\w.+-]{1,60}", re.ASCII)
_HEADERS = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}
_UNREACHABLE = "GitHub cannot be reached"
Found = tuple[str | None, str]  # licence, and a note where there is none


class GitHub:
    """``endpoint``: where the API is. Nothing here raises: what cannot be found out is a note."""

    def __init__(self, endpoint: str | None = None, cache: AnswerCache | None = None) -> None:
        self.endpoint = (endpoint or ENDPOINT).rstrip("/")
        self.cache = cache

    async def licence(self, url: str) -> Linked:
        """``url``: a repository's page on GitHub. The licence is the Hub's id where it has one, else SPDX's."""
        repository = repository_of(url)
        if repository is None:
            return Linked(url, note="it is no repository that I can look up")
        address = f"{self.endpoint}/repos/{repository}/license"
        kept = self.cache.get(address, {}) if self.cache else None
        if isinstance(kept, list):
            return Linked(url, *kept)
        try:
            async with asyncio.timeout(ALL_S):
                certain, found = await asyncio.to_thread(self._asked, address)
        except TimeoutError:
            certain, found = False, (None, _UNREACHABLE)
        if certain and self.cache:
            self.cache.put(address, {}, found)
        return Linked(url, *found)

    def _asked(self, address: str) -> tuple[bool, Found]:
        """What is known after asking, and whether it will be the same when it is asked again."""
        import httpx2
        from huggingface_hub.errors import HfHubHTTPError

        try:
            got = self._read(address)
            if got.status in (301, 302, 307, 308) and self._is_own(got.location):
                got = self._read(got.location)
        except HfHubHTTPError as error:
            return False, (None, _refusal(error.response.status_code, error.response.headers))
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError):  # no address to go on to, say
            return False, (None, _UNREACHABLE)
        if got.status == 404:
            return True, (None, "GitHub finds no licence there")
        if got.status != 200:
            return False, (None, _refusal(got.status, got.headers))
        found = stated(got.body) if got.whole else None
        return found is not None, found or (None, "GitHub's answer cannot be understood")

    def _read(self, address: str) -> Beginning:
        return read_beginning(
            address,
            most_bytes=MAX_ANSWER_BYTES,
            timeout_s=TIMEOUT_S,
            headers=_HEADERS,
            follow_redirects=False,
        )

    def _is_own(self, address: str) -> bool:
        own, there = urlsplit(self.endpoint), urlsplit(address)
        return (there.scheme, there.netloc) == (own.scheme, own.netloc)


def repository_of(url: str) -> str | None:
    """``owner/name`` of a repository's page on GitHub; ``None`` for any other address."""
    try:
        parts = urlsplit(url)
    except ValueError:  # brackets that hold no address, say
        return None
    match = _REPOSITORY.fullmatch(parts.path.strip("/").removesuffix(".git"))
    if parts.scheme != "https" or parts.netloc.casefold() not in HOSTS or match is None:
        return None
    return f"{match['owner']}/{match['name']}"


def stated(body: bytes) -> Found | None:
    """What an answer of the API says; ``None`` for what is none. Pure."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        answer = None
    licence: Any = answer.get("license") if isinstance(answer, dict) else None
    if not isinstance(licence, dict):
        return None
    spdx = licence.get("spdx_id")
    if not isinstance(spdx, str) or not _SPDX.fullmatch(spdx) or spdx == "NOASSERTION":
        return None, "it has a licence of its own, or none that GitHub knows: read it there"
    known = licence_of(spdx)
    return (known.id if known.hub else spdx), ""


def _refusal(status: int, headers: Mapping[str, str]) -> str:
    spent = headers.get("x-ratelimit-remaining") == "0" or "retry-after" in headers
    if status == 429 or (status == 403 and spent):
        return "GitHub answers no more questions for now: read it there"
    return f"GitHub does not tell ({status})"
