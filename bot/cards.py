"""Neutral cards: what a surface shows, as data.

A card is a value: the same events give an equal card, so that a surface can tell by ``==`` whether anything
has to be posted or edited. It knows no surface and no limit of one (characters, blocks, buttons): each
renderer cuts, splits and escapes in its own medium. Strings are plain text without any markup, and may hold
whatever a person, a file or a data set said: **a renderer escapes every string**. Emphasis is said by a
block's type or style, never inside a string. Paths of pictures and files are relative to the run's folder.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Tone(StrEnum):
    """How a card feels; a renderer picks colour, emoji or frame."""

    NEUTRAL = "neutral"
    WORKING = "working"
    WAITING = "waiting"  # for a person
    GOOD = "good"
    WARN = "warn"
    BAD = "bad"


class Style(StrEnum):
    PLAIN = "plain"
    STRONG = "strong"  # a headline
    QUOTE = "quote"  # somebody's own words
    MUTED = "muted"  # small print
    WARN = "warn"


class StepState(StrEnum):
    TODO = "todo"
    NOW = "now"
    WAITING = "waiting"
    DONE = "done"
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Text:
    text: str
    style: Style = Style.PLAIN


@dataclass(frozen=True, slots=True)
class Bullets:
    items: tuple[str, ...]
    style: Style = Style.PLAIN


@dataclass(frozen=True, slots=True)
class Fields:
    """Names and values, in order."""

    items: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Column:
    title: str
    right: bool = False  # numbers stand at the right


@dataclass(frozen=True, slots=True)
class Table:
    """``rows``: each as long as ``columns``. ``strong``: the row to point out, counted from 0."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    strong: int | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """``done`` of ``total`` in the program's own unit; ``total`` 0 means that the end is not known."""

    done: float
    total: float
    label: str = ""

    @property
    def share(self) -> float:
        """0..1."""
        return min(max(self.done / self.total, 0.0), 1.0) if self.total > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Step:
    label: str
    state: StepState
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Steps:
    """The way from request to model, as a checklist."""

    items: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Picture:
    path: str
    alt_text: str


@dataclass(frozen=True, slots=True)
class Code:
    """Shown as it is, in a fixed-width font."""

    text: str
    language: str = ""


@dataclass(frozen=True, slots=True)
class FileLink:
    path: str
    title: str
    bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """A folder of the machine that the intern runs on. Only who sits there can use it: no chat shows it."""

    label: str
    path: str


Block = Text | Bullets | Fields | Table | Progress | Steps | Picture | Code | FileLink | Place


@dataclass(frozen=True, slots=True)
class Action:
    """A choice that a person can click or type. ``confirm``: ask once more, in these words, first."""

    label: str
    value: str
    detail: str = ""
    style: str = "default"  # "primary", "danger", "default"
    confirm: str = ""


@dataclass(frozen=True, slots=True)
class Asks:
    """What a button carries back: which question, for which plan. Authority is checked by the server."""

    question_id: str
    plan_hash: str | None = None
    price_usd: float | None = None
    free_text: bool = False
    default: str | None = None


@dataclass(frozen=True, slots=True)
class Card:
    """One message. ``key`` is unique in the run: a card of a known key is edited, one of a new key is posted.

    ``fallback`` is the card in one line, for notifications and screen readers. ``live`` cards will still
    change; a log may wait for the last version and print ``news``, the line that says what just changed,
    meanwhile.
    """

    key: str
    run_id: str
    title: str
    blocks: tuple[Block, ...] = ()
    actions: tuple[Action, ...] = ()
    tone: Tone = Tone.NEUTRAL
    fallback: str = ""
    live: bool = False
    news: str = field(default="", compare=False)
    asks: Asks | None = None
