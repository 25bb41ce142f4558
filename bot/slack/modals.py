"""The forms: start, edit, answer in words, try a text. Pure. ``private_metadata`` carries where and for which run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from bot.chat.forms import METRICS
from bot.slack import rich

Json = dict[str, Any]
GOAL_CHARS = 3_000  # Slack's most in a text field


def start(place: str, reply_to: str = "", files: Sequence[Mapping[str, Any]] = ()) -> Json:
    """An empty request; ``files``: what a message shortcut was used on."""
    kept = [{k: f.get(k) for k in ("name", "url_private_download", "size")} for f in files][:1]
    about = {"place": place, "reply_to": reply_to, "files": kept}
    named = [rich.context(f"The data is {kept[0]['name']}.")] if kept else []
    data = (
        []
        if kept
        else [
            _input(
                "data", "Data set", hint="A data set of the Hub such as owner/name. Empty: I look for one."
            ),
            _upload(),
        ]
    )
    return _view("start", "A new model", "Start", about, [*named, _goal(""), *data, *_settings()])


def edit(place: str, run_id: str, sentence: str) -> Json:
    notice = rich.context(
        f"Run {run_id} stops, and a new one starts with these words. Nothing was spent on it."
    )
    about = {"place": place, "run": run_id}
    return _view("edit", "Change the task", "Start anew", about, [notice, _goal(sentence), *_settings()])


def words(place: str, run_id: str, question: str, example: str) -> Json:
    about = {"place": place, "run": run_id}
    field = _input("words", "Your answer", hint=example, optional=False, long=True)
    return _view(
        "words", "Your answer", "Send", about, [rich.context(question[:1000] or "Your answer"), field]
    )


def try_it(place: str, run_id: str, reply_to: str) -> Json:
    about = {"place": place, "run": run_id, "reply_to": reply_to}
    field = _input("words", "A text", hint="The model says what it is.", optional=False, long=True)
    return _view("try", "Try the model", "Ask", about, [field])


def _view(callback_id: str, title: str, submit: str, about: Json, blocks: list[Json]) -> Json:
    return {
        "type": "modal",
        "callback_id": callback_id,
        "title": rich.plain(title, 24),
        "submit": rich.plain(submit, 24),
        "close": rich.plain("Cancel", 24),
        "private_metadata": json.dumps(about)[:3000],
        "blocks": blocks,
    }


def _goal(sentence: str) -> Json:
    hint = "What are the texts, and what should the model tell about them? For example: sort our tickets by intent."
    return _input("goal", "What should the model do?", hint=hint, optional=False, long=True, initial=sentence)


def _settings() -> list[Json]:
    options = [{"text": rich.plain(label, 75), "value": value} for value, label in METRICS]
    metric = {
        "type": "input",
        "block_id": "metric",
        "optional": True,
        "label": rich.plain("What matters most?", 100),
        "element": {"type": "static_select", "action_id": "value", "options": options},
    }
    return [
        metric,
        _input("budget", "Budget in US dollars", hint="0 spends nothing. Empty: I ask before each dollar."),
        _input("minutes", "Minutes of training at most"),
    ]


def _input(
    name: str, label: str, *, hint: str = "", optional: bool = True, long: bool = False, initial: str = ""
) -> Json:
    element: Json = {"type": "plain_text_input", "action_id": "value"}
    if long:
        element |= {"multiline": True, "max_length": GOAL_CHARS}
    if initial.strip():
        element["initial_value"] = initial[:GOAL_CHARS]
    block: Json = {
        "type": "input",
        "block_id": name,
        "optional": optional,
        "label": rich.plain(label, 100),
        "element": element,
    }
    return block | ({"hint": rich.plain(hint, 150)} if hint else {})


def _upload() -> Json:
    kinds = ["csv", "tsv", "jsonl", "json", "parquet", "txt", "xlsx"]
    element = {"type": "file_input", "action_id": "value", "filetypes": kinds, "max_files": 1}
    label = rich.plain("Or a file of your own", 100)
    return {"type": "input", "block_id": "file", "optional": True, "label": label, "element": element}
