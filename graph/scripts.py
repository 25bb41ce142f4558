"""A run's code: the script and its companions, as they lie in the run's folder.

They are put there once, so that a run goes on with the code that it began with, whatever version of this project
resumes it. Only where its folder lacks a companion does the recipe's own stand in.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from graph.deps import Recipe
from graph.files import copy_file, copy_tree
from graph.state import Script
from remote.backend import Input
from remote.protocol import sha256_file

NAME = "train.py"
UNRECORDED = ("inference.py", "parallel.py")  # companions of a run that began before they were recorded


def put(recipe: Recipe, folder: Path) -> tuple[str, dict[str, str]]:
    """Copy the script and its companions, verbatim; the script's sha256, and each companion file's by its path."""
    copy_file(recipe.script, folder / NAME)
    for companion in recipe.companions:
        if companion.is_dir():
            copy_tree(companion, folder / companion.name)
        else:
            copy_file(companion, folder / companion.name)
    copies = {companion.name: folder / companion.name for companion in recipe.companions}
    return sha256_file(folder / NAME), _hashes(copies)


def script_inputs(script: Script, folder: Path, recipe: Recipe) -> tuple[Input, ...]:
    """The script of the run in ``folder``, and its companions."""
    beside = companions(script, folder, recipe)
    return (
        Input(NAME, str(folder / NAME)),
        *(Input(name, str(path)) for name, path in beside.items()),
    )


def companions(script: Script, folder: Path, recipe: Recipe) -> dict[str, Path]:
    """Name in the job's ``in/`` -> file or folder: the run's own, else the recipe's of that name."""
    names = dict.fromkeys(PurePosixPath(path).parts[0] for path in script.files) or UNRECORDED
    ours = {path.name: path for companion in recipe.companions for path in (*_modules(companion), companion)}
    return {
        name: folder / name if (folder / name).exists() else ours.get(name, folder / name) for name in names
    }


def changed(script: Script, folder: Path, recipe: Recipe) -> list[str]:
    """Files of the code that are not, or no longer, what the run was given."""
    found = _hashes(companions(script, folder, recipe)) | {NAME: sha256_file(folder / NAME)}
    return [
        path
        for path, sha256 in ({NAME: script.sha256} | dict(script.files)).items()
        if found.get(path) != sha256
    ]


def _hashes(beside: dict[str, Path]) -> dict[str, str]:
    """Path below the run's folder -> sha256."""
    return {
        name if path == top else f"{name}/{path.name}": sha256_file(path)
        for name, top in beside.items()
        for path in ([top] if top.is_file() else _modules(top))
    }


def _modules(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.py")) if folder.is_dir() else []
