"""Replies at the approval: settings, wishes, and what cannot be changed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graph.understanding.changes import SETTINGS, read_change


@pytest.mark.parametrize(
    ("text", "changes"),
    [
        ("minutes=5 epochs=1", {"minutes": 5.0, "epochs": 1}),
        ("epochs = 2, lr = 3e-5", {"epochs": 2, "learning_rate": 3e-5}),
        ("use 3 epochs", {"epochs": 3}),
        ("three epochs please", {"epochs": 3}),
        ("max 10 minutes", {"minutes": 10.0}),
        ("within half an hour", {"minutes": 30.0}),
        ("take at most 2 hours", {"minutes": 120.0}),
        ("batch size 16", {"batch_size": 16}),
        ("batch size of 8 and gradient accumulation 4", {"batch_size": 8, "gradient_accumulation": 4}),
        ("set the learning rate to 2e-5", {"learning_rate": 2e-5}),
        ("head learning rate 0.001", {"head_learning_rate": 0.001}),
        ("head_learning_rate=1e-3 learning_rate=1e-5", {"head_learning_rate": 1e-3, "learning_rate": 1e-5}),
        ("max length 128", {"max_length": 128}),
        ("freeze 4 layers", {"frozen_layers": 4}),
        ("frozen_layers=0", {"frozen_layers": 0}),
        ("don't freeze layers", {"frozen_layers": 0}),
        ("do not freeze any layers", {"frozen_layers": 0}),
        ("seed 42", {"seed": 42}),
        ("only 2,000 rows", {"max_train_rows": 2000}),
        ("10k rows", {"max_train_rows": 10_000}),
        ("label smoothing 0.1", {"label_smoothing": 0.1}),
        ("typo augmentation 20%", {"typo_augmentation": 0.2}),
        ("no class weights", {"class_weights": "off"}),
        ("use class weights", {"class_weights": "on"}),
        ("class_weights=auto", {"class_weights": "auto"}),
        ("lower learning rate", {"learning_rate": 1e-4}),
        ("nur 2 Epochen", {"epochs": 2}),
        ("MINUTES=5 EPOCHS=1", {"minutes": 5.0, "epochs": 1}),
        ("`epochs=2`", {"epochs": 2}),
        ("use 2 epochs and lower learning rate", {"epochs": 2, "learning_rate": 1e-4}),
    ],
)
def test_settings_are_read(text: str, changes: dict[str, Any]) -> None:
    assert read_change(text) == changes


@pytest.mark.parametrize(
    "text", ["make it smaller", "cheaper", "faster please", "make it quicker", "fewer epochs", "schneller"]
)
def test_wishes_for_less_shorten_training(text: str) -> None:
    changes = read_change(text)
    assert isinstance(changes, dict)
    assert changes["epochs"] == 1


def test_a_wish_leaves_what_the_person_set() -> None:
    changes = read_change("faster, but 2 epochs")
    assert isinstance(changes, dict)
    assert changes["epochs"] == 2


def test_shorter_texts_are_no_wish_for_a_shorter_training() -> None:
    assert read_change("shorter texts") == {"max_length": 64}
    assert read_change("smaller batch size") == {"batch_size": 8}


def test_a_wish_for_more_lengthens_training() -> None:
    changes = read_change("I want it better")
    assert isinstance(changes, dict)
    assert changes["epochs"] > 3


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "could not read a change"),
        ("banana", "could not read a change"),
        ("optimizer=sgd", 'no setting "optimizer"'),
        ("use a GPU", "intern doctor"),
        ("run it on an H100", "intern doctor"),
        ("epochs=1000", "epochs has to be a whole number from 0 to 100"),
        ("epochs=1.5", "epochs has to be a whole number"),
        ("learning rate 5", "learning_rate has to be a number from 1e-07 to 0.1"),
        ("minutes=0", "minutes has to be"),
        ("seed=-1", "seed has to be"),
        ("label smoothing 2", "label_smoothing has to be"),
    ],
)
def test_what_cannot_be_changed_is_one_sentence(text: str, says: str) -> None:
    answer = read_change(text)
    assert isinstance(answer, str)
    assert says in answer
    assert "\n" not in answer


@given(st.text(max_size=300))
def test_any_text_gives_changes_or_a_sentence(text: str) -> None:
    answer = read_change(text)
    if isinstance(answer, str):
        assert answer.isprintable()
    else:
        assert answer.keys() <= {s.key for s in SETTINGS} | {"class_weights"}


@given(st.sampled_from(SETTINGS), st.floats(-1e6, 1e6) | st.integers(-100, 10_000))
def test_no_value_outside_its_range_gets_through(setting: Any, value: float) -> None:
    answer = read_change(f"{setting.key}={value}")
    if isinstance(answer, dict):
        assert setting.low <= answer[setting.key] <= setting.high
