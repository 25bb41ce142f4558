"""Follows the training, from whichever process: the job is found by its reference and its events are replayed."""

from __future__ import annotations

import shutil
from dataclasses import replace

from graph import jobs
from graph.context import Context
from graph.names import EventType, FailureKind
from graph.state import Attempt, RunState, Training
from remote.backend import ArtifactError


async def run(state: RunState, context: Context) -> RunState:
    job = state.get("job")
    assert job is not None, "watch follows launch"
    out = context.dir / "work" / "train"
    outcome = await jobs.listen(context, job, "train", to_end=True, log=context.dir / "train.log")
    if outcome.result is None:
        failed = Attempt(context.stage, outcome.kind or FailureKind.UNKNOWN, outcome.detail)
        return RunState(
            job=None,
            attempts=(*state.get("attempts", ()), failed),
            checkpoint=await _checkpoint(context, state),
        )
    shutil.rmtree(out, ignore_errors=True)
    await jobs.fetch(context, job, out)
    result, plan = outcome.result, state["plan"]
    seconds = float(result["seconds"])
    usd = 0.0 if not plan.estimated_usd else plan.estimated_usd * seconds / plan.estimated_s
    training = Training(
        model_dir=str(out / "model"),
        seconds=seconds,
        usd=round(usd, 4),
        epochs=float(result["epochs"]),
        best_epoch=float(result["best_epoch"]),
        metric=float(result["metrics"][result["metric"]]),
        summary=result,
    )
    await context.say(EventType.TRAINED, training=replace(training, model_dir="model"))
    return RunState(training=training, checkpoint=None)


async def _checkpoint(context: Context, state: RunState) -> str | None:
    """The failed job's checkpoint, if it left a whole one."""
    job = state.get("job")
    assert job is not None
    into = context.dir / "work" / f"failed-{context.visit}"
    try:
        await jobs.fetch(context, job, into)
    except ArtifactError as error:
        await context.note(f"The failed job's files were not taken: {error.detail}", "warning")
        return state.get("checkpoint")
    folder = into / "checkpoint"
    return str(folder) if folder.is_dir() else state.get("checkpoint")
