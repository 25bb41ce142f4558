"""One answer from a finished run's model: a job like any other, so the model runs in the sandbox."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from graph.deps import Deps
from graph.errors import StageFailed
from graph.inputs import HEAVY
from graph.jobs import run_once
from remote.backend import Input, JobSpec, Program

MAX_TEXT_CHARS = 100_000


async def predict(
    deps: Deps, run_id: str, texts: Sequence[str], *, allow_unisolated: bool
) -> list[Mapping[str, Any]]:
    """``[{text, label, confidence, scores, unlike_training, vocabulary_coverage}]``, in the order of ``texts``.

    Raises StageFailed when the run has no model, BackendError when no job can run.
    """
    model = deps.run_dir(run_id) / "model"
    if not (model / "config.json").is_file():
        raise StageFailed(f"Run {run_id} has no model, or none yet.", "Its status says how far it is.")
    return await ask_model(deps, run_id, model, texts, allow_unisolated=allow_unisolated)


async def ask_model(
    deps: Deps, run_id: str, model: Path, texts: Sequence[str], *, allow_unisolated: bool
) -> list[Mapping[str, Any]]:
    """As :func:`predict`, of the packaged model in the folder ``model``."""
    cut = [text[:MAX_TEXT_CHARS] for text in texts]
    key = f"{run_id}-try-{hashlib.sha256(repr((cut, deps.at())).encode()).hexdigest()[:12]}"
    config = {"model": "in/model", "texts": cut}
    spec = JobSpec(
        key,
        run_id,
        (Program("predict", "predict", config),),
        (Input("model", str(model), shared=True),),
        HEAVY,
        allow_unisolated,
    )
    return list((await run_once(deps, spec))["predictions"])
