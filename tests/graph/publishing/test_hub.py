"""Publishing to the Hub: once whatever fails, for no more eyes than approved, and read back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from pydantic import SecretStr

from graph.deps import Checkup, Publication, Verify
from graph.errors import PublishError, PublishRefused
from graph.names import FailureKind
from graph.publishing.hub import HubPublisher
from tests.graph.publishing.runs import HUB, Steps, make_run
from tests.hub.publishing import seen_by_everyone
from tests.hub.server import OWNER_TOKEN, READ_TOKEN, Fault, HubServer, Repo


class World:
    def __init__(self, server: HubServer, home: Path) -> None:
        self.server, self.run = server, make_run(home / "run")
        self.waits: list[float] = []
        self.steps = Steps()

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)

    def publisher(self, token: str | None = OWNER_TOKEN) -> HubPublisher:
        return HubPublisher(self.server.url, SecretStr(token) if token else None, sleep=self.sleep)

    async def publish(
        self, target: str = "hub:ada/reviews", *, private: bool = True, verify: Verify | None = None
    ) -> Publication:
        return await self.publisher().publish(
            self.run, target, private=private, key="r1/publish/1", steps=self.steps, verify=verify
        )

    def repo(self, kind: str = "model") -> Repo:
        return self.server.repos[kind, "ada/reviews"]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with HubServer().running() as server:
        yield World(server, tmp_path)


async def test_one_commit_with_the_key_in_a_private_repository(world: World) -> None:
    done = await world.publish()
    assert world.repo().private
    assert world.repo().messages == ["Publish by ml-intern (r1/publish/1)"]
    assert set(world.repo().files) == HUB | {".gitattributes"}
    assert done.url == f"{world.server.url}/ada/reviews"
    assert done.revision == world.repo().head


async def test_a_commit_that_landed_but_was_not_answered_is_not_repeated(world: World) -> None:
    world.server.faults = [Fault("POST .*/commit/", kind="lost")]
    done = await world.publish()
    assert len(world.repo().messages) == 1
    assert done.revision == world.repo().head
    assert len(world.waits) == 1


async def test_a_process_that_died_after_the_commit_finds_it(world: World) -> None:
    first = await world.publish()
    again = await world.publish()
    assert again == first
    assert len(world.repo().messages) == 1
    assert len([r for r in world.server.requests if "/commit/" in r]) == 1


async def test_a_failed_commit_is_tried_again(world: World) -> None:
    world.server.faults = [Fault("POST .*/commit/", status=500)]
    await world.publish()
    assert len(world.repo().messages) == 1


async def test_somebody_elses_commit_in_between_is_kept(world: World) -> None:
    world.server.add("model", Repo("ada/reviews", {".gitattributes": b""}, private=True))
    world.server.before_commit = lambda repo: repo.files.update({"config.json": b"their change"})
    done = await world.publish()
    assert len(world.waits) == 1  # the first commit, on a head of the past, was refused
    assert world.repo().files["config.json"] == b"their change"
    assert done.revision == world.repo().refs["refs/pr/1"]


async def test_a_repository_with_other_content_gets_a_pull_request(world: World) -> None:
    world.server.add("model", Repo("ada/reviews", {"their.txt": b"theirs"}, private=True))
    done = await world.publish()
    assert world.repo().files == {"their.txt": b"theirs"}
    assert world.repo().messages == []
    assert set(world.repo().history[world.repo().refs["refs/pr/1"]]) == HUB | {"their.txt"}
    assert done.repos[0].pull_request == f"{world.server.url}/ada/reviews/discussions/1"
    assert not done.repos[0].created


async def test_a_pull_request_whose_answer_was_lost_is_not_opened_twice(world: World) -> None:
    world.server.add("model", Repo("ada/reviews", {"their.txt": b"theirs"}, private=True))
    world.server.faults = [Fault("POST .*/commit/", kind="lost")]
    done = await world.publish()
    assert len(world.repo().pulls) == 1
    assert done.repos[0].number == 1
    assert done.revision == world.repo().refs["refs/pr/1"]


async def test_a_pull_request_is_closed_by_unpublishing_and_a_merged_one_left(world: World) -> None:
    world.server.add("model", Repo("ada/reviews", {"their.txt": b"theirs"}, private=True))
    done = asdict(await world.publish())
    (said,) = await world.publisher().unpublish(done, keep=False)
    assert "closed" in said
    assert world.repo().pulls[0].status == "closed"
    world.repo().pulls[0].status = "merged"
    (said,) = await world.publisher().unpublish(done, keep=False)
    assert "merged" in said
    assert world.repo().pulls[0].status == "merged"
    assert world.repo().files == {"their.txt": b"theirs"}


async def test_an_empty_repository_that_was_there_stays_and_loses_only_our_files(world: World) -> None:
    world.server.add("model", Repo("ada/reviews", {".gitattributes": b""}, private=True))
    done = await world.publish()
    assert set(world.repo().files) == HUB | {".gitattributes"}
    (said,) = await world.publisher().unpublish(asdict(done), keep=False)
    assert "stays" in said
    assert set(world.repo().files) == {".gitattributes"}


async def test_model_space_and_split_in_a_collection(world: World) -> None:
    done = await world.publish("hub:ada/reviews+space+data", private=False)
    assert {f"{r.type}:{r.id}" for r in done.repos} == {
        "model:ada/reviews", "space:ada/reviews", "dataset:ada/reviews",
    }  # fmt: skip
    assert set(world.repo("dataset").files) == {"README.md", "splits.json", ".gitattributes"}
    assert b"ada/reviews" in world.repo("space").files["settings.json"]
    assert b"models:\n- ada/reviews\n---\n# Space" in world.repo("space").files["README.md"]
    assert b"old/name" not in world.repo("space").files["README.md"]
    (held,) = world.server.collections.values()
    assert [i["type"] for i in held.items] == ["dataset", "model", "space"]
    assert not held.private
    assert set(seen_by_everyone(world.server)) == set(world.server.repos)
    said = await world.publisher().unpublish(asdict(done), keep=False)
    assert len(said) == 4
    assert not world.server.repos
    assert not world.server.collections


async def test_rows_only_where_they_were_asked_for(world: World) -> None:
    await world.publish("hub:ada/reviews+rows")
    assert world.repo("dataset").files["data/train.jsonl"] == b"a person's rows"


async def test_nobody_sees_a_model_that_says_other_things_than_measured(world: World) -> None:
    seen: list[set[str]] = []

    async def other(folder: Path) -> Checkup:
        seen.append({p.name for p in folder.iterdir()})
        return Checkup(20, 3, "3 of 20 test rows are predicted differently.")

    with pytest.raises(PublishError, match="3 of 20 test rows"):
        await world.publish(private=False, verify=other)
    assert seen == [{"model.safetensors", "config.json", "README.md"}]
    assert world.repo().private
    done = await world.publish(private=True, verify=other)  # for few eyes it is told
    assert done.checkup is not None
    assert done.checkup.differing == 3


async def test_what_was_hidden_by_an_earlier_try_is_shown_by_a_later_one(world: World) -> None:
    world.server.faults = [Fault("POST .*/commit/", status=403)]
    with pytest.raises(PublishError, match="may not do this"):
        await world.publish(private=False)
    assert world.repo().private
    await world.publish(private=False)
    assert not world.repo().private


async def test_what_is_read_back_has_to_be_what_was_sent(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.hub.publishing.base64.b64decode", lambda text: b"something else")
    with pytest.raises(PublishError, match="not what was sent"):
        await world.publish()


@pytest.mark.parametrize(("exists_private", "wanted_private"), [(False, True), (True, False)])
async def test_never_for_other_eyes_than_approved(
    world: World, exists_private: bool, wanted_private: bool
) -> None:
    world.server.add("model", Repo("ada/reviews", {}, private=exists_private))
    with pytest.raises(PublishError, match="not as approved") as caught:
        await world.publish(private=wanted_private)
    assert caught.value.kind is FailureKind.DENIED
    assert world.repo().messages == []


async def test_another_visibility_can_be_mended_on_its_page(world: World) -> None:
    world.server.add("model", Repo("ada/reviews", {}, private=True))
    with pytest.raises(PublishError, match="not as approved"):
        await world.publish(private=False)
    world.repo().private = False
    await world.publish(private=False)
    assert len(world.repo().messages) == 1


async def test_with_a_space(world: World) -> None:
    await world.publish("hub:ada/reviews+space", private=False)
    assert set(world.repo("space").files) == {"app.py", "README.md", "settings.json", ".gitattributes"}
    assert not world.repo("space").private


async def test_a_space_that_is_not_there_stops_before_anything_is_made(world: World) -> None:
    for name in ("app.py", "README.md", "settings.json"):
        (world.run / "space" / name).unlink()
    (world.run / "space").rmdir()
    with pytest.raises(PublishRefused, match="no Space"):
        await world.publish("hub:ada/reviews+space")
    assert world.server.repos == {}


@pytest.mark.parametrize(("target", "owner"), [("hub:reviews", "ada"), ("hub:team/reviews", "team")])
async def test_namespaces_of_the_token(world: World, target: str, owner: str) -> None:
    await world.publish(target)
    assert list(world.server.repos) == [("model", f"{owner}/reviews")]


@pytest.mark.parametrize("target", ["hub:readers/reviews", "hub:somebody/reviews"])
async def test_a_namespace_that_is_not_the_tokens_is_said_before_anything_is_sent(
    world: World, target: str
) -> None:
    with pytest.raises(PublishError, match="may not write under") as caught:
        await world.publish(target)
    assert caught.value.kind is FailureKind.DENIED
    assert "ada, team" in caught.value.hint
    assert [r for r in world.server.requests if r.startswith("POST")] == []


@pytest.mark.parametrize(
    ("token", "kind", "words"),
    [
        (None, FailureKind.NO_TOKEN, "not set"),
        (READ_TOKEN, FailureKind.DENIED, "only read"),
        ("hf_nobody" + "x" * 30, FailureKind.NO_TOKEN, "does not accept"),
    ],
)
async def test_tokens_that_cannot_publish(
    world: World, token: str | None, kind: FailureKind, words: str
) -> None:
    with pytest.raises(PublishError, match=words) as caught:
        await world.publisher(token).publish(world.run, "hub:reviews", private=True, key="k", steps=Steps())
    assert caught.value.kind is kind
    assert caught.value.hint


async def test_a_right_that_was_taken_away(world: World) -> None:
    world.server.faults = [Fault("POST .*/commit/", status=403)]
    with pytest.raises(PublishError, match="may not do this") as caught:
        await world.publish()
    assert caught.value.kind is FailureKind.DENIED


async def test_the_token_itself_is_never_published(world: World) -> None:
    (world.run / "model" / "notes.dat").write_bytes(b"\0" + OWNER_TOKEN.encode())
    with pytest.raises(PublishRefused, match="secret of this process") as caught:
        await world.publish()
    assert OWNER_TOKEN not in str(caught.value)


@pytest.mark.parametrize("target", ["hub:", "hub:a/b/c", "hub:a b", "hub:../x/y"])
async def test_what_is_no_name(world: World, target: str) -> None:
    with pytest.raises(PublishError, match="no place on the Hub"):
        await world.publish(target)


EVERYTHING = "hub:ada/reviews+space+data"
STEPS = {
    "the account": "GET /api/whoami",
    "a look at a repository": "GET /api/spaces/ada/reviews$",
    "making one": "POST /api/repos/create",
    "what is to be uploaded": "POST .*/preupload/",
    "the commit": "POST .*/commit/",
    "reading back": "GET /api/models/ada/reviews/revision/",
    "fetching": "GET /ada/reviews/resolve/",
    "showing": "PUT .*/settings",
    "looking for a collection": "GET /api/collections",
    "making a collection": "POST /api/collections$",
    "filling a collection": "POST /api/collections/.*/items",
    "showing a collection": "PATCH /api/collections/",
}
FAULTS = {
    "401": Fault("", status=401, times=99),
    "403": Fault("", status=403, times=99),
    "404": Fault("", status=404, times=99),
    "429": Fault("", status=429, times=99, headers={"Retry-After": "3600"}),
    "500": Fault("", status=500, times=99),
}
PASSING = {
    "429 with a short wait": Fault("", status=429, headers={"Retry-After": "1"}),
    "503": Fault("", status=503),
    "an answer that is lost": Fault("", kind="lost"),
}


async def fine(folder: Path) -> Checkup:
    return Checkup(1, 0, "The same.")


def whole(world: World) -> bool:
    repos = world.server.repos.values()
    groups = list(world.server.collections.values())
    return (
        len(repos) == 3
        and all(len(repo.messages) == 1 and not repo.private for repo in repos)
        and len(groups) == 1
        and len(groups[0].items) == 3
        and not groups[0].private
    )


@pytest.fixture
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client's own, between its tries of a commit or a download."""
    monkeypatch.setattr("huggingface_hub.utils._http.time", SimpleNamespace(sleep=lambda seconds: None))
    monkeypatch.setattr("huggingface_hub.file_download.time", SimpleNamespace(sleep=lambda seconds: None))


@pytest.mark.usefixtures("_no_pauses")
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("fault", FAULTS)
async def test_a_step_that_is_refused_is_told_and_taken_up_again(world: World, step: str, fault: str) -> None:
    world.server.faults = [replace(FAULTS[fault], pattern=STEPS[step])]
    with pytest.raises(PublishError) as caught:
        await world.publish(EVERYTHING, private=False, verify=fine)
    assert caught.value.detail.endswith(".")
    assert caught.value.hint.endswith(".")
    seen = seen_by_everyone(world.server)
    assert not seen or all(len(repo.messages) == 1 for repo in world.server.repos.values())
    world.server.faults = []
    await world.publish(EVERYTHING, private=False, verify=fine)
    assert whole(world)


@pytest.mark.usefixtures("_no_pauses")
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("fault", PASSING)
async def test_a_step_that_fails_once_is_done_once(world: World, step: str, fault: str) -> None:
    world.server.faults = [replace(PASSING[fault], pattern=STEPS[step])]
    await world.publish(EVERYTHING, private=False, verify=fine)
    assert whole(world)
    assert world.server.faults[0].times == 0


async def test_a_pause_of_an_hour_is_told_and_not_slept_through(world: World) -> None:
    """The client itself would sit it out, in a thread that nothing can stop."""
    world.server.faults = [replace(FAULTS["429"], pattern=STEPS["the commit"])]
    with pytest.raises(PublishError, match="pause of 3600 s"):
        await world.publish()
    assert len([r for r in world.server.requests if "/commit/" in r]) == 1


async def test_a_hub_that_does_not_answer_in_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graph.publishing.hub.UPLOAD_TIMEOUT_S", 0.0)
    with pytest.raises(PublishError, match=r"took over 0 s for the model ada/reviews"):
        await world.publish(private=False)
    assert not seen_by_everyone(world.server)
    monkeypatch.undo()
    await world.publish(private=False)
    assert len(world.repo().messages) == 1
    assert not world.repo().private
