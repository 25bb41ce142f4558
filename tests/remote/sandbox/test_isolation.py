"""What a job cannot do: every test runs hostile code in the real sandbox."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from remote.backend import Input, Need
from remote.protocol import FailureKind
from remote.sandbox import tree, userns, watch
from tests.remote.sandbox.jobs import job, local, run


@pytest.fixture
def secret_in_home() -> Iterator[Path]:
    if not os.access(Path.home(), os.W_OK):
        pytest.skip("the home folder is not writable, so no secret can be put there")
    with tempfile.TemporaryDirectory(dir=Path.home(), prefix="intern-test-") as folder:
        secret = Path(folder) / "secret.txt"
        secret.write_text("the secret")
        yield secret


async def test_cannot_see_the_home_folder(tmp_path: Path, secret_in_home: Path) -> None:
    code = """
        secret = Path(config["secret"])
        seen = []
        for root, folders, files in os.walk("/"):
            if root in ("/proc", "/sys", "/usr"):
                folders.clear()
            seen += [name for name in folders + files if name.startswith(("intern-test-", "secret.txt"))]
        emit.result({"exists": secret.exists(), "seen": seen})
    """
    ended = await run(local(tmp_path), tmp_path, job(tmp_path, code, config={"secret": str(secret_in_home)}))
    assert ended.result == {"exists": False, "seen": []}


async def test_cannot_see_secrets_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_very_secret")
    code = """
        seen = " ".join(os.environ.values())
        for process in Path("/proc").iterdir():
            if process.name.isdigit():
                for name in ("environ", "cmdline"):
                    try:
                        seen += (process / name).read_bytes().decode(errors="replace")
                    except OSError:
                        pass
        emit.result({"secret": "hf_very_secret" in seen, "names": sorted(os.environ)})
    """
    ended = await run(local(tmp_path), tmp_path, job(tmp_path, code))
    assert ended.result["secret"] is False
    assert "HF_TOKEN" not in ended.result["names"]
    assert "PATH" in ended.result["names"]


async def test_cannot_reach_any_network(tmp_path: Path) -> None:
    code = """
        import socket
        failures = []
        for family, address in (
            (socket.AF_INET, ("127.0.0.1", config["port"])),
            (socket.AF_INET, ("192.0.2.1", 80)),
            (socket.AF_UNIX, "\\0" + config["abstract"]),
            (socket.AF_UNIX, config["path"]),
        ):
            with socket.socket(family) as s:
                s.settimeout(3)
                try:
                    s.connect(address)
                    failures.append("connected")
                except TimeoutError:
                    failures.append("timeout")
                except OSError as error:
                    failures.append(type(error).__name__)
        emit.result({"failures": failures})
    """
    with (
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(socket.AF_UNIX) as abstract,
        socket.socket(socket.AF_UNIX) as unix,
        tempfile.TemporaryDirectory() as short,
    ):
        abstract.bind(f"\0intern-test-{os.getpid()}")
        unix.bind(f"{short}/s")
        abstract.listen()
        unix.listen()
        settings = {
            "port": tcp.getsockname()[1],
            "abstract": f"intern-test-{os.getpid()}",
            "path": f"{short}/s",
        }
        ended = await run(local(tmp_path), tmp_path, job(tmp_path, code, config=settings))
    assert ended.result["failures"] == [
        "ConnectionRefusedError",
        "OSError",
        "ConnectionRefusedError",
        "FileNotFoundError",
    ]


async def test_cannot_write_outside_its_folder(tmp_path: Path) -> None:
    code = """
        written = []
        places = ["/", "/usr", "/etc", "/dev", "/opt/intern/remote", "/job/in", "/sys", "/proc", sys.prefix,
                  sys.base_prefix, os.path.dirname(json.__file__), config["jobs"], config["jobs"] + "/job"]
        for place in places:
            try:
                (Path(place) / "intruder").write_text("x")
                written.append(place)
            except OSError:
                pass
        for path in ("/job/job.json", "/job/in/program.py", sys.executable, "/job/in/weights/a"):
            try:
                with open(path, "r+b") as file:
                    file.write(b"x")
                written.append(path)
            except OSError:
                pass
        for path in ("/job/out/x", "/tmp/x", "/job/x"):
            Path(path).write_text("x")
        emit.result({"written": written})
    """
    weights = tmp_path / "weights"
    weights.mkdir()
    (weights / "a").write_text("weights")
    spec = job(
        tmp_path,
        code,
        config={"jobs": str(tmp_path / "jobs")},
        inputs=(Input("weights", str(weights), shared=True),),
    )
    ended = await run(local(tmp_path), tmp_path, spec)
    assert ended.result["written"] == []
    assert (weights / "a").read_text() == "weights"
    assert sorted(path.name for path in ended.folder.out.iterdir()) == ["x"]


async def test_cannot_gain_rights(tmp_path: Path) -> None:
    code = """
        import ctypes
        libc = ctypes.CDLL(None, use_errno=True)
        status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
        emit.result({
            "namespace": libc.unshare(0x10000000), "mount": libc.mount(b"none", b"/tmp", b"tmpfs", 0, None),
            "capabilities": int(status["CapEff"], 16), "no_new_privileges": int(status["NoNewPrivs"]),
            "uid": os.getuid(),
        })
    """
    ended = await run(local(tmp_path), tmp_path, job(tmp_path, code))
    assert ended.result == {
        "namespace": -1,
        "mount": -1,
        "capabilities": 0,
        "no_new_privileges": 1,
        "uid": 65534,
    }


async def test_a_fork_bomb_is_contained_and_leaves_nothing(tmp_path: Path) -> None:
    code = """
        emit.progress(0, 1)
        while True:
            try:
                os.fork()
            except OSError:
                pass
    """
    need = Need(timeout_s=2, memory_mb=1024, disk_mb=64, processes=40)
    key = f"bomb-{os.getpid()}"  # its uid follows from it, and other tests may run at the same time
    ended = await run(local(tmp_path), tmp_path, job(tmp_path, code, key=key, need=need))
    assert ended.failure in (FailureKind.TIMEOUT, FailureKind.SCRIPT_ERROR)
    assert not ended.has_processes()
    assert watch.user_tasks(userns.outer_uid(key)) == 0


async def test_the_limit_of_processes_holds_to_the_number(tmp_path: Path) -> None:
    code = """
        import errno, signal
        children, error = [], 0
        while len(children) < 200 and not error:
            try:
                pid = os.fork()
            except OSError as refused:
                error = refused.errno
                break
            if pid == 0:
                signal.pause()
            children.append(pid)
        for pid in children:
            os.kill(pid, 9)
        emit.result({"children": len(children), "refused": error == errno.EAGAIN})
    """
    need = Need(timeout_s=10, memory_mb=1024, disk_mb=64, processes=40)
    ended = await run(local(tmp_path), tmp_path, job(tmp_path, code, need=need))
    assert ended.result["refused"] is True
    assert 20 <= ended.result["children"] <= 40


@pytest.mark.parametrize(
    "code",
    [
        pytest.param("Path('out/big').write_bytes(b'x' * (17 * 1024**2))", id="one file"),
        pytest.param(
            "n = 0\nwhile True:\n    Path(f'out/{n}').write_bytes(b'x' * 1024**2)\n    n += 1",
            id="many files",
        ),
        pytest.param(
            "n = 0\nwhile True:\n    Path(f'/tmp/{n}').write_bytes(b'x' * 1024**2)\n    n += 1", id="scratch"
        ),
        pytest.param("n = 0\nwhile True:\n    Path(f'out/{n}').touch()\n    n += 1", id="empty files"),
    ],
)
async def test_cannot_fill_the_disk(tmp_path: Path, code: str) -> None:
    need = Need(timeout_s=20, memory_mb=1024, disk_mb=16, processes=64)
    ended = await run(local(tmp_path), tmp_path, job(tmp_path, code, need=need))
    assert ended.failure is FailureKind.NO_DISK
    assert tree.usage(ended.folder.root).bytes < 1024 * 1024**2  # what fits between two looks


async def test_memory_file_systems_are_bounded(tmp_path: Path) -> None:
    code = """
        sizes = {}
        for place in ("/job", "/dev/shm"):
            written = 0
            try:
                with open(place + "/fill", "wb", buffering=0) as file:
                    while True:
                        written += file.write(bytes(1024**2))
            except OSError:
                sizes[place] = written // 1024**2
        emit.result(sizes)
    """
    need = Need(timeout_s=20, memory_mb=2048, disk_mb=1024, processes=64)
    ended = await run(local(tmp_path), tmp_path, job(tmp_path, code, need=need))
    assert ended.result["/job"] <= 64
    assert ended.result["/dev/shm"] <= 512


async def test_inputs_of_another_owner_are_readable_and_shared_links_are_followed(tmp_path: Path) -> None:
    blobs = tmp_path / "cache" / "blobs"
    snapshot = tmp_path / "cache" / "snapshots" / "abc"
    blobs.mkdir(parents=True)
    snapshot.mkdir(parents=True)
    (blobs / "123").write_text("weights")
    (snapshot / "model.safetensors").symlink_to("../../blobs/123")
    private = tmp_path / "private.csv"
    private.write_text("rows")
    private.chmod(0o600)
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    (closed / "w").write_text("closed weights")
    code = """
        read = lambda name: Path("in", name).read_text()
        emit.result({"csv": read("raw/private.csv"), "model": read("model/model.safetensors"),
                     "closed": read("closed/w")})
    """
    inputs = (
        Input("raw/private.csv", str(private)),
        Input("model", str(snapshot), shared=True),
        Input("closed", str(closed), shared=True),
    )
    ended = await run(local(tmp_path), tmp_path, job(tmp_path, code, inputs=inputs))
    assert ended.result == {"csv": "rows", "model": "weights", "closed": "closed weights"}
