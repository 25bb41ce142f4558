"""What the jobs of a run are given, and what they need of a machine.

The training script's inputs never include the test rows.
"""

from __future__ import annotations

from pathlib import Path

from graph.context import Context
from graph.names import TaskFamily
from graph.scripts import script_inputs
from graph.state import DataFiles, RunState
from remote.backend import Input, Need

LIGHT = Need(timeout_s=600, memory_mb=4096)  # pandas and scikit-learn
HEAVY = Need(timeout_s=1800, memory_mb=8192)  # torch: address space, of which it uses about a third

_DEFAULT_METRIC = {TaskFamily.REGRESSION: "rmse"}
_FITS = {
    TaskFamily.REGRESSION: {"rmse", "mae", "r2", "spearman"},
    TaskFamily.MULTILABEL: {"macro_f1", "micro_f1", "subset_accuracy"},
}
_CLASSES = {"macro_f1", "accuracy", "weighted_f1", "balanced_accuracy", "mcc"}


def metric_of(state: RunState) -> str:
    """The metric that decides: the person's first one that the task family can be measured by."""
    family = state["audit"].family
    fits = _FITS.get(family, _CLASSES)
    return next((m for m in state["task"].metrics if m in fits), _DEFAULT_METRIC.get(family, "macro_f1"))


def raw_inputs(data: DataFiles) -> tuple[Input, ...]:
    return tuple(Input(f"raw/{Path(path).name}", path) for paths in data.files.values() for path in paths)


def raw_files(data: DataFiles) -> dict[str, str | list[str]]:
    """Split to its file, or to the files of its parts, where a job finds them."""
    found = {split: [f"in/raw/{Path(path).name}" for path in paths] for split, paths in data.files.items()}
    return {split: paths if len(paths) > 1 else paths[0] for split, paths in found.items()}


def training_inputs(state: RunState, context: Context, checkpoint: Path | None = None) -> tuple[Input, ...]:
    data = Path(state["audit"].folder)
    recipe = context.deps.recipes.for_family(state["audit"].family)
    inputs = (
        Input("train.jsonl", str(data / "train.jsonl")),
        Input("validation.jsonl", str(data / "validation.jsonl")),
        *script_inputs(state["script"], context.dir, recipe),
        Input("base_model", state["model"].path, shared=True),
    )
    return (*inputs, Input("checkpoint", str(checkpoint))) if checkpoint else inputs
