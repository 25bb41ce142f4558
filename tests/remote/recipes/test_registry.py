from __future__ import annotations

import subprocess
import sys
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remote.recipes.registry import EPOCH_STEPS, RECIPES

FACTS: dict[str, Any] = {
    "audit": {
        "rows": {"train": 4500, "validation": 500},
        "labels": [f"c{i}" for i in range(77)],
        "family": "multiclass",
        "imbalance": 3.0,
        "words_p95": 28.0,
    },
    "smoke": {
        "rows_per_s": {"embed": 420.0, "train_full": 140.0, "train_frozen_half": 270.0},
        "startup_s": 6.0,
        "hidden_layers": 6,
    },
    "minutes": None,
    "overrides": {},
    "baseline_only": False,
    "speed": 1.0,
}
recipe = RECIPES.for_family("multiclass")


def planned(**facts: Any) -> tuple[dict[str, Any], dict[str, str], float]:
    plan, estimated_s = recipe.plan(FACTS | facts)
    assert len({name for name, _, _ in plan}) == len(plan)
    return {n: v for n, v, _ in plan}, {n: why for n, _, why in plan}, estimated_s


def test_importing_it_is_light() -> None:
    code = "import sys, remote.recipes.registry as r; r.RECIPES.for_family('binary').defaults()"
    heavy = "sys.exit(bool({'torch', 'transformers', 'sklearn', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", f"{code}; {heavy}"], check=False).returncode == 0


def test_defaults_are_the_scripts_own() -> None:
    from remote.recipes.finetune.settings import Config

    own = {f.name: list(f.default) if isinstance(f.default, tuple) else f.default for f in fields(Config)}
    assert recipe.defaults() == own


def test_every_family_has_a_recipe_whose_files_exist() -> None:
    for family in ("binary", "multiclass", "multilabel", "regression"):
        found = RECIPES.for_family(family)
        assert found.script.is_file()
        assert all(list(folder.glob("*.py")) for folder in found.companions)
    with pytest.raises(ValueError, match="segmentation"):
        RECIPES.for_family("segmentation")


sizes = st.integers(1, 2_000_000)
rates = st.floats(1, 5000)


@given(sizes, rates, rates, st.one_of(st.none(), st.floats(0.2, 600)), st.sampled_from(recipe.families))
def test_any_plan_is_sound(rows: int, embed: float, train: float, minutes: float | None, family: str) -> None:
    audit = FACTS["audit"] | {"rows": {"train": rows, "validation": rows // 10}, "family": family}
    smoke = {"rows_per_s": {"embed": embed, "train_full": train, "train_frozen_half": 1.8 * train}}
    values, reasons, estimated_s = planned(audit=audit, smoke=smoke, minutes=minutes)
    assert values["epochs"] in EPOCH_STEPS
    assert set(values) <= set(recipe.defaults())
    assert all(reasons.values())
    assert estimated_s > 0
    assert (
        values["time_budget_s"] <= 1800
        if minutes is None
        else values["time_budget_s"] <= max(60 * minutes, 10)
    )
    assert values.get("max_train_rows", rows) <= rows or rows < 100
    assert ("label_smoothing" in values) == (family != "regression")


@given(st.floats(0.97, 1.03), st.floats(0.97, 1.03))
def test_small_jitter_of_the_speed_keeps_the_epochs(embed: float, train: float) -> None:
    rates_ = FACTS["smoke"]["rows_per_s"]
    smoke = FACTS["smoke"] | {
        "rows_per_s": {
            "embed": embed * rates_["embed"],
            "train_full": train * rates_["train_full"],
            "train_frozen_half": train * rates_["train_frozen_half"],
        }
    }
    steady, jittered = planned()[0], planned(smoke=smoke)[0]
    assert {k: v for k, v in steady.items() if k != "time_budget_s"} == {
        k: v for k, v in jittered.items() if k != "time_budget_s"
    }
    assert abs(steady["time_budget_s"] - jittered["time_budget_s"]) <= 30


def test_what_the_person_set_wins_and_says_so() -> None:
    values, reasons, longer_s = planned(overrides={"epochs": 6, "batch_size": 16, "dropout": 0.1})
    assert (values["epochs"], values["batch_size"], values["dropout"]) == (6, 16, 0.1)
    assert {reasons[name] for name in ("epochs", "batch_size", "dropout")} == {"You set this."}
    assert longer_s > planned()[2]
    assert planned(overrides={"minutes": 1})[0] == planned(minutes=1)[0]
    with pytest.raises(ValueError, match="epoch_count"):
        planned(overrides={"epoch_count": 3})


def test_less_time_means_less_work() -> None:
    (ample, _, ample_s), (short, why, short_s) = planned(), planned(minutes=1)
    assert short_s < ample_s
    assert (short["epochs"], -short["frozen_layers"]) < (ample["epochs"], -ample["frozen_layers"])
    assert "time" in why["epochs"]
    assert planned(speed=10.0)[2] < ample_s


def test_more_rows_than_time_are_sampled() -> None:
    audit = FACTS["audit"] | {"rows": {"train": 1_000_000, "validation": 1000}}
    values, reasons, _ = planned(audit=audit, minutes=2)
    assert 100 <= values["max_train_rows"] < 50_000
    assert "sample" in reasons["max_train_rows"]


def test_the_baseline_only_trains_nothing() -> None:
    values, reasons, estimated_s = planned(baseline_only=True, overrides={"epochs": 3})
    assert values["epochs"] == 0
    assert "baseline" in reasons["epochs"]
    assert estimated_s < planned()[2] / 2


def test_imbalance_turns_class_weights_on() -> None:
    assert planned()[0]["class_weights"] == "off"
    assert planned(audit=FACTS["audit"] | {"imbalance": 12.0})[0]["class_weights"] == "on"


def test_without_a_time_the_plan_follows_from_the_rows_and_not_from_a_busy_machine() -> None:
    quick, _, quick_s = planned()
    rates = {name: rate / 8 for name, rate in FACTS["smoke"]["rows_per_s"].items()}
    slow, _, slow_s = planned(smoke=FACTS["smoke"] | {"rows_per_s": rates})
    assert slow_s > 2 * quick_s
    for name in ("epochs", "frozen_layers", "batch_size", "learning_rate", "max_length"):
        assert slow[name] == quick[name]
