"""Who may decide what. Pure: rules and a question in, allowed or a reason out; asked at the decision itself.

- Whoever asked for the run, and every approver, may answer its harmless questions (clarify, data, help, the
  free baseline, keep, cancel). Nobody else may.
- What costs money (a language model too), has an unknown price, or publishes is for approvers.
  ``INTERN_APPROVERS`` names them: ``slack:U1``, ``discord:123``, ``console:anna``, a whole surface ``console:*``,
  or a group that the surface vouches for: ``slack-group:S1``, ``slack-channel:C1`` (its members),
  ``discord-role:456``.
- Whoever sits at this machine (surface ``console``) is an approver of its runs: that person could write the
  database as well. This does not hold where the database is shared with other machines.
- Two persons: above ``INTERN_TWO_PERSON_USD``, or at an unknown price while that is set, the one who asked
  for the run cannot approve it alone, at the console either.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from graph.names import DecisionKind
from graph.state import Question, Request

KINDS = ("slack", "discord", "console", "slack-group", "slack-channel", "discord-role")
_SPENDS_NOTHING = {"cancel", "baseline_only", "change"}
_ASKS_NOBODY = {"without_llm", "cancel"}
_PUBLISHES_NOTHING = {"keep", "cancel", "elsewhere"}
_PAYS = (DecisionKind.COMPUTE, DecisionKind.LLM)


@dataclass(frozen=True, slots=True)
class Rules:
    approvers: frozenset[str] = frozenset()
    two_person_usd: float | None = None
    console_approves: bool = True  # the one at this machine may approve


@dataclass(frozen=True, slots=True)
class Allowed:
    pass


@dataclass(frozen=True, slots=True)
class Refused:
    reason: str  # one sentence for the person who clicked


def parse_approvers(text: str) -> frozenset[str]:
    """``INTERN_APPROVERS`` as a set; raises ValueError, in a sentence, for an entry that names nobody."""
    entries = [entry.strip() for entry in text.split(",") if entry.strip()]
    for entry in entries:
        kind, _, name = entry.partition(":")
        if kind not in KINDS or not name.strip():
            raise ValueError(
                f"{entry!r} is not like slack:U123, discord:456, console:anna, slack-group:S1 or console:*"
            )
    return frozenset(entries)


def qualified(actor: str, surface: str) -> str:
    """``slack:U1`` for the actor ``U1`` of Slack; an actor that is already so written stays as it is."""
    return actor if actor.startswith(f"{surface}:") else f"{surface}:{actor}"


def may_decide(
    rules: Rules,
    question: Question,
    request: Request,
    actor: str,
    surface: str,
    value: str,
    groups: Iterable[str] = (),
) -> Allowed | Refused:
    """Whether ``actor`` may answer ``question`` with ``value``; ``groups`` are what the surface vouches
    for.
    """
    who = qualified(actor, surface)
    approver = _is_approver(rules, who, surface, groups)
    asked = who == qualified(request.requester, request.surface)
    if not (approver or asked):
        return Refused(f"Only {request.who}, who asked for this run, or an approver can decide this.")
    if not _is_weighty(question, value):
        return Allowed()
    what = "publish" if question.kind is DecisionKind.PUBLISH else "approve a price"
    if not approver:
        named = (
            "ask one of them (whoever runs the intern lists them in INTERN_APPROVERS)"
            if rules.approvers
            else "there is none yet; whoever runs the intern names them in INTERN_APPROVERS"
        )
        return Refused(f"Only an approver can {what}: {named}.")
    if asked and _needs_two(rules, question):
        return Refused(
            f"Above ${rules.two_person_usd:.2f}, or at an unknown price, somebody else than "
            f"{request.who}, who asked for this run, has to approve."
        )
    return Allowed()


def may_steer(
    rules: Rules, request: Request, actor: str, surface: str, groups: Iterable[str] = ()
) -> Allowed | Refused:
    """Whether ``actor`` may stop the run or change what it will do."""
    who = qualified(actor, surface)
    if who == qualified(request.requester, request.surface) or _is_approver(rules, who, surface, groups):
        return Allowed()
    return Refused(f"Only {request.who}, who asked for this run, or an approver can do this.")


def _is_approver(rules: Rules, who: str, surface: str, groups: Iterable[str]) -> bool:
    if surface == "console" and rules.console_approves:
        return True
    return not rules.approvers.isdisjoint({who, f"{surface}:*", *groups})


def _is_weighty(question: Question, value: str) -> bool:
    """Whether the answer spends money, may spend it, or publishes."""
    if question.kind is DecisionKind.COMPUTE:
        free = question.price_usd is not None and question.price_usd <= 0
        other = value.startswith("offer:")  # only looks at another machine; its price is asked about next
        return (
            value not in _SPENDS_NOTHING
            and not other
            and not free
            and value in {c.value for c in question.choices}
        )
    if question.kind is DecisionKind.LLM:
        return value not in _ASKS_NOBODY
    if question.kind is DecisionKind.PUBLISH:
        return value not in _PUBLISHES_NOTHING
    return False


def _needs_two(rules: Rules, question: Question) -> bool:
    if question.kind not in _PAYS or rules.two_person_usd is None:
        return False
    return question.price_usd is None or question.price_usd > rules.two_person_usd


@dataclass(frozen=True, slots=True)
class Access:
    """The rules of this installation, as :mod:`bot.dispatch` asks them."""

    rules: Rules = Rules()

    def refusal(
        self,
        question: Question,
        request: Request,
        actor: str,
        surface: str,
        value: str,
        groups: Iterable[str] = (),
    ) -> str:
        """Why not, in one sentence; empty when it is allowed."""
        answer = may_decide(self.rules, question, request, actor, surface, value, groups)
        return answer.reason if isinstance(answer, Refused) else ""

    def steering_refusal(self, request: Request, actor: str, surface: str, groups: Iterable[str] = ()) -> str:
        """The same for stopping and changing a run."""
        answer = may_steer(self.rules, request, actor, surface, groups)
        return answer.reason if isinstance(answer, Refused) else ""
