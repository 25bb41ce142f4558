"""The chain runner as a real process: what programs say, how they fail, in which order."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from remote.jobs.__main__ import Voice, explain
from remote.protocol import JobEvent, JobEventType, decode

ROOT = Path(__file__).parents[3]
CSV = "text,label\n" + "".join(f"a message about thing {i * 7919 % 1000},{'ab'[i % 2]}\n" for i in range(60))

Chain = Callable[..., tuple[list[JobEvent], subprocess.CompletedProcess[str]]]


@pytest.fixture
def chain(tmp_path: Path) -> Chain:
    """Run ``programs`` (name, module, config) with ``files`` below the job's folder."""

    def run(
        *programs: tuple[str, str, Mapping[str, Any]], **files: str
    ) -> tuple[list[JobEvent], subprocess.CompletedProcess[str]]:
        (tmp_path / "in").mkdir(exist_ok=True)
        for name, body in files.items():
            (tmp_path / "in" / name.replace("__", ".")).write_text(body, encoding="utf-8")
        spec = {"programs": [{"name": n, "module": m, "config": c} for n, m, c in programs]}
        (tmp_path / "job.json").write_text(json.dumps(spec), encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "-m", "remote.jobs"],
            cwd=tmp_path,
            env={"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        events = [event for line in done.stdout.splitlines() if (event := decode(line))]
        assert [event.seq for event in events] == list(range(len(events)))
        return events, done

    return run


def said(**fields: Any) -> str:
    """Source of a script's line that says an event, each with the same seq."""
    body = {"v": 1, "seq": 0, "t": "now", "stage": "train", **fields}
    return f"print({json.dumps(json.dumps(body))}, flush=True)\n"


RESULT = said(type="result", data={"metric": 1})


def test_a_chain_of_module_and_script(chain: Chain, tmp_path: Path) -> None:
    script = (
        "import sys, json, inference\n"
        "assert __name__ == '__main__' and sys.argv[1] == '--config'\n"
        "config = json.load(open(sys.argv[2]))\n"
        "print('a log line')\n"
        + said(type="progress", step=1, total=2, metrics={})
        + "print('half a ', end='')\n"
        "print(inference.WORD + str(config['lr']))\n" + RESULT
    )
    events, done = chain(
        ("inspect", "inspect", {"files": {"train": "in/x.csv"}}),
        ("train", "in/train.py", {"lr": 0.5}),
        x__csv=CSV,
        train__py=script,
        inference__py="WORD = 'word '\n",
    )
    assert done.returncode == 0, done.stderr
    assert [(e.stage, e.type.value) for e in events] == [
        ("inspect", "started"),
        ("inspect", "result"),
        ("train", "progress"),
        ("train", "result"),
    ]
    assert {"a log line", "half a word 0.5"} <= set(done.stdout.splitlines())
    assert json.loads((tmp_path / "train.json").read_text()) == {"lr": 0.5}


@pytest.mark.parametrize(
    ("script", "kind", "words"),
    [
        ("raise ValueError('bad\\nshape')", "script_error", "ValueError: bad shape"),
        ("raise MemoryError", "out_of_memory", "memory"),
        ("raise RuntimeError('CUDA out of memory. Tried to allocate 2 GiB')", "out_of_memory", "memory"),
        ("raise OSError(28, 'No space left on device')", "no_disk", "disk"),
        ("import sys; sys.exit(3)", "script_error", "exit code 3"),
        ("import sys; sys.exit('no such thing')", "script_error", "no such thing"),
        ("import sys; sys.exit(0)", "script_error", "without a result"),
        ("def f(: pass", "script_error", "SyntaxError"),
        ("import nothing_of_that_name", "script_error", "nothing_of_that_name"),
        ("print('unfinished', end=''); 1 / 0", "script_error", "ZeroDivisionError"),
        (
            said(type="failed", kind="nan_loss", detail="The loss is NaN.") + "raise SystemExit(1)",
            "nan_loss",
            "NaN",
        ),
    ],
)
def test_a_failure_is_one_event_and_ends_the_chain(chain: Chain, script: str, kind: str, words: str) -> None:
    events, done = chain(("train", "in/train.py", {}), ("again", "in/train.py", {}), train__py=script)
    assert done.returncode == 1
    (failed,) = events
    assert failed.type is JobEventType.FAILED
    assert failed.fields["kind"] == kind
    assert words in failed.fields["detail"]
    assert "\n" not in failed.fields["detail"]
    assert "Traceback" not in done.stdout


def test_the_traceback_goes_to_the_log(chain: Chain) -> None:
    _, done = chain(
        ("train", "in/train.py", {}), train__py="def inner():\n    raise KeyError('deep')\ninner()\n"
    )
    assert "in inner" in done.stderr


def test_a_program_names_its_own_failure(chain: Chain) -> None:
    events, done = chain(("inspect", "inspect", {"files": {"train": "in/none.csv"}}))
    assert events[-1].fields == {
        "kind": "data_error",
        "detail": "The file none.csv does not exist: check its name.",
    }
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("module", ["os", "../x.py", "/x.py", "in/missing.py", "a.b", "Audit"])
def test_only_programs_of_the_job_run(chain: Chain, module: str) -> None:
    events, done = chain(("odd", module, {}))
    assert done.returncode == 1
    assert events[-1].fields["kind"] == "script_error"


def test_a_job_without_a_chain(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "remote.jobs"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    event = decode(done.stdout.strip())
    assert event is not None
    assert event.type is JobEventType.FAILED
    assert done.returncode == 1


def test_voice_mends_events_and_leaves_other_lines() -> None:
    out = io.StringIO()
    voice = Voice(out)
    voice.write('{"v": 1, "seq": 7, "t": "x", "type": "epoch", "stage": "train", "epoch": 1, "loss": NaN}\n')
    voice.write('{"v": 1, "seq": 7, "type": "nonsense"}\n{"v": 1, "se')
    voice.write('q": 7, "t": "x", "type": "progress", "stage": "train"}\n')
    voice.write("x" * 200_000)
    first, second, third, rest = out.getvalue().split("\n")
    assert json.loads(first) | {"t": ""} == {
        "v": 1,
        "seq": 0,
        "t": "",
        "type": "epoch",
        "stage": "train",
        "epoch": 1,
        "loss": None,
    }
    assert second == '{"v": 1, "seq": 7, "type": "nonsense"}'
    assert json.loads(third)["seq"] == 1
    assert rest == "x" * 200_000
    assert voice.said == {JobEventType.EPOCH, JobEventType.PROGRESS}


def test_long_words_of_an_error_are_cut() -> None:
    _, detail = explain("train", ValueError("long " * 1000))
    assert len(detail) < 400
