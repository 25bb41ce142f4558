"""Starts the training and remembers which job it is. Watching is the next stage, so that a crash between them is
mended by looking the job up, never by a second training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from graph import jobs, purse
from graph.context import Context
from graph.files import write_json
from graph.inputs import HEAVY, training_inputs
from graph.remedies import ELSEWHERE
from graph.state import Attempt, RunState, Tried
from remote.backend import BackendError, Program
from remote.prices import gpu_of


async def run(state: RunState, context: Context) -> RunState:
    plan, script, answer = state["plan"], state["script"], state.get("answer")
    linear = state.get("baseline_only", False) or bool(answer and answer.value == "baseline_only")
    checkpoint = state.get("checkpoint")
    config = {**script.config, **{h.name: h.value for h in plan.hyperparameters}, **state.get("mended", {})}
    if linear:
        config["epochs"] = 0
    config["resume_from"] = "in/checkpoint" if checkpoint else None
    write_json(context.dir / "config.json", config)
    backend = jobs.backend_named(context.deps, plan.backend)
    timeout_s = plan.ceiling_s
    try:
        if plan.estimated_usd != 0 and not linear:
            timeout_s = await purse.commit(state, context, context.key("train"))
        ref = await jobs.submit(
            context,
            "train",
            (Program("train", "in/train.py", config),),
            training_inputs(state, context, Path(checkpoint) if checkpoint else None),
            replace(HEAVY, timeout_s=timeout_s, gpu=gpu_of(plan.hardware)),
            backend=backend if not linear else jobs.here(context.deps),
            allow_unisolated=state["request"].allow_unisolated,
            hardware=plan.hardware,
        )
    except BackendError as error:
        await context.deps.store.settle(context.key("train"), 0.0)
        refused = Attempt(context.stage, error.kind, f"{error.detail} {error.hint}".strip())
        trail = (*state.get("tried", ()), Tried(plan.backend, plan.hardware, error.kind, error.detail))
        return RunState(
            job=None,
            attempts=(*state.get("attempts", ()), refused),
            tried=trail if error.kind in ELSEWHERE else state.get("tried", ()),
            question=None,
            answer=None,
        )
    return RunState(
        job=ref,
        training=None,
        baseline_only=linear,
        script=replace(script, config=config),
        question=None,
        answer=None,
    )
