"""Ranking: what helps a candidate, what rules it out, and that the search's order does not matter."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graph.names import TaskFamily
from graph.research.ranking import Found, rank, topic_words, words_of
from graph.state import Candidate, Constraints, TaskSpec

TASK = TaskSpec("Tell good from bad reviews.", "Reviews", TaskFamily.BINARY, keywords=("product", "reviews"))


def found(
    name: str = "a", words: str = "product review", language: str | None = "en", **fields: Any
) -> Found:
    candidate = replace(Candidate(name, "hub", name, "mit", rows=5000), **fields)
    return Found(candidate, frozenset(words.split()), language, frozenset({TaskFamily.BINARY}))


def test_more_shared_words_win() -> None:
    ranked = rank(TASK, [found("few", "review other"), found("many", "product review")])
    assert [c.id for c in ranked] == ["many", "few"]
    assert "about product, review" in ranked[0].reasons


@pytest.mark.parametrize(
    ("worse", "why"),
    [
        ({"licence": None}, "no licence stated"),
        ({"rows": 50}, "50 rows"),
    ],
)
def test_what_costs_score_is_named(worse: dict[str, Any], why: str) -> None:
    good, bad = rank(TASK, [found("b", **worse), found("a")])
    assert (good.id, bad.id) == ("a", "b")
    assert why in bad.reasons


def test_a_wrong_data_set_is_worse_than_none() -> None:
    task = replace(TASK, labels=("electronics", "clothing"), constraints=Constraints(language="de"))
    other_language = rank(task, [found()])[0]
    other_topic = rank(TASK, [found(words="weather")])[0]
    other_labels = rank(
        replace(TASK, labels=("electronics", "clothing")), [replace(found(), labels=frozenset({"positive"}))]
    )[0]
    other_family = rank(replace(TASK, family=TaskFamily.MULTILABEL), [found()])[0]
    whys = [c.why_not for c in (other_language, other_topic, other_labels, other_family)]
    assert not any(c.usable for c in (other_language, other_topic, other_labels, other_family))
    assert whys == [
        "its texts are in en, yours in de",
        "it is about something else",
        "its classes are positive",
        "it cannot serve a multilabel task",
    ]


def test_common_words_are_no_topic() -> None:
    assert topic_words(TaskSpec("Train a small model that classifies texts.", "Small text model", None)) == {}


def test_what_the_texts_are_outweighs_synonyms_of_what_is_asked() -> None:
    """The keywords of the request that `make demo` runs."""
    keywords = ("product reviews", "sentiment", "polarity", "opinion", "positive", "negative")
    films = found("films", "film sentiment polarity opinion positive negative")
    products = found("products", "product review sentiment")
    ranked = rank(replace(TASK, keywords=keywords), [films, products])
    assert [c.id for c in ranked] == ["products", "films"]


def test_a_data_set_of_opinions_does_not_tell_topics() -> None:
    news = replace(
        found(words="news article"), labels=frozenset({"negative", "positive"}), asks=frozenset({"opinion"})
    )
    topics, opinions = (
        rank(replace(TASK, goal=f"Sort by {what}.", title="News", keywords=("news articles", what)), [news])[
            0
        ]
        for what in ("topic", "opinions")
    )
    assert (topics.usable, opinions.usable) == (False, True)
    assert topics.why_not == "it tells negative, positive apart, and nothing else"


def test_other_words_for_the_classes_will_do() -> None:
    rated = replace(found(), labels=frozenset({"positive", "negative"}), also=frozenset({"good", "bad"}))
    assert rank(replace(TASK, labels=("Good", "Bad")), [rated])[0].usable


def test_plural_and_singular_meet() -> None:
    assert words_of("Stories, reviews; News!") == {"story", "review", "news"}


@given(
    st.permutations(
        [found(name, rows=rows) for name, rows in zip("abcdef", [1, 50, 50, 900, 3000, 3000], strict=True)]
    )
)
def test_the_order_of_the_search_does_not_matter(items: list[Found]) -> None:
    ranked = rank(TASK, items)
    assert ranked == rank(TASK, sorted(items, key=lambda f: f.candidate.id))
    assert all(0 <= c.score <= 1 for c in ranked)
    assert [c.score for c in ranked] == sorted((c.score for c in ranked), reverse=True)
