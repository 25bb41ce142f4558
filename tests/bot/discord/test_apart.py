"""Discord's surface stands alone: taking a folder away breaks nothing else."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
KNOWS = {"bot/cli.py", "bot/wiring.py", "bot/serving.py"}  # by name, and only when it is asked for


def imported(file: Path, *, at_start: bool = False) -> Iterator[str]:
    """Modules that a file imports; ``at_start``: those that importing it does."""
    tree = ast.parse(file.read_text("utf-8"))
    for node in tree.body if at_start else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def files(folder: str) -> list[Path]:
    return [file for file in (ROOT / folder).rglob("*.py") if "__pycache__" not in file.parts]


@pytest.mark.parametrize(("folder", "others"), [("discord", ("slack", "console.")), ("slack", ("discord",))])
def test_a_surface_imports_no_other(folder: str, others: tuple[str, ...]) -> None:
    allowed = {"bot.console.safe"}  # text made harmless, whatever it is shown on
    found = {
        (file.name, module)
        for file in files(f"bot/{folder}")
        for module in imported(file)
        if module.startswith(tuple(f"bot.{other}" for other in others)) and module not in allowed
    }
    assert found == set()


def test_nothing_imports_the_surface_before_it_is_asked_for() -> None:
    found = {
        str(file.relative_to(ROOT))
        for folder in ("bot", "graph", "remote")
        for file in files(folder)
        for module in imported(file, at_start=True)
        if module.startswith(("bot.discord", "discord")) and "bot/discord" not in str(file)
    }
    assert found == set()
    later = {
        str(file.relative_to(ROOT))
        for file in files("bot")
        for module in imported(file)
        if module.startswith("bot.discord") and "bot/discord" not in str(file)
    }
    assert later <= KNOWS


@pytest.mark.parametrize("surface", ["discord", "slack"])
def test_the_rest_works_without_the_folder(surface: str, tmp_path: Path) -> None:
    """The other surfaces and the command line import where the folder and its library are not there."""
    program = (
        "import sys, importlib.abc\n"
        "class Gone(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        libraries = ('{surface}', '{surface}_bolt', '{surface}_sdk')\n"
        f"        if name == 'bot.{surface}' or name.split('.')[0] in libraries:\n"
        "            raise ModuleNotFoundError(name, name=name)\n"
        "sys.meta_path.insert(0, Gone())\n"
        f"import bot.cli, bot.serving, bot.wiring, bot.{'slack' if surface == 'discord' else 'discord'}.serve\n"
        "from bot.errors import UsageError\n"
        "try:\n"
        f"    bot.serving._surface('{surface}')\n"
        "except UsageError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.stderr == ""
    assert f"{surface.title()} is not installed" in done.stdout
