"""Follows the training, from whichever process: the job is found by its reference and its events are replayed."""

from __future__ import annotations

import shutil
from dataclasses import replace

from graph import jobs, purse
from graph.context import Context
from graph.names import EventType, FailureKind, Stage
from graph.state import Attempt, Question, RunState, Training
from remote.backend import BackendError


async def run(state: RunState, context: Context) -> RunState:
    job = state.get("job")
    assert job is not None, "watch follows launch"
    out = context.dir / "work" / "train"
    plan = state["plan"]
    try:
        outcome = await jobs.listen(context, job, "train", to_end=True, log=context.dir / "train.log")
    except BackendError as error:
        return RunState(question=_lost(context, error), answer=None)
    usd = purse.actual_usd(plan, outcome.seconds) if job.backend == plan.backend else 0.0
    await context.deps.store.settle(job.id, usd)
    if outcome.result is None:
        failed = Attempt(context.stage, outcome.kind or FailureKind.UNKNOWN, outcome.detail)
        return RunState(
            job=None,
            attempts=(*state.get("attempts", ()), failed),
            checkpoint=await _checkpoint(context, state),
            question=None,
            answer=None,
        )
    shutil.rmtree(out, ignore_errors=True)
    await jobs.fetch(context, job, out)
    result = outcome.result
    seconds = float(result["seconds"])
    training = Training(
        model_dir=str(out / "model"),
        seconds=seconds,
        usd=usd,
        epochs=float(result["epochs"]),
        best_epoch=float(result["best_epoch"]),
        metric=float(result["metrics"][result["metric"]]),
        summary=result,
    )
    await context.say(EventType.TRAINED, training=replace(training, model_dir="model"))
    return RunState(training=training, checkpoint=None, question=None, answer=None)


def _lost(context: Context, error: BackendError) -> Question:
    """The job goes on, and costs what it costs, but cannot be seen: a person decides."""
    return context.ask_for_help(
        f"I can't see the training any more: {error.detail} It may still be running. {error.hint}".strip(),
        (),
        "looks the same job up again; nothing is started or paid twice",
        Stage.WATCH,
    )


async def _checkpoint(context: Context, state: RunState) -> str | None:
    """The failed job's checkpoint, if it left a whole one."""
    job = state.get("job")
    assert job is not None
    into = context.dir / "work" / f"failed-{context.visit}"
    try:
        await jobs.fetch(context, job, into)
    except BackendError as error:
        await context.note(f"The failed job's files were not taken: {error.detail}", "warning")
        return state.get("checkpoint")
    folder = into / "checkpoint"
    return str(folder) if folder.is_dir() else state.get("checkpoint")
