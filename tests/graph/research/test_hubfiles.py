"""Which files of a Hub data set are read, over layouts that exist there."""

from __future__ import annotations

from typing import Any

import pytest

from graph.research import hubfiles
from graph.research.hubfiles import Chosen, choose_files, split_of, within_bounds


def first_of(chosen: Chosen) -> dict[str, str]:
    """Where each split lies in one file."""
    assert all(len(parts) == 1 for parts in chosen.files.values())
    return {split: parts[0] for split, parts in chosen.files.items()}


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
    assert first_of(choose_files(paths)) == expected


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


SHARDS = tuple(f"data/train-0000{i}-of-00004.parquet" for i in range(4))


@pytest.mark.parametrize(
    ("paths", "parts"),
    [
        (SHARDS, SHARDS),
        (("train-1.csv", "train-2.csv", "train-10.csv"), ("train-1.csv", "train-10.csv", "train-2.csv")),
        (("train/part0.jsonl", "train/part1.jsonl"), ("train/part0.jsonl", "train/part1.jsonl")),
        (("train/0000.json", "train/0001.json"), ("train/0000.json", "train/0001.json")),
        (("rows-0.csv", "rows-1.csv"), ("rows-0.csv", "rows-1.csv")),
        (
            ("data/part-00000.jsonl", "data/part-00001.jsonl"),
            ("data/part-00000.jsonl", "data/part-00001.jsonl"),
        ),
    ],
)
def test_the_parts_of_a_split_are_taken_together(paths: tuple[str, ...], parts: tuple[str, ...]) -> None:
    chosen = choose_files([*paths, "README.md"])
    assert chosen.files.get("train", ()) == parts
    assert chosen.note == ""


@pytest.mark.parametrize("others", [("train_v1.csv", "train_v2.csv"), ("train_full.csv", "train_small.csv")])
def test_other_files_of_the_same_split_are_no_parts(others: tuple[str, ...]) -> None:
    chosen = choose_files(others)
    assert chosen.files == {"train": (others[0],)}
    assert chosen.note == "of several files for train the first"


def test_the_card_says_what_the_parts_are() -> None:
    card = {"configs": [{"config_name": "default", "data_files": [{"split": "train", "path": "*/*.csv"}]}]}
    assert choose_files(["a/x.csv", "b/y.csv"], card).files == {"train": ("a/x.csv", "b/y.csv")}


@pytest.mark.parametrize(
    ("pattern", "path", "found"),
    [
        ("*.csv", "train.csv", True),
        ("*.csv", "old/train.csv", False),
        ("data/train-*", "data/train-00000-of-00002.parquet", True),
        ("data/train-*", "data/train-old/x.parquet", False),
        ("./data/*.csv", "data/a.csv", True),
        ("**/*.csv", "a/b/c.csv", True),
        ("**/*.csv", "c.csv", True),
        ("data/**", "data/a/b.csv", True),
        ("data/**/train/*", "data/en/new/train/x.csv", True),
        ("data/**/train/*", "data/en/new/test/x.csv", False),
        ("data", "data/x.csv", False),
        ("data/x.csv/*", "data/x.csv", False),
        ("[ab].csv", "b.csv", True),
        ("*a" * 40 + "b", "a" * 200, False),
        ("**/" * 30 + "x", "a/" * 30 + "b", False),
        ("**/" * 5000 + "x", "x", False),
    ],
)
def test_patterns_of_a_card(pattern: str, path: str, found: bool) -> None:
    assert hubfiles.matches(path, pattern) is found


def test_parts_are_read_while_they_are_small_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hubfiles, "PARQUET_BYTES", 100)
    tests = tuple(f"data/test-0000{i}-of-00002.parquet" for i in range(2))
    chosen = choose_files([*SHARDS, *tests])
    read = within_bounds(chosen, dict.fromkeys(SHARDS, 30) | dict.fromkeys(tests, 10))
    assert read.files == {"train": (SHARDS[0], SHARDS[2]), "test": tests}  # spread, and test before train
    assert read.left_out == {"train": "2 of 4 files, 50 % of the bytes"}


def test_the_first_part_is_read_whatever_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hubfiles, "PARQUET_BYTES", 100)
    read = within_bounds(choose_files(SHARDS), dict.fromkeys(SHARDS, 1000))
    assert read.files == {"train": SHARDS[:1]}
    assert read.left_out == {"train": "1 of 4 files, 25 % of the bytes"}


def test_very_many_parts_are_not_all_fetched() -> None:
    read = within_bounds(choose_files([f"train-{i:05}.csv" for i in range(1000)]), {})
    assert len(read.files["train"]) == hubfiles.MAX_PARTS
    assert read.left_out == {"train": "64 of 1000 files, 6 % of the bytes"}


def test_all_of_it_is_not_worth_a_word() -> None:
    assert within_bounds(choose_files(SHARDS), dict.fromkeys(SHARDS, 5)).left_out == {}


def test_parts_that_are_not_there_are_said() -> None:
    read = within_bounds(choose_files(SHARDS[:3]), dict.fromkeys(SHARDS, 5))
    assert read.left_out == {"train": "3 of 4 files, the others are not there"}


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
    assert first_of(chosen) == {"train": "new/t.csv", "test": "new/h.csv"}
    assert "configuration new, one of 2" in chosen.note


@pytest.mark.parametrize(
    "configs", [None, "x", [1], [{"data_files": 3}], [{"data_files": [{"split": "train"}]}]]
)
def test_a_card_that_makes_no_sense_is_passed_over(configs: Any) -> None:
    assert first_of(choose_files(["train.csv"], {"configs": configs})) == {"train": "train.csv"}


def test_a_named_file() -> None:
    assert first_of(choose_files(["a.csv", "b.csv"], named="b.csv")) == {"train": "b.csv"}
    assert "no file c.csv" in choose_files(["a.csv"], named="c.csv").why_not


@pytest.mark.parametrize(
    ("path", "split"), [("contrast.csv", None), ("latest.csv", None), ("x/TRAIN.csv", "train")]
)
def test_a_split_is_a_word_not_a_part_of_one(path: str, split: str | None) -> None:
    assert split_of(path) == split


def test_a_file_that_two_patterns_of_a_card_mean_is_read_once() -> None:
    entries = [{"split": "train", "path": "a*.csv"}, {"split": "train", "path": ["*1.csv", "b2.csv"]}]
    found = choose_files(["a1.csv", "b1.csv", "b2.csv"], {"configs": [{"data_files": entries}]})
    assert found.files == {"train": ("a1.csv", "b1.csv", "b2.csv")}


def test_the_same_rows_in_two_formats_are_read_once() -> None:
    card = {"configs": [{"data_files": [{"split": "train", "path": "data/*"}]}]}
    names = ["data/train.csv", "data/train.parquet"]
    assert choose_files(names, card).files == {"train": ("data/train.parquet",)}
    parts = ["data/a.csv", "data/b.csv", "data/notes.json"]
    assert choose_files(parts, card).files == {"train": ("data/a.csv", "data/b.csv")}


@pytest.mark.parametrize("name", ["{}_{}.csv", "{}_fold_{}.csv", "{}-fold{}.csv"])
def test_the_folds_of_a_cross_validation_are_no_parts(name: str) -> None:
    """Together they hold all rows twice: none would be left to train on."""
    found = choose_files([name.format(split, number) for split in ("train", "test") for number in range(11)])
    assert first_of(found) == {"train": name.format("train", 0), "test": name.format("test", 0)}
    assert "the first" in found.note


@pytest.mark.parametrize("word", ["fold", "seed", "run"])
def test_a_number_that_counts_something_else_is_no_part(word: str) -> None:
    found = choose_files([f"train_{word}_1.csv", f"train_{word}_2.csv", "test.csv"])
    assert first_of(found) == {"train": f"train_{word}_1.csv", "test": "test.csv"}


@pytest.mark.parametrize("name", ["{}-0000{}.csv", "{}/part-{}.csv", "{}_202{}.csv", "{}-{}-of-2.csv"])
def test_parts_of_two_splits_with_the_same_numbers_are_parts(name: str) -> None:
    found = choose_files([name.format(split, number) for split in ("train", "test") for number in range(2)])
    assert found.files == {
        split: (name.format(split, 0), name.format(split, 1)) for split in ("train", "test")
    }
