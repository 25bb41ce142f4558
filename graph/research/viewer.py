"""The Hub's data-set viewer: columns, rows, statistics and the first rows of a data set, without a download.

It is a service of its own, with its own address. Where it has no answer (it never looked at the data set, or is down),
a search goes on without it: nothing here raises. Once it could not be reached it is left alone for a while. Without an
address there is no viewer: a private Hub's token must not reach the public one's.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from graph.errors import SourceError
from graph.research.bounded import Beginning, read_beginning
from graph.research.cache import AnswerCache
from graph.research.evidence import Evidence, config_of, from_viewer
from graph.research.hubclient import HubClient
from graph.state import TaskSpec

PUBLIC = "https://datasets-server.huggingface.co"
MAX_ANSWER_BYTES = 4 << 20
TIMEOUT_S = 5.0  # not tried again: a service that hangs once hangs for all ten candidates
FAILURES = 2  # in a row: it is out of reach
REST_S = 60.0  # for which a viewer that was out of reach is not asked again


class Viewer:
    """``url``: ``None`` where there is no viewer."""

    def __init__(self, client: HubClient, cache: AnswerCache, url: str | None) -> None:
        self._client = client
        self._cache = cache
        self._url = url.rstrip("/") if url else None
        self._failures = 0  # in a row
        self._down_until = 0.0

    @property
    def out_of_reach(self) -> bool:
        return self._url is None or self._client.clock() < self._down_until

    async def look(self, repo: str, revision: str | None, task: TaskSpec) -> Evidence | None:
        """What the viewer knows of the data set; ``None`` where it knows nothing. Three requests at most."""
        info = await self._answer("info", {"dataset": repo}, revision)
        config, split = config_of(info)
        if not config:
            return None
        where = {"dataset": repo, "config": config, "split": split}
        statistics, rows = await asyncio.gather(
            self._answer("statistics", where, revision), self._answer("first-rows", where, revision)
        )
        return from_viewer(info, config, statistics, rows, task)

    async def _answer(self, path: str, params: Mapping[str, str], revision: str | None) -> Mapping[str, Any]:
        """The JSON object, or an empty one."""
        if self._url is None or self.out_of_reach:
            return {}
        asked = dict(params) | {
            "revision": revision or ""
        }  # the viewer shows the head: a new one is asked anew
        url = f"{self._url}/{path}"
        kept = self._cache.get(url, asked)
        if isinstance(kept, dict):
            return kept
        secret = self._client.secret()
        headers = {"Authorization": f"Bearer {secret}"} if secret else {}
        try:
            got = await self._client.call(
                f"the viewer's {path} of {params['dataset']}",
                lambda _: read_beginning(
                    url, most_bytes=MAX_ANSWER_BYTES, timeout_s=2 * TIMEOUT_S, params=params, headers=headers
                ),
                TIMEOUT_S,
            )
        except SourceError:
            self._failures += 1
            if self._failures >= FAILURES:
                self._down_until, self._failures = self._client.clock() + REST_S, 0
            return {}
        self._failures = 0
        answer = _object(got)
        if got.status < 500:
            self._cache.put(url, asked, answer)
        return answer


def _object(got: Beginning) -> dict[str, Any]:
    """The body as a JSON object; an empty one for an error, for nonsense, and for what was cut off."""
    if got.status != 200 or not got.whole:
        return {}
    try:
        answer = json.loads(got.body)
    except (ValueError, RecursionError):
        return {}
    return answer if isinstance(answer, dict) else {}
