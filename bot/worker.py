"""``intern worker``: moves every run that can move, until it is told to stop.

It looks at the store, not at messages: a run whose process died, a decision made in a terminal and a cancellation
are all found the same way. SIGTERM and SIGINT let the current step end at its checkpoint.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable

from bot.dispatch import Dispatch
from graph.deps import Run
from graph.errors import GraphError

POLL_S = 1.0


async def work(dispatch: Dispatch, say: Callable[[str], None], stop: asyncio.Event) -> None:
    moving: dict[str, asyncio.Task[Run]] = {}
    stopped = asyncio.create_task(stop.wait())
    while not stop.is_set():
        for run_id in [r for r, task in moving.items() if task.done()]:
            say(f"{run_id}: {_outcome(moving.pop(run_id))}")
        for run_id in await dispatch.runnable():
            if run_id not in moving:
                say(f"{run_id}: working")
                moving[run_id] = asyncio.create_task(dispatch.move(run_id))
        news = asyncio.create_task(dispatch.news(POLL_S))
        await asyncio.wait({stopped, news, *moving.values()}, return_when=asyncio.FIRST_COMPLETED)
        news.cancel()
    for task in (stopped, *moving.values()):
        task.cancel()
    await asyncio.gather(stopped, *moving.values(), return_exceptions=True)


def _outcome(task: asyncio.Task[Run]) -> str:
    try:
        return task.result().status.value
    except GraphError as error:
        return str(error)


def stop_on_signals() -> asyncio.Event:
    """Set at SIGTERM and SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop
