"""What a language model costs."""

from __future__ import annotations

import tomllib
from datetime import date
from importlib import resources

import pytest
from pydantic import BaseModel

from graph.llm.model import Material, Price, Prompt, Tokens
from graph.llm.prices import price_of


class Word(BaseModel):
    word: str


def test_a_price_has_a_source_and_a_date() -> None:
    price = price_of("anthropic:claude-haiku-4-5")
    assert price == Price(1.0, 5.0, "platform.claude.com/docs/about-claude/pricing", "2026-11-29")
    table = tomllib.loads(resources.files("graph.llm").joinpath("prices.toml").read_text("utf-8"))
    for section in table.values():
        assert section["source"]
        assert section.get("free") or date.fromisoformat(section["as_of"])
        assert all(0 < sent < said for sent, said in section.get("models", {}).values())


@pytest.mark.parametrize("name", ["claude-haiku-4-5-20251001", "claude-haiku-4-5-latest"])
def test_a_dated_name_is_the_same_model(name: str) -> None:
    assert price_of(f"anthropic:{name}") == price_of("anthropic:claude-haiku-4-5")


@pytest.mark.parametrize("name", ["openai:gpt-99", "groq:llama", "openai:gpt-5.4-mini-fast", "gpt-5.4-mini"])
def test_what_is_not_in_the_table_has_no_price(name: str) -> None:
    assert price_of(name) is None


def test_at_another_address_the_providers_price_says_nothing() -> None:
    assert price_of("openai:gpt-5.4-mini", elsewhere=True) is None
    assert price_of("openai:gpt-5.4-mini", "0/0", elsewhere=True) == Price(0, 0, "INTERN_LLM_PRICE")


@pytest.mark.parametrize("name", ["ollama:gpt-oss:120b-cloud", "ollama:glm-4.6:cloud"])
def test_a_model_that_only_passes_through_ones_own_machine_is_not_free(name: str) -> None:
    assert price_of(name) is None


def test_ones_own_machine_costs_nothing() -> None:
    price = price_of("ollama:llama3.2")
    assert price is not None
    assert price.usd(Tokens(10**6, 10**6)) == 0


@pytest.mark.parametrize("text", ["1", "a/b", "1/-2", "1/2/3", "nan/1"])
def test_a_stated_price_that_is_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"not like 0\.25/2"):
        price_of("openai:gpt-5.4", text)


def test_a_cost_is_rounded_up() -> None:
    price = Price(0.25, 2.0, "here")
    assert price.usd(Tokens(1_000_000, 1_000_000)) == 2.25
    assert price.usd(Tokens(1, 0)) == 0.0001
    assert price.usd(Tokens(400, 0)) == 0.0001
    assert price.usd(Tokens(401, 0)) == 0.0002


def test_a_question_comes_to_at_most_its_bound() -> None:
    prompt = Prompt("p", "i" * 1000, (Material("m", "x" * 9000),), Word, 50)
    most = prompt.most()
    assert most.output == 50
    assert 5000 < most.input < 7000


@pytest.mark.parametrize("text", ["学習率は五です" * 500, "🙂" * 500, "Кошка " * 500])
def test_other_scripts_take_more_tokens_than_english(text: str) -> None:
    most = Prompt("p", "", (Material("m", text),), Word, 50).most()
    assert most.input > len(text.replace(" ", "").encode())


def test_marks_around_many_pieces_count() -> None:
    few, many = (Prompt("p", "", (Material("m", ""),) * n, Word, 50).most().input for n in (1, 81))
    assert many - few > 80 * 30
