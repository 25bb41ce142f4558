"""What every backend keeps (``remote/backend.py``). One suite; a new backend adds a fixture and nothing else.

Each kind of backend gets the same jobs: one that works (two events, an artifact, a result), one that names
its own failure, one that dies without a word, one that runs until it is stopped; and chains of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from remote.backend import (
    ArtifactError,
    Backend,
    BackendError,
    Input,
    JobNotFound,
    JobRef,
    JobSpec,
    Need,
    Program,
)
from remote.backends.fake import Failure, FakeBackend, Hold, Reply, Script
from remote.backends.local import LocalBackend
from remote.protocol import FailureKind, JobEvent, JobEventType
from tests.jobsserver.world import HfWorld, hf_world
from tests.modalserver.world import ModalWorld, modal_world
from tests.remote.redteam.walls import backend as walled
from tests.remote.sandbox.jobs import PRELUDE, local

NEED = Need(timeout_s=20, memory_mb=1024, disk_mb=64, processes=64)
SCRIPTS = {
    "works": """
        emit.progress(1, 2, loss=0.5)
        emit.epoch(1, macro_f1=0.9)
        Path("out/deep").mkdir()
        Path("out/deep/model.txt").write_text("weights")
        Path("out/notes.txt").write_text("not announced")
        emit.artifact(Path("out/deep/model.txt"), Path("out"))
        emit.result({"config": config})
    """,
    "also": "emit.result({})",
    "fails": """
        from remote.protocol import JobError, FailureKind
        emit.progress(1, 2)
        Path("out/half.txt").write_text("half")
        raise JobError(FailureKind.DATA_ERROR, "The table has one column.")
    """,
    "dies": """
        emit.progress(1, 2)
        os.kill(os.getpid(), 9)
    """,
    "runs": """
        import signal
        emit.progress(1, 2)
        signal.pause()
    """,
}
P, E = JobEventType.PROGRESS, JobEventType.EPOCH
ANSWERS: Script = {
    "works": lambda config: Reply(
        {"config": dict(config)},
        events=[(P, {"step": 1, "total": 2, "metrics": {"loss": 0.5}}), (E, {"epoch": 1, "metrics": {}})],
        files={"deep/model.txt": "weights"},
    ),
    "also": Reply(),
    "fails": Failure(
        FailureKind.DATA_ERROR, "The table has one column.", events=[(P, {"step": 1, "total": 2})]
    ),
    "dies": Failure(FailureKind.PREEMPTED, "It is gone.", events=[(P, {"step": 1, "total": 2})]),
    "runs": Hold(events=[(P, {"step": 1, "total": 2})]),
}


@dataclass(frozen=True)
class Kind:
    """A backend under test, and how to make jobs for it and meddle with their files."""

    backend: Backend
    folder: Path
    tamper: Callable[[str, str, bytes | None], None]

    def spec(self, *names: str, key: str = "job-1") -> JobSpec:
        programs, inputs = [], []
        for name in names:
            script = self.folder / f"{name}.py"
            code = "\n".join(line.removeprefix(" " * 8) for line in SCRIPTS[name].splitlines())
            script.write_text(PRELUDE.replace('"program"', f'"{name}"') + code, "utf-8")
            programs.append(Program(name, f"in/{name}.py", {"learning_rate": 2e-5, "name": "Größe"}))
            inputs.append(Input(f"{name}.py", str(script)))
        return JobSpec(key, "run-1", tuple(programs), tuple(inputs), NEED, allow_unisolated=True)

    async def start(self, *names: str, key: str = "job-1") -> JobRef:
        return await self.backend.submit(self.spec(*names, key=key))

    async def run(self, *names: str, key: str = "job-1") -> tuple[JobRef, list[JobEvent]]:
        ref = await self.start(*names, key=key)
        return ref, [event async for event in self.backend.events(ref)]


@pytest.fixture
def modal_stand_in(tmp_path: Path) -> Iterator[ModalWorld]:
    with modal_world(tmp_path) as world:
        yield world


@pytest.fixture
async def hf_stand_in(tmp_path: Path) -> AsyncIterator[HfWorld]:
    async with hf_world(tmp_path) as world:
        yield world


@pytest.fixture(params=["bubblewrap", "docker", "none", "fake", "modal", "hf_jobs"])
def kind(request: pytest.FixtureRequest, tmp_path: Path) -> Kind:
    if request.param == "hf_jobs":
        hf = request.getfixturevalue("hf_stand_in")
        return Kind(hf.backend, tmp_path, hf.tamper)
    if request.param == "modal":
        world = request.getfixturevalue("modal_stand_in")
        return Kind(world.backend, tmp_path, world.tamper)
    if request.param == "fake":
        fake = FakeBackend(ANSWERS)
        return Kind(fake, tmp_path, fake.tamper)
    isolated = request.param == "bubblewrap"
    backend: LocalBackend = (
        walled("docker", tmp_path) if request.param == "docker" else local(tmp_path, isolated=isolated)
    )

    def tamper(key: str, path: str, data: bytes | None) -> None:
        file = tmp_path / "jobs" / key / "out" / path
        if data is None:
            file.unlink()
        else:
            file.write_bytes(data)

    return Kind(backend, tmp_path, tamper)


async def test_probe_and_offers_answer_without_raising(kind: Kind) -> None:
    health = await kind.backend.probe()
    offers = await kind.backend.offers(Need(), 60.0)
    assert health.ready or (health.reason and health.detail and health.hint)
    assert {offer.backend for offer in offers} == {kind.backend.name}
    assert all(offer.price_source and offer.price_as_of for offer in offers)


async def test_no_offer_for_a_gpu_that_is_not_there(kind: Kind) -> None:
    assert await kind.backend.offers(Need(gpu="B200-of-another-planet"), 60.0) == []


async def test_a_job_that_works_ends_in_its_result(kind: Kind) -> None:
    ref, events = await kind.run("works")
    assert [event.type.value for event in events] == ["progress", "epoch", "artifact", "result"]
    assert [event.seq for event in events] == sorted({event.seq for event in events})
    assert {event.stage for event in events} == {"works"}
    assert events[-1].fields["data"]["config"] == {"learning_rate": 2e-5, "name": "Größe"}
    assert ref == JobRef(kind.backend.name, "job-1")


async def test_a_chain_stops_at_its_first_failure(kind: Kind) -> None:
    _, events = await kind.run("works", "fails", "works")
    assert [event.type.value for event in events if event.stage == "works"].count("result") == 1
    assert (events[-1].stage, events[-1].type) == ("fails", JobEventType.FAILED)
    assert events[-1].fields == {"kind": "data_error", "detail": "The table has one column."}


async def test_a_chain_ends_in_the_last_programs_result(kind: Kind) -> None:
    _, events = await kind.run("works", "also")
    results = [event.stage for event in events if event.type is JobEventType.RESULT]
    assert results == ["works", "also"]
    assert events[-1].stage == "also"


async def test_a_job_that_is_killed_without_a_word_ends_in_preempted(kind: Kind) -> None:
    _, events = await kind.run("dies")
    assert [event.type.value for event in events] == ["progress", "failed"]
    assert events[-1].fields["kind"] == FailureKind.PREEMPTED
    assert events[-1].fields["detail"].endswith(".")


async def test_events_replay_and_resume_after_any_seq(kind: Kind) -> None:
    ref, events = await kind.run("works")
    assert [event async for event in kind.backend.events(ref)] == events
    for first in events:
        rest = [event async for event in kind.backend.events(ref, after=first.seq)]
        assert rest == [event for event in events if event.seq > first.seq]


async def test_several_readers_see_the_same(kind: Kind) -> None:
    ref = await kind.start("works")

    async def read() -> list[JobEvent]:
        return [event async for event in kind.backend.events(ref)]

    first, second, third = await asyncio.gather(read(), read(), read())
    assert first == second == third
    assert first[-1].type is JobEventType.RESULT


async def test_submitting_a_key_twice_is_one_job(kind: Kind) -> None:
    spec = kind.spec("works")
    refs = await asyncio.gather(*(kind.backend.submit(spec) for _ in range(5)))
    events = [event async for event in kind.backend.events(refs[0])]
    again = await kind.backend.submit(spec)
    assert {*refs, again} == {refs[0]}
    assert [event async for event in kind.backend.events(again)] == events
    assert [event.type.value for event in events].count("result") == 1


async def test_cancel_ends_a_running_job_and_leaves_an_ended_one(kind: Kind) -> None:
    ref = await kind.start("runs")
    events = []
    async for event in kind.backend.events(ref):
        events.append(event)
        if event.type is JobEventType.PROGRESS:
            await kind.backend.cancel(ref)
    assert [event.type.value for event in events] == ["progress", "failed"]
    assert events[-1].fields["kind"] == FailureKind.PREEMPTED
    assert "cancelled" in events[-1].fields["detail"]
    await kind.backend.cancel(ref)
    assert [event async for event in kind.backend.events(ref)] == events


async def test_fetch_brings_every_file_and_may_run_again(kind: Kind, tmp_path: Path) -> None:
    ref, _ = await kind.run("works")
    into = tmp_path / "into"
    for _ in range(2):
        await kind.backend.fetch(ref, into)
        assert (into / "deep" / "model.txt").read_text() == "weights"
    names = {path.name for path in into.rglob("*") if path.is_file()}
    assert names - {"notes.txt"} == {"model.txt"}


@pytest.mark.parametrize("data", [b"weightS", b"weight", b"", None], ids=["other", "short", "empty", "gone"])
async def test_an_artifact_that_is_not_the_announced_one_is_refused(
    kind: Kind, tmp_path: Path, data: bytes | None
) -> None:
    ref, _ = await kind.run("works")
    kind.tamper(ref.id, "deep/model.txt", data)
    with pytest.raises(ArtifactError) as caught:
        await kind.backend.fetch(ref, tmp_path / "into")
    assert "deep/model.txt" in caught.value.detail
    assert not list((tmp_path / "into").rglob("*model.txt*"))


async def test_a_running_job_is_not_fetched(kind: Kind, tmp_path: Path) -> None:
    ref = await kind.start("runs")
    with pytest.raises(BackendError, match="still running"):
        await kind.backend.fetch(ref, tmp_path / "into")
    await kind.backend.cancel(ref)
    await kind.backend.fetch(ref, tmp_path / "into")


async def test_a_failed_job_gives_what_it_left(kind: Kind, tmp_path: Path) -> None:
    if isinstance(kind.backend, FakeBackend):
        answer = Failure(FailureKind.DATA_ERROR, "x", files={"half.txt": "half"})
        kind = replace(kind, backend=FakeBackend({"fails": answer}))
    ref, _ = await kind.run("fails")
    await kind.backend.fetch(ref, tmp_path / "into")
    assert (tmp_path / "into" / "half.txt").read_text() == "half"


async def test_an_unknown_job_is_not_found(kind: Kind, tmp_path: Path) -> None:
    for ref in (
        JobRef(kind.backend.name, "none"),
        JobRef("other", "job-1"),
        JobRef(kind.backend.name, "../x"),
    ):
        with pytest.raises(JobNotFound):
            await kind.backend.cancel(ref)
        with pytest.raises(JobNotFound):
            await kind.backend.fetch(ref, tmp_path / "into")
        with pytest.raises(JobNotFound):
            _ = [event async for event in kind.backend.events(ref)]


async def test_a_missing_input_is_a_data_error_and_can_be_mended(kind: Kind, tmp_path: Path) -> None:
    spec = kind.spec("works")
    late = tmp_path / "late.csv"
    spec = replace(spec, inputs=(*spec.inputs, Input("late.csv", str(late))))
    with pytest.raises(BackendError) as caught:
        await kind.backend.submit(spec)
    assert caught.value.kind is FailureKind.DATA_ERROR
    assert "late.csv" in caught.value.detail
    late.write_text("text,label\n")
    ref = await kind.backend.submit(spec)
    events = [event async for event in kind.backend.events(ref)]
    assert events[-1].type is JobEventType.RESULT


async def test_forget_removes_an_ended_job_and_only_that(kind: Kind) -> None:
    running = await kind.start("runs", key="running")
    await kind.backend.forget(running)
    await kind.backend.cancel(running)
    events = [event async for event in kind.backend.events(running)]
    assert events[-1].fields["kind"] == FailureKind.PREEMPTED  # it was still there to be cancelled
    ref, _ = await kind.run("works", key="ended")
    for _ in range(2):
        await kind.backend.forget(ref)
        with pytest.raises(JobNotFound):
            await kind.backend.cancel(ref)
