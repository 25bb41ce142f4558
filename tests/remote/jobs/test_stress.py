from __future__ import annotations

from collections.abc import Callable
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remote.jobs import perturb
from remote.jobs.leaderboard import Contest
from remote.jobs.rows import Row
from remote.jobs.scores import Predicted
from remote.jobs.stress import _negated, pairs, sampled
from remote.jobs.suggestions import suggest
from remote.recipes.finetune.settings import Config
from tests.remote.jobs.conftest import Run

Make = Callable[[str], Run]
TESTS = {
    "typos", "casing", "punctuation", "paraphrase", "negation", "gibberish", "out-of-scope", "other language",
    "empty", "very long", "multi-intent",
}  # fmt: skip


@pytest.mark.parametrize("family", ["multiclass", "binary", "multilabel", "regression"])
def test_every_test_is_measured(assessed: Make, family: str) -> None:
    run = assessed(family)
    body = run.json("stress.json")
    names = {test["name"] for test in body["tests"]}
    assert names == (TESTS if family in ("multiclass", "binary") else TESTS - {"multi-intent"})
    for test in body["tests"]:
        assert test["kind"] in ("INV", "DIR", "MFT")
        assert test["n"] > 0
        assert test["after"]["low"] <= test["after"]["value"] <= test["after"]["high"]
        if test["kind"] == "INV":
            assert test["before"]["low"] <= test["before"]["value"] <= test["before"]["high"]
            assert 0 <= test["flip_rate"]["value"] <= 1
    findings = run.results["stress"]["findings"]
    assert [set(f) for f in findings] == [{"name", "kind", "before", "after", "detail"}] * len(names)


def test_gibberish_is_told_from_the_data_by_its_words(assessed: Make) -> None:
    outside = assessed("multiclass").json("stress.json")["out_of_distribution"]
    assert outside["gibberish"]["auroc_vocabulary_coverage"] > 0.95
    assert 0 <= outside["out-of-scope"]["auroc_max_softmax"] <= 1


def test_an_uncased_model_loses_nothing_under_other_case(assessed: Make) -> None:
    tests = {test["name"]: test for test in assessed("multiclass").json("stress.json")["tests"]}
    assert tests["casing"]["flip_rate"]["value"] == 0.0
    assert tests["typos"]["flip_rate"]["value"] > 0.0


def test_suggestions_are_ranked_and_their_settings_are_known_to_the_recipe(assessed: Make) -> None:
    found = assessed("multiclass").results["stress"]["suggestions"]
    losses = [item["measured_loss"] for item in found]
    assert losses == sorted(losses, reverse=True)
    assert any(item["id"].startswith("more_rows:") for item in found)
    typos = next(item for item in found if item["id"] == "typo_augmentation")
    assert typos["overrides"] == {"typo_augmentation": 0.3}
    for item in found:
        Config.from_mapping(item["overrides"] | {"labels": ["a", "b"]})


def test_a_model_without_weakness_gets_no_suggestion() -> None:
    calm = [
        {"name": name, "loss": 0.0, "n": 40, "sure_without_warning": 0.0}
        for name in ("typos", "casing", "punctuation", "negation", "gibberish", "out-of-scope")
    ]
    outside = {"out-of-scope": {"auroc_vocabulary_coverage": 1.0}}
    metrics = {
        "ece": {"value": 0.01},
        "per_class": {"a": {"f1": 1.0, "recall": 1.0, "support": 9}},
        "rows": 9,
    }
    among = Contest(np.zeros(1, dtype=int), "binary", ["a", "b"], "macro_f1", 0)
    assert suggest(calm, outside, metrics, among, {}, None) == []


def test_negation_has_a_direction_for_feelings_only() -> None:
    truth = np.array([0, 0, 1, 1])
    before = Predicted(truth, np.ones(4), np.zeros((4, 2)))
    after = Predicted(np.array([1, 1, 0, 1]), np.ones(4), np.zeros((4, 2)))
    body = {"flip_rate": {"value": 0.75, "low": 0.5, "high": 1.0}}
    feelings = Contest(truth, "binary", ["Negative", "Positive"], "macro_f1", 0)
    assert _negated(feelings, before, after, body)["loss"] == 0.25
    topics = Contest(truth, "binary", ["card", "loan"], "macro_f1", 0)
    assert _negated(topics, before, after, body)["loss"] is None


def test_rows_are_bounded_by_the_words_they_cost() -> None:
    short = [Row(i, "two words", "ab"[i % 2]) for i in range(2000)]
    long = [Row(i, "word " * 500, "ab"[i % 2]) for i in range(2000)]
    assert len(sampled(short, 0)) == 300
    assert len(sampled(long, 0)) == 40
    assert sampled(short, 0) == sampled(short, 0) != sampled(short, 1)


def test_two_concerns_are_of_two_classes() -> None:
    truth = np.array([0, 0, 0, 1, 1, 1])
    assert all(truth[a] != truth[b] for a, b in pairs(truth))
    assert pairs(np.zeros(6, dtype=int)) == []


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=200), st.integers(0, 5), st.sampled_from([None, "en", "de", "fr"]))
def test_any_text_can_be_changed_and_the_same_seed_changes_it_alike(
    text: str, seed: int, language: str | None
) -> None:
    def changed() -> list[str | None]:
        rng = Random(seed)
        return [
            perturb.typos(text, rng),
            perturb.casing(text, rng),
            perturb.punctuation(text, rng),
            perturb.paraphrase(text, rng, language),
            perturb.negation(text, language),
            perturb.joined(text, text),
        ]

    first = changed()
    assert first == changed()
    assert len(perturb.long(text)) == perturb.LONG_CHARS
    assert (first[3] is None) == (first[4] is None) == (language == "fr")


def test_changes_are_what_they_say() -> None:
    text = "I can't find where my new card is today"
    slipped = perturb.typos(text, Random(1))
    assert slipped != text
    assert abs(len(slipped) - len(text)) <= 2
    assert perturb.negation("the battery is good", "en") == "the battery is not good"
    assert perturb.negation("the battery is not good", "en") == "the battery is good"
    assert perturb.negation("Das ist gut", "de") == "Das ist nicht gut"
    assert perturb.negation("love it", "en") == "It is not true that love it"
    assert "{}" not in (perturb.paraphrase("a {} b", Random(0), "en") or "{}").replace("a {} b", "")
    assert "cannot" in (perturb.paraphrase(text, Random(0), "en") or "")
    assert all(code != "de" for code, _ in perturb.FOREIGN if _ in perturb.foreign("de"))
