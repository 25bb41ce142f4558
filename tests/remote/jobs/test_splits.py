"""The split: seeded, stratified, with look-alikes and groups on one side."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remote.jobs.cleaning import clean_text, loose_key, spelled_alike
from remote.jobs.near_duplicates import near_duplicates
from remote.jobs.rows import Label, Row, read_rows, write_rows
from remote.jobs.splits import names, sample_rows, split_rows, strata
from remote.protocol import FailureKind, JobError

SHARES = {"validation": 0.1, "test": 0.2}


def singles(labels: Sequence[Label]) -> list[int]:
    return list(range(len(labels)))


def test_shares_hold_in_every_class() -> None:
    labels = ["a"] * 700 + ["b"] * 200 + ["c"] * 100
    splits = split_rows(labels, singles(labels), 0, SHARES)
    counts = Counter(zip(labels, splits, strict=True))
    for label, size in (("a", 700), ("b", 200), ("c", 100)):
        assert counts[label, "test"] == pytest.approx(0.2 * size, abs=1)
        assert counts[label, "validation"] == pytest.approx(0.1 * size, abs=1)


def test_rounding_does_not_add_up_over_many_classes() -> None:
    labels: list[Label] = [f"class {i % 300}" for i in range(300 * 13)]  # 1.3 and 2.6 rows a class
    splits = Counter(split_rows(labels, singles(labels), 3, SHARES))
    assert splits["validation"] == pytest.approx(390, abs=2)
    assert splits["test"] == pytest.approx(780, abs=2)


def test_a_class_of_three_rows_stands_in_every_split() -> None:
    labels: list[Label] = [f"class {i // 3}" for i in range(90)]
    counts = Counter(zip(labels, split_rows(labels, singles(labels), 0, SHARES), strict=True))
    assert set(counts.values()) == {1}
    assert len(counts) == 90


def test_the_seed_decides() -> None:
    labels: list[Label] = ["a", "b"] * 100
    assert split_rows(labels, singles(labels), 1, SHARES) == split_rows(labels, singles(labels), 1, SHARES)
    assert split_rows(labels, singles(labels), 1, SHARES) != split_rows(labels, singles(labels), 2, SHARES)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 30)), min_size=1, max_size=200),
    seed=st.integers(0, 10),
)
def test_clusters_stay_whole_and_train_knows_every_class(rows: list[tuple[str, int]], seed: int) -> None:
    labels: list[Label] = [label for label, _ in rows]
    clusters = [cluster for _, cluster in rows]
    splits = split_rows(labels, clusters, seed, SHARES)
    for cluster in set(clusters):
        assert len({split for c, split in zip(clusters, splits, strict=True) if c == cluster}) == 1
    in_train = {label for label, split in zip(labels, splits, strict=True) if split == "train"}
    assert in_train == set(labels)


def test_numbers_are_stratified_by_quantile() -> None:
    labels: list[Label] = [float(i * i) for i in range(1000)]
    splits = split_rows(labels, singles(labels), 0, SHARES)
    top = Counter(splits[900:])
    assert top["test"] == pytest.approx(20, abs=1)
    assert top["validation"] == pytest.approx(10, abs=1)


def test_multi_label_rows_are_stratified_by_their_rarest_class() -> None:
    assert strata([["common", "rare"], ["common"], ["common"], []]) == ["rare", "common", "common", ""]
    labels: list[Label] = [["common", "rare"] if i % 20 == 0 else ["common"] for i in range(400)]
    splits = split_rows(labels, singles(labels), 0, SHARES)
    rare = Counter(split for label, split in zip(labels, splits, strict=True) if "rare" in names(label))
    assert rare == {"train": 14, "validation": 2, "test": 4}


def test_a_sample_keeps_the_shares_and_every_class() -> None:
    labels = ["a"] * 800 + ["b"] * 190 + ["c"] * 10
    sample = sample_rows(labels, 100, seed=0)
    counts = Counter(labels[i] for i in sample)
    assert len(set(sample)) == 100
    assert counts["a"] == pytest.approx(80, abs=1)
    assert counts["c"] >= 1
    assert sample == sample_rows(labels, 100, seed=0) != sample_rows(labels, 100, seed=1)


def test_near_duplicates_are_found_and_different_texts_kept_apart() -> None:
    texts = [
        "Can you tell me why I haven't received my new card?",
        "can you tell me why I havent received my new card",
        "Can you tell me why I haven't received my new card yet?",
        "Why was I charged a fee for the withdrawal?",
        ":)",
        ":(",
        "",
    ]
    clusters = near_duplicates(texts).clusters
    assert clusters[0] == clusters[1] == clusters[2]
    assert len(set(clusters)) == 5


def test_every_look_alike_is_found_among_many() -> None:
    chance = random.Random(0)
    words = ["".join(chance.choices("abcdefghijklmnop", k=6)) for _ in range(500)]
    texts = [" ".join(chance.choices(words, k=20)) for _ in range(1000)]
    copies = [text + "x" for text in texts[:200]]  # similarity about 0.99
    clusters = near_duplicates(texts + copies).clusters
    assert [clusters[1000 + i] for i in range(200)] == list(range(200))
    assert clusters[:1000] == list(range(1000))


def test_many_equal_beginnings_cost_no_quadratic_time() -> None:
    found = near_duplicates(
        [f"{'the same long beginning of every single text ' * 30} {i}" for i in range(3000)]
    )
    assert found.largest > 1


@given(st.text())
def test_clean_text_is_stable_and_can_be_written(text: str) -> None:
    clean = clean_text(text)
    assert clean_text(clean) == clean
    assert not any(c in clean for c in "\r\0\x07\x0b\ufeff")
    clean.encode()
    assert loose_key(loose_key(text)) == loose_key(text)


def test_clean_text_mends_surrogates_and_newlines() -> None:
    assert clean_text(" a\r\nb\rc\u2028d\x00\ud800 ") == "a\nb\nc\nd\ufffd"


def test_spellings_go_to_the_most_frequent_one() -> None:
    assert spelled_alike(["Spam", "spam", "spam", "S pam", "ham"]) == {"Spam": "spam", "S pam": "spam"}


def test_rows_come_back_as_written(tmp_path: Path) -> None:
    rows = [
        Row(0, 'a "quoted"\nline \u2028 é', "x"),
        Row(1, "b", ["x", "y"], group="7", slices={"shop": "Köln"}),
        Row(2, "c", 1.5),
        Row(3, "d", []),
    ]
    path = write_rows(tmp_path / "deep" / "train.jsonl", rows)
    assert read_rows(path) == rows
    assert [entry.name for entry in path.parent.iterdir()] == ["train.jsonl"]


@pytest.mark.parametrize(
    "body", ["not json\n", '{"row_id": 1}\n', "[1]\n", '{"row_id":1,"text":"a","label":null}\n']
)
def test_a_broken_split_is_refused(tmp_path: Path, body: str) -> None:
    (tmp_path / "train.jsonl").write_text('{"row_id":0,"text":"a","label":"b"}\n' + body, encoding="utf-8")
    with pytest.raises(JobError, match=r"Line 2 of train\.jsonl") as caught:
        read_rows(tmp_path / "train.jsonl")
    assert caught.value.kind is FailureKind.DATA_ERROR
    with pytest.raises(JobError, match="missing"):
        read_rows(tmp_path / "test.jsonl")
