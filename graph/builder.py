"""The graph, readable at a glance: each line is a stage, what it does, and where it may lead.

Two kinds of node: ``work`` runs a stage's function once; ``ask`` is one interrupt and nothing else, because a node
runs again from its top when it is resumed. The README's diagram is drawn from ``PICTURE`` and tested against it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime
from langgraph.types import interrupt

from graph import routes
from graph.context import Context
from graph.deps import Deps
from graph.errors import GraphError, LeaseLost, StoreError
from graph.names import Stage
from graph.stages import (
    audit,
    baselines,
    cancelled,
    done,
    evaluate,
    failed,
    intake,
    launch,
    package,
    plan,
    publish,
    recover,
    repair,
    research,
    smoke_test,
    stress,
    watch,
    write_script,
)
from graph.state import Answer, Failure, RunState
from remote.backend import BackendError

Work = Callable[[RunState, Context], Awaitable[RunState]]
Route = Callable[[RunState], Stage]


@dataclass(frozen=True, slots=True)
class Step:
    stage: Stage
    work: Work | None  # None: a question to people
    route: Route | None = None  # None: the run ends here
    to: tuple[Stage, ...] = ()
    resumed: tuple[Stage, ...] = ()  # where only a resumed run goes: the stage that failed; not drawn


S = Stage
_NEVER_FAIL = (S.CHOOSE_DATASET, S.APPROVE_COMPUTE, S.APPROVE_PUBLISH, S.NEEDS_HUMAN, S.CANCELLED, S.FAILED)
PICTURE = (
    Step(S.INTAKE, intake.run, routes.after_intake, (S.RESEARCH, S.NEEDS_HUMAN)),
    Step(S.RESEARCH, research.run, routes.after_research, (S.CHOOSE_DATASET, S.NEEDS_HUMAN)),
    Step(S.CHOOSE_DATASET, None, routes.after_choose_dataset, (S.AUDIT, S.RESEARCH, S.CANCELLED)),
    Step(S.AUDIT, audit.run, routes.after_audit, (S.WRITE_SCRIPT, S.CHOOSE_DATASET, S.NEEDS_HUMAN)),
    Step(S.WRITE_SCRIPT, write_script.run, routes.after_write_script, (S.SMOKE_TEST,)),
    Step(S.SMOKE_TEST, smoke_test.run, routes.after_smoke_test, (S.BASELINES, S.REPAIR)),
    Step(S.REPAIR, repair.run, routes.after_repair, (S.SMOKE_TEST, S.NEEDS_HUMAN)),
    Step(S.BASELINES, baselines.run, routes.after_baselines, (S.PLAN,)),
    Step(S.PLAN, plan.run, routes.after_plan, (S.APPROVE_COMPUTE,)),
    Step(S.APPROVE_COMPUTE, None, routes.after_approve_compute, (S.LAUNCH, S.PLAN, S.CANCELLED)),
    Step(S.LAUNCH, launch.run, routes.after_launch, (S.WATCH, S.RECOVER)),
    Step(S.WATCH, watch.run, routes.after_watch, (S.EVALUATE, S.RECOVER, S.NEEDS_HUMAN)),
    Step(S.RECOVER, recover.run, routes.after_recover, (S.LAUNCH, S.PLAN, S.NEEDS_HUMAN)),
    Step(S.EVALUATE, evaluate.run, routes.after_evaluate, (S.STRESS,)),
    Step(S.STRESS, stress.run, routes.after_stress, (S.PACKAGE,)),
    Step(S.PACKAGE, package.run, routes.after_package, (S.APPROVE_PUBLISH,)),
    Step(S.APPROVE_PUBLISH, None, routes.after_approve_publish, (S.PUBLISH, S.DONE)),
    Step(S.PUBLISH, publish.run, routes.after_publish, (S.DONE, S.APPROVE_PUBLISH)),
    Step(S.DONE, done.run),
    Step(
        S.NEEDS_HUMAN,
        None,
        routes.after_needs_human,
        (S.INTAKE, S.RESEARCH, S.AUDIT, S.SMOKE_TEST, S.LAUNCH, S.WATCH, S.CANCELLED),
        tuple(s for s in Stage if s not in _NEVER_FAIL),
    ),
    Step(S.CANCELLED, cancelled.run),
    Step(S.FAILED, failed.run),
)


def build(saver: BaseCheckpointSaver[str]) -> CompiledStateGraph[RunState, Deps, RunState, RunState]:
    """The compiled graph over ``saver``. Stages meet the outside through ``Deps`` only."""
    graph: StateGraph[RunState, Deps, RunState, RunState] = StateGraph(RunState, context_schema=Deps)
    graph.add_edge(START, Stage.INTAKE)
    for step in PICTURE:
        graph.add_node(step.stage.value, _ask(step.stage) if step.work is None else _work(step, step.work))
        if step.route is None:
            graph.add_edge(step.stage.value, END)
        else:
            targets = dict.fromkeys((*step.to, *step.resumed, Stage.FAILED))
            graph.add_conditional_edges(step.stage.value, step.route, {t: t.value for t in targets})
    return graph.compile(checkpointer=saver)


def _work(step: Step, work: Work) -> Any:
    stage = step.stage

    async def node(state: RunState, runtime: Runtime[Deps]) -> RunState:
        context = Context(runtime.context, state["run_id"], stage, state.get("visits", {}).get(stage, 0))
        await context.started()
        try:
            update = await work(state, context)
        except (LeaseLost, StoreError):
            raise  # the driver's business: nothing can be recorded here
        except (GraphError, BackendError) as error:
            update = RunState(failure=Failure(error.kind, error.detail, error.hint, stage))
        if step.route:  # where the run ends, "ended" is the last word
            await context.finished()
        return _visited(state, stage, update)

    return node


def _ask(stage: Stage) -> Any:
    async def node(state: RunState) -> RunState:
        question = state.get("question")
        assert question is not None, f"{stage} was reached without a question"
        answer = interrupt(question.id)
        return _visited(state, stage, RunState(answer=Answer(**answer)))

    return node


def _visited(state: RunState, stage: Stage, update: RunState) -> RunState:
    visits = dict(state.get("visits", {}))
    return update | RunState(visits=visits | {stage.value: visits.get(stage, 0) + 1})


def mermaid() -> str:
    """The state diagram of the README. Edges to ``failed``, which every stage has, are left out."""
    lines = ["stateDiagram-v2", f"    [*] --> {Stage.INTAKE}"]
    for step in PICTURE:
        if step.work is None:
            lines.append(f"    {step.stage} : {step.stage} ⏸")
        lines += [f"    {step.stage} --> {target}" for target in step.to]
        if step.route is None:
            lines.append(f"    {step.stage} --> [*]")
    return "\n".join(lines)


def _write_into(readme: str) -> str:
    before, rest = readme.split("```mermaid\n", 1)
    after = rest.split("```\n", 1)[1]
    return f"{before}```mermaid\n{mermaid()}\n```\n{after}"


if __name__ == "__main__":  # python -m graph.builder: bring the README's diagram up to date
    path = Path("README.md")
    path.write_text(_write_into(path.read_text("utf-8")), "utf-8")
