"""From what discord.py hands over to :class:`bot.chat.incoming.Incoming`. Pure, and total: what is odd is ``None``, or
answered with what one can do.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import discord

from bot.chat.commands import read_command
from bot.chat.forms import FIELDS, sentence_of
from bot.chat.incoming import Attachment, Incoming, Kind, Person
from bot.chat.uploads import is_data
from bot.discord.address import Address
from bot.discord.claims import NO_LONGER_GOOD, Claim

_MENTION = re.compile(r"<(?:@[!&]?|#)\d+>")
_SPOKEN = (discord.MessageType.default, discord.MessageType.reply)


def place_of(guild: int | None, channel: object) -> Address:
    """The conversation that a channel is; its guild is 0 in direct messages."""
    if isinstance(channel, discord.Thread):
        return Address(guild or 0, channel.parent_id, channel.id)
    return Address(guild or 0, channel.id if isinstance(channel, discord.abc.Snowflake) else 0)


def base(interaction: discord.Interaction[Any], kind: Kind) -> Incoming:
    """Who, where; ``reply_to`` is the interaction, whose answers this person alone sees."""
    user = interaction.user
    return Incoming(
        key=f"interaction:{interaction.id}",
        kind=kind,
        person=Person(str(user.id), user.display_name),
        place=str(place_of(interaction.guild_id, interaction.channel)),
        reply_to=str(interaction.id),
    )


def outside(incoming: Incoming) -> Incoming:
    """A new run gets a thread of its own: threads do not nest."""
    return replace(incoming, place=str(Address.parse(incoming.place).outside()))


def started(
    incoming: Incoming, goal: str, metric: str, fields: Mapping[str, str], files: Sequence[Attachment]
) -> Incoming:
    said = sentence_of(goal, metric) if goal.strip() else ""
    kept = {name: fields[name] for name in FIELDS if fields.get(name)}
    return replace(outside(incoming), kind=Kind.START, text=said, fields=kept, attachments=tuple(files))


def message(said: discord.Message, me: int, run_id: str | None) -> Incoming | None:
    """A mention, or a reply in the thread of the run ``run_id``. ``None``: not for us."""
    if said.author.bot or said.type not in _SPOKEN or said.guild is None:
        return None
    addressed = f"<@{me}>" in said.content or f"<@!{me}>" in said.content or _answers(said, me)
    others = [user for user in said.mentions if user.id != me]
    if not addressed and (run_id is None or others):
        return None  # people talk to each other
    incoming = Incoming(
        key=f"message:{said.id}",
        kind=Kind.REPLY,
        person=Person(str(said.author.id), said.author.display_name),
        place=str(place_of(said.guild.id, said.channel)),
        text=plain_text(said.content),
        run_id=run_id or "",
        attachments=attachments(said.attachments),
        addressed=addressed,
    )
    if run_id:
        return incoming
    if incoming.attachments:
        return replace(outside(incoming), kind=Kind.START)
    return _commanded(incoming)


def _answers(said: discord.Message, me: int) -> bool:
    """Whether it is a reply to a message of mine."""
    answered = said.reference.resolved if said.reference else None
    return isinstance(answered, discord.Message) and answered.author.id == me


def _commanded(incoming: Incoming) -> Incoming:
    found = read_command(incoming.text)
    if found is None:
        return replace(incoming, kind=Kind.HELP, text="")
    made = replace(incoming, kind=found.kind, text=found.problem or found.text, run_id=found.run_id)
    return outside(made) if made.kind is Kind.START else made


def plain_text(text: str) -> str:
    """What the person typed, without mentions."""
    return _MENTION.sub(" ", text).strip()


def attachments(files: Iterable[discord.Attachment]) -> tuple[Attachment, ...]:
    return tuple(Attachment(file.filename or "file", file.url, file.size) for file in files)


def data_file(files: Iterable[discord.Attachment]) -> Attachment | None:
    """The first of a message's files that may be data."""
    return next((file for file in attachments(files) if is_data(file.name)), None)


def click(incoming: Incoming, claim: Claim, values: Sequence[str]) -> Incoming | None:
    """A click that decides, suggests, repeats or stops. ``None`` for one that opens something."""
    incoming = replace(incoming, run_id=claim.run)
    match claim.verb:
        case "decide" | "sure":  # "sure" only where the question is no longer open: the server says so
            return _answer(incoming, claim, claim.choice)
        case "choose":
            return _answer(incoming, claim, values[0] if values else "")
        case "suggest":
            return replace(incoming, kind=Kind.SUGGESTION, value=claim.choice)
        case "again":
            return replace(incoming, kind=Kind.AGAIN, text=claim.choice)
        case "stop":
            return replace(incoming, kind=Kind.CANCEL)
        case _:
            return None


def _answer(incoming: Incoming, claim: Claim, choice: str) -> Incoming:
    return replace(
        incoming,
        kind=Kind.ANSWER,
        value=choice,
        question_id=claim.question,
        plan_hash=claim.plan or None,
    )


def no_longer_good(incoming: Incoming) -> Incoming:
    return replace(incoming, kind=Kind.HELP, text=NO_LONGER_GOOD, run_id="")


@dataclass(frozen=True, slots=True)
class Form:
    """What a form that was sent says, a text a field."""

    said: Mapping[str, str]
    files: tuple[Attachment, ...] = ()


def form(data: Mapping[str, Any]) -> Form:
    """Of an interaction's data. A field of an odd shape says nothing."""
    said: dict[str, str] = {}
    for field in _fields(data.get("components")):
        name, values = field.get("custom_id"), field.get("values")
        value = values[0] if isinstance(values, list) and values else field.get("value")
        if isinstance(name, str) and isinstance(value, str):
            said[name] = value
    known = _mapping(_mapping(data.get("resolved")).get("attachments"))
    file = _mapping(known.get(said.pop("file", "")))
    name, url, size = file.get("filename"), file.get("url"), file.get("size")
    if not isinstance(name, str) or not isinstance(url, str):
        return Form(said)
    return Form(said, (Attachment(name, url, size if isinstance(size, int) else None),))


def submission(incoming: Incoming, claim: Claim, sent: Form) -> Incoming | None:
    """A form that was sent; ``None`` for one that we do not know."""
    incoming = replace(incoming, run_id=claim.run)
    said = sent.said
    match claim.verb:
        case "start" | "edit":
            made = started(incoming, said.get("goal", ""), said.get("metric", ""), said, sent.files)
            return replace(made, kind=Kind.EDIT) if claim.verb == "edit" else made
        case "words":
            return replace(incoming, kind=Kind.REPLY, text=said.get("words", "").strip())
        case "try":
            return replace(incoming, kind=Kind.TRY, text=said.get("words", ""))
        case _:
            return None


def _fields(components: Any) -> Iterator[Mapping[str, Any]]:
    """Labels hold one component, rows several."""
    for component in components if isinstance(components, list) else ():
        found = _mapping(component)
        inner = found.get("component")
        if inner is not None or "components" in found:
            yield from _fields([inner] if inner is not None else found.get("components"))
        else:
            yield found


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
