"""Docker as walls: against a stand-in for its command, and against a real daemon where one answers."""

from __future__ import annotations

import io
import json
import os
import select
import signal
import sys
import tarfile
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from remote.backend import BackendError, Input, Need, Reason
from remote.backends.local import LocalBackend
from remote.protocol import FailureKind, JobEventType
from remote.sandbox import engine, probe
from remote.sandbox.docker import Docker
from remote.sandbox.isolation import Bind, Walls
from tests.remote.redteam.walls import backend
from tests.remote.sandbox.jobs import SMALL, bubblewrap_works, job, run

STAND_IN = Path(__file__).with_name("docker_stand_in.py")


@dataclass(frozen=True)
class StandIn:
    state: Path

    @property
    def calls(self) -> list[list[str]]:
        return [json.loads(line) for line in (self.state / "calls.jsonl").read_text().splitlines()]

    @property
    def containers(self) -> list[str]:
        return [path.name for path in self.state.glob("*.pid")]


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """A machine on which bubblewrap does not work and ``docker`` does."""
    if not bubblewrap_works():
        pytest.skip("bubblewrap does not run on this machine, and the stand-in needs it")
    if os.geteuid() == 0 and not Path("/usr/bin/setpriv").exists():
        pytest.skip("setpriv is not installed, and the stand-in needs it")
    state = tmp_path / "daemon"
    state.mkdir()
    command = tmp_path / "bin" / "docker"
    command.parent.mkdir()
    binary = probe.candidates()[0]
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I -S "{STAND_IN}" "{state}" "{binary}" "$@"\n')
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{command.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("SLACK_BOT_TOKEN", "xoxb-secret")
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setattr("remote.sandbox.probe.candidates", list)
    monkeypatch.setattr("remote.sandbox.probe.TRIAL_S", 30.0)
    return StandIn(state)


async def test_where_bubblewrap_does_not_work_docker_does(tmp_path: Path, docker: StandIn) -> None:
    weights = tmp_path / "weights, large"
    weights.mkdir()
    (weights / "a").write_text("weights")
    walls = LocalBackend(tmp_path)
    assert (await walls.probe()).isolation == "docker"
    code = """
        Path("out/x").write_text("x")
        emit.artifact(Path("out/x"), Path("out"))
        emit.result({"weights": Path("in/weights/a").read_text(), "uid": os.getuid(), "names": sorted(os.environ),
                     "made": Path("/usr/x").exists(), "stdin": sys.stdin.read(), "cwd": os.getcwd(),
                     "filters": [line.split()[1] for line in open("/proc/self/status") if "Seccomp:" in line]})
    """
    inputs = (Input("weights", str(weights), shared=True),)
    ended = await run(walls, tmp_path, job(tmp_path, code, inputs=inputs))
    assert ended.exit["isolation"] == "docker"
    assert ended.result["weights"] == "weights"
    assert ended.result["uid"] != 0
    assert ended.result["stdin"] == ""
    assert ended.result["cwd"] == "/job"
    assert ended.result["filters"] == ["2"]
    assert "SLACK_BOT_TOKEN" not in ended.result["names"]
    assert "xoxb-secret" not in json.dumps(docker.calls)
    await walls.fetch(ended.ref, tmp_path / "into")
    assert (tmp_path / "into" / "x").read_text() == "x"
    assert docker.containers == []


async def test_the_container_ends_with_its_deadline(tmp_path: Path, docker: StandIn) -> None:
    code = """
        import signal
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        if os.fork() == 0:
            os.setsid()
        while True:
            signal.pause()
    """
    need = Need(timeout_s=2, memory_mb=1024, disk_mb=64, processes=64)
    ended = await run(LocalBackend(tmp_path), tmp_path, job(tmp_path, code, need=need))
    assert ended.failure is FailureKind.TIMEOUT
    assert docker.calls[-1][-3:-1] == ["rm", "--force"]
    assert docker.calls[-1][-1].startswith("ml-intern-job-")
    assert docker.containers == []
    assert not ended.has_processes()


async def test_the_container_dies_with_its_supervisor(tmp_path: Path, docker: StandIn) -> None:
    """Which can no longer ask for it: the launcher inside sees its stdin close."""
    code = """
        import signal
        emit.progress(1, 2)
        signal.pause()
    """
    walls = LocalBackend(tmp_path)
    spec = job(tmp_path, code)
    ref = await walls.submit(spec)
    async for event in walls.events(ref):
        if event.type is JobEventType.PROGRESS:
            (container,) = docker.containers
            first = os.pidfd_open(int((docker.state / container).read_text()))
            os.kill(int((tmp_path / "jobs" / ref.id / "alive.lock").read_text()), signal.SIGKILL)
    ended = await run(walls, tmp_path, spec)
    assert ended.failure is FailureKind.PREEMPTED
    with os.fdopen(first):
        assert select.select([first], [], [], 20)[0], "the container goes on"


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("os._exit(3)", FailureKind.SCRIPT_ERROR),
        ("os.kill(os.getpid(), 11)", FailureKind.SCRIPT_ERROR),
        ("os.kill(os.getpid(), 9)", FailureKind.PREEMPTED),
        ("os.kill(1, 9)\nos.kill(1, 19)\nos._exit(3)", FailureKind.SCRIPT_ERROR),
    ],
)
async def test_an_exit_code_comes_through(
    tmp_path: Path, docker: StandIn, code: str, kind: FailureKind
) -> None:
    ended = await run(LocalBackend(tmp_path), tmp_path, job(tmp_path, code))
    assert ended.failure is kind


async def test_a_daemon_that_refuses_is_said(tmp_path: Path, docker: StandIn) -> None:
    walls = LocalBackend(tmp_path)
    assert (await walls.probe()).isolation == "docker"
    for image in docker.state.glob("ml-intern-sandbox*"):
        image.unlink()
    ended = await run(walls, tmp_path, job(tmp_path, "emit.result({})"))
    assert ended.failure is FailureKind.NOT_ISOLATED
    assert "the image is missing" in ended.events[-1].fields["detail"]


@pytest.mark.parametrize("host", ["tcp://192.0.2.1:2375", "ssh://somewhere", "npipe:////./pipe/docker"])
async def test_a_daemon_elsewhere_is_not_used(
    tmp_path: Path, docker: StandIn, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    monkeypatch.setenv("DOCKER_HOST", host)
    assert engine.find(timeout_s=10) is None
    walls = LocalBackend(tmp_path)
    assert (await walls.probe()).reason in (Reason.NOT_ISOLATED, Reason.NO_SDK)
    with pytest.raises(BackendError) as caught:
        await walls.submit(replace(job(tmp_path, "emit.result({})"), allow_unisolated=False))
    assert caught.value.kind is FailureKind.NOT_ISOLATED


def test_the_command_has_every_wall(tmp_path: Path) -> None:
    walls = Walls("docker", "/usr/bin/docker", "unix:///var/run/docker.sock", "image:1")
    need = Need(timeout_s=1, memory_mb=100, disk_mb=64, processes=8, cpus=2, gpu="T4", network=True)
    binds = [Bind('/a, "b"', "/job/in/x")]
    command = Docker(walls, "name", 7, 8).command(["python"], tmp_path, need, binds, {"A": "1"})
    words = " ".join(command.argv)
    for part in (
        "--memory 100m --memory-swap 100m",
        "--pids-limit 24",
        "--cpus 2",
        "--gpus all",
        "--network bridge",
        "--user 7:8",
        "--cap-drop ALL --security-opt no-new-privileges",
        '--mount type=bind,"source=/a, ""b""",target=/job/in/x,readonly',
        "--env A=1 image:1 python",
    ):
        assert part in words
    assert command.env.keys() == {"PATH"}
    assert command.stdin
    assert "docker.sock" not in " ".join(word for word in command.argv if word.startswith("type="))


def test_the_image_is_empty_and_its_name_follows_its_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    name, data = engine.empty_image()
    assert engine.empty_image() == (name, data)
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        assert not [member for member in archive.getmembers() if member.isfile()]
    monkeypatch.setattr("remote.sandbox.engine.system_links", lambda: {"/bin": "elsewhere"})
    assert engine.empty_image()[0] != name


async def test_a_real_daemon_runs_a_job(tmp_path: Path) -> None:
    code = """
        Path("out/x").write_text("x")
        emit.result({"uid": os.getuid(), "pids": [int(n) for n in os.listdir("/proc") if n.isdigit()]})
    """
    walls = backend("docker", tmp_path)
    ended = await run(walls, tmp_path, job(tmp_path, code, need=SMALL))
    assert ended.exit["isolation"] == "docker"
    assert ended.result["uid"] != 0
    assert len(ended.result["pids"]) == 2  # the launcher and the job
    await walls.fetch(ended.ref, tmp_path / "into")
    assert (tmp_path / "into" / "x").read_text() == "x"


async def test_a_real_container_dies_with_its_supervisor(tmp_path: Path) -> None:
    code = """
        import signal
        emit.progress(1, 2)
        signal.pause()
    """
    walls = backend("docker", tmp_path)
    spec = job(tmp_path, code, key=f"job-{os.getpid()}")
    ref = await walls.submit(spec)
    async for event in walls.events(ref):
        if event.type is JobEventType.PROGRESS:
            inside = _inside(tmp_path)
            os.kill(int((tmp_path / "jobs" / ref.id / "alive.lock").read_text()), signal.SIGKILL)
    with os.fdopen(inside):
        assert select.select([inside], [], [], 20)[0], "the container goes on"


def _inside(home: Path) -> int:
    """A pidfd of the job in its container: the process whose current folder is the view of the job's folder."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes()
                mounts = (entry / "mountinfo").read_text()
            except OSError:
                continue
            if b"remote.jobs" in words and f"{home}/jobs" in mounts and b"docker" not in words:
                return os.pidfd_open(int(entry.name))
    raise AssertionError("the job's process was not found")
