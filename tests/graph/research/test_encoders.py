"""Which base model: the order, the refusals and their reasons; and the Hub's candidates through the real client."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from graph.errors import SourceError
from graph.research import encoders
from graph.research.encoders import Encoder, Wish
from graph.research.hub import HubSource
from graph.state import Constraints, ModelChoice, TaskSpec
from tests.graph.research.packs import MODEL
from tests.hub.server import Fault, HubServer, Repo

TASK = TaskSpec("Sort reviews.", "Reviews", None, keywords=("reviews",))
ENGLISH = "sentence-transformers/all-MiniLM-L6-v2"
MANY = "sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2"
GERMAN = Encoder(
    "ada/german-small", "mit", 60.0, 240.0, ("de",), model_type="bert", listed=False, downloads=50_000
)  # fmt: skip
TAGS = ["sentence-transformers", "safetensors", "de", "license:mit"]


def first(wish: Wish, *more: Encoder) -> str:
    return encoders.order([*encoders.listed(), *more], wish)[0][0].id


def why_not(wish: Wish, encoder: Encoder) -> str:
    return encoders.refusal(encoder, wish)


def test_small_first_and_tried_ones_before_those_from_a_search() -> None:
    tiny = Encoder("ada/tiny", "mit", 4.0, 17.0, ("en",), model_type="bert", listed=False, downloads=10**6)
    assert first(Wish("en"), tiny) == ENGLISH
    assert first(Wish("fr")) == MANY


def test_a_free_smaller_one_made_for_the_language_goes_before_those_for_many() -> None:
    assert first(Wish("de"), GERMAN) == GERMAN.id
    for less in (
        replace(GERMAN, licence="cc-by-nc-4.0"),
        replace(GERMAN, licence=None),
        replace(GERMAN, size_mb=900.0),
        replace(GERMAN, downloads=12),
        replace(GERMAN, languages=("de", "en")),
        replace(GERMAN, model_type="t5"),
    ):
        assert first(Wish("de"), less) == MANY


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        (Wish("de"), "is made for en, not for de"),
        (Wish(max_mb=50), "has 91 MB, more than 50"),
        (Wish(memory_mb=500), "needs about"),
        (Wish(max_latency_ms=1, cores=2), "takes about 9 ms a short text here, more than 1"),
    ],
)
def test_a_limit_that_it_breaks_is_the_reason(wish: Wish, words: str) -> None:
    assert words in why_not(wish, encoders.listed()[0])


def test_estimates_grow_with_the_body_and_fall_with_cores() -> None:
    small, larger = encoders.listed()[:2]
    assert (small.rows_per_s(4) or 0) == pytest.approx(2 * (small.rows_per_s(2) or 0))
    assert (larger.rows_per_s(2) or 0) < (small.rows_per_s(2) or 0)
    assert (larger.train_mb or 0) > (small.train_mb or 0) > 700
    assert GERMAN.rows_per_s(2) is None


def test_every_one_has_a_sentence() -> None:
    wish = Wish("de", max_mb=300)
    judged = encoders.order([*encoders.listed(), GERMAN], wish)
    rows = [encoders.considered(encoder, why, GERMAN.id, wish) for encoder, why in judged]
    assert [row.id for row in rows if row.taken] == [GERMAN.id]
    assert all(row.why for row in rows)
    assert any("not for de" in row.why for row in rows)
    assert any("471 MB, more than 300" in row.why for row in rows)


@pytest.mark.parametrize(("kind", "length"), [("bert", 512), ("roberta", 512), ("distilbert", 512)])
def test_the_length_that_a_configuration_allows(tmp_path: Path, kind: str, length: int) -> None:
    positions = 514 if kind == "roberta" else 512
    (tmp_path / "config.json").write_text(
        json.dumps({"model_type": kind, "max_position_embeddings": positions})
    )
    assert encoders.config_facts(tmp_path) == (kind, length)


@pytest.mark.parametrize("text", ["", "[]", '{"model_type": 3, "max_position_embeddings": "x"}'])
def test_a_broken_configuration_says_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    assert encoders.config_facts(tmp_path) == ("", None)


def test_texts_longer_than_the_model_reads_are_told() -> None:
    model = ModelChoice("ada/short", "hub", "", "mit", max_length=128)
    assert "reads 128 tokens" in encoders.too_short(model, 150)
    assert encoders.too_short(model, 60) == ""
    assert encoders.too_short(replace(model, max_length=512), 5000) == ""  # the recipe reads no more than 256
    assert encoders.too_short(replace(model, max_length=None), 5000) == ""


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("distilbert-base-uncased", "distilbert/distilbert-base-uncased"),
        ("bert-base-uncased", "google-bert/bert-base-uncased"),
        ("xlm-roberta-base", "FacebookAI/xlm-roberta-base"),
        ("all-MiniLM-L6-v2", ENGLISH),
        ("ada/bert-base-uncased", "ada/bert-base-uncased"),
        ("something", "something"),
    ],
)
def test_names_without_a_namespace(wanted: str, found: str) -> None:
    assert encoders.with_owner(wanted) == found


# -- through the Hub's client ---------------------------------------------------------------------------------


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[HubServer]:
    async with HubServer().running() as server:
        for name in (ENGLISH, MANY):
            server.add("model", Repo(name, dict(MODEL), tags=["license:apache-2.0"]))
        yield server


def files(config: Mapping[str, Any] | None = None) -> dict[str, bytes]:
    body = json.dumps({"model_type": "bert", "max_position_embeddings": 512} if config is None else config)
    return MODEL | {"config.json": body.encode()}


def german(**more: Any) -> Repo:
    card = {"language": ["de"], "parameters": 60_000_000}
    return replace(Repo("ada/german", files(), tags=TAGS, card=card, downloads=50_000), **more)


def source(server: HubServer, home: Path) -> HubSource:
    async def no_wait(seconds: float) -> None:
        return None

    return HubSource(home=home, endpoint=server.url, sleep=no_wait)


IN_GERMAN = replace(TASK, constraints=Constraints(language="de"))


async def test_a_search_finds_one_for_the_language_in_few_requests(server: HubServer, tmp_path: Path) -> None:
    server.add("model", german())
    choice = await source(server, tmp_path).model(IN_GERMAN)
    assert (choice.id, choice.licence, choice.max_length, choice.parameters_m) == (
        "ada/german",
        "mit",
        512,
        60.0,
    )
    assert any("made for de" in reason for reason in choice.reasons)
    rows = {row.id: row for row in choice.considered}
    assert rows["ada/german"].taken
    assert "not for de" in rows[ENGLISH].why
    asked = [r for r in server.requests if "/resolve/" not in r]
    assert len(asked) <= 8
    server.requests.clear()
    await source(server, tmp_path).model(IN_GERMAN)
    assert [r for r in server.requests if r == "GET /api/models"] == []  # the search is kept
    assert [r for r in server.requests if "/resolve/" in r] == []  # and so are the files


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"files": {"config.json": b"{}", "tokenizer.json": b"{}", "pytorch_model.bin": b"x"}}, "only as a pickle"),
        ({"gated": True}, "is gated"),
        ({"tags": [*TAGS, "custom_code"]}, "code of its own"),
        ({"files": files({"model_type": "t5"})}, "of the kind t5"),
        ({"files": files({})}, "what kind of model"),
    ],
)  # fmt: skip
async def test_what_cannot_serve_is_in_the_table_with_the_reason(
    server: HubServer, tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    server.add("model", german(**change))
    choice = await source(server, tmp_path).model(IN_GERMAN)
    assert choice.id == MANY
    assert words in next(row.why for row in choice.considered if row.id == "ada/german")


async def test_without_an_answer_to_the_search_the_list_serves(server: HubServer, tmp_path: Path) -> None:
    server.faults = [Fault("GET /api/models$", status=500, times=9)]
    assert (await source(server, tmp_path).model(IN_GERMAN)).id == MANY


async def test_one_that_is_gone_is_passed_over_and_named(server: HubServer, tmp_path: Path) -> None:
    del server.repos["model", ENGLISH]
    server.add(
        "model", Repo("sentence-transformers/all-MiniLM-L12-v2", dict(MODEL), tags=["license:apache-2.0"])
    )
    choice = await source(server, tmp_path).model(TASK)
    assert choice.id == "sentence-transformers/all-MiniLM-L12-v2"
    assert "could not be had" in next(row.why for row in choice.considered if row.id == ENGLISH)


async def test_when_the_network_fails_no_other_is_tried(server: HubServer, tmp_path: Path) -> None:
    server.faults = [Fault("GET /api/models/", status=500, times=99)]
    with pytest.raises(SourceError, match="error \\(500\\)"):
        await source(server, tmp_path).model(TASK)
    assert sum(MANY in request or "L12" in request for request in server.requests) == 0


async def test_a_named_one_is_taken_with_what_speaks_against_it(server: HubServer, tmp_path: Path) -> None:
    server.add("model", german())
    choice = await source(server, tmp_path).model(replace(TASK, base_model="ada/german"))
    assert choice.reasons[0] == "you named it"
    assert "though it is made for de, not for en" in choice.reasons


async def test_a_name_from_before_namespaces_is_found(server: HubServer, tmp_path: Path) -> None:
    choice = await source(server, tmp_path).model(replace(TASK, base_model="all-MiniLM-L6-v2"))
    assert (choice.id, choice.considered) == (ENGLISH, ())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"files": files({"model_type": "gpt2"})}, "of the kind gpt2"),
        ({"files": {"pytorch_model.bin": b"x", "config.json": b"{}"}}, "only as a pickle"),
    ],
)
async def test_a_named_one_that_cannot_serve_says_why(
    server: HubServer, tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    server.add("model", german(**change))
    with pytest.raises(SourceError, match=words):
        await source(server, tmp_path).model(replace(TASK, base_model="ada/german"))
    assert not [r for r in server.requests if "safetensors" in r]
