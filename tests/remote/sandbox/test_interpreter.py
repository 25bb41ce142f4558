"""Which folders a Python needs, for the ways in which Pythons are installed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from remote.sandbox.interpreter import Interpreter


def _executable(path: Path) -> Path:
    path.parent.mkdir(parents=True)
    path.touch()
    return path


def _venv(folder: Path, base: Path) -> Path:
    (folder / "bin").mkdir(parents=True)
    (folder / "pyvenv.cfg").write_text(f"home = {base.parent}\nversion = 3.11.7\n")
    (folder / "bin" / "python").symlink_to(base)
    return folder / "bin" / "python"


def _targets(interpreter: Interpreter, home: Path) -> set[str]:
    binds = interpreter.binds(home)
    assert not any(bind.writable for bind in binds)
    return {bind.target for bind in binds} - {"/opt/intern/remote"}


def test_a_virtual_environment_and_its_base(tmp_path: Path) -> None:
    base = _executable(tmp_path / "pyenv" / "3.11.7" / "bin" / "python3.11")
    python = _venv(tmp_path / "project" / ".venv", base)
    found = _targets(Interpreter(python), tmp_path / "home")
    assert found == {str(tmp_path / "project" / ".venv"), str(tmp_path / "pyenv" / "3.11.7")}


def test_a_chain_of_links_as_uv_makes(tmp_path: Path) -> None:
    real = _executable(tmp_path / "uv" / "cpython-3.11.7" / "bin" / "python3.11")
    short = tmp_path / "uv" / "cpython-3.11"
    short.symlink_to("cpython-3.11.7")
    python = _venv(tmp_path / ".venv", short / "bin" / "python3.11")
    found = _targets(Interpreter(python), tmp_path / "home")
    assert found == {str(tmp_path / ".venv"), str(short), str(real.parent.parent)}


def test_the_home_folder_is_never_bound_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    monkeypatch.setenv("HOME", str(home))
    real = _executable(home / "python" / "bin" / "python3.11")
    (home / "bin").mkdir()
    (home / "bin" / "python").symlink_to(real)
    found = _targets(Interpreter(home / "bin" / "python"), tmp_path / "intern")
    assert str(home) not in found
    assert {str(home / "bin" / "python"), str(home / "python")} <= found


def test_the_system_python_needs_no_bind_of_its_own(tmp_path: Path) -> None:
    if not Path("/usr/bin/python3").exists():
        pytest.skip("there is no /usr/bin/python3 here")
    assert _targets(Interpreter(Path("/usr/bin/python3")), tmp_path) == set()


def test_the_running_interpreter(tmp_path: Path) -> None:
    found = _targets(Interpreter(Path(sys.executable)), tmp_path)
    for prefix in (sys.prefix, sys.base_prefix):
        assert any(Path(prefix).is_relative_to(target) for target in (*found, "/usr"))
