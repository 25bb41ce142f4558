"""The Hub through its real client: what goes wrong there, and what a person is told."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr

from graph.errors import SourceError
from graph.names import FailureKind
from graph.research.hub import HubSource
from graph.state import Constraints, TaskSpec
from tests.graph.research.packs import MODEL
from tests.hub.server import OWNER_TOKEN, Fault, HubServer, Repo

CSV = b"text,label\n" + b"".join(b"row %d,a\n" % i for i in range(200))
TASK = TaskSpec("Sort reviews.", "Reviews", None, keywords=("reviews",))
ENGLISH = "sentence-transformers/all-MiniLM-L6-v2"
MANY = "sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2"


class World:
    """A Hub with one data set, and sources that note how long they were told to wait."""

    def __init__(self, server: HubServer, home: Path) -> None:
        self.server, self.home = server, home
        self.waits: list[float] = []
        self.repo = server.add("dataset", Repo("ada/reviews", {"train.csv": CSV}, tags=["license:mit"]))

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)

    def source(self, token: str | None = None) -> HubSource:
        secret = SecretStr(token) if token else None
        return HubSource(home=self.home, endpoint=self.server.url, token=secret, sleep=self.sleep)

    async def fetch(self) -> bytes:
        source = self.source()
        data = await source.fetch(await source.candidate("ada/reviews"), self.home / "raw")
        return content(data.splits["train"])


def content(path: str) -> bytes:
    return Path(path).read_bytes()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with HubServer().running() as server:
        yield World(server, tmp_path)


@pytest.mark.parametrize("wanted", ["ada/reviews", "hf://datasets/ada/reviews", "https://hub.example/datasets/ada/reviews",
                                    "ada/reviews@main", "ada/reviews#train.csv"])  # fmt: skip
async def test_an_id_in_the_forms_people_write(world: World, wanted: str) -> None:
    assert world.source().claims(wanted)
    assert (await world.source().candidate(wanted)).revision == world.repo.head


async def test_a_candidate_says_licence_rows_classes(world: World) -> None:
    world.repo.card = {
        "pretty_name": "Reviews",
        "dataset_info": {
            "features": [{"name": "label", "dtype": {"class_label": {"names": {"0": "a", "1": "b"}}}}],
            "splits": [{"name": "train", "num_examples": 150}, {"name": "test", "num_examples": 50}],
        },
    }
    found = await world.source().candidate("ada/reviews")
    assert found.url == f"{world.server.url}/datasets/ada/reviews"
    assert (found.title, found.licence, found.rows, found.classes) == ("Reviews", "mit", 200, 2)


async def test_class_numbers_come_with_their_names(world: World) -> None:
    label = {"name": "label", "dtype": {"class_label": {"names": {"1": "good", "0": "bad"}}}}
    text = {"name": "text", "dtype": "string"}
    world.repo.card = {"dataset_info": {"features": [text, label], "splits": []}}
    source = world.source()
    data = await source.fetch(await source.candidate("ada/reviews"), world.home / "raw")
    assert data.class_names == {"label": ("bad", "good")}
    world.repo.card = {"dataset_info": [{"features": [label]}, {"features": [label]}]}
    data = await source.fetch(await source.candidate("ada/reviews"), world.home / "raw")
    assert data.class_names == {}  # which configuration the file is of is not known


async def test_fetch_reads_the_commit_that_was_looked_at(world: World) -> None:
    candidate = await world.source().candidate("ada/reviews")
    world.repo.files["train.csv"] = b"text,label\nchanged,b\n"
    assert world.repo.head != candidate.revision
    data = await world.source().fetch(candidate, world.home / "raw")
    assert content(data.splits["train"]) == CSV
    assert data.candidate.revision == candidate.revision


async def test_the_next_fetch_downloads_nothing(world: World) -> None:
    await world.fetch()
    world.server.requests.clear()
    await world.fetch()
    assert not [r for r in world.server.requests if r.startswith("GET") and "/resolve/" in r]


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        ({"private": True}, FailureKind.DATA_ERROR, "if it is private, set HF_TOKEN"),
        ({"disabled": True}, FailureKind.DENIED, "switched"),
        ({"files": {"load.py": b""}}, FailureKind.DATA_ERROR, "loading script"),
        ({"files": {"model.bin": b""}}, FailureKind.DATA_ERROR, "no CSV"),
    ],
)
async def test_what_cannot_be_had_says_why(
    world: World, change: dict[str, object], kind: FailureKind, words: str
) -> None:
    world.server.add("dataset", replace(world.repo, history={}, **change))  # type: ignore[arg-type]
    with pytest.raises(SourceError, match=words) as caught:
        await world.source().candidate("ada/reviews")
    assert caught.value.kind is kind


async def test_gated_data_says_where_to_ask(world: World) -> None:
    world.repo.gated = True
    assert not (await world.source().search(TASK))[0].usable
    with pytest.raises(SourceError, match="gated") as caught:
        await world.fetch()
    assert caught.value.kind is FailureKind.DENIED
    assert "terms" in caught.value.hint


@pytest.mark.parametrize(
    "wanted", ["ada/none", "ada/reviews@0000000000000000000000000000000000000000", "a--b/..c"]
)
async def test_what_is_not_there(world: World, wanted: str) -> None:
    with pytest.raises(SourceError) as caught:
        await world.source(OWNER_TOKEN).candidate(wanted)
    assert caught.value.kind is FailureKind.DATA_ERROR


async def test_a_pause_is_as_long_as_the_server_asks(world: World) -> None:
    world.server.faults = [Fault("GET /api/datasets/ada", status=429, headers={"Retry-After": "7"}, times=2)]
    assert (await world.source().candidate("ada/reviews")).id == "ada/reviews"
    assert world.waits == [7.0, 7.0]


async def test_a_long_pause_is_told_not_sat_out(world: World) -> None:
    world.server.faults = [Fault("GET /api/datasets/ada", status=429, headers={"Retry-After": "900"})]
    with pytest.raises(SourceError, match="900 s") as caught:
        await world.source().candidate("ada/reviews")
    assert world.waits == []
    assert caught.value.kind is FailureKind.NO_CAPACITY


async def test_a_server_error_is_tried_again_and_then_told(world: World) -> None:
    world.server.faults = [Fault("GET /api/datasets/ada", status=500, times=2)]
    await world.source().candidate("ada/reviews")
    assert len(world.waits) == 2
    world.server.faults = [Fault("GET /api/datasets/ada", status=500, times=9)]
    with pytest.raises(SourceError, match="error \\(500\\)") as caught:
        await world.source().candidate("ada/reviews")
    assert caught.value.kind is FailureKind.UNREACHABLE


async def test_a_body_that_breaks_off_is_fetched_whole(world: World) -> None:
    world.server.faults = [Fault("GET /datasets/ada/reviews/resolve", kind="truncate")]
    assert await world.fetch() == CSV


async def test_a_large_file_with_another_hash_is_refused(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.repo.lfs = frozenset({"train.csv"})
    assert await world.fetch() == CSV
    monkeypatch.setattr("tests.hub.server.sha256", lambda content: "0" * 64)
    with pytest.raises(SourceError, match="damaged"):
        await world.fetch()


async def test_a_token_the_hub_does_not_accept(world: World) -> None:
    world.server.faults = [Fault("GET /api/datasets/ada", status=401)]
    with pytest.raises(SourceError, match="HF_TOKEN") as caught:
        await world.source("hf_wrong" + "x" * 30).candidate("ada/reviews")
    assert caught.value.kind is FailureKind.NO_TOKEN


async def test_a_token_stands_in_no_message_and_no_log(
    world: World, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    world.server.faults = [Fault("resolve", status=403, times=9)]
    source = world.source(OWNER_TOKEN)
    candidate = await source.candidate("ada/reviews")
    with pytest.raises(SourceError) as caught:
        await source.fetch(candidate, world.home / "raw")
    assert OWNER_TOKEN in world.server.tokens_seen
    printed = "".join(capfd.readouterr())
    assert OWNER_TOKEN not in printed + caplog.text + str(caught.value) + repr(source)


async def test_without_a_token_none_is_sent(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", OWNER_TOKEN)
    await world.fetch()
    assert world.server.tokens_seen == set()


async def test_no_hub_is_not_ready_and_says_so(world: World) -> None:
    nobody = HubSource(home=world.home, endpoint="http://127.0.0.1:9", sleep=world.sleep)
    assert not await nobody.ready()
    with pytest.raises(SourceError, match="cannot be reached"):
        await nobody.candidate("ada/reviews")
    world.server.faults = [Fault("GET /api/datasets", status=503)]
    assert not await world.source().ready()


async def test_whether_the_hub_answers_is_asked_once_in_a_while(world: World) -> None:
    source, now = world.source(), [100.0]
    source.client.clock = lambda: now[0]
    world.server.faults = [Fault("GET /api/datasets", status=503)]
    assert [await source.ready(), await source.ready()] == [False, False]
    assert len(world.server.requests) == 1
    now[0] += 31
    assert await source.ready()


async def test_search_passes_over_what_is_off_topic(world: World) -> None:
    world.server.add("dataset", Repo("bob/reviews-images", {"a.zip": b""}, downloads=10**6))
    found = await world.source().search(TASK)
    assert [c.id for c in found] == ["ada/reviews", "bob/reviews-images"]
    assert [c.usable for c in found] == [True, False]


async def test_search_marks_what_the_hub_switched_off(world: World) -> None:
    world.repo.disabled = True
    found = (await world.source().search(TASK))[0]
    assert (found.usable, found.why_not) == (False, "the Hub has switched it off")


async def test_a_multilingual_encoder_for_another_language(world: World) -> None:
    for name in (ENGLISH, MANY):
        world.server.add("model", Repo(name, dict(MODEL), tags=["license:apache-2.0"]))
    german = replace(TASK, constraints=Constraints(language="de"))
    assert (await world.source().model(TASK)).id == ENGLISH
    assert (await world.source().model(german)).id == MANY
    small = replace(german, constraints=Constraints(language="de", max_model_mb=100))
    chosen = await world.source().model(small)
    assert chosen.id == ENGLISH
    assert any("expect less on de" in reason for reason in chosen.reasons)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"config.json": b"{}", "tokenizer.json": b"{}", "pytorch_model.bin": b"x"}, "only as a pickle"),
        ({"model.safetensors": b"x", "config.json": b"{}"}, "tokenizer"),
        ({"README.md": b"x"}, "no safetensors"),
    ],
)
async def test_a_model_that_is_not_whole_or_not_safe(
    world: World, files: dict[str, bytes], words: str
) -> None:
    world.server.add("model", Repo("ada/model", files))
    with pytest.raises(SourceError, match=words):
        await world.source().model(replace(TASK, base_model="ada/model"))
    assert not [r for r in world.server.requests if "/resolve/" in r]


async def test_a_broken_model_download_goes_on_where_it_stopped(world: World) -> None:
    world.server.add("model", Repo(ENGLISH, dict(MODEL)))
    world.server.faults = [
        Fault("GET .*model.safetensors", status=404, headers={"X-Error-Code": "EntryNotFound"})
    ]
    with pytest.raises(SourceError):
        await world.source().model(TASK)
    world.server.requests.clear()
    await world.source().model(TASK)
    fetched = [r for r in world.server.requests if r.startswith("GET") and "/resolve/" in r]
    assert not [r for r in fetched if r.endswith("/config.json") and "1_Pooling" not in r]
