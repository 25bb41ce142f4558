"""A card's choices as buttons and menus. Pure; what a click carries back is a :class:`bot.discord.claims.Claim`.

Design decisions
- Data sets are chosen from a menu, which shows each one's details; other choices are buttons, five a row.
- A choice that has to be confirmed (money, publishing) asks once more, in a message that the person alone sees.
- A choice that fits on no button (too long, too many) is counted; people are told how to answer instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from bot.cards import Action, Card, Tone
from bot.chat.calling import ENDED
from bot.chat.text import blank, clean_line, cut, short_line, units
from bot.discord.claims import Claim, NotOurs, digest
from bot.present import ROOT
from bot.views.data import EDIT

A_ROW = 5
MOST_BUTTONS = 15  # three rows; more hide the card on a phone
MOST_OPTIONS = 25  # of Discord
LABEL_UNITS, OPTION_UNITS, PLACEHOLDER_UNITS = 80, 100, 150
_DETAIL_UNITS = 120
_MENU_FROM = 2
_IN_WORDS = ("change", "elsewhere")  # choices that are finished in words
_OFFERS = {"suggestion": "suggest", "again": "again"}  # choices of a card that asks nothing, and their verb


@dataclass(frozen=True, slots=True)
class Button:
    label: str
    custom_id: str
    style: str = "default"


@dataclass(frozen=True, slots=True)
class Option:
    label: str
    value: str
    description: str = ""


@dataclass(frozen=True, slots=True)
class Menu:
    custom_id: str
    placeholder: str
    options: tuple[Option, ...]


Row = tuple[Button, ...] | Menu


@dataclass(frozen=True, slots=True)
class Choices:
    """``left`` choices of the card are on no row."""

    rows: tuple[Row, ...] = ()
    left: int = 0


def choices(card: Card) -> Choices:
    """All that can be clicked on the card."""
    fixed = [button for button in _fixed(card) if button]
    menu, rest = _menu(card)
    rest = [(number, action) for number, action in rest if action.value != EDIT or card.asks]
    offered = [_offered(card, number, action) for number, action in rest]
    unique = {button.custom_id: button for button in reversed(offered) if button}  # Discord takes each once
    kept = [button for button in offered if button and unique[button.custom_id] is button]
    kept = kept[: MOST_BUTTONS - len(fixed)]
    shown = len(card.actions) - len(rest) + len(kept)
    buttons = [*kept, *fixed]
    rows = [tuple(buttons[start : start + A_ROW]) for start in range(0, len(buttons), A_ROW)]
    return Choices((*menu, *rows), len(card.actions) - shown)


def details(card: Card) -> list[tuple[str, str]]:
    """Label and detail of a question's choices that need more words than their button has; a menu shows its own."""
    if card.asks is None:
        return []
    told = [
        (short_line(action.label, 2 * LABEL_UNITS), short_line(action.detail, _DETAIL_UNITS))
        for _, action in _menu(card)[1][:MOST_BUTTONS]
    ]
    return [(label, detail) for label, detail in told if not blank(detail) or units(label) > LABEL_UNITS]


def confirmed(card: Card, choice: int) -> Button | None:
    """The button that takes the choice for good."""
    if card.asks is None or not 0 <= choice < len(card.actions):
        return None
    return _decides(card, choice, replace(card.actions[choice], confirm=""))


def stops(run_id: str) -> Button | None:
    return _button(Action("Stop the run", "", style="danger"), Claim("stop", run_id))


def _offered(card: Card, number: int, action: Action) -> Button | None:
    """A choice or an offer as a button, unless it does not fit on one."""
    if card.asks is not None:
        return _decides(card, number, action)
    kind, _, what = action.value.partition(":")
    return _button(action, Claim(_OFFERS[kind], card.run_id, choice=what)) if kind in _OFFERS else None


def _decides(card: Card, number: int, action: Action) -> Button | None:
    assert card.asks is not None
    question, plan = digest(card.asks.question_id), digest(card.asks.plan_hash)
    if card.asks.free_text and action.value in _IN_WORDS:
        return _button(action, Claim("words", card.run_id, question, plan=plan))
    verb = "decide" if blank(clean_line(action.confirm)) else "sure"
    return _button(action, Claim(verb, card.run_id, question, str(number), plan))


def _fixed(card: Card) -> Iterable[Button | None]:
    """The buttons that a card has because of what it is."""
    asks = card.asks
    if asks and asks.free_text and not any(action.value in _IN_WORDS for action in card.actions):
        claim = Claim("words", card.run_id, digest(asks.question_id), plan=digest(asks.plan_hash))
        yield _button(Action("Answer in words", ""), claim)
    if _is_editable(card):
        yield _button(Action("Edit", ""), Claim("edit", card.run_id))
    if card.key.startswith(ENDED) and card.tone is Tone.GOOD:
        yield _button(Action("Try it", ""), Claim("try", card.run_id))
    if card.key == ROOT and card.live:
        yield _button(Action("Cancel", "", style="danger"), Claim("cancel", card.run_id))


def _is_editable(card: Card) -> bool:
    return card.asks is None and any(action.value == EDIT for action in card.actions)


def _button(action: Action, claim: Claim) -> Button | None:
    try:
        custom_id = claim.dump()
    except NotOurs:
        return None
    label = _label(action)
    return Button(label, custom_id, action.style) if claim.run and not blank(label) else None


def _label(action: Action, most: int = LABEL_UNITS) -> str:
    label = short_line(action.label, most)
    return short_line(action.value, most) if blank(label) else label


def _menu(card: Card) -> tuple[list[Menu], list[tuple[int, Action]]]:
    """A menu of the data sets, and the other choices with their number from 0."""
    numbered = list(enumerate(card.actions))
    data = [
        (number, action)
        for number, action in numbered
        if action.value.startswith("use:") and blank(clean_line(action.confirm))
    ][:MOST_OPTIONS]
    if card.asks is None or len(data) < _MENU_FROM:
        return [], numbered
    try:
        claim = Claim("choose", card.run_id, digest(card.asks.question_id), plan=digest(card.asks.plan_hash))
        custom_id = claim.dump()
    except NotOurs:
        return [], numbered
    options = _options(data)
    menu = Menu(custom_id, cut("Choose the data", PLACEHOLDER_UNITS), options)
    taken = {int(option.value) for option in options}
    return [menu], [(number, action) for number, action in numbered if number not in taken]


def _options(data: Sequence[tuple[int, Action]]) -> tuple[Option, ...]:
    return tuple(
        Option(_label(action, OPTION_UNITS), str(number), short_line(action.detail, OPTION_UNITS))
        for number, action in data
        if not blank(_label(action, OPTION_UNITS))
    )
