"""Asks a packaged model, as ``intern try`` does; also what evaluation and stress test ask it with.

It is asked through its own ``predict``, so what is measured is what people get: its thresholds, its
temperature, its second opinion and its warning about texts unlike its training data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from remote.jobs.scores import Predicted
from remote.protocol import Emitter, FailureKind, JobError
from remote.recipes.finetune.inference import Model, Prediction

MAX_SCORES = 20  # likeliest classes that an answer shows; a job's result is at most 64 kB
MAX_TEXT_CHARS = 2000  # of the text that an answer repeats
MAX_TEXTS = 50


def run(config: Mapping[str, Any], emit: Emitter) -> Mapping[str, Any]:
    """``{"predictions": [...]}`` for ``config["texts"]``; see ``docs/jobs.md``."""
    texts = [str(text) for text in config["texts"]]
    if not texts or len(texts) > MAX_TEXTS:
        raise JobError(FailureKind.DATA_ERROR, f"Give between 1 and {MAX_TEXTS} texts to predict.")
    answers = load(Path(config["model"])).predict(texts)
    budget = MAX_TEXT_CHARS if len(texts) == 1 else 200
    most = MAX_SCORES if len(texts) <= 5 else 5
    return {
        "predictions": [
            answer_of(text, answer, budget, most) for text, answer in zip(texts, answers, strict=True)
        ]
    }


def answer_of(text: str, answer: Prediction, chars: int, most: int) -> dict[str, Any]:
    """One answer as plain JSON; ``scores`` holds the ``most`` likeliest classes, likeliest first."""
    ranked = sorted(answer.scores.items(), key=lambda item: -item[1])[:most]
    return {
        "text": text if len(text) <= chars else text[: chars - 1] + "…",
        "label": answer.label,
        "confidence": answer.confidence,
        "scores": dict(ranked),
        "unlike_training": answer.unlike_training,
        "vocabulary_coverage": answer.vocabulary_coverage,
    }


def load(folder: Path) -> Model:
    """The packaged model in ``folder``. Raises JobError (``data_error``) when it is incomplete."""
    try:
        return Model.from_folder(folder)
    except (OSError, ValueError, KeyError) as error:
        raise JobError(
            FailureKind.DATA_ERROR, "The packaged model is incomplete: run the training again."
        ) from error


@dataclass(frozen=True, slots=True)
class Answers:
    """What the packaged model said of n texts. ``coverage`` [n]: share of a text's words seen in training."""

    predicted: Predicted
    coverage: NDArray[np.float64]
    unlike: NDArray[np.bool_]


def ask(model: Model, texts: Sequence[str], labels: Sequence[str], family: str) -> Answers:
    """The model's own decisions, with classes numbered as in ``labels``. Raises JobError when they differ."""
    if family != "regression" and set(model.labels) != set(labels):
        raise JobError(
            FailureKind.DATA_ERROR, "The model knows other classes than the data: run the training again."
        )
    said = model.predict(list(texts))
    confidence = np.array([answer.confidence for answer in said], dtype=np.float64)
    coverage = np.array([answer.vocabulary_coverage for answer in said], dtype=np.float64)
    unlike = np.array([answer.unlike_training for answer in said], dtype=bool)
    if family == "regression":
        numbers = np.array([float(answer.label) for answer in said], dtype=np.float64)  # type: ignore[arg-type]
        return Answers(Predicted(numbers, confidence, np.zeros((len(said), 0))), coverage, unlike)
    place = {label: i for i, label in enumerate(labels)}
    probabilities = np.array(
        [[answer.scores[label] for label in labels] for answer in said], dtype=np.float64
    )
    probabilities = probabilities.reshape(len(said), len(labels))
    classes: NDArray[Any]
    if family == "multilabel":
        classes = np.zeros((len(said), len(labels)), dtype=bool)
        for i, answer in enumerate(said):
            assert isinstance(answer.label, list)
            classes[i, [place[name] for name in answer.label]] = True
    else:
        classes = np.array([place[str(answer.label)] for answer in said], dtype=np.int64)
    return Answers(Predicted(classes, confidence, probabilities), coverage, unlike)
