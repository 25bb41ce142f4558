"""Finding a Docker daemon on this machine, and giving it the empty image (:mod:`remote.sandbox.docker`).

The person's own choice of daemon is honoured (``DOCKER_HOST``, ``docker context``) as long as it listens on a Unix
socket; of their environment nothing else is handed on.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
import tarfile
import time
from collections.abc import Mapping, Sequence

from remote.sandbox.docker import KIND, NO_CONFIG
from remote.sandbox.isolation import Walls, system_links

_IMAGE = "ml-intern-sandbox"
_CALLER = ("HOME", "PATH", "DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG", "XDG_RUNTIME_DIR")
_CONTEXT = ("context", "inspect", "--format", "{{.Endpoints.docker.Host}}")


def find(*, timeout_s: float) -> Walls | None:
    """A Docker daemon of this machine with the empty image in it; ``None`` where there is none. It has not yet
    run anything."""
    until = time.monotonic() + timeout_s
    binary = shutil.which("docker")
    if binary is None:
        return None
    env = {name: os.environ[name] for name in _CALLER if name in os.environ}
    host = env.get("DOCKER_HOST") or _ask([binary, *_CONTEXT], env, until)
    if host is None or not host.startswith("unix://"):
        return None
    client = [binary, "--config", NO_CONFIG, "--host", host]
    image, archive = empty_image()
    if _ask([*client, "image", "inspect", "--format", "{{.Id}}", image], {}, until) is None:
        made = _ask([*client, "import", "-", image], {}, until, archive)
        if made is None:
            return None
    return Walls(KIND, binary, host, image)


def empty_image() -> tuple[str, bytes]:
    """Name and archive of the image; the name holds the archive's sha256, so another system has another."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, target in sorted(system_links().items()):
            link = tarfile.TarInfo(name.lstrip("/"))
            link.type, link.linkname = tarfile.SYMTYPE, target
            archive.addfile(link)
        # runc gives a tmpfs the mode of the folder below it, whatever mode it was asked for.
        for name, mode in (("tmp", 0o755), ("job", 0o777)):
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode = tarfile.DIRTYPE, mode
            archive.addfile(folder)
    data = buffer.getvalue()
    return f"{_IMAGE}:{hashlib.sha256(data).hexdigest()[:12]}", data


def _ask(command: Sequence[str], env: Mapping[str, str], until: float, stdin: bytes = b"") -> str | None:
    """What the command says; ``None`` when it fails or has not ended ``until`` then."""
    timeout_s = max(until - time.monotonic(), 0.0)
    try:
        run = subprocess.run(
            command, env=dict(env), input=stdin, capture_output=True, timeout=timeout_s, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return run.stdout.decode("utf-8", "replace").strip()
