"""Fetches one pinned file of a Python package with pip, without running anything that is in it.

- pip is the client, so that a machine's own index, mirror, proxy and certificates are used; no host is named.
- ``--require-hashes``: pip compares the sha256 before it opens the file, and we compare again before we do.
- ``pip download`` asks a *source* package for its metadata, and with setuptools that runs its setup.py, even
  with ``--no-deps`` (seen with pip 23.2 and 26.3). So the process gets ``--no-build-isolation`` and, first on
  its search path, a stand-in for setuptools that only reads PKG-INFO (``metadata_only/``). It also saves the
  download of setuptools: 0.9 s instead of 2.4 s for vaderSentiment.
- Files are kept by their sha256 under ``<home>/catalogue/packages``; a lock lets processes share one.

Errors: :class:`graph.errors.SourceError` — unreachable, no_disk, data_error (checksum), denied.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from graph.errors import SourceError
from graph.names import FailureKind
from graph.research.disk import disk_errors, locked, no_disk, room
from remote.protocol import sha256_file

TIMEOUT_S = 600.0
_STAND_IN = Path(__file__).parent / "metadata_only"


@dataclass(frozen=True, slots=True)
class Package:
    """One file of a package: what pip is asked for and what must come back."""

    name: str
    version: str
    file: str
    sha256: str
    bytes: int
    source: bool  # a source package (.tar.gz), else a wheel

    @property
    def requirement(self) -> str:
        return f"{self.name}=={self.version}"


@dataclass(frozen=True, slots=True)
class Ended:
    returncode: int
    output: str  # stdout and stderr together


Run = Callable[[Sequence[str], Mapping[str, str], float], Ended]
"""``run(command, environment, timeout_s)``; raises subprocess.TimeoutExpired or OSError."""


def run_pip(command: Sequence[str], environment: Mapping[str, str], timeout_s: float) -> Ended:
    done = subprocess.run(
        command,
        env=environment,
        timeout=timeout_s,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    return Ended(done.returncode, done.stdout)


class Packages:
    """Package files under ``folder``, by sha256. Blocking: call it in a thread."""

    def __init__(self, folder: Path, pip: Sequence[str] | None = None, run: Run = run_pip) -> None:
        self.folder = folder
        self.run = run
        self._own = pip is None
        self.pip = tuple(pip) if pip is not None else (sys.executable, "-m", "pip")

    def installed(self) -> bool:
        """Whether there is a pip to ask."""
        return (
            importlib.util.find_spec("pip") is not None
            if self._own
            else shutil.which(self.pip[0]) is not None
        )

    def path(self, package: Package) -> Path:
        return self.folder / package.sha256[:16] / package.file

    def fetch(self, package: Package) -> Path:
        """The file's path; downloaded, checked and kept unless it is here already."""
        path = self.path(package)
        with disk_errors(self.folder), locked(self.folder / f"{package.sha256[:16]}.lock"):
            if path.is_file():
                if sha256_file(path) == package.sha256:
                    return path
                path.unlink()  # damaged on disk since
            room(self.folder, 2 * package.bytes)
            with tempfile.TemporaryDirectory(prefix=".part-", dir=self.folder) as part:
                fetched = self._download(package, Path(part))
                path.parent.mkdir(exist_ok=True)
                fetched.replace(path)
        return path

    def _download(self, package: Package, into: Path) -> Path:
        wanted = into / "requirements.txt"
        wanted.write_text(f"{package.requirement} --hash=sha256:{package.sha256}\n", encoding="utf-8")
        form = ("--no-binary", package.name) if package.source else ("--only-binary", package.name)
        command = (
            *self.pip, "download", "--no-deps", "--no-build-isolation", "--require-hashes", *form,
            "--ignore-requires-python", "--no-input", "--disable-pip-version-check", "--quiet",
            "--progress-bar", "off", "--retries", "2", "--dest", str(into), "--requirement", str(wanted),
        )  # fmt: skip
        others = os.environ.get("PYTHONPATH")
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(_STAND_IN.resolve()), *([others] if others else [])]),
            "PIP_USE_PEP517": "1",  # older pips would run setup.py themselves; newer ones ignore it
            "LC_ALL": "C.UTF-8",  # messages in English, which _explain reads
        }
        try:
            ended = self.run(command, environment, TIMEOUT_S)
        except subprocess.TimeoutExpired as error:
            raise SourceError(
                f"{package.requirement} did not arrive within {TIMEOUT_S / 60:.0f} minutes.",
                "Check the network, then try again.",
            ) from error
        except FileNotFoundError as error:
            raise _no_pip(package) from error
        if ended.returncode != 0:
            raise _explain(package, ended.output)
        path = into / package.file
        if not path.is_file():
            raise SourceError(
                f"pip gave no file {package.file} for {package.requirement}.",
                "Update pip, then try again.",
                FailureKind.DATA_ERROR,
            )
        if sha256_file(path) != package.sha256:
            raise _tampered(package)
        return path


def _explain(package: Package, output: str) -> SourceError:
    """pip's words, turned into what happened and what to do."""
    if "DO NOT MATCH THE HASHES" in output:
        return _tampered(package)
    if "No module named pip" in output:
        return _no_pip(package)
    if "No space left" in output or "Errno 28" in output or "Disk quota exceeded" in output:
        return no_disk(f"{package.requirement} could not be saved")
    if re.search(
        r"ConnectionError|NewConnection|ConnectTimeout|ReadTimeout|name resolution|ProxyError|SSLError",
        output,
    ):
        return SourceError(
            f"The package index cannot be reached, so {package.requirement} could not be fetched.",
            "Check the network and pip's proxy and index settings, then try again.",
        )
    if re.search(r"\b(401|403)\b", output):
        return SourceError(
            f"The package index refused {package.requirement}.",
            "Check pip's index settings and credentials (`pip config list`).",
            FailureKind.DENIED,
        )
    if "No matching distribution" in output:
        return SourceError(
            f"The package index does not have {package.requirement}.",
            "Point pip to an index that has it; `pip config list` shows the current one.",
        )
    errors = [line for line in output.splitlines() if line.startswith("ERROR")]
    said = errors[-1].removeprefix("ERROR:").strip()[:200] if errors else "pip gave no reason"
    return SourceError(
        f"{package.requirement} could not be fetched: {said}", "Check pip's settings, then try again."
    )


def _tampered(package: Package) -> SourceError:
    return SourceError(
        f"What came for {package.requirement} is not the recorded file (sha256 differs); it was not opened.",
        "Check which package index pip uses: it may be broken or tampered with.",
        FailureKind.DATA_ERROR,
    )


def _no_pip(package: Package) -> SourceError:
    return SourceError(
        f"pip is missing, and {package.requirement} is fetched with it.",
        "Run `python -m ensurepip`, then try again.",
    )
