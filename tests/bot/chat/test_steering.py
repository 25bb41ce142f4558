from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.chat.steering import Intent, steer
from graph.deps import Run
from graph.names import DecisionKind, RunStatus, Stage
from graph.state import Choice, Question, Request

AT = "2026-11-24T12:00:00"


def run(status: RunStatus, stage: Stage, question: Question | None = None) -> Run:
    return Run("r7k2m9x", "Reviews", status, stage, Request("Sort reviews"), AT, AT, question)


DATA = Question(
    "q1", DecisionKind.DATASET, Stage.CHOOSE_DATASET, "Which data?",
    (Choice("use:1", "Use A"), Choice("use:2", "Use B"), Choice("more", "Look again"), Choice("cancel", "Cancel")),
    free_text=True,
)  # fmt: skip
PLAN = Question(
    "q2", DecisionKind.COMPUTE, Stage.APPROVE_COMPUTE, "Train?",
    (Choice("approve", "Train for $1.00"), Choice("change", "Change"), Choice("cancel", "Cancel")),
    free_text=True, price_usd=1.0, plan_hash="abc",
)  # fmt: skip
PUBLISH = Question(
    "q3", DecisionKind.PUBLISH, Stage.APPROVE_PUBLISH, "Publish?",
    (Choice("keep", "Keep it here"), Choice("elsewhere", "Publish …")), free_text=True,
)  # fmt: skip
CLARIFY = Question(
    "q4",
    DecisionKind.CLARIFY,
    Stage.NEEDS_HUMAN,
    "What should it tell?",
    (Choice("spam", "Spam"),),
    free_text=True,
)
CHOOSING = run(RunStatus.WAITING, Stage.CHOOSE_DATASET, DATA)
PLANNED = run(RunStatus.WAITING, Stage.APPROVE_COMPUTE, PLAN)
PUBLISHING = run(RunStatus.WAITING, Stage.APPROVE_PUBLISH, PUBLISH)
ASKED = run(RunStatus.WAITING, Stage.NEEDS_HUMAN, CLARIFY)
EARLY = run(RunStatus.RUNNING, Stage.AUDIT)
TRAINING = run(RunStatus.RUNNING, Stage.WATCH)
DONE = run(RunStatus.DONE, Stage.DONE)


@pytest.mark.parametrize(
    ("said", "now", "intent", "text"),
    [
        ("use the second data set", CHOOSING, Intent.ANSWER, "use:2"),
        ("1", CHOOSING, Intent.ANSWER, "use:1"),
        ("the third one", CHOOSING, Intent.UNCLEAR, None),
        ("use the second data set", PLANNED, Intent.UNCLEAR, None),
        ("the second data set", PUBLISHING, Intent.UNCLEAR, None),
        ("yes, please!", PLANNED, Intent.ANSWER, "approve"),
        ("yes please?", PLANNED, Intent.UNCLEAR, None),
        ("how long will it take?", PLANNED, Intent.STATUS, ""),
        ("🎉", PLANNED, Intent.UNCLEAR, None),
        ("status", ASKED, Intent.STATUS, ""),
        ("what can you do?", ASKED, Intent.HELP, ""),
        ("How is it going?", TRAINING, Intent.STATUS, ""),
        ("are you stuck?", TRAINING, Intent.STATUS, ""),
        ("when will you be done?", TRAINING, Intent.STATUS, ""),
        ("how is your dog", TRAINING, Intent.UNCLEAR, None),
        ("yes please.csv", CHOOSING, Intent.UNCLEAR, None),
        ("use PolyAI/banking77", CHOOSING, Intent.ANSWER, "PolyAI/banking77"),
        ("tickets.csv", CHOOSING, Intent.ANSWER, "tickets.csv"),
        ("make it smaller", CHOOSING, Intent.WISH, "make it smaller"),
        ("thanks, looks good to me overall", CHOOSING, Intent.UNCLEAR, None),
        ("cancel", CHOOSING, Intent.ANSWER, "cancel"),
        ("yes", PLANNED, Intent.ANSWER, "approve"),
        ("make it smaller", PLANNED, Intent.ANSWER, "change make it smaller"),
        ("epochs=2 minutes=5", PLANNED, Intent.ANSWER, "change epochs=2 minutes=5"),
        ("what a lovely plan", PLANNED, Intent.UNCLEAR, None),
        ("why?", PLANNED, Intent.WHY, ""),
        ("hub:acme/intents", PUBLISHING, Intent.ANSWER, "hub:acme/intents"),
        ("folder:/etc", PUBLISHING, Intent.ANSWER, "folder:/etc"),
        ("nice one!", PUBLISHING, Intent.UNCLEAR, None),
        ("sort tickets by urgency", ASKED, Intent.ANSWER, "sort tickets by urgency"),
        ("Stop it, please", TRAINING, Intent.CANCEL, ""),
        ("status?", TRAINING, Intent.STATUS, ""),
        ("use 1 epoch", EARLY, Intent.WISH, "use 1 epoch"),
        ("use 1 epoch", TRAINING, Intent.AGAIN, "use 1 epoch"),
        ("make it smaller", DONE, Intent.AGAIN, "make it smaller"),
        ("use the second data set", TRAINING, Intent.UNCLEAR, None),
        ("try: is this spam?", DONE, Intent.TRY, "is this spam?"),
        ("help", DONE, Intent.HELP, ""),
        ("lunch?", DONE, Intent.UNCLEAR, None),
    ],
)
def test_a_reply_means(said: str, now: Run, intent: Intent, text: str | None) -> None:
    meant = steer(said, now)
    assert meant.intent is intent
    if text is not None:
        assert meant.text == text


def test_an_attached_file_answers_which_data() -> None:
    assert steer("this one", CHOOSING, has_file=True).intent is Intent.ANSWER
    assert steer("", CHOOSING, has_file=True).intent is Intent.ANSWER


def test_an_answer_to_the_question_before_is_told_so() -> None:
    assert steer("use the second data set", PLANNED).text == (
        "The data of this run is chosen already: cancel it and start again with other data."
    )
    assert "cancel" not in steer("use other data", DONE).text


def test_no_change_is_looked_for_in_small_talk() -> None:
    said = steer("maybe", PLANNED).text
    assert "“Train for $1.00”, “Change”, “Cancel”; or with a change, such as “epochs=2”" in said
    assert "batch_size" in steer("change the colour", PLANNED).text


def test_what_is_unclear_says_what_could_be_said() -> None:
    assert "“the second one”, a file, or a Hub data set" in steer("the fifth", CHOOSING).text
    assert "Keep it here" in steer("hm", PUBLISHING).text
    assert "why?" in steer("hm", DONE).text


@given(st.text(), st.sampled_from([CHOOSING, PLANNED, PUBLISHING, EARLY, TRAINING, DONE]))
def test_talk_never_decides_by_accident(text: str, now: Run) -> None:
    """Whatever is said, an answer to a question with buttons is a choice, or what that question takes in words."""
    meant = steer(text, now)
    if meant.intent is Intent.ANSWER:
        assert now.question is not None
        values = {c.value for c in now.question.choices}
        assert meant.text in values or meant.text.startswith("change ") or "/" in meant.text or "." in meant.text \
            or meant.text.startswith(("hub:", "folder:"))  # fmt: skip


def test_a_run_that_ended_asks_nothing() -> None:
    assert steer("approve", replace(PLANNED, status=RunStatus.CANCELLED)).intent is Intent.UNCLEAR
