"""What a hostile script can reach from inside: nothing of :data:`ATTACKS`. One sandbox for all of them."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from remote.backend import Need
from tests.remote.redteam.attacks import ATTACKS, RUNNER, Attack
from tests.remote.redteam.walls import backend
from tests.remote.sandbox.jobs import Ended, job, run

TOKEN = "hf_very_secret_token"
NEED = Need(timeout_s=60, memory_mb=1024, disk_mb=64, processes=64)
Outcomes = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Target:
    """What is worth reaching on this machine while the attacks run."""

    home: Path
    secret: Path
    config: Mapping[str, Any]


@pytest.fixture(scope="module")
def target() -> Iterator[Target]:
    if not os.access(Path.home(), os.W_OK):
        pytest.skip("the home folder is not writable, so no secret can be put there")
    mark = "intern-test-bot-process"
    with (
        tempfile.TemporaryDirectory(dir=Path.home(), prefix="intern-test-") as kept,
        tempfile.TemporaryDirectory(prefix="intern-test-") as short,
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(socket.AF_UNIX) as unix,
        socket.socket(socket.AF_UNIX) as abstract,
        subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", "import sys; sys.stdin.read()", mark],
            stdin=subprocess.PIPE,
            env={"HF_TOKEN": TOKEN},
        ) as bot,
    ):
        secret = Path(kept, "secret.txt")
        secret.write_text("the secret")
        other = Path(short, "jobs", "other")
        other.mkdir(parents=True)
        unix.bind(f"{short}/s")
        unix.listen()
        abstract.bind(f"\0intern-test-{os.getpid()}")
        abstract.listen()
        config = {
            "secret": str(secret),
            "token": TOKEN,
            "mark": mark,
            "bot_pid": bot.pid,
            "jobs": str(other.parent),
            "port": tcp.getsockname()[1],
            "unix": f"{short}/s",
            "abstract": f"intern-test-{os.getpid()}",
            "attacks": {attack.name: attack.code for attack in ATTACKS},
        }
        yield Target(Path(short), secret, config)
        assert bot.stdin is not None
        bot.stdin.close()


@pytest.fixture(scope="module", params=["bubblewrap", "docker"])
def ended(request: pytest.FixtureRequest, target: Target) -> Ended:
    walls = backend(request.param, target.home)
    code = RUNNER + "\nemit.result(outcomes)\n"
    key = f"attack-{request.param}"
    spec = job(target.home, code, key=key, config={**target.config, "walls": request.param}, need=NEED)
    return asyncio.run(run(walls, target.home, spec))


@pytest.fixture(scope="module")
def plain(target: Target) -> Outcomes:
    """The same script in a process without walls."""
    outside = [attack.name for attack in ATTACKS if attack.outside]
    config = {**target.config, "walls": "none"}
    config["attacks"] = {name: target.config["attacks"][name] for name in outside}
    code = f"import json, os, sys\nconfig = json.load(sys.stdin)\n{RUNNER}\nprint(json.dumps(outcomes))"
    folder = target.home / "plain"
    (folder / "out").mkdir(parents=True)
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        input=json.dumps(config),
        capture_output=True,
        text=True,
        check=True,
    )
    outcomes: Outcomes = json.loads(done.stdout)
    return outcomes


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name.replace(" ", "-"))
def test_it_is_out_of_reach(ended: Ended, attack: Attack) -> None:
    outcome = ended.result[attack.name]
    assert outcome["got"] is None
    assert "NameError" not in outcome.get("error", "")
    assert "SyntaxError" not in outcome.get("error", "")


@pytest.mark.parametrize(
    "attack",
    [attack for attack in ATTACKS if attack.outside],
    ids=lambda attack: attack.name.replace(" ", "-"),
)
def test_a_plain_process_does_reach_it(plain: Outcomes, attack: Attack) -> None:
    outcome = plain[attack.name]
    refused = ("Permission", "Operation not permitted", "EPERM", "EACCES", "ENOSYS")
    if outcome["got"] is None and any(word in outcome.get("error", "") for word in refused):
        pytest.skip(f"this machine refuses it to everybody ({outcome['error']})")
    assert outcome["got"] is not None, outcome


def test_the_machine_is_unchanged(ended: Ended, target: Target) -> None:
    assert target.secret.read_text() == "the secret"
    assert target.secret.stat().st_nlink == 1
    places = (
        Path(sys.prefix),
        Path(sys.base_prefix),
        Path(os.__file__).parent,
        Path("/etc"),
        Path("/usr/bin"),
    )
    assert not [place for place in places if (place / "intern-test-intruder").exists()]
    assert socket.gethostname() != "evil"
    assert not ended.has_processes()
    assert ended.exit["isolation"] in ended.ref.id
