"""The ladders of remedies: what each kind gets, and what must hold whatever the settings are."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graph.names import FailureKind, Stage
from graph.remedies import Limits, Remedy, config_diff, remedy
from graph.routes import MAX_ATTEMPTS
from graph.state import Attempt
from remote.recipes.registry import Registry

CONFIG: Mapping[str, Any] = {
    "batch_size": 32,
    "gradient_accumulation": 1,
    "gradient_checkpointing": False,
    "max_length": 128,
    "frozen_layers": 0,
    "learning_rate": 2e-4,
    "head_learning_rate": 2e-3,
    "warmup_fraction": 0.05,
    "max_grad_norm": 1.0,
    "precision": "auto",
    "epochs": 3,
    "label_smoothing": 0.0,
    "patience": 2,
}
PLACES = [
    FailureKind.NO_CREDIT,
    FailureKind.NO_CAPACITY,
    FailureKind.NO_TOKEN,
    FailureKind.UNREACHABLE,
    FailureKind.DENIED,
]


def climb(
    kind: FailureKind, config: Mapping[str, Any], limits: Limits
) -> list[tuple[Remedy, Mapping[str, Any]]]:
    """Fail with ``kind`` until the remedies end; each remedy with the settings that it leads to."""
    attempts: list[Attempt] = []
    steps: list[tuple[Remedy, Mapping[str, Any]]] = []
    for _ in range(MAX_ATTEMPTS + 3):
        found = remedy(kind, config, attempts, limits)
        if found is None:
            break
        config = {**config, **found.changes}
        steps.append((found, config))
        if found.action == "ask":
            break
        attempts.append(Attempt(Stage.WATCH, kind, "it failed", found.text))
    return steps


def changes(steps: list[tuple[Remedy, Mapping[str, Any]]]) -> list[dict[str, Any]]:
    return [dict(found.changes) for found, _ in steps]


def test_out_of_memory_halves_twice_then_gives_up_ever_more() -> None:
    assert changes(climb(FailureKind.OUT_OF_MEMORY, CONFIG, {})) == [
        {"batch_size": 16, "gradient_accumulation": 2},
        {"batch_size": 8, "gradient_accumulation": 4},
        {"gradient_checkpointing": True},
        {"max_length": 64},
        {"frozen_layers": 3},
    ]


def test_out_of_memory_with_a_batch_of_one_starts_with_checkpointing() -> None:
    first = remedy(FailureKind.OUT_OF_MEMORY, {**CONFIG, "batch_size": 1}, [], {})
    assert first is not None
    assert first.changes == {"gradient_checkpointing": True}
    assert first.raises_cost  # it is slower


def test_out_of_memory_goes_on_from_a_checkpoint_while_the_model_stays_the_same() -> None:
    steps = [s for s, _ in climb(FailureKind.OUT_OF_MEMORY, CONFIG, {"checkpoint": True})]
    assert [s.action for s in steps] == ["resume", "resume", "resume", "retry", "retry"]
    assert {s.action for s, _ in climb(FailureKind.OUT_OF_MEMORY, CONFIG, {})} == {"retry"}


def test_out_of_memory_asks_for_another_machine_when_nothing_is_left_to_save() -> None:
    bare = {**CONFIG, "batch_size": 1, "gradient_checkpointing": True, "max_length": 32, "frozen_layers": 5}
    first = remedy(FailureKind.OUT_OF_MEMORY, bare, [], {"hidden_layers": 6})
    assert first is not None
    assert (first.action, first.raises_cost) == ("next_offer", True)
    last = remedy(FailureKind.OUT_OF_MEMORY, bare, [], {"hidden_layers": 6, "offers_left": 0})
    assert last is not None
    assert last.action == "ask"


def test_nan_loss_lowers_the_rate_clips_and_leaves_low_precision() -> None:
    first = remedy(FailureKind.NAN_LOSS, {**CONFIG, "precision": "bf16"}, [], {})
    assert first is not None
    assert first.changes == {
        "learning_rate": 6e-5,
        "head_learning_rate": 6e-4,
        "max_grad_norm": 0.5,
        "precision": "fp32",
    }
    assert first.raises_cost
    assert "full precision" in first.text


def test_nan_loss_does_not_claim_to_change_a_precision_that_is_already_full() -> None:
    first = remedy(FailureKind.NAN_LOSS, CONFIG, [], {"precision": "fp32"})
    assert first is not None
    assert "precision" not in first.changes
    assert not first.raises_cost


@pytest.mark.parametrize("rate", [1e3, 0.5, math.inf, math.nan, -1.0, 0])
@pytest.mark.parametrize("kind", [FailureKind.NAN_LOSS, FailureKind.DIVERGED])
def test_an_absurd_rate_goes_straight_to_the_default(kind: FailureKind, rate: float) -> None:
    first = remedy(kind, {**CONFIG, "learning_rate": rate, "head_learning_rate": rate}, [], {})
    assert first is not None
    assert first.changes["learning_rate"] == 2e-4
    assert first.changes["head_learning_rate"] == 2e-3


def test_diverged_lowers_the_rate_with_a_longer_warm_up() -> None:
    steps = climb(FailureKind.DIVERGED, CONFIG, {})
    assert [c.get("warmup_fraction") for c in changes(steps)[:3]] == [0.1, 0.2, 0.3]
    assert [c.get("learning_rate") for c in changes(steps)[:3]] == [6e-5, 1.8e-5, 5.4e-6]
    assert steps[-1][0].action == "ask"


def test_overfit_stops_sooner_and_smooths_labels() -> None:
    first = remedy(FailureKind.OVERFIT, CONFIG, [], {})
    assert first is not None
    assert first.changes == {"epochs": 1, "label_smoothing": 0.1, "patience": 1}
    assert not first.raises_cost


def test_timeout_resumes_with_the_time_that_is_left() -> None:
    first = remedy(
        FailureKind.TIMEOUT, CONFIG, [], {"approved_s": 300.0, "spent_s": 200.0, "estimated_s": 250.0}
    )
    assert first is not None
    assert (first.action, first.changes, first.raises_cost) == ("resume", {"time_budget_s": 100.0}, False)


@pytest.mark.parametrize("limits", [Limits(), Limits(approved_s=300.0, spent_s=290.0, estimated_s=250.0)])
def test_timeout_with_nothing_left_trains_less_and_needs_a_new_approval(limits: Limits) -> None:
    first = remedy(FailureKind.TIMEOUT, CONFIG, [], limits)
    assert first is not None
    assert (first.action, first.changes) == ("retry", {"frozen_layers": 3, "epochs": 1})
    assert first.raises_cost


def test_preempted_resumes_with_the_same_settings_until_the_attempts_end() -> None:
    steps = climb(FailureKind.PREEMPTED, CONFIG, {})
    assert [(s.action, dict(s.changes), s.raises_cost) for s, _ in steps] == [
        ("resume", {}, False)
    ] * MAX_ATTEMPTS


def test_preempted_without_a_checkpoint_starts_again() -> None:
    first = remedy(FailureKind.PREEMPTED, CONFIG, [], {"checkpoint": False})
    assert first is not None
    assert first.action == "retry"


def test_preempted_late_needs_more_time_than_was_approved() -> None:
    first = remedy(
        FailureKind.PREEMPTED, CONFIG, [], {"approved_s": 100.0, "spent_s": 120.0, "estimated_s": 90.0}
    )
    assert first is not None
    assert first.raises_cost


@pytest.mark.parametrize("kind", PLACES)
def test_a_place_that_refuses_leads_to_the_next_offer_then_to_a_question(kind: FailureKind) -> None:
    steps = [s for s, _ in climb(kind, CONFIG, {})]
    assert [s.action for s in steps] == ["next_offer"] * 3 + ["ask"]
    assert all(s.raises_cost for s in steps[:-1])
    cheap = remedy(kind, CONFIG, [], {"approved_usd": 1.0, "next_offer_usd": 1.0})
    dear = remedy(kind, CONFIG, [], {"approved_usd": 1.0, "next_offer_usd": 1.01})
    assert cheap is not None
    assert dear is not None
    assert (cheap.raises_cost, dear.raises_cost) == (False, True)


def test_script_error_renames_then_restores_the_recipe_then_asks() -> None:
    steps = [
        s for s, _ in climb(FailureKind.SCRIPT_ERROR, CONFIG, {"mended_script": True, "own_script": True})
    ]
    assert [(s.action, s.script) for s in steps] == [
        ("retry", "mended"),
        ("retry", "recipe"),
        ("ask", "keep"),
    ]


@pytest.mark.parametrize(
    "kind",
    [FailureKind.SCRIPT_ERROR, FailureKind.DATA_ERROR, FailureKind.NO_DISK, FailureKind.NOT_ISOLATED],
)
def test_what_only_a_person_can_mend_is_asked_at_once(kind: FailureKind) -> None:
    assert [s.action for s, _ in climb(kind, CONFIG, {})] == ["ask"]


def test_unknown_is_retried_once() -> None:
    assert [s.action for s, _ in climb(FailureKind.UNKNOWN, CONFIG, {})] == ["retry", "ask"]


def test_attempts_of_other_kinds_do_not_use_up_a_ladder_but_count_towards_the_end() -> None:
    past = [Attempt(Stage.WATCH, FailureKind.PREEMPTED, "gone")] * (MAX_ATTEMPTS - 1)
    first = remedy(FailureKind.OUT_OF_MEMORY, CONFIG, past, {})
    assert first is not None
    assert first.changes == {"batch_size": 16, "gradient_accumulation": 2}
    assert remedy(FailureKind.OUT_OF_MEMORY, CONFIG, [*past, past[0]], {}) is None


def test_remedies_change_only_settings_that_the_recipe_has() -> None:
    known = dict(Registry().for_family("multiclass").defaults())
    assert CONFIG.keys() <= known.keys()
    for kind in FailureKind:
        for found, _ in climb(kind, known, {"approved_s": 300.0, "spent_s": 10.0}):
            assert found.changes.keys() <= known.keys()


# What holds of every remedy

numbers = st.one_of(st.none(), st.integers(-4, 10**6), st.floats(), st.text(max_size=3), st.booleans())
configs = st.one_of(
    st.dictionaries(st.sampled_from(sorted(CONFIG)), numbers),
    st.fixed_dictionaries(
        {
            "batch_size": st.integers(1, 256),
            "gradient_accumulation": st.integers(1, 16),
            "max_length": st.integers(8, 512),
            "frozen_layers": st.one_of(st.just("auto"), st.integers(0, 12)),
            "learning_rate": st.floats(1e-7, 1e3),
            "epochs": st.integers(0, 10),
            "precision": st.sampled_from(["auto", "bf16", "fp32"]),
        }
    ),
)
seconds = st.floats(0, 1e5)
limits_of_a_run = st.fixed_dictionaries(
    {},
    optional={
        "approved_s": seconds,
        "estimated_s": seconds,
        "spent_s": seconds,
        "approved_usd": seconds,
        "next_offer_usd": seconds,
        "offers_left": st.integers(0, 3),
        "hidden_layers": st.integers(1, 24),
        "precision": st.sampled_from(["bf16", "fp32"]),
        "checkpoint": st.booleans(),
        "mended_script": st.booleans(),
        "own_script": st.booleans(),
    },
)
kinds = st.sampled_from(FailureKind)


@given(kinds, configs, limits_of_a_run)
def test_every_climb_ends_and_every_step_says_why(
    kind: FailureKind, config: dict[str, Any], limits: Limits
) -> None:
    steps = climb(kind, config, limits)
    assert len(steps) <= MAX_ATTEMPTS
    assert steps
    for found, _ in steps:
        assert found.text.endswith(".")
        assert "\n" not in found.text
        assert found.kind is kind
        assert not (found.action in ("ask", "next_offer") and found.changes)


@given(kinds, configs, limits_of_a_run)
def test_no_remedy_is_tried_twice_for_nothing(
    kind: FailureKind, config: dict[str, Any], limits: Limits
) -> None:
    """Each step changes the settings, the script or the machine, but for what chance alone may mend."""
    by_chance = (FailureKind.PREEMPTED, FailureKind.UNKNOWN)
    seen = [dict(config)]
    for found, after in climb(kind, config, limits):
        if found.action == "retry" and found.script == "keep" and kind not in by_chance:
            assert repr(dict(after)) not in [repr(s) for s in seen]
        seen.append(dict(after))


@given(configs, limits_of_a_run)
def test_the_effective_batch_stays(config: dict[str, Any], limits: Limits) -> None:
    def effective(settings: Mapping[str, Any]) -> int:
        return settings["batch_size"] * settings.get("gradient_accumulation", 1)

    for _, after in climb(
        FailureKind.OUT_OF_MEMORY, {**config, "batch_size": 24, "gradient_accumulation": 3}, limits
    ):
        assert effective(after) == 24 * 3


@given(kinds, configs, limits_of_a_run)
def test_nothing_beyond_what_was_approved_runs_without_a_new_approval(
    kind: FailureKind, config: dict[str, Any], limits: Limits
) -> None:
    for found, _ in climb(kind, config, limits):
        if found.raises_cost or found.action == "ask":
            continue
        if found.action == "next_offer":
            assert limits["next_offer_usd"] <= limits["approved_usd"]
        elif "approved_s" in limits and "estimated_s" in limits:
            assert limits.get("spent_s", 0.0) <= limits["approved_s"]
        else:
            assert kind is not FailureKind.TIMEOUT
            assert not found.changes.get("gradient_checkpointing")
            assert "precision" not in found.changes


@given(st.sampled_from([FailureKind.NAN_LOSS, FailureKind.DIVERGED]), configs, limits_of_a_run)
def test_rates_only_fall_to_sane_values(kind: FailureKind, config: dict[str, Any], limits: Limits) -> None:
    for found, _ in climb(kind, config, limits):
        if "learning_rate" in found.changes:
            assert 0 < found.changes["learning_rate"] <= 3e-4
            assert 0 < found.changes["max_grad_norm"] <= 0.5
            assert 0.1 <= found.changes.get("warmup_fraction", 0.1) <= 0.3


# The trail


def test_config_diff_shows_only_what_differs() -> None:
    before = {"batch_size": 32, "epochs": 3, "labels": ["a", "b"]}
    after = {"batch_size": 16, "epochs": 3, "labels": ["a", "b"], "gradient_accumulation": 2}
    assert config_diff(before, after) == "-batch_size: 32\n+batch_size: 16\n+gradient_accumulation: 2"


def test_config_diff_keeps_a_value_on_its_line_whatever_it_holds() -> None:
    diff = config_diff({"label": "x"}, {"label": "a\n-epochs: 9\n" + "y" * 5000})
    assert diff.count("\n") == 1
    assert len(diff) < 300


def test_config_diff_of_equal_settings_is_empty() -> None:
    assert config_diff(CONFIG, dict(CONFIG)) == ""
