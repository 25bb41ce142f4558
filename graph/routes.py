"""Where a run goes next: pure functions from state to stage, one a stage that has a choice.

Every route first looks for a failure, so that "any stage -> failed" needs no line of its own.
"""

from __future__ import annotations

from graph.names import Stage
from graph.state import RunState

MAX_ATTEMPTS = 5  # repairs of one script, or recoveries of one training, before a person is asked


def after_intake(state: RunState) -> Stage:
    if state.get("failure"):
        return Stage.FAILED
    return Stage.NEEDS_HUMAN if state.get("question") else Stage.RESEARCH


def after_research(state: RunState) -> Stage:
    if state.get("failure"):
        return Stage.FAILED
    question = state.get("question")
    return Stage.NEEDS_HUMAN if question and question.stage is Stage.NEEDS_HUMAN else Stage.CHOOSE_DATASET


def after_choose_dataset(state: RunState) -> Stage:
    value = _answer(state)
    if value == "cancel":
        return Stage.CANCELLED
    return Stage.AUDIT if value.startswith("use:") else Stage.RESEARCH


def after_audit(state: RunState) -> Stage:
    if state.get("failure"):
        return Stage.FAILED
    # The data could not be had, and other candidates are left; or it has to be said which column counts.
    question = state.get("question")
    return question.stage if question else Stage.WRITE_SCRIPT


def after_write_script(state: RunState) -> Stage:
    return Stage.FAILED if state.get("failure") else Stage.SMOKE_TEST


def after_smoke_test(state: RunState) -> Stage:
    if state.get("failure"):
        return Stage.FAILED
    return Stage.BASELINES if state.get("smoke") else Stage.REPAIR


def after_repair(state: RunState) -> Stage:
    if state.get("failure"):
        return Stage.FAILED
    return Stage.NEEDS_HUMAN if state.get("question") else Stage.SMOKE_TEST


def after_baselines(state: RunState) -> Stage:
    return Stage.FAILED if state.get("failure") else Stage.PLAN


def after_plan(state: RunState) -> Stage:
    return Stage.FAILED if state.get("failure") else Stage.APPROVE_COMPUTE


def after_approve_compute(state: RunState) -> Stage:
    value = _answer(state)
    if value == "cancel":
        return Stage.CANCELLED
    return Stage.LAUNCH if value in ("approve", "approve_fallback", "baseline_only") else Stage.PLAN


def after_launch(state: RunState) -> Stage:
    if state.get("failure"):
        return Stage.FAILED
    return Stage.WATCH if state.get("job") else Stage.RECOVER


def after_watch(state: RunState) -> Stage:
    if state.get("failure"):
        return Stage.FAILED
    if state.get("question"):
        return Stage.NEEDS_HUMAN
    return Stage.EVALUATE if state.get("training") else Stage.RECOVER


def after_recover(state: RunState) -> Stage:
    if state.get("failure"):
        return Stage.FAILED
    question = state.get("question")
    if question:
        return Stage.NEEDS_HUMAN
    return Stage.PLAN if state.get("replan") else Stage.LAUNCH


def after_evaluate(state: RunState) -> Stage:
    return Stage.FAILED if state.get("failure") else Stage.STRESS


def after_stress(state: RunState) -> Stage:
    return Stage.FAILED if state.get("failure") else Stage.PACKAGE


def after_package(state: RunState) -> Stage:
    return Stage.FAILED if state.get("failure") else Stage.APPROVE_PUBLISH


def after_approve_publish(state: RunState) -> Stage:
    return Stage.DONE if _answer(state) in ("keep", "cancel") else Stage.PUBLISH


def after_publish(state: RunState) -> Stage:
    if state.get("failure"):
        return Stage.FAILED
    # A publication that was refused asks again; the model itself is safe in the run's folder.
    return Stage.APPROVE_PUBLISH if state.get("question") else Stage.DONE


def after_needs_human(state: RunState) -> Stage:
    question, value = state.get("question"), _answer(state)
    if value == "cancel":
        return Stage.CANCELLED
    if value == "give_up" or question is None or question.back_to is None:
        return Stage.FAILED
    return question.back_to


def _answer(state: RunState) -> str:
    answer = state.get("answer")
    return answer.value if answer else ""
