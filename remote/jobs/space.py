"""The demo: a Gradio Space that runs as it is on the Hub and on this machine.

``app.py`` is a file of ours, copied verbatim; what differs from run to run is data in ``settings.json``.
So nothing from a user's data or request is ever part of a program.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from huggingface_hub import SpaceCard, SpaceCardData

from remote.jobs.audit_page import escape
from remote.jobs.columns import cut
from remote.jobs.rows import write_text

TEMPLATES = Path(__file__).parent / "templates"
GRADIO = "6.31.0"  # where this job's environment has none: the version that app.py is tested with
PINNED = ("torch", "transformers", "safetensors", "numpy", "huggingface_hub")
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def write_space(folder: Path, model: Path, facts: Mapping[str, Any], family: str, licence: str) -> list[Path]:
    """Write ``app.py``, ``inference.py``, ``settings.json``, ``requirements.txt`` and ``README.md``."""
    folder.mkdir(parents=True, exist_ok=True)
    title = cut(str(facts.get("title") or "Text model"), 60)
    target = str(facts.get("task", {}).get("publish_to") or "").removeprefix("hub:").partition("+")[0]
    settings = {
        "title": title,
        "heading": escape(title, 60),
        "description": description(family),
        "family": family,
        "model_id": target if _HUB_ID.fullmatch(target) else "",
    }
    return [
        copied(TEMPLATES / "app.py", folder / "app.py"),
        copied(model / "inference.py", folder / "inference.py"),
        write_text(folder / "settings.json", json.dumps(settings, ensure_ascii=False, indent=2) + "\n"),
        write_text(folder / "requirements.txt", requirements()),
        write_text(folder / "README.md", readme(settings, licence)),
    ]


def copied(source: Path, path: Path) -> Path:
    """Copy a file beside its place, then rename it into place."""
    beside = path.with_name(path.name + ".part")
    shutil.copyfile(source, beside)
    return beside.replace(path)


def description(family: str) -> str:
    what = {
        "regression": "The model answers with a number.",
        "multilabel": "The model gives each class a probability of its own.",
    }
    return what.get(family, "The model gives a probability to each class.") + (
        " It warns when a text is unlike its training data. Its model card says where it fails."
    )


def requirements() -> str:
    """Pinned to what this run used, so that the Space computes what was measured."""
    lines = [f"gradio=={version('gradio') or GRADIO}"]
    lines += [f"{name}=={found}" for name in PINNED if (found := version(name))]
    return "\n".join(lines) + "\n"


def version(package: str) -> str | None:
    """The installed version, without a local label such as ``+cpu`` that an index does not have."""
    try:
        return metadata.version(package).split("+")[0]
    except metadata.PackageNotFoundError:
        return None


def readme(settings: Mapping[str, Any], licence: str) -> str:
    data = SpaceCardData(
        title=settings["title"],
        emoji="🧪",
        colorFrom="blue",
        colorTo="green",
        sdk="gradio",
        sdk_version=version("gradio") or GRADIO,
        app_file="app.py",
        pinned=False,
        license=licence,
        models=[settings["model_id"]] if settings["model_id"] else None,
    )
    body = (
        f"# {settings['heading']}\n\n{settings['description']}\n\n"
        "On this machine: `pip install -r requirements.txt`, then `python app.py`; the model is taken from "
        "`../model`, from the folder in `MODEL_DIR`, or from the Hub by `MODEL_ID`.\n"
    )
    return str(SpaceCard(f"---\n{data.to_yaml()}\n---\n\n{body}"))
