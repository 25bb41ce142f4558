from __future__ import annotations

import pytest

from graph.research.licences import licence_from_tags, licence_of, publish_verdict


@pytest.mark.parametrize(
    ("data", "model", "outcome", "words"),
    [
        ("mit", "apache-2.0", "allowed", "allowed"),
        ("MIT", "Apache-2.0", "allowed", "mit"),
        ("cc-by-4.0", "mit", "allowed", "source"),
        (None, "apache-2.0", "ask", "the data's licence: none is stated"),
        ("mit", None, "ask", "the base model's licence: none is stated"),
        ("cc-by-sa-4.0", "mit", "ask", "same licence"),
        ("cc-by-nc-4.0", "mit", "ask", "commercial"),
        ("cc-by-nc-nd-4.0", "mit", "blocked", "forbids sharing"),
        ("cc-by-nd-4.0", None, "blocked", "base model"),
        ("something-new-1.0", "mit", "ask", "something-new-1.0"),
        ("other", "mit", "ask", "text has to be read"),
    ],
)
def test_the_stricter_licence_decides(data: str | None, model: str | None, outcome: str, words: str) -> None:
    verdict = publish_verdict(data, model)
    assert verdict.outcome == outcome
    assert words in verdict.reason
    assert verdict.reason.endswith(".")


def test_obligations() -> None:
    assert licence_of("cc-by-nc-sa-3.0").share_alike
    assert not licence_of("cc-by-nc-sa-3.0").commercial
    assert not licence_of("cc-by-nd").derivatives
    assert licence_of("mit").attribution
    assert not licence_of("cc0-1.0").attribution


def test_an_unknown_licences_name_is_cut() -> None:
    assert len(licence_of("x" * 500).id) == 60


def test_licence_among_tags() -> None:
    assert licence_from_tags(["language:en", "license:mit"]) == "mit"
    assert licence_from_tags(["language:en"]) is None
