"""The recipe against a plain ``Trainer`` with its defaults, paired in one run: ``python -m tests.bench.bench_recipe``.

BANKING77, 5,000 seeded rows of ``train.csv`` (500 of them for validation), the full ``test.csv``, the same rows
for both. Both are whole processes, imports included. Wall-clock and CPU seconds are printed: on a busy machine
only the latter mean something.

The Trainer (fp32, batch 8, padded to 128 tokens, 5e-5) needs some ten minutes an epoch on two cores. Its *speed*
is therefore measured over ``--trainer-steps`` steps, without its start; ``--trainer-epochs`` trains it in full for
its accuracy.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bot.settings import load_settings
from graph.names import TaskFamily
from graph.research.catalogue import CatalogueSource
from graph.state import TaskSpec
from remote.recipes.registry import RECIPES

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data" / "banking77"

TRAINER = """
import json, sys, time
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, Trainer, TrainingArguments

config = json.load(open(sys.argv[1]))
labels = config["labels"]
tokenizer = AutoTokenizer.from_pretrained(config["base_model"])
model = AutoModelForSequenceClassification.from_pretrained(config["base_model"], num_labels=len(labels))

def rows(path):
    read = [json.loads(line) for line in open(path)]
    encoded = tokenizer([r["text"] for r in read], truncation=True, padding="max_length", max_length=128)
    return [
        {"input_ids": i, "attention_mask": m, "labels": labels.index(r["label"])}
        for i, m, r in zip(encoded["input_ids"], encoded["attention_mask"], read)
    ]

train, test = rows(config["train_file"]), rows(config["test_file"])
arguments = TrainingArguments("trainer_out", report_to=[], save_strategy="no", use_cpu=True, seed=config["seed"],
    num_train_epochs=config["epochs"], max_steps=config["max_steps"], disable_tqdm=True)
trainer = Trainer(model, arguments, train_dataset=train)
done = trainer.train()
answer = {"rows_per_s": done.metrics["train_samples_per_second"]}
if config["max_steps"] < 0:
    guess = trainer.predict(test).predictions.argmax(-1)
    answer["accuracy"] = float((guess == [r["labels"] for r in test]).mean())
print(json.dumps(answer))
"""


def prepare(folder: Path, base_model: Path) -> dict[str, Any]:
    """Rows as files; the config that both read."""
    with (DATA / "train.csv").open(encoding="utf-8", newline="") as file:
        train = list(csv.DictReader(file))
    with (DATA / "test.csv").open(encoding="utf-8", newline="") as file:
        test = list(csv.DictReader(file))
    chosen = list(range(len(train)))
    random.Random(0).shuffle(chosen)
    parts = {
        "train": [(i, train[i]) for i in chosen[:4500]],
        "validation": [(i, train[i]) for i in chosen[4500:5000]],
        "test": list(enumerate(test)),
    }
    for name, rows in parts.items():
        lines = [{"row_id": i, "text": row["text"], "label": row["category"]} for i, row in rows]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return {
        "family": "multiclass",
        "labels": sorted({row["category"] for row in train}),
        "train_file": str(folder / "train.jsonl"),
        "validation_file": str(folder / "validation.jsonl"),
        "base_model": str(base_model),
        "output_dir": str(folder / "out"),
        "seed": 0,
    }


def catalogue_model() -> Path:
    """all-MiniLM-L6-v2 from the offline catalogue under ``INTERN_HOME``, fetched where it is not there yet."""
    task = TaskSpec("", "", TaskFamily.MULTICLASS)
    return Path(asyncio.run(CatalogueSource(load_settings().home).model(task)).path)


def measured(command: Sequence[str], folder: Path) -> tuple[str, dict[str, float]]:
    """The command's stdout, and what it took."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(done.stdout[-2000:] + done.stderr[-2000:])
    return done.stdout, {
        "wall_s": round(time.perf_counter() - start, 1),
        "cpu_s": round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 1),
        "peak_mb": round(after.ru_maxrss / 1024),
    }


def bench_recipe(folder: Path, config: dict[str, Any]) -> dict[str, Any]:
    recipe = RECIPES.for_family("multiclass")
    shutil.copyfile(recipe.script, folder / "train.py")
    for companion in recipe.companions:
        shutil.copytree(companion, folder / companion.name)
    path = folder / "config.json"
    path.write_text(json.dumps(config))
    _, took = measured([sys.executable, "train.py", "--config", str(path)], folder)
    training = json.loads((folder / "out" / "training.json").read_text())
    return took | {
        "rows_per_s": training["rows_per_s"],
        "accuracy": accuracy(folder),
        "phases_s": training["phases_s"],
        "stopped": training["stopped"],
        "epochs": training["epochs"],
        "ensemble_weight": training["ensemble_weight"],
        "load_average": os.getloadavg()[0],
    }


def accuracy(folder: Path) -> float:
    """Of the packaged model, loaded as a user would, on the full test split."""
    from remote.recipes.finetune.inference import Model

    rows = [json.loads(line) for line in (folder / "test.jsonl").read_text().splitlines()]
    answers = Model.from_folder(folder / "out" / "model").predict([row["text"] for row in rows])
    hits = sum(answer.label == row["label"] for answer, row in zip(answers, rows, strict=True))
    return round(hits / len(rows), 4)


def bench_trainer(folder: Path, config: dict[str, Any], steps: int, epochs: int) -> dict[str, Any]:
    (folder / "trainer.py").write_text(TRAINER)
    values = {"epochs": max(epochs, 1), "max_steps": -1 if epochs else steps}
    path = folder / "trainer.json"
    path.write_text(json.dumps(config | values | {"test_file": str(folder / "test.jsonl")}))
    said, took = measured([sys.executable, "trainer.py", str(path)], folder)
    answer: dict[str, Any] = json.loads(said.splitlines()[-1])
    return took | answer


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--base-model", type=Path, help="folder of the encoder; default: the catalogue's")
    parser.add_argument("--trainer-steps", type=int, default=20)
    parser.add_argument("--trainer-epochs", type=int, default=0)
    parser.add_argument("--set", default="{}", help="recipe settings to change, as JSON")
    options = parser.parse_args(arguments)
    if not DATA.is_dir():
        print(f"skipped: there is no {DATA}")
        return
    base_model = options.base_model or catalogue_model()
    chosen = {"epochs": 2, "frozen_layers": 3, "learning_rate": 5e-4, "max_length": 64, "time_budget_s": 68.0}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        config = prepare(folder, base_model.resolve())
        ours = bench_recipe(folder, config | chosen | json.loads(options.set))
        print(json.dumps({"recipe": ours}), flush=True)
        if options.trainer_steps or options.trainer_epochs:
            plain = bench_trainer(folder, config, options.trainer_steps, options.trainer_epochs)
            ratio = round(ours["rows_per_s"] / plain["rows_per_s"], 1)
            print(json.dumps({"trainer": plain, "recipe_is_times_faster": ratio}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
