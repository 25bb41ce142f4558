"""This machine as a backend: what is its own beside the contract."""

from __future__ import annotations

import importlib.util
import json
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from remote.backend import BackendError, Input, JobRef, Need, Reason
from remote.backends.local import LocalBackend
from remote.protocol import FailureKind
from remote.sandbox import machine
from remote.sandbox.isolation import limits
from tests.remote.sandbox.jobs import job, local, no_sandbox, run


async def test_without_a_sandbox_it_refuses_unless_a_person_opted_in(tmp_path: Path) -> None:
    backend = local(tmp_path, isolated=False)
    spec = job(tmp_path, "emit.result({'uid': os.getuid()})")
    with pytest.raises(BackendError) as caught:
        await backend.submit(replace(spec, allow_unisolated=False))
    assert caught.value.kind is FailureKind.NOT_ISOLATED
    assert "bubblewrap" in caught.value.hint
    assert not (tmp_path / "jobs" / "job").exists()
    ended = await run(backend, tmp_path, spec)
    assert ended.exit["isolation"] == "none"
    assert (await backend.offers(Need(), 1.0))[0].isolation == "none"


async def test_with_a_sandbox_opting_in_changes_nothing(tmp_path: Path) -> None:
    ended = await run(local(tmp_path), tmp_path, job(tmp_path, "emit.result({})"))
    assert ended.exit["isolation"] == "bubblewrap"


async def test_probe_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec

    def without_torch(name: str, package: str | None = None) -> object:
        return None if name == "torch" else object() if name in ("pandas", "sklearn") else real(name, package)

    monkeypatch.setattr("remote.backends.local.importlib.util.find_spec", without_torch)
    health = await LocalBackend(tmp_path, find_sandbox=no_sandbox).probe()
    assert (health.ready, health.reason) == (False, Reason.NO_SDK)
    assert "torch" in health.detail
    assert "pip install" in health.hint
    monkeypatch.setattr("remote.backends.local.importlib.util.find_spec", lambda name: object())
    health = await LocalBackend(tmp_path, find_sandbox=no_sandbox).probe()
    assert (health.ready, health.reason, health.isolation) == (False, Reason.NOT_ISOLATED, "none")
    (tmp_path / "file").touch()
    health = await LocalBackend(tmp_path / "file" / "home", find_sandbox=no_sandbox).probe()
    assert (health.ready, health.reason) == (False, Reason.DENIED)


async def test_probe_looks_into_another_interpreter(tmp_path: Path) -> None:
    python = tmp_path / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    health = await LocalBackend(tmp_path, python=python, find_sandbox=no_sandbox).probe()
    assert health.reason is Reason.NO_SDK
    assert "torch" in health.detail


async def test_the_offer_is_this_machine_for_nothing(tmp_path: Path) -> None:
    backend = LocalBackend(
        tmp_path, clock=lambda: datetime(2026, 11, 24, tzinfo=UTC), find_sandbox=no_sandbox
    )
    (offer,) = await backend.offers(Need(memory_mb=10**9), 90.0)
    assert offer.hardware.startswith(f"this machine, {machine.cpus()} CPU core")
    assert (offer.usd_per_hour, offer.estimated_usd, offer.estimated_s) == (0.0, 0.0, 90.0)
    assert (offer.price_source, offer.price_as_of) == ("own machine", "2026-11-24")


@pytest.mark.parametrize("key", ["", "../x", "a/b", ".hidden", "a b", "x" * 200, "ü", "a\n"])
async def test_a_bad_key_is_refused(tmp_path: Path, key: str) -> None:
    spec = replace(job(tmp_path, "emit.result({})"), key=key)
    with pytest.raises(BackendError) as caught:
        await local(tmp_path, isolated=False).submit(spec)
    assert caught.value.kind is FailureKind.DATA_ERROR


@pytest.mark.parametrize("value", [float("nan"), object(), {1, 2}])
async def test_a_config_that_is_not_json_is_refused(tmp_path: Path, value: object) -> None:
    spec = job(tmp_path, "emit.result({})", config={"value": value})
    with pytest.raises(BackendError) as caught:
        await local(tmp_path, isolated=False).submit(spec)
    assert caught.value.kind is FailureKind.DATA_ERROR


async def test_a_home_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BackendError) as caught:
        await local(tmp_path / "file", isolated=False).submit(job(tmp_path, "emit.result({})"))
    assert caught.value.kind is FailureKind.DENIED
    assert "INTERN_HOME" in caught.value.hint


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/../../x", ""])
async def test_an_input_outside_in_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "x").touch()
    spec = job(tmp_path, "emit.result({})", inputs=(Input(name, str(tmp_path / "x")),))
    with pytest.raises(BackendError) as caught:
        await local(tmp_path, isolated=False).submit(spec)
    assert caught.value.kind is FailureKind.DATA_ERROR


async def test_an_input_is_a_copy_of_what_was_there_at_submit(tmp_path: Path) -> None:
    data = tmp_path / "data.csv"
    data.write_text("before")
    spec = job(
        tmp_path,
        "emit.result({'csv': Path('in/data.csv').read_text()})",
        inputs=(Input("data.csv", str(data)),),
    )
    backend = local(tmp_path, isolated=False)
    ref = await backend.submit(spec)
    data.write_text("after")
    assert (await run(backend, tmp_path, spec)).result == {"csv": "before"}
    assert ref == JobRef("local", "job")


async def test_a_submitter_that_died_half_way_is_made_good(tmp_path: Path) -> None:
    half = tmp_path / "jobs" / "job"
    (half / "in").mkdir(parents=True)
    (half / "in" / "program.py").write_text("half a scri")
    (half / "submit.lock").touch()
    ended = await run(local(tmp_path, isolated=False), tmp_path, job(tmp_path, "emit.result({'ok': True})"))
    assert ended.result == {"ok": True}


async def test_the_jobs_environment_is_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLACK_BOT_TOKEN", "xoxb-secret")
    monkeypatch.setenv("PYTHONSTARTUP", "/x")
    code = "emit.result({'names': sorted(os.environ), 'threads': os.environ['OMP_NUM_THREADS']})"
    need = Need(timeout_s=20, memory_mb=1024, disk_mb=64, processes=64, cpus=1)
    ended = await run(local(tmp_path, isolated=False), tmp_path, job(tmp_path, code, need=need))
    assert ended.result["threads"] == "1"
    assert not {"SLACK_BOT_TOKEN", "PYTHONSTARTUP"} & set(ended.result["names"])


def test_a_gpu_job_has_no_limit_of_address_space() -> None:
    assert "AS" in limits(Need(), gpu=False, own_tasks=0)
    assert not {"AS", "DATA"} & set(limits(Need(gpu="T4"), gpu=True, own_tasks=0))


async def test_a_job_folder_holds_what_docs_say(tmp_path: Path) -> None:
    ended = await run(
        local(tmp_path, isolated=False), tmp_path, job(tmp_path, "emit.result({})", config={"a": 1})
    )
    chain = json.loads(ended.folder.job.read_text())["programs"]
    assert chain == [{"name": "program", "module": "in/program.py", "config": {"a": 1}}]
    assert not ended.folder.tmp.exists()
    assert not list(ended.folder.root.glob(".*"))
