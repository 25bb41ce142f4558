"""Starts the training and remembers which job it is. Watching is the next stage, so that a crash between them is
mended by looking the job up, never by a second training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from graph import jobs
from graph.context import Context
from graph.files import write_json
from graph.inputs import HEAVY, training_inputs
from graph.state import Attempt, RunState
from remote.backend import BackendError, Program


async def run(state: RunState, context: Context) -> RunState:
    plan, script, answer = state["plan"], state["script"], state.get("answer")
    linear = state.get("baseline_only", False) or bool(answer and answer.value == "baseline_only")
    checkpoint = state.get("checkpoint")
    config = {**script.config, **{h.name: h.value for h in plan.hyperparameters}, **state.get("mended", {})}
    if linear:
        config["epochs"] = 0
    config["resume_from"] = "in/checkpoint" if checkpoint else None
    write_json(context.dir / "config.json", config)
    try:
        ref = await jobs.submit(
            context,
            "train",
            (Program("train", "in/train.py", config),),
            training_inputs(state, context, Path(checkpoint) if checkpoint else None),
            replace(HEAVY, timeout_s=plan.ceiling_s),
            backend=jobs.backend_named(context.deps, plan.backend),
            allow_unisolated=state["request"].allow_unisolated,
            hardware=plan.hardware,
        )
    except BackendError as error:
        refused = Attempt(context.stage, error.kind, f"{error.detail} {error.hint}".strip())
        return RunState(job=None, attempts=(*state.get("attempts", ()), refused), question=None, answer=None)
    return RunState(
        job=ref,
        training=None,
        baseline_only=linear,
        script=replace(script, config=config),
        question=None,
        answer=None,
    )
