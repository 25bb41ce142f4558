"""Runs a job's chain: ``python -m remote.jobs`` in the job's folder (``docs/jobs.md``).

This is the one outermost edge of a job: whatever a program raises ends here as one ``failed`` event with a
kind and a sentence, and its traceback goes to the log (stderr). The chain stops at the first failure.

Programs of a chain share one process, because importing torch costs seconds. Each may number its own events,
so everything written to stdout passes through :class:`Voice`, which gives the events of the whole chain one
strictly increasing ``seq`` and leaves log lines as they are.
"""

from __future__ import annotations

import errno
import importlib
import io
import json
import os
import re
import runpy
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, TextIO

from remote.jobs.rows import write_text
from remote.protocol import MAX_LINE_BYTES, Emitter, FailureKind, JobError, JobEventType, decode

DETAIL_CHARS = 300


class Voice(io.TextIOBase):
    """A stdout that re-numbers events. Lines are written whole: a backend never sees half an event."""

    def __init__(self, out: TextIO) -> None:
        super().__init__()
        self._out = out
        self._pending = ""
        self._seq = 0
        self.said: set[JobEventType] = set()  # types of event since the last ``forget``

    def forget(self) -> None:
        self.said = set()

    def write(self, text: str) -> int:
        *lines, self._pending = (self._pending + text).split("\n")
        for line in lines:
            self._say(line)
        if (
            len(self._pending) > MAX_LINE_BYTES
        ):  # no event is that long: a log line that need not be kept whole
            self._out.write(self._pending)
            self._pending = ""
        return len(text)

    def _say(self, line: str) -> None:
        event = decode(line)
        if event is not None:
            line = replace(event, seq=self._seq).encode()
            self._seq += 1
            self.said.add(event.type)
        self._out.write(line + "\n")
        if event is not None:
            self._out.flush()

    def flush(self) -> None:
        self._out.flush()

    def end_line(self) -> None:
        """Finish a line that a program left open, so that the next event starts on its own."""
        if self._pending:
            self.write("\n")

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._out.fileno()

    def reconfigure(self, **_: Any) -> None:
        """Scripts may ask for line buffering, which this always has."""

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return "utf-8"


@dataclass(frozen=True, slots=True)
class Link:
    """One program of the chain, as read from ``job.json``."""

    name: str
    module: str
    config: Mapping[str, Any]

    @property
    def is_script(self) -> bool:
        return self.module.endswith(".py")


def read_chain(path: Path) -> list[Link]:
    """The programs of ``job.json``. Raises JobError (``script_error``) when it is not such a file."""
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
        links = [
            Link(str(p["name"]), str(p["module"]), dict(p.get("config") or {})) for p in body["programs"]
        ]
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise JobError(
            FailureKind.SCRIPT_ERROR, f"{path.name} holds no chain of programs ({type(error).__name__})."
        ) from error
    for link in links:
        _check(link)
    return links


def _check(link: Link) -> None:
    inside = PurePosixPath(link.module)
    ok = (
        not inside.is_absolute() and ".." not in inside.parts
        if link.is_script
        else re.fullmatch(r"[a-z][a-z0-9_]*", link.module)
    )
    if not ok or not re.fullmatch(r"[\w-]+", link.name):
        raise JobError(
            FailureKind.SCRIPT_ERROR,
            f"{link.module!r} is neither a module of remote.jobs nor a script of this job.",
        )


def main(folder: Path, out: TextIO) -> int:
    """Run the chain in ``folder`` (the current directory). Returns 0, or 1 after a ``failed``."""
    voice = Voice(out)
    emit = Emitter("job", voice)  # type: ignore[arg-type]
    try:
        chain = read_chain(folder / "job.json")
        (folder / "out").mkdir(exist_ok=True)
    except (JobError, OSError) as error:
        emit.failed(*explain("job", error))
        return 1
    return 0 if all(_run(link, emit.for_stage(link.name), voice, folder) for link in chain) else 1


def _run(link: Link, emit: Emitter, voice: Voice, folder: Path) -> bool:
    """One program; whether the chain may go on."""
    voice.forget()
    try:
        with _stdout(voice), _exit_as_error(link.module):
            if link.is_script:
                _run_script(link, folder)
            else:
                emit.emit(JobEventType.STARTED, pid=os.getpid())
                program = importlib.import_module(f"remote.jobs.{link.module}")
                emit.result(program.run(link.config, emit))
        if JobEventType.FAILED in voice.said:
            return False
        if JobEventType.RESULT not in voice.said:
            raise JobError(FailureKind.SCRIPT_ERROR, f"The script {link.module} ended without a result.")
    except Exception as error:  # noqa: BLE001 - the job's outermost edge
        if not isinstance(error, JobError):
            traceback.print_exception(error, file=sys.stderr)
        voice.end_line()
        if JobEventType.FAILED not in voice.said:
            emit.failed(*explain(link.name, error))
        return False
    return True


def _run_script(link: Link, folder: Path) -> None:
    """As ``python <script> --config <name>.json`` would, with ``in/`` as the first place to import from."""
    config = folder / f"{link.name}.json"
    write_text(config, json.dumps(dict(link.config), ensure_ascii=False, indent=2) + "\n")
    argv, path = sys.argv, list(sys.path)
    sys.argv = [link.module, "--config", config.name]
    sys.path.insert(0, str((folder / "in").resolve()))
    try:
        runpy.run_path(str(folder / link.module), run_name="__main__")
    finally:
        sys.argv, sys.path[:] = argv, path


@contextmanager
def _exit_as_error(module: str) -> Iterator[None]:
    """``sys.exit(0)`` is a normal end; any other exit is a failure that says its code or words."""
    try:
        yield
    except SystemExit as ended:
        if ended.code not in (None, 0):
            words = f"exit code {ended.code}" if isinstance(ended.code, int) else _one_line(str(ended.code))
            raise JobError(FailureKind.SCRIPT_ERROR, f"{module} ended with {words}.") from None


@contextmanager
def _stdout(voice: Voice) -> Iterator[None]:
    before = sys.stdout
    sys.stdout = voice
    try:
        yield
        voice.end_line()
    finally:
        sys.stdout = before


def explain(program: str, error: BaseException) -> tuple[FailureKind, str]:
    """The kind of a failure and one sentence about it."""
    if isinstance(error, JobError):
        return error.kind, error.detail
    words = _one_line(str(error))
    if isinstance(error, MemoryError) or re.search(
        r"out of memory|can.t allocate memory", words, re.IGNORECASE
    ):
        return FailureKind.OUT_OF_MEMORY, f"The memory was not enough for the program {program!r}."
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return FailureKind.NO_DISK, f"The disk was full when the program {program!r} wanted to write."
    what = f"{type(error).__name__}: {words}" if words else type(error).__name__
    return FailureKind.SCRIPT_ERROR, f"The program {program!r} stopped with {what}."


def _one_line(words: str) -> str:
    line = " ".join(words.split())
    return line if len(line) <= DETAIL_CHARS else line[: DETAIL_CHARS - 1] + "…"


def _entry(arguments: Sequence[str]) -> int:
    if arguments:
        print("usage: python -m remote.jobs, in the job's folder", file=sys.stderr)
        return 2
    return main(Path.cwd(), sys.stdout)


if __name__ == "__main__":
    sys.exit(_entry(sys.argv[1:]))
