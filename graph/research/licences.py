"""What the licences of data and base model let us publish. The table is ``licences.toml``.

``ask`` means that ``--yes`` is not enough: a person reads the reason and confirms. A licence that the table
does not know counts as one to ask about, never as allowed.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

_ORDER = ("allowed", "ask", "blocked")


@dataclass(frozen=True, slots=True)
class Licence:
    id: str
    publish: str  # "allowed", "ask" or "blocked"
    why: str = ""
    same: tuple[str, ...] = ()
    commercial: bool = True
    derivatives: bool = True
    attribution: bool = False
    share_alike: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    outcome: str  # "allowed", "ask" or "blocked"
    reason: str  # one sentence for the person who decides


@cache
def _table() -> Mapping[str, Licence]:
    text = resources.files("graph.research").joinpath("licences.toml").read_text(encoding="utf-8")
    table = {}
    for entry in tomllib.loads(text)["licence"]:
        licence = Licence(**{**entry, "same": tuple(entry.get("same", ()))})
        for name in (licence.id, *licence.same):
            table[name] = licence
    return table


def licence_of(name: str | None) -> Licence:
    """The entry for a Hub or SPDX id, whatever its case; ``None`` and unknown names give one to ask about."""
    key = (name or "").strip().casefold()
    known = _table().get(key)
    return known or Licence(key[:60], "ask", "I do not know it, so its text has to be read")


def licence_from_tags(tags: Iterable[str]) -> str | None:
    """The licence among a Hub repository's tags (``license:mit``)."""
    return next((tag.removeprefix("license:") for tag in tags if tag.startswith("license:")), None)


def publish_verdict(data_licence: str | None, model_licence: str | None) -> Verdict:
    """The stricter of the two decides; the reason names each that is not plainly allowed."""
    judged = [
        ("data", data_licence, licence_of(data_licence)),
        ("base model", model_licence, licence_of(model_licence)),
    ]
    outcome = max((licence.publish for _, _, licence in judged), key=_ORDER.index)
    if outcome == "allowed":
        names = " and ".join(f"the {what}'s licence ({licence.id})" for what, _, licence in judged)
        return Verdict(outcome, f"Publishing is allowed by {names}; the model card names the source.")
    reasons = [
        f"the {what}'s licence{f' ({licence.id})' if given else ''}: {licence.why}"
        for what, given, licence in judged
        if licence.publish != "allowed"
    ]
    opening = (
        "Publishing is blocked by"
        if outcome == "blocked"
        else "Before publishing, confirm that you may, because of"
    )
    return Verdict(outcome, f"{opening} {'; and '.join(reasons)}.")
