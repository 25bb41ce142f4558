from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from bot.cards import Bullets, Card, Code, Fields, Place, Progress, Steps, StepState, Style, Table, Text, Tone
from bot.chat.plain import whole
from bot.console.blocks import card as terminal
from bot.present import SHOWN, SILENT, Story, present, tell
from bot.slack.blocks import render
from bot.views.data import EDIT
from graph.deps import Event
from graph.names import DecisionKind, EventType, RunStatus, Stage
from tests.bot import story
from tests.bot.story import Log

JSON = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
FIELDS = re.split(
    " ",
    "task understood assumed candidates candidate model files audit rows findings labels plan "
    "hyperparameters advice question choices question_id id value detail text kind price_usd checks "
    "rows_per_s metrics step total epoch training summary leaderboard primary plots notes suggestions "
    "before after score status seconds usd hash",
)
PART = st.dictionaries(st.sampled_from(FIELDS), JSON | st.dictionaries(st.text(max_size=8), JSON, max_size=2))
PARTS = st.lists(PART | JSON, max_size=2)


def said(card: Card) -> str:
    """All that a card says, for assertions on its content."""
    return repr(card)


def steps(card: Card) -> dict[str, StepState]:
    found = [block for block in card.blocks if isinstance(block, Steps)]
    return {step.label: step.state for step in found[0].items}


def test_every_event_type_has_a_presentation_or_is_silent_on_purpose() -> None:
    assert set(SHOWN) | SILENT == set(EventType)
    assert not set(SHOWN) & SILENT


def test_every_event_type_stands_in_the_documentation() -> None:
    table = (Path(__file__).parents[2] / "docs" / "events.md").read_text("utf-8")
    assert [t.value for t in EventType if f"| `{t.value}` |" not in table] == []


def test_a_whole_run_shows_each_thing_once() -> None:
    cards = present(story.whole_run().events)
    assert list(cards) == [
        "root",
        "task",
        "candidates",
        "data",
        "audit",
        "script",
        "smoke",
        "baselines",
        f"plan:{story.PLAN.hash}",
        f"question:{story.COMPUTE.id}",
        "training:1",
        "evaluation",
        "stress",
        "package",
        "ended:1",
    ]
    assert [key for key, card in cards.items() if card.live] == []
    assert all(card.fallback and card.title and card.run_id == story.RUN for card in cards.values())


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(EventType),
            st.none() | st.sampled_from(Stage),
            st.dictionaries(
                st.sampled_from(FIELDS), JSON | st.lists(st.dictionaries(st.sampled_from(FIELDS), JSON))
            ),
        ),
        max_size=4,
    )
)
def test_no_payload_can_break_the_presentation(
    said: list[tuple[EventType, Stage | None, dict[str, Any]]],
) -> None:
    """A log may come from an older or a newer version."""
    events = [
        Event("r", seq, "2026", type_, stage, payload) for seq, (type_, stage, payload) in enumerate(said)
    ]
    for card in present(events).values():
        for block in card.blocks:
            if isinstance(block, Table):
                assert all(len(row) == len(block.columns) for row in block.rows)


def test_the_fold_is_the_same_step_by_step_and_at_once() -> None:
    events = story.whole_run().events
    told = Story(story.RUN)
    for event in events:
        told = tell(told, event)
    assert told.cards == present(events)


def test_understood_and_assumed_are_told_apart() -> None:
    card = present(story.until_the_plan().events)["task"]
    understood, assumed = (block for block in card.blocks if isinstance(block, Bullets))
    assert "Family: two classes (“positive from negative”)" in understood.items
    assert assumed.items == ("Language: English (you wrote in English)",)


def test_the_steps_follow_the_run() -> None:
    log = story.until_the_plan()
    before = steps(present(log.events)["root"])
    assert before["Check and split the data"] is StepState.DONE
    assert before["Plan, and ask"] is StepState.WAITING
    assert before["Train"] is StepState.TODO
    after = steps(present(story.finishing(story.training(log)).events)["root"])
    assert set(after.values()) == {StepState.DONE}


@pytest.mark.parametrize(
    ("status", "state", "tone"),
    [
        (RunStatus.FAILED, StepState.FAILED, Tone.BAD),
        (RunStatus.CANCELLED, StepState.STOPPED, Tone.WARN),
    ],
)
def test_an_end_says_where_it_ended_and_what_to_do(status: RunStatus, state: StepState, tone: Tone) -> None:
    log = Log()
    log.say(EventType.RUN_STARTED, sentence="x", requester="anna", surface="console")
    log.say(EventType.STAGE_STARTED, Stage.AUDIT)
    log.say(EventType.ENDED, Stage.AUDIT, status=status, detail="One class.", hint="Add rows.", folder="/f")
    cards = present(log.events)
    assert steps(cards["root"])["Check and split the data"] is state
    assert cards["root"].tone is cards["ended:1"].tone is tone
    assert Text("One class. Add rows.") in cards["ended:1"].blocks


def test_a_resumed_run_ends_on_a_card_of_its_own() -> None:
    log = Log()
    log.say(EventType.ENDED, Stage.AUDIT, status="failed", detail="No disk.")
    log.say(EventType.STAGE_STARTED, Stage.AUDIT)
    root = present(log.events)["root"]
    assert root.live
    log.say(EventType.ENDED, Stage.DONE, status="done")
    assert [key for key in present(log.events) if key.startswith("ended")] == ["ended:1", "ended:2"]


def test_an_open_question_has_choices_and_a_decided_one_says_who() -> None:
    log = story.until_the_plan()
    key = f"question:{story.COMPUTE.id}"
    asked = present(log.events)[key]
    assert [action.value for action in asked.actions] == ["approve", "baseline_only", "change", "cancel"]
    assert asked.asks is not None
    assert asked.asks.plan_hash == story.PLAN.hash
    assert asked.live
    log.decided(story.COMPUTE, "baseline_only", "bob", "--yes")
    decided = present(log.events)[key]
    assert decided.actions == ()
    assert Text("→ Baseline only (bob: --yes)") in decided.blocks
    assert not decided.live


@pytest.mark.parametrize(("price", "confirm"), [(0.0, ""), (4.2, "Spend $4.20?"), (None, "unknown")])
def test_what_costs_money_is_confirmed_once_more(price: float | None, confirm: str) -> None:
    log = Log()
    log.asked(replace(story.COMPUTE, price_usd=price))
    approve, *others = present(log.events)[f"question:{story.COMPUTE.id}"].actions
    assert confirm in approve.confirm
    assert bool(approve.confirm) is bool(confirm)
    assert {action.confirm for action in others} == {""}


def test_training_is_one_card_whose_progress_is_edited() -> None:
    log = story.training(story.until_the_plan())
    running = present(log.events[:-1])["training:1"]
    assert running.live
    assert next(b for b in running.blocks if isinstance(b, Progress)).share == 1.0
    done = present(log.events)["training:1"]
    assert not any(isinstance(block, Progress) for block in done.blocks)
    table = next(block for block in done.blocks if isinstance(block, Table))
    assert [column.title for column in table.columns] == [
        "Epoch",
        "train loss",
        "val loss",
        "macro-F1",
    ]
    assert [row[0] for row in table.rows] == ["1", "2", "3"]


def test_a_second_attempt_at_training_has_its_own_card() -> None:
    log = Log()
    for number in (1, 2):
        log.say(EventType.JOB_SUBMITTED, Stage.LAUNCH, backend="local", key=str(number), hardware="here")
        log.say(EventType.JOB_EPOCH, Stage.WATCH, epoch=number, metrics={"val_loss": 1.0})
        log.say(EventType.JOB_FAILED, Stage.WATCH, kind="out_of_memory", detail="No memory left.")
        log.say(
            EventType.RECOVERED, Stage.RECOVER, kind="out_of_memory", remedy="Half the batch.", attempt=number
        )
    cards = present(log.events)
    assert list(cards) == ["training:1", "recovered:1", "training:2", "recovered:2"]
    assert "No memory left." in said(cards["training:1"])
    assert cards["training:1"].tone is Tone.BAD
    assert "Half the batch. (after out of memory, remedy 2)" in said(cards["recovered:2"])


def test_other_jobs_show_their_progress_on_the_root_card_only() -> None:
    log = Log()
    log.say(EventType.STAGE_STARTED, Stage.BASELINES)
    log.say(EventType.JOB_PROGRESS, Stage.BASELINES, job="j", stage="baselines", step=1, total=4, metrics={})
    cards = present(log.events)
    assert list(cards) == ["root"]
    assert [b.share for b in cards["root"].blocks if isinstance(b, Progress)] == [0.25]
    log.say(EventType.STAGE_STARTED, Stage.PLAN)
    assert not any(isinstance(block, Progress) for block in present(log.events)["root"].blocks)


def test_the_repairs_of_a_script_stay_in_sight() -> None:
    card = present(story.until_the_plan().events)["smoke"]
    trail = next(block for block in card.blocks if isinstance(block, Bullets))
    assert trail.items == (
        "Try 1 failed (nan loss): the loss is NaN.",
        "Mended: Lower the learning rate and clip gradients.",
    )
    assert card.tone is Tone.GOOD


def test_a_plan_without_a_sandbox_warns() -> None:
    log = Log()
    plan = replace(story.PLAN, isolation="none", advice=())
    log.say(EventType.PLANNED, Stage.PLAN, plan=plan, hash=plan.hash, refusals=[])
    card = present(log.events)[f"plan:{plan.hash}"]
    assert card.tone is Tone.WARN
    assert any(
        isinstance(b, Text) and b.style is Style.WARN and "WITHOUT a sandbox" in b.text for b in card.blocks
    )


@pytest.mark.parametrize(
    ("usd", "ceiling", "told"),
    [
        (0.0, 0.0, "free"),
        (None, None, "unknown price"),
        (1.5, 3.0, "$1.50, at most $3.00 (price list, 2026-11-24)"),
    ],
)
def test_the_price_is_said_with_its_source(usd: float | None, ceiling: float | None, told: str) -> None:
    log = Log()
    plan = replace(story.PLAN, estimated_usd=usd, ceiling_usd=ceiling, price_source="price list")
    log.say(EventType.PLANNED, Stage.PLAN, plan=plan, hash="h", refusals=[])
    fields = next(block for block in present(log.events)["plan:h"].blocks if isinstance(block, Fields))
    assert dict(fields.items)["Price"] == told


def test_a_price_says_how_sure_it_is() -> None:
    log = Log()
    plan = replace(
        story.PLAN, estimated_usd=1.5, ceiling_usd=3.0, low_usd=0.9, high_usd=3.0, price_source="list"
    )
    log.say(EventType.PLANNED, Stage.PLAN, plan=plan, hash="h", refusals=[])
    fields = next(block for block in present(log.events)["plan:h"].blocks if isinstance(block, Fields))
    assert dict(fields.items)["Price"] == "$1.50 ($0.90 to $3.00), at most $3.00 (list, 2026-11-24)"


def test_the_evaluation_stands_beside_the_baselines_and_points_the_model_out() -> None:
    card = present(story.whole_run().events)["evaluation"]
    assert Text("macro-F1 0.881 (95 % interval 0.852–0.908)", Style.STRONG) in card.blocks
    assert Text(story.VERDICT) in card.blocks
    table = next(block for block in card.blocks if isinstance(block, Table))
    assert [row[0] for row in table.rows][-2:] == ["The model", "Human ceiling"]
    assert table.strong == len(story.LEADERBOARD) - 1
    assert table.rows[1][1:3] == ("0.781", "0.729–0.828")


def test_the_end_says_the_result_and_does_not_repeat_the_table() -> None:
    card = present(story.whole_run().events)["ended:1"]
    assert Text("macro-F1 0.881 (95 % interval 0.852–0.908)", Style.STRONG) in card.blocks
    assert Text(story.VERDICT) in card.blocks
    assert not any(isinstance(block, Table) for block in card.blocks)


def test_the_end_has_the_table_where_nothing_showed_it_before() -> None:
    events = [e for e in story.whole_run().events if e.type is not EventType.EVALUATED]
    assert any(isinstance(block, Table) for block in present(events)["ended:1"].blocks)


def test_the_task_can_be_edited_until_a_training_builds_on_it() -> None:
    waiting = story.until_the_plan()
    assert [action.value for action in present(waiting.events)["task"].actions] == [EDIT]
    task = present(story.training(waiting).events)["task"]
    assert task.actions == ()
    assert any(isinstance(block, Bullets) for block in task.blocks)


def test_the_table_of_epochs_has_the_deciding_metric_before_others() -> None:
    log = Log()
    log.say(EventType.BASELINES_MEASURED, Stage.BASELINES, metric="macro_f1", rows=[], advice=[])
    log.say(EventType.JOB_SUBMITTED, Stage.LAUNCH, backend="local", key="train", hardware="here")
    metrics = {"val_loss": 0.5, "accuracy": 0.9, "train_loss": 0.6, "ece": 0.1, "macro_f1": 0.8}
    log.say(EventType.JOB_EPOCH, Stage.WATCH, epoch=1, metrics=metrics)
    (table,) = (b for b in present(log.events)["training:1"].blocks if isinstance(b, Table))
    assert [column.title for column in table.columns] == ["Epoch", "train loss", "val loss", "macro-F1"]
    assert table.rows == (("1", "0.600", "0.500", "0.800"),)


def test_the_best_baseline_of_an_error_metric_is_the_smallest() -> None:
    log = Log()
    rows = [{"name": "mean", "score": {"value": 2.0}}, {"name": "tfidf_ridge", "score": {"value": 1.0}}]
    log.say(EventType.BASELINES_MEASURED, Stage.BASELINES, metric="rmse", rows=rows, advice=[])
    assert "TF-IDF + ridge: 1.000 RMSE" in present(log.events)["baselines"].fallback


def test_findings_come_with_the_gravest_first() -> None:
    card = present(story.until_the_plan().events)["audit"]
    findings = next(block for block in card.blocks if isinstance(block, Bullets))
    assert [item.split(":")[0] for item in findings.items] == ["Warning", "Noted"]
    assert card.tone is Tone.WARN


def test_a_question_of_no_stage_is_named_once_in_the_roots_line() -> None:
    log = Log()
    log.say(EventType.RUN_STARTED, None, sentence="please", requester="anna", surface="slack")
    log.say(EventType.STAGE_STARTED, Stage.NEEDS_HUMAN)
    question = {"id": "q", "kind": "clarify", "text": "What should it tell?", "choices": []}
    log.say(EventType.QUESTION_ASKED, Stage.NEEDS_HUMAN, question=question)
    assert present(log.events)["root"].fallback == "please: waiting for an answer"


def test_a_file_that_was_given_as_an_answer_is_shown_by_its_name() -> None:
    log = story.until_the_plan()
    log.decided(story.COMPUTE, "/home/intern/uploads/r7k2mc/d.csv", "Anna")
    assert Text("→ d.csv (Anna)") in present(log.events)[f"question:{story.COMPUTE.id}"].blocks


def test_suggestions_are_actions() -> None:
    (action,) = present(story.whole_run().events)["stress"].actions
    assert (action.label, action.value) == ("Train with typos", "suggestion:typos")


def test_a_question_for_help_shows_what_was_tried() -> None:
    log = Log()
    question = replace(story.COMPUTE, kind=DecisionKind.HELP, detail="-batch_size: 32\n+batch_size: 16")
    log.asked(question)
    assert Code("-batch_size: 32\n+batch_size: 16") in present(log.events)[f"question:{question.id}"].blocks


def test_a_folder_of_the_machine_is_for_who_sits_there_alone() -> None:
    """Cards of a whole run: the terminal names the folder, the text that chats show does not."""
    cards = present(story.whole_run().events)
    places = [(card, block) for card in cards.values() for block in card.blocks if isinstance(block, Place)]
    assert {card.key for card, _ in places} == {"package", "ended:1"}
    for card, place in places:
        assert place.path
        assert place.path not in whole(card)
        assert place.path not in json.dumps(render(card).blocks)
        assert place.path in rendered(card)


def rendered(card: Card) -> str:
    """What the terminal shows of it, on one line however long it is."""
    console = Console(width=400, record=True, file=io.StringIO())
    console.print(terminal(card))
    return console.export_text()
