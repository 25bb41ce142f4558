from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from graph.names import FailureKind
from graph.offers import falls_back_to, named, rank, usable
from graph.stages.plan import make_plan
from graph.state import Tried
from remote.backend import Offer


def offer(backend: str, hardware: str, seconds: float, usd: float | None) -> Offer:
    per_hour = None if usd is None else usd * 3600 / seconds
    return Offer(backend, hardware, per_hour, seconds, usd, "a list", "2026-11-20", "x")


HERE = offer("local", "2 cores", 1800, 0.0)
T4 = offer("modal", "T4 (16 GB), 2 CPU cores", 120, 0.02)
H100 = offer("modal", "H100 (80 GB), 2 CPU cores", 60, 0.10)
UNKNOWN = offer("hf_jobs", "l4x1", 90, None)
ALL = [H100, UNKNOWN, HERE, T4]


def test_what_is_free_and_soon_done_is_never_paid_for() -> None:
    soon = offer("local", "2 cores", 300, 0.0)
    assert rank([T4, soon, H100], 50.0)[0] is soon


def test_a_budget_buys_the_cheapest_that_is_much_faster() -> None:
    assert rank(ALL, 5.0)[0] is T4
    assert rank(ALL, 0.01)[0] is HERE
    assert rank(ALL, None)[0] is HERE


def test_without_a_free_machine_the_cheapest_known_price_is_shown() -> None:
    assert rank([UNKNOWN, H100, T4], None)[0] is T4
    assert rank([UNKNOWN], None) == [UNKNOWN]
    assert rank([], 5.0) == []


def test_the_chosen_machine_comes_first_and_the_others_by_price() -> None:
    assert rank(ALL, None, machine=named(H100)) == [H100, HERE, T4, UNKNOWN]


def test_a_backend_without_credit_is_closed_and_a_busy_machine_is_only_one() -> None:
    broke = [Tried("modal", T4.hardware, FailureKind.NO_CREDIT, "spend limit")]
    busy = [Tried("modal", T4.hardware, FailureKind.NO_CAPACITY, "no T4")]
    assert usable(ALL, broke) == [UNKNOWN, HERE]
    assert usable(ALL, busy) == [H100, UNKNOWN, HERE]


def test_a_fall_back_is_cheaper_and_not_slower_than_twice() -> None:
    plan = make_plan((), [H100], ())
    assert falls_back_to(T4, plan)  # exactly twice
    assert not falls_back_to(HERE, plan)
    assert not falls_back_to(UNKNOWN, plan)
    assert not falls_back_to(H100, make_plan((), [T4], ()))


def test_the_ceilings_of_money_and_time_are_one() -> None:
    plan = make_plan((), [T4, HERE], ())
    assert plan.usd_per_hour is not None
    assert plan.ceiling_usd == round(plan.usd_per_hour * plan.ceiling_s / 3600, 2)
    assert make_plan((), [UNKNOWN], ()).ceiling_usd is None
    assert plan.hash != make_plan((), [T4], ()).hash


@given(
    st.lists(
        st.builds(
            offer,
            st.sampled_from(["local", "modal"]),
            st.text("ab", max_size=3),
            st.floats(1, 1e5),
            st.none() | st.just(0.0) | st.floats(0.001, 100),
        ),
        max_size=6,
    ),
    st.none() | st.floats(0, 50),
)
def test_nothing_beyond_the_budget_is_chosen_where_something_within_it_is(
    offers: list[Offer], budget: float | None
) -> None:
    ranked = rank(offers, budget)
    assert sorted(map(repr, ranked)) == sorted(map(repr, offers))
    within = [o for o in offers if o.estimated_usd is not None and o.estimated_usd <= (budget or 0.0)]
    if within:
        assert ranked[0].estimated_usd is not None
        assert ranked[0].estimated_usd <= (budget or 0.0)
