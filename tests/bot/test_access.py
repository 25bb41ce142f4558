from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.access import Allowed, Refused, Rules, may_decide, parse_approvers, qualified
from bot.settings import load_settings
from graph.names import DecisionKind, Stage
from graph.state import Choice, Question, Request

REQUEST = Request("sort tickets", requester="U1", surface="slack")
LOCAL = Request("sort tickets", requester="anna", surface="console")
CHOICES = tuple(Choice(v, v) for v in ("approve", "baseline_only", "change", "cancel"))


def compute(price_usd: float | None) -> Question:
    return Question("q", DecisionKind.COMPUTE, Stage.APPROVE_COMPUTE, "?", CHOICES, price_usd=price_usd)


LLM = tuple(
    Question("r1:llm:x", DecisionKind.LLM, Stage.NEEDS_HUMAN, "?", (), price_usd=usd) for usd in (0.04, None)
)
PUBLISH = Question(
    "p",
    DecisionKind.PUBLISH,
    Stage.APPROVE_PUBLISH,
    "?",
    tuple(Choice(v, v) for v in ("keep", "private", "public")),
    free_text=True,
)
DATASET = Question("d", DecisionKind.DATASET, Stage.CHOOSE_DATASET, "?", (Choice("use:1", "x"),))
REMOTE = Rules(frozenset({"console:*"}), console_approves=False)
APPROVERS = Rules(parse_approvers("slack:U9, discord:42, slack-group:S1, discord-role:7"))


@pytest.mark.parametrize(
    ("rules", "question", "request_", "actor", "surface", "value", "allowed"),
    [
        (Rules(), DATASET, REQUEST, "U1", "slack", "use:1", True),
        (Rules(), DATASET, REQUEST, "U2", "slack", "use:1", False),
        (Rules(), DATASET, REQUEST, "U1", "discord", "use:1", False),
        (APPROVERS, DATASET, REQUEST, "U9", "slack", "use:1", True),
        (Rules(), compute(0.0), REQUEST, "U1", "slack", "approve", True),
        (Rules(), compute(4.0), REQUEST, "U1", "slack", "approve", False),
        (Rules(), compute(None), REQUEST, "U1", "slack", "approve", False),
        (Rules(), compute(4.0), REQUEST, "U1", "slack", "baseline_only", True),
        (Rules(), compute(4.0), REQUEST, "U1", "slack", "minutes=5", True),
        (APPROVERS, compute(4.0), REQUEST, "U9", "slack", "approve", True),
        (APPROVERS, compute(4.0), REQUEST, "42", "discord", "approve", True),
        (APPROVERS, compute(4.0), REQUEST, "U9", "discord", "approve", False),
        (Rules(), LLM[0], REQUEST, "U1", "slack", "without_llm", True),
        (Rules(), LLM[0], REQUEST, "U1", "slack", "use", False),
        (Rules(), LLM[1], REQUEST, "U1", "slack", "use", False),
        (APPROVERS, LLM[0], REQUEST, "U9", "slack", "use", True),
        (Rules(), LLM[0], LOCAL, "anna", "console", "use", True),
        (Rules(two_person_usd=0.01), LLM[0], LOCAL, "anna", "console", "use", False),
        (Rules(two_person_usd=1.0), LLM[1], LOCAL, "anna", "console", "use", False),
        (Rules(), PUBLISH, REQUEST, "U1", "slack", "keep", True),
        (Rules(), PUBLISH, REQUEST, "U1", "slack", "private", False),
        (Rules(), PUBLISH, REQUEST, "U1", "slack", "hub:evil/repo", False),
        (Rules(), PUBLISH, LOCAL, "anna", "console", "public", True),
        (Rules(), compute(4.0), LOCAL, "anna", "console", "approve", True),
        (Rules(console_approves=False), compute(4.0), LOCAL, "anna", "console", "approve", False),
        (
            Rules(frozenset({"console:*"}), None, False),
            compute(4.0),
            LOCAL,
            "bob",
            "console",
            "approve",
            True,
        ),
        (Rules(two_person_usd=3.0), compute(4.0), LOCAL, "anna", "console", "approve", False),
        (Rules(two_person_usd=3.0), compute(4.0), LOCAL, "bob", "console", "approve", True),
        (Rules(two_person_usd=3.0), compute(3.0), LOCAL, "anna", "console", "approve", True),
        (Rules(two_person_usd=3.0), compute(None), LOCAL, "anna", "console", "approve", False),
        (Rules(two_person_usd=0.0), compute(0.0), LOCAL, "anna", "console", "approve", True),
    ],
)
def test_who_may_decide_what(
    rules: Rules, question: Question, request_: Request, actor: str, surface: str, value: str, allowed: bool
) -> None:
    answer = may_decide(rules, question, request_, actor, surface, value)
    assert isinstance(answer, Allowed) is allowed
    if isinstance(answer, Refused):
        assert answer.reason.endswith((".", "APPROVERS."))


def test_a_group_that_the_surface_vouches_for_counts() -> None:
    assert isinstance(
        may_decide(APPROVERS, compute(4.0), REQUEST, "U5", "slack", "approve", {"slack-group:S1"}), Allowed
    )
    assert isinstance(
        may_decide(APPROVERS, compute(4.0), REQUEST, "U5", "slack", "approve", {"slack-group:S2"}), Refused
    )


def test_an_approver_who_asked_still_needs_a_second_person_above_the_price() -> None:
    rules = Rules(frozenset({"slack:U1", "slack:U9"}), two_person_usd=10.0)
    assert isinstance(may_decide(rules, compute(11.0), REQUEST, "U1", "slack", "approve"), Refused)
    assert isinstance(may_decide(rules, compute(11.0), REQUEST, "U9", "slack", "approve"), Allowed)
    assert isinstance(may_decide(rules, compute(9.0), REQUEST, "U1", "slack", "approve"), Allowed)


@pytest.mark.parametrize("entry", ["bob", "slack:", ":U1", "irc:bob", "slack:U1, bob"])
def test_an_entry_that_names_nobody_is_an_error(entry: str) -> None:
    with pytest.raises(ValueError, match="is not like slack:U123"):
        parse_approvers(entry)


@given(st.text(), st.sampled_from(["slack", "discord"]), st.text())
def test_no_name_makes_a_stranger_an_approver(actor: str, surface: str, value: str) -> None:
    """Whatever somebody calls themselves on a surface, only the listed id of that surface may spend."""
    if qualified(actor, surface) in {"slack:U9", "discord:42"}:
        return
    price = compute(4.0)
    assert isinstance(may_decide(APPROVERS, price, REQUEST, actor, surface, "approve"), Refused)
    if value not in ("keep", "cancel", "elsewhere"):
        assert isinstance(may_decide(APPROVERS, PUBLISH, REQUEST, actor, surface, value), Refused)


def test_the_rules_come_from_the_settings() -> None:
    access = load_settings({"INTERN_APPROVERS": "slack:U9", "INTERN_TWO_PERSON_USD": "3"}).access()
    assert access.refusal(compute(4.0), REQUEST, "U9", "slack", "approve") == ""
    assert "Only an approver" in access.refusal(compute(4.0), REQUEST, "U1", "slack", "approve")
    assert access.rules.console_approves
    shared = load_settings({"DATABASE_URL": "postgresql://db/intern"}).access()
    assert not shared.rules.console_approves
