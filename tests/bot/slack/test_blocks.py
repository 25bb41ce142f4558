"""Every card is one message that Slack takes, that pings nobody, and whose whole text is never lost."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.cards import (
    Action,
    Asks,
    Block,
    Bullets,
    Card,
    Code,
    Column,
    Fields,
    FileLink,
    Picture,
    Progress,
    Step,
    Steps,
    StepState,
    Style,
    Table,
    Text,
    Tone,
)
from bot.present import present
from bot.slack import rich
from bot.slack.blocks import MOST_BLOCKS, MOST_BYTES, Rendered, render
from bot.views import answers
from graph.deps import Event
from graph.names import EventType, Stage
from tests.bot.hostile import NASTY, cards
from tests.bot.story import COMPUTE, finishing, training, until_the_plan, whole_run
from tests.slack.blockcheck import check_message

Json = dict[str, Any]
PING = {"user", "usergroup", "broadcast", "channel", "team", "mrkdwn", "markdown", "emoji", "date"}


def check(shown: Rendered) -> None:
    """What holds for every message."""
    assert check_message({"text": shown.text, "blocks": shown.blocks}) == []
    assert len(shown.blocks) < MOST_BLOCKS
    assert rich.size(shown.blocks) <= MOST_BYTES
    assert len(shown.text.encode()) <= 3_000
    assert not {item["type"] for item in objects(shown.blocks) if "type" in item} & PING
    assert "<" not in shown.text
    ids = [item["action_id"] for item in objects(shown.blocks) if "action_id" in item]
    assert len(set(ids)) == len(ids)
    shown.rest.encode()


def objects(value: Any) -> Iterator[Json]:
    if isinstance(value, dict):
        yield value
    for held in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from objects(held)


def said(shown: Rendered | list[Json]) -> str:
    """All that a reader sees, in order."""
    blocks = shown.blocks if isinstance(shown, Rendered) else shown
    return " ".join(item["text"] for item in objects(blocks) if isinstance(item.get("text"), str))


def types(shown: Rendered) -> list[str]:
    return [block["type"] for block in shown.blocks]


def message(*blocks: Any, native: bool = True, **more: Any) -> Rendered:
    return render(Card(more.pop("key", "x"), "r7k2mc", "Title", blocks, **more), native=native)


def only(*blocks: Any, native: bool = True, **more: Any) -> Json:
    """The one block below the header."""
    _, block = message(*blocks, native=native, **more).blocks
    return block


# -- all cards -----------------------------------------------------------------------------------------------


def every_version() -> Iterator[Card]:
    """Each card of a whole run, after each event."""
    events: list[Event] = []
    for event in whole_run().events:
        events.append(event)
        yield from present(events).values()


@pytest.mark.parametrize("native", [True, False])
def test_every_card_of_a_run_is_taken_in_full(native: bool) -> None:
    versions = {repr(card): card for card in every_version()}
    assert len(versions) > 30
    for card in versions.values():
        shown = render(card, native=native)
        check(shown)
        assert not shown.rest, card.key


@pytest.mark.parametrize(
    "card",
    [
        answers.told("Started."),
        answers.refused("I know no run of that name: write /intern runs to see yours."),
        answers.help_card([("/intern status", "what it does")], "I don't know that word."),
        answers.offer_again("r7k2mc", "epochs=1", True),
        answers.runs_card([], "write /intern"),
        answers.predictions_card("r7k2mc", [{"text": "good", "label": "positive", "confidence": 0.4}]),
    ],
    ids=lambda card: card.key,
)
def test_answers_to_one_person_are_taken(card: Card) -> None:
    check(render(card))


PATIENT = [HealthCheck.too_slow, HealthCheck.data_too_large]


@settings(max_examples=25, deadline=None, suppress_health_check=PATIENT)
@given(cards(), st.booleans())
def test_slack_takes_whatever_people_and_data_say(card: Card, native: bool) -> None:
    check(render(card, native=native))


@pytest.mark.slow
@settings(max_examples=500, deadline=None, suppress_health_check=PATIENT)
@given(cards(), st.booleans())
def test_slack_takes_whatever_people_and_data_say_at_length(card: Card, native: bool) -> None:
    check(render(card, native=native))


@pytest.mark.parametrize("nasty", NASTY, ids=range(len(NASTY)))
def test_a_card_that_is_nasty_all_over(nasty: str) -> None:
    blocks: tuple[Block, ...] = (
        *(Text(nasty, style) for style in Style),
        *(Bullets((nasty,) * 30, style) for style in Style),
        Fields(((nasty, nasty),) * 30),
        Table((Column(nasty), Column(nasty, right=True)) * 3, ((nasty,) * 6,) * 30, 0),
        Progress(1, 2, nasty),
        Steps((Step(nasty, StepState.NOW, nasty),) * 40),
        Code(nasty),
        *(FileLink(nasty, nasty, 1),) * 30,
    )
    actions = tuple(Action(nasty, f"{n}{nasty}"[:60], nasty, confirm=nasty) for n in range(100))
    for key, native in (("root", True), ("x", False)):
        card = Card(key, "r7k2mc", nasty, blocks, actions, Tone.WARN, nasty, True, asks=Asks(nasty, nasty))
        check(render(card, native=native))


# -- what is cut ---------------------------------------------------------------------------------------------


def test_a_thousand_rows_are_twenty_and_the_rest_is_a_file() -> None:
    rows = tuple((f"class {n}", f"0.{n}") for n in range(1_000))
    shown = message(Table((Column("Class"), Column("F1", right=True)), rows))
    table = next(block for block in shown.blocks if block["type"] == "table")
    assert len(table["rows"]) == 1 + 20
    assert "… and 980 more rows" in said(shown)
    assert "class 999" in shown.rest


def test_a_wide_table_loses_rows_before_it_is_left_out() -> None:
    table = Table(tuple(Column(f"c{n}") for n in range(8)), (("x" * 140,) * 8,) * 20)
    shown = message(table)
    assert "table" in types(shown)
    assert "more rows" in said(shown)


def test_a_long_text_is_cut_and_the_rest_is_a_file() -> None:
    shown = message(Text("word " * 8_000 + "end"))
    assert "…" in said(shown)
    assert "attached file" in said(shown)
    assert shown.rest.endswith("word end\n")


def test_many_blocks_are_counted() -> None:
    shown = message(*(Text(f"line {n}") for n in range(100)))
    assert len(shown.blocks) == MOST_BLOCKS - 1
    assert "… and 53 more parts. The whole text is in the attached file." in said(shown)
    assert "line 99" in shown.rest


def test_a_cut_title_is_whole_in_the_file() -> None:
    shown = render(Card("x", "r7k2mc", "word " * 60 + "end"))
    assert len(shown.blocks[0]["text"]["text"]) <= 150
    assert "end" in shown.rest


def test_choices_without_a_button_are_told() -> None:
    actions = tuple(Action(f"Column {n}", f"column {n}") for n in range(40))
    shown = render(Card("x", "r7k2mc", "Title", actions=actions, asks=Asks("q")))
    assert "… and 15 more choices: answer in this thread with the name of one." in said(shown)
    assert "40. Column 39" in shown.rest


# -- the look ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tone", "header", "text"),
    [
        (Tone.NEUTRAL, "Title", "news"),
        (Tone.WORKING, "⏳ Title", "news"),
        (Tone.WAITING, "❓ Title", "Needs an answer: news"),
        (Tone.GOOD, "✅ Title", "news"),
        (Tone.WARN, "⚠️ Title", "Warning: news"),
        (Tone.BAD, "❌ Title", "Problem: news"),
    ],
)
def test_a_tone_is_a_mark_and_words(tone: Tone, header: str, text: str) -> None:
    shown = message(tone=tone, fallback="news")
    assert shown.blocks == [
        {"type": "header", "text": {"type": "plain_text", "text": header, "emoji": False}}
    ]
    assert shown.text == text


def test_one_sentence_needs_no_header() -> None:
    shown = render(answers.refused("I know no such run."))
    assert types(shown) == ["rich_text"]
    assert said(shown) == "⚠️ I know no such run."


def test_the_fallback_is_escaped() -> None:
    assert message(fallback="<!channel> *x*").text == "&lt;!channel&gt; ∗x∗"


def test_data_is_shown_as_it_is() -> None:
    nasty = "<!channel> & *b* :tada:"
    assert only(Text(nasty))["elements"][0]["elements"] == [{"type": "text", "text": nasty}]


@pytest.mark.parametrize(
    ("style", "block"),
    [
        (Style.PLAIN, rich.rich(rich.section({"type": "text", "text": "a"}))),
        (Style.STRONG, rich.rich(rich.section({"type": "text", "text": "a", "style": {"bold": True}}))),
        (Style.WARN, rich.rich(rich.section({"type": "text", "text": "⚠️ a"}))),
        (
            Style.QUOTE,
            rich.rich({"type": "rich_text_quote", "elements": [{"type": "text", "text": "a"}]}),
        ),
        (
            Style.MUTED,
            {"type": "context", "elements": [{"type": "plain_text", "text": "a", "emoji": False}]},
        ),
    ],
)
def test_styles(style: Style, block: Json) -> None:
    assert only(Text("a", style)) == block


def test_fields_are_lines() -> None:
    assert "".join(
        e["text"] for e in only(Fields((("Time", "8 s"), ("Price", ""))))["elements"][0]["elements"]
    ) == ("Time: 8 s\nPrice: –")


def test_progress_is_a_bar_with_its_share_and_label() -> None:
    bar, _, label = only(Progress(30, 100, "loss 0.6"))["elements"][0]["elements"]
    assert (bar["text"], label["text"]) == ("███░░░░░░░", "30 %, loss 0.6")


def test_progress_without_an_end_is_its_label() -> None:
    assert said([only(Progress(3, 0, "on this machine"))]) == "on this machine"


def test_pictures_are_not_blocks() -> None:
    picture = Picture("plots/a.png", "A plot")
    shown = message(picture)
    assert (shown.pictures, types(shown)) == ((picture,), ["header"])


def test_files_are_one_list() -> None:
    [listed] = only(FileLink("report.md", "Read first", 8123), FileLink("x.bin", ""))["elements"]
    assert [[e["text"] for e in item["elements"]] for item in listed["elements"]] == [
        ["report.md", "  Read first, 8.1 kB"],
        ["x.bin"],
    ]


def test_one_table_is_native_and_the_others_are_text() -> None:
    table = Table((Column("a"),), (("b",),))
    assert types(message(table, table)) == ["header", "table", "rich_text"]
    assert types(message(table, native=False)) == ["header", "rich_text"]


def test_only_our_own_address_is_a_link() -> None:
    url = "https://huggingface.co/anna/reviews"
    published = Fields((("Where", url), ("For", url)))
    links = [
        item for item in objects(message(published, key="published").blocks) if item.get("type") == "link"
    ]
    assert links == [{"type": "link", "url": url}]
    assert "link" not in json.dumps(message(published).blocks)
    odd = Fields((("Where", "https://[evil"),))
    assert "link" not in json.dumps(message(odd, key="published").blocks)


# -- the run's own card --------------------------------------------------------------------------------------


def root(events: list[Event], *, native: bool = True) -> Rendered:
    return render(present(events)["root"], native=native)


def test_the_root_is_short() -> None:
    for native in (True, False):
        assert len(root(until_the_plan().events, native=native).blocks) <= 5


def test_the_root_says_where_the_run_is_and_how_much_is_done() -> None:
    shown = root(until_the_plan().events)
    plan = next(block for block in shown.blocks if block["type"] == "plan")
    assert plan["title"] == "5 of 11 steps done"
    assert [(task["title"], task["status"]) for task in plan["tasks"]] == [("Plan, and ask", "pending")]
    assert "Run r7k2mc" in said(shown)
    assert "waiting for an answer" in said(shown)
    plainly = said(root(until_the_plan().events, native=False))
    assert "5 of 11 steps done. Waiting for an answer: Plan, and ask" in plainly


def test_the_root_can_be_cancelled_until_it_ends() -> None:
    assert types(root(until_the_plan().events))[-1] == "actions"
    assert "actions" not in types(root(whole_run().events))
    assert "11 of 11 steps done" in said(root(whole_run().events))


def test_steps_elsewhere_are_shown_all() -> None:
    steps = Steps(
        (Step("Read", StepState.DONE), Step("Train", StepState.NOW, "epoch 2"), Step("Ship", StepState.TODO))
    )
    plan = only(steps)
    assert [task["status"] for task in plan["tasks"]] == ["complete", "in_progress", "pending"]
    assert said([only(steps, native=False)]) == (
        "✓ Done: Read\n… Under way: Train: epoch 2\n· To do: Ship\n1 of 3 steps done"
    )


# -- questions and the end -----------------------------------------------------------------------------------


def test_a_question_explains_its_choices_and_offers_them() -> None:
    shown = render(present(until_the_plan().events)[f"question:{COMPUTE.id}"])
    assert types(shown) == ["header", "rich_text", "rich_text", "actions"]
    assert [button["text"]["text"] for button in shown.blocks[-1]["elements"]] == [
        "Train for $0.00",
        "Baseline only",
        "Change",
        "Cancel",
    ]
    assert "at most 3 min" in said(shown)


def test_a_decided_question_has_no_buttons() -> None:
    shown = render(present(training(until_the_plan()).events)[f"question:{COMPUTE.id}"])
    assert "actions" not in types(shown)
    assert "→ Train for $0.00 (anna)" in said(shown)


def test_the_end_offers_to_try_the_model_if_there_is_one() -> None:
    done = render(present(whole_run().events)["ended:1"])
    assert [button["action_id"] for button in done.blocks[-1]["elements"]] == ["try"]
    log = training(until_the_plan())
    log.say(EventType.ENDED, Stage.FAILED, status="failed", detail="No memory.", hint="Use a smaller model.")
    assert "actions" not in types(render(present(log.events)["ended:1"]))


def test_suggestions_are_buttons() -> None:
    shown = render(present(finishing(training(until_the_plan())).events)["stress"])
    assert [button["action_id"] for button in shown.blocks[-1]["elements"]] == ["suggest:0:typos"]
