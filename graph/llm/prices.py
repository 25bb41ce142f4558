"""What a language model costs: ``prices.toml``, or what the one who set it up says. Pure but for reading the table."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

from graph.llm.model import Price

_HOSTED = (":cloud", "-cloud")  # ollama passes these on to its maker's machines
_DATED = re.compile(r"-(?:\d{8}|\d{4}-\d{2}-\d{2}|latest)\Z")
_STATED = re.compile(r"\s*(\d{1,4}(?:\.\d{1,6})?)\s*/\s*(\d{1,4}(?:\.\d{1,6})?)\s*")


def price_of(name: str, stated: str | None = None, *, elsewhere: bool = False) -> Price | None:
    """The price of ``provider:model``; ``None`` where it is not known.

    ``stated``: "0.25/2", the setting. ``elsewhere``: the provider's address was changed, so that its own prices say
    nothing about who answers there. Raises ValueError for a ``stated`` that is none.
    """
    if stated:
        return stated_price(stated)
    provider, _, model = name.partition(":")
    section = _table().get(provider)
    if section is None or elsewhere:
        return None
    if section.get("free"):
        if model.endswith(_HOSTED):
            return None
        return Price(0.0, 0.0, section["source"])
    rates = section["models"].get(_DATED.sub("", model))
    return Price(rates[0], rates[1], section["source"], section["as_of"]) if rates else None


def stated_price(text: str) -> Price:
    """ "0.25/2" as a price. Raises ValueError."""
    match = _STATED.fullmatch(text)
    if match is None:
        raise ValueError(f"{text[:40]!r} is not like 0.25/2")
    return Price(float(match[1]), float(match[2]), "INTERN_LLM_PRICE")


@cache
def _table() -> Mapping[str, Any]:
    return tomllib.loads(resources.files("graph.llm").joinpath("prices.toml").read_text("utf-8"))
