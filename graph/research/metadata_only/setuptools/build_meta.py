"""A build backend (PEP 517) that copies name and version out of PKG-INFO and executes nothing.

``pip download`` asks every source package for its metadata, which with the real setuptools runs the package's
setup.py. We only want the file, so this module is put first on the search path of that one pip process.
Runs in whatever Python pip runs in: standard library only.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

__legacy__ = sys.modules[__name__]  # what pip asks for when a package has no pyproject.toml


def prepare_metadata_for_build_wheel(
    metadata_directory: str, config_settings: Mapping[str, str] | None = None
) -> str:
    """Writes a minimal dist-info folder and returns its name. The current folder is the unpacked package."""
    wanted = {"Name": "", "Version": ""}
    for line in Path("PKG-INFO").read_text(encoding="utf-8", errors="replace").splitlines():
        field, _, value = line.partition(": ")
        if field in wanted and not wanted[field]:
            wanted[field] = value.strip()
    folder = Path(metadata_directory) / f"{wanted['Name'].replace('-', '_')}-{wanted['Version']}.dist-info"
    folder.mkdir()
    body = "".join(f"{field}: {value}\n" for field, value in wanted.items())
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\n{body}", encoding="utf-8")
    return folder.name


def build_wheel(
    wheel_directory: str,
    config_settings: Mapping[str, str] | None = None,
    metadata_directory: str | None = None,
) -> str:
    raise NotImplementedError("Packages of the catalogue are read, never built.")
