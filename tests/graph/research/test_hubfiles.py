"""Which files of a Hub data set are read, over layouts that exist there."""

from __future__ import annotations

from typing import Any

import pytest

from graph.research.hubfiles import choose_files, split_of


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["train.csv", "test.csv", "README.md"], {"train": "train.csv", "test": "test.csv"}),
        (["data/train-00000-of-00001.parquet", "data/test-00000-of-00001.parquet", "x.py"],
         {"train": "data/train-00000-of-00001.parquet", "test": "data/test-00000-of-00001.parquet"}),
        (["train/a.jsonl", "dev/a.jsonl"], {"train": "train/a.jsonl", "validation": "dev/a.jsonl"}),
        (["en_train.tsv", "en_val.tsv"], {"train": "en_train.tsv", "validation": "en_val.tsv"}),
        (["reviews.csv", "dataset_infos.json"], {"train": "reviews.csv"}),
        (["train.csv", "train.parquet"], {"train": "train.parquet"}),
        (["default/train.csv", "zz/train.csv"], {"train": "default/train.csv"}),
        (["all_test.csv"], {"train": "all_test.csv"}),
        ([".hidden/train.csv", "train.json"], {"train": "train.json"}),
    ],
)  # fmt: skip
def test_splits_by_name(paths: list[str], expected: dict[str, str]) -> None:
    assert choose_files(paths).files == expected


@pytest.mark.parametrize(
    ("paths", "why_not"),
    [
        (["loader.py", "README.md"], "loading script"),
        (["data.zip"], "packed"),
        (["README.md"], "no CSV"),
        ([], "no CSV"),
        (["a.csv", "b.csv"], "add #FILE"),
        (["test.csv", "dev.csv"], "no training split"),
    ],
)
def test_what_cannot_be_used_says_why(paths: list[str], why_not: str) -> None:
    chosen = choose_files(paths)
    assert chosen.files == {}
    assert why_not in chosen.why_not


def test_of_several_parts_the_first_is_taken_and_said() -> None:
    chosen = choose_files([f"train-0000{i}-of-00003.parquet" for i in range(3)])
    assert chosen.files == {"train": "train-00000-of-00003.parquet"}
    assert "first of up to 3 parts" in chosen.note


def test_one_of_several_configurations_is_said() -> None:
    assert "one of 2" in choose_files(["a/train.csv", "b/train.csv"]).note


def test_the_card_decides_before_names_do() -> None:
    card = {
        "configs": [
            {"config_name": "old", "data_files": [{"split": "train", "path": "old/*.csv"}]},
            {
                "config_name": "new",
                "default": True,
                "data_files": [
                    {"split": "train", "path": ["new/t*.csv"]},
                    {"split": "test", "path": "new/h.csv"},
                ],
            },
        ]
    }
    chosen = choose_files(["old/train.csv", "new/t.csv", "new/h.csv"], card)
    assert chosen.files == {"train": "new/t.csv", "test": "new/h.csv"}
    assert "configuration new, one of 2" in chosen.note


@pytest.mark.parametrize(
    "configs", [None, "x", [1], [{"data_files": 3}], [{"data_files": [{"split": "train"}]}]]
)
def test_a_card_that_makes_no_sense_is_passed_over(configs: Any) -> None:
    assert choose_files(["train.csv"], {"configs": configs}).files == {"train": "train.csv"}


def test_a_named_file() -> None:
    assert choose_files(["a.csv", "b.csv"], named="b.csv").files == {"train": "b.csv"}
    assert "no file c.csv" in choose_files(["a.csv"], named="c.csv").why_not


@pytest.mark.parametrize(
    ("path", "split"), [("contrast.csv", None), ("latest.csv", None), ("x/TRAIN.csv", "train")]
)
def test_a_split_is_a_word_not_a_part_of_one(path: str, split: str | None) -> None:
    assert split_of(path) == split
