"""What people do in a chat, in one vocabulary for every surface: plain data, so that it can be kept and repeated.

A surface turns its payload into an :class:`Incoming`, keeps it in the inbox before it acknowledges, and hands it to
:class:`bot.chat.reception.Reception`. ``key`` is the surface's own id of the event: the same key is handled once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from bot.cards import Card


class Kind(StrEnum):
    START = "start"  # text: the sentence; fields: what a form said besides
    REPLY = "reply"  # text, in a run's thread
    ANSWER = "answer"  # value, for question_id and plan_hash
    SUGGESTION = "suggestion"  # value: the suggestion's id
    AGAIN = "again"  # text: a change, for a child run
    EDIT = "edit"  # text and fields: the request put differently; the old run is stopped
    CANCEL = "cancel"
    TRY = "try"  # text: what the model is asked
    STATUS = "status"
    RUNS = "runs"
    HELP = "help"


@dataclass(frozen=True, slots=True)
class Person:
    """``id`` is the surface's; ``name`` is what colleagues read."""

    id: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Attachment:
    name: str
    url: str
    bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Incoming:
    """``place``: the surface's address of the conversation, ``WORKSPACE/CHANNEL`` or ``WORKSPACE/CHANNEL/THREAD``.

    ``new_id`` is drawn when it comes in, for the run that it may start: handled twice, it starts one run. ``reply_to``
    is the surface's own address for an answer that only this person sees.
    """

    key: str
    kind: Kind
    person: Person
    place: str
    text: str = ""
    run_id: str = ""  # as the person or the button named it; empty: the place says which
    value: str = ""
    question_id: str | None = None
    plan_hash: str | None = None
    attachments: tuple[Attachment, ...] = ()
    fields: Mapping[str, str] = field(default_factory=dict)
    new_id: str = ""
    reply_to: str = ""
    addressed: bool = True  # False: said in the thread, but to nobody in particular

    @property
    def workspace(self) -> str:
        return self.place.split("/")[0]

    @property
    def channel(self) -> str:
        """The place without its thread."""
        return "/".join(self.place.split("/")[:2])

    def dump(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def load(cls, body: Mapping[str, Any]) -> Incoming:
        known = dict(body)
        known["kind"] = Kind(known["kind"])
        known["person"] = Person(**known["person"])
        known["attachments"] = tuple(Attachment(**a) for a in known["attachments"])
        return cls(**known)


@dataclass(frozen=True, slots=True)
class Reply:
    """``private``: for the eyes of the person alone, where the surface can."""

    card: Card
    private: bool = True
