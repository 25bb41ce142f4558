"""Counts what looks like personal data in texts. Suspects, not proof; shown only in masked form.

Every pattern is bounded in length, so that a text of 100,000 characters costs linear time.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

SCANNED_CHARS = 20_000


@dataclass(frozen=True, slots=True)
class Suspect:
    kind: str
    rows: int
    examples: tuple[str, ...]  # masked


_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,4}")
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b")
_CARD = re.compile(r"(?<![\d.,-])(?:\d[ -]?){12,18}\d(?![\d.,-]?\d)")
_IP = re.compile(r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d.])")
_DATE = re.compile(r"\d{1,2}([./ -])\d{1,2}\1\d{2,4}")
_PHONE = re.compile(r"(?<![\w.,-])(?:\+\d{1,3}[ .-]?|\(?0)\(?\d{1,5}\)?(?:[ ./-]?\d{2,5}){2,4}(?![\w,-])")


def _luhn(found: str) -> bool:
    digits = [int(c) for c in found if c.isdigit()][::-1]
    total = sum(digits[::2]) + sum(sum(divmod(2 * d, 10)) for d in digits[1::2])
    return len(set(digits)) > 1 and total % 10 == 0


def _iban(found: str) -> bool:
    """ISO 13616: the rearranged number is 1 modulo 97."""
    code = found.replace(" ", "")
    return 15 <= len(code) <= 34 and int("".join(str(int(c, 36)) for c in code[4:] + code[:4])) % 97 == 1


def _ip(found: str) -> bool:
    try:
        address = ipaddress.ip_address(found)
    except ValueError:
        return False
    return not (address.is_loopback or address.is_unspecified)


def _phone(found: str) -> bool:
    return 8 <= sum(c.isdigit() for c in found) <= 15 and not _DATE.fullmatch(found)


_KINDS: tuple[tuple[str, re.Pattern[str], Callable[[str], bool]], ...] = (
    ("e-mail address", _EMAIL, lambda _: True),
    ("IBAN", _IBAN, _iban),
    ("credit-card number", _CARD, _luhn),
    ("IP address", _IP, _ip),
    ("phone number", _PHONE, _phone),
)


def personal_data(texts: Sequence[str]) -> list[Suspect]:
    """What was found, by kind, with up to three masked examples each."""
    rows = {kind: 0 for kind, _, _ in _KINDS}
    examples: dict[str, list[str]] = {kind: [] for kind in rows}
    for text in texts:
        rest = text[:SCANNED_CHARS]
        if "@" not in rest and not any(c.isdigit() for c in rest):
            continue
        for kind, pattern, real in _KINDS:
            found = [match for match in pattern.findall(rest) if real(match)]
            if not found:
                continue
            rows[kind] += 1
            if len(examples[kind]) < 3:
                examples[kind].append(mask(found[0]))
            for match in found:  # a card number is not a phone number as well
                rest = rest.replace(match, " ")
    return [Suspect(kind, count, tuple(examples[kind])) for kind, count in rows.items() if count]


def mask(found: str) -> str:
    """The first two characters and the shape of the rest: ``jo••••••@•••••••.•••``."""
    return found[:2] + "".join("•" if c.isalnum() else c for c in found[2:])
