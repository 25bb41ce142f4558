"""What can be said of a training script without running it: the cheapest test there is.

:func:`check_script` reports; :func:`fix_renames` mends arguments that installed libraries renamed or removed.

Decisions:

- These checks find mistakes, not attackers: whoever wants to hide a call from ``ast`` can. The sandbox is the
  wall.
- Keyword arguments are compared with ``inspect.signature`` of what is installed, not with a list that grows
  old. Only libraries in ``LIBRARIES`` are imported for it: importing a module runs it, and the job's own
  files are run by the smoke test alone. The tables say what an unknown argument is called now.
- Edits are made at the positions that ``ast`` gives, from the last to the first: comments and layout stay.
- ruff is used where it is installed (it is no dependency of a training machine); otherwise undefined names
  are looked for with ``symtable``.
"""

from __future__ import annotations

import ast
import builtins
import importlib
import importlib.util
import inspect
import re
import subprocess
import symtable
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LIBRARIES = frozenset({"datasets", "numpy", "pandas", "safetensors", "sklearn", "torch", "transformers"})
RUFF_RULES = "E9,F63,F7,F82"  # syntax errors, comparisons that cannot be meant, undefined names
RUFF_TIMEOUT_S = 20.0

# Old argument -> new one; None: removed without a successor. transformers 5.23, scikit-learn 1.9.
_ARGUMENTS: Mapping[str, str | None] = {
    "evaluation_strategy": "eval_strategy",
    "group_by_length": "train_sampling_strategy",
    "logging_dir": None,
    "no_cuda": "use_cpu",
    "overwrite_output_dir": None,
    "per_gpu_eval_batch_size": "per_device_eval_batch_size",
    "per_gpu_train_batch_size": "per_device_train_batch_size",
    "save_safetensors": None,
    "use_ipex": None,
    "warmup_ratio": "warmup_steps",  # a fraction is allowed there
}
RENAMES: Mapping[str, Mapping[str, str | None]] = {
    "transformers.TrainingArguments": _ARGUMENTS,
    "transformers.Seq2SeqTrainingArguments": _ARGUMENTS,
    "transformers.Trainer": {"tokenizer": "processing_class"},
    "transformers.Seq2SeqTrainer": {"tokenizer": "processing_class"},
    "sklearn.linear_model.LogisticRegression": {"multi_class": None},
    "sklearn.preprocessing.OneHotEncoder": {"sparse": "sparse_output"},
}
# Renamed arguments whose value changes too: true -> the new value, anything else false -> the argument goes.
_NEW_VALUES = {"group_by_length": '"group_by_length"'}

_FORBIDDEN_MODULES = frozenset(
    {
        # network
        "aiohttp", "ftplib", "http", "httpx", "requests", "smtplib", "socket", "socketserver",
        "telnetlib", "urllib", "urllib3", "webbrowser",
        # pickles
        "cPickle", "cloudpickle", "dill", "joblib", "marshal", "pickle", "shelve",
        # processes
        "ctypes", "multiprocessing", "pty", "subprocess",
    }
)  # fmt: skip
_FORBIDDEN_CALLS: Mapping[str, str] = {
    "eval": "it runs text as code",
    "exec": "it runs text as code",
    "compile": "it runs text as code",
    "__import__": "import modules by an import statement",
    "importlib.import_module": "import modules by an import statement",
    "os.system": "it starts a shell",
    "os.popen": "it starts a shell",
    "os.fork": "it starts a process",
    "torch.save": "it writes a pickle; use safetensors",
    "torch.hub.load": "it downloads code and runs it",
    "pandas.read_pickle": "a pickle can run code",
    "os.execv": "it starts a program",
    "os.execvp": "it starts a program",
    "os.posix_spawn": "it starts a process",
    "os.spawnv": "it starts a process",
}
_FORBIDDEN_FLAGS = {
    "allow_pickle": "a pickle can run code",
    "trust_remote_code": "it runs code from a model's folder",
}
_STARTS_PROCESSES = frozenset({"parallel.py"})  # the recipe's part that starts one for each GPU
_MODULE_NAMES = frozenset(dir(builtins)) | {"__file__", "__name__", "__doc__", "__spec__", "__annotations__"}


@dataclass(frozen=True, slots=True)
class Check:
    """One check. ``detail``: what was found, with lines; "" where all is well."""

    name: str
    ok: bool
    detail: str = ""


@dataclass(frozen=True, slots=True)
class _Call:
    """A call of something imported. ``target``: its full name, such as ``transformers.Trainer``."""

    node: ast.Call
    target: str


@dataclass(frozen=True, slots=True)
class _Edit:
    """Bytes ``begin`` to ``end`` of the source become ``text``; an empty text is an argument that goes."""

    begin: int
    end: int
    text: bytes
    words: str


def check_script(path: Path) -> list[Check]:
    """Syntax, undefined names, forbidden calls, imports and keyword arguments of the script at ``path``, and of its
    parts. Only the first check is in the list when a file cannot be read as Python. Never runs any.
    """
    found = _check_file(path)
    for part in _parts(path) if len(found) > 1 else ():
        where = f"{part.parent.name}/{part.name}"
        failed = {check.name: f"{where} {check.detail}" for check in _check_file(part) if not check.ok}
        if part.name in _STARTS_PROCESSES:
            failed.pop("forbidden_calls", None)
        found = [Check(c.name, False, failed[c.name]) if c.ok and c.name in failed else c for c in found]
    return found if found[0].ok else found[:1]


def _parts(script: Path) -> list[Path]:
    """Modules of the folders beside the script that it imports."""
    tops = {module.split(".")[0] for _, module, _ in _imports(ast.parse(script.read_text(encoding="utf-8")))}
    return [part for top in sorted(tops) for part in sorted((script.parent / top).glob("*.py"))]


def _check_file(path: Path) -> list[Check]:
    try:
        source = path.read_text(encoding="utf-8")
        tree = ast.parse(source, filename=path.name)
    except SyntaxError as error:
        return [Check("syntax", False, f"line {error.lineno}: {error.msg}")]
    except (OSError, ValueError, RecursionError) as error:
        return [Check("syntax", False, f"{path.name} cannot be read as Python ({type(error).__name__}).")]
    aliases = _aliases(tree)
    calls = [_Call(node, name) for node in _calls(tree) if (name := _full_name(node.func, aliases))]
    return [
        Check("syntax", True),
        _check("names", _ruff(path) if importlib.util.find_spec("ruff") else _undefined(source, path.name)),
        _check("forbidden_calls", list(_forbidden(tree, calls))),
        _check("imports", list(_missing_imports(tree, path.parent))),
        _check("arguments", [problem for call in calls for problem in _unknown_arguments(call)]),
    ]


def _check(name: str, problems: list[str]) -> Check:
    return Check(name, not problems, "; ".join(problems[:5]))


# Names


def _aliases(tree: ast.AST) -> dict[str, str]:
    """Local name -> full name of everything that is imported anywhere in the script."""
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                found[name.asname or name.name.split(".")[0]] = (
                    name.name if name.asname else name.name.split(".")[0]
                )
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for name in node.names:
                found[name.asname or name.name] = f"{node.module}.{name.name}"
    return found


def _full_name(node: ast.expr, aliases: Mapping[str, str]) -> str | None:
    """The dotted name of ``node`` where it starts at an import or is a bare name, else ``None``."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name) or (parts and node.id not in aliases):
        return None
    return ".".join([aliases.get(node.id, node.id), *reversed(parts)])


def _calls(tree: ast.AST) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def _ruff(path: Path) -> list[str]:
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--no-cache", "--ignore-noqa", "--quiet"]
    command += ["--select", RUFF_RULES, "--output-format", "concise", str(path.resolve())]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=RUFF_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []  # a lint that cannot run says nothing about the script
    if done.returncode != 1:  # 0: clean; 2: ruff itself failed
        return []
    found = re.findall(r":(\d+):\d+: (?:[A-Z]+\d+ )?(.+)", done.stdout)
    return [f"line {line}: {words.strip()}" for line, words in found]


def _undefined(source: str, name: str) -> list[str]:
    """Global names that nothing defines; nothing is said where a star import may define them."""
    tree = ast.parse(source)
    if any(a.name == "*" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) for a in n.names):
        return []
    module = symtable.symtable(source, name, "exec")
    scopes = list(_scopes(module))
    defined = {s.get_name() for s in module.get_symbols() if s.is_assigned() or s.is_imported()}
    defined |= {s.get_name() for scope in scopes for s in scope.get_symbols() if s.is_declared_global()}
    missing = {
        s.get_name()
        for scope in scopes
        for s in scope.get_symbols()
        if s.is_referenced()
        and (s.is_global() or scope is module)
        and s.get_name() not in defined | _MODULE_NAMES
    }
    lines = {n.id: n.lineno for n in ast.walk(tree) if isinstance(n, ast.Name) and n.id in missing}
    return [
        f"line {line}: undefined name `{found}`" for found, line in sorted(lines.items(), key=lambda x: x[1])
    ]


def _scopes(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    yield table
    for child in table.get_children():
        yield from _scopes(child)


# Forbidden calls


def _forbidden(tree: ast.AST, calls: list[_Call]) -> Iterator[str]:
    for line, module, _ in _imports(tree):
        if module.split(".")[0] in _FORBIDDEN_MODULES:
            yield f"line {line}: {module} is not allowed in a training script"
    for call in calls:
        reason = _FORBIDDEN_CALLS.get(call.target)
        if reason is None and call.target == "torch.load" and not _is_true(call.node, "weights_only"):
            reason = "without weights_only=True a pickle can run code"
        if reason:
            yield f"line {call.node.lineno}: {call.target} is not allowed, as {reason}"
    for node in _calls(tree):
        for flag, why in _FORBIDDEN_FLAGS.items():
            if _is_true(node, flag):
                yield f"line {node.lineno}: {flag}=True is not allowed, as {why}"
        if isinstance(node.func, ast.Attribute) and node.func.attr == "to_pickle":
            yield f"line {node.lineno}: to_pickle is not allowed, as a pickle can run code"


def _is_true(node: ast.Call, argument: str) -> bool:
    return any(
        k.arg == argument and isinstance(k.value, ast.Constant) and k.value.value is True
        for k in node.keywords
    )


# Against what is installed


def _missing_imports(tree: ast.AST, folder: Path) -> Iterator[str]:
    optional = _optional_lines(tree)
    for line, module, name in _imports(tree):
        top = module.split(".")[0]
        if line in optional or (folder / f"{top}.py").is_file() or (folder / top).is_dir():
            continue
        if importlib.util.find_spec(top) is None:
            yield f"line {line}: {top} is not installed"
        elif top in LIBRARIES and _resolve(f"{module}.{name}".rstrip(".")) is None:
            yield f"line {line}: the installed {top} has no {name or module}"


def _optional_lines(tree: ast.AST) -> set[int]:
    """Lines inside ``try``: an import there has its own answer to being missing."""
    tries = [node for node in ast.walk(tree) if isinstance(node, ast.Try)]
    return {
        line
        for node in tries
        for part in node.body
        for line in range(part.lineno, (part.end_lineno or 0) + 1)
    }


def _imports(tree: ast.AST) -> Iterator[tuple[int, str, str]]:
    """Line, module and name ("" where the module itself is imported) of each absolute import."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, name.name, "") for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from ((node.lineno, node.module, name.name.replace("*", "")) for name in node.names)


def _resolve(name: str) -> Any | None:
    """The object of a library in ``LIBRARIES`` called ``name``; ``None`` when there is none."""
    parts = name.split(".")
    if parts[0] not in LIBRARIES:
        return None
    for end in range(len(parts), 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:end]))
        except ImportError:
            continue
        for part in parts[end:]:
            try:
                found = getattr(found, part)
            except (
                AttributeError,
                ImportError,
                RuntimeError,
            ):  # transformers imports lazily, and may fail here
                return None
        return found
    return None


def _unknown_arguments(call: _Call) -> Iterator[str]:
    given = [k.arg for k in call.node.keywords if k.arg]
    if not given or (target := _resolve(call.target)) is None:
        return
    try:
        parameters = inspect.signature(target).parameters
    except (TypeError, ValueError):  # written in C
        return
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
        return
    accepted = {n for n, p in parameters.items() if p.kind is not inspect.Parameter.POSITIONAL_ONLY}
    renames = RENAMES.get(call.target, {})
    for name in given:
        if name in accepted:
            continue
        hint = ""
        if name in renames:
            hint = f"; it is now {renames[name]}" if renames[name] else "; it was removed"
        yield f"line {call.node.lineno}: {call.target.split('.')[-1]} has no argument {name}{hint}"


# Mending


def fix_renames(source: str) -> tuple[str, list[str]]:
    """``source`` with the arguments of ``RENAMES`` mended, and a line for each change.

    Comments and layout stay. Raises SyntaxError when ``source`` is not Python.
    """
    tree = ast.parse(source)
    aliases = _aliases(tree)
    data = source.encode()
    starts = [0]
    for line in data.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    edits: list[_Edit] = []
    for node in _calls(tree):
        renames = RENAMES.get(_full_name(node.func, aliases) or "", {})
        for keyword in node.keywords:
            if keyword.arg is not None and keyword.arg in renames:
                begin = starts[keyword.lineno - 1] + keyword.col_offset
                end = starts[(keyword.end_lineno or 1) - 1] + (keyword.end_col_offset or 0)
                edits.append(_mend(node, keyword, keyword.arg, renames[keyword.arg], begin, end))
    edits.sort(key=lambda edit: edit.begin)
    for edit in reversed(edits):
        if any(other.begin < edit.begin < other.end for other in edits):
            continue  # inside an argument that goes or changes as a whole
        begin, end = (edit.begin, edit.end) if edit.text else _with_comma(data, edit.begin, edit.end)
        data = data[:begin] + edit.text + data[end:]
    return data.decode(), [edit.words for edit in edits]


def _mend(node: ast.Call, keyword: ast.keyword, old: str, new: str | None, begin: int, end: int) -> _Edit:
    if old in _NEW_VALUES and not (isinstance(keyword.value, ast.Constant) and keyword.value.value):
        new = None
    if new is None or any(k.arg == new for k in node.keywords):
        return _Edit(begin, end, b"", f"line {keyword.lineno}: {old} is removed")
    words = f"line {keyword.lineno}: {old} is now {new}"
    if old in _NEW_VALUES:
        return _Edit(begin, end, f"{new}={_NEW_VALUES[old]}".encode(), words)
    return _Edit(begin, begin + len(old), new.encode(), words)


def _with_comma(data: bytes, begin: int, end: int) -> tuple[int, int]:
    """The span of an argument that goes, widened by its comma, or by its line where it stands there alone."""
    after = re.compile(rb"(?:\s|\\\r?\n|#[^\r\n]*)*,[ \t]*").match(data, end)
    stop = after.end() if after else end
    line = re.compile(rb"[ \t]*(#[^\r\n]*)?(\r\n|\n|\r)").match(data, stop)
    first = max(data.rfind(b"\n", 0, begin), data.rfind(b"\r", 0, begin)) + 1
    if line and not data[first:begin].strip():
        return first, line.end()
    before = None if after else re.compile(rb",[ \t]*\Z").search(data[:begin])
    return (before.start() if before else begin), stop
