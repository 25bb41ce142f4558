"""Puts the recipe's code into the run's folder, verbatim, with the settings that the data asks for."""

from __future__ import annotations

from graph import scripts
from graph.context import Context
from graph.files import write_json
from graph.names import EventType
from graph.state import RunState, Script


async def run(state: RunState, context: Context) -> RunState:
    audit, request = state["audit"], state["request"]
    recipe = context.deps.recipes.for_family(audit.family)
    sha256, files = scripts.put(recipe, context.dir)
    config = dict(recipe.defaults()) | {
        "family": audit.family.value,
        "labels": list(audit.labels),
        "train_file": "in/train.jsonl",
        "validation_file": "in/validation.jsonl",
        "base_model": "in/base_model",
        "output_dir": "out",
        "seed": request.seed,
    }
    write_json(context.dir / "config.json", config)
    await context.say(EventType.SCRIPT_WRITTEN, recipe=recipe.name, path=scripts.NAME, sha256=sha256)
    path = str(context.dir / scripts.NAME)
    return RunState(script=Script(recipe.name, path, sha256, config, files))
