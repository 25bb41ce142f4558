"""Modal through its real client, against a stand-in that really runs the job (``tests/modalserver``).

The contract itself is in ``tests/contract/test_backend.py``; here are the things that only Modal has: what a sandbox
is given, what is paid for, and everything that can go wrong on the way.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from grpclib.const import Status
from modal_proto import api_pb2

from remote.backend import ArtifactError, BackendError, Input, JobRef, JobSpec, Need, Program, Reason
from remote.backends import modal_follow, modal_image, modal_runner
from remote.backends.modal import ModalBackend, sandbox_name
from remote.backends.modal_errors import HINTS, Deadlines, calling, reason_for, said
from remote.backends.modal_follow import End
from remote.protocol import FailureKind, JobEvent, JobEventType, decode_all
from remote.sandbox.folder import job_json
from tests.modalserver import TOKEN_ID, TOKEN_SECRET
from tests.modalserver.world import SHORT, ModalWorld, backend_for, modal_world
from tests.remote.sandbox.jobs import PRELUDE

NEED = Need(timeout_s=20, memory_mb=1024, disk_mb=64, processes=64)
WORKS = """
emit.progress(1, 2)
emit.epoch(1, macro_f1=0.9)
Path("out/model.bin").write_bytes(b"weights" * 1000)
emit.artifact(Path("out/model.bin"), Path("out"))
emit.result({"learned": 1})
"""
WAITS = """
import signal
Path("out/checkpoint").mkdir()
Path("out/checkpoint/step.txt").write_text("7")
emit.progress(1, 2)
signal.pause()
"""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[ModalWorld]:
    with modal_world(tmp_path) as made:
        yield made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def job(
    folder: Path, code: str = WORKS, key: str = "run-1-train", need: Need = NEED, *more: Input
) -> JobSpec:
    script = folder / f"{key}.py"
    script.write_text(PRELUDE.replace('"program"', '"train"') + code, "utf-8")
    inputs = (Input("train.py", str(script)), *more)
    return JobSpec(key, "run-1", (Program("train", "in/train.py", {"epochs": 1}),), inputs, need)


async def everything(backend: ModalBackend, ref: JobRef, after: int = -1) -> list[JobEvent]:
    return [event async for event in backend.events(ref, after)]


@asynccontextmanager
async def closing(backend: ModalBackend) -> AsyncIterator[ModalBackend]:
    try:
        yield backend
    finally:
        await backend.aclose()


async def first_progress(backend: ModalBackend, ref: JobRef) -> None:
    async with aclosing(backend.events(ref)) as events:  # type: ignore[type-var]
        async for event in events:
            if event.type is JobEventType.PROGRESS:
                return


# What a sandbox is given


async def test_the_sandbox_has_what_the_need_says_and_nothing_else(world: ModalWorld, folder: Path) -> None:
    need = replace(NEED, gpu="T4", cpus=3)
    await everything(world.backend, await world.backend.submit(job(folder, need=need)))
    run = world.server.run_of("run-1-train")
    asked = run.definition
    assert asked.resources.gpu_config.gpu_type == "T4"
    assert (asked.resources.milli_cpu, asked.resources.milli_cpu_max) == (3000, 3000)
    assert asked.resources.memory_mb == asked.resources.memory_mb_max >= need.memory_mb
    assert need.timeout_s < asked.timeout_secs <= need.timeout_s + 120
    assert asked.network_access.network_access_type == api_pb2.NetworkAccess.BLOCKED
    assert list(asked.secret_ids) == []
    assert run.tags == {"job": "run-1-train", "run": "run-1"}
    assert [(m.mount_path, m.sub_path) for m in asked.volume_mounts] == [("/job", "/jobs/run-1-train")]


async def test_the_network_is_open_only_for_a_job_that_needs_it(world: ModalWorld, folder: Path) -> None:
    await everything(world.backend, await world.backend.submit(job(folder, need=replace(NEED, network=True))))
    access = world.server.run_of("run-1-train").definition.network_access
    assert access.network_access_type == api_pb2.NetworkAccess.OPEN


async def test_no_credential_reaches_the_job(
    world: ModalWorld, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_of_the_bot")
    spec = job(folder, 'emit.result({"env": dict(os.environ)})')
    events = await everything(world.backend, await world.backend.submit(spec))
    env = events[-1].fields["data"]["env"]
    assert not [name for name in env if "TOKEN" in name.upper() and name != "TOKENIZERS_PARALLELISM"]
    sent = [path.read_bytes() for path in world.server.folder.rglob("*") if path.is_file()]
    for secret in (TOKEN_SECRET, TOKEN_ID, "hf_of_the_bot"):
        assert secret not in json.dumps(env)
        assert not any(secret.encode() in data for data in sent if b"modalserver" not in data)


async def test_the_image_pins_the_libraries_that_are_installed_here(world: ModalWorld, folder: Path) -> None:
    await everything(world.backend, await world.backend.submit(job(folder)))
    commands = " ".join(line for image in world.server.images for line in image.dockerfile_commands)
    assert f"python:{sys.version_info.major}.{sys.version_info.minor}" in commands
    declared = modal_image.declared_for_training()
    for pin in modal_image.requirements_for(declared, modal_image.installed_versions(declared)):
        assert pin in commands
        assert "==" in pin


async def test_shared_inputs_are_uploaded_once_and_mounted_read_only(world: ModalWorld, folder: Path) -> None:
    weights = folder / "base_model"
    weights.mkdir()
    size = 9 * 1024**2  # more than one block of a Volume
    (weights / "model.safetensors").write_bytes(os.urandom(size))
    (weights / "config.json").symlink_to(folder / "elsewhere.json")
    (folder / "elsewhere.json").write_text("{}")
    code = """
import hashlib
data = Path("in/base_model/model.safetensors").read_bytes()
emit.result({"sha256": hashlib.sha256(data).hexdigest(), "config": Path("in/base_model/config.json").read_text()})
"""
    shared = Input("base_model", str(weights), shared=True)
    sent = []
    for key in ("first", "second"):
        before = world.server.blocks.uploaded_bytes
        ref = await world.backend.submit(job(folder, code, key, NEED, shared))
        events = await everything(world.backend, ref)
        assert events[-1].fields["data"] == {
            "sha256": hashlib.sha256((weights / "model.safetensors").read_bytes()).hexdigest(),
            "config": "{}",
        }
        sent.append(world.server.blocks.uploaded_bytes - before)
    assert sent[0] > size > 100_000 > sent[1]
    mounts = [
        mount
        for run in world.server.ledger
        for mount in run.definition.volume_mounts
        if mount.mount_path == "/shared"
    ]
    assert len({mount.sub_path for mount in mounts}) == 1
    assert all(mount.read_only for mount in mounts)


async def test_a_gpu_that_modal_does_not_have_is_refused_before_anything_is_sent(
    world: ModalWorld, folder: Path
) -> None:
    with pytest.raises(BackendError, match="no GPU 'M60'") as caught:
        await world.backend.submit(job(folder, need=replace(NEED, gpu="M60")))
    assert caught.value.kind is FailureKind.DATA_ERROR
    assert not world.server.calls


# Paying once


async def test_another_process_re_attaches_and_only_one_sandbox_is_paid(
    world: ModalWorld, folder: Path
) -> None:
    spec = job(folder, WAITS)
    ref = await world.backend.submit(spec)
    await first_progress(world.backend, ref)
    program = f"""
import asyncio
from pydantic import SecretStr
from remote.backend import JobRef
from remote.backends.modal import ModalBackend
async def main():
    backend = ModalBackend(SecretStr({TOKEN_ID!r}), SecretStr({TOKEN_SECRET!r}))
    async for event in backend.events(JobRef("modal", "run-1-train")):
        print(event.encode(), flush=True)
        if event.type == "progress":
            await backend.cancel(JobRef("modal", "run-1-train"))
    await backend.aclose()
asyncio.run(main())
"""
    other = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        program,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
    )
    mine, (out, _) = await asyncio.gather(everything(world.backend, ref), other.communicate())
    assert other.returncode == 0
    assert [event.encode() for event in mine] == out.decode().splitlines()
    assert [event.type.value for event in mine] == ["progress", "failed"]
    assert "cancelled" in mine[-1].fields["detail"]
    assert await world.backend.submit(spec) == ref
    assert len(world.server.ledger) == 1


@pytest.mark.parametrize("code", [WAITS, WORKS], ids=["running", "ended"])
async def test_a_submitter_that_died_before_it_wrote_the_id_down_finds_the_sandbox(
    world: ModalWorld, folder: Path, code: str
) -> None:
    spec = job(folder, code)
    ref = await world.backend.submit(spec)
    if code == WORKS:
        await everything(world.backend, ref)
    else:
        await first_progress(world.backend, ref)
    world.server.volume("ml-intern-jobs").remove("control/run-1-train/submitted.json")
    async with closing(world.another()) as second:
        assert await second.submit(spec) == ref
        if code == WAITS:
            await second.cancel(ref)
        assert (await everything(second, ref))[0].type is JobEventType.PROGRESS
    assert len(world.server.ledger) == 1


async def test_two_processes_that_submit_at_once_pay_for_one_sandbox(world: ModalWorld, folder: Path) -> None:
    spec = job(folder, WAITS)
    async with closing(world.another()) as second:
        refs = await asyncio.gather(world.backend.submit(spec), second.submit(spec))
        assert refs[0] == refs[1]
        assert [run.running for run in world.server.ledger].count(True) == 1
        await second.cancel(refs[0])
        assert await everything(world.backend, refs[0]) == await everything(second, refs[0])


def test_a_second_sandbox_for_a_started_job_does_nothing(tmp_path: Path) -> None:
    assert modal_runner.first(tmp_path, "sb-1")
    assert not modal_runner.first(tmp_path, "sb-2")
    assert modal_runner.main(tmp_path, tmp_path) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["started.json"]


def test_a_flood_of_events_is_bounded_and_its_outcome_kept(tmp_path: Path) -> None:
    program = Program("train", "in/train.py")
    folder = tmp_path / "job"
    (folder / "in").mkdir(parents=True)
    code = "for n in range(5000): emit.warning('note', str(n))\nemit.result({})"
    (folder / "in" / "train.py").write_text(PRELUDE.replace('"program"', '"train"') + code)
    (folder / "job.json").write_text(job_json([program]))
    (folder / "spec.json").write_text(modal_runner.spec_json("job", "run-1", ("train",), NEED, {}))
    run = f"""
from pathlib import Path
from remote.backends import modal_runner
modal_runner.EVENTS_BYTES = 10_000
modal_runner.main(Path({str(folder)!r}), Path({str(folder)!r}))
"""
    said = subprocess.run(
        [sys.executable, "-c", run], cwd=Path.cwd(), check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    kept = [event for line in said.splitlines() for event in decode_all(line)]
    *notes, result, dropped, again = kept
    assert [event.fields["detail"] for event in notes] == [str(n) for n in range(len(notes))]
    assert dropped.fields["detail"] == f"{5000 - len(notes)} events beyond the limit were left out."
    assert (result.type, again.fields) == (JobEventType.RESULT, result.fields)
    assert 10_000 < (folder / "events.jsonl").stat().st_size < 400_000


async def test_orphans_are_found_and_swept_and_live_jobs_are_not(world: ModalWorld, folder: Path) -> None:
    long = "x" * 100  # longer than Modal's names may be
    keys = ["live", "lost-1", "lost-2", long]
    for key in keys:
        await world.backend.submit(job(folder, WAITS, key))
    lost = {JobRef("modal", key) for key in keys[1:]}
    assert set(await world.backend.orphans(["live"])) == lost
    assert set(await world.backend.sweep(["live"])) == lost
    assert [run.name for run in world.server.ledger if run.running] == ["live"]
    assert await world.backend.orphans(["live"]) == []


async def test_forget_leaves_nothing_of_the_users_data_at_modal(world: ModalWorld, folder: Path) -> None:
    rows = folder / "rows.jsonl"
    rows.write_text('{"text": "a customer\'s words"}')
    ref = await world.backend.submit(job(folder, WORKS, "k", NEED, Input("rows.jsonl", str(rows))))
    await everything(world.backend, ref)
    await world.backend.forget(ref)
    root = world.server.volume("ml-intern-jobs").root
    assert [path for path in root.rglob("*") if path.is_file()] == []
    ref = await world.backend.submit(job(folder, WORKS, "k"))  # and the key is free again
    assert (await everything(world.backend, ref))[-1].type is JobEventType.RESULT


# How a job can end


async def test_out_of_memory_is_the_exit_code_of_a_kill(world: ModalWorld, folder: Path) -> None:
    ref = await world.backend.submit(job(folder, WAITS))
    await first_progress(world.backend, ref)
    world.server.kill("run-1-train")
    events = await everything(world.backend, ref)
    assert events[-1].fields["kind"] == FailureKind.OUT_OF_MEMORY
    assert "1024 MB" in events[-1].fields["detail"]


async def test_a_sandbox_that_modal_terminates_was_preempted_and_its_checkpoint_comes_home(
    world: ModalWorld, folder: Path
) -> None:
    ref = await world.backend.submit(job(folder, WAITS))
    await first_progress(world.backend, ref)
    await asyncio.to_thread(world.server.preempt, "run-1-train")
    events = await everything(world.backend, ref)
    assert events[-1].fields["kind"] == FailureKind.PREEMPTED
    assert "cancelled" not in events[-1].fields["detail"]
    await world.backend.fetch(ref, folder / "into")
    assert (folder / "into" / "checkpoint" / "step.txt").read_text() == "7"
    async with closing(world.another()) as later:  # the last word is the same for whoever asks later
        assert await everything(later, ref) == events


async def test_the_jobs_own_deadline_and_modals_are_both_a_timeout(world: ModalWorld, folder: Path) -> None:
    own = await world.backend.submit(job(folder, WAITS, "own", replace(NEED, timeout_s=3.0)))
    events = await everything(world.backend, own)
    assert (events[-1].fields["kind"], world.server.run_of("own").timed_out) == (FailureKind.TIMEOUT, False)
    await world.backend.fetch(own, folder / "into")
    assert (folder / "into" / "checkpoint" / "step.txt").exists()
    theirs = await world.backend.submit(job(folder, WAITS, "theirs"))
    await first_progress(world.backend, theirs)
    world.server.expire("theirs")
    assert (await everything(world.backend, theirs))[-1].fields["kind"] == FailureKind.TIMEOUT


@pytest.mark.parametrize(
    ("end", "cancelled", "kind"),
    [
        (End(code=137), False, FailureKind.OUT_OF_MEMORY),
        (End(code=124), False, FailureKind.TIMEOUT),
        (End(timed_out=True), True, FailureKind.TIMEOUT),
        (End(terminated=True), False, FailureKind.PREEMPTED),
        (End(terminated=True), True, FailureKind.PREEMPTED),
        (End(), False, FailureKind.PREEMPTED),
        (End(code=1), False, FailureKind.UNKNOWN),
    ],
)
def test_the_last_word_follows_from_how_the_sandbox_ended(
    end: End, cancelled: bool, kind: FailureKind
) -> None:
    word = modal_follow.last_word(end, NEED, cancelled=cancelled)
    assert word.kind is kind
    assert word.detail.endswith(".")
    assert ("cancelled" in word.detail) is (cancelled and end.terminated)


MANY = """
for step in range(300):
    emit.progress(step, 300, **{f"a_long_name_{i}": 0.125 for i in range(100)})
emit.result({})
"""


@pytest.mark.parametrize("times", [1, 30], ids=["dropped once", "dropped for good"])
async def test_a_dropped_log_stream_loses_and_repeats_nothing(
    world: ModalWorld, folder: Path, times: int
) -> None:
    world.server.faults.drop_logs(after=10, times=times)  # a line holds a few events
    events = await everything(world.backend, await world.backend.submit(job(folder, MANY)))
    assert [event.seq for event in events] == list(range(301))
    assert [event.fields.get("step") for event in events[:-1]] == list(range(300))
    assert world.server.faults.drop_logs_times < times


async def test_a_burst_of_events_comes_in_few_lines_and_however_they_are_cut(
    world: ModalWorld, folder: Path
) -> None:
    world.server.faults.log_piece_chars = 37
    code = """
for step in range(2000):
    emit.warning("note", f"{step} Größe 🙂 \u2028 \x85")
    print("no event")
emit.result({"text": "ä" * 20_000})
"""
    found = await everything(world.backend, await world.backend.submit(job(folder, code)))
    assert [event.seq for event in found] == list(range(2001))
    assert [event.fields["detail"].split()[0] for event in found[:-1]] == [str(n) for n in range(2000)]
    assert {event.fields["detail"].split()[2] for event in found[:-1]} == {"🙂"}
    assert found[-1].fields["data"] == {"text": "ä" * 20_000}
    assert len(world.server.run_of("run-1-train").lines) < 1000
    async with closing(world.another()) as later:
        assert await everything(later, JobRef("modal", "run-1-train"), after=1500) == found[1501:]


@pytest.mark.parametrize("times", [0, 1], ids=["whole", "dropped once"])
async def test_a_burst_before_a_kill_is_told_to_all_in_the_same_words(
    world: ModalWorld, folder: Path, times: int
) -> None:
    world.server.faults.drop_logs(after=10, times=times)
    code = MANY.replace("emit.result({})", WAITS)
    ref = await world.backend.submit(job(folder, code))
    heard = []
    async for event in world.backend.events(ref):
        heard.append(event)
        if event.seq == 300:  # WAITS has begun to wait
            world.server.kill("run-1-train")
    assert [event.seq for event in heard] == list(range(302))
    assert heard[-1].fields["kind"] == FailureKind.OUT_OF_MEMORY
    async with closing(world.another()) as later:
        assert await everything(later, ref) == heard


async def test_a_log_stream_that_says_nothing_loses_nothing(world: ModalWorld, folder: Path) -> None:
    world.server.faults.silent_logs = True
    events = await everything(world.backend, await world.backend.submit(job(folder, MANY)))
    assert [event.seq for event in events] == list(range(301))


async def test_following_fails_when_modal_is_out_of_sight_for_too_long(
    world: ModalWorld, folder: Path
) -> None:
    ref = await world.backend.submit(job(folder, WAITS))
    world.server.faults.refuse("SandboxWait", Status.PERMISSION_DENIED, "Your access was revoked.")
    async with closing(world.another(deadlines=replace(SHORT, lost_s=0.1))) as second:
        with pytest.raises(BackendError) as caught:
            await everything(second, ref)
    assert caught.value.kind is FailureKind.DENIED
    world.server.faults.clear()
    await world.backend.cancel(ref)
    assert (await everything(world.backend, ref))[-1].type is JobEventType.FAILED  # it was there all the time


FORGED = """
import signal
from remote.protocol import JobEvent
folder = Path("out").resolve().parent
forged = JobEvent(0, "2026-01-01T00:00:00+00:00", JobEventType.RESULT, "train", {"data": {"accuracy": 1.0}})
(folder / "events.jsonl").write_text(forged.encode() + "\\n")
(folder / "exit.json").write_text("{}")
emit.progress(1, 2)
signal.pause()
"""


async def test_a_job_cannot_pretend_to_have_ended(world: ModalWorld, folder: Path) -> None:
    ref = await world.backend.submit(job(folder, FORGED))
    await first_progress(world.backend, ref)
    async with closing(world.another()) as second:
        await first_progress(second, ref)  # it is followed, not taken for ended
        await second.cancel(ref)
        events = await everything(second, ref)
    assert [event.type.value for event in events] == ["progress", "failed"]
    assert "cancelled" in events[-1].fields["detail"]


async def test_a_job_that_is_stopped_when_it_has_said_its_result_has_a_result(
    world: ModalWorld, folder: Path
) -> None:
    ref = await world.backend.submit(job(folder, "import signal\nemit.result({})\nsignal.pause()"))
    async with aclosing(world.backend.events(ref)) as events:  # type: ignore[type-var]
        async for event in events:
            if event.type is JobEventType.RESULT:
                break
    await asyncio.to_thread(world.server.preempt, "run-1-train")
    assert [event.type.value for event in await everything(world.backend, ref)] == ["result"]


# Artifacts


@pytest.mark.parametrize(
    "how",
    [lambda data: data[: len(data) // 2], lambda data: bytes(len(data)), lambda _data: b""],
    ids=["cut", "zeros", "empty"],
)
async def test_an_artifact_that_arrives_damaged_is_asked_for_again(
    world: ModalWorld, folder: Path, how: object
) -> None:
    ref = await world.backend.submit(job(folder))
    await everything(world.backend, ref)
    world.server.faults.damage("model.bin", times=2, how=how)  # type: ignore[arg-type]
    await world.backend.fetch(ref, folder / "into")
    assert (folder / "into" / "model.bin").read_bytes() == b"weights" * 1000


async def test_an_artifact_that_stays_damaged_is_refused_and_nothing_of_it_is_left(
    world: ModalWorld, folder: Path
) -> None:
    ref = await world.backend.submit(job(folder))
    await everything(world.backend, ref)
    world.server.faults.damage("model.bin")
    with pytest.raises(ArtifactError, match=r"model\.bin.*in 3 downloads"):
        await world.backend.fetch(ref, folder / "into")
    assert not list((folder / "into").rglob("*model*"))
    world.server.faults.clear()
    await world.backend.fetch(ref, folder / "into")  # the job's own copy is whole
    assert (folder / "into" / "model.bin").exists()


async def test_a_link_in_out_is_not_followed(world: ModalWorld, folder: Path) -> None:
    code = 'Path("out/model.bin").symlink_to("/etc/hostname")\nemit.result({})'
    ref = await world.backend.submit(job(folder, code))
    await everything(world.backend, ref)
    with pytest.raises(ArtifactError, match="link"):
        await world.backend.fetch(ref, folder / "into")
    assert not (folder / "into" / "model.bin").exists()


# Faults on the way in


@pytest.mark.parametrize(
    ("call", "status", "message", "kind"),
    [
        (
            "SandboxCreate",
            Status.RESOURCE_EXHAUSTED,
            "Workspace spend limit reached",
            FailureKind.NO_CREDIT,
        ),
        ("SandboxCreate", Status.RESOURCE_EXHAUSTED, "No T4 is available", FailureKind.NO_CAPACITY),
        ("SandboxCreate", Status.PERMISSION_DENIED, "Not your environment", FailureKind.DENIED),
        ("SandboxCreate", Status.UNAUTHENTICATED, "Token was revoked", FailureKind.NO_TOKEN),
        ("SandboxCreate", Status.UNAVAILABLE, "try later", FailureKind.UNREACHABLE),
        ("VolumePutFiles2", Status.PERMISSION_DENIED, "Volumes are closed to you", FailureKind.DENIED),
        ("ImageGetOrCreate", Status.INTERNAL, "no builder", FailureKind.UNREACHABLE),
        ("AppGetOrCreate", Status.FAILED_PRECONDITION, "app is stopped", FailureKind.UNKNOWN),
    ],
)
async def test_a_refused_submit_says_why_runs_nothing_and_may_be_tried_again(
    world: ModalWorld, folder: Path, call: str, status: Status, message: str, kind: FailureKind
) -> None:
    world.server.faults.refuse(call, status, message)
    spec = job(folder)
    with pytest.raises(BackendError) as caught:
        await world.backend.submit(spec)
    assert caught.value.kind is kind
    assert message in caught.value.detail
    assert caught.value.hint
    assert world.server.ledger == []
    world.server.faults.clear()
    events = await everything(world.backend, await world.backend.submit(spec))
    assert events[-1].type is JobEventType.RESULT
    assert len(world.server.ledger) == 1


async def test_a_server_that_is_busy_twice_is_asked_a_third_time(world: ModalWorld, folder: Path) -> None:
    world.server.faults.refuse("SandboxCreate", Status.UNAVAILABLE, times=2)
    await world.backend.submit(job(folder))
    assert world.server.calls["SandboxCreate"] == 3
    assert len(world.server.ledger) == 1


@pytest.mark.parametrize("fault", ["hang", "mute"], ids=["never started", "started without an answer"])
async def test_a_create_that_never_returns_is_taken_back(world: ModalWorld, folder: Path, fault: str) -> None:
    spec = job(folder, WAITS)
    getattr(world.server.faults, fault)("SandboxCreate")
    async with closing(world.another(deadlines=replace(SHORT, create_s=1.0))) as backend:
        with pytest.raises(BackendError) as caught:
            await backend.submit(spec)
        assert caught.value.kind is FailureKind.NO_CAPACITY
        assert not any(run.running for run in world.server.ledger)
        world.server.faults.clear()
        ref = await backend.submit(replace(job(folder), key=spec.key))
        assert (await everything(backend, ref))[-1].type is JobEventType.RESULT


# Probe and offers


async def test_calls_at_once_share_one_connection_and_one_image(world: ModalWorld, folder: Path) -> None:
    refs = await asyncio.gather(*(world.backend.submit(job(folder, key=f"k{n}")) for n in range(3)))
    assert world.server.calls["AppGetOrCreate"] == 1
    assert world.server.calls["VolumeGetOrCreate"] == 2
    assert world.server.calls["MountGetOrCreate"] == 1
    for ref in refs:
        assert (await everything(world.backend, ref))[-1].type is JobEventType.RESULT


async def test_probe_is_ready_with_a_good_token(world: ModalWorld) -> None:
    health = await world.backend.probe()
    assert (health.ready, health.isolation) == (True, "modal")


async def test_probe_names_the_reason(world: ModalWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    found = {}
    async with closing(backend_for(token_secret="as-mistyped")) as wrong, closing(ModalBackend()) as none:
        found["wrong token"] = (await wrong.probe()).reason
        found["no token"] = (await none.probe()).reason
    for name, status, words in (
        ("denied", Status.PERMISSION_DENIED, ""),
        ("spent", Status.RESOURCE_EXHAUSTED, "over budget"),
        ("full", Status.RESOURCE_EXHAUSTED, "no room"),
        ("nonsense", Status.OUT_OF_RANGE, ""),
    ):
        world.server.faults.refuse("ClientHello", status, words)
        found[name] = (await world.backend.probe()).reason
    world.server.faults.clear()
    world.server.faults.hang("ClientHello")
    async with closing(world.another(deadlines=replace(SHORT, probe_s=0.5))) as hurried:
        found["hangs"] = (await hurried.probe()).reason
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    found["no client"] = (await world.backend.probe()).reason
    assert found == {
        "wrong token": Reason.BAD_TOKEN,
        "no token": Reason.NO_TOKEN,
        "denied": Reason.DENIED,
        "spent": Reason.NO_CREDIT,
        "full": Reason.NO_CAPACITY,
        "nonsense": Reason.UNKNOWN,
        "hangs": Reason.UNREACHABLE,
        "no client": Reason.NO_SDK,
    }


@pytest.mark.parametrize("where", ["nothing listens", "another protocol"])
async def test_probe_of_a_wrong_address_is_unreachable_within_its_deadline(
    world: ModalWorld, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    address = "http://127.0.0.1:9" if where == "nothing listens" else world.server.http_url
    monkeypatch.setenv("MODAL_SERVER_URL", address)
    async with closing(backend_for(deadlines=Deadlines(probe_s=1.0))) as backend:
        health = await asyncio.wait_for(backend.probe(), 5.0)
    assert health.reason is Reason.UNREACHABLE
    assert "MODAL_SERVER_URL" in health.hint


async def test_offers_are_the_ladder_at_the_tables_prices_where_the_workspace_does_not_tell_its_own(
    world: ModalWorld,
) -> None:
    offers = await world.backend.offers(Need(), 600.0)
    assert len(offers) == 10
    assert {offer.price_source for offer in offers} == {"modal.com/pricing"}
    assert all(offer.estimated_usd for offer in offers)


async def test_offers_use_the_workspaces_own_prices(world: ModalWorld) -> None:
    world.server.rates.update({"gpu_t4": "0.0002", "cpu": "0.0000131", "memory": "0.00000222"})
    t4, h100 = [(await world.backend.offers(Need(gpu=gpu), 600.0))[0] for gpu in ("T4", "H100")]
    assert "own rates" in t4.price_source
    assert t4.usd_per_hour == pytest.approx(
        3600 * (0.0002 + 3 * (2 * 0.0000131 + 6.5 * 0.00000222)), abs=1e-3
    )
    assert h100.estimated_usd is None  # it did not say: a question, not a guess


# Pure functions


def test_pins_are_the_public_part_of_what_is_installed() -> None:
    declared = ["torch==2.13.0", "scikit-learn>=1.9", "Charset_Normalizer>=3.5", "datasets<6,>=5.2", "x; a"]
    installed = {"torch": "2.13.0+cpu", "scikit-learn": "1.9.1", "charset-normalizer": "3.5.0"}
    assert modal_image.requirements_for(declared, installed) == (
        "Charset_Normalizer==3.5.0",
        "datasets<6,>=5.2",
        "scikit-learn==1.9.1",
        "torch==2.13.0",
        "x",
    )
    with pytest.raises(ValueError, match="not a requirement"):
        modal_image.requirements_for(["--index-url=https://example.org"], {})


def test_every_reason_has_a_mend() -> None:
    assert set(HINTS) == set(Reason) - {Reason.NOT_ISOLATED}


def test_exceptions_that_are_not_modals_have_a_reason_too() -> None:
    assert reason_for(ModuleNotFoundError("modal")) is Reason.NO_SDK
    assert reason_for(ConnectionRefusedError()) is Reason.UNREACHABLE
    assert reason_for(TimeoutError()) is Reason.UNREACHABLE
    assert reason_for(ValueError("?")) is Reason.UNKNOWN


def test_what_modal_says_is_repeated_on_one_line_without_tokens() -> None:
    words = said(RuntimeError("bad\ntoken ak-1234abcd with as-5678 \x1b[31m" + "x" * 500))
    assert "ak-" not in words
    assert "as-5678" not in words
    assert words.isprintable()
    assert len(words) == 200


async def test_a_deadline_of_ours_becomes_a_refusal_with_its_reason() -> None:
    with pytest.raises(BackendError, match=r"finding a machine within 0\.01 s") as caught:
        async with calling("finding a machine", 0.01, Reason.NO_CAPACITY):
            await asyncio.Event().wait()
    assert caught.value.kind is FailureKind.NO_CAPACITY


def test_a_name_is_the_key_or_its_start_and_digest() -> None:
    assert sandbox_name("run-1-train") == "run-1-train"
    names = {sandbox_name("k" * 80), sandbox_name("k" * 81)}
    assert len(names) == 2
    assert {len(name) for name in names} == {63}


def test_a_process_that_does_not_use_modal_does_not_load_it() -> None:
    program = "import sys, remote.backends.modal; print(sorted(n for n in sys.modules if n in ('modal', 'grpclib')))"
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
