"""Whether the place to publish to will take what a run makes: asked at the request and again at the plan, so that
nobody learns of a token that may only read, or of somebody else's namespace, after the training."""

from __future__ import annotations

import asyncio

from graph.context import Context
from graph.errors import PublishError
from graph.state import RunState

WAIT_S = 8.0  # a place that is slow to answer is asked again later; the run does not wait for it


async def refusal_ahead(state: RunState, context: Context) -> str:
    """Why publishing will not work as things are, in two sentences; empty where it will, or no place is named.

    Needs the state's task.
    """
    target = context.publish_target(state)
    publisher = context.deps.publishers.get((target or "").partition(":")[0])
    if not target or publisher is None:
        return ""
    try:
        async with asyncio.timeout(WAIT_S):
            await publisher.check(target)
    except PublishError as error:
        return f"Publishing to {target} will not work as things are: {error.detail} {error.hint}".strip()
    except TimeoutError:
        return ""
    return ""
