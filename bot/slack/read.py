"""From Slack's payloads to :class:`bot.chat.incoming.Incoming`. Pure, and total: what is odd is ``None``.

Payloads: https://docs.slack.dev/interactivity and https://docs.slack.dev/reference/events.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from bot.chat.commands import read_command
from bot.chat.forms import FIELDS, sentence_of
from bot.chat.incoming import Attachment, Incoming, Kind, Person
from bot.slack.address import Address
from bot.slack.blocks import clicked

Json = Mapping[str, Any]

_LABELLED = re.compile(r"<(?:https?|mailto|tel):[^|>]*\|([^>]*)>")
_ADDRESS = re.compile(r"<((?:https?|mailto|tel):[^|>]*)>")
_MENTION = re.compile(r"<[@!#][^>]*>")
_SPOKEN = (None, "file_share", "thread_broadcast")  # subtypes of messages that a person wrote


def plain_text(text: str) -> str:
    """What the person typed: links as they were written, mentions gone, entities undone."""
    text = _ADDRESS.sub(r"\1", _LABELLED.sub(r"\1", text))
    return html.unescape(_MENTION.sub(" ", text)).strip()


def command(body: Json) -> Incoming | None:
    """``/intern …``; ``None`` where a form should be opened."""
    place = str(Address(_text(body, "team_id"), _text(body, "channel_id")))
    person = Person(_text(body, "user_id"), _text(body, "user_name"))
    key = f"command:{_text(body, 'trigger_id')}"
    return _commanded(
        plain_text(_text(body, "text")),
        Incoming(key, Kind.START, person, place, reply_to=_text(body, "response_url")),
    )


def _commanded(text: str, incoming: Incoming) -> Incoming | None:
    read = read_command(text)
    if read is None:
        return None
    return replace(incoming, kind=read.kind, text=read.problem or read.text, run_id=read.run_id)


def message(event: Json, team: str, bot_user: str, run_id: str | None) -> Incoming | None:
    """A mention, a direct message, or a reply in the thread of the run ``run_id``. ``None``: not for us."""
    text, thread, channel = _text(event, "text"), _text(event, "thread_ts"), _text(event, "channel")
    user, ts = _text(event, "user"), _text(event, "ts")
    if event.get("subtype") not in _SPOKEN or event.get("bot_id") or not user or user == bot_user or not ts:
        return None
    addressed = f"<@{bot_user}>" in text or event.get("channel_type") == "im"
    others = [m for m in re.findall(r"<@(\w+)", text) if m != bot_user]
    if not addressed and (run_id is None or others):
        return None  # people talk to each other
    incoming = Incoming(
        key=f"message:{channel}:{ts}",
        kind=Kind.REPLY,
        person=Person(user),
        place=str(Address(team, channel, thread or ("" if run_id else ts))),
        text=plain_text(text),
        run_id=run_id or "",
        attachments=attachments(event.get("files")),
        addressed=addressed,
    )
    if run_id:
        return incoming
    if incoming.attachments:
        return replace(incoming, kind=Kind.START)
    return _commanded(incoming.text, incoming) or replace(incoming, kind=Kind.HELP)


def attachments(files: Any) -> tuple[Attachment, ...]:
    found = [f for f in files or () if isinstance(f, Mapping)]
    return tuple(
        Attachment(
            _text(f, "name") or "file",
            _text(f, "url_private_download") or _text(f, "url_private"),
            f["size"] if isinstance(f.get("size"), int) else None,
        )
        for f in found
    )


def click(body: Json) -> Incoming | None:
    """A click on a button or a choice in a menu that decides, suggests, repeats or cancels. ``None`` for another."""
    action = _first(body, "actions")
    verb = _text(action, "action_id").partition(":")[0]
    incoming = _clicked(body, action)
    try:
        match verb:
            case "decide" | "choose":
                said = clicked(action)
                return replace(
                    incoming,
                    kind=Kind.ANSWER,
                    run_id=said.run,
                    value=said.choice,
                    question_id=said.question,
                    plan_hash=said.plan,
                )
            case "suggest":
                said = clicked(action)
                return replace(incoming, kind=Kind.SUGGESTION, run_id=said.run, value=said.choice)
            case "again":
                said = clicked(action)
                return replace(incoming, kind=Kind.AGAIN, run_id=said.run, text=said.choice)
            case "cancel":
                return replace(incoming, kind=Kind.CANCEL, run_id=_text(action, "value"))
            case _:
                return None
    except ValueError:  # tampered with, or of a version that is gone
        return replace(
            incoming, kind=Kind.HELP, text="That button is no longer good. Here is what you can write."
        )


def _clicked(body: Json, action: Json) -> Incoming:
    """Who clicked, where; a key that a second delivery of the same click has too."""
    where = _part(body, "container")
    stamp = f"{_text(action, 'action_ts')}:{_text(action, 'action_id')}"
    return Incoming(
        key=f"click:{_text(where, 'message_ts')}:{_user(body).id}:{stamp}",
        kind=Kind.HELP,
        person=_user(body),
        place=place_of(body),
        reply_to=_text(body, "response_url"),
    )


def place_of(body: Json) -> str:
    """The conversation that an interaction happened in."""
    where, shown = _part(body, "container"), _part(body, "message")
    channel = _text(where, "channel_id") or _text(_part(body, "channel"), "id")
    return str(Address(team_of(body), channel, _text(where, "thread_ts") or _text(shown, "thread_ts")))


def team_of(body: Json) -> str:
    return _text(_part(body, "team"), "id") or _text(_part(body, "user"), "team_id") or _text(body, "team_id")


def submission(body: Json) -> Incoming | None:
    """A form that was sent. Its ``private_metadata`` says where and for which run (see ``bot.slack.modals``)."""
    view = _part(body, "view")
    try:
        about = json.loads(_text(view, "private_metadata") or "{}")
    except ValueError:
        return None
    said = values(view)
    incoming = Incoming(
        key=f"view:{_text(view, 'id')}",
        kind=Kind.START,
        person=_user(body),
        place=_text(about, "place"),
        run_id=_text(about, "run"),
        reply_to=_text(about, "reply_to"),
        fields={name: said[name] for name in FIELDS if said.get(name)},
    )
    match _text(view, "callback_id"):
        case "start" | "edit" as which:
            files = (*attachments(about.get("files")), *attachments(_files(view)))
            kind = Kind.START if which == "start" else Kind.EDIT
            goal = sentence_of(said.get("goal", ""), said.get("metric", ""))
            return replace(incoming, kind=kind, text=goal, attachments=files)
        case "words":
            text = said.get("words", "").strip()
            return replace(incoming, kind=Kind.REPLY, text=text)
        case "try":
            return replace(incoming, kind=Kind.TRY, text=said.get("words", ""))
        case _:
            return None


def values(view: Json) -> dict[str, str]:
    """``block_id -> what was typed or chosen``; each of our blocks has one element."""
    found = {}
    for block_id, elements in _part(_part(view, "state"), "values").items():
        for element in elements.values():
            chosen = element.get("selected_option")
            value = element.get("value") if not chosen else chosen.get("value")
            if isinstance(value, str):
                found[block_id] = value
    return found


def _files(view: Json) -> list[Any]:
    elements = [e for block in _part(_part(view, "state"), "values").values() for e in block.values()]
    return [file for element in elements for file in element.get("files") or ()]


def _user(body: Json) -> Person:
    user = _part(body, "user")
    return Person(_text(user, "id"), _text(user, "name") or _text(user, "username"))


def _first(body: Json, key: str) -> Json:
    found = body.get(key)
    return found[0] if isinstance(found, list) and found and isinstance(found[0], Mapping) else {}


def _part(body: Json, key: str) -> Json:
    found = body.get(key)
    return found if isinstance(found, Mapping) else {}


def _text(body: Json, key: str) -> str:
    found = body.get(key)
    return found if isinstance(found, str) else ""
