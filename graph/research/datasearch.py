"""The search for a data set: ask, rank by cards, look into the promising ones, rank again.

- Asking is cheap and looking is not, so that only ``LOOKS`` of what the listing ranks highest are looked into, by the
  viewer, or by the beginning of a file where the viewer has nothing.
- One question that fails costs its own answers; one candidate that cannot be looked into is judged by its card.
- Answers are kept (``cache.py``), so that the same search again asks nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from graph.errors import SourceError
from graph.research.cache import AnswerCache
from graph.research.hubclient import HubClient
from graph.research.hubfiles import choose_files
from graph.research.listing import Listing, found_of, from_plain, listing_of, with_evidence
from graph.research.mirrors import without_copies
from graph.research.queries import Query, queries
from graph.research.ranking import Found, order, score
from graph.research.sample import sample
from graph.research.viewer import Viewer
from graph.state import Candidate, TaskSpec

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import ExpandDatasetProperty_T

LOOKS = 10
LOOKING_S = 20.0  # for all of them together
REFUSED = 4  # of those that are about the task, and cannot be used: shown with the reason
OWN = 3  # namespaces of the token's owner
_EXPAND: Final[Sequence[ExpandDatasetProperty_T]] = (
    "cardData", "description", "disabled", "downloads", "gated", "lastModified", "sha", "siblings", "tags",
)  # fmt: skip


def utc_now() -> datetime:
    return datetime.now(UTC)


class DataSearch:
    """``viewer_url``: ``None`` for a Hub that has no viewer."""

    def __init__(
        self,
        client: HubClient,
        folder: Path,
        viewer_url: str | None,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self.client = client
        self.now = now
        endpoint = client.endpoint or "the default"
        self.cache = AnswerCache(folder, endpoint, client.token, clock=lambda: now().timestamp())
        self.viewer = Viewer(client, self.cache, viewer_url)

    async def search(self, task: TaskSpec, limit: int, skip: Collection[str] = ()) -> list[Candidate]:
        """At most ``limit`` that can be used, best first, then some that cannot. ``skip``: ids not to bring again.

        Raises SourceError where every question failed.
        """
        await asyncio.to_thread(self.cache.prune)
        listed = await self.listed(task)
        now = self.now()
        found = [found_of(listing, now) for listing in listed.values() if listing.id not in skip]
        found = await self._opened(found, listed)
        judged = {item.candidate.id: score(task, item) for item in found}
        found.sort(key=lambda item: order(judged[item.candidate.id]))
        near = [item for item in found if judged[item.candidate.id].usable][: max(LOOKS, limit)]
        seen = await self._look_into(near, listed, task)
        looked_at = {item.candidate.id for item in seen}
        judged |= {item.candidate.id: score(task, item) for item in seen}
        ranked = without_copies(sorted(judged.values(), key=order))
        usable = sorted((c for c in ranked if c.usable), key=lambda c: c.id not in looked_at)
        refused = [c for c in ranked if not c.usable]
        shown = [*usable[:limit], *refused[:REFUSED]]
        return [replace(c, url=self.client.page(f"datasets/{c.id}")) for c in shown]

    async def inspected(self, listing: Listing, candidate: Candidate, task: TaskSpec) -> Candidate:
        """A data set that a person named, with what the viewer tells. What its columns are is theirs to say."""
        item = replace(found_of(listing, self.now(), opened=True), candidate=candidate)
        seen = with_evidence(item, await self.viewer.look(listing.id, listing.revision, task)).candidate
        return replace(seen, usable=True, why_not="")

    async def listed(self, task: TaskSpec) -> dict[str, Listing]:
        """Everything that the questions bring, by id. Raises SourceError where every one of them failed."""
        asked = [*queries(task), *(Query(author=name) for name in await self._own())]
        answers = await asyncio.gather(*(self._ask(query) for query in asked), return_exceptions=True)
        failed = [answer for answer in answers if isinstance(answer, BaseException)]
        for error in failed:
            if not isinstance(error, SourceError) or len(failed) == len(answers):
                raise error
        return {item.id: item for answer in answers if isinstance(answer, list) for item in answer}

    async def _own(self) -> list[str]:
        """The account of the token and its organisations: their data is not the worst place to look."""
        if self.client.token is None:
            return []
        kept = self.cache.get("whoami", {})
        if kept is None:
            try:
                who = await self.client.call("the account of HF_TOKEN", lambda api: api.whoami())
            except SourceError:
                return []
            names = [who.get("name"), *(org.get("name") for org in who.get("orgs") or ())]
            kept = [name for name in names if isinstance(name, str)]
            self.cache.put("whoami", {}, kept)
        return [str(name) for name in kept][:OWN]

    async def _ask(self, query: Query) -> list[Listing]:
        kept = self.cache.get("datasets", query.params())
        if isinstance(kept, list):
            return [from_plain(item) for item in kept]

        def ask(api: HfApi) -> list[Listing]:
            found = api.list_datasets(
                search=query.text or None,
                filter=list(query.tags) or None,
                author=query.author or None,
                sort="downloads",
                limit=query.limit,
                expand=list(_EXPAND),
            )
            return [listing_of(info) for info in found]

        listed = await self.client.call("the list of data sets", ask)
        self.cache.put("datasets", query.params(), [item.plain() for item in listed])
        return listed

    async def _opened(self, found: list[Found], listed: dict[str, Listing]) -> list[Found]:
        """Gated data sets that the token's account may read are as good as others."""
        gated = [item for item in found if item.gated and not item.candidate.usable][:OWN]
        if self.client.token is None or not gated:
            return found
        allowed = await asyncio.gather(*(self._may_read(item.candidate.id) for item in gated))
        opened = {
            item.candidate.id: found_of(listed[item.candidate.id], self.now(), opened=True)
            for item, yes in zip(gated, allowed, strict=True)
            if yes
        }
        return [opened.get(item.candidate.id, item) for item in found]

    async def _may_read(self, repo: str) -> bool:
        def ask(api: HfApi) -> None:
            api.auth_check(repo, repo_type="dataset")

        try:
            await self.client.call(f"the data set {repo}", ask)
        except SourceError:
            return False
        return True

    async def _look_into(self, items: list[Found], listed: dict[str, Listing], task: TaskSpec) -> list[Found]:
        """The first alone, so that a viewer that is down costs one wait and not ten."""
        done: list[Found] = list(items)

        async def look(place: int) -> None:
            done[place] = await self._look(items[place], listed[items[place].candidate.id], task)

        try:
            async with asyncio.timeout(LOOKING_S):
                for place in range(min(1, len(items))):
                    await look(place)
                await asyncio.gather(*(look(place) for place in range(1, len(items))))
        except TimeoutError:
            pass  # the rest is judged by its card
        return done

    async def _look(self, item: Found, listing: Listing, task: TaskSpec) -> Found:
        seen = await self.viewer.look(listing.id, listing.revision, task)
        if seen is None:
            files = choose_files(listing.paths, {"configs": list(listing.configs)}).files
            parts = files.get("train", ("",))
            seen = await sample(
                self.client, self.cache, listing.id, listing.revision or "main", parts[0], task
            )
            if seen and seen.rows and len(parts) > 1:  # of about the size of the first
                seen = replace(seen, rows=seen.rows * len(parts), about=True)
        return with_evidence(item, seen)
