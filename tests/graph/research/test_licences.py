"""What licences allow, alone and together, by purpose and by who will see it."""

from __future__ import annotations

import itertools

import pytest

from graph.research.licences import (
    PURPOSES,
    attributions,
    card_licence,
    licence_from_tags,
    licence_of,
    publish_verdict,
    rows_verdict,
)

HUB_IDS = """
apache-2.0 mit openrail bigscience-openrail-m creativeml-openrail-m bigscience-bloom-rail-1.0 bigcode-openrail-m
afl-3.0 artistic-2.0 bsl-1.0 bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear c-uda cc cc0-1.0 cc-by-2.0 cc-by-2.5
cc-by-3.0 cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nd-4.0 cc-by-nc-nd-3.0
cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cdla-sharing-1.0 cdla-permissive-1.0
cdla-permissive-2.0 wtfpl ecl-2.0 epl-1.0 epl-2.0 etalab-2.0 eupl-1.1 eupl-1.2 agpl-3.0 gfdl gpl gpl-2.0 gpl-3.0
lgpl lgpl-2.1 lgpl-3.0 isc h-research intel-research lppl-1.3c ms-pl apple-ascl apple-amlr mpl-2.0 odc-by odbl
openmdw-1.0 openrail++ osl-3.0 postgresql ofl-1.1 ncsa unlicense zlib pddl lgpl-lr deepfloyd-if-license
fair-noncommercial-research-license llama2 llama3 llama3.1 llama3.2 llama3.3 llama4 grok2-community gemma
""".split()


@pytest.mark.parametrize("name", HUB_IDS)
def test_every_licence_of_the_hub_is_known_by_its_own_name(name: str) -> None:
    assert licence_of(name).id == name
    assert licence_of(name).hub
    assert "I do not know it" not in licence_of(name).ask


# data, base model, purpose, to few, to everyone, words of the reason for everyone
COMBINATIONS = [
    ("mit", "apache-2.0", "internal", "allowed", "allowed", "the model card names the source"),
    ("MIT", "Apache-2.0", "commercial", "allowed", "allowed", "mit"),
    ("cc-by-4.0", "mit", "", "allowed", "allowed", "source"),
    ("cc0-1.0", "unlicense", "commercial", "allowed", "allowed", "cc0-1.0"),
    ("odc-by", "bsd-3-clause", "commercial", "allowed", "allowed", "odc-by"),
    ("cc-by-sa-4.0", "mit", "internal", "allowed", "ask", "same licence"),
    ("mit", "gpl-3.0", "commercial", "allowed", "ask", "same licence"),
    ("cc-by-sa-4.0", "gpl-3.0", "internal", "allowed", "ask", "same licence"),
    ("cc-by-sa-3.0", "cc-by-sa-4.0", "internal", "allowed", "ask", "same licence"),
    ("cc-by-sa-4.0", "gpl-2.0", "internal", "ask", "blocked", "one model cannot carry both"),
    ("cc-by-sa-4.0", "cc-by-nc-4.0", "non-commercial", "ask", "blocked", "forbids it"),
    ("cc-by-nc-sa-4.0", "cc-by-sa-4.0", "non-commercial", "ask", "blocked", "each ask for themselves"),
    ("cc-by-sa-4.0", "llama3.1", "internal", "ask", "blocked", "adds limits of use"),
    ("gpl-3.0", "agpl-3.0", "internal", "allowed", "ask", "same licence"),
    ("cc-by-nc-4.0", "mit", "", "ask", "ask", "commercial"),
    ("cc-by-nc-4.0", "mit", "internal", "ask", "ask", "the data's licence (cc-by-nc-4.0): it forbids commercial"),
    ("cc-by-nc-4.0", "mit", "commercial", "blocked", "blocked", "forbids commercial use"),
    ("cc-by-nc-4.0", "mit", "non-commercial", "allowed", "allowed", "cc-by-nc-4.0"),
    ("mit", "apple-amlr", "commercial", "blocked", "blocked", "base model"),
    ("cc-by-nc-sa-4.0", "mit", "non-commercial", "allowed", "ask", "same licence"),
    ("cc-by-nd-4.0", "mit", "internal", "ask", "blocked", "forbids sharing"),
    ("cc-by-nc-nd-4.0", "mit", "commercial", "blocked", "blocked", "forbids sharing what is made from it and it"),
    ("cc-by-nd-4.0", None, "", "ask", "blocked", "base model"),
    ("mit", "llama3.2", "commercial", "allowed", "ask", "limits of use"),
    ("mit", "openrail", "internal", "allowed", "ask", "limits of use"),
    ("mit", "deepfloyd-if-license", "commercial", "blocked", "blocked", "commercial"),
    (None, "apache-2.0", "internal", "ask", "ask", "the data's licence: none is stated"),
    ("mit", None, "non-commercial", "ask", "ask", "the base model's licence: none is stated"),
    ("unknown", "mit", "internal", "ask", "ask", "none is stated"),
    ("other", "mit", "internal", "ask", "ask", "text has to be read"),
    ("cc", "mit", "internal", "ask", "ask", "which of the Creative Commons"),
    ("something-new-1.0", "mit", "internal", "ask", "ask", "something-new-1.0"),
    ("mit and gpl-3.0", "mit", "internal", "ask", "ask", "states several"),
    ("mit, cc-by-nc-4.0", "mit", "commercial", "blocked", "blocked", "forbids commercial use"),
    ("mit or gpl-3.0", "mit", "internal", "allowed", "allowed", "mit"),
    ("(GPL-3.0-or-later OR Apache-2.0)", "mit", "internal", "allowed", "allowed", "apache-2.0"),
    ("GPL-3.0-only", "mit", "internal", "allowed", "ask", "gpl-3.0"),
]  # fmt: skip


@pytest.mark.parametrize(("data", "model", "purpose", "few", "everyone", "words"), COMBINATIONS)
def test_together(
    data: str | None, model: str | None, purpose: str, few: str, everyone: str, words: str
) -> None:
    verdict = publish_verdict(data, model, purpose)
    assert (publish_verdict(data, model, purpose, private=True).outcome, verdict.outcome) == (few, everyone)
    assert words in verdict.reason
    assert verdict.reason.endswith(".")


def test_showing_more_or_earning_money_never_makes_it_easier() -> None:
    order = ("allowed", "ask", "blocked")
    for data, model in itertools.product([*HUB_IDS, None, "nonsense"], repeat=2):
        found = {
            (purpose, private): order.index(publish_verdict(data, model, purpose, private=private).outcome)
            for purpose in PURPOSES
            for private in (True, False)
        }
        for purpose in PURPOSES:
            assert found[purpose, True] <= found[purpose, False], (data, model, purpose)
        for private in (True, False):
            assert (
                found["non-commercial", private] <= found["internal", private] <= found["commercial", private]
            ), (data, model)


# data, base model, `license` of the model card, its `license_name`
CARDS = [
    ("mit", "apache-2.0", "apache-2.0", ""),
    ("cc-by-4.0", "mit", "mit", ""),
    ("cc-by-4.0", "cc0-1.0", "cc-by-4.0", ""),
    ("cc-by-sa-4.0", "mit", "cc-by-sa-4.0", ""),
    ("mit", "gpl-3.0", "gpl-3.0", ""),
    ("cc-by-sa-3.0", "cc-by-sa-4.0", "cc-by-sa-4.0", ""),
    ("cc-by-sa-4.0", "gpl-3.0", "gpl-3.0", ""),
    ("cc-by-nc-4.0", "apache-2.0", "cc-by-nc-4.0", ""),
    ("cc-by-nc-sa-4.0", "cc-by-nc-4.0", "cc-by-nc-sa-4.0", ""),
    ("mit", "llama3.1", "llama3.1", ""),
    ("cc-by-nc-4.0", "llama3.1", "other", "llama3.1-and-cc-by-nc-4.0"),
    ("cc-by-sa-2.0", "mit", "other", "cc-by-sa-2.0"),
    ("cc-by-sa-4.0", "gpl-2.0", "other", "not-to-be-shared"),
    ("cc-by-nd-4.0", "mit", "other", "not-to-be-shared"),
    (None, "mit", "other", "not-determined"),
    ("mit", "something-new-1.0", "other", "not-determined"),
    ("mit and gpl-3.0", "mit", "other", "not-determined"),
]


@pytest.mark.parametrize(("data", "model", "licence", "name"), CARDS)
def test_the_models_own_card(data: str | None, model: str | None, licence: str, name: str) -> None:
    card = card_licence(data, model)
    assert (card.id, card.name) == (licence, name)
    assert card.why.endswith(".")


def test_no_card_claims_more_than_its_sources_give() -> None:
    for data, model in itertools.product([*HUB_IDS, None, "nonsense"], repeat=2):
        card, sources = card_licence(data, model), (licence_of(data), licence_of(model))
        if card.id == "other":
            assert card.name
            continue
        claimed = licence_of(card.id)
        assert claimed.commercial <= all(source.commercial for source in sources), (data, model)
        assert claimed.share_alike >= any(source.share_alike for source in sources), (data, model)
        assert claimed.terms >= any(source.terms for source in sources), (data, model)
        assert claimed.attribution >= any(source.attribution for source in sources), (data, model)
        assert publish_verdict(data, model, "non-commercial").outcome != "blocked"


@pytest.mark.parametrize(
    ("licence", "purpose", "private", "outcome"),
    [
        ("mit", "internal", False, "allowed"),
        ("cc-by-sa-4.0", "internal", False, "allowed"),  # the split's card keeps the licence
        ("cc-by-nc-4.0", "commercial", True, "blocked"),
        ("cc-by-nc-4.0", "non-commercial", False, "allowed"),
        ("cc-by-nd-4.0", "internal", False, "blocked"),
        ("cc-by-nd-4.0", "internal", True, "ask"),
        (None, "internal", False, "ask"),
        ("other", "internal", True, "ask"),
    ],
)
def test_rows_of_the_data(licence: str | None, purpose: str, private: bool, outcome: str) -> None:
    verdict = rows_verdict(licence, purpose, private=private)
    assert verdict.outcome == outcome
    assert verdict.reason.endswith(".")


@pytest.mark.parametrize(
    ("tags", "card", "stated"),
    [
        (["language:en", "license:mit"], {}, "mit"),
        (["language:en"], {}, None),
        ([], {"license": "mit"}, "mit"),
        (["license:mit"], {"license": "MIT"}, "mit"),
        (["license:mit"], {"license": "cc-by-nc-4.0"}, "mit and cc-by-nc-4.0"),
        (["license:mit", "license:gpl-3.0"], {}, "mit and gpl-3.0"),
        ([], {"license": ["mit", "apache-2.0"]}, "mit and apache-2.0"),
        (["license:other"], {"license": "other", "license_name": "llama3.1"}, "llama3.1"),
        (["license:other"], {"license": "other", "license_name": "our-own"}, "other"),
        ([], {"license": {"broken": 1}}, None),
    ],
)
def test_what_a_repository_states(tags: list[str], card: dict[str, object], stated: str | None) -> None:
    assert licence_from_tags(tags, card) == stated


def test_an_unknown_licences_name_is_cut() -> None:
    assert len(licence_of("x" * 500).id) == 60
    assert len(licence_of(" and ".join(str(n) * 40 for n in range(9))).id) == 60


def test_whom_the_model_owes() -> None:
    data = {"id": "a/b", "title": "Reviews", "licence": "cc-by-sa-4.0", "attribution": "by Ada, 2024."}
    assert attributions(data, {"id": "c/d", "licence": None}) == [
        "Data: Reviews, by Ada, 2024, licence cc-by-sa-4.0, share alike.",
        "Base model: c/d, no licence stated.",
    ]
