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


async def work(dispatch: Dispatch, say: Callable[[str], None], stop: asyncio.Event | None = None) -> None:
    stop = stop or _stop_on_signals()
    moving: dict[str, asyncio.Task[Run]] = {}
    while not stop.is_set():
        for run_id in await dispatch.runnable():
            if run_id not in moving:
                say(f"{run_id}: working")
                moving[run_id] = asyncio.create_task(dispatch.move(run_id))
        for run_id in [r for r, task in moving.items() if task.done()]:
            say(f"{run_id}: {_outcome(moving.pop(run_id))}")
        try:
            await asyncio.wait_for(stop.wait(), POLL_S)
        except TimeoutError:
            continue
    for task in moving.values():
        task.cancel()
    await asyncio.gather(*moving.values(), return_exceptions=True)


def _outcome(task: asyncio.Task[Run]) -> str:
    try:
        return task.result().status.value
    except GraphError as error:
        return str(error)


def _stop_on_signals() -> asyncio.Event:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop
