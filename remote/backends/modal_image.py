"""The container image of a Modal job: Debian, this Python, the training libraries pinned to what is installed here.

The pins are the versions with which the smoke test ran, so that a run on rented hardware trains with the same
libraries as its trial. The package ``remote`` is not built into the image but laid over it at the start: a change
of our code costs no new image.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import remote

if TYPE_CHECKING:
    import modal

PACKAGE = "ml-intern-for-teams"
EXTRA = "train"
CODE = "/opt/intern"  # where the package ``remote`` lies in the sandbox
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_LOCAL_VERSION = re.compile(r"\+.*$")


def requirements_for(declared: Iterable[str], installed: Mapping[str, str]) -> tuple[str, ...]:
    """Pinned requirements, sorted: each of ``declared`` (``name`` or ``name>=1``) at the ``installed`` version
    (normalised name to version). A library that is not installed here keeps what was declared for it.

    A local version such as ``2.13.0+cpu`` names a build of this machine; its public part is what others have.
    """
    pinned = []
    for requirement in declared:
        match = _NAME.match(requirement)
        if match is None:
            raise ValueError(f"not a requirement: {requirement!r}")
        name = match.group()
        version = installed.get(normalised(name))
        bare = requirement.partition(";")[0].strip()
        pinned.append(f"{name}=={_LOCAL_VERSION.sub('', version)}" if version else bare)
    return tuple(sorted(set(pinned), key=str.lower))


def normalised(name: str) -> str:
    """As PEP 503 compares names."""
    return re.sub(r"[-_.]+", "-", name).lower()


def declared_for_training() -> tuple[str, ...]:
    """What the extra ``train`` of this package declares, without its marker. Raises PackageNotFoundError where the
    package is used without having been installed."""
    lines = importlib.metadata.requires(PACKAGE) or []
    marker = re.compile(rf"""extra\s*==\s*["']{EXTRA}["']""")
    return tuple(line.partition(";")[0].strip() for line in lines if marker.search(line))


def installed_versions(declared: Iterable[str]) -> dict[str, str]:
    """Of what is ``declared`` and installed here. Looked up one by one: reading all that is installed takes a
    second."""
    found = {}
    for requirement in declared:
        match = _NAME.match(requirement)
        if match is not None:
            with contextlib.suppress(importlib.metadata.PackageNotFoundError):
                found[normalised(match.group())] = importlib.metadata.version(match.group())
    return found


def package_folder() -> Path:
    return Path(remote.__file__).resolve().parent


def image() -> modal.Image:
    """Nothing is built by calling this: Modal builds it, or finds it, when a sandbox is created."""
    import modal

    declared = declared_for_training()
    requirements = requirements_for(declared, installed_versions(declared))
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    return (
        modal.Image.debian_slim(python_version=python)
        .pip_install(*requirements)
        .add_local_dir(package_folder(), f"{CODE}/remote", ignore=["**/__pycache__/**", "**/*.pyc", "**/.*"])
    )
