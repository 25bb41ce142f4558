"""Bad input through the real command: one clear sentence, the right exit code, no stack trace, nothing lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.conftest import Intern

Make = Callable[[Path], Path]


def file(name: str, content: str | bytes) -> Make:
    def make(folder: Path) -> Path:
        path = folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return make


def rows(n: int, label: Callable[[int], object], text: Callable[[int], str]) -> str:
    return "text,label\n" + "".join(f'"{text(i)}",{label(i)}\n' for i in range(n))


WORDS = "the parcel never came and nobody answers my calls about refund of order number".split()


def sentence(i: int) -> str:
    return " ".join(WORDS[(i * 7 + k * (i % 5 + 1)) % len(WORDS)] for k in range(8)) + f" {i}"


CASES: dict[str, tuple[Make, str]] = {
    "missing": (lambda folder: folder / "nothing.csv", "nothing.csv"),
    "folder": (lambda folder: folder, "folder"),
    "empty": (file("a.csv", ""), "empty"),
    "binary": (file("a.csv", bytes(range(256)) * 40), ""),
    "one column": (file("a.csv", "text\n" + "\n".join(sentence(i) for i in range(50))), "column"),
    "one class": (file("a.csv", rows(60, lambda i: "yes", sentence)), "class"),
    "three rows": (file("a.csv", rows(3, lambda i: i % 2, sentence)), "rows"),
    "no text": (file("a.csv", "a,b\n" + "".join(f"{i},{i % 3}\n" for i in range(90))), "text"),
    "nearly all missing": (
        file("a.csv", rows(200, lambda i: "x" if i < 5 else "y" if i < 10 else "", sentence)),
        "missing",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_data_ends_in_one_clear_sentence(name: str, intern: Intern, tmp_path: Path) -> None:
    make, word = CASES[name]
    folder = tmp_path / "data"
    folder.mkdir()
    done = intern("run", "Sort the tickets by label.", "--data", str(make(folder)), "--yes", "--json")
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    ended = [json.loads(line) for line in done.stdout.splitlines()][-1]
    assert ended["type"] == "ended"
    detail = ended["payload"]["detail"]
    assert word in detail.lower()
    assert detail in done.stderr or detail.split(".")[0] in " ".join(done.stderr.split())
    manifest = json.loads((intern.run_dir() / "run.json").read_text())
    assert manifest["status"] == "failed"
    assert manifest["failure"]["detail"] == detail


@pytest.mark.parametrize(
    ("args", "word"),
    [
        (["run", "x", "--minutes", "-1"], "minutes"),
        (["run", "x", "--budget", "-3"], "budget"),
        (["run", "x" * 50_000], "characters"),
        (["show", "nope"], "no run"),
        (["decide", "nope", "yes"], "no run"),
        (["cancel", "nope"], "no run"),
        (["resume", "nope"], "no run"),
        (["try", "nope", "hello"], "no run"),
        (["frobnicate"], "frobnicate"),
    ],
)
def test_wrong_usage_is_exit_2_with_what_is_wrong(args: list[str], word: str, tmp_path: Path) -> None:
    done = Intern(tmp_path)(*args)
    assert done.returncode == 2
    assert word in done.stderr
    assert "Traceback" not in done.stderr


def test_a_home_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = Intern(tmp_path / "file" / "home")("runs")
    assert done.returncode in (1, 2)
    assert "Traceback" not in done.stderr
    assert "INTERN_HOME" in done.stderr


def test_a_database_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "intern.db").write_bytes(b"x" * 5000)
    done = Intern(tmp_path)("runs")
    assert done.returncode == 1
    assert "database" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_question_at_no_terminal_leaves_the_run_waiting(intern: Intern) -> None:
    done = intern("run", "Tell positive from negative product reviews.")
    assert done.returncode == 3
    assert "intern decide" in done.stdout + done.stderr


def test_the_out_folder_is_not_overwritten(intern: Intern, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "precious.txt").write_text("keep")
    done = intern("run", "Tell positive from negative.", "--out", str(tmp_path / "out"), "--yes")
    assert done.returncode == 2
    assert (tmp_path / "out" / "precious.txt").read_text() == "keep"
