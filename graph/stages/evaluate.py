"""Evaluates on the held-out rows, beside the baselines. Stress test and card follow in the same process."""

from __future__ import annotations

from pathlib import Path

from graph import jobs
from graph.context import Context, plain
from graph.files import write_json
from graph.inputs import HEAVY, metric_of
from graph.literature import Paper
from graph.names import EventType
from graph.research.licences import attributions, card_licence
from graph.research.papers.matching import beside_ours, same_name
from graph.state import DataFiles, RunState, Scored
from remote.backend import Input, Program

SHOWN = 3  # results of others beside ours


async def run(state: RunState, context: Context) -> RunState:
    work = context.dir / "work"
    write_json(work / "facts.json", await facts(state, context))
    config = {
        "family": state["audit"].family.value,
        "labels": list(state["audit"].labels),
        "metric": metric_of(state),
        "seed": state["request"].seed,
    }
    ref = await jobs.submit(
        context,
        "assess",
        tuple(Program(name, name, config) for name in ("evaluate", "stress", "card")),
        (
            *(
                Input(f"{split}.jsonl", str(context.dir / "data" / f"{split}.jsonl"))
                for split in state["audit"].rows
            ),
            Input("trained", str(work / "train")),
            Input("baselines", str(work / "probe" / "baselines")),
            Input("base_model", state["model"].path, shared=True),
            Input("audit/audit.json", str(context.dir / "audit.json")),
            Input("facts.json", str(work / "facts.json")),
        ),
        HEAVY,
        allow_unisolated=state["request"].allow_unisolated,
    )
    result = jobs.expect(await jobs.listen(context, ref, "evaluate"))
    await context.say(
        EventType.EVALUATED,
        metrics=result["metrics"],
        primary=result["primary"],
        leaderboard=[scored(row) for row in result["leaderboard"]],
        verdict=result["verdict"],
        plots=result["plots"],
        notes=result.get("notes", []),
        reported=_beside(state),
    )
    return RunState(evaluation=result, evaluate_job=ref)


def _beside(state: RunState) -> list[dict[str, object]]:
    """The best of what others report that can stand beside ours."""
    data = state.get("data")
    rows = beside_ours(state.get("reported", ()), metric_of(state), data) if data else []
    return [plain(row) for row in rows if not row["apart"]][:SHOWN]


def scored(row: dict[str, object]) -> Scored:
    known = set(Scored.__dataclass_fields__)
    return Scored(**{k: v for k, v in row.items() if k in known})  # type: ignore[arg-type]


async def facts(state: RunState, context: Context) -> dict[str, object]:
    """What only the graph knows, for the report and the card (``docs/jobs.md``). No path of this machine."""
    store = context.deps.store
    data, training = state.get("data"), state.get("training")
    assert data is not None
    assert training is not None
    seconds = {
        e.stage.value: e.payload["seconds"]
        for e in await store.events(context.run_id)
        if e.type is EventType.STAGE_FINISHED and e.stage
    }
    model = plain(state["model"]) | {"path": Path(state["model"].path).name}
    task = plain(state["task"])
    if state["candidates"] and data.candidate.source == "file":
        task["data"] = data.candidate.title
    if task.get("paper") and (paper := state.get("paper")):
        task["paper"] = paper.id
    return {
        "run_id": context.run_id,
        "title": state["task"].title,
        "task": task,
        "candidate": plain(data.candidate)
        | ({"id": data.candidate.title} if data.candidate.source == "file" else {}),
        "human": plain(data.human),
        "licence": plain(card_licence(data.candidate.licence, state["model"].licence)),
        "attributions": attributions(plain(data.candidate), model),
        "audit": plain(state["audit"]) | {"folder": "data"},
        "plan": plain(state["plan"]),
        "model": model,
        "script": {"recipe": state["script"].recipe, "sha256": state["script"].sha256},
        "config": plain(state["script"].config),
        "training": plain(training) | {"model_dir": "model"},
        "baseline_only": state.get("baseline_only", False),
        "decisions": plain(await store.decisions(context.run_id)),
        "seconds": seconds,
        "usd": {"estimated": state["plan"].estimated_usd, "actual": training.usd},
        "smoke": plain(state.get("smoke") or {}),
        "baselines": plain(state["baselines"]),
        "attempts": plain(state.get("attempts", ())),
        "reported": plain(beside_ours(state.get("reported", ()), metric_of(state), data)),
        "official_test": data.official_test,
        "paper": _paper(state.get("paper"), data),
    }


def _paper(paper: Paper | None, data: DataFiles) -> dict[str, object]:
    """The paper as plain data; of its results those about the data that was used are marked."""
    if paper is None:
        return {}
    results = [
        plain(result) | {"same_data": bool(result.data and same_name(result.data, data.candidate))}
        for result in paper.results
    ]
    told: dict[str, object] = plain(paper)
    return told | {"results": results}
