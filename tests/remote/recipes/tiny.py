"""A tiny random BERT and small data for it: real files, made in a second, no download."""

from __future__ import annotations

import contextlib
import csv
import importlib.util
import io
import json
import random
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from safetensors.torch import save_file
from transformers import BertConfig, BertModel, BertTokenizer

from remote.protocol import JobEvent, JobEventType, decode
from remote.recipes.registry import TextClassification

TOPICS = {
    "card": ["card", "lost", "stolen", "chip"],
    "loan": ["loan", "borrow", "interest", "mortgage"],
    "transfer": ["transfer", "iban", "abroad", "recipient"],
}
FILLERS = [
    "please",
    "help",
    "me",
    "with",
    "my",
    "the",
    "a",
    "now",
    "today",
    "i",
    "need",
    "to",
    "know",
    "about",
    "it",
]


def make_base(folder: Path, layers: int = 2, seed: int = 0) -> Path:
    """A folder as a base model comes: config, safetensors, tokenizer."""
    folder.mkdir(parents=True)
    words = [*FILLERS, *(word for topic in TOPICS.values() for word in topic)]
    letters = [*"abcdefghijklmnopqrstuvwxyz", *("##" + c for c in "abcdefghijklmnopqrstuvwxyz")]
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words, *letters]
    (folder / "vocab.txt").write_text("\n".join(dict.fromkeys(vocabulary)) + "\n", encoding="utf-8")
    BertTokenizer(vocab=str(folder / "vocab.txt"), model_max_length=64).save_pretrained(folder)
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(dict.fromkeys(vocabulary)),
        hidden_size=32,
        num_hidden_layers=layers,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        initializer_range=0.2,
    )
    model = BertModel(config)
    model.config.save_pretrained(folder)
    save_file(model.state_dict(), folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def labelled(family: str, count: int, seed: int) -> list[dict[str, Any]]:
    """Rows about one topic, or (multi-label) one or two, between words that say nothing."""
    rng = random.Random(seed)
    rows = []
    for i in range(count):
        topics = sorted(rng.sample(sorted(TOPICS), rng.choice((1, 2)) if family == "multilabel" else 1))
        words = [rng.choice(TOPICS[topic]) for topic in topics for _ in range(3)]
        words += rng.choices(FILLERS, k=rng.randrange(1, 6))
        rng.shuffle(words)
        label: Any = topics
        if family == "multiclass":
            label = topics[0]
        elif family == "binary":
            label = "yes" if "loan" in topics else "no"
        elif family == "regression":
            label = {"card": 100.0, "loan": 110.0, "transfer": 130.0}[topics[0]]
        rows.append({"row_id": i + 1000 * seed, "text": " ".join(words), "label": label})
    return rows


LABELS = {
    "binary": ["no", "yes"],
    "multiclass": sorted(TOPICS),
    "multilabel": sorted(TOPICS),
    "regression": [],
}


def load_script(script: Path) -> ModuleType:
    """The script as a module. Its parts are imported from beside it, as in a job; they are named ``finetune``."""
    spec = importlib.util.spec_from_file_location("train", script)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(script.parent))
    sys.modules[spec.name] = module  # dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(script.parent))
    return module


train = load_script(TextClassification().script)


def lay_out(folder: Path) -> None:
    """The script as ``train.py`` with its companions beside it, as a job has them."""
    recipe = TextClassification()
    shutil.copy(recipe.script, folder / "train.py")
    for companion in recipe.companions:
        copy = folder / companion.name
        shutil.copytree(companion, copy, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@dataclass(frozen=True)
class Job:
    """A job's folder with its config; ``run`` is a training in this process."""

    folder: Path
    config: dict[str, Any]

    @property
    def out(self) -> Path:
        return Path(self.config["output_dir"])

    def run(self, clock: Any = None, **changes: Any) -> list[JobEvent]:
        path = self.folder / "train.json"
        path.write_text(json.dumps(self.config | changes), encoding="utf-8")
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            code = train.main(["--config", str(path)], *([clock] if clock else []))
        heard = [decode(line) for line in said.getvalue().splitlines()]
        events = [event for event in heard if event is not None]
        assert len(events) == len(heard), "every line is an event"
        assert [event.seq for event in events] == list(range(len(events)))
        assert (code == 0) == (events[-1].type is JobEventType.RESULT)
        return events

    def result(self, clock: Any = None, **changes: Any) -> dict[str, Any]:
        last = self.run(clock, **changes)[-1]
        assert last.type is JobEventType.RESULT, last
        return dict(last.fields["data"])

    def failure(self, **changes: Any) -> tuple[str, str]:
        last = self.run(**changes)[-1]
        assert last.type is JobEventType.FAILED, last
        return last.fields["kind"], last.fields["detail"]

    def answers(self) -> list[dict[str, str]]:
        """The rows of the predictions on validation."""
        with (self.out / "validation_predictions.csv").open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    @property
    def predictions(self) -> bytes:
        return (self.out / "validation_predictions.csv").read_bytes()


def make_job(folder: Path, base: Path, family: str = "multiclass", rows: int = 160, **config: Any) -> Job:
    """A job of 3 short epochs on ``rows`` rows."""
    folder.mkdir(parents=True, exist_ok=True)
    write_rows(folder / "train.jsonl", labelled(family, rows, seed=1))
    write_rows(folder / "validation.jsonl", labelled(family, 48, seed=2))
    values = {
        "family": family,
        "labels": LABELS[family],
        "train_file": str(folder / "train.jsonl"),
        "validation_file": str(folder / "validation.jsonl"),
        "base_model": str(base),
        "output_dir": str(folder / "out"),
        "epochs": 3,
        "batch_size": 16,
        "learning_rate": 2e-3,
        "head_learning_rate": 1e-2,
        "frozen_layers": 1,
        "max_length": 32,
        "threads": 1,  # a second thread only waits on work this small
        "refit": False,  # the packed model is the one whose answers on validation were written
    }
    return Job(folder, values | config)
