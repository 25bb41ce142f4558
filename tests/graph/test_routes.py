from __future__ import annotations

import inspect

import pytest

from graph import routes
from graph.builder import PICTURE
from graph.names import DecisionKind, FailureKind, Stage
from graph.state import Answer, Choice, Failure, Question, RunState
from remote.backend import JobRef


def answered(value: str, back_to: Stage | None = None, stage: Stage = Stage.NEEDS_HUMAN) -> RunState:
    question = Question("q", DecisionKind.HELP, stage, "?", (Choice("a", "A"),), back_to=back_to)
    return RunState(question=question, answer=Answer("q", value, "ann", "console", "now"))


ASKS = {step.stage for step in PICTURE if step.work is None}


@pytest.mark.parametrize("step", [s for s in PICTURE if s.route and s.work], ids=lambda s: s.stage)
def test_a_failure_leads_to_failed_from_every_working_stage(step: object) -> None:
    state = RunState(failure=Failure(FailureKind.UNKNOWN, "x"))
    assert step.route(state) is Stage.FAILED  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("route", "state", "stage"),
    [
        (routes.after_intake, RunState(), Stage.RESEARCH),
        (routes.after_intake, answered("x"), Stage.NEEDS_HUMAN),
        (routes.after_research, answered("x", stage=Stage.CHOOSE_DATASET), Stage.CHOOSE_DATASET),
        (routes.after_choose_dataset, answered("use:2"), Stage.AUDIT),
        (routes.after_choose_dataset, answered("more"), Stage.RESEARCH),
        (routes.after_choose_dataset, answered("mine.csv"), Stage.RESEARCH),
        (routes.after_choose_dataset, answered("cancel"), Stage.CANCELLED),
        (routes.after_audit, RunState(question=None), Stage.WRITE_SCRIPT),
        (routes.after_audit, answered("x", stage=Stage.CHOOSE_DATASET), Stage.CHOOSE_DATASET),
        (routes.after_smoke_test, RunState(smoke={"checks": []}), Stage.BASELINES),
        (routes.after_smoke_test, RunState(), Stage.REPAIR),
        (routes.after_repair, RunState(question=None), Stage.SMOKE_TEST),
        (routes.after_approve_compute, answered("approve"), Stage.LAUNCH),
        (routes.after_approve_compute, answered("baseline_only"), Stage.LAUNCH),
        (routes.after_approve_compute, answered("change epochs=1"), Stage.PLAN),
        (routes.after_approve_compute, answered("cancel"), Stage.CANCELLED),
        (routes.after_launch, RunState(job=JobRef("local", "j")), Stage.WATCH),
        (routes.after_launch, RunState(job=None), Stage.RECOVER),
        (routes.after_watch, RunState(training=None), Stage.RECOVER),
        (routes.after_recover, RunState(replan=True), Stage.PLAN),
        (routes.after_recover, RunState(replan=False), Stage.LAUNCH),
        (routes.after_recover, answered("x"), Stage.NEEDS_HUMAN),
        (routes.after_approve_publish, answered("keep"), Stage.DONE),
        (routes.after_approve_publish, answered("private"), Stage.PUBLISH),
        (routes.after_publish, RunState(question=None), Stage.DONE),
        (routes.after_publish, answered("x"), Stage.APPROVE_PUBLISH),
        (routes.after_needs_human, answered("retry", Stage.SMOKE_TEST), Stage.SMOKE_TEST),
        (routes.after_needs_human, answered("give_up", Stage.SMOKE_TEST), Stage.FAILED),
        (routes.after_needs_human, answered("cancel", Stage.SMOKE_TEST), Stage.CANCELLED),
    ],
)
def test_route(route: object, state: RunState, stage: Stage) -> None:
    assert route(state) is stage  # type: ignore[operator]


def test_every_route_of_the_module_is_in_the_picture() -> None:
    here = {f for name, f in inspect.getmembers(routes, inspect.isfunction) if name.startswith("after_")}
    assert here == {step.route for step in PICTURE if step.route}
