"""The main job as a stranger does it, and what the files that it leaves are worth."""

from __future__ import annotations

import csv
import json
import random
import signal
from pathlib import Path

import pytest

from tests.e2e.conftest import Intern, events

SENTENCE = (
    "Train a small model that tells positive from negative product reviews. "
    "I care about macro-F1. Don't spend any money."
)
FILES = (
    "run.json events.jsonl audit.json audit.md train.py finetune/settings.py config.json train.log leaderboard.json "
    "metrics.json predictions.csv stress.json report.md training.json schedule.json "
    "plots/confusion_matrix.png plots/class_balance.png plots/learning_curve.png plots/reliability.png "
    "model/model.safetensors model/config.json model/README.md model/inference.py space/app.py "
    "space/requirements.txt space/README.md data/train.jsonl data/validation.jsonl data/test.jsonl"
).split()
PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".joblib", ".ckpt", ".npy")
GERMAN = {
    "Rechnung": "Die Rechnung ist falsch; bitte den Betrag von {} Euro für Müller prüfen und zurückzahlen",
    "Lieferung": "Das Paket Nummer {} kam nie an, der Bote hätte längst an der Tür klingeln müssen",
    "Passwort": "Ich kann mich nicht anmelden, das Kennwort für Konto {} wird ständig zurückgewiesen",
}


def check_files(folder: Path) -> None:
    missing = [name for name in FILES if not (folder / name).is_file()]
    assert not missing
    assert not [p for p in folder.rglob("*") if p.suffix in PICKLES]
    manifest = json.loads((folder / "run.json").read_text())
    assert (manifest["status"], manifest["finished"]) == ("done", True)
    check_metrics(folder)


def check_metrics(folder: Path) -> None:
    """A few lines of scikit-learn over predictions.csv agree with metrics.json to the last digit."""
    from sklearn.metrics import accuracy_score, f1_score

    with (folder / "predictions.csv").open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    metrics = json.loads((folder / "metrics.json").read_text())
    truth, said = [r["label"] for r in rows], [r["prediction"] for r in rows]
    f1 = f1_score(truth, said, labels=metrics["labels"], average="macro", zero_division=0)
    assert metrics["accuracy"]["value"] == accuracy_score(truth, said)
    assert metrics["macro_f1"]["value"] == f1
    assert len({r["split_sha256"] for r in rows}) == 1
    test = [json.loads(line) for line in (folder / "data/test.jsonl").read_text("utf-8").splitlines()]
    assert [str(r["row_id"]) for r in test] == [r["row_id"] for r in rows]
    assert [r["label"] for r in test] == truth


def predictions(folder: Path) -> list[str]:
    return (folder / "predictions.csv").read_text().splitlines()


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory, catalogue: Path) -> Intern:
    """The demo's run, made once."""
    home = tmp_path_factory.mktemp("demo")
    (home / "catalogue").symlink_to(catalogue, target_is_directory=True)
    intern = Intern(home)
    done = intern("run", SENTENCE, "--yes", "--json")
    assert done.returncode == 0, done.stderr
    assert events(done.stdout)[-1]["type"] == "ended"
    return intern


def test_the_demo_leaves_every_file_and_honest_metrics(demo: Intern) -> None:
    check_files(demo.run_dir())
    metrics = json.loads((demo.run_dir() / "metrics.json").read_text())
    assert metrics["macro_f1"]["value"] > 0.75
    rows = json.loads((demo.run_dir() / "leaderboard.json").read_text())["leaderboard"]
    board = {row["name"]: row["score"] for row in rows}
    assert {"majority", "tfidf_lr", "embedding_lr", "model"} <= board.keys()
    assert all(s["low"] <= s["value"] <= s["high"] for name, s in board.items() if "low" in s)


def test_no_file_names_a_place_of_this_machine(demo: Intern) -> None:
    folder = demo.run_dir()
    for name in ("report.md", "model/README.md", "model/config.json", "space/README.md", "space/app.py"):
        assert str(demo.home) not in (folder / name).read_text("utf-8"), name


def test_the_model_answers_and_is_unsure_of_what_it_never_saw(demo: Intern) -> None:
    run_id = demo.run_dir().name
    done = demo("try", run_id, "This camera is wonderful, I love it.", "xqzt wvvk pprl zzgh")
    assert done.returncode == 0, done.stderr
    assert "positive" in done.stdout
    assert "unlike" in done.stdout.lower()


def test_the_model_can_be_used_without_this_project(demo: Intern) -> None:
    """``python inference.py`` of the packaged folder, as the card says."""
    import subprocess
    import sys

    done = subprocess.run(
        [sys.executable, "-I", "inference.py", "Terrible. It broke after a day."],
        cwd=demo.run_dir() / "model", capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "negative" in done.stdout


def test_reproduce_gives_the_same_test_predictions(demo: Intern) -> None:
    done = demo("reproduce", demo.run_dir().name)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "same" in done.stdout


def test_show_and_runs_tell_of_it(demo: Intern) -> None:
    run_id = demo.run_dir().name
    assert run_id in demo("runs").stdout
    assert "macro" in demo("show", run_id).stdout.lower()


def german_csv(path: Path, rows: int = 240) -> Path:
    """Semicolons, Latin-1, quoted newlines, decimal commas."""
    rng = random.Random(3)
    lines = ["Beschreibung;Betrag;Kategorie"]
    for i in range(rows):
        label = rng.choice(list(GERMAN))
        text = GERMAN[label].format(rng.randint(100, 999)) + rng.choice(["!", " – danke.", '\nGruß, "Jörg"'])
        quoted = text.replace('"', '""')
        lines.append(
            f'"{quoted}";{rng.random() * 100:.2f};{label}'.replace(".", ",", 1)
            if i % 2
            else f'"{quoted}";1,5;{label}'
        )
    path.write_bytes("\r\n".join(lines).replace("–", "-").encode("latin-1"))
    return path


def test_a_german_csv_of_ones_own(intern: Intern, tmp_path: Path) -> None:
    data, out = german_csv(tmp_path / "tickets.csv"), tmp_path / "out"
    done = intern(
        "run", "Sortiere unsere Tickets nach Kategorie.", "--data", str(data), "--yes", "--out", str(out)
    )
    assert done.returncode == 0, done.stdout + done.stderr
    check_files(out)
    metrics = json.loads((out / "metrics.json").read_text())
    assert sorted(metrics["labels"]) == sorted(GERMAN)
    assert "Jörg" in (out / "data/train.jsonl").read_text("utf-8")


def test_sigkill_in_training_and_resume_trains_once(intern: Intern, tmp_path: Path) -> None:
    kill_and_resume(intern, german_csv(tmp_path / "tickets.csv"), "job_submitted", random.Random(1))


@pytest.mark.slow  # five runs with a SIGKILL each
def test_sigkill_at_five_random_points_ends_in_the_same_predictions(tmp_path: Path, catalogue: Path) -> None:
    data, expected = german_csv(tmp_path / "tickets.csv"), None
    for seed in range(6):
        home = tmp_path / f"home{seed}"
        home.mkdir()
        (home / "catalogue").symlink_to(catalogue, target_is_directory=True)
        intern = Intern(home)
        if seed == 0:
            assert intern("run", "Sort by Kategorie.", "--data", str(data), "--yes").returncode == 0
        else:
            kill_and_resume(intern, data, None, random.Random(seed))
        expected = expected or predictions(intern.run_dir())
        assert predictions(intern.run_dir()) == expected


def kill_and_resume(intern: Intern, data: Path, at: str | None, rng: random.Random) -> None:
    """SIGKILL at the n-th event of a kind, or at a random event; then resume, and count the trainings."""
    process = intern.popen("run", "Sort by Kategorie.", "--data", str(data), "--yes", "--json")
    assert process.stdout is not None
    left, run_id = rng.randint(4, 45), ""
    for line in process.stdout:
        if not line.startswith("{"):
            continue  # people's text
        event = json.loads(line)
        left, run_id = left - 1, event["run_id"]
        if (event["type"] == at and event["stage"] == "launch") if at else left == 0:
            break
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    done = intern("resume", run_id)
    assert done.returncode == 0, done.stdout + done.stderr
    check_files(intern.run_dir())
    log = [json.loads(line) for line in (intern.run_dir() / "events.jsonl").read_text("utf-8").splitlines()]
    again = [e for e in log if e["type"] in ("job_failed", "recovered")]
    assert [e["type"] for e in log if e["stage"] == "launch"].count("job_submitted") == 1, again
    assert [e["type"] for e in log].count("trained") == 1
    assert len({e["seq"] for e in log}) == len(log)
