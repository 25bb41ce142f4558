"""The forms: start, edit, answer in words, try a text. What a form says comes back with a claim as its ``custom_id``,
so that it is understood after a restart too. Pure; Discord's limits: a title and a label of 45 characters, five fields.
"""

from __future__ import annotations

from typing import Any

import discord
from discord import ui

from bot.chat.forms import METRICS
from bot.chat.text import short_line
from bot.discord.claims import Claim

GOAL_CHARS = 4_000  # Discord's most in a text field
_HINT = "Sort our tickets by intent. I care about macro-F1."
_LABEL_UNITS, _DESCRIPTION_UNITS, _PLACEHOLDER_UNITS = 45, 100, 100


def start(message: str = "", file_name: str = "") -> ui.Modal:
    """An empty request. ``message``: ``CHANNEL/MESSAGE`` of the message whose file ``file_name`` is the data."""
    data = (
        [_upload(f"Empty: I take {file_name}.")]
        if message
        else [_input("data", "Data set", "owner/name; empty: I look for one"), _upload()]
    )
    limits = [_input("budget", "Budget in US dollars", "0 spends nothing; empty: I ask before each dollar")]
    return _modal("A new model", Claim("start", choice=message), _goal(""), *data, _metric(), *limits)


def edit(run_id: str, sentence: str) -> ui.Modal:
    budget = _input("budget", "Budget in US dollars", "0 spends nothing; empty: I ask before each dollar")
    minutes = _input("minutes", "Minutes of training at most")
    return _modal(
        "Change the task", Claim("edit", run_id), _goal(sentence), _metric(), budget, minutes,
        note=f"Run {run_id} stops, and a new one starts with these words. Nothing was spent on it.",
    )  # fmt: skip


def words(run_id: str, question: str, example: str) -> ui.Modal:
    label = _input("words", "Your answer", example, required=True, long=True, description=question)
    return _modal("Your answer", Claim("words", run_id), label)


def try_it(run_id: str) -> ui.Modal:
    label = _input("words", "A text for the model", required=True, long=True)
    return _modal("Try the model", Claim("try", run_id), label)


def _modal(title: str, claim: Claim, *items: ui.Item[Any], note: str = "") -> ui.Modal:
    modal = ui.Modal(title=title, custom_id=claim.dump(), timeout=None)
    if note:
        modal.add_item(ui.TextDisplay(note))
    for item in items:
        modal.add_item(item)
    modal.stop()  # discord.py need not wait for it: see bot.discord.app
    return modal


def _goal(sentence: str) -> ui.Label[Any]:
    what = "What are the texts, and what should the model tell about them?"
    return _input(
        "goal",
        "What should the model do?",
        _HINT,
        required=True,
        long=True,
        description=what,
        initial=sentence,
    )


def _metric() -> ui.Label[Any]:
    options = [discord.SelectOption(label=label, value=value) for value, label in METRICS]
    select: ui.Select[Any] = ui.Select(
        custom_id="metric", options=options, required=False, placeholder="I decide", min_values=0
    )
    return ui.Label(text="What matters most?", component=select)


def _upload(
    description: str = "CSV, TSV, JSONL, Parquet or Excel, with a text and a label column",
) -> ui.Label[Any]:
    upload: ui.FileUpload[Any] = ui.FileUpload(custom_id="file", required=False, min_values=0, max_values=1)
    described = short_line(description, _DESCRIPTION_UNITS)
    return ui.Label(text="Or a file of your own", description=described, component=upload)


def _input(
    name: str,
    label: str,
    hint: str = "",
    *,
    required: bool = False,
    long: bool = False,
    description: str = "",
    initial: str = "",
) -> ui.Label[Any]:
    field: ui.TextInput[Any] = ui.TextInput(
        custom_id=name,
        style=discord.TextStyle.paragraph if long else discord.TextStyle.short,
        required=required,
        max_length=GOAL_CHARS if long else 200,
        placeholder=short_line(hint, _PLACEHOLDER_UNITS) or None,
        default=initial[:GOAL_CHARS] if initial.strip() else None,
    )
    described = short_line(description, _DESCRIPTION_UNITS) or None
    return ui.Label(text=short_line(label, _LABEL_UNITS), description=described, component=field)
