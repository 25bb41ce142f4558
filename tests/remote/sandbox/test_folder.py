"""What the processes around a job read in its folder."""

from __future__ import annotations

import json

from remote.backend import Need
from remote.sandbox.folder import SandboxSpec
from remote.sandbox.isolation import Bind, Walls

SPEC = SandboxSpec(
    key="job",
    run_id="run",
    programs=("a", "b"),
    need=Need(gpu="T4"),
    python="/usr/bin/python3",
    walls=Walls("docker", "/usr/bin/docker", "unix:///s", "image:1"),
    binds=(Bind("/a", "/b"),),
    env={"A": "1"},
)


def test_a_spec_is_read_as_it_was_written() -> None:
    assert SandboxSpec.decode(SPEC.encode()) == SPEC
    assert SPEC.isolation == "docker"


def test_a_spec_of_an_older_version_is_read() -> None:
    body = json.loads(SPEC.encode())
    del body["walls"]
    old = SandboxSpec.decode(json.dumps(body | {"isolation": "bubblewrap", "bwrap": "/usr/bin/bwrap"}))
    assert (old.key, old.need, old.walls) == (SPEC.key, SPEC.need, None)
