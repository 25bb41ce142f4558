"""Gets a run's inputs again at the revisions that it recorded, and checks them against its hashes.

What does not come back as it was is told, with what is missing: a reproduction on other data or other weights would
prove nothing. A split that is made again from the same data has the same hashes, or the difference is told.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from graph.deps import Deps, Source
from graph.errors import SourceError, StageFailed
from graph.inputs import LIGHT, raw_inputs
from graph.jobs import run_once
from graph.manifest import folder_sha256
from graph.names import EventType
from graph.stages.audit import audit_config
from graph.state import DataFiles, RunState
from remote.backend import JobSpec, Program
from remote.protocol import sha256_file

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, slots=True)
class Fetched:
    folder: Path
    said: str = ""  # one sentence about what was fetched, or made again; empty for what lay there


def kept_split(folder: Path, recorded: Mapping[str, str]) -> bool:
    """Whether the run's own split lies in ``folder`` as it was."""
    return all(
        (folder / f"{split}.jsonl").is_file()
        and sha256_file(folder / f"{split}.jsonl") == recorded.get(split)
        for split in SPLITS
    )


async def data_again(deps: Deps, state: RunState, run_id: str, into: Path, key: str) -> Fetched:
    """Fetch the data at its revision and split it as the run did. Raises StageFailed, BackendError."""
    data, audit = state.get("data"), state["audit"]
    assert data is not None
    again = await _fetch(deps, data, into / "raw")
    text, target = await _columns(deps, run_id)
    config = audit_config(again, text, target, state["task"].family, state["request"].seed)
    spec = JobSpec(
        f"{key}-audit",
        run_id,
        (Program("audit", "audit", config),),
        raw_inputs(again),
        LIGHT,
        state["request"].allow_unisolated,
    )
    result = await run_once(deps, spec, into / "audit")
    other = [s for s in SPLITS if result["split_sha256"].get(s) != audit.split_sha256.get(s)]
    where = (
        f"{data.candidate.title}{f' at {data.candidate.revision[:12]}' if data.candidate.revision else ''}"
    )
    said = f"The data was fetched again ({where}) with the same hashes"
    if other:
        rows = ", ".join(f"{s} {audit.rows.get(s, 0)} → {result['rows'].get(s, 0)}" for s in other)
        said += f", but its split differs ({rows} rows): this version of me prepares it otherwise."
    else:
        said += ", and so was its split."
    return Fetched(into / "audit", said)


async def model_again(deps: Deps, state: RunState, recorded: Mapping[str, str]) -> Fetched:
    """Fetch the base model at its revision. ``recorded``: its files' sha256; empty where the run kept none."""
    model = state["model"]
    if model.source == "folder":
        raise StageFailed(
            f"The base model's folder {model.path} is gone, and it came from nowhere else.",
            "Put it back there, then try again.",
        )
    wanted = f"{model.id}@{model.revision}" if model.source == "hub" and model.revision else model.id
    try:
        found = await _source(deps, model.source).model(replace(state["task"], base_model=wanted))
    except SourceError as error:
        raise StageFailed(
            f"The base model {wanted} cannot be had again: {error.detail}", error.hint, error.kind
        ) from error
    there = folder_sha256(Path(found.path))
    other = [name for name, sha256 in recorded.items() if there.get(name) != sha256]
    if other or (model.revision and found.revision != model.revision):
        what = other[0] if other else f"revision {found.revision}"
        raise StageFailed(
            f"The base model {wanted} is not what it was: {what} differs.",
            "It cannot be redone with another.",
        )
    return Fetched(Path(found.path), f"The base model was fetched again ({wanted}) with the same hashes.")


async def _fetch(deps: Deps, data: DataFiles, into: Path) -> DataFiles:
    candidate = data.candidate
    try:
        again = await _source(deps, candidate.source).fetch(candidate, into)
    except SourceError as error:
        raise StageFailed(
            f"The data {candidate.title} cannot be had again: {error.detail}", error.hint, error.kind
        ) from error
    other = [name for name, sha256 in data.sha256.items() if again.sha256.get(name) != sha256]
    if other:
        raise StageFailed(
            f"The data {candidate.title} is not what it was: the hash of {', '.join(other)} differs.",
            "It cannot be redone with other data; `intern again` makes a new run with it.",
        )
    parts = {
        split: tuple(path for n, path in enumerate(paths, 2) if f"{split}-{n}" in data.sha256)
        for split, paths in again.more.items()
    }  # a run of an older version read the first part of a split, and no more is read again
    more = {split: paths for split, paths in parts.items() if paths}
    return replace(again, group_column=data.group_column, more=more, left_out=data.left_out)


async def _columns(deps: Deps, run_id: str) -> tuple[str, str]:
    """The text column and the target that the run settled on."""
    for event in reversed(await deps.store.events(run_id)):
        if event.type is EventType.DATA_CHOSEN:
            return str(event.payload["text_column"]), str(event.payload["target"])
    raise StageFailed(
        f"Run {run_id} has no record of its columns.", "Only a run that is done can be reproduced."
    )


def _source(deps: Deps, name: str) -> Source:
    for source in deps.sources:
        if source.name == name:
            return source
    raise StageFailed(f"The source {name!r} is not set up here.", "`intern doctor` shows the sources.")


def recorded_files(manifest: Mapping[str, Any]) -> Mapping[str, str]:
    """The base model's files in ``run.json``; empty in one of an older version."""
    files = (manifest.get("base_model") or {}).get("files")
    return files if isinstance(files, dict) else {}
