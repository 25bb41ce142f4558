"""What the licences of data and base model let us do with what is made from them. The table is ``licences.toml``.

Three things decide: both licences, what the model is for (commercial, non-commercial, internal), and who will see it.
``ask`` means that ``--yes`` is not enough: a person reads the reason and confirms. A licence that the table does not
know, that is missing, or that contradicts itself is one to ask about, never allowed. What the model's own card says
follows from both; where it cannot be known it says ``other``, and nothing is invented.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources

COMMERCIAL, NON_COMMERCIAL, INTERNAL = "commercial", "non-commercial", "internal"
PURPOSES = (COMMERCIAL, NON_COMMERCIAL, INTERNAL)
_ORDER = ("allowed", "ask", "blocked")
_SUFFIX = re.compile(r"(?:-only|-or-later|\+)\Z")
_SEVERAL = re.compile(r"\s+and\s+|\s*[,;]\s*", re.IGNORECASE)
_EITHER = re.compile(r"\s+or\s+|\s*\|\s*", re.IGNORECASE)
_SAME_LICENCE = "it asks that what is made from it carries the same licence"
_TERMS = "its limits of use have to be passed on"
_NO_COMMERCE = "it forbids commercial use"
_NO_SHARING = "it forbids sharing what is made from it"


@dataclass(frozen=True, slots=True)
class Licence:
    """``ask``: why its text has to be read first. Without one, the properties decide."""

    id: str
    hub: bool = True
    attribution: bool = False
    commercial: bool = True
    derivatives: bool = True
    share_alike: bool = False
    terms: bool = False
    fits: tuple[str, ...] = ()
    ask: str = ""

    @property
    def publish(self) -> str:
        """For everybody and whatever purpose: "allowed", "ask" or "blocked"."""
        return _judge(self, "", private=False)[0]


@dataclass(frozen=True, slots=True)
class Verdict:
    outcome: str  # "allowed", "ask" or "blocked"
    reason: str  # one sentence for the person who decides


@dataclass(frozen=True, slots=True)
class CardLicence:
    """``license``, ``license_name`` of a model card's metadata; the name only where the id is ``other``."""

    id: str
    name: str = ""
    why: str = ""  # one sentence


@cache
def _table() -> Mapping[str, Licence]:
    text = resources.files("graph.research").joinpath("licences.toml").read_text(encoding="utf-8")
    table: dict[str, Licence] = {}
    for group in tomllib.loads(text)["group"]:
        ids, aliases = group.pop("ids"), group.pop("aliases", {})
        group["fits"] = tuple(group.get("fits", ()))
        table |= {name: Licence(name, **group) for name in ids}
        table |= {alias: table[name] for alias, name in aliases.items()}
    return table


def licence_of(name: str | None) -> Licence:
    """The entry for a Hub or SPDX id, whatever its case, or for an expression of several (``mit OR apache-2.0``).

    Of a choice the freest counts. Several at once (``mit, cc-by-nc-4.0``; a card that says one and tags that say
    another) give the strictest of each property, and have to be read. ``None`` and unknown names are to ask about.
    """
    key = " ".join((name or "").strip().strip("()").casefold().split())
    known = _table().get(key) or _table().get(_SUFFIX.sub("", key))
    if known:
        return known
    if len(several := [part for part in _SEVERAL.split(key) if part]) > 1:
        return _all_of([licence_of(part) for part in several])
    if len(choice := [part for part in _EITHER.split(key) if part]) > 1:
        return min((licence_of(part) for part in choice), key=_strictness)
    return Licence(key[:60], hub=False, attribution=True, ask="I do not know it, so its text has to be read")


def _strictness(licence: Licence) -> tuple[int, bool, bool]:
    return _ORDER.index(licence.publish), licence.share_alike, licence.attribution


def _all_of(licences: Sequence[Licence]) -> Licence:
    different = list(dict.fromkeys(licence.id for licence in licences))
    if len(different) == 1:
        return licences[0]
    return Licence(
        " and ".join(different)[:60],
        hub=False,
        attribution=any(one.attribution for one in licences),
        commercial=all(one.commercial for one in licences),
        derivatives=all(one.derivatives for one in licences),
        share_alike=any(one.share_alike for one in licences),
        terms=any(one.terms for one in licences),
        ask="it states several, so which one holds has to be read",
    )


def licence_from_tags(tags: Iterable[str], card: Mapping[str, object] | None = None) -> str | None:
    """The licence of a Hub repository, from its tags (``license:mit``) and its card's metadata.

    Where they differ, or several are named, all of them (``mit and gpl-3.0``): :func:`licence_of` then asks. The
    card's ``license_name`` tells what ``other`` is.
    """
    card = card or {}
    stated = card.get("license")
    of_card = [stated] if isinstance(stated, str) else list(stated) if isinstance(stated, list) else []
    found = [tag.removeprefix("license:") for tag in tags if tag.startswith("license:")]
    names = [str(name).strip()[:60] for name in (*found, *of_card) if str(name).strip()]
    different = list(dict.fromkeys(name.casefold() for name in names))
    if not different:
        return None
    named = str(card.get("license_name") or "").strip()
    if different == ["other"] and named and licence_of(named).hub:
        return licence_of(named).id
    return " and ".join(different) if len(different) > 1 else names[0]


def publish_verdict(
    data_licence: str | None, model_licence: str | None, purpose: str = "", *, private: bool = False
) -> Verdict:
    """Whether a model made from both may be shown: to everybody, or (``private``) to those who work on it.

    ``purpose``: one of ``PURPOSES``, or "" where nothing is known. The stricter of the two licences decides, and
    whether one model can keep both; the reason names each that is not plainly allowed.
    """
    judged = [
        ("data", data_licence, licence_of(data_licence)),
        ("base model", model_licence, licence_of(model_licence)),
    ]
    found = [(what, name, licence, *_judge(licence, purpose, private)) for what, name, licence in judged]
    outcome = max((verdict for *_, verdict, _ in found), key=_ORDER.index)
    reasons = [
        f"the {what}'s licence{f' ({licence.id})' if name else ''}: {why}"
        for what, name, licence, verdict, why in found
        if verdict != "allowed"
    ]
    if clash := _clash(judged[0][2], judged[1][2]):
        outcome = max(outcome, "ask" if private else "blocked", key=_ORDER.index)
        reasons.append(clash)
    if outcome == "allowed":
        names = " and ".join(f"the {what}'s licence ({licence.id})" for what, _, licence in judged)
        return Verdict(outcome, f"Publishing is allowed by {names}; the model card names the source.")
    opening = (
        "Publishing is blocked by"
        if outcome == "blocked"
        else "Before publishing, confirm that you may, because of"
    )
    return Verdict(outcome, f"{opening} {'; and '.join(reasons)}.")


def rows_verdict(data_licence: str | None, purpose: str = "", *, private: bool = False) -> Verdict:
    """Whether rows of the data, cleaned and split, may be shown. The card of the split keeps the data's licence."""
    licence = licence_of(data_licence)
    outcome, why = _judge(replace(licence, share_alike=False, terms=False), purpose, private)
    if outcome == "allowed":
        return Verdict(outcome, f"The data's licence ({licence.id}) allows to pass its rows on.")
    stated = f"the data's licence{f' ({licence.id})' if data_licence else ''}: {why}"
    opening = (
        "Its rows stay here because of"
        if outcome == "blocked"
        else "Before its rows are shown, confirm that they may be, because of"
    )
    return Verdict(outcome, f"{opening} {stated}.")


def card_licence(data_licence: str | None, model_licence: str | None) -> CardLicence:
    """What the model card's metadata says of a model made from both."""
    data, model = licence_of(data_licence), licence_of(model_licence)
    for what, licence in (("base model", model), ("data", data)):
        if licence.ask:
            detail = f"The {what}'s licence has to be read first: {licence.ask}."
            return CardLicence("other", "not-determined", detail)
    if not (data.derivatives and model.derivatives) or _clash(data, model):
        return CardLicence(
            "other", "not-to-be-shared", "The licences of data and base model allow no sharing."
        )
    chosen, why = _carried(data, model)
    if chosen is None:
        return CardLicence("other", f"{model.id}-and-{data.id}", why)
    return CardLicence(chosen.id, "", why) if chosen.hub else CardLicence("other", chosen.id, why)


def attributions(data: Mapping[str, object], model: Mapping[str, object]) -> list[str]:
    """Lines that name the sources, one each for data and base model; both ``{id, title?, licence, attribution?,
    url?}``. They are given whether the licence asks for it or not."""
    lines = []
    for what, thing in (("Data", data), ("Base model", model)):
        name = str(thing.get("title") or thing.get("id") or "unknown")
        licence = licence_of(str(thing["licence"]) if thing.get("licence") else None)
        under = "no licence stated" if licence.id == "unknown" else f"licence {licence.id}"
        said = [f"{what}: {name}", str(thing.get("attribution") or "").strip(" ."), under]
        if licence.share_alike:
            said.append("share alike")
        lines.append(", ".join(filter(None, said)) + ".")
    return lines


def _judge(licence: Licence, purpose: str, private: bool) -> tuple[str, str]:
    """The outcome for one of the two, and why it is not plainly allowed."""
    found: list[tuple[str, str]] = []
    if not licence.derivatives:
        found.append(("ask" if private else "blocked", _NO_SHARING))
    if not licence.commercial and purpose != NON_COMMERCIAL:
        found.append(("blocked" if purpose == COMMERCIAL else "ask", _NO_COMMERCE))
    if licence.ask:
        found.append(("ask", licence.ask))
    if licence.share_alike and not private:
        found.append(("ask", _SAME_LICENCE))
    if licence.terms and not private:
        found.append(("ask", _TERMS))
    outcome = max((verdict for verdict, _ in found), key=_ORDER.index, default="allowed")
    return outcome, " and ".join(why for _, why in found)


def _clash(data: Licence, model: Licence) -> str:
    """Why no single model can keep both licences; empty where one can."""
    if data.ask or model.ask or not (data.share_alike or model.share_alike):
        return ""
    if data.share_alike and model.share_alike:
        if _common(data, model):
            return ""
        return f"{data.id} and {model.id} each ask for themselves, and one model cannot carry both"
    keeps, other = (data, model) if data.share_alike else (model, data)
    if keeps.commercial and not other.commercial:
        return f"{keeps.id} allows commercial use of what is made from it and {other.id} forbids it"
    if other.terms:
        return f"{keeps.id} lets nothing be added, and {other.id} adds limits of use"
    return ""


def _common(one: Licence, other: Licence) -> Licence | None:
    """The licence under which what is made from both may be shared."""
    for name in (one.id, *one.fits):
        if name in (other.id, *other.fits):
            return licence_of(name)
    return None


def _carried(data: Licence, model: Licence) -> tuple[Licence | None, str]:
    """The licence that what is made from both carries; ``None`` where each adds limits of its own."""
    if data.share_alike or model.share_alike:
        both = data.share_alike and model.share_alike
        chosen = _common(data, model) if both else data if data.share_alike else model
        assert chosen is not None, "a clash was ruled out before"
        return chosen, f"What is made from {chosen.id} carries the same licence."
    limited = [one for one in (model, data) if one.terms or not one.commercial]
    if len({one.id for one in limited}) > 1:
        return None, "The limits of use of both, of the base model and of the data, hold."
    if limited:
        return limited[0], f"The limits of use of {limited[0].id} hold for what is made from it."
    chosen = data if data.attribution and not model.attribution else model
    return chosen, "Both licences are permissive; the sources are named below."
