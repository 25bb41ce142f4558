"""The search when the Hub, its viewer or a data set misbehaves: told or passed over, and never the end of it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from graph.errors import SourceError
from graph.names import FailureKind
from graph.research.evidence import config_of, from_rows, from_viewer
from graph.research.hub import HubSource, viewer_of
from graph.research.viewer import PUBLIC
from graph.state import Candidate, TaskSpec
from tests.graph.research.test_datasearch import task_of
from tests.hub.collection import stock
from tests.hub.server import OWNER_TOKEN, READ_TOKEN, Fault, HubServer, Repo

REVIEWS = task_of("Tell positive from negative product reviews in English.")
TICKETS = task_of("Sort our support tickets by intent.")
RIGHT = "storefront/verified-reviews"


class World:
    """``now`` only moves when a test moves it; a wait is noted, not sat out."""

    def __init__(self, server: HubServer, home: Path) -> None:
        self.server, self.home = server, home
        self.waits: list[float] = []
        self.now = datetime(2026, 11, 1, tzinfo=UTC)

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)

    def source(self, token: str | None = None, viewer: str | None = "") -> HubSource:
        return HubSource(
            home=self.home,
            endpoint=self.server.url,
            token=SecretStr(token) if token else None,
            viewer_url=f"{self.server.url}/viewer" if viewer == "" else viewer,
            sleep=self.sleep,
            now=lambda: self.now,
        )

    async def search(self, task: TaskSpec = REVIEWS, token: str | None = None) -> list[Candidate]:
        return await self.source(token).search(task)

    def asked(self, words: str) -> list[str]:
        return [line for line in self.server.requests if words in line]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with HubServer().running() as server:
        stock(server)
        yield World(server, tmp_path)


def best(found: list[Candidate]) -> str:
    return found[0].id if found and found[0].usable else ""


# -- the viewer ------------------------------------------------------------------------------------------------


async def test_a_viewer_that_is_down_costs_a_few_requests_and_no_result(world: World) -> None:
    world.server.faults = [Fault("GET /viewer", status=503, times=99)]
    found = await world.search()
    assert best(found)
    assert all(not c.class_counts or "looked at the first" in " ".join(c.reasons) for c in found)
    assert len(world.asked("/viewer/")) < 30


async def test_no_viewer_at_all(world: World) -> None:
    found = await world.source(viewer=None).search(REVIEWS)
    assert best(found)
    assert not world.asked("/viewer/")
    counted = {c.id: c for c in found}[RIGHT]
    assert "looked at the first 60 rows of train.csv" in counted.reasons
    assert set(counted.class_counts) == {"positive", "negative"}


async def test_a_viewer_that_hangs_is_given_up_without_another_try(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("graph.research.viewer.TIMEOUT_S", 0.02)
    world.server.latency_s = 0.1
    assert best(await world.search())
    assert world.waits == []
    assert len(world.asked("/viewer/")) <= 10


async def test_a_sample_where_the_server_knows_no_ranges_is_as_small(world: World) -> None:
    world.server.viewer.pop(RIGHT)
    world.server.repos["dataset", RIGHT].files["train.csv"] *= 2000
    world.server.ranges = False
    found = {c.id: c for c in await world.search()}
    assert sum(found[RIGHT].class_counts.values()) == 1000  # as many rows as are read at most


@pytest.mark.parametrize(
    "nonsense", [b"<html>no</html>", b"[1, 2", b"[]", b'{"dataset_info": 7}', b"\xff\x00", b"[" * 90_000]
)
async def test_nonsense_of_the_viewer_counts_as_no_answer(world: World, nonsense: bytes) -> None:
    world.server.viewer = {
        name: dict.fromkeys(answers, nonsense) for name, answers in world.server.viewer.items()
    }
    assert best(await world.search())


@pytest.mark.parametrize(
    "nonsense", [b"<html>Please log in</html>", b"[1, 2]", b'"hello"', b"7", b"\xff", b"null"]
)
async def test_nonsense_in_the_hubs_place_is_an_error_of_ours(world: World, nonsense: bytes) -> None:
    world.server.faults = [Fault("GET /api/", "body", body=nonsense, times=100)]
    with pytest.raises(SourceError, match="cannot be understood") as raised:
        await world.search()
    assert "HF_ENDPOINT" in raised.value.hint


async def test_one_nonsensical_answer_costs_itself_only(world: World) -> None:
    world.server.faults = [Fault("GET /api/datasets", "body", body=b"<html>", skip=1)]
    assert best(await world.search()) == RIGHT


async def test_an_answer_without_end_is_not_read_to_its_end(world: World) -> None:
    world.server.viewer[RIGHT]["first-rows"] = b'{"rows": [' + b"1," * (6 << 20)
    assert best(await world.search()) == RIGHT


Json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(
        ["dataset_info", "default", "features", "splits", "train", "num_examples", "_type", "names", "statistics",
         "column_name", "column_statistics", "frequencies", "histogram", "hist", "bin_edges", "rows", "row", "text",
         "label", "nan_proportion", "mean"]), inner, max_size=4),
    max_leaves=25,
)  # fmt: skip


@given(st.dictionaries(st.just("dataset_info"), Json), st.dictionaries(st.just("statistics"), Json),
       st.dictionaries(st.just("rows"), Json))  # fmt: skip
def test_whatever_the_viewer_says_is_read_without_a_fault(
    info: dict[str, Any], statistics: dict[str, Any], rows: dict[str, Any]
) -> None:
    config, _ = config_of(info)
    seen = from_viewer(info, config, statistics, rows, REVIEWS)
    assert seen.missing is None or 0 <= seen.missing <= 1
    assert all(count >= 0 for count in seen.class_counts.values())


@given(st.lists(st.dictionaries(st.text(max_size=5), Json, max_size=4), max_size=5))
def test_whatever_a_file_begins_with_is_read_without_a_fault(rows: list[dict[str, Any]]) -> None:
    assert from_rows(rows, REVIEWS, None, None).looked_at == len(rows)


@pytest.mark.parametrize(
    ("endpoint", "named", "url"),
    [
        (None, None, PUBLIC),
        ("https://huggingface.co", None, PUBLIC),
        ("https://hub.example", None, None),
        ("https://hub.example", "https://viewer.example", "https://viewer.example"),
    ],
)
def test_a_private_hubs_token_never_goes_to_the_public_viewer(
    endpoint: str | None, named: str | None, url: str | None
) -> None:
    assert viewer_of(endpoint, named) == url


# -- the Hub ---------------------------------------------------------------------------------------------------


async def test_a_question_that_fails_costs_its_own_answers_only(world: World) -> None:
    world.server.faults = [Fault(r"GET /api/datasets$", status=403)]
    assert best(await world.search()) == RIGHT


@pytest.mark.parametrize(
    ("fault", "words", "kind"),
    [
        (Fault(r"GET /api/datasets$", status=500, times=99), "error \\(500\\)", FailureKind.UNREACHABLE),
        (
            Fault(r"GET /api/datasets$", status=429, times=99, headers={"Retry-After": "900"}),
            "900 s",
            FailureKind.NO_CAPACITY,
        ),
        (Fault(r"GET /api/datasets$", status=401, times=99), "no list of data sets", FailureKind.DATA_ERROR),
    ],
)  # fmt: skip
async def test_where_every_question_fails_it_says_so_in_a_sentence(
    world: World, fault: Fault, words: str, kind: FailureKind
) -> None:
    world.server.faults = [fault]
    with pytest.raises(SourceError, match=words) as caught:
        await world.search()
    assert caught.value.kind is kind


async def test_a_pause_that_the_hub_asks_for_is_kept(world: World) -> None:
    world.server.faults = [Fault(r"GET /api/datasets$", status=429, headers={"Retry-After": "7"})]
    assert best(await world.search()) == RIGHT
    assert 7.0 in world.waits


async def test_at_most_eight_at_once(world: World) -> None:
    world.server.latency_s = 0.01
    await world.search()
    assert 2 <= world.server.most_at_once <= 8


async def test_a_candidate_whose_file_breaks_off_is_judged_by_its_card(world: World) -> None:
    world.server.viewer.clear()
    world.server.faults = [Fault("verified-reviews/resolve", kind="truncate", times=99)]
    found = {c.id: c for c in await world.source().search(REVIEWS, 20)}
    assert found[RIGHT].usable
    assert not found[RIGHT].class_counts


async def test_a_card_with_broken_yaml_leaves_a_data_set_that_can_be_looked_into(world: World) -> None:
    found = {c.id: c for c in await world.search(task_of("Sort news articles by topic."))}
    news = found["broken/news-desks"]
    assert (news.usable, news.learns, news.licence) == (True, "text → label", None)
    assert set(news.class_counts) == {"business", "sport", "world"}


async def test_a_file_with_a_header_alone_has_no_rows(world: World) -> None:
    world.server.viewer.pop(RIGHT)
    world.server.repos["dataset", RIGHT].files["train.csv"] = b"text,label\n"
    found = {c.id: c for c in await world.source().search(REVIEWS, 20)}
    assert RIGHT not in {c.id for c in found.values() if c.usable}
    assert found[RIGHT].why_not == "it has no rows"


async def test_a_renamed_data_set_comes_with_its_new_name(world: World) -> None:
    world.server.add("dataset", Repo("storefront/reviews", moved_to=RIGHT))
    found = await world.source().candidate("storefront/reviews")
    assert found.id == RIGHT
    assert "storefront/reviews is called storefront/verified-reviews now" in found.reasons
    data = await world.source().fetch(found, world.home / "raw")
    assert data.candidate.id == RIGHT


# -- a token ---------------------------------------------------------------------------------------------------


async def test_data_of_the_own_organisation_is_found_with_a_token_alone(world: World) -> None:
    repo = world.server.repos.pop(("dataset", "insider/support-tickets"))
    world.server.add("dataset", replace(repo, id="team/desk-2026", history={}))
    assert "team/desk-2026" not in {c.id for c in await world.search(TICKETS)}
    assert "team/desk-2026" in {c.id for c in await world.search(TICKETS, OWNER_TOKEN) if c.usable}


async def test_gated_data_is_as_good_as_any_for_who_may_read_it(world: World) -> None:
    gated = world.server.repos["dataset", "vault/support-intents-pro"]
    closed = {c.id: c for c in await world.search(TICKETS, OWNER_TOKEN)}[gated.id]
    assert "access has to be asked for" in closed.why_not
    gated.granted = True
    opened = {c.id: c for c in await World(world.server, world.home / "2").search(TICKETS, OWNER_TOKEN)}[
        gated.id
    ]
    assert opened.usable
    assert "gated, and open to our account" in opened.reasons


# -- what is kept ----------------------------------------------------------------------------------------------


async def test_the_same_search_again_asks_nothing_until_it_is_old(world: World) -> None:
    first = await world.search()
    world.server.requests.clear()
    assert await world.search() == first
    assert world.server.requests == []
    world.now += timedelta(hours=7)
    await world.search()
    assert world.server.requests


async def test_a_new_revision_is_looked_at_anew(world: World) -> None:
    await world.search()
    world.server.requests.clear()
    world.server.repos["dataset", RIGHT].files["train.csv"] += b"9,new,positive\n"
    await world.source().candidate(RIGHT)
    assert world.asked("/viewer/info")


async def test_answers_of_one_token_are_not_shown_to_another(world: World) -> None:
    await world.search(TICKETS, OWNER_TOKEN)
    world.server.requests.clear()
    await world.search(TICKETS, READ_TOKEN)
    assert world.asked("GET /api/datasets")
    kept = "".join(f"{p} {p.read_text()}" for p in world.home.rglob("*.json"))
    assert kept
    assert OWNER_TOKEN not in kept
    assert READ_TOKEN not in kept
    assert all(p.stat().st_mode & 0o077 == 0 for p in world.home.rglob("answers/*.json"))


@pytest.mark.parametrize(
    "spoil", [lambda text: text[: len(text) // 2], lambda text: json.dumps({"at": "x"}), lambda _: "[]"]
)
async def test_a_spoilt_cache_is_asked_past(world: World, spoil: Callable[[str], str]) -> None:
    first = await world.search()
    for file in world.home.rglob("answers/*.json"):
        file.write_text(spoil(file.read_text()))
    assert await world.search() == first
