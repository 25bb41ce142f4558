"""A card's choices as buttons and menus, and what a click carries back. Pure.

Design decisions
- ``action_id`` says what to do and is unique in its message: ``decide:<n>:<choice>``, ``words:<n>:<choice>``
  (opens the dialog for an answer in words), ``choose:use`` (a menu), ``suggest:<n>:<id>``, ``again:<n>:<change>``,
  ``edit:task``, ``try`` and ``cancel``. The last three carry the run's id alone; the others a ``ButtonValue``,
  which ``clicked`` reads.
- A menu's option holds 75 characters: there the choice alone. The rest of its ``ButtonValue`` stands in the
  ``block_id``, which Slack sends along with the click.
- Slack escapes ``&`` ``<`` ``>`` in what it sends back, so that a ``ButtonValue`` writes them as JSON escapes.
- A choice that fits on no button (too long, too many) is counted; people are told how to answer instead.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from bot.cards import Action, Card, Tone
from bot.chat.calling import ENDED
from bot.chat.text import blank, clean_line, short_line, units
from bot.present import ROOT
from bot.slack import rich
from bot.views.data import EDIT

VALUE_CHARS = 2_000
_RUN_CHARS = 200
_BLOCK_ID_CHARS = 255
_ACTION_ID_CHOICE = 60  # of the choice in an action_id: for logs; Slack's limit is 255
_LABEL_UNITS = 75
_OPTION_UNITS = 75
_CONFIRM_UNITS, _CONFIRM_BUTTON_UNITS = 300, 30
_DETAIL_UNITS = 120
_A_ROW = 5  # more wrap badly on a phone
_MOST_BUTTONS = 25
_MOST_OPTIONS = 100
_MENU_FROM = 6  # so many data sets are chosen from a menu
_MOST_BYTES = 6_000  # of a message's 12,000 (see ``bot.slack.blocks``)
_IN_WORDS = ("change", "elsewhere")  # choices that are finished in words
_OFFERS = {"suggestion": "suggest", "again": "again"}  # choices of a card that asks nothing, and their action
_ESCAPES = str.maketrans({"&": "\\u0026", "<": "\\u003c", ">": "\\u003e"})


@dataclass(frozen=True, slots=True)
class ButtonValue:
    """What a click on a choice says. It is a claim: who may click, and whether the plan still holds, is for
    the server to check.
    """

    run: str
    question: str = ""  # empty for a suggestion or another offer
    choice: str = ""  # empty for "in words"
    plan: str | None = None  # the hash of the plan that was shown

    def dump(self) -> str:
        """Compact JSON in ASCII of at most 2,000 characters.

        :raises ValueError: no run, longer than that, or a text that is not Unicode (a lone surrogate).
        """
        parts = (self.run, self.question, self.choice, self.plan or "")
        for part in parts:
            part.encode()
        said = ""
        if self.run and sum(map(len, parts)) <= VALUE_CHARS:
            said = json.dumps(asdict(self), separators=(",", ":")).translate(_ESCAPES)
        if not 0 < len(said) <= VALUE_CHARS:
            raise ValueError("A button's value needs a run and has at most 2,000 characters.")
        return said

    @classmethod
    def load(cls, text: str) -> ButtonValue:
        """The value that ``dump`` wrote, and nothing else.

        :raises ValueError: for any other text.
        """
        try:
            said = json.loads(text[: VALUE_CHARS + 1])
        except RecursionError as error:
            raise ValueError("A button's value is not nested.") from error
        if not isinstance(said, dict) or said.keys() != {"run", "question", "choice", "plan"}:
            raise ValueError("A button's value has other fields.")
        plan = said.pop("plan")
        if not all(isinstance(part, str) for part in said.values()) or not isinstance(plan, str | None):
            raise ValueError("A button's value has a field of another type.")
        value = cls(**said, plan=plan)
        if value.dump() != text:
            raise ValueError("A button's value is written in another way.")
        return value


def clicked(action: Mapping[str, Any]) -> ButtonValue:
    """What a click's ``actions[0]`` says, of a button and of a menu alike.

    :raises ValueError: not one of ours, or changed.
    """
    if action.get("type") != "static_select":
        return ButtonValue.load(_string(action.get("value")))
    option = action.get("selected_option")
    choice = _string(option.get("value")) if isinstance(option, Mapping) else ""
    if not choice:
        raise ValueError("Nothing was chosen.")
    return replace(ButtonValue.load(_string(action.get("block_id"))), choice=choice)


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("A click carries a text.")
    return value


@dataclass(frozen=True, slots=True)
class Choices:
    """A card's ``actions`` blocks; ``left`` choices are on none of them."""

    blocks: list[rich.Json] = field(default_factory=list)
    left: int = 0


def choices(card: Card) -> Choices:
    """All that can be clicked on the card; at most 25 buttons, five a row, and a menu."""
    fixed = [button for button in _fixed(card) if button]
    menu, rest = _menu(card)
    offered = [_offered(card, number, action) for number, action in rest if card.asks or _is_offer(action)]
    buttons = [button for button in offered if button]
    room = _MOST_BYTES - rich.size([*menu, *fixed])
    kept: list[rich.Json] = []
    for button in buttons[: _MOST_BUTTONS - len(fixed)]:
        room -= rich.size([button])
        if room < 0:
            break
        kept.append(button)
    left = len(offered) - len(kept)
    return Choices([*menu, *_rows([*_one_primary(kept), *fixed])], left)


def details(card: Card) -> list[tuple[str, str]]:
    """Label and detail of a question's choices that need more words than their button has; a menu shows its own."""
    if card.asks is None:
        return []
    in_menu = _menu(card)[0]
    told = [
        (short_line(action.label, 2 * _LABEL_UNITS), short_line(action.detail, _DETAIL_UNITS))
        for action in card.actions[:_MOST_BUTTONS]
        if not (in_menu and _is_data(action))
    ]
    return [(label, detail) for label, detail in told if not blank(detail) or units(label) > _LABEL_UNITS]


def _rows(buttons: Sequence[rich.Json]) -> list[rich.Json]:
    return [
        {"type": "actions", "elements": list(buttons[start : start + _A_ROW])}
        for start in range(0, len(buttons), _A_ROW)
    ]


def _one_primary(buttons: Iterable[rich.Json]) -> Iterable[rich.Json]:
    """Slack asks for at most one green button a set."""
    seen = False
    for button in buttons:
        primary = button.get("style") == "primary"
        yield {k: v for k, v in button.items() if k != "style"} if primary and seen else button
        seen = seen or primary


def _offered(card: Card, number: int, action: Action) -> rich.Json | None:
    """A choice or an offer as a button, unless it does not fit on one."""
    if card.asks is None:
        kind, _, what = action.value.partition(":")
        return _button(
            action, f"{_OFFERS[kind]}:{number}:{_name(what)}", ButtonValue(card.run_id, choice=what)
        )
    in_words = card.asks.free_text and action.value in _IN_WORDS
    verb = "words" if in_words else "decide"
    value = ButtonValue(card.run_id, card.asks.question_id, action.value, card.asks.plan_hash)
    return _button(action, f"{verb}:{number}:{_name(action.value)}", value)


def _is_offer(action: Action) -> bool:
    return action.value.partition(":")[0] in _OFFERS


def _name(choice: str) -> str:
    return short_line(choice, _ACTION_ID_CHOICE)


def _fixed(card: Card) -> Iterable[rich.Json | None]:
    """The buttons that a card has because of what it is."""
    asks = card.asks
    if asks and asks.free_text and not any(action.value in _IN_WORDS for action in card.actions):
        value = ButtonValue(card.run_id, asks.question_id, plan=asks.plan_hash)
        yield _button(Action("Answer in words", ""), "words:answer", value)
    if _is_editable(card):
        yield _button(Action("Edit", ""), EDIT, card.run_id)
    if card.key.startswith(ENDED) and card.tone is Tone.GOOD:
        yield _button(Action("Try it", ""), "try", card.run_id)
    if card.key == ROOT and card.live:
        sure = "The run stops; what it has saved is kept."
        yield _button(Action("Cancel", "", style="danger", confirm=sure), "cancel", card.run_id)


def _is_editable(card: Card) -> bool:
    return card.asks is None and any(action.value == EDIT for action in card.actions)


def _button(action: Action, action_id: str, value: ButtonValue | str) -> rich.Json | None:
    try:
        said = value if isinstance(value, str) else value.dump()
        said.encode()
    except ValueError:
        return None
    if not 0 < len(said) <= (_RUN_CHARS if said is value else VALUE_CHARS):
        return None
    label = _label(action)
    button: rich.Json = {
        "type": "button",
        "action_id": action_id,
        "text": rich.plain(label, _LABEL_UNITS),
        "value": said,
    }
    if action.style in ("primary", "danger"):
        button["style"] = action.style
    if not blank(short_line(action.confirm, _CONFIRM_UNITS)):
        button["confirm"] = _confirm(action, label)
    return button


def _label(action: Action) -> str:
    label = short_line(action.label, _LABEL_UNITS)
    return action.value if blank(label) else label


def _confirm(action: Action, label: str) -> rich.Json:
    return {
        "title": rich.plain("Are you sure?", 100),
        "text": rich.plain(action.confirm, _CONFIRM_UNITS),
        "confirm": rich.plain(label, _CONFIRM_BUTTON_UNITS),
        "deny": rich.plain("Go back", _CONFIRM_BUTTON_UNITS),
        **({"style": "danger"} if action.style == "danger" else {}),
    }


def _is_data(action: Action) -> bool:
    """Whether the choice is one of the data sets, and fits into a menu."""
    value = action.value
    return (
        value.startswith("use:")
        and units(value) <= _OPTION_UNITS
        and value == clean_line(value)
        and not action.confirm
    )


def _menu(card: Card) -> tuple[list[rich.Json], list[tuple[int, Action]]]:
    """A menu of the data sets where there are many, and the other choices with their number from 0."""
    numbered = list(enumerate(card.actions))
    data = [action for action in card.actions if _is_data(action)][:_MOST_OPTIONS]
    if card.asks is None or len(data) < _MENU_FROM:
        return [], numbered
    try:
        block_id = ButtonValue(card.run_id, card.asks.question_id, plan=card.asks.plan_hash).dump()
    except ValueError:
        return [], numbered
    options = [_option(action) for action in data]
    menu: rich.Json = {
        "type": "static_select",
        "action_id": "choose:use",
        "placeholder": rich.plain("Choose the data", 150),
        "options": options,
    }
    block = {"type": "actions", "block_id": block_id, "elements": [menu]}
    while len(options) > 1 and rich.size([block]) > _MOST_BYTES // 2:
        options.pop()
    if len(block_id) > _BLOCK_ID_CHARS or rich.size([block]) > _MOST_BYTES // 2:
        return [], numbered
    return [block], [(number, action) for number, action in numbered if action not in data[: len(options)]]


def _option(action: Action) -> rich.Json:
    option: rich.Json = {"text": rich.plain(_label(action), _OPTION_UNITS), "value": action.value}
    if not blank(short_line(action.detail, _OPTION_UNITS)):
        option["description"] = rich.plain(action.detail, _OPTION_UNITS)
    return option
