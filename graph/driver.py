"""Moves a run. The only caller of LangGraph.

``advance(run_id)`` takes the run's lease, loads its state, and steps until it pauses for a person or ends. While it
works, a heartbeat renews the lease and looks whether somebody asked to cancel. Whatever kills this process between
two steps, the next ``advance``, in any process, goes on from the last checkpoint: stages find their jobs and effects
by key. A lease whose holder is a dead process of this machine is taken over at once; any other after its time.

This is one of the three places that catch everything: what a stage did not foresee is recorded with its kind, kept
with its traceback in the run's folder, and told in one sentence. The run can then be resumed at that stage.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any, cast

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.types import Command, StateSnapshot

from graph.ahead import answer_ahead
from graph.builder import build
from graph.context import Context, plain
from graph.deps import Decision, Deps, Lease, Run
from graph.ending import end
from graph.errors import GraphError, LeaseLost
from graph.files import write_text
from graph.holder import Holder
from graph.jobs import open_jobs
from graph.names import DecisionKind, EventType, FailureKind, RunStatus, Stage
from graph.state import Answer, Failure, Question, RunState
from remote.backend import BackendError, JobNotFound

LEASE_S = 30.0
HEARTBEAT_S = 0.5  # how soon a cancellation is noticed
RECURSION_LIMIT = 400  # a backstop; the loops are bounded by their own counts


class RunBusy(GraphError):
    """Another live process is moving this run."""


class Driver:
    def __init__(self, deps: Deps, saver: BaseCheckpointSaver[str], clock: Callable[[], float]) -> None:
        self.deps = deps
        self.graph = build(saver)
        self.clock = clock  # POSIX seconds, for leases between machines
        self.holder = Holder.me()

    async def advance(self, run_id: str) -> Run:
        """Move the run until it waits for a person or has ended. Raises RunBusy, LeaseLost, StoreError."""
        lease = await self._take(run_id)
        deps = replace(self.deps, fence=lease.fence)
        work = asyncio.create_task(self._work(run_id, deps))
        heart = asyncio.create_task(self._heartbeat(run_id))
        try:
            await asyncio.wait({work, heart}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                work.cancel()
                with suppress(asyncio.CancelledError):
                    await work
                heart.result()  # raises LeaseLost where that was the reason
            else:
                work.result()
            run = await self.deps.store.run(run_id)
            if run.cancel_requested_by and not run.status.ended:
                await self._cancel(run_id, deps)
        finally:
            for task in (work, heart):
                task.cancel()
            await asyncio.gather(work, heart, return_exceptions=True)
            await self.deps.store.release(lease)
        return await self.deps.store.run(run_id)

    async def state(self, run_id: str) -> RunState:
        """The run's state as of its last checkpoint; empty before the first."""
        snapshot = await self.graph.aget_state(self._config(run_id))
        return cast(RunState, snapshot.values) if snapshot.created_at else RunState()

    # -- lease -----------------------------------------------------------------------------------------------

    async def _take(self, run_id: str) -> Lease:
        store, me = self.deps.store, str(self.holder)
        lease = await store.lease(run_id, me, self.clock(), LEASE_S)
        if lease is None:
            other = await store.holder(run_id)
            parsed = Holder.parse(other) if other else None
            if other and parsed and parsed.is_dead():
                await store.expire(run_id, other)
                lease = await store.lease(run_id, me, self.clock(), LEASE_S)
        if lease is None:
            raise RunBusy(
                f"Run {run_id} is being worked on by another process.",
                f"`intern resume {run_id}` follows it.",
            )
        return lease

    async def _heartbeat(self, run_id: str) -> None:
        """Returns when somebody asked to cancel; raises LeaseLost when the lease is gone."""
        store, renewed = self.deps.store, self.clock()
        while True:
            run = await store.run(run_id)
            if run.cancel_requested_by and not run.status.ended:
                return
            if self.clock() - renewed > LEASE_S / 3:
                renewed = self.clock()
                if await store.lease(run_id, str(self.holder), renewed, LEASE_S) is None:
                    raise LeaseLost(f"Another process has taken run {run_id} over.")
            await asyncio.sleep(HEARTBEAT_S)

    # -- steps -----------------------------------------------------------------------------------------------

    async def _work(self, run_id: str, deps: Deps) -> None:
        config = self._config(run_id)
        try:
            await self._reopen(run_id, deps, config)
            while not (await deps.store.run(run_id)).cancel_requested_by:
                given = await self._next_input(run_id, deps, await self.graph.aget_state(config))
                if given is _PAUSED:
                    return
                await self.graph.ainvoke(given, config, context=deps, durability="sync")
        except LeaseLost:
            raise
        except Exception as error:  # noqa: BLE001 - one of the three outermost edges; recorded with its kind
            await self._record_crash(run_id, deps, error)

    async def _next_input(self, run_id: str, deps: Deps, snapshot: StateSnapshot) -> Any:
        run = await deps.store.run(run_id)
        if not snapshot.created_at:
            await deps.store.append(
                run_id,
                EventType.RUN_STARTED,
                {
                    "sentence": run.request.sentence,
                    "requester": run.request.requester,
                    "requester_name": run.request.requester_name,
                    "parent_run": run.request.parent_run,
                    "surface": run.request.surface,
                },
                at=deps.at(),
                key="run_started",
                fence=deps.fence,
            )
            return RunState(run_id=run_id, request=run.request)
        if not snapshot.tasks:
            return _PAUSED
        if any(task.interrupts for task in snapshot.tasks):
            question: Question = snapshot.values["question"]
            decision = await self._decision(deps, run, question, Stage(snapshot.tasks[0].name))
            return Command(resume=asdict(decision)) if decision else _PAUSED
        if run.status is RunStatus.WAITING:
            await deps.store.update_run(run_id, fence=deps.fence, at=deps.at(), status=RunStatus.RUNNING)
        return None

    async def _decision(self, deps: Deps, run: Run, question: Question, stage: Stage) -> Answer | None:
        """The answer to an open question; asks it where there is none yet."""
        store = deps.store
        await store.append(
            run.id,
            EventType.QUESTION_ASKED,
            {"question": plain(question)},
            at=deps.at(),
            stage=stage,
            key=f"asked-{question.id}",
            fence=deps.fence,
        )
        held = await store.decision(question.id) or await self._decided_ahead(deps, run, question)
        if held is None:
            await store.update_run(
                run.id,
                fence=deps.fence,
                at=deps.at(),
                status=RunStatus.WAITING,
                stage=stage,
                question=question,
            )
            held = await store.decision(question.id)  # one that came in between
        if held is None:
            return None
        await store.update_run(
            run.id, fence=deps.fence, at=deps.at(), status=RunStatus.RUNNING, stage=stage, clear_question=True
        )
        told = ("kind", "value", "actor", "actor_name", "surface", "why", "price_usd")
        await store.append(
            run.id,
            EventType.DECIDED,
            {"question_id": question.id, **{name: getattr(held, name) for name in told}},
            at=deps.at(),
            stage=stage,
            key=f"decided-{question.id}",
            fence=deps.fence,
        )
        return Answer(question.id, held.value, held.actor, held.surface, held.at, held.why)

    async def _decided_ahead(self, deps: Deps, run: Run, question: Question) -> Decision | None:
        """The answer that the person gave with the request, recorded."""
        ahead = answer_ahead(question, run.request)
        if ahead is None:
            return None
        (value, why), asker = ahead, run.request
        given = decision_for(question, run, value, asker.requester, deps.at(), why, name=asker.requester_name)
        return (await deps.store.decide(given))[0]

    async def _reopen(self, run_id: str, deps: Deps, config: RunnableConfig) -> None:
        """A failed run that is resumed starts again at the stage that failed."""
        run = await deps.store.run(run_id)
        if run.status is not RunStatus.FAILED:
            return
        snapshot = await self.graph.aget_state(config)
        failure: Failure | None = snapshot.values.get("failure") if snapshot.created_at else None
        if failure and failure.stage and not snapshot.tasks:
            # As if needs_human had sent it back; the last answer stays, since the stage may still need it.
            again = Question("retry", DecisionKind.HELP, Stage.NEEDS_HUMAN, "", (), back_to=failure.stage)
            await self.graph.aupdate_state(
                config, RunState(failure=None, question=again), as_node=Stage.NEEDS_HUMAN.value
            )
        await deps.store.update_run(run_id, fence=deps.fence, at=deps.at(), status=RunStatus.RUNNING)

    # -- ends ------------------------------------------------------------------------------------------------

    async def _cancel(self, run_id: str, deps: Deps) -> None:
        run = await deps.store.run(run_id)
        for backend, ref in await open_jobs(deps, run_id):
            try:
                await backend.cancel(ref)
            except JobNotFound:
                continue  # it was never submitted, or is no job: a claim is of whatever must be done once
            except BackendError as error:  # a provider out of reach: its own time limit ends the job
                await self._could_not_stop(run_id, deps, backend.name, error)
        await deps.store.append(
            run_id,
            EventType.CANCEL_REQUESTED,
            {"by": run.cancel_requested_by},
            at=deps.at(),
            key="cancel_requested",
            fence=deps.fence,
        )
        config = self._config(run_id)
        state = await self.state(run_id) or RunState(run_id=run_id, request=run.request)
        await end(
            state,
            Context(deps, run_id, Stage.CANCELLED, 0),
            RunStatus.CANCELLED,
            f"Cancelled by {run.cancel_requested_by}. What was made so far is kept.",
        )
        await self.graph.aupdate_state(config, state, as_node=Stage.CANCELLED.value)

    async def _could_not_stop(self, run_id: str, deps: Deps, backend: str, error: BackendError) -> None:
        await deps.store.append(
            run_id,
            EventType.NOTE,
            {
                "text": f"A job on {backend} could not be stopped: {error.detail} It ends at its time limit; "
                "`intern doctor --sweep` looks for it again.",
                "level": "warning",
            },
            at=deps.at(),
            key=f"not-stopped-{backend}",
            fence=deps.fence,
        )

    async def _record_crash(self, run_id: str, deps: Deps, error: Exception) -> None:
        stage = (await deps.store.run(run_id)).stage
        folder = deps.run_dir(run_id)
        write_text(folder / "error.log", "".join(traceback.format_exception(error)))
        if isinstance(error, GraphError):
            failure = Failure(error.kind, error.detail, error.hint, stage)
        else:
            failure = Failure(
                FailureKind.UNKNOWN,
                f"The stage {stage} met something unforeseen ({type(error).__name__}).",
                f"`intern resume {run_id}` tries the stage again; error.log in the run's folder holds the details.",
                stage,
            )
        at: datetime = deps.now()
        await deps.store.append(
            run_id,
            EventType.ENDED,
            {
                "status": RunStatus.FAILED,
                "detail": failure.detail,
                "hint": failure.hint,
                "kind": failure.kind,
                "folder": str(folder),
                "seconds": 0.0,
                "usd": 0.0,
                "summary": {},
            },
            at=at.isoformat(timespec="milliseconds"),
            stage=stage,
            fence=deps.fence,
        )
        await deps.store.update_run(run_id, fence=deps.fence, at=deps.at(), status=RunStatus.FAILED)

    @staticmethod
    def _config(run_id: str) -> RunnableConfig:
        return {"configurable": {"thread_id": run_id}, "recursion_limit": RECURSION_LIMIT}


_PAUSED = object()


def decision_for(
    question: Question,
    run: Run,
    value: str,
    actor: str,
    at: str,
    why: str = "",
    surface: str | None = None,
    name: str = "",
) -> Decision:
    return Decision(
        question.id,
        run.id,
        question.kind.value,
        value,
        actor,
        surface or run.request.surface,
        at,
        question.price_usd,
        question.plan_hash,
        why,
        name,
    )
