"""What a run would publish, and taking back what it published: outside of its stages, on a person's word.

Only what the run itself made is deleted; the ledger of effects knows what that is, also after a publication that was
never finished. It is taken back as often as one asks: what is gone already is passed over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from graph.context import Context, plain
from graph.deps import Deps, Effect, PublishedRepo, Publisher, PublishFile
from graph.ending import write_log
from graph.errors import PublishError
from graph.files import read_json, write_json
from graph.names import EventType, Stage
from graph.state import RunState


async def preview(
    deps: Deps, state: RunState, run_id: str, place: str | None
) -> tuple[str, tuple[PublishFile, ...]]:
    """The place, and each file that would go there. Raises PublishError, PublishRefused."""
    context = Context(deps, run_id, Stage.PUBLISH, 0)
    target = place or (context.publish_target(state) if "task" in state else None)
    if not target:
        raise PublishError(
            f"Run {run_id} names no place to publish to.", "Name one: hub:OWNER/NAME or folder:PATH."
        )
    if not state.get("package_dir"):
        raise PublishError(
            f"Run {run_id} has nothing to publish yet.", f"`intern show {run_id}` says how far it is."
        )
    publisher = _publisher(deps, target)
    await publisher.check(target)
    return target, await publisher.dry_run(deps.run_dir(run_id), target)


async def unpublish(deps: Deps, state: RunState, run_id: str, *, by: str, keep: bool) -> tuple[str, ...]:
    """Take back what the run published: a sentence for each thing. ``keep``: hide it instead of deleting it.

    Raises PublishError where it published nothing, or the place refuses; the same call then goes on.
    """
    made = state.get("publication") or half_published(await deps.store.effects(run_id), run_id)
    if not made:
        raise PublishError(f"Run {run_id} has published nothing.", "`intern runs` lists the runs.")
    url = str(made.get("url") or "")
    target = str(made.get("target") or ("folder:" if url.startswith("file:") else "hub:"))
    if target.startswith("hub:") and not made.get("repos"):
        raise PublishError(
            f"Run {run_id} was published by a version that kept no record of what it made.",
            f"Remove it by hand: {url or 'see its card'}.",
        )
    said = await _publisher(deps, target).unpublish(made, keep=keep)
    at, key = deps.at(), f"{run_id}-unpublish"
    await deps.store.claim(key, run_id)
    await deps.store.record(key, {"by": by, "at": at, "keep": keep, "said": list(said)})
    await deps.store.append(
        run_id, EventType.UNPUBLISHED, {"by": by, "keep": keep, "said": list(said)}, at=at
    )
    _note(deps, run_id, {"by": by, "at": at, "said": list(said)})
    await write_log(Context(deps, run_id, Stage.PUBLISH, 0))
    return said


def half_published(effects: Sequence[Effect], run_id: str) -> Mapping[str, Any] | None:
    """A publication as plain data from the steps of one that never ended; ``None`` where nothing was made."""
    steps = {
        effect.key.removeprefix(f"{run_id}-publish/"): effect
        for effect in effects
        if effect.key.startswith(f"{run_id}-publish/")
    }
    repos: dict[str, PublishedRepo] = {}
    slug, created = "", False
    for step, effect in steps.items():
        result, (thing, _, name) = effect.result or {}, step.rpartition("/")
        kind, _, what = thing.partition(":")
        if kind == "collection":
            slug, created = str(result.get("slug") or slug), created or name == "create"
        elif name == "create":
            repos[thing] = PublishedRepo(what, kind, "", "", True)
        elif name.startswith("fill-") and result:
            new = thing in repos
            repos[thing] = PublishedRepo(
                what, kind, "", str(result["revision"]), new, result.get("pull_request") or "", result.get("number")
            )  # fmt: skip
    if not repos:
        return None
    return {
        "target": "hub:",
        "repos": plain(list(repos.values())),
        "collection": slug,
        "collection_created": created,
        "files": [],
    }


def _publisher(deps: Deps, target: str) -> Publisher:
    publisher = deps.publishers.get(target.partition(":")[0])
    if publisher is None:
        places = " or ".join(f"{name}:…" for name in deps.publishers)
        raise PublishError(f"{target[:80]!r} is no place I can publish to.", f"I can to {places}.")
    return publisher


def _note(deps: Deps, run_id: str, taken_back: Mapping[str, Any]) -> None:
    """Write it into ``run.json`` too, where that can be read."""
    path = deps.run_dir(run_id) / "run.json"
    body = read_json(path)
    if isinstance(body, dict):
        write_json(path, body | {"unpublished": taken_back})
