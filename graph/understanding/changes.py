"""Changes to a plan, as a person words them: "make it smaller", "minutes=5 epochs=1", "use 3 epochs".

:func:`read_change` gives settings of the recipe's config and, under ``minutes``, the time limit; or one
sentence that says what can be changed. Values outside the range of a setting are refused, never bent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from graph.understanding.durations import read_durations
from graph.understanding.numbers import NUMBER, number
from graph.understanding.text import Text, plain_line

MAX_CHARS = 2000


@dataclass(frozen=True, slots=True)
class Setting:
    """One hyperparameter: its names in a sentence, its type and range."""

    key: str
    names: str  # pattern
    low: float
    high: float
    whole: bool = True


SETTINGS = (
    Setting("minutes", r"minutes?|mins?|minuten|minutos", 0.1, 1440, whole=False),
    Setting("epochs", r"epochs?|epochen|épo(?:que|ques)|épocas?", 0, 100),
    Setting("batch_size", r"batch[ _-]?size|batch", 1, 1024),
    Setting("head_learning_rate", r"head[ _-](?:learning[ _-]rate|lr)", 1e-7, 1.0, whole=False),
    Setting("learning_rate", r"learning[ _-]rate|lr|lernrate", 1e-7, 0.1, whole=False),
    Setting(
        "max_length",
        r"max(?:imum)?[ _-](?:sequence[ _-])?length|(?:sequence|token|text)[ _-]length|max[ _-]tokens",
        8,
        512,
    ),
    Setting("frozen_layers", r"frozen[ _-]layers?|(?:lower |bottom )?layers", 0, 48),
    Setting("typo_augmentation", r"typo[ _-]augmentation", 0.0, 1.0, whole=False),
    Setting("label_smoothing", r"label[ _-]smoothing", 0.0, 0.5, whole=False),
    Setting("seed", r"(?:random )?seed", 0, 2**31 - 1),
    Setting(
        "max_train_rows", r"max[ _-]train[ _-]rows|(?:training |train )?(?:rows|examples)", 20, 10_000_000
    ),
    Setting("gradient_accumulation", r"gradient[ _-]accumulation(?:[ _-]steps)?|accumulation", 1, 256),
)
CAN_CHANGE = (
    "You can change minutes, epochs, batch_size, learning_rate, head_learning_rate, max_length, "
    "frozen_layers, "
    "class_weights, label_smoothing, typo_augmentation, gradient_accumulation, max_train_rows and seed, "
    'for example "minutes=5 epochs=1" or "make it faster".'
)
_VALUE = r"[-+]?\d[\d.,]{0,14}(?:e[-+]?\d{1,3})?%?k?"
_NAMES = "|".join(f"(?P<s{i}>{s.names})" for i, s in enumerate(SETTINGS))
_NAME_VALUE = re.compile(
    rf"(?<![\w-])(?:{_NAMES})(?: (?:to|of|is|auf|at|a|à))?[ :=]{{1,3}}(?P<value>{_VALUE}"
    rf"|(?:{NUMBER}))(?![\w])"
)
_VALUE_NAME = re.compile(rf"(?<![\w.,-])(?P<value>{_VALUE}|(?:{NUMBER})) ?(?:{_NAMES})(?![\w])")
_ASSIGNED = re.compile(r"(?<!\S)([a-z][a-z_-]{1,40})\s?=\s?(\S{1,40})")
_NOT_POSSIBLE = re.compile(
    r"\b(?:(?:use|on|rent|get|with|need|try)\b(?: \w+){0,2} )?(?P<what>gpus?|a100|h100|tpu|cpu|modal)\b"
)

# Lower and higher are half and twice the recipe's usual 2e-4; batch sizes likewise stand around its usual 32.
_PHRASES: tuple[tuple[re.Pattern[str], Mapping[str, Any]], ...] = (
    (
        re.compile(
            r"\b(?:do ?n[o']?t|don't|do not|no|without|never|nicht) (?:\w+ )?(?:freez\w*|frozen)\b"
            r"|\bunfreeze\b|\b(?:train|tune) all layers\b"
        ),
        {"frozen_layers": 0},
    ),
    (
        re.compile(r"\bfreeze (?:the )?(?:lower|more|some|half)\b|\bfreeze (?:the )?layers\b"),
        {"frozen_layers": "auto"},
    ),
    (
        re.compile(
            r"\b(?:no|without|don't use|drop) class[ _-]weights?\b|\bclass[ _-]weights?[ "
            r"=:]{1,3}(?:none|off|no|false)\b"
        ),
        {"class_weights": "off"},
    ),
    (
        re.compile(
            r"\b(?:use|with|add|balanced?) class[ _-]weights?\b|\bclass[ _-]weights?[ =:]{1,3}(?:on|yes"
            r"|true|balanced)\b|\bbalance the classes\b"
        ),
        {"class_weights": "on"},
    ),
    (re.compile(r"\bclass[ _-]weights?[ =:]{1,3}auto\b"), {"class_weights": "auto"}),
    (re.compile(r"\b(?:no|without|drop) (?:label )?smoothing\b"), {"label_smoothing": 0.0}),
    (
        re.compile(r"\b(?:no|without|drop) (?:typos?|augmentation|typo augmentation)\b"),
        {"typo_augmentation": 0.0},
    ),
    (
        re.compile(r"\b(?:add|use|with|more) (?:some )?(?:typos?|typo augmentation)\b"),
        {"typo_augmentation": 0.1},
    ),
    (re.compile(r"\b(?:add|use|with|some) (?:some )?label smoothing\b"), {"label_smoothing": 0.1}),
    (
        re.compile(
            r"\b(?:lower|smaller|slower|reduce(?: the)?|decrease(?: the)?|halve(?: the)?) "
            r"(?:learning rate|lr)\b|\blearning rate (?:lower|down)\b"
        ),
        {"learning_rate": 1e-4},
    ),
    (
        re.compile(
            r"\b(?:higher|larger|bigger|raise(?: the)?|increase(?: the)?|double(?: the)?) "
            r"(?:learning rate|lr)\b"
        ),
        {"learning_rate": 4e-4},
    ),
    (
        re.compile(
            r"\b(?:smaller|lower|reduce(?: the)?|halve(?: the)?) batch(?:es|[ -]size)?\b|\bless memory\b"
        ),
        {"batch_size": 8},
    ),
    (
        re.compile(r"\b(?:larger|bigger|increase(?: the)?|double(?: the)?) batch(?:es|[ -]size)?\b"),
        {"batch_size": 64},
    ),
    (re.compile(r"\b(?:shorter|cut the|truncate the) (?:texts?|inputs?|sequences?)\b"), {"max_length": 64}),
    (re.compile(r"\b(?:longer (?:texts?|inputs?|sequences?))\b"), {"max_length": 256}),
)
# Short of saying how: each names the settings that it turns, in the order of effect.
_FASTER = re.compile(
    r"\b(?:fast(?:er)?|quick(?:er|ly)?|speed (?:it )?up|less time|shorter(?! (?:text|input|sequence))"
    r"|schneller|kürzer|plus vite"
    r"|más rápido)\b"
)
_CHEAPER = re.compile(
    r"\b(?:cheap(?:er)?|less money|save money|costs? less|billiger|günstiger|moins cher|más barato)\b"
)
_SMALLER = re.compile(
    r"\b(?:small(?:er)?|lighter|tinier|kleiner|plus petit|más pequeño)\b(?! (?:batch|learning|lr))"
)
_BETTER = re.compile(
    r"\b(?:better|longer|more accurate|train more|more epochs|besser|länger|mejor|mieux)\b(?! (?:text"
    r"|input|sequence))"
)
_FEWER = re.compile(r"\b(?:fewer|less) epochs\b")


def read_change(text: str) -> Mapping[str, Any] | str:
    """Settings to change, or a sentence for the person when nothing, or a value, could be read. Never
    raises."""
    request = Text(text[:MAX_CHARS])
    changes: dict[str, Any] = {}
    unknown = [m[1] for m in _ASSIGNED.finditer(request.low) if not _known(m[1])]
    if unknown:
        return f'I know no setting "{plain_line(unknown[0], 40)}". {CAN_CHANGE}'
    complaint = _numbers(request, changes)
    if complaint:
        return complaint
    durations = read_durations(request).minutes
    if durations:
        changes.setdefault("minutes", durations[0].value)
    for pattern, settings in _PHRASES:
        if request.search(pattern):
            changes |= {k: v for k, v in settings.items() if k not in changes}
    _wishes(request, changes)
    if changes:
        return changes
    machine = request.search(_NOT_POSSIBLE)
    if machine:
        return (
            f"The machine ({plain_line(machine['what'].upper(), 10)}) can't be changed here: it "
            f"follows from the budget and "
            f"from what is connected, which `intern doctor` shows. {CAN_CHANGE}"
        )
    return f"I could not read a change in that. {CAN_CHANGE}"


def named_settings(text: Text) -> tuple[str, ...]:
    """The very words that set a hyperparameter by name, such as "3 epochs": they belong to the plan."""
    found = (m for pattern in (_NAME_VALUE, _VALUE_NAME) for m in text.all(pattern))
    return tuple(text.quote(m) for m in found if not (m["s0"] or m["s10"]))


def _known(name: str) -> bool:
    return name.startswith("class") or any(re.fullmatch(s.names, name) for s in SETTINGS)


def _numbers(text: Text, changes: dict[str, Any]) -> str | None:
    """Settings given with a number, in either order; a sentence where a number is out of range."""
    for pattern in (_NAME_VALUE, _VALUE_NAME):
        for match in text.all(pattern):
            setting = next(s for i, s in enumerate(SETTINGS) if match[f"s{i}"])
            value = _value(match["value"])
            if setting.key in changes:
                continue
            if (
                value is None
                or not setting.low <= value <= setting.high
                or (setting.whole and value != int(value))
            ):
                kind = "a whole number" if setting.whole else "a number"
                return (
                    f"{setting.key} has to be {kind} from {setting.low:g} to {setting.high:g}; "
                    f"{plain_line(match['value'], 20)} is not."
                )
            changes[setting.key] = int(value) if setting.whole else value
    return None


def _value(words: str) -> float | None:
    if re.fullmatch(r"[-+]?\d+(?:\.\d+)?e[-+]?\d{1,3}|[-+]\d+(?:\.\d+)?", words):
        return float(words)
    if words.endswith("k"):
        value = number(words[:-1])
        return None if value is None else value * 1000
    if words.endswith("%"):
        value = number(words[:-1])
        return None if value is None else value / 100
    return number(words)


def _wishes(text: Text, changes: dict[str, Any]) -> None:
    """Wishes without a number. What the person set in the same breath stays."""
    for pattern, settings in (
        (_SMALLER, {"max_length": 64, "epochs": 1}),
        (_CHEAPER, {"epochs": 1}),
        (_FASTER, {"epochs": 1}),
        (_FEWER, {"epochs": 1}),
        (_BETTER, {"epochs": 6, "frozen_layers": 0}),
    ):
        if text.search(pattern):
            for key, value in settings.items():
                changes.setdefault(key, value)
            return
