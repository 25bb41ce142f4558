"""What every end of a run has in common: the manifest, the log as a file, the copy for ``--out``, the last event."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from graph.context import Context, plain
from graph.errors import StageFailed
from graph.files import copy_tree, write_text
from graph.manifest import seconds_of, write_manifest
from graph.names import EventType, RunStatus
from graph.state import Failure, RunState

INTERNAL = ("work", "raw")  # intermediate results, and the raw copy of the data


async def end(
    state: RunState,
    context: Context,
    status: RunStatus,
    detail: str,
    hint: str = "",
    failure: Failure | None = None,
) -> None:
    usd = sum(line.usd for line in await context.deps.store.ledger(run_id=context.run_id))
    if status is RunStatus.DONE:
        shutil.rmtree(context.dir / "work", ignore_errors=True)
        (context.dir / "error.log").unlink(missing_ok=True)  # of a try that was mended since
        await _forget_jobs(context)
    folder = _out(state, context)
    events = await context.deps.store.events(context.run_id)
    await context.say(
        EventType.ENDED,
        status=status,
        detail=detail,
        hint=hint,
        kind=failure.kind if failure else None,
        folder=str(folder),
        seconds=round(seconds_of(events), 1),
        usd=round(usd, 4),
        summary=summary(state),
    )
    await write_log(context)
    await write_manifest(state, context, status, failure)
    if folder != context.dir:
        try:
            copy_tree(context.dir, folder, ignore=INTERNAL)
        except OSError as error:
            raise StageFailed(
                f"The files could not be copied to {folder}: {error.strerror}.", f"They are in {context.dir}."
            ) from error
    await context.deps.store.update_run(
        context.run_id, fence=context.deps.fence, at=context.deps.at(), status=status, clear_question=True
    )


def summary(state: RunState) -> dict[str, Any]:
    """The headline: what the last card shows."""
    evaluation = state.get("evaluation", {})
    publication = state.get("publication")
    return {
        "title": state["task"].title if "task" in state else "",
        "metrics": evaluation.get("metrics", {}),
        "primary": evaluation.get("primary"),
        "leaderboard": plain(evaluation.get("leaderboard", [])),
        "verdict": evaluation.get("verdict", ""),
        "published": publication["url"] if publication else None,
    }


async def write_log(context: Context) -> None:
    """``events.jsonl``: the run's log as one file."""
    lines = [
        json.dumps(
            {"seq": e.seq, "at": e.at, "type": e.type, "stage": e.stage, "payload": e.payload},
            ensure_ascii=False,
        )
        for e in await context.deps.store.events(context.run_id)
    ]
    write_text(context.dir / "events.jsonl", "\n".join(lines) + "\n")


async def _forget_jobs(context: Context) -> None:
    from graph.jobs import open_jobs

    for backend, ref in await open_jobs(context.deps, context.run_id):
        await backend.forget(ref)


def _out(state: RunState, context: Context) -> Path:
    out = state["request"].out
    return Path(out) if out and "audit" in state else context.dir
