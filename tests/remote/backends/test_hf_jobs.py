"""Hugging Face Jobs with the real client, against a stand-in for the provider that really runs the jobs. What all
backends keep is in ``tests/contract/test_backend.py``; here are the provider's own ways to fail."""

from __future__ import annotations

import asyncio
import importlib.metadata
import json
import signal
import subprocess
import sys
import zipfile
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from remote.backend import ArtifactError, BackendError, Input, JobRef, JobSpec, Need, Program, Reason
from remote.backends.hf_jobs import HfJobsBackend
from remote.protocol import FailureKind, JobEvent, JobEventType
from tests.jobsserver.server import OWNER_TOKEN, READ_TOKEN, Fault
from tests.jobsserver.world import HfWorld, hf_world
from tests.remote.sandbox.jobs import job

WORKS = """
    emit.progress(1, 2)
    Path("out/model.txt").write_text("weights")
    emit.artifact(Path("out/model.txt"), Path("out"))
    emit.result({"ok": True})
"""
RUNS = """
    import signal
    Path("out/checkpoint").mkdir()
    Path("out/checkpoint/step.txt").write_text("7")
    emit.progress(7, 9)
    signal.pause()
"""


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[HfWorld]:
    async with hf_world(tmp_path) as world:
        yield world


async def events(backend: HfJobsBackend, ref: JobRef, after: int = -1) -> list[JobEvent]:
    return [event async for event in backend.events(ref, after)]


async def until_progress(backend: HfJobsBackend, ref: JobRef) -> None:
    async for event in backend.events(ref):
        if event.type is JobEventType.PROGRESS:
            return
    raise AssertionError("the job ended without progress")


def failure(found: list[JobEvent]) -> tuple[str, str]:
    assert found[-1].type is JobEventType.FAILED, found
    return found[-1].fields["kind"], found[-1].fields["detail"]


# -- probe ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault("whoami", status=401), Reason.BAD_TOKEN),
        (Fault("GET /api/jobs", status=402), Reason.NO_CREDIT),
        (Fault("GET /api/jobs", status=403), Reason.DENIED),
        (Fault("GET /api/jobs", status=403, message="Add pre-paid credits"), Reason.NO_CREDIT),
        (Fault("whoami", status=404), Reason.UNREACHABLE),
        (Fault("whoami", status=429, headers={"Retry-After": "9"}), Reason.UNREACHABLE),
        (Fault("whoami", status=500), Reason.UNREACHABLE),
        (Fault("whoami", "nonsense"), Reason.UNREACHABLE),
        (Fault("GET /api/jobs", "nonsense"), Reason.UNREACHABLE),
        (Fault("whoami", "dropped"), Reason.UNREACHABLE),
        (Fault("whoami", "silent"), Reason.UNREACHABLE),
    ],
    ids=lambda value: f"{value.kind}-{value.status}" if isinstance(value, Fault) else value.value,
)
async def test_probe_names_the_reason_and_the_mend(world: HfWorld, fault: Fault, reason: Reason) -> None:
    world.server.faults = [fault]
    health = await world.backend.probe()
    assert (health.ready, health.reason) == (False, reason)
    assert health.detail.endswith(".")
    assert health.hint.endswith(".")
    assert OWNER_TOKEN not in health.detail + health.hint
    assert (await world.backend.probe()).ready  # nothing of the failure is remembered


async def test_probe_without_a_token_asks_nobody(world: HfWorld) -> None:
    for token in (None, ""):
        assert (await world.another(token).probe()).reason is Reason.NO_TOKEN
    assert world.server.requests == []


async def test_probe_of_a_token_that_may_only_read_is_denied(world: HfWorld) -> None:
    health = await world.another(READ_TOKEN).probe()
    assert health.reason is Reason.DENIED
    assert "only read" in health.detail


async def test_probe_where_nobody_listens_is_unreachable(world: HfWorld) -> None:
    assert (await world.another(url="http://127.0.0.1:9").probe()).reason is Reason.UNREACHABLE


# -- offers --------------------------------------------------------------------------------------------------


async def test_offers_carry_live_prices_and_whole_minutes(world: HfWorld) -> None:
    offers = await world.backend.offers(Need(), 600.0)
    names = [offer.hardware.partition(" (")[0] for offer in offers]
    assert names == ["cpu-basic", "cpu-upgrade", "t4-small", "a10g-small", "a100-large"]  # none with 4 GPUs
    t4, a100 = offers[2], offers[4]
    assert t4.hardware == "t4-small (1 × T4, 16 GB), 4 vCPU, 15 GB"
    assert t4.usd_per_hour == pytest.approx(0.00667 * 60)
    assert t4.estimated_usd is not None
    minutes = t4.estimated_usd / 0.00667
    assert minutes == pytest.approx(round(minutes), abs=0.02)
    assert minutes * 60 >= t4.estimated_s
    assert a100.estimated_s < t4.estimated_s
    assert t4.price_source == "Hugging Face's price list"


@pytest.mark.parametrize(
    ("need", "names"),
    [
        (Need(gpu="T4"), ["t4-small"]),
        (Need(gpu="a10g"), ["a10g-small"]),
        (Need(gpu="L4:4"), ["l4x4"]),
        (Need(gpu="L4"), []),
        (Need(gpu="cpu-upgrade"), ["cpu-upgrade"]),
        (Need(gpu="t4-small (1 × T4, 16 GB), 4 vCPU, 15 GB"), ["t4-small"]),
        (Need(memory_mb=100_000), ["a100-large"]),
        (Need(cpus=8), ["cpu-upgrade", "a100-large"]),
    ],
)
async def test_offers_satisfy_the_need(world: HfWorld, need: Need, names: list[str]) -> None:
    offers = await world.backend.offers(need, 600.0)
    assert [offer.hardware.partition(" (")[0] for offer in offers] == names


@pytest.mark.parametrize("fault", [Fault("hardware", status=500), Fault("hardware", "nonsense")])
async def test_where_prices_cannot_be_had_the_table_serves(world: HfWorld, fault: Fault) -> None:
    world.server.faults = [fault]
    offers = await world.backend.offers(Need(gpu="T4"), 600.0)
    assert [(o.usd_per_hour, o.price_as_of) for o in offers] == [(0.4, "2026-11-24"), (0.6, "2026-11-24")]
    assert offers[0].price_source == "huggingface.co/docs/hub/jobs-pricing"


# -- submit --------------------------------------------------------------------------------------------------


async def test_what_a_job_is_given(world: HfWorld, tmp_path: Path) -> None:
    need = Need(timeout_s=120, memory_mb=1024, gpu="T4")
    ref = await world.backend.submit(job(tmp_path, WORKS, key="run.1-train", need=need))
    assert (await events(world.backend, ref))[-1].fields["data"] == {"ok": True}
    (spec,) = world.server.created
    assert spec["flavor"] == "t4-small"
    assert spec["timeoutSeconds"] >= 120
    assert spec["labels"]["ml-intern-run"] == "run"
    assert [v["readOnly"] for v in spec["volumes"]] == [True, False]
    assert all(v["path"].startswith("run.1-train/") for v in spec["volumes"])
    assert not world.server.buckets.public


async def test_a_job_holds_no_secret(world: HfWorld, tmp_path: Path) -> None:
    code = 'emit.result({"seen": sorted(os.environ), "words": " ".join(sys.argv)})'
    ref = await world.backend.submit(job(tmp_path, code))
    seen = (await events(world.backend, ref))[-1].fields["data"]
    (spec,) = world.server.created
    assert "secrets" not in spec
    assert spec["environment"] == {"INTERN_JOB_KEY": "job"}
    assert OWNER_TOKEN not in json.dumps(spec)
    assert not [name for name in seen["seen"] if "TOKEN" in name and name != "TOKENIZERS_PARALLELISM"]
    files = world.files
    bundle = tmp_path / "bundle.zip"
    world.server.buckets.storage.get(files["job/in/bundle.zip"][0], bundle)
    with zipfile.ZipFile(bundle) as archive:
        assert archive.testzip() is None
        assert not [name for name in archive.namelist() if OWNER_TOKEN.encode() in archive.read(name)]


async def test_shared_inputs_that_are_links_arrive_as_files(world: HfWorld, tmp_path: Path) -> None:
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs" / "abc").write_text("weights")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.safetensors").symlink_to(tmp_path / "blobs" / "abc")
    code = 'emit.result({"read": Path("in/base/model.safetensors").read_text()})'
    shared = (Input("base", str(tmp_path / "model"), shared=True),)
    ref = await world.backend.submit(job(tmp_path, code, inputs=shared))
    assert (await events(world.backend, ref))[-1].fields["data"] == {"read": "weights"}


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, FailureKind.NO_TOKEN), (402, FailureKind.NO_CREDIT), (403, FailureKind.DENIED)],
)
async def test_a_create_that_is_refused_is_told_and_can_be_repeated(
    world: HfWorld, tmp_path: Path, status: int, kind: FailureKind
) -> None:
    world.server.faults = [Fault("POST /api/jobs", status=status)]
    spec = job(tmp_path, WORKS)
    with pytest.raises(BackendError) as caught:
        await world.backend.submit(spec)
    assert caught.value.kind is kind
    assert caught.value.hint
    assert world.server.created == []
    ref = await world.backend.submit(spec)
    assert (await events(world.backend, ref))[-1].type is JobEventType.RESULT


async def test_without_a_token_nothing_is_asked(world: HfWorld, tmp_path: Path) -> None:
    with pytest.raises(BackendError) as caught:
        await world.another(None).submit(job(tmp_path, WORKS))
    assert caught.value.kind is FailureKind.NO_TOKEN
    assert world.server.requests == []


async def test_a_pause_that_is_asked_for_is_kept(world: HfWorld, tmp_path: Path) -> None:
    world.server.faults = [Fault("POST /api/jobs", status=429, headers={"Retry-After": "17"})]
    await world.backend.submit(job(tmp_path, RUNS))
    assert 17.0 in world.waited
    assert len(world.server.created) == 1


async def test_a_long_pause_is_told_instead_of_sat_out(world: HfWorld, tmp_path: Path) -> None:
    world.server.faults = [Fault("POST /api/jobs", status=429, headers={"Retry-After": "3600"})]
    with pytest.raises(BackendError, match="asks for a pause"):
        await world.backend.submit(job(tmp_path, RUNS))
    assert sum(world.waited) < 60


@pytest.mark.parametrize("times", [1, 3])
async def test_a_server_error_is_tried_again(world: HfWorld, tmp_path: Path, times: int) -> None:
    world.server.faults = [Fault("POST /api/jobs", status=500, times=times)]
    await world.backend.submit(job(tmp_path, RUNS))
    assert len(world.server.created) == 1


async def test_a_server_that_stays_broken_is_unreachable(world: HfWorld, tmp_path: Path) -> None:
    world.server.faults = [Fault("POST /api/jobs", status=503, times=99)]
    with pytest.raises(BackendError) as caught:
        await world.backend.submit(job(tmp_path, RUNS))
    assert caught.value.kind is FailureKind.UNREACHABLE
    assert world.server.created == []


async def test_a_create_whose_answer_was_lost_is_found_and_not_repeated(
    world: HfWorld, tmp_path: Path
) -> None:
    world.server.faults = [Fault("POST /api/jobs", "lost")]
    ref = await world.backend.submit(job(tmp_path, WORKS))
    assert (await events(world.backend, ref))[-1].type is JobEventType.RESULT
    assert world.server.requests.count("POST /api/jobs/ada") == len(world.server.created) == 1


async def test_a_create_that_nobody_answered_is_not_repeated(world: HfWorld, tmp_path: Path) -> None:
    world.server.faults = [Fault("POST /api/jobs", "dropped")]
    spec = job(tmp_path, WORKS)
    with pytest.raises(BackendError) as caught:
        await world.backend.submit(spec)
    assert caught.value.kind is FailureKind.UNREACHABLE
    assert world.server.requests.count("POST /api/jobs/ada") == 1
    await world.backend.submit(spec)
    assert len(world.server.created) == 1


async def test_two_machines_at_once_pay_once(world: HfWorld, tmp_path: Path) -> None:
    server = world.server
    server.before_create = partial(server.add, "ada")
    spec = job(tmp_path, RUNS)
    ref = await world.backend.submit(spec)
    elder, younger = server.jobs.values()
    await until_progress(world.another(home=tmp_path / "other"), ref)
    await world.backend.cancel(ref)
    found = await events(world.backend, ref)
    assert failure(found)[0] == FailureKind.PREEMPTED
    assert (elder.stage, younger.stage) == ("CANCELED", "CANCELED")
    assert server.requests.count(f"POST /api/jobs/ada/{younger.id}/cancel") == 1
    assert server.requests.index(f"POST /api/jobs/ada/{younger.id}/cancel") < server.requests.index(
        f"GET /api/jobs/ada/{elder.id}/logs"
    )
    assert f"GET /api/jobs/ada/{younger.id}/logs" not in server.requests


async def test_a_public_bucket_gets_no_data(world: HfWorld, tmp_path: Path) -> None:
    world.server.buckets.files[world.bucket] = {}
    world.server.buckets.public.add(world.bucket)
    with pytest.raises(BackendError, match="public") as caught:
        await world.backend.submit(job(tmp_path, WORKS))
    assert caught.value.kind is FailureKind.DENIED
    assert world.files == {}
    assert world.server.created == []


async def test_an_upload_that_failed_creates_no_job(world: HfWorld, tmp_path: Path) -> None:
    world.server.faults = [Fault("batch", status=403)]
    with pytest.raises(BackendError) as caught:
        await world.backend.submit(job(tmp_path, WORKS))
    assert caught.value.kind is FailureKind.DENIED
    assert world.server.created == []


async def test_no_machine_of_this_kind_is_no_capacity(world: HfWorld, tmp_path: Path) -> None:
    with pytest.raises(BackendError) as caught:
        await world.backend.submit(job(tmp_path, WORKS, need=Need(gpu="B200")))
    assert caught.value.kind is FailureKind.NO_CAPACITY


# -- follow --------------------------------------------------------------------------------------------------


# Events so long that no two share a line.
ALONE = """
    for step in range(%d): emit.progress(step, 20, **{f"a_long_name_{i}": 0.125 for i in range(300)})
    emit.result({})
"""


async def test_a_dropped_log_stream_loses_and_repeats_nothing(world: HfWorld, tmp_path: Path) -> None:
    world.server.faults = [Fault("logs", "cut", lines=3)]
    ref = await world.backend.submit(job(tmp_path, ALONE % 20))
    found = await events(world.backend, ref)
    assert [event.seq for event in found] == list(range(21))
    assert found[-1].type is JobEventType.RESULT
    assert sum("logs" in line for line in world.server.requests) == 2


async def test_a_line_that_the_log_lost_is_read_again(world: HfWorld, tmp_path: Path) -> None:
    world.server.faults = [Fault("logs", "hole", lines=3)]
    ref = await world.backend.submit(job(tmp_path, ALONE % 20))
    assert [event.seq for event in await events(world.backend, ref)] == list(range(21))


async def test_a_line_that_stays_lost_costs_what_stood_on_it(world: HfWorld, tmp_path: Path) -> None:
    world.server.faults = [Fault("logs", "hole", lines=3, times=99)]
    ref = await world.backend.submit(job(tmp_path, ALONE % 5))
    assert [event.seq for event in await events(world.backend, ref)] == [0, 1, 3, 4, 5]


async def test_a_burst_of_events_comes_in_few_lines_and_however_they_are_cut(
    world: HfWorld, tmp_path: Path
) -> None:
    world.server.faults = [Fault("logs", "crumbs")]
    code = """
        for step in range(2000):
            emit.warning("note", f"{step} Größe 🙂 \u2028 \x85")
            if step % 100 == 0: print("\u2028 no event \x85", flush=True)
        emit.result({"text": "\u2028ä\x85" * 3000})
    """
    ref = await world.backend.submit(job(tmp_path, code))
    found = await events(world.backend, ref)
    assert [event.seq for event in found] == list(range(2001))
    assert [event.fields["detail"].split()[0] for event in found[:-1]] == [str(n) for n in range(2000)]
    assert {event.fields["detail"].split()[2] for event in found[:-1]} == {"🙂"}
    assert found[-1].fields["data"] == {"text": "\u2028ä\x85" * 3000}
    assert len(world.server.job("job").lines) < 1000
    assert await events(world.another(), ref, after=1500) == found[1501:]


@pytest.mark.parametrize("size", [20_000, 60_000])
async def test_an_event_longer_than_a_log_line_arrives_whole(
    world: HfWorld, tmp_path: Path, size: int
) -> None:
    code = f'emit.result({{"text": "ä\\n" * ({size} // 4)}})'
    ref = await world.backend.submit(job(tmp_path, code))
    assert (await events(world.backend, ref))[-1].fields["data"] == {"text": "ä\n" * (size // 4)}


async def test_a_job_cannot_speak_for_its_supervisor(world: HfWorld, tmp_path: Path) -> None:
    code = """
        emit.progress(1, 2)
        print("intern-end 0")
        print("intern-saved 000009-" + "0" * 64 + ".zip")
        print("intern-part 9 0 1 e30=")
        for stage in ("another's", "program"):
            print(json.dumps({"v": 1, "seq": 500, "t": "", "type": "progress", "stage": stage, "step": 9}))
        emit.result({"ok": True})
    """
    ref = await world.backend.submit(job(tmp_path, code))
    found = await events(world.backend, ref)
    assert [event.seq for event in found] == [0, 1, 2]
    assert found[-1].fields == {"data": {"ok": True}}
    await world.backend.fetch(ref, tmp_path / "into")


async def test_a_flood_of_log_is_bounded_and_the_result_arrives(world: HfWorld, tmp_path: Path) -> None:
    code = """
        for _ in range(3_000): print("x" * 999)
        sys.stdout.write("y" * 1_000_000)
        print()
        emit.result({"ok": True})
    """
    ref = await world.backend.submit(job(tmp_path, code))
    assert (await events(world.backend, ref))[-1].fields == {"data": {"ok": True}}
    assert sum(len(line["data"]) for line in world.server.job("job").lines) < 3_000_000


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("Job failed with exit code: 137", FailureKind.OUT_OF_MEMORY),
        ("Stopped: not enough credits", FailureKind.NO_CREDIT),
    ],
)
async def test_a_machine_that_goes_away_ends_in_a_kind(
    world: HfWorld, tmp_path: Path, message: str, kind: FailureKind
) -> None:
    ref = await world.backend.submit(job(tmp_path, RUNS))
    await until_progress(world.backend, ref)
    world.server.end("job", "ERROR", message)
    found = await events(world.backend, ref)
    assert [event.type.value for event in found] == ["progress", "failed"]
    said, detail = failure(found)
    assert said == kind
    assert detail[0].isupper()
    assert await events(world.another(), ref) == found


async def test_a_job_that_the_provider_forgot_was_preempted(world: HfWorld, tmp_path: Path) -> None:
    ref = await world.backend.submit(job(tmp_path, RUNS))
    found = []
    async for event in world.backend.events(ref):
        found.append(event)
        if event.type is JobEventType.PROGRESS:
            world.server.delete("job")
    assert failure(found)[0] == FailureKind.PREEMPTED


async def test_a_revoked_token_is_told_and_the_job_goes_on(world: HfWorld, tmp_path: Path) -> None:
    ref = await world.backend.submit(job(tmp_path, RUNS))
    world.server.faults = [Fault("logs", status=401)]
    with pytest.raises(BackendError) as caught:
        await events(world.backend, ref)
    assert caught.value.kind is FailureKind.NO_TOKEN
    await until_progress(world.backend, ref)


async def test_a_slow_api_is_waited_for(world: HfWorld, tmp_path: Path) -> None:
    ref = await world.backend.submit(job(tmp_path, WORKS))
    world.server.faults = [Fault("logs", status=503, times=5), Fault(f"GET .*{0:024x}$", status=502, times=2)]
    assert (await events(world.backend, ref))[-1].type is JobEventType.RESULT


async def test_a_job_that_gets_no_machine_is_given_up(world: HfWorld, tmp_path: Path) -> None:
    world.server.hold = True
    world.server.now = datetime.now(UTC) - timedelta(hours=1)
    ref = await world.backend.submit(job(tmp_path, WORKS))
    assert failure(await events(world.backend, ref))[0] == FailureKind.NO_CAPACITY
    assert world.server.job("job").stage == "CANCELED"


async def test_the_deadline_is_held_inside_and_what_was_there_is_kept(world: HfWorld, tmp_path: Path) -> None:
    ref = await world.backend.submit(job(tmp_path, RUNS, need=Need(timeout_s=5.0)))
    found = await events(world.backend, ref)
    assert failure(found)[0] == FailureKind.TIMEOUT
    await world.backend.fetch(ref, tmp_path / "into")
    assert (tmp_path / "into" / "checkpoint" / "step.txt").read_text() == "7"


async def test_a_job_that_fills_its_disk_is_stopped(world: HfWorld, tmp_path: Path) -> None:
    code = 'import signal\nPath("out/big").write_bytes(b"x" * 5_000_000)\nsignal.pause()'
    ref = await world.backend.submit(job(tmp_path, code, need=Need(disk_mb=2)))
    assert failure(await events(world.backend, ref))[0] == FailureKind.NO_DISK


async def test_the_projects_own_programs_run_there(world: HfWorld, tmp_path: Path) -> None:
    table = tmp_path / "tickets.csv"
    table.write_text("text,label\n" + "".join(f"row {i} of many,{i % 2}\n" for i in range(40)), "utf-8")
    config = {"files": {"train": "in/raw/tickets.csv"}}
    chain, given = (Program("inspect", "inspect", config),), (Input("raw/tickets.csv", str(table)),)
    ref = await world.backend.submit(JobSpec("look", "run", chain, given, Need(timeout_s=60)))
    found = await events(world.backend, ref)
    assert found[-1].fields["data"]["rows"] == 40


SUBMITS_AND_DIES = """
import asyncio, os, signal, sys
from pathlib import Path
from pydantic import SecretStr
from remote.backends.hf_jobs import HfJobsBackend
from tests.remote.sandbox.jobs import job

async def main(token, url, home, folder, code):
    backend = HfJobsBackend(SecretStr(token), url, Path(home), requirements=())
    ref = await backend.submit(job(Path(folder), code))
    async for _ in backend.events(ref):
        os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main(*sys.argv[1:]))
"""


async def test_another_process_goes_on_where_one_was_killed_and_pays_once(
    world: HfWorld, tmp_path: Path
) -> None:
    code = WORKS.replace("emit.artifact", "import time; time.sleep(0.5)\n    emit.artifact", 1)
    arguments = [OWNER_TOKEN, world.server.url, str(tmp_path / "its-home"), str(tmp_path), code]
    first = await asyncio.create_subprocess_exec(sys.executable, "-c", SUBMITS_AND_DIES, *arguments)
    assert await first.wait() == -signal.SIGKILL
    ref = await world.backend.submit(job(tmp_path, code))
    found = await events(world.backend, ref)
    assert [event.type.value for event in found] == ["progress", "artifact", "result"]
    await world.backend.fetch(ref, tmp_path / "into")
    assert (tmp_path / "into" / "model.txt").read_text() == "weights"
    assert len(world.server.created) == 1


# -- files ---------------------------------------------------------------------------------------------------


async def test_a_checkpoint_leaves_while_the_job_runs(world: HfWorld, tmp_path: Path) -> None:
    backend = world.another(snapshot_every_s=0.05)
    code = """
        import signal
        Path("step.txt").write_text("7")
        Path("step.txt").rename("out/step.txt")
        signal.pause()
    """
    ref = await backend.submit(job(tmp_path, code))
    running = world.server.job("job")
    while not any(line["data"].startswith("intern-saved") for line in running.lines):
        await running.changed.wait()
    world.server.end("job", "ERROR", "Job failed with exit code: 143")
    assert failure(await events(backend, ref))[0] == FailureKind.PREEMPTED
    await backend.fetch(ref, tmp_path / "into")
    assert (tmp_path / "into" / "step.txt").read_text() == "7"


async def test_a_cancelled_job_keeps_what_it_had(world: HfWorld, tmp_path: Path) -> None:
    ref = await world.backend.submit(job(tmp_path, RUNS))
    await until_progress(world.backend, ref)
    await world.backend.cancel(ref)
    await world.backend.fetch(ref, tmp_path / "into")
    assert (tmp_path / "into" / "checkpoint" / "step.txt").read_text() == "7"


async def test_a_link_in_out_is_refused(world: HfWorld, tmp_path: Path) -> None:
    code = 'Path("out/passwd").symlink_to("/etc/passwd")\nemit.result({})'
    ref = await world.backend.submit(job(tmp_path, code))
    await events(world.backend, ref)
    with pytest.raises(ArtifactError, match="passwd"):
        await world.backend.fetch(ref, tmp_path / "into")


async def test_files_that_arrive_damaged_are_fetched_again_then_refused(
    world: HfWorld, tmp_path: Path
) -> None:
    ref = await world.backend.submit(job(tmp_path, WORKS))
    await events(world.backend, ref)
    files = world.files
    name = next(name for name in files if name.endswith(".zip") and "/out/" in name)
    half = tmp_path / "half"
    world.server.buckets.storage.get(files[name][0], half)
    half.write_bytes(half.read_bytes()[:100])
    whole, files[name] = files[name], world.server.buckets.storage.put(half)
    with pytest.raises(ArtifactError, match="damaged"):
        await world.backend.fetch(ref, tmp_path / "into")
    assert sum(line.startswith("HEAD") for line in world.server.requests) == 3
    assert list((tmp_path / "into").rglob("*")) == []
    files[name] = whole
    await world.backend.fetch(ref, tmp_path / "into")


async def test_files_that_never_arrive_are_told(world: HfWorld, tmp_path: Path) -> None:
    ref = await world.backend.submit(job(tmp_path, WORKS))
    await events(world.backend, ref)
    files = world.files
    del files[next(name for name in files if name.endswith(".zip") and "/out/" in name)]
    with pytest.raises(ArtifactError, match="did not arrive"):
        await world.backend.fetch(ref, tmp_path / "into")
    assert sum(world.waited) > 30  # a mount may take its time


async def test_libraries_that_are_there_are_not_installed(world: HfWorld, tmp_path: Path) -> None:
    pinned = (f"pytest=={importlib.metadata.version('pytest')}",)
    ref = await world.another(requirements=pinned).submit(job(tmp_path, WORKS))
    assert (await events(world.backend, ref))[-1].type is JobEventType.RESULT
    assert not [line for line in world.server.job("job").lines if "Installing" in line["data"]]


async def test_libraries_that_cannot_be_installed_are_told(world: HfWorld, tmp_path: Path) -> None:
    ref = await world.another(requirements=("/no/such/library",)).submit(job(tmp_path, WORKS))
    kind, detail = failure(await events(world.backend, ref))
    assert kind == FailureKind.UNREACHABLE
    assert "could not be installed" in detail


# -- orphans -------------------------------------------------------------------------------------------------


async def test_a_sweep_stops_what_no_run_knows_and_nothing_else(world: HfWorld, tmp_path: Path) -> None:
    stranger = world.another(home=tmp_path / "another installation")
    for backend, key in ((world.backend, "lost"), (world.backend, "live"), (stranger, "theirs")):
        await backend.submit(job(tmp_path, RUNS, key=key))
    assert await world.another().orphans({"live"}) == [JobRef("hf_jobs", "lost")]
    assert await world.backend.sweep({"live"}) == [JobRef("hf_jobs", "lost")]
    stages = {key: world.server.job(key).stage for key in ("lost", "live", "theirs")}
    assert stages["lost"] == "CANCELED"
    assert {stages["live"], stages["theirs"]} <= {"SCHEDULING", "RUNNING"}
    assert await world.backend.sweep({"live"}) == []


async def test_forgetting_leaves_no_files_behind(world: HfWorld, tmp_path: Path) -> None:
    ref = await world.backend.submit(job(tmp_path, WORKS))
    await events(world.backend, ref)
    world.server.faults = [Fault("PUT .*labels", status=403)]
    with pytest.raises(BackendError):
        await world.backend.forget(ref)
    await world.backend.forget(ref)
    assert world.files == {}
    await world.backend.submit(job(tmp_path, WORKS))  # the key is free again
    assert len(world.server.created) == 2


def test_a_process_without_hugging_face_does_not_import_its_client() -> None:
    code = "import sys, remote.backends.hf_jobs; sys.exit('huggingface_hub' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
