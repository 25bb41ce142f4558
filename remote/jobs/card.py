"""Packages the run: the model with its card, the demo and the report.

The card is written with the Hub's own classes (``ModelCardData``, ``EvalResult``) and read back with them,
so that its YAML is what the Hub expects, ``model-index`` included. The example of use that it shows is run
here, in this job, on the packaged folder: its output is printed in the card.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from remote.jobs import pages
from remote.jobs.audit_page import escape
from remote.jobs.evaluate import read_json
from remote.jobs.leaderboard import metric_name
from remote.jobs.pages import Package
from remote.jobs.predict import load
from remote.jobs.report import report
from remote.jobs.rows import write_text
from remote.jobs.space import write_space
from remote.protocol import Emitter, FailureKind, JobError

IN, OUT = Path("in"), Path("out")
EXAMPLE = "I would like to know more about this."
HUB_METRICS = {"macro_f1": "f1", "micro_f1": "f1", "weighted_f1": "f1", "subset_accuracy": "accuracy"}
_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")


def run(config: Mapping[str, Any], emit: Emitter) -> Mapping[str, Any]:
    """Write ``out/model``, ``out/space`` and ``out/report.md``; result: the files and the tested example."""
    package = read_package(str(config["family"]))
    copy_model(IN / "trained/model", OUT / "model")
    example = try_example(OUT / "model")
    write_text(OUT / "model/README.md", model_card(package, example))
    licence = licence_id(package.facts)
    write_space(OUT / "space", OUT / "model", package.facts, package.family, licence)
    write_text(OUT / "report.md", report(package))
    files = [p for name in ("model", "space") for p in sorted((OUT / name).rglob("*")) if p.is_file()]
    for path in (*files, OUT / "report.md"):
        emit.artifact(path, OUT)
    return {"files": [p.relative_to(OUT).as_posix() for p in files] + ["report.md"], "example": example}


def read_package(family: str) -> Package:
    """Raises JobError (``data_error``) when evaluation has left nothing."""
    package = Package(
        family,
        read_json(IN / "facts.json"),
        read_json(IN / "trained/training.json"),
        read_json(IN / "audit/audit.json"),
        read_json(OUT / "metrics.json"),
        read_json(OUT / "leaderboard.json"),
        read_json(OUT / "stress.json"),
    )
    if not package.metrics or not package.board:
        raise JobError(FailureKind.DATA_ERROR, "The evaluation has left no metrics: evaluate again first.")
    return package


def copy_model(source: Path, folder: Path) -> None:
    """Copy the train job's model, whole or not at all. Raises JobError (``denied``) for a pickle or link."""
    beside = folder.with_name(folder.name + ".part")
    shutil.rmtree(beside, ignore_errors=True)
    for path in source.rglob("*"):
        if path.is_symlink() or path.suffix in (".bin", ".pt", ".pth", ".pkl", ".pickle", ".joblib", ".ckpt"):
            raise JobError(
                FailureKind.DENIED, f"The model holds {path.name}, which is never packaged: train it again."
            )
    shutil.copytree(source, beside)
    shutil.rmtree(folder, ignore_errors=True)
    beside.replace(folder)


def try_example(folder: Path) -> dict[str, Any]:
    """What the card's example answers."""
    answer = load(folder).predict([EXAMPLE])[0]
    return {"text": EXAMPLE, "label": answer.label, "confidence": round(answer.confidence, 3)}


def licence_id(facts: Mapping[str, Any]) -> str:
    """The licence that follows from those of data and base model; "other" where nothing says so."""
    return str(facts.get("licence", {}).get("id") or "other")


def licence_name(facts: Mapping[str, Any]) -> str:
    """What "other" is, in the metadata's own field."""
    return str(facts.get("licence", {}).get("name") or "not-determined")


def model_card(package: Package, example: Mapping[str, Any]) -> str:
    """The model's ``README.md``. Raises ValueError when the Hub's classes cannot read it back."""
    data = card_data(package)
    sections = (
        _head(package),
        _use(package, example),
        _data(package),
        _training(package),
        _evaluation(package),
        _limits(package),
        _licence(package),
    )
    body = "\n".join(line for section in sections for line in section)
    card = ModelCard(f"---\n{data.to_yaml()}\n---\n\n{body}\n", ignore_metadata_errors=False)
    if not card.data.to_dict().get("model-index"):
        raise ValueError("the card has lost its results")
    return str(card)


def card_data(package: Package) -> ModelCardData:
    facts, audit = package.facts, package.facts.get("audit", {})
    candidate, base = facts.get("candidate", {}), facts.get("model", {})
    hub_data = candidate.get("source") == "hub" and _HUB_ID.fullmatch(str(candidate.get("id")))
    hub_base = base.get("source") != "folder" and _HUB_ID.fullmatch(str(base.get("id") or ""))
    regression = package.family == "regression"
    return ModelCardData(
        language=audit.get("language"),
        license=licence_id(facts),
        license_name=licence_name(facts) if licence_id(facts) == "other" else None,
        library_name="transformers",
        pipeline_tag="text-classification",
        tags=["text-classification", package.family, "ml-intern"]
        + (["text-regression"] if regression else []),
        datasets=[candidate["id"]] if hub_data else None,
        base_model=base["id"] if hub_base else None,
        metrics=sorted({HUB_METRICS.get(r.metric_type, r.metric_type) for r in eval_results(package)}),
        model_name=package.title,
        eval_results=eval_results(package),
    )


def eval_results(package: Package) -> list[EvalResult]:
    candidate, metrics = package.facts.get("candidate", {}), package.metrics
    wanted = [
        str(metrics["metric"]),
        "accuracy",
        "macro_f1",
        "micro_f1",
        "subset_accuracy",
        "rmse",
        "mae",
        "r2",
    ]
    return [
        EvalResult(
            task_type="text-classification",
            task_name=package.title,
            dataset_type=str(candidate.get("id") or "unknown"),
            dataset_name=str(candidate.get("title") or candidate.get("id") or "unknown"),
            dataset_split="test",
            dataset_revision=candidate.get("revision"),
            metric_type=HUB_METRICS.get(name, name),
            metric_name=metric_name(name),
            metric_value=round(float(metrics[name]["value"]), 6),
        )
        for name in dict.fromkeys(wanted)
        if isinstance(metrics.get(name), Mapping)
    ]


def _head(package: Package) -> list[str]:
    task, labels = package.facts.get("task", {}), package.metrics.get("labels", [])
    lines = [f"# {escape(package.title, 60)}", ""]
    if task.get("goal"):
        lines += [escape(str(task["goal"]), 300), ""]
    lines += [escape(str(package.board["verdict"]), 1200), ""]
    if labels:
        shown = ", ".join(escape(str(name), 60) for name in labels[:30])
        lines += [f"Labels ({len(labels)}): {shown}{' …' if len(labels) > 30 else ''}", ""]
    return [
        *lines,
        "## Intended use",
        "",
        "To label texts like those it was trained on, where a person can correct a wrong label. Not for "
        "decisions "
        "about people's rights, health or money without a person who checks each one, and not for texts "
        "of another "
        "kind, language or time without testing it there first.",
        "",
    ]


def usage(folder: str = ".") -> str:
    """The example of use, which tests run as it stands."""
    return (
        "import sys\n\n"
        f'folder = "{folder}"  # this folder, or: huggingface_hub.snapshot_download("OWNER/NAME")\n'
        "sys.path.insert(0, folder)\n"
        "from inference import Model\n\n"
        "model = Model.from_folder(folder)\n"
        f'answer = model.predict(["{EXAMPLE}"])[0]\n'
        "print(answer.label, round(answer.confidence, 3), answer.unlike_training)"
    )


def _use(package: Package, example: Mapping[str, Any]) -> list[str]:
    versions = package.training.get("versions", {})
    pins = " ".join(
        f"{name}=={str(versions[name]).split('+')[0]}"
        for name in ("torch", "transformers", "numpy")
        if name in versions
    )
    said = escape(str(example["label"]), 80)
    sure = "" if package.family == "regression" else f" with confidence {example['confidence']}"
    return [
        "## How to use",
        "",
        f"Install `{pins or 'torch transformers numpy'} safetensors`, then:",
        "",
        "```python",
        usage(),
        "```",
        "",
        f"It was run when this card was written and answered {said}{sure}. "
        '`python inference.py "some text"` does the same from a terminal. `unlike_training` is true when the model '
        "knows few of a text's words.",
        "",
    ]


def _data(package: Package) -> list[str]:
    findings = package.facts.get("audit", {}).get("findings", [])
    lines = ["## Data", "", *pages.data_lines(package.facts)]
    lines += [f"- {escape(f['detail'], 300)} {escape(str(f.get('done', '')), 200)}" for f in findings]
    return [*lines, "", "The test split was made before training and used once, for the numbers below.", ""]


def _training(package: Package) -> list[str]:
    facts, training = package.facts, package.training
    base = facts.get("model", {})
    versions = ", ".join(f"{name} {found}" for name, found in training.get("versions", {}).items())
    hardware = facts.get("plan", {}).get("hardware") or training.get("device", "cpu")
    return [
        "## Training",
        "",
        f"- Base model: {escape(str(base.get('id') or 'unknown'), 120)}, "
        f"licence {escape(str(base.get('licence') or 'not stated'), 60)}",
        f"- Hardware: {escape(str(hardware), 120)}, precision "
        f"{escape(str(training.get('precision', 'fp32')), 20)}",
        "- Time: "
        f"{pages.number(facts.get('training', {}).get('seconds') or training.get('seconds'), '.0f')} s; "
        f"cost: {pages.number(facts.get('usd', {}).get('actual'))} USD",
        f"- Energy: {pages.energy(facts, training)}",
        f"- Software: {escape(versions or 'not recorded', 200)}",
        "",
        *pages.hyperparameters(facts),
    ]


def _evaluation(package: Package) -> list[str]:
    metrics = package.metrics
    scores = [(name, score) for name, score in metrics.items() if pages.is_score(score)]
    lines = [
        "## Evaluation",
        "",
        f"On {metrics['rows']:,} test rows, sha256 `{metrics['split_sha256'][:16]}…`.",
        "",
    ]
    lines += pages.table(
        ["score", "value (95 % interval)"], [[metric_name(n), pages.span(s)] for n, s in scores]
    )
    lines += [escape(metrics["convention"], 400), "", "### Beside cheap baselines", ""]
    lines += pages.leaderboard(package.board, package.family)
    if metrics.get("per_class"):
        lines += ["### By class", "", *pages.per_class(metrics)]
    if package.stress.get("tests"):
        lines += ["### Under stress", "", *pages.stress_table(package.stress)]
    return lines


def limits(package: Package) -> list[str]:
    """What is known to be weak, one sentence each; of the user's texts nothing is shown."""
    notes = [str(note) for note in package.metrics.get("notes", [])]
    notes += [str(item["reason"]) for item in package.stress.get("suggestions", [])]
    language = package.facts.get("audit", {}).get("language")
    notes.append(
        f"It has seen texts in one language only ({language})." if language else "Languages were not told."
    )
    return list(dict.fromkeys(notes))


def _licence(package: Package) -> list[str]:
    """Under what the model may be used, and whom it owes."""
    facts = package.facts
    name = licence_id(facts)
    shown = f"other ({licence_name(facts)})" if name == "other" else name
    why = str(facts.get("licence", {}).get("why") or "The licences of data and base model were not judged.")
    lines = [str(line) for line in facts.get("attributions", ())]
    return [
        "",
        "## Licence and attribution",
        "",
        f"- Licence of this model: {escape(shown, 120)}. {escape(why, 300)}",
        *(f"- {escape(line, 400)}" for line in lines),
    ]


def _limits(package: Package) -> list[str]:
    risks: Sequence[str] = (
        "It repeats what its data says: prejudices in the labels become prejudices in the answers.",
        "A text that fits no class gets a class all the same: look at the confidence and at "
        "`unlike_training`.",
        "Texts change with time: measure it again on new ones before you rely on it.",
    )
    return [
        "## Limitations",
        "",
        *(f"- {escape(note, 500)}" for note in limits(package)),
        "",
        "## Risks",
        "",
        *(f"- {risk}" for risk in risks),
    ]
