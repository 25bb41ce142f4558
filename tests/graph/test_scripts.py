"""A run's code, and what stands in for it where its folder lacks something."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from graph import scripts
from graph.state import Script
from graph.store.checkpoints import serializer
from remote.backend import Input
from tests.graph.world import FakeRecipe


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture
def recipe(tmp_path: Path) -> FakeRecipe:
    """Two modules in a folder, and what Python left there."""
    parts = tmp_path / "recipe" / "finetune"
    (parts / "__pycache__").mkdir(parents=True)
    (parts / "__pycache__" / "loop.pyc").write_bytes(b"compiled")
    for name in ("loop", "inference", "parallel"):
        (parts / f"{name}.py").write_text(f"# our {name}\n")
    script = tmp_path / "recipe" / "text_classification.py"
    script.write_text("# our script\n")
    return FakeRecipe("text_classification", ("binary",), script, (parts,))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir()
    return tmp_path / "run"


def begun(recipe: FakeRecipe, run: Path) -> Script:
    sha, files = scripts.put(recipe, run)
    return Script(recipe.name, str(run / "train.py"), sha, {}, files)


def test_code_is_put_verbatim_with_its_hashes(recipe: FakeRecipe, run: Path) -> None:
    script = begun(recipe, run)
    assert script.sha256 == sha256("# our script\n")
    assert script.files == {
        f"finetune/{name}.py": sha256(f"# our {name}\n") for name in ("inference", "loop", "parallel")
    }
    lie = {path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file()}
    assert lie == {"train.py", *script.files}
    assert scripts.changed(script, run, recipe) == []


def test_a_runs_own_code_wins_over_the_recipes(recipe: FakeRecipe, run: Path) -> None:
    script = begun(recipe, run)
    recipe.script.write_text("# our next script\n")
    for part in recipe.companions[0].glob("*.py"):
        part.write_text("# our next version\n")
    assert scripts.script_inputs(script, run, recipe) == (
        Input("train.py", str(run / "train.py")),
        Input("finetune", str(run / "finetune")),
    )
    assert scripts.changed(script, run, recipe) == []


def test_a_companion_that_the_run_lacks_comes_from_the_recipe(recipe: FakeRecipe, run: Path) -> None:
    script = begun(recipe, run)
    (run / "finetune").rename(run / "moved")
    assert scripts.script_inputs(script, run, recipe)[1:] == (Input("finetune", str(recipe.companions[0])),)
    assert scripts.changed(script, run, recipe) == []  # it is the same code
    (recipe.companions[0] / "loop.py").write_text("# our next version\n")
    assert scripts.changed(script, run, recipe) == ["finetune/loop.py"]


@pytest.mark.parametrize("own", [("inference.py", "parallel.py"), ("inference.py",)])
def test_a_run_from_before_companions_were_recorded_goes_on_with_what_it_has(
    recipe: FakeRecipe, run: Path, own: tuple[str, ...]
) -> None:
    """It began when the script was one long file, or even before there was a ``parallel.py``."""
    (run / "train.py").write_text("# their script\n")
    for name in own:
        (run / name).write_text("# their own\n")
    script = Script(recipe.name, str(run / "train.py"), sha256("# their script\n"), {})
    given = {one.name: Path(one.source) for one in scripts.script_inputs(script, run, recipe)}
    assert list(given) == ["train.py", "inference.py", "parallel.py"]
    for name in ("train.py", *own):
        assert given.pop(name) == run / name
    assert all(path == recipe.companions[0] / name for name, path in given.items())
    assert scripts.changed(script, run, recipe) == []


def test_a_file_that_nobody_has_is_asked_for_in_the_runs_folder(recipe: FakeRecipe, run: Path) -> None:
    """The backend then says which file is missing, and where."""
    script = begun(recipe, run)
    nowhere = scripts.companions(script, run / "gone", replace(recipe, companions=()))
    assert nowhere == {"finetune": run / "gone" / "finetune"}


def test_what_was_changed_is_named(recipe: FakeRecipe, run: Path) -> None:
    script = begun(recipe, run)
    (run / "train.py").write_text("# changed\n")
    (run / "finetune" / "loop.py").unlink()
    assert scripts.changed(script, run, recipe) == ["train.py", "finetune/loop.py"]


def test_a_script_that_an_older_version_kept_still_loads() -> None:
    """Bytes as a version without ``files`` wrote them."""
    kept = (
        b"\xc7]\x02\x93\xabgraph.state\xa6Script\x84\xa6recipe\xb3text_classification\xa4path\xad/run/train.py"
        b"\xa6sha256\xa2ab\xa6config\x81\xa6epochs\x01"
    )
    script = Script("text_classification", "/run/train.py", "ab", {"epochs": 1})
    assert serializer().loads_typed(("msgpack", kept)) == script
    assert script.files == {}
