"""Publishes what a person approved, once, and says where. A refusal asks again; nothing that was made is lost."""

from __future__ import annotations

from graph.context import Context, plain
from graph.errors import PublishError, PublishRefused
from graph.names import EventType
from graph.stages.package import ask
from graph.state import RunState


async def run(state: RunState, context: Context) -> RunState:
    answer = state.get("answer")
    named = context.publish_target(state)
    value = answer.value if answer else "keep"
    target = named if value in ("private", "public") else value
    kind = (target or "").partition(":")[0]
    publisher = context.deps.publishers.get(kind)
    if publisher is None or not target or not context.may_publish_to(state, target):
        return _again(state, context, f"I can publish to {_places(context)}, not to {value!r}.")
    key = context.key("publish")
    effect = await context.deps.store.claim(key, context.run_id, fence=context.deps.fence)
    if effect.state == "done" and effect.result is not None:
        result = dict(effect.result)
    else:
        try:
            publication = await publisher.publish(context.dir, target, private=value != "public", key=key)
        except (PublishRefused, PublishError) as error:
            return _again(state, context, f"{error.detail} {error.hint}".strip())
        result = plain(publication)
        await context.deps.store.record(key, result, fence=context.deps.fence)
    await context.say(
        EventType.PUBLISHED,
        target=target,
        url=result["url"],
        files=[f["path"] for f in result["files"]],
        private=value != "public",
    )
    return RunState(publication=result, question=None, answer=None)


def _again(state: RunState, context: Context, complaint: str) -> RunState:
    return RunState(question=ask(state, context, complaint), answer=None)


def _places(context: Context) -> str:
    return " or ".join(f"{name}:…" for name in context.deps.publishers)
