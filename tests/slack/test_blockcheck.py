"""The checker takes what Slack takes, to the last character, and says what is wrong with the rest."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.slack.blockcheck import check_chunks, check_message

Json = dict[str, Any]


def plain(text: str) -> Json:
    return {"type": "plain_text", "text": text}


def mrkdwn(n: int) -> Json:
    return {"type": "mrkdwn", "text": "x" * n}


def button(**more: Any) -> Json:
    return {"type": "button", "action_id": "go", "text": plain("Go"), **more}


def actions(*elements: Json) -> Json:
    return {"type": "actions", "elements": list(elements)}


def option(text: str = "A", **more: Any) -> Json:
    return {"text": plain(text), "value": text, **more}


def select(*options: Json, **more: Any) -> Json:
    return {"type": "static_select", "action_id": "pick", "options": list(options), **more}


def confirm(**more: str) -> Json:
    words = {"title": "Sure?", "text": "It costs 1 USD.", "confirm": "Yes", "deny": "No"} | more
    return {name: plain(text) for name, text in words.items()}


def task(i: int = 0, **more: Any) -> Json:
    return {"type": "task_card", "task_id": f"t{i}", "title": "Train", "status": "pending", **more}


def table(rows: int = 1, columns: int = 1, width: int = 1) -> Json:
    return {"type": "table", "rows": [[{"type": "raw_text", "text": "x" * width}] * columns] * rows}


def section(**more: Any) -> Json:
    return {"type": "section", "text": mrkdwn(1), **more}


def modal(*blocks: Json, **more: Any) -> Json:
    return {"type": "modal", "title": plain("Run"), "submit": plain("Go"), "blocks": list(blocks), **more}


def message(*blocks: Json, **more: Any) -> Json:
    return {"text": "hello", "blocks": list(blocks), **more}


# name -> (payload that grows with n, the largest n that Slack takes)
LIMITS: dict[str, tuple[Any, int]] = {
    "section text": (lambda n: message(section(text=mrkdwn(n))), 3000),
    "section field": (lambda n: message(section(fields=[mrkdwn(n)])), 2000),
    "section fields": (lambda n: message(section(fields=[mrkdwn(1)] * n)), 10),
    "header": (lambda n: message({"type": "header", "text": plain("x" * n)}), 150),
    "markdown": (lambda n: message({"type": "markdown", "text": "x" * n}), 12_000),
    "context": (lambda n: message({"type": "context", "elements": [mrkdwn(1)] * n}), 10),
    "actions": (lambda n: message(actions(*(button(action_id=f"a{i}") for i in range(n)))), 25),
    "button text": (lambda n: message(actions(button(text=plain("x" * n)))), 75),
    "button value": (lambda n: message(actions(button(value="x" * n))), 2000),
    "button url": (lambda n: message(actions(button(url="https://a" + "x" * (n - 9)))), 3000),
    "action_id": (lambda n: message(actions(button(action_id="x" * n))), 255),
    "block_id": (lambda n: message(section(block_id="x" * n)), 255),
    "confirm title": (lambda n: message(actions(button(confirm=confirm(title="x" * n)))), 100),
    "confirm text": (lambda n: message(actions(button(confirm=confirm(text="x" * n)))), 300),
    "confirm button": (lambda n: message(actions(button(confirm=confirm(confirm="x" * n)))), 30),
    "deny button": (lambda n: message(actions(button(confirm=confirm(deny="x" * n)))), 30),
    "options": (lambda n: message(actions(select(*(option(f"{i}") for i in range(n))))), 100),
    "option text": (lambda n: message(actions(select(option(text="x" * n)))), 75),
    "option value": (lambda n: message(actions(select(option() | {"value": "x" * n}))), 150),
    "overflow": (lambda n: message(section(accessory=select(*[option()] * n) | {"type": "overflow"})), 5),
    "alt text": (
        lambda n: message({"type": "image", "image_url": "https://a.example/b.png", "alt_text": "x" * n}),
        2000,
    ),
    "table rows": (lambda n: message(table(rows=n)), 100),
    "table columns": (lambda n: message(table(columns=n)), 20),
    "table characters": (lambda n: message(table(rows=10, width=n)), 1000),
    "tables": (lambda n: message(*(table() for _ in range(n))), 1),
    "tasks": (lambda n: message({"type": "plan", "title": "P", "tasks": [task(i) for i in range(n)]}), 50),
    "task title": (lambda n: message(task(title="x" * n)), 150),
    "blocks of a message": (lambda n: message(*[section()] * n), 50),
    "blocks of a view": (lambda n: {"view": modal(*[section()] * n)}, 100),
    "text": (lambda n: {"text": "x" * n}, 4000),
    "text of all blocks": (lambda n: message(*[section(text=mrkdwn(n))] * 13), 1000),
    "modal title": (lambda n: {"view": modal(title=plain("x" * n))}, 24),
    "private_metadata": (lambda n: {"view": modal(private_metadata="x" * n)}, 3000),
    "attachments": (lambda n: message(attachments=[{"blocks": [section(text=mrkdwn(n))]}]), 3000),
}  # fmt: skip


@pytest.mark.parametrize("name", LIMITS)
def test_a_limit_is_kept_to_the_last_character(name: str) -> None:
    payload, most = LIMITS[name]
    assert check_message(payload(most)) == []
    assert check_message(payload(most + 1)) != []


@pytest.mark.parametrize(
    ("payload", "complaint"),
    [
        ({"blocks": [section()]}, "text: a message needs"),
        ({"text": "  "}, "text: a message needs"),
        (message({"type": "section"}), "needs text or fields"),
        (message({"type": "sektion", "text": mrkdwn(1)}), "no block of type 'sektion'"),
        (message(section(txt="x")), "'txt' was unexpected"),
        (message(section(text="x")), "blocks[0].text"),
        (message(section(text=mrkdwn(0))), "0 characters; 1 to 3000"),
        (message({"type": "header", "text": mrkdwn(1)}), "blocks[0].text.type: 'plain_text' was expected"),
        (message(actions(button(text=mrkdwn(1)))), "blocks[0].elements[0].text.type: 'plain_text' was expected"),
        (message(actions(button(style="green"))), "'green' is not one of"),
        (message(actions(button(url="javascript:alert(1)"))), "not an http(s) address"),
        (message(actions(button(), button())), "action_id 'go' is used twice"),
        (message(section(block_id="b"), section(block_id="b")), "block_id 'b' is used twice"),
        (message(actions(select())), "either options or option_groups"),
        (message(actions(select(option(), initial_option=option("B")))), "must be one of the options"),
        (message(task(status="done")), "'done' is not one of"),
        (message({"type": "plan", "title": "P", "tasks": [section()]}), "blocks[0].tasks[0]"),
        (message(metadata={"event_type": "x"}), "metadata: 'event_payload' is a required property"),
        (message(metadata={"event_type": "x", "event_payload": {"x": "y" * 9000}}), "metadata: more than"),
        ({"view": {"type": "modal", "blocks": []}}, "view: 'title' is a required property"),
        ({"view": {"type": "page", "blocks": []}}, "modal or home"),
        (
            {"view": modal({"type": "input", "label": plain("x"), "element": {"type": "plain_text_input"}}, submit={})},
            "view.submit",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(payload: Json, complaint: str) -> None:
    assert complaint in "\n".join(check_message(payload))


def test_chunks_of_a_stream() -> None:
    good = {"type": "task_update", "id": "1", "title": "Train", "status": "complete"}
    assert (
        check_chunks(
            [good, {"type": "markdown_text", "text": "x"}, {"type": "blocks", "blocks": [section()]}]
        )
        == []
    )
    assert check_chunks([good | {"status": "done"}]) != []
    assert check_chunks([{"type": "blocks", "blocks": [section(text=mrkdwn(3001))]}]) != []
    assert check_chunks("x") != []


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "text", "blocks", "elements", "options", "view", "rows", "tasks"]), inner
        )
    ),
    max_leaves=15,
)


@given(json_like, st.sampled_from(["section", "actions", "table", "plan", "context", "rich_text"]), json_like)
def test_anything_gets_an_answer(blocks: Any, kind: str, held: Any) -> None:
    block = {"type": kind, "elements": held, "rows": held, "text": held, "tasks": held}
    assert check_message({"text": "x", "blocks": [block, blocks]}) != []
    assert isinstance(check_message({"text": "x", "blocks": blocks, "metadata": held}), list)
    assert isinstance(check_message({"view": blocks}), list)
