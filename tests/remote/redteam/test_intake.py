"""What a hostile script leaves in ``out/`` for whoever takes it over: nothing of it comes."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

import pytest

from remote.backend import ArtifactError, Need
from remote.sandbox.artifacts import fetch
from tests.remote.redteam.walls import backend
from tests.remote.sandbox.jobs import Ended, job, run

NEED = Need(timeout_s=60, memory_mb=1024, disk_mb=256, processes=64)
PICKLE = """
class Bomb:
    def __reduce__(self):
        return print, ("pwned",)
payload = pickle.dumps(Bomb())
"""


@dataclass(frozen=True)
class Present:
    """``code`` runs in a folder of its own below ``out/``; ``words`` are in what the person is told."""

    name: str
    code: str
    words: str


PRESENTS = (
    Present("link", "os.symlink('/etc/passwd', 'model')", "link"),
    Present("link to a folder", "os.symlink('/etc', 'model')", "link"),
    Present("link in a link", "os.symlink('.', 'a'); os.symlink('a/a/a', 'b')", "link"),
    Present("hard link", "open('a', 'w').close(); os.link('a', 'b')", "hard link"),
    Present("fifo", "os.mkfifo('model')", "special file"),
    Present("socket", "socket.socket(socket.AF_UNIX).bind('model')", "special file"),
    Present(
        "sparse giant", "[os.truncate(open(str(n), 'w').name, 200 * 1024**2) for n in range(3)]", "more than"
    ),
    Present("ten thousand files", "[open(str(n), 'w').close() for n in range(10_001)]", "too many"),
    Present("folders in folders", "os.makedirs('/'.join('d' * 20))", "too many folders"),
    Present("line break in a name", "open('a\\nb', 'w').close()", "control characters"),
    Present("escape codes in a name", "open('a\\x1b[2Jb', 'w').close()", "control characters"),
    Present("text that runs backwards", "open('gpj\\u202etxt.exe', 'w').close()", "control characters"),
    Present("name that is no text", "open(b'\\xff', 'w').close()", "not UTF-8"),
    Present("pickle as weights", "open('model.safetensors', 'wb').write(payload)", "safetensors"),
    Present("pickle as a table", "open('rows.csv', 'wb').write(payload)", "pickle"),
    Present("old pickle", "open('model.bin', 'wb').write(pickle.dumps(Bomb(), 0))", "pickle"),
    Present("pickle by name", "open('model.pt', 'wb').write(b'harmless')", "pickle"),
    Present("pickle in a zip", "zipped('pytorch_model.bin', {'a/data.pkl': payload})", "zip"),
    Present("pickle in gzip", "open('a.csv', 'wb').write(gzip.compress(payload))", "gzip"),
    Present("zip bomb", "zipped('a.zip', {'zeros': bytes(50 * 1024**2)})", "zip"),
    Present("bomb in arrays", "zipped('a.npz', {'a.npy': bytes(50 * 1024**2)})", "far more"),
    Present("archive that climbs", "zipped('a.zip', {'../../../etc/cron.d/x': b'x'})", "zip"),
    Present("program", "shutil.copyfile('/usr/bin/env', 'helper')", "program"),
    Present("absurd header", "open('m.safetensors', 'wb').write(b'\\xff' * 8 + b'{}')", "header"),
    Present(
        "header of lists",
        "open('m.safetensors', 'wb').write((10**6).to_bytes(8, 'little') + b'[' * 10**6)",
        "JSON",
    ),
    Present(
        "room between tensors",
        """
head = b'{"w":{"dtype":"U8","shape":[1],"data_offsets":[9,10]}}'
open('m.safetensors', 'wb').write(len(head).to_bytes(8, 'little') + head + payload[:10])
""",
        "fill",
    ),
)


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """One job makes them all, each in a folder of its own."""
    home = tmp_path_factory.mktemp("home")
    code = f"""
import gzip, pickle, shutil, socket, zipfile
{PICKLE}
def zipped(name, members):
    with zipfile.ZipFile(name, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, data in members.items():
            archive.writestr(member, data)
for number, present in enumerate(config["presents"]):
    os.mkdir(f"/job/out/{{number}}")
    os.chdir(f"/job/out/{{number}}")
    exec(present)
emit.result({{}})
"""
    presents = [present.code for present in PRESENTS]
    spec = job(home, code, config={"presents": presents}, need=NEED)
    return asyncio.run(run(backend("bubblewrap", home), home, spec))


@pytest.mark.parametrize(
    "number", range(len(PRESENTS)), ids=lambda number: PRESENTS[number].name.replace(" ", "-")
)
def test_it_does_not_come(ended: Ended, tmp_path: Path, number: int) -> None:
    assert ended.result == {}
    with pytest.raises(ArtifactError) as caught:
        fetch(ended.folder.out / str(number), tmp_path / "into", {}, at_most_bytes=NEED.disk_mb * 1024**2)
    assert PRESENTS[number].words in caught.value.detail
    assert caught.value.detail.isprintable()
    assert not list(tmp_path.iterdir())


async def test_nothing_comes_through_the_backend(ended: Ended, tmp_path: Path) -> None:
    walls = backend("bubblewrap", ended.folder.root.parents[1])
    with pytest.raises(ArtifactError):
        await walls.fetch(ended.ref, tmp_path / "into")
    assert not list(tmp_path.iterdir())
