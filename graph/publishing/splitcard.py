"""The card of the split that a run trained on: what it is and the hashes of its rows. It holds no row.

Its licence is the data's own, whatever the model's is. What the data set says of itself is escaped: it is shown, and
makes neither links nor markup.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from graph.files import write_json, write_text
from graph.research.licences import attributions, licence_of
from graph.state import RunState

_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?", re.ASCII)
_MARKS = re.compile(r"([\\`*_{}\[\]()>#+!|~])")
_SPLITS = ("train", "validation", "test")


def write_split_card(state: RunState, run_id: str, folder: Path) -> None:
    """Write ``README.md`` and ``splits.json`` into ``folder``. Needs the state's data, audit and model."""
    facts = split_facts(state, run_id)
    write_json(folder / "splits.json", facts)
    write_text(folder / "README.md", split_card(facts))


def split_facts(state: RunState, run_id: str) -> dict[str, Any]:
    """Plain JSON. Data from a person's own file has a title, and no path."""
    data, audit = state.get("data"), state["audit"]
    assert data is not None
    candidate = data.candidate
    return {
        "run_id": run_id,
        "title": candidate.title,
        "source": candidate.source,
        "id": candidate.title if candidate.source == "file" else candidate.id,
        "revision": candidate.revision,
        "licence": candidate.licence,
        "attribution": candidate.attribution,
        "sha256": dict(data.sha256),
        "seed": state["request"].seed,
        "family": audit.family.value,
        "labels": list(audit.labels),
        "language": audit.language,
        "splits": {
            name: {"rows": audit.rows.get(name, 0), "sha256": audit.split_sha256.get(name, "")}
            for name in _SPLITS
        },
        "done": [f"{finding.detail} {finding.done}".strip() for finding in audit.findings],
    }


def split_card(facts: Mapping[str, Any]) -> str:
    """The ``README.md`` of a data-set repository, from :func:`split_facts`."""
    from huggingface_hub import DatasetCardData

    licence = licence_of(facts["licence"])
    stated = licence.hub and not licence.ask
    from_hub = facts["source"] == "hub" and _HUB_ID.fullmatch(str(facts["id"]))
    metadata = DatasetCardData(
        language=facts["language"],
        license=licence.id if stated else "other",
        license_name=None if stated else (licence.id if facts["licence"] else "not-stated"),
        task_categories=["text-classification"],
        tags=["ml-intern"],
        source_datasets=[str(facts["id"])] if from_hub else None,
    )
    rows = [
        f"| {name} | {split['rows']:,} | `{_hex(split['sha256'])}` |"
        for name, split in facts["splits"].items()
    ]
    source = attributions(facts, facts)[0]
    lines = [
        f"# Split of {shown(facts['title'], 80)}",
        "",
        "The rows that a model was trained, chosen and measured on, by their hashes. Where this repository has a "
        "folder `data`, it holds the rows themselves: one JSON object a line with `row_id`, `text` and `label`.",
        "",
        f"- Source: {shown(facts['id'], 120)}, revision {shown(facts['revision'] or 'not stated', 60)}",
        f"- {shown(source, 400)}",
        f"- Seed: {facts['seed']}; run {shown(facts['run_id'], 20)}",
        f"- Classes: {shown(', '.join(facts['labels'][:50]) or 'a number', 600)}",
        "",
        "| split | rows | sha256 |",
        "|---|---|---|",
        *rows,
        "",
        "What was found in the data, and done about it:",
        "",
        *(f"- {shown(line, 400)}" for line in facts["done"]),
        "",
        "The test rows were set aside before training. Training on them makes every number of the model worthless.",
    ]
    return f"---\n{metadata.to_yaml()}\n---\n\n" + "\n".join(lines) + "\n"


def shown(value: Any, chars: int) -> str:
    """``value`` on one line of markdown, as it reads and at most so long."""
    line = " ".join("".join(c if c.isprintable() else " " for c in str(value)).split())
    line = line if len(line) <= chars else line[: chars - 1] + "…"
    line = _MARKS.sub(r"\\\1", line.replace("&", "&amp;").replace("<", "&lt;"))
    return line.replace("@", "@\u200b").replace("://", ":\u200b//")


def _hex(value: str) -> str:
    return re.sub(r"[^0-9a-zA-Z]", "", value)[:64]
