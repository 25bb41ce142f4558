"""What settings and this installation's own runs come to when everything is put together."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bot.settings import load_settings
from bot.wiring import corrections, language_model, literature, sources
from graph.research.hub import HubSource
from remote import prices, speeds
from remote.sandbox import machine
from tests.graph.research.test_datasearch import task_of
from tests.hub.collection import stock
from tests.hub.server import HubServer, Repo


def test_finished_runs_correct_the_speeds_and_broken_ones_do_not_matter(tmp_path: Path) -> None:
    hardware = "T4 (16 GB), 2 CPU cores, 8 GB"
    speed = prices.relative_speed(prices.load("modal").gpus[0], 1, 2, machine.cpus())
    told = {
        "hardware": hardware,
        "seconds": {"training_here": 1200.0, "training_actual": 1200.0 / speed / 0.5},
        "training": {"stopped": "epochs"},
    }
    for name, text in (("r1", json.dumps(told)), ("r2", "{"), ("r3", "[]"), ("r4", "")):
        folder = tmp_path / "runs" / name
        folder.mkdir(parents=True)
        (folder / "run.json").write_text(text, encoding="utf-8")
    assert speeds.read(told) is not None
    assert corrections(tmp_path) == {"T4": 0.5}
    assert corrections(tmp_path / "nothing") == {}


async def test_licences_of_code_are_asked_for_where_the_settings_say_and_kept(tmp_path: Path) -> None:
    async with HubServer().running() as server:
        server.add("github", Repo("ada/code", card={"spdx": "MIT"}))
        settings = load_settings({"INTERN_GITHUB_URL": f"{server.url}/", "HF_TOKEN": "hf_secret"})
        for _ in range(2):
            (found,) = await literature(settings, tmp_path).licences(["https://github.com/ada/code"])
            assert found.licence == "mit"
        assert server.requests == ["GET /repos/ada/code/license"]
        assert server.tokens_seen == set()


async def test_data_sets_are_looked_into_through_the_viewer_of_the_settings(tmp_path: Path) -> None:
    async with HubServer().running() as hub:
        stock(hub)
        env = {"HF_ENDPOINT": hub.url, "INTERN_VIEWER_URL": f"{hub.url}/viewer/"}
        (source,) = (s for s in sources(load_settings(env), tmp_path) if isinstance(s, HubSource))
        found = await source.search(task_of("Tell positive from negative product reviews in English."))
    assert found[0].class_counts == {"negative": 6000, "positive": 5993}


@pytest.mark.parametrize(
    ("env", "price", "allowance"),
    [
        ({}, 0.75, 0.0),
        ({"INTERN_LLM_USD": "0.5"}, 0.75, 0.5),
        ({"INTERN_LLM_PRICE": "2/8"}, 2.0, 0.0),
        ({"OPENAI_BASE_URL": "http://llm.example/v1"}, None, 0.0),
        ({"OPENAI_BASE_URL": "http://llm.example/v1", "INTERN_LLM_PRICE": "0/0"}, 0.0, 0.0),
    ],
)
def test_the_language_model_of_the_settings(
    env: dict[str, str], price: float | None, allowance: float
) -> None:
    model = language_model(load_settings({"INTERN_LLM": "openai:gpt-5.4-mini", **env}), env)
    assert model is not None
    assert (model.price.input_usd if model.price else None) == price
    assert model.allowance_usd == allowance
    assert language_model(load_settings({}), {}) is None
