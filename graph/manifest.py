"""``run.json``: what was done, with what, decided by whom, and what it cost. One page that a run can be redone from."""

from __future__ import annotations

import asyncio
import json
import platform
from collections.abc import Sequence
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

from graph.context import Context, plain
from graph.deps import Decision, Event
from graph.files import write_json
from graph.names import EventType, RunStatus
from graph.state import Failure, RunState, Script
from remote.protocol import sha256_file

PROJECT = "ml-intern-for-teams"


async def write_manifest(
    state: RunState, context: Context, status: RunStatus, failure: Failure | None = None
) -> None:
    store = context.deps.store
    events, decisions = await store.events(context.run_id), await store.decisions(context.run_id)
    body = manifest(state, context.run_id, status, events, decisions, failure)
    body["ledger"] = plain(await store.ledger(run_id=context.run_id))
    hashes = await asyncio.to_thread(code_sha256, context.dir, state.get("script"))
    body["code"] |= {"config_sha256": hashes.get("config.json"), "files": hashes}
    if model := state.get("model"):
        body["base_model"]["files"] = await asyncio.to_thread(folder_sha256, Path(model.path))
    training = context.dir / "training.json"
    body["versions"] = (
        json.loads(training.read_text("utf-8")).get("versions", {}) if training.is_file() else {}
    )
    body["made_by"] = {"name": PROJECT, "version": own_version(), "python": platform.python_version()}
    write_json(context.dir / "run.json", body)


def code_sha256(folder: Path, script: Script | None) -> dict[str, str]:
    """Of the script, its companions and its settings, as they lie in the run's folder."""
    names = dict.fromkeys(path.name for path in sorted(folder.glob("*.py")))
    names |= dict.fromkeys((*(script.files if script else ()), "config.json", "schedule.json"))
    return {name: sha256_file(folder / name) for name in names if (folder / name).is_file()}


def folder_sha256(folder: Path) -> dict[str, str]:
    """Path below ``folder`` to sha256, hidden files left out; empty where there is no folder."""
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file()) if folder.is_dir() else ()
    relative = ((path, path.relative_to(folder)) for path in paths)
    return {
        name.as_posix(): _sha256(path, path.stat().st_size, path.stat().st_mtime_ns)
        for path, name in relative
        if not any(part.startswith(".") for part in name.parts)
    }


@lru_cache(maxsize=512)
def _sha256(path: Path, _bytes: int, _mtime_ns: int) -> str:
    return sha256_file(path)  # weights are large, and a manifest is written more than once


def own_version() -> str:
    """This project's version, or "unknown" where it runs from a folder that was never installed."""
    try:
        return metadata.version(PROJECT)
    except metadata.PackageNotFoundError:
        return "unknown"


def manifest(
    state: RunState,
    run_id: str,
    status: RunStatus,
    events: Sequence[Event],
    decisions: Sequence[Decision],
    failure: Failure | None,
) -> dict[str, Any]:
    plan, training, script = state.get("plan"), state.get("training"), state.get("script")
    return {
        "run_id": run_id,
        "status": status.value,
        "finished": status.ended,
        "task": plain(state.get("task")),
        "request": plain(state["request"]),
        "data": _data(state),
        "base_model": _base_model(state),
        "paper": _paper(state),
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
        "machines_tried": plain(state.get("tried", ())),
        "seconds": _seconds(state, events),
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


def _data(state: RunState) -> dict[str, Any] | None:
    data, audit = state.get("data"), state.get("audit")
    if data is None:
        return None
    candidate = data.candidate
    return {
        "id": candidate.id,
        "source": candidate.source,
        "title": candidate.title,
        "revision": candidate.revision,
        "licence": candidate.licence,
        "attribution": candidate.attribution,
        "sha256": plain(data.sha256),
        "left_out": plain(data.left_out),
        "splits": plain(audit.rows) if audit else {},
        "split_sha256": plain(audit.split_sha256) if audit else {},
    }


def _base_model(state: RunState) -> dict[str, Any] | None:
    model = state.get("model")
    if model is None:
        return None
    return {key: getattr(model, key) for key in ("id", "source", "revision", "licence")}


def _seconds(state: RunState, events: Sequence[Event]) -> dict[str, Any]:
    plan, training = state.get("plan"), state.get("training")
    finished = [e for e in events if e.type is EventType.STAGE_FINISHED and e.stage]
    return {
        "total": round(seconds_of(events), 1),
        "training_estimated": plan.estimated_s if plan else None,
        "training_here": plan.here_s if plan else None,
        "training_actual": training.seconds if training else None,
        "by_stage": {e.stage.value: e.payload["seconds"] for e in finished if e.stage},
    }


def _paper(state: RunState) -> dict[str, Any] | None:
    paper = state.get("paper")
    if paper is None:
        return None
    return {
        key: getattr(paper, key) for key in ("id", "source", "title", "url", "sha256", "named", "licence")
    }


def seconds_of(events: Sequence[Event]) -> float:
    """Seconds of work: what the stages took, without the time that people thought."""
    return float(sum(e.payload["seconds"] for e in events if e.type is EventType.STAGE_FINISHED))
