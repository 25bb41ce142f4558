"""What buttons carry, and what of it is believed."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.chat.incoming import Incoming, Kind, Person
from bot.discord.claims import MOST_CHARS, NO_LONGER_GOOD, VERBS, Claim, NotOurs, digest, resolved
from graph.deps import Event
from graph.names import EventType

parts = st.text(max_size=60)


@given(st.sampled_from([*VERBS, "drop"]), parts, parts, parts, parts)
def test_a_claim_that_can_be_written_is_read_back(
    verb: str, run: str, question: str, choice: str, plan: str
) -> None:
    claim = Claim(verb, run, question, choice, plan)
    try:
        said = claim.dump()
    except NotOurs:
        return
    assert len(said) <= MOST_CHARS
    assert Claim.load(said) == claim


@given(st.text(max_size=120))
def test_any_text_is_a_claim_or_refused(said: str) -> None:
    with suppress(NotOurs):
        assert Claim.load(said).dump() == said


@pytest.mark.parametrize(
    "said",
    [
        "",
        "intern",
        "intern:decide",
        "intern:drop:r1:::",
        "other:decide:r1:::",
        "intern:decide:r1:::::",
        "intern:decide:r1::%7A:",
    ],
)
def test_what_is_no_claim_of_ours_is_refused(said: str) -> None:
    with pytest.raises(NotOurs):
        Claim.load(said)


def test_the_longest_real_claim_fits() -> None:
    assert len(Claim("decide", "r" + "9" * 6, digest("q"), "24", digest("p")).dump()) < MOST_CHARS


def asked(question: str, *values: str, plan: str | None = None) -> Event:
    choices = [{"value": value, "label": value} for value in values]
    body = {"id": question, "choices": choices, "plan_hash": plan}
    return Event("r7k2mc", 1, "t", EventType.QUESTION_ASKED, None, {"question": body})


def click(question: str, choice: str, plan: str | None = None) -> Incoming:
    return Incoming(
        "k", Kind.ANSWER, Person("1"), "1/2", run_id="r7k2mc", value=choice,
        question_id=digest(question), plan_hash=digest(plan) or None,
    )  # fmt: skip


def test_a_click_is_resolved_to_the_question_that_was_asked() -> None:
    events = [asked("q1", "a", "b"), asked("q2", "c", plan="hash")]
    found = resolved(click("q2", "0", "hash"), events)
    assert (found.question_id, found.value, found.plan_hash) == ("q2", "c", "hash")
    found = resolved(click("q1", "1"), events)
    assert (found.question_id, found.value, found.plan_hash) == ("q1", "b", None)


def test_of_a_question_asked_twice_the_plan_tells_which() -> None:
    events = [asked("q", "a", plan="old"), asked("q", "b", plan="new")]
    assert resolved(click("q", "0", "old"), events).plan_hash == "old"
    assert resolved(click("q", "0", "new"), events).value == "b"


@pytest.mark.parametrize("plan", [None, "another"])
def test_a_plan_that_was_never_shown_is_not_taken_for_the_right_one(plan: str | None) -> None:
    assert resolved(click("q", "0", plan), [asked("q", "a", plan="hash")]).plan_hash not in (None, "hash")


@pytest.mark.parametrize("choice", ["1", "-1", "²", "a", "", "99999999999999999999"])
def test_a_choice_that_was_not_offered_is_answered_with_help(choice: str) -> None:
    found = resolved(click("q", choice), [asked("q", "a")])
    assert (found.kind, found.text) == (Kind.HELP, NO_LONGER_GOOD)


def test_a_question_that_was_never_asked_is_answered_with_help() -> None:
    assert resolved(click("q9", "0"), [asked("q", "a")]).kind is Kind.HELP
