"""A collection that groups the repositories of one publication. It is shown when everything is in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from graph.deps import PublishedRepo
from graph.publishing.repository import Repo

if TYPE_CHECKING:
    from huggingface_hub import HfApi

MAX_TITLE_CHARS = 59


def title_of(name: str) -> str:
    return f"{name} by ml-intern"[:MAX_TITLE_CHARS]


def look(api: HfApi, owner: str, title: str) -> dict[str, Any]:
    """``{slug}`` of the one that has this title, or ``{slug: ""}``."""
    same = (found.slug for found in api.list_collections(owner=owner) if found.title == title)
    return {"slug": next(same, "")}


def create(api: HfApi, owner: str, title: str) -> dict[str, Any]:
    made = api.create_collection(
        title, namespace=owner, description="A model and what belongs to it.", private=True, exists_ok=True
    )
    return {"slug": made.slug}


def add(api: HfApi, slug: str, repos: Sequence[Repo]) -> dict[str, Any]:
    for repo in repos:
        api.add_collection_item(slug, repo.id, repo.type, exists_ok=True)  # type: ignore[arg-type]
    return {"items": len(repos)}


def show(api: HfApi, slug: str) -> dict[str, Any]:
    api.update_collection_metadata(slug, private=False)
    return {"public": True}


def withdraw(api: HfApi, slug: str, created: bool, repos: Sequence[PublishedRepo]) -> str:
    """Delete the collection where we made it and nobody added to it; else take our entries out of it."""
    from huggingface_hub.errors import HfHubHTTPError

    try:
        held = api.get_collection(slug)
    except HfHubHTTPError as error:
        if error.response.status_code == 404:
            return "The collection was already gone."
        raise
    ours = {(repo.type, repo.id) for repo in repos}
    entries = [item for item in held.items if (item.item_type, item.item_id) in ours]
    if created and len(entries) == len(held.items):
        api.delete_collection(slug, missing_ok=True)
        return "The collection is deleted."
    for item in entries:
        api.delete_collection_item(slug, item.item_object_id, missing_ok=True)
    return f"The collection holds other things and stays; {len(entries)} entries were taken out of it."
