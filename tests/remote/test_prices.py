"""Prices and speeds: pure functions, so every rule of theirs is checked by numbers."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from remote import prices, speeds
from remote.backend import Need, Offer

TABLE = prices.load("modal")
LADDER = ["T4", "L4", "A10", "L40S", "A100-40GB", "A100-80GB", "H100", "H200", "B200"]


def offers(need: Need, table: prices.PriceTable = TABLE, estimated_s: float = 1200.0) -> list[Offer]:
    return prices.offers(table, need, estimated_s, backend="modal", isolation="modal", reference_cores=2)


def test_the_table_has_a_source_a_date_and_a_ladder_from_cheap_to_dear() -> None:
    assert TABLE.source
    assert TABLE.as_of == "2026-11-20"
    assert [gpu.name for gpu in TABLE.gpus] == LADDER
    rates = [gpu.usd_per_s for gpu in TABLE.gpus]
    assert rates == sorted(rates, key=lambda rate: rate or 0.0)


def test_a_gpu_is_found_by_name_alias_and_count() -> None:
    found = {
        wanted: prices.find_gpu(TABLE, wanted) for wanted in ("h100", "A100", "a10g", "H100:8", "A100-80gb:2")
    }
    assert {wanted: pair and (pair[0].name, pair[1]) for wanted, pair in found.items()} == {
        "h100": ("H100", 1),
        "A100": ("A100-40GB", 1),
        "a10g": ("A10", 1),
        "H100:8": ("H100", 8),
        "A100-80gb:2": ("A100-80GB", 2),
    }


@pytest.mark.parametrize("wanted", ["B200-of-another-planet", "H100:0", "H100:9", "H100:x", "H100:-1", ""])
def test_what_the_provider_does_not_have_is_no_offer(wanted: str) -> None:
    assert prices.find_gpu(TABLE, wanted) is None
    assert offers(Need(gpu=wanted)) == []


def test_what_a_second_costs_is_gpu_and_three_times_processor_and_memory() -> None:
    t4 = TABLE.gpus[0]
    host = 2 * 0.0000131 + 8 * 0.00000222
    assert prices.usd_per_s(TABLE, None, 0, 2, 8192) == pytest.approx(3 * host)
    assert prices.usd_per_s(TABLE, t4, 1, 2, 8192) == pytest.approx(0.000164 + 3 * host)
    assert prices.usd_per_s(TABLE, t4, 4, 2, 8192) == pytest.approx(4 * 0.000164 + 3 * host)


def test_an_offer_adds_the_cold_start_and_multiplies() -> None:
    offer = offers(Need(gpu="T4", memory_mb=8192))[0]
    assert offer.estimated_s == pytest.approx(1200 / 12 + TABLE.cold_start_s)
    assert offer.usd_per_hour is not None
    assert offer.estimated_usd == pytest.approx(offer.usd_per_hour * offer.estimated_s / 3600, abs=1e-4)
    assert offer.hardware == "T4 (16 GB), 2 CPU cores, 8 GB"
    assert (offer.price_source, offer.price_as_of) == (TABLE.source, TABLE.as_of)


def test_without_a_gpu_asked_for_the_whole_ladder_is_offered_and_dearer_is_faster() -> None:
    every = offers(Need())
    assert [prices.gpu_of(offer.hardware) for offer in every] == [None, *LADDER]
    cpu, t4, h100, b200 = every[0], every[1], every[7], every[9]
    assert cpu.estimated_s > t4.estimated_s > h100.estimated_s > b200.estimated_s


def test_an_unknown_price_is_none_and_never_a_guess() -> None:
    gpus = (replace(TABLE.gpus[0], usd_per_s=None), *TABLE.gpus[1:])
    t4, l4 = offers(Need(), replace(TABLE, gpus=gpus))[1:3]
    assert (t4.usd_per_hour, t4.estimated_usd) == (None, None)
    assert l4.estimated_usd is not None
    assert all(
        offer.estimated_usd is None for offer in offers(Need(), replace(TABLE, cpu_core_usd_per_s=None))
    )


def test_speed_grows_with_cores_and_gpus_and_takes_what_was_measured() -> None:
    t4 = TABLE.gpus[0]
    assert prices.relative_speed(None, 0, 2, 2) == 1.0
    assert prices.relative_speed(None, 0, 8, 2) > prices.relative_speed(None, 0, 4, 2) > 1.0
    assert prices.relative_speed(t4, 1, 2, 2) == pytest.approx(12.0)
    assert prices.relative_speed(t4, 1, 2, 16) < 12.0  # a faster machine here gains less
    assert 12.0 < prices.relative_speed(t4, 2, 2, 2) < 24.0
    assert prices.relative_speed(t4, 1, 2, 2, {"T4": 0.5}) == pytest.approx(6.0)


@pytest.mark.parametrize("wanted", ["H100", "A100-80GB:2"])
def test_hardware_says_which_gpu_to_ask_for(wanted: str) -> None:
    offer = offers(Need(gpu=wanted))[0]
    assert prices.gpu_of(offer.hardware) == wanted
    assert prices.gpu_of("4 CPU cores, 8 GB") is None


def test_every_gpu_has_its_cores() -> None:
    assert prices.cores_for(Need()) == 4
    assert prices.cores_for(Need(gpu="H100")) == 2
    assert prices.cores_for(Need(gpu="H100:8")) == 16
    assert prices.cores_for(Need(gpu="H100:8", cpus=3)) == 3
    assert "16 CPU cores" in offers(Need(gpu="H100:8"))[0].hardware


def live(**rates: str) -> prices.PriceTable:
    return prices.with_live_rates(TABLE, {k: Decimal(v) for k, v in rates.items()}, "live", "2026-12-01")


def rate_of(table: prices.PriceTable, name: str) -> float | None:
    return next(gpu.usd_per_s for gpu in table.gpus if gpu.name == name)


def test_live_rates_replace_the_table_whatever_their_unit_and_spelling() -> None:
    table = live(
        gpu_h100="0.001", NVIDIA_A100_80GB="2.6", A100_40GB="0.0006", L40S="2.0", L4="0.00023", A10G="1.1"
    )
    assert (table.source, table.as_of) == ("live", "2026-12-01")
    assert rate_of(table, "H100") == pytest.approx(0.001)
    assert rate_of(table, "A100-80GB") == pytest.approx(2.6 / 3600)
    assert rate_of(table, "A100-40GB") == pytest.approx(0.0006)
    assert rate_of(table, "L40S") == pytest.approx(2.0 / 3600)
    assert rate_of(table, "L4") == pytest.approx(0.00023)
    assert rate_of(table, "A10") == pytest.approx(1.1 / 3600)


def test_a_live_rate_that_is_missing_or_in_no_known_unit_is_unknown() -> None:
    table = live(gpu_h100="42", cpu="0.0000131", memory="0.00000222")
    assert rate_of(table, "H100") is None
    assert rate_of(table, "T4") is None
    assert table.cpu_core_usd_per_s == pytest.approx(0.0000131)


def test_a_sandboxs_own_rates_are_not_multiplied_again() -> None:
    table = live(cpu="0.0000131", memory="0.00000222", sandbox_cpu="0.0000394", sandbox_memory="0.0000067")
    assert table.sandbox_factor == 1.0
    assert prices.usd_per_s(table, None, 0, 1, 1024) == pytest.approx(0.0000394 + 0.0000067)
    only_functions = live(cpu="0.0000131", memory="0.00000222")
    assert prices.usd_per_s(only_functions, None, 0, 1, 1024) == pytest.approx(3 * 0.00001532)


def test_a_provider_without_a_section_is_named(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="nobody"):
        prices.load("nobody")


def test_several_of_each_gpu_are_offered_where_they_are_asked_for() -> None:
    one, four = offers(Need()), offers(Need(gpus=4))
    assert [prices.gpus_of(offer.hardware) for offer in four] == [None, *((name, 4) for name in LADDER)]
    assert four[0] == one[0]  # the processor stays what it is
    assert four[1].estimated_s < one[1].estimated_s
    assert (four[1].usd_per_hour or 0) > 3 * (one[1].usd_per_hour or 0)


@pytest.mark.parametrize(
    ("hardware", "gpus"),
    [
        ("T4 (16 GB), 2 CPU cores, 8 GB", ("T4", 1)),
        ("H100:8 (80 GB), 16 CPU cores, 8 GB", ("H100", 8)),
        ("l4x4 (4 × L4, 24 GB), 48 vCPU, 186 GB", ("L4", 4)),
        ("a10g-small (1 × Nvidia A10G, 24 GB), 4 vCPU, 15 GB", ("A10G", 1)),
        ("cpu-basic (no GPU), 2 vCPU, 16 GB", None),
        ("4 CPU cores, 8 GB", None),
    ],
)
def test_the_gpus_of_an_offer_are_read_from_any_provider(hardware: str, gpus: tuple[str, int] | None) -> None:
    assert prices.gpus_of(hardware) == gpus


def test_an_estimate_has_a_low_and_a_high_which_runs_bring_together() -> None:
    def t4(corrections: dict[str, float]) -> Offer:
        return prices.offers(
            TABLE,
            Need(gpu="T4"),
            1200.0,
            backend="m",
            isolation="m",
            reference_cores=2,
            corrections=corrections,
        )[0]

    unknown, measured = t4({}), t4({"T4": 0.5})
    for offer in (unknown, measured):
        assert (offer.low_usd or 0) < (offer.estimated_usd or 0) < (offer.high_usd or 0)
    assert measured.estimated_s > 1.5 * unknown.estimated_s
    spreads = [(o.high_usd or 0) / (o.low_usd or 1) for o in (unknown, measured)]
    assert spreads[1] < spreads[0]


def manifest(**changes: object) -> dict[str, object]:
    seconds = {"training_here": 1200.0, "training_actual": 200.0} | changes
    hardware = seconds.pop("hardware", "T4 (16 GB), 2 CPU cores, 8 GB")
    return {
        "seconds": seconds,
        "hardware": hardware,
        "training": {"stopped": seconds.pop("stopped", "epochs")},
    }


def test_finished_runs_correct_the_table() -> None:
    """A T4 counts as 12 times two cores; these runs saw 6, 3 and 6 times."""
    runs = [speeds.read(manifest(training_actual=s)) for s in (200.0, 400.0, 200.0)]
    assert speeds.learned([r for r in runs if r], 2) == {"T4": 0.5}
    on_hf = speeds.read(manifest(hardware="t4-small (1 × Nvidia T4, 16 GB), 4 vCPU, 15 GB"))
    assert on_hf
    assert speeds.learned([on_hf], 2) == {"T4": 0.5}
    here = speeds.read(manifest(hardware="2 CPU cores, 8 GB", training_actual=1000.0))
    assert here
    assert speeds.learned([here], 2) == {"cpu": 1.2}


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"seconds": None, "hardware": "T4 (16 GB), 2 CPU cores", "training": {}},
        {**manifest(), "hardware": None},
        manifest(stopped="budget"),
        manifest(stopped="early"),
        manifest(training_here=20.0),
        manifest(training_actual=0.0),
        manifest(training_actual="soon"),
    ],
)
def test_what_cannot_be_compared_teaches_nothing(told: dict[str, object]) -> None:
    assert speeds.read(told) is None


def test_a_speed_beyond_belief_and_unknown_hardware_are_left_out() -> None:
    runs = [
        speeds.read(manifest(training_actual=1.0)),
        speeds.read(manifest(hardware="a quantum computer")),
        speeds.read(manifest(hardware="Z9 (16 GB), 2 CPU cores, 8 GB")),
    ]
    assert speeds.learned([r for r in runs if r], 2) == {}


@pytest.mark.parametrize(
    ("wanted", "model", "same"),
    [
        ("l4", "L4", True),
        ("l4", "L40S", False),
        ("a100", "A100-80GB", True),
        ("A100", "Nvidia A100", True),
        ("a10g", "A10", False),
        ("h100", "H200", False),
    ],
)
def test_a_model_is_not_taken_for_one_whose_name_begins_like_it(wanted: str, model: str, same: bool) -> None:
    assert prices.same_model(wanted, model) is same
