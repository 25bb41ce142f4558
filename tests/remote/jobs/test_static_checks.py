"""Static checks and renames, against the libraries that are really installed."""

from __future__ import annotations

import ast
import importlib.util
import inspect
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remote.jobs import static_checks
from remote.jobs.static_checks import Check, check_script, fix_renames

GOOD = '''
"""A script."""
from __future__ import annotations
import json
import re
import numpy as np
import torch
import torch.nn as nn
from sklearn.linear_model import LogisticRegression

PATTERN = re.compile("a+")

def main(count: int) -> None:
    model = nn.Linear(4, 2, bias=True)
    model.eval()
    weights = torch.load("w.pt", weights_only=True)
    head = LogisticRegression(C=1.0, max_iter=100).fit(np.zeros((2, 2)), [0, 1])
    print(json.dumps({"n": count}), weights, head, [i for i in range(count)], __file__)

if __name__ == "__main__":
    main(3)
'''


def checks(tmp_path: Path, source: str) -> dict[str, Check]:
    path = tmp_path / "train.py"
    path.write_text(source, encoding="utf-8")
    return {check.name: check for check in check_script(path)}


def failed(tmp_path: Path, source: str) -> dict[str, str]:
    return {name: check.detail for name, check in checks(tmp_path, source).items() if not check.ok}


def test_a_good_script_passes_every_check(tmp_path: Path) -> None:
    found = checks(tmp_path, GOOD)
    assert list(found) == ["syntax", "names", "forbidden_calls", "imports", "arguments"]
    assert {name: check.detail for name, check in found.items() if not check.ok} == {}


def test_the_recipes_own_scripts_pass() -> None:
    recipes = Path(inspect.getfile(static_checks)).parents[1] / "recipes"
    for name in ("finetune/inference.py", "text_classification.py"):
        assert [check for check in check_script(recipes / name) if not check.ok] == [], name


@pytest.mark.parametrize(
    ("part", "name", "words"),
    [
        ("print(lenght)", "names", "parts/loop.py line 1: "),
        ("import pickle", "forbidden_calls", "parts/loop.py line 1: pickle"),
        ("import torch\ntorch.nn.Linear(1, 1, biass=True)", "arguments", "parts/loop.py line 2: Linear"),
        ("def f(:", "syntax", "parts/loop.py line 1: "),
    ],
)
def test_a_scripts_parts_are_read_like_itself(tmp_path: Path, part: str, name: str, words: str) -> None:
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "loop.py").write_text(part)
    (tmp_path / "parts" / "parallel.py").write_text("import subprocess\n")
    found = failed(tmp_path, "from parts.loop import f\nprint(f)\n")
    assert list(found) == [name]
    assert found[name].startswith(words)
    assert failed(tmp_path, "print('it has no parts')\n") == {}


@pytest.mark.parametrize("source", ["def f(:\n  pass", "x = 1\n\x00", "print 'old'", "   x = 1"])
def test_what_is_not_python_fails_the_first_check_only(tmp_path: Path, source: str) -> None:
    assert list(failed(tmp_path, source)) == ["syntax"]
    assert len(checks(tmp_path, source)) == 1


def test_bytes_that_are_not_text_and_a_missing_file_fail_in_words(tmp_path: Path) -> None:
    path = tmp_path / "train.py"
    path.write_bytes(b"x = '\xff\xfe'")
    assert "cannot be read as Python" in check_script(path)[0].detail
    assert "cannot be read as Python" in check_script(tmp_path / "none.py")[0].detail


@pytest.mark.parametrize("ruff", [True, False], ids=["ruff", "symtable"])
@pytest.mark.parametrize(
    ("source", "name", "line"),
    [
        ("import os\nprint(lenght)\n", "lenght", 2),
        ("def f():\n    return tokenizer(1)\n", "tokenizer", 2),
        ("def f(x):\n    def g():\n        return x + y\n    return g\n", "y", 3),
        ("class A:\n    def f(self):\n        return [z for _ in self.a]\n", "z", 3),
    ],
)
def test_undefined_names_are_found_with_and_without_ruff(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ruff: bool, source: str, name: str, line: int
) -> None:
    if ruff:
        pytest.importorskip("ruff")
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda n: real(n) if ruff or n != "ruff" else None)
    words = failed(tmp_path, source)["names"]
    assert ";" not in words
    assert name in words
    assert words.startswith(f"line {line}:")


@pytest.mark.parametrize(
    "source",
    [
        GOOD,
        "from os.path import *\nprint(join('a', 'b'))\n",
        "def f():\n    global n\n    n = 1\ndef g():\n    return n\n",
        "class A:\n    x = 1\n    def f(self):\n        return super().__init__(), __class__\n",
        "try:\n    import torch\nexcept ImportError as e:\n    print(e)\n",
        "lambda a, *b, c=1, **d: (a, b, c, d)\n",
        "if (n := 3) > 2:\n    print(n)\nwith open('f') as g:\n    print(g)\nfor i in [1]:\n    print(i)\n",
        "def f[T](x: T) -> T:\n    return x\n" if hasattr(ast, "TypeVar") else "x: int = 1\nprint(x)\n",
    ],
)
def test_symtable_finds_nothing_in_good_code(source: str) -> None:
    assert static_checks._undefined(source, "train.py") == []


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("eval('1')", "eval"),
        ("exec('x = 1')", "exec"),
        ("__import__('os')", "__import__"),
        ("import os\nos.system('ls')", "os.system"),
        ("from os import system as s\ns('ls')", "os.system"),
        ("import os as o\no.popen('ls')", "os.popen"),
        ("import subprocess", "subprocess"),
        ("from subprocess import run", "subprocess"),
        ("import socket", "socket"),
        ("import requests", "requests"),
        ("import urllib.request", "urllib.request"),
        ("import pickle", "pickle"),
        ("import joblib", "joblib"),
        ("import torch\ntorch.load('m.pt')", "weights_only"),
        ("import torch\ntorch.load('m.pt', weights_only=False)", "weights_only"),
        ("import torch\ntorch.save({}, 'm.pt')", "safetensors"),
        ("import numpy as np\nnp.load('x.npy', allow_pickle=True)", "allow_pickle"),
        ("import pandas as pd\npd.DataFrame().to_pickle('x')", "to_pickle"),
        (
            "from transformers import AutoModel\nAutoModel.from_pretrained('x', trust_remote_code=True)",
            "trust_remote",
        ),
    ],
)
def test_forbidden_calls_are_reported(tmp_path: Path, line: str, word: str) -> None:
    assert word in failed(tmp_path, line + "\n")["forbidden_calls"]


@pytest.mark.parametrize(
    "source",
    [
        "import torch\nm = torch.nn.Linear(1, 1)\nm.eval()\n",
        "import re\nre.compile('a')\n",
        "import torch\nm = torch.compile(torch.nn.Linear(1, 1))\n",
        "import numpy as np\nnp.load('x.npy', allow_pickle=False)\n",
        "def evaluate(eval_rows):\n    return eval_rows\n",
    ],
)
def test_lookalikes_are_allowed(tmp_path: Path, source: str) -> None:
    assert failed(tmp_path, source) == {}


def test_names_that_the_installed_libraries_do_not_have(tmp_path: Path) -> None:
    found = failed(
        tmp_path, "from transformers import AdamW\nfrom sklearn.metrics import f1_score\nimport nosuchlib\n"
    )
    assert found == {
        "imports": "line 1: the installed transformers has no AdamW; line 3: nosuchlib is not installed"
    }


def test_a_module_beside_the_script_and_an_optional_import_are_fine(tmp_path: Path) -> None:
    (tmp_path / "inference.py").write_text("raise SystemExit('it must not be run')")
    source = (
        "from inference import Model\ntry:\n    import nosuchlib\nexcept ImportError:\n    nosuchlib = None\n"
    )
    assert failed(tmp_path, source + "print(Model, nosuchlib)\n") == {}


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("import torch.nn as nn\nnn.Linear(1, 1, biass=True)", "line 2: Linear has no argument biass"),
        ("import torch\ntorch.optim.AdamW([], lrr=1)", "AdamW has no argument lrr"),
        ("from torch import nn\nnn.Dropout(prob=0.1)", "Dropout has no argument prob"),
        (
            "from sklearn.preprocessing import OneHotEncoder as Hot\nHot(sparse=False)",
            "OneHotEncoder has no argument sparse; it is now sparse_output",
        ),
        (
            "import sklearn.linear_model as lm\nlm.LogisticRegression(multi_class='auto')",
            "LogisticRegression has no argument multi_class; it was removed",
        ),
    ],
)
def test_unknown_keyword_arguments_are_reported_with_their_new_name(
    tmp_path: Path, source: str, words: str
) -> None:
    assert words in failed(tmp_path, source + "\n")["arguments"]


def test_arguments_that_cannot_be_checked_are_left_alone(tmp_path: Path) -> None:
    source = (
        "import numpy as np\nnp.array([1], dtype=float)\ndef f(**k): ...\nf(anything=1)\n{}.get(2, y=1)\n"
    )
    assert failed(tmp_path, source) == {}


OLD = """
from transformers import Trainer, TrainingArguments

args = TrainingArguments(
    output_dir="out",  # where it goes
    overwrite_output_dir=True,  # goes with its comment
    evaluation_strategy="epoch",  # stays: à chaque époque
    group_by_length=True,
    warmup_ratio=0.1, no_cuda=True, logging_dir=("logs"),
    save_safetensors=False
)
trainer = Trainer(model=None, args=args, tokenizer=make("ü", tokenizer=1))  # tokenizer=
"""
NEW = """
from transformers import Trainer, TrainingArguments

args = TrainingArguments(
    output_dir="out",  # where it goes
    eval_strategy="epoch",  # stays: à chaque époque
    train_sampling_strategy="group_by_length",
    warmup_steps=0.1, use_cpu=True, 
)
trainer = Trainer(model=None, args=args, processing_class=make("ü", tokenizer=1))  # tokenizer=
"""  # noqa: W291 - the layout is the script's


def test_renames_keep_comments_and_layout() -> None:
    mended, changes = fix_renames(OLD)
    assert mended == NEW
    assert changes == [
        "line 6: overwrite_output_dir is removed",
        "line 7: evaluation_strategy is now eval_strategy",
        "line 8: group_by_length is now train_sampling_strategy",
        "line 9: warmup_ratio is now warmup_steps",
        "line 9: no_cuda is now use_cpu",
        "line 9: logging_dir is removed",
        "line 10: save_safetensors is removed",
        "line 12: tokenizer is now processing_class",
    ]
    assert fix_renames(mended) == (mended, [])


@pytest.mark.slow
def test_every_rename_names_an_argument_of_the_installed_class(tmp_path: Path) -> None:
    """Slow: importing Trainer takes seconds."""
    for target, renames in static_checks.RENAMES.items():
        found = inspect.signature(static_checks._resolve(target)).parameters  # type: ignore[arg-type]
        for old, new in renames.items():
            assert old not in found, f"{target}({old}) is not old"
            assert new is None or new in found, f"{target}({new}) does not exist"
    assert set(failed(tmp_path, OLD)) >= {"arguments"}
    assert "arguments" not in failed(tmp_path, NEW)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('A(logging_dir="x")', "A()"),
        ('A(logging_dir="x",)', "A()"),
        ('A("out", logging_dir="x")', 'A("out")'),
        ('A(logging_dir="x", seed=1)', "A(seed=1)"),
        ('A(logging_dir="x", use_ipex=True)', "A()"),
        ("A(no_cuda=True, use_cpu=False)", "A(use_cpu=False)"),
        ("A(group_by_length=False, seed=1)", "A(seed=1)"),
        ("A(\n    seed=1,  # one\n    use_ipex=True\n)", "A(\n    seed=1,  # one\n)"),
        ("A(\r\n    seed=1,\r\n    use_ipex=True,\r\n)", "A(\r\n    seed=1,\r\n)"),
        ("A(logging_dir=A(no_cuda=True), seed=1)", "A(seed=1)"),
        ("A(seed=1, warmup_ratio = 0.1)", "A(seed=1, warmup_steps = 0.1)"),
        ("B(logging_dir=1)", "B(logging_dir=1)"),
        ("A(**{'no_cuda': True})", "A(**{'no_cuda': True})"),
    ],
)
def test_arguments_go_with_their_comma(old: str, new: str) -> None:
    head = "from transformers import TrainingArguments as A\n"
    assert fix_renames(head + old + "\n")[0] == head + new + "\n"


renamed = st.sampled_from(sorted(static_checks.RENAMES["transformers.TrainingArguments"]))
gaps = st.sampled_from([", ", ",", ",\n    ", ",  # é, (\n    ", "\n    ,"])
ends = st.sampled_from(["", ",", "\n", ",\n", "  # end\n", ",  # end\n"])


@given(st.lists(st.tuples(st.one_of(renamed, st.just("seed")), gaps), unique_by=lambda x: x[0]), ends)
def test_a_mended_call_is_python_and_keeps_its_other_arguments(
    parts: list[tuple[str, str]], end: str
) -> None:
    inside = "".join(f'{name}="v{i}"{gap}' for i, (name, gap) in enumerate(parts))
    source = f'import transformers as t\nt.TrainingArguments("out", {inside}save_steps=1{end})\n'
    mended, changes = fix_renames(source)
    call = ast.parse(mended).body[1]
    assert isinstance(call, ast.Expr)
    assert isinstance(call.value, ast.Call)
    kept = [k.arg for k in call.value.keywords]
    table = static_checks.RENAMES["transformers.TrainingArguments"]
    assert kept == [n for name, _ in parts if (n := table.get(name, name))] + ["save_steps"]
    assert len(changes) == sum(name in table for name, _ in parts)
