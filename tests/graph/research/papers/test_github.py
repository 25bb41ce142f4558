"""Licences of repositories on GitHub: what is asked, of whom, and what is said where there is no answer."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from graph.research.cache import AnswerCache
from graph.research.papers import github as module
from graph.research.papers.github import GitHub, repository_of, stated
from tests.hub.server import Fault, HubServer, Repo

CODE = "https://github.com/ada/code"


@pytest.fixture
async def server() -> AsyncIterator[HubServer]:
    async with HubServer().running() as server:
        server.add("github", Repo("ada/code", card={"spdx": "MIT"}))
        yield server


@pytest.mark.parametrize(
    ("url", "found"),
    [
        (CODE, "ada/code"),
        ("https://www.github.com/ada/code.git", "ada/code"),
        ("https://github.com/ada/code/tree/main/data?x=1#y", "ada/code"),
        ("https://github.com/ada/.github", "ada/.github"),
        ("https://github.com/ada", None),
        ("https://[github.com/ada/code", None),
        ("https://github.com]/ada/code", None),
        ("https://github.com/ada/..", None),
        ("https://github.com/../../user", None),
        ("https://github.com/ada/co%2Fde", None),
        ("https://github.com.evil.example/ada/code", None),
        ("https://evil@github.com/ada/code", None),
        ("http://github.com/ada/code", None),
        ("https://gist.github.com/ada/1234", None),
    ],
)
def test_which_repository_is_meant(url: str, found: str | None) -> None:
    assert repository_of(url) == found


@pytest.mark.parametrize(
    ("spdx", "licence"),
    [
        ("MIT", "mit"),
        ("Apache-2.0", "apache-2.0"),
        ("BSD-3-Clause", "bsd-3-clause"),
        ("CC-BY-4.0", "cc-by-4.0"),
        ("GPL-3.0", "gpl-3.0"),
        ("0BSD", "0BSD"),
        ("Some-Licence-1.0", "Some-Licence-1.0"),
    ],
)
async def test_a_licence_has_the_hubs_id_where_there_is_one(
    server: HubServer, spdx: str, licence: str
) -> None:
    server.repos["github", "ada/code"].card["spdx"] = spdx
    found = await GitHub(server.url).licence(CODE)
    assert (found.url, found.licence, found.note) == (CODE, licence, "")
    assert server.requests == ["GET /repos/ada/code/license"]
    assert server.tokens_seen == set()


LIMITED = {"x-ratelimit-remaining": "0"}


@pytest.mark.parametrize(
    ("fault", "note"),
    [
        (Fault("/repos/", status=404), "GitHub finds no licence there"),
        (Fault("/repos/", status=403, headers=LIMITED), "no more questions for now"),
        (Fault("/repos/", status=403, headers={"Retry-After": "60"}), "no more questions for now"),
        (Fault("/repos/", status=429), "no more questions for now"),
        (Fault("/repos/", status=429, headers={"Retry-After": "3600"}), "no more questions for now"),
        (Fault("/repos/", status=403), "does not tell (403)"),
        (Fault("/repos/", status=451), "does not tell (451)"),
        (Fault("/repos/", status=500), "does not tell (500)"),
        (Fault("/repos/", status=503), "does not tell (503)"),
        (Fault("/repos/", kind="lost"), "cannot be reached"),
        (Fault("/repos/", kind="truncate"), "cannot be reached"),
        (Fault("/repos/", kind="body", body=b"<html>"), "cannot be understood"),
        (Fault("/repos/", kind="body", body=b"[1]"), "cannot be understood"),
        (Fault("/repos/", kind="body", body=b"[" * 99_999), "cannot be understood"),
    ],
)
async def test_no_answer_is_a_note_after_one_request(server: HubServer, fault: Fault, note: str) -> None:
    server.faults = [fault]
    found = await GitHub(server.url).licence(CODE)
    assert found.licence is None
    assert note in found.note
    assert len(server.requests) == 1


async def test_an_answer_that_takes_for_ever_is_a_note(
    server: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ALL_S", 0.02)
    server.latency_s = 0.3
    assert (await GitHub(server.url).licence(CODE)).note == "GitHub cannot be reached"


async def test_nobody_there_is_a_note() -> None:
    assert (await GitHub("http://127.0.0.1:9").licence(CODE)).note == "GitHub cannot be reached"


@pytest.mark.parametrize("spdx", ["NOASSERTION", None, 7, "", "a b", "x" * 99, "<b>", "MIT\n"])
def test_a_licence_that_it_does_not_know_has_to_be_read(spdx: Any) -> None:
    found = stated(json.dumps({"license": {"spdx_id": spdx}}).encode())
    assert found == (None, "it has a licence of its own, or none that GitHub knows: read it there")


async def test_an_answer_without_an_end_is_given_up(
    server: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_ANSWER_BYTES", 40)
    assert (await GitHub(server.url).licence(CODE)).note == "GitHub's answer cannot be understood"


async def test_a_renamed_repository_is_followed_once_and_on_the_same_address_alone(server: HubServer) -> None:
    old = server.add("github", Repo("ada/old", moved_to="/repos/ada/code/license"))
    assert (await GitHub(server.url).licence("https://github.com/ada/old")).licence == "mit"
    old.moved_to = "/repos/ada/old/license"
    assert (
        await GitHub(server.url).licence("https://github.com/ada/old")
    ).note == "GitHub does not tell (301)"
    old.moved_to = "https://[nowhere/repos/ada/code/license"
    assert (await GitHub(server.url).licence("https://github.com/ada/old")).licence is None
    async with HubServer().running() as elsewhere:
        old.moved_to = f"{elsewhere.url}/repos/ada/code/license"
        assert (await GitHub(server.url).licence("https://github.com/ada/old")).licence is None
        assert elsewhere.requests == []


async def test_what_is_certain_is_kept_for_a_while(server: HubServer, tmp_path: Path) -> None:
    now = [1000.0]
    cache = AnswerCache(tmp_path, server.url, None, clock=lambda: now[0])
    asking = GitHub(server.url, cache)
    server.faults = [
        Fault("/repos/", status=403, headers=LIMITED), Fault("/repos/", kind="body", body=b"<p>log in</p>"),
    ]  # fmt: skip
    assert [(await asking.licence(CODE)).licence for _ in server.faults] == [None, None]
    first = [await asking.licence(CODE), await asking.licence("https://github.com/ada/gone")]
    asked = len(server.requests)
    assert [await asking.licence(CODE), await asking.licence("https://github.com/ada/gone")] == first
    assert (len(server.requests), first[0].licence) == (asked, "mit")
    now[0] += 7 * 3600
    await asking.licence(CODE)
    assert len(server.requests) == asked + 1
