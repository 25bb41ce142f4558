"""Puts together what the run leaves behind, and asks whether and where to publish it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from graph import jobs
from graph.context import Context
from graph.errors import PublishError, PublishRefused
from graph.files import copy_file, copy_tree
from graph.manifest import write_manifest
from graph.names import DecisionKind, EventType, RunStatus, Stage
from graph.publishing.splitcard import write_split_card
from graph.publishing.target import shows_rows
from graph.research.licences import Verdict, publish_verdict, rows_verdict
from graph.state import Choice, Question, RunState

FILES = ("metrics.json", "predictions.csv", "leaderboard.json", "stress.json", "report.md")
TRAINED = ("training.json", "schedule.json", "validation_predictions.csv")


async def run(state: RunState, context: Context) -> RunState:
    jobs.expect(await jobs.listen(context, state["evaluate_job"], "card", to_end=True))
    out = context.dir / "work" / "assess"
    await jobs.fetch(context, state["evaluate_job"], out)
    for name in FILES:
        copy_file(out / name, context.dir / name)
    for name in TRAINED:
        copy_file(context.dir / "work" / "train" / name, context.dir / name)
    for plot in sorted((out / "plots").iterdir()):
        copy_file(plot, context.dir / "plots" / plot.name)
    for name in ("model", "space"):
        copy_tree(out / name, context.dir / name)
    write_split_card(state, context.run_id, context.dir / "dataset")
    await write_manifest(state, context, RunStatus.RUNNING)
    files = [
        {"path": p.relative_to(context.dir).as_posix(), "bytes": p.stat().st_size}
        for p in sorted(context.dir.rglob("*"))
        if p.is_file() and p.relative_to(context.dir).parts[0] not in ("work", "raw")
    ]
    size = sum(p.stat().st_size for p in (context.dir / "model").rglob("*") if p.is_file())
    planned, complaint = await _dry_run(state, context)
    await context.say(
        EventType.PACKAGED,
        folder=str(context.dir),
        files=files,
        size_mb=round(size / 1e6, 1),
        would_publish=planned,
    )
    return RunState(package_dir=str(context.dir), question=ask(state, context, complaint), answer=None)


async def _dry_run(state: RunState, context: Context) -> tuple[dict[str, Any], str]:
    """``{target, files: [{path, bytes, repo}]}`` of what a yes would publish, and why it could not be."""
    target = context.publish_target(state)
    publisher = context.deps.publishers.get((target or "").partition(":")[0])
    if not target or publisher is None:
        return {}, ""
    try:
        files = await publisher.dry_run(context.dir, target)
    except (PublishRefused, PublishError) as error:
        return {}, f"It cannot be published as it is: {error.detail} {error.hint}".strip()
    return {
        "target": target,
        "files": [{"path": f.path, "bytes": f.bytes, "repo": f.repo} for f in files],
    }, ""


def verdicts(state: RunState) -> tuple[Verdict, Verdict]:
    """What the licences say to showing the model to few, and to everyone."""
    data, purpose = state.get("data"), state["task"].purpose
    assert data is not None
    licences = (data.candidate.licence, state["model"].licence, purpose)
    return publish_verdict(*licences, private=True), publish_verdict(*licences)


def about_rows(state: RunState, target: str, *, private: bool) -> Verdict | None:
    """What the data's licence says to showing rows of it; ``None`` where ``target`` shows none."""
    data = state.get("data")
    if data is None or not shows_rows(target):
        return None
    return rows_verdict(data.candidate.licence, state["task"].purpose, private=private)


def ask(state: RunState, context: Context, complaint: str = "") -> Question:
    """Where to publish. ``--yes`` alone never makes anything public, nor publishes what a licence forbids."""
    few, everyone = verdicts(state)
    target = context.publish_target(state)
    rows = about_rows(state, target or "", private=True)
    choices = [Choice("keep", "Keep it here", "publishes nothing", "primary")]
    default = "keep"
    if target and few.outcome != "blocked":
        choices.append(Choice("private", f"Publish to {target}", "only you and those you invite can see it"))
        if everyone.outcome != "blocked":
            choices.append(Choice("public", f"Publish to {target} for everyone", everyone.reason, "danger"))
        if few.outcome == "allowed" and (rows is None or rows.outcome == "allowed") and not complaint:
            default = "private"
    elif few.outcome != "blocked":
        choices.append(Choice("elsewhere", "Publish …", "answer with hub:OWNER/NAME or folder:PATH"))
    return context.question(
        DecisionKind.PUBLISH,
        Stage.APPROVE_PUBLISH,
        " ".join(
            filter(
                None,
                (
                    complaint,
                    "The model and its documents are ready. Publish?",
                    everyone.reason,
                    rows.reason if rows else "",
                ),
            )
        ),
        tuple(choices),
        default=default,
        free_text=few.outcome != "blocked",
        detail=str(Path(state.get("package_dir", context.dir))),
    )
