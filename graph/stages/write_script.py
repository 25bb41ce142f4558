"""Puts the recipe's script into the run's folder, verbatim, with the settings that the data asks for."""

from __future__ import annotations

import hashlib

from graph.context import Context
from graph.files import copy_file, write_json
from graph.names import EventType
from graph.state import RunState, Script


async def run(state: RunState, context: Context) -> RunState:
    audit, request = state["audit"], state["request"]
    recipe = context.deps.recipes.for_family(audit.family)
    script = context.dir / "train.py"
    copy_file(recipe.script, script)
    for companion in recipe.companions:
        copy_file(companion, context.dir / companion.name)
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
    sha256 = hashlib.sha256(script.read_bytes()).hexdigest()
    await context.say(EventType.SCRIPT_WRITTEN, recipe=recipe.name, path="train.py", sha256=sha256)
    return RunState(script=Script(recipe.name, str(script), sha256, config))
