"""Tries the real script on a few rows before anything is paid for. Baselines follow in the same process."""

from __future__ import annotations

from graph import jobs
from graph.context import Context
from graph.inputs import HEAVY, metric_of, training_inputs
from graph.names import EventType, FailureKind
from graph.state import Attempt, RunState
from remote.backend import Program


async def run(state: RunState, context: Context) -> RunState:
    ref = await jobs.submit(
        context,
        "probe",
        _programs(state),
        training_inputs(state, context),
        HEAVY,
        allow_unisolated=state["request"].allow_unisolated,
    )
    outcome = await jobs.listen(context, ref, "smoke")
    tries = 1 + sum(a.stage is context.stage for a in state.get("attempts", ()))
    if outcome.result is not None:
        facts = outcome.result
        await context.say(
            EventType.SMOKE_TESTED,
            ok=True,
            attempt=tries,
            checks=facts.get("checks", []),
            rows_per_s=facts.get("rows_per_s", {}),
        )
        return RunState(smoke=facts, probe_job=ref)
    kind = outcome.kind or FailureKind.UNKNOWN
    await context.say(
        EventType.SMOKE_TESTED, ok=False, attempt=tries, checks=[], kind=kind, detail=outcome.detail
    )
    failed = Attempt(context.stage, kind, outcome.detail)
    return RunState(attempts=(*state.get("attempts", ()), failed))


def _programs(state: RunState) -> tuple[Program, ...]:
    audit, script = state["audit"], state["script"]
    what = {"family": audit.family.value, "labels": list(audit.labels)}
    smoke = {"script": "in/train.py", "config": dict(script.config), "rows": 32}
    baselines = {
        "metric": metric_of(state),
        "train_file": "in/train.jsonl",
        "validation_file": "in/validation.jsonl",
        "base_model": "in/base_model",
        "seed": state["request"].seed,
        "max_length": script.config.get("max_length", 128),
    }
    return Program("smoke", "smoke", what | smoke), Program("baselines", "baselines", what | baselines)
