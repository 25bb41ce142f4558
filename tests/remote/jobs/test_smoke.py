"""The smoke test on the real recipe with a tiny encoder, and on recipes that were broken on purpose."""

from __future__ import annotations

import io
import json
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from graph.remedies import remedy
from remote.jobs import calibration, smoke
from remote.jobs.rows import Row
from remote.protocol import Emitter, FailureKind, JobError, JobEvent, JobEventType, decode, sha256_file
from tests.remote.recipes.tiny import LABELS, labelled, lay_out, write_rows

MAIN = 'if __name__ == "__main__":'
LOSS = """
from finetune import tuning
class _Broken(tuning.Objective):
    def __call__(self, *args):
        loss = super().__call__(*args)
        {}
tuning.Objective = _Broken
"""
PACK = """
_pack = Packer.pack
def _broken(self, *args):
    _pack(self, *args)
    model = Path(self.job.config.output_dir) / "model"
    {}
Packer.pack = _broken
"""


SCRIPT_ERROR = FailureKind.SCRIPT_ERROR
HEAD = (
    "from safetensors.torch import load_file; name = model / 'head.safetensors'; head = load_file(name); "
    "save_file({{k: {} for k, v in head.items()}}, name)"
)
# Name -> what is broken in the script, the failure's kind, and how its detail starts.
FAULTS: dict[str, tuple[str, FailureKind, str]] = {
    "nan loss": (LOSS.format("return loss * float('nan')"), FailureKind.NAN_LOSS, "run: "),
    "flat loss": (
        LOSS.format("return loss * 0 + len(args[1])"),
        FailureKind.DIVERGED,
        "overfits_batch: the loss went from ",
    ),
    "no memory": (LOSS.format("raise MemoryError"), FailureKind.OUT_OF_MEMORY, "run: "),
    "says that it failed": (LOSS.format("raise KeyError('lost')"), SCRIPT_ERROR, "run: "),
    "raises": (
        "main = lambda _: {}['gone']",
        SCRIPT_ERROR,
        "run: The program 'train.py' stopped with KeyError",
    ),
    "exit code": ("main = lambda _: 3", SCRIPT_ERROR, "run: train.py ended with 3."),
    "silent": ("main = lambda _: 0", SCRIPT_ERROR, "run: train.py ended without a result event."),
    "pickle": (
        PACK.format("(model / 'x.pkl').write_bytes(b'x')"),
        SCRIPT_ERROR,
        "files: the script wrote x.pkl",
    ),
    "no settings": (
        PACK.format("(model / 'inference.json').unlink()"),
        SCRIPT_ERROR,
        "files: the script did not write model/inference.json.",
    ),
    "too many classes": (PACK.format(HEAD.format("torch.cat([v, v[:1]])")), SCRIPT_ERROR, "shapes: "),
    "another head": (PACK.format(HEAD.format("-v")), SCRIPT_ERROR, "save_reload: row "),
    "lost weight": (
        PACK.format(
            "from safetensors.torch import load_file; w = load_file(model / 'model.safetensors'); "
            "del w['encoder.layer.1.output.dense.weight']; save_file(w, model / 'model.safetensors')"
        ),
        SCRIPT_ERROR,
        "save_reload: ",
    ),
}


class Folder:
    """A job's folder with the recipe, tiny inputs and the smoke test's config."""

    def __init__(self, path: Path, base: Path, family: str = "multiclass") -> None:
        self.path, self.said = path, io.StringIO()
        (path / "in").mkdir(parents=True)
        (path / "out").mkdir()
        write_rows(path / "in/train.jsonl", labelled(family, 120, seed=1))
        write_rows(path / "in/validation.jsonl", labelled(family, 40, seed=2))
        (path / "in/base_model").symlink_to(base)
        lay_out(path / "in")
        self.settings: dict[str, Any] = {
            "family": family,
            "labels": LABELS[family],
            "train_file": "in/train.jsonl",
            "validation_file": "in/validation.jsonl",
            "base_model": "in/base_model",
            "output_dir": "out",
            "refit": True,
            "epochs": 3,
            "max_steps": None,
            "batch_size": 16,
            "gradient_accumulation": 1,
            "label_smoothing": 0.1,
            "learning_rate": 2e-3,
            "max_length": 32,
            "patience": 2,
            "ensemble": "auto",
            "class_weights": "auto",
            "time_budget_s": 1.0,
            "resume_from": None,
        }

    def patch(self, code: str) -> None:
        """Put ``code`` in front of the script's main block."""
        script = self.path / "in/train.py"
        source = script.read_text(encoding="utf-8")
        assert source.count(MAIN) == 1
        script.write_text(source.replace(MAIN, f"{code}\n{MAIN}"), encoding="utf-8")

    def run(self, **config: Any) -> dict[str, Any]:
        whole = {
            "script": "in/train.py",
            "family": self.settings["family"],
            "labels": self.settings["labels"],
            "rows": 32,
            "config": self.settings,
        }
        with chdir(self.path):
            return dict(smoke.run(whole | config, Emitter("smoke", self.said)))

    def failure(self) -> tuple[FailureKind, str]:
        with pytest.raises(JobError) as caught:
            self.run()
        assert "\n" not in caught.value.detail
        assert not (self.path / "out/smoke").exists()
        return caught.value.kind, caught.value.detail

    @property
    def events(self) -> list[JobEvent]:
        lines = self.said.getvalue().splitlines()
        events = [event for line in lines if (event := decode(line)) is not None]
        assert len(events) == len(lines), "nothing but events is said"
        return events


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Threads that wait for each other on a busy machine cost more than such small sums take."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def folder(tmp_path: Path, base: Path) -> Folder:
    return Folder(tmp_path / "job", base)


@pytest.mark.parametrize("family", sorted(LABELS))
def test_the_recipe_passes_and_its_speeds_are_measured(tmp_path: Path, base: Path, family: str) -> None:
    folder = Folder(tmp_path / "job", base, family)
    result = folder.run()
    assert [check["name"] for check in result["checks"]] == [
        "syntax", "names", "forbidden_calls", "imports", "arguments", "columns", "labels", "run",
        "finite_loss", "files", "shapes", "save_reload", "overfits_batch", "speed",
    ]  # fmt: skip
    assert all(check["ok"] for check in result["checks"])
    assert set(result["rows_per_s"]) == {"embed", "train_full", "train_frozen_half"}
    assert all(rate > 0 for rate in result["rows_per_s"].values())
    for name, seconds in result["seconds_per_step"].items():
        assert seconds == pytest.approx(16 / result["rows_per_s"][name], rel=0.05)
    assert (result["hidden_layers"], result["max_length"]) == (2, 32)
    assert result["precision"] in ("fp32", "bf16")
    assert 0 < result["parameters_m"] < 1
    assert result["startup_s"] >= 0
    assert result["peak_memory_mb"] > 50
    json.dumps(result, allow_nan=False)
    # Only the smoke test's own progress is said, and nothing is left behind.
    progress = [event.fields for event in folder.events]
    assert [(p["step"], p["total"]) for p in progress] == [(i + 1, 14) for i in range(14)]
    assert list((folder.path / "out").iterdir()) == []


def test_a_script_of_others_is_judged_by_what_it_says(folder: Folder) -> None:
    folder.patch("# changed by a person")
    result = folder.run()
    assert [check["name"] for check in result["checks"]][-2:] == ["overfits_batch", "speed"]
    assert result["rows_per_s"]["train_full"] > 0
    assert set(result["rows_per_s"]) == {"train_full"}


def test_parts_of_others_are_judged_so_too(folder: Folder) -> None:
    part = folder.path / "in/finetune/tuning.py"
    part.write_text(part.read_text(encoding="utf-8") + "\n# changed by a person\n", encoding="utf-8")
    assert set(folder.run()["rows_per_s"]) == {"train_full"}


def test_this_process_is_left_as_it_was(folder: Folder) -> None:
    folder.patch("signal.signal(signal.SIGTERM, signal.SIG_IGN)\nsys.path.insert(0, 'x')")
    folder.settings["threads"] = 2
    before = (signal.getsignal(signal.SIGTERM), list(sys.path), list(sys.argv), sys.stdout)
    parts = {name: module for name, module in sys.modules.items() if name.split(".")[0] == "finetune"}
    folder.run()
    assert (signal.getsignal(signal.SIGTERM), sys.path, sys.argv, sys.stdout) == before
    assert {n: m for n, m in sys.modules.items() if n.split(".")[0] == "finetune"} == parts
    assert torch.get_num_threads() == 1


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_get_a_kind_and_the_check_that_found_them(folder: Folder, fault: str) -> None:
    code, kind, words = FAULTS[fault]
    folder.patch(code)
    found, detail = folder.failure()
    assert found is kind, detail
    assert detail.startswith(words)


def test_an_absurd_rate_is_found_before_training_and_mended_by_the_first_remedy(folder: Folder) -> None:
    folder.settings |= {"learning_rate": 1e30, "head_learning_rate": 1e30}
    kind, _ = folder.failure()
    assert kind in (FailureKind.NAN_LOSS, FailureKind.DIVERGED)
    mend = remedy(kind, folder.settings, [], {})
    assert mend is not None
    folder.settings |= mend.changes
    assert all(check["ok"] for check in folder.run()["checks"])


def test_an_unknown_setting_is_named(folder: Folder) -> None:
    folder.settings["learning_rat"] = 1
    kind, detail = folder.failure()
    assert kind is FailureKind.SCRIPT_ERROR
    assert detail.startswith("run: ")
    assert "learning_rat" in detail


def test_static_checks_come_before_the_script_runs(folder: Folder) -> None:
    folder.patch("Path('out/ran').touch()\nprint(undefined_name)")
    kind, detail = folder.failure()
    assert kind is FailureKind.SCRIPT_ERROR
    assert detail.startswith("names: ")
    assert not (folder.path / "out/ran").exists()


def test_static_checks_read_the_parts_too(folder: Folder) -> None:
    part = folder.path / "in/finetune/tuning.py"
    part.write_text(part.read_text(encoding="utf-8") + "\nprint(undefined_name)\n", encoding="utf-8")
    kind, detail = folder.failure()
    assert kind is FailureKind.SCRIPT_ERROR
    assert detail.startswith("names: finetune/tuning.py line ")


def test_renamed_arguments_leave_a_mended_copy(folder: Folder) -> None:
    folder.patch("from sklearn.preprocessing import OneHotEncoder\nOneHotEncoder(sparse=False)  # kept")
    kind, detail = folder.failure()
    assert kind is FailureKind.SCRIPT_ERROR
    assert detail.startswith("arguments: ")
    mended = folder.path / "out/mended/train.py"
    assert "OneHotEncoder(sparse_output=False)  # kept" in mended.read_text(encoding="utf-8")
    (artifact,) = [event for event in folder.events if event.type is JobEventType.ARTIFACT]
    assert artifact.fields == {"path": "mended/train.py", "sha256": sha256_file(mended)}
    shutil.copy(mended, folder.path / "in/train.py")
    assert all(check["ok"] for check in folder.run()["checks"])


@pytest.mark.parametrize(
    ("family", "label"),
    [("multiclass", "nosuch"), ("multilabel", ["card", "nosuch"]), ("regression", "many")],
)
def test_a_label_that_the_config_does_not_know_is_a_data_error(
    tmp_path: Path, base: Path, family: str, label: Any
) -> None:
    folder = Folder(tmp_path / "job", base, family)
    rows = labelled(family, 40, seed=2)
    rows[7]["label"] = label
    write_rows(folder.path / "in/validation.jsonl", rows)
    kind, detail = folder.failure()
    assert kind is FailureKind.DATA_ERROR
    assert detail.startswith(f"labels: row {rows[7]['row_id']} ")


def test_an_empty_split_is_a_data_error(folder: Folder) -> None:
    (folder.path / "in/validation.jsonl").write_text("")
    assert folder.failure() == (FailureKind.DATA_ERROR, "columns: the validation split has no rows.")


def test_the_model_is_judged_by_the_scripts_own_inference(tmp_path: Path) -> None:
    """Among its parts, beside a script of earlier versions, or the recipe's."""
    assert smoke._inference(tmp_path).__name__ == "remote.recipes.finetune.inference"
    (tmp_path / "inference.py").write_text("whose = 'beside'")
    assert smoke._inference(tmp_path).whose == "beside"
    (tmp_path / "finetune").mkdir()
    (tmp_path / "finetune" / "inference.py").write_text("whose = 'part'")
    assert smoke._inference(tmp_path).whose == "part"


# Sampling and timing, without a model

rows_of_classes = st.lists(st.tuples(st.sampled_from("abcde"), st.integers(0, 30)), min_size=1, max_size=60)


@given(rows_of_classes, st.integers(1, 40), st.integers(0, 3))
def test_a_sample_holds_every_class_before_any_twice(
    labels: list[tuple[str, int]], count: int, seed: int
) -> None:
    rows = [Row(i, f"text {number}", label) for i, (label, number) in enumerate(labels)]
    chosen = smoke.sample(rows, count, seed)
    assert chosen == smoke.sample(rows, count, seed)
    assert len({row.text for row in chosen}) == len(chosen) <= count
    assert {row.row_id for row in chosen} <= {row.row_id for row in rows}
    assert len(chosen) == min(count, len({row.text for row in rows}))
    shares = [sum(row.label == label for row in chosen) for label in {row.label for row in chosen}]
    assert max(shares) == 1 or len(shares) == len({str(row.label) for row in _first_of_text(rows, seed)})


def _first_of_text(rows: list[Row], seed: int) -> list[Row]:
    """What a sample may choose from: of equal texts, one."""
    return smoke.sample(rows, len(rows), seed)


def test_times_are_the_faster_of_two_on_three_lengths_after_a_warm_up() -> None:
    rows = [[0] * n for n in range(1, 61)]
    asked: list[int] = []
    times = iter([99.0, 1.0, 5.0, 3.0, 2.0, 2.0, 6.0])

    def timed(batch: calibration.Batch) -> float:
        asked.append(len(batch[0]))
        return next(times)

    seconds = calibration.seconds_a_row(rows, 6, timed, clock=lambda: 0.0)
    assert seconds == pytest.approx((1.0 + 2.0 + 3.0) / 18)
    assert asked[0] == 1  # the shortest rows warm up
    assert asked[1:4] == asked[4:7] == [8, 28, 48]  # around a sixth, a half and five sixths of 60 rows


def test_slow_steps_are_measured_once() -> None:
    clock = iter([0.0, calibration.AGAIN_BELOW_S])
    calls: list[int] = []

    def timed(batch: calibration.Batch) -> float:
        calls.append(len(batch))
        return 1.0

    assert calibration.seconds_a_row([[0]] * 4, 32, timed, clock=lambda: next(clock)) == pytest.approx(1 / 4)
    assert calls == [4] * 4
