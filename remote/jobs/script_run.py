"""One run of a training script in this process, and what it said and left.

Decisions:

- In this process (``runpy``), as importing torch and transformers again would cost more than the run itself.
- What the script says is heard, not passed on, so that its events are not taken for the job's own.
- What a script is known to change for the whole process is put back afterwards: arguments, import path, signal
  handlers, warning filters, torch's threads, and the modules that lie beside it.
"""

from __future__ import annotations

import contextlib
import io
import json
import runpy
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from remote.jobs.__main__ import explain
from remote.jobs.rows import Row, write_rows, write_text
from remote.protocol import FailureKind, JobError, JobEvent, JobEventType, decode

# What a script of others may raise; anything else is for the job's outermost edge.
SCRIPT_ERRORS = (
    ArithmeticError, AssertionError, AttributeError, ImportError, LookupError, MemoryError, NameError,
    OSError, RuntimeError, SyntaxError, TypeError, ValueError,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Run:
    """What one run of the script said, and the folder that it filled."""

    events: list[JobEvent]
    out: Path
    seconds: float
    first_word: float  # when it first spoke, by ``time.perf_counter``

    def numbers(self, word: str) -> list[float | None]:
        """Values of the metrics whose name ends in ``word``, in order; ``None`` for what was not a number."""
        kinds = (JobEventType.PROGRESS, JobEventType.EPOCH)
        said = [event.fields.get("metrics") or {} for event in self.events if event.type in kinds]
        return [value for metrics in said for name, value in metrics.items() if name.endswith(word)]

    @property
    def result(self) -> Mapping[str, Any] | None:
        found = [event.fields.get("data") for event in self.events if event.type is JobEventType.RESULT]
        return found[-1] if found else None


def run_script(
    name: str,
    work: Path,
    script: Path,
    settings: Mapping[str, Any],
    wanted: Mapping[str, Any],
    train: Sequence[Row],
    validation: Sequence[Row],
) -> Run:
    """The script on these rows, in the folder ``work/name``, with those of the ``wanted`` settings that it has.

    Raises JobError, with ``name`` in front of the detail, where the script fails or ends without a result.
    """
    folder = work / name
    out = folder / "out"
    out.mkdir(parents=True, exist_ok=True)
    changes = {
        **wanted,
        "train_file": write_rows(folder / "train.jsonl", train).as_posix(),
        "validation_file": write_rows(folder / "validation.jsonl", validation).as_posix(),
        "output_dir": out.as_posix(),
        "resume_from": None,
        "schedule": None,
        "time_budget_s": None,
        "max_train_rows": None,
    }
    known = {key: value for key, value in changes.items() if key in settings}
    path = write_text(folder / "config.json", json.dumps({**settings, **known}, ensure_ascii=False))
    ear = _Ear()
    start = time.perf_counter()
    problem = _execute(script, path, ear)
    seconds = time.perf_counter() - start
    events = [event for line in ear.getvalue().splitlines() if (event := decode(line)) is not None]
    for event in events:
        if event.type is JobEventType.FAILED:
            said = str(event.fields.get("kind"))
            kind = FailureKind(said) if said in set(FailureKind) else FailureKind.UNKNOWN
            raise JobError(kind, f"{name}: {event.fields.get('detail', '')}")
    if problem:
        raise JobError(problem[0], f"{name}: {problem[1]}")
    done = Run(events, out, seconds, ear.first_word or start)
    if done.result is None:
        raise JobError(FailureKind.SCRIPT_ERROR, f"{name}: {script.name} ended without a result event.")
    return done


class _Ear(io.StringIO):
    """A stdout that keeps what is said, and when its first word came."""

    first_word: float | None = None

    def write(self, text: str) -> int:
        self.first_word = self.first_word or time.perf_counter()
        return super().write(text)

    def reconfigure(self, **_: Any) -> None:
        """Scripts may ask for line buffering, which means nothing here."""


def _execute(script: Path, config: Path, ear: _Ear) -> tuple[FailureKind, str] | None:
    """Run ``script --config config`` as ``__main__``, and put back what it changed in this process."""
    import torch

    argv, path, threads = sys.argv, list(sys.path), torch.get_num_threads()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    sys.argv = [str(script), "--config", str(config)]
    sys.path.insert(0, str(script.parent.resolve()))
    try:
        with contextlib.redirect_stdout(ear), warnings.catch_warnings(), _own_modules(script.parent):
            runpy.run_path(str(script), run_name="__main__")
    except SystemExit as ended:
        if ended.code not in (None, 0):
            return FailureKind.SCRIPT_ERROR, f"{script.name} ended with {ended.code!r}."
    except SCRIPT_ERRORS as error:
        traceback.print_exception(error, file=sys.stderr)  # the log, not a person
        return explain(script.name, error)
    finally:
        sys.argv, sys.path[:] = argv, path
        torch.set_num_threads(threads)
        for number, handler in handlers.items():
            signal.signal(number, handler)
    return None


@contextlib.contextmanager
def _own_modules(folder: Path) -> Iterator[None]:
    """Modules of ``folder`` are imported from there, whatever of that name is loaded, and are forgotten afterwards."""
    own = {path.stem for path in folder.glob("*.py")} | {
        path.parent.name for path in folder.glob("*/__init__.py")
    }

    def taken() -> dict[str, ModuleType]:
        return {name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] in own}

    before = taken()
    try:
        yield
    finally:
        taken()
        sys.modules.update(before)
