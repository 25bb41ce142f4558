"""Stands in for the ``docker`` command: checks how it is called and runs the "container" in bubblewrap.

``docker_stand_in.py STATE BWRAP argument…``; STATE is a folder in which it notes its calls and its containers. As
with Docker, a container is not a child that dies with the command: only ``rm`` or the end of its first process end
it. A call without one of the walls that we promise fails.
"""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

EXPECTED = {
    "--rm": None,
    "--interactive": None,
    "--read-only": None,
    "--pull": "never",
    "--log-driver": "none",
    "--network": "none",
    "--cap-drop": "ALL",
    "--security-opt": "no-new-privileges",
    "--ipc": "private",
    "--workdir": "/job",
}
FLAGS = {"--rm", "--interactive", "--read-only"}
SIZED = ("--memory", "--memory-swap", "--pids-limit", "--shm-size", "--user", "--name")


def main(state: Path, bwrap: str, arguments: list[str]) -> int:
    with (state / "calls.jsonl").open("a") as file:
        file.write(json.dumps(arguments) + "\n")
    while arguments[:1] in (["--config"], ["--host"]):
        arguments = arguments[2:]
    match arguments:
        case ["context", "inspect", *_]:
            print(f"unix://{state}/docker.sock")
        case ["image", "inspect", *_, name]:
            return 0 if (state / name).exists() else 1
        case ["import", "-", name]:
            (state / name).write_bytes(sys.stdin.buffer.read())
        case ["run", *rest]:
            return run(state, bwrap, rest)
        case ["rm", "--force", name]:
            return remove(state / f"{name}.pid")
        case _:
            return 1
    return 0


def run(state: Path, bwrap: str, rest: list[str]) -> int:
    options: dict[str, list[str]] = {}
    while rest[0].startswith("--"):
        name = rest.pop(0)
        options.setdefault(name, []).append("" if name in FLAGS else rest.pop(0))
    image, *argv = rest
    for name, value in EXPECTED.items():
        if name not in options or (value is not None and options[name] != [value]):
            sys.stderr.write(f"docker: {name} is {options.get(name)}\n")
            return 125
    if any(len(options.get(name, [])) != 1 for name in SIZED) or not (state / image).exists():
        sys.stderr.write("docker: a limit or the image is missing\n")
        return 125
    uid = options["--user"][0].partition(":")[0]
    command = [bwrap, *walls(options), "--", *drop(uid), *argv]
    # A session of its own, and no end with this command: a container is the daemon's child.
    with subprocess.Popen(command, start_new_session=True) as container:
        note = state / f"{options['--name'][0]}.pid"
        note.write_text(str(container.pid))
        code = container.wait()
        note.unlink(missing_ok=True)
    return code if code >= 0 else 128 - code


def walls(options: dict[str, list[str]]) -> list[str]:
    args = ["--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--clearenv", "--as-pid-1"]
    if os.geteuid() == 0:
        args += ["--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    else:
        args += ["--unshare-user"]
    mounts: list[tuple[str, list[str]]] = []
    for value in options["--mount"]:
        fields = dict(f.partition("=")[::2] for f in next(csv.reader([value])))
        kind = "--ro-bind" if "readonly" in fields else "--bind"
        mounts.append((fields["target"], [kind, fields["source"], fields["target"]]))
    for value in options["--tmpfs"]:
        target = value.partition(":")[0]
        mounts.append((target, ["--perms", "0777", "--tmpfs", target]))
    for name in ("bin", "sbin", "lib", "lib64"):
        if Path("/", name).is_symlink():
            args += ["--symlink", str(Path("/", name).readlink()), f"/{name}"]
    for target, mount in sorted(mounts, key=lambda pair: pair[0].count("/")):
        for parent in reversed(Path(target).parents):
            args += ["--perms", "0755", "--dir", str(parent)] if str(parent) != "/" else []
        args += mount
    args += ["--proc", "/proc", "--dev", "/dev", "--perms", "1777", "--tmpfs", "/dev/shm", "--chdir", "/job"]
    for value in options.get("--env", []):
        name, _, text = value.partition("=")
        args += ["--setenv", name, text]
    return args


def drop(uid: str) -> list[str]:
    if os.geteuid() != 0:
        return []
    return ["/usr/bin/setpriv", "--reuid", uid, "--regid", uid, "--clear-groups", "--no-new-privs"]


def remove(note: Path) -> int:
    try:
        os.killpg(int(note.read_text()), signal.SIGKILL)
    except (FileNotFoundError, ProcessLookupError):
        return 1
    note.unlink(missing_ok=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:]))
