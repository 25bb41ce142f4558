"""Publishes what a person approved, once, and says where. A refusal asks again; nothing that was made is lost."""

from __future__ import annotations

from pathlib import Path

from graph.context import Context, plain
from graph.deps import Checkup
from graph.errors import PublishError, PublishRefused, StageFailed
from graph.names import EventType
from graph.publishing.readback import check_up
from graph.publishing.steps import LedgerSteps
from graph.stages.package import about_rows, ask, verdicts
from graph.state import RunState
from remote.backend import BackendError


async def run(state: RunState, context: Context) -> RunState:
    answer = state.get("answer")
    named = context.publish_target(state)
    value = answer.value if answer else "keep"
    target = named if value in ("private", "public") else value
    kind = (target or "").partition(":")[0]
    publisher = context.deps.publishers.get(kind)
    if publisher is None or not target or not context.may_publish_to(state, target):
        return _again(state, context, f"I can publish to {_places(context)}, not to {value!r}.")
    if complaint := _forbidden(state, target, private=value != "public"):
        return _again(state, context, complaint)
    key = context.key("publish")
    effect = await context.deps.store.claim(key, context.run_id, fence=context.deps.fence)
    if effect.state == "done" and effect.result is not None:
        result = dict(effect.result)
    else:
        try:
            publication = await publisher.publish(
                context.dir,
                target,
                private=value != "public",
                key=key,
                steps=_steps(context),
                verify=lambda folder: _verify(state, context, folder),
            )
        except (PublishRefused, PublishError) as error:
            return _again(state, context, f"{error.detail} {error.hint}".strip())
        result = plain(publication) | {"target": target, "private": value != "public"}
        await context.deps.store.record(key, result, fence=context.deps.fence)
    checkup = result.get("checkup") or {}
    if checkup.get("differing"):
        await context.note(f"What was published is not what was measured: {checkup['detail']}", "warning")
    await context.say(
        EventType.PUBLISHED,
        target=target,
        url=result["url"],
        revision=result["revision"],
        files=[f["path"] for f in result["files"]],
        private=value != "public",
        repos=result.get("repos", []),
        collection=result.get("collection", ""),
        checkup=checkup,
    )
    return RunState(publication=result, question=None, answer=None)


def _forbidden(state: RunState, target: str, *, private: bool) -> str:
    """Why the licences do not let this be shown there; empty where they do, or the person has read why to confirm."""
    verdict = verdicts(state)[0 if private else 1]
    if verdict.outcome == "blocked":
        return verdict.reason
    rows, question = about_rows(state, target, private=private), state.get("question")
    if rows is None or rows.outcome == "allowed":
        return ""
    if rows.outcome == "ask":
        return (
            "" if question and rows.reason in question.text else f"{rows.reason} Answer the same to confirm."
        )
    return rows.reason


def _steps(context: Context) -> LedgerSteps:
    deps = context.deps
    return LedgerSteps(deps.store, context.run_id, f"{context.run_id}-publish", deps.fence)


async def _verify(state: RunState, context: Context, folder: Path) -> Checkup:
    try:
        return await check_up(
            context.deps, context.run_id, folder, allow_unisolated=state["request"].allow_unisolated
        )
    except (StageFailed, BackendError) as error:
        raise PublishError(
            f"It could not be compared with what was measured: {error.detail}",
            "It stays private; publish again when jobs run here.",
            error.kind,
        ) from error


def _again(state: RunState, context: Context, complaint: str) -> RunState:
    return RunState(question=ask(state, context, complaint), answer=None)


def _places(context: Context) -> str:
    return " or ".join(f"{name}:…" for name in context.deps.publishers)
