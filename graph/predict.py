"""One answer from a finished run's model: a job like any other, so the model runs in the sandbox."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from typing import Any

from graph.deps import Deps
from graph.errors import StageFailed
from graph.inputs import HEAVY
from graph.jobs import here
from remote.backend import Input, JobSpec, Program
from remote.protocol import JobEventType

MAX_TEXT_CHARS = 100_000


async def predict(
    deps: Deps, run_id: str, texts: Sequence[str], *, allow_unisolated: bool
) -> list[Mapping[str, Any]]:
    """``[{text, label, confidence, scores, unlike_training, vocabulary_coverage}]``, in the order of ``texts``.

    Raises StageFailed when the run has no model, BackendError when no job can run.
    """
    model = deps.run_dir(run_id) / "model"
    if not (model / "config.json").is_file():
        raise StageFailed(f"Run {run_id} has no model yet.", f"`intern show {run_id}` says how far it is.")
    cut = [text[:MAX_TEXT_CHARS] for text in texts]
    key = f"{run_id}-try-{hashlib.sha256(repr((cut, deps.at())).encode()).hexdigest()[:12]}"
    config = {"model": "in/model", "texts": cut}
    backend = here(deps)
    ref = await backend.submit(
        JobSpec(
            key,
            run_id,
            (Program("predict", "predict", config),),
            (Input("model", str(model), shared=True),),
            HEAVY,
            allow_unisolated,
        )
    )
    try:
        async with aclosing(backend.events(ref)) as events:  # type: ignore[type-var]
            async for event in events:
                if event.type is JobEventType.RESULT:
                    return list(event.fields["data"]["predictions"])
                if event.type is JobEventType.FAILED:
                    raise StageFailed(str(event.fields.get("detail", "The prediction failed.")))
    finally:
        await backend.cancel(ref)
        await backend.forget(ref)
    raise StageFailed("The prediction ended without an answer.", "`intern doctor` checks the sandbox.")
