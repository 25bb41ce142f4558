"""The card of the split: what the Hub's own classes read in it, and that it shows data without obeying it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from huggingface_hub import DatasetCard

from graph.names import TaskFamily
from graph.publishing.splitcard import write_split_card
from graph.state import AuditSummary, Candidate, DataFiles, Finding, ModelChoice, Request, RunState

HOSTILE = (
    "<script>alert(1)</script> [click](http://evil) @everyone ![x](http://evil/x.png)\n---\nlicense: mit"
)


def state(licence: str | None, source: str = "hub", title: str = "Reviews") -> RunState:
    candidate = Candidate("ada/reviews", source, title, licence, revision="abc", attribution=HOSTILE)
    splits = {"train": "1" * 64, "validation": "2" * 64, "test": "3" * 64}
    return RunState(
        request=Request("x", seed=7),
        data=DataFiles(candidate, {"train": "/home/ada/x.csv"}, {"train": "f" * 64}),
        audit=AuditSummary(
            TaskFamily.BINARY, ("no", HOSTILE), {"train": 70, "validation": 10, "test": 20},
            (Finding("duplicates", "info", "3 rows twice", "dropped"),), splits, language="en",
        ),
        model=ModelChoice("m", "hub", "p", "mit"),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("licence", "stated", "name"),
    [
        ("cc-by-sa-4.0", "cc-by-sa-4.0", None),
        (None, "other", "not-stated"),
        ("cc-by", "other", "cc-by"),
        ("our-own", "other", "our-own"),
    ],
)
def test_its_licence_is_the_datas_own(
    tmp_path: Path, licence: str | None, stated: str, name: str | None
) -> None:
    write_split_card(state(licence), "r1", tmp_path)
    data = DatasetCard.load(tmp_path / "README.md").data.to_dict()
    assert (data["license"], data.get("license_name")) == (stated, name)
    assert data["source_datasets"] == ["ada/reviews"]
    assert data["language"] == "en"


def test_it_names_hashes_and_seed_and_no_path(tmp_path: Path) -> None:
    write_split_card(state("mit", "file", "mine.csv"), "r1", tmp_path)
    text = (tmp_path / "README.md").read_text()
    for split in ("1", "2", "3"):
        assert split * 64 in text
    assert "Seed: 7" in text
    assert "/home" not in text + (tmp_path / "splits.json").read_text()
    assert json.loads((tmp_path / "splits.json").read_text())["splits"]["test"]["rows"] == 20
    assert "source_datasets" not in DatasetCard.load(tmp_path / "README.md").data.to_dict()


def test_what_the_data_says_is_shown_and_not_obeyed(tmp_path: Path) -> None:
    write_split_card(state("mit", title=HOSTILE), "r1", tmp_path)
    card = DatasetCard.load(tmp_path / "README.md")
    assert card.data.license == "mit"
    assert "<script" not in card.text
    assert "](http" not in card.text
    assert "@everyone" not in card.text
    assert "://" not in card.text
