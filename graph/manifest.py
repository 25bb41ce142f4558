"""``run.json``: what was done, with what, decided by whom, and what it cost. One page that a run can be redone from."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from graph.context import Context, plain
from graph.deps import Decision, Event
from graph.files import write_json
from graph.names import EventType, RunStatus
from graph.state import Failure, RunState
from remote.protocol import sha256_file


async def write_manifest(
    state: RunState, context: Context, status: RunStatus, failure: Failure | None = None
) -> None:
    store = context.deps.store
    events, decisions = await store.events(context.run_id), await store.decisions(context.run_id)
    body = manifest(state, context.run_id, status, events, decisions, failure)
    config = context.dir / "config.json"
    body["code"]["config_sha256"] = sha256_file(config) if config.is_file() else None
    training = context.dir / "training.json"
    body["versions"] = (
        json.loads(training.read_text("utf-8")).get("versions", {}) if training.is_file() else {}
    )
    write_json(context.dir / "run.json", body)


def manifest(
    state: RunState,
    run_id: str,
    status: RunStatus,
    events: Sequence[Event],
    decisions: Sequence[Decision],
    failure: Failure | None,
) -> dict[str, Any]:
    data, audit, plan = state.get("data"), state.get("audit"), state.get("plan")
    training, model, script = state.get("training"), state.get("model"), state.get("script")
    return {
        "run_id": run_id,
        "status": status.value,
        "finished": status.ended,
        "task": plain(state.get("task")),
        "request": plain(state["request"]),
        "data": {
            "id": data.candidate.id,
            "source": data.candidate.source,
            "title": data.candidate.title,
            "revision": data.candidate.revision,
            "licence": data.candidate.licence,
            "attribution": data.candidate.attribution,
            "sha256": plain(data.sha256),
            "splits": plain(audit.rows) if audit else {},
            "split_sha256": plain(audit.split_sha256) if audit else {},
        }
        if data
        else None,
        "base_model": {
            "id": model.id,
            "source": model.source,
            "revision": model.revision,
            "licence": model.licence,
        }
        if model
        else None,
        "code": {
            "recipe": script.recipe if script else None,
            "script_sha256": script.sha256 if script else None,
        },
        "seed": state["request"].seed,
        "hardware": plan.hardware if plan else None,
        "backend": plan.backend if plan else None,
        "isolation": plan.isolation if plan else None,
        "decisions": plain(list(decisions)),
        "attempts": plain(state.get("attempts", ())),
        "seconds": {
            "total": round(seconds_of(events), 1),
            "training_estimated": plan.estimated_s if plan else None,
            "training_here": plan.here_s if plan else None,
            "training_actual": training.seconds if training else None,
            "by_stage": {
                e.stage.value: e.payload["seconds"]
                for e in events
                if e.type is EventType.STAGE_FINISHED and e.stage
            },
        },
        "usd": {
            "estimated": plan.estimated_usd if plan else None,
            "ceiling": plan.ceiling_usd if plan else None,
            "actual": training.usd if training else 0.0,
        },
        "training": {"stopped": training.summary.get("stopped")} if training else None,
        "metrics": plain(state.get("evaluation", {}).get("metrics", {})),
        "publication": plain(state.get("publication")),
        "failure": plain(failure),
    }


def seconds_of(events: Sequence[Event]) -> float:
    """Seconds of work: what the stages took, without the time that people thought."""
    return float(sum(e.payload["seconds"] for e in events if e.type is EventType.STAGE_FINISHED))
