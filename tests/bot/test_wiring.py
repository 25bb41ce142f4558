"""What is read from this installation's own runs when everything is put together."""

from __future__ import annotations

import json
from pathlib import Path

from bot.wiring import corrections
from remote import prices, speeds
from remote.sandbox import machine


def test_finished_runs_correct_the_speeds_and_broken_ones_do_not_matter(tmp_path: Path) -> None:
    hardware = "T4 (16 GB), 2 CPU cores, 8 GB"
    speed = prices.relative_speed(prices.load("modal").gpus[0], 1, 2, machine.cpus())
    told = {
        "hardware": hardware,
        "seconds": {"training_here": 1200.0, "training_actual": 1200.0 / speed / 0.5},
        "training": {"stopped": "epochs"},
    }
    for name, text in (("r1", json.dumps(told)), ("r2", "{"), ("r3", "[]"), ("r4", "")):
        folder = tmp_path / "runs" / name
        folder.mkdir(parents=True)
        (folder / "run.json").write_text(text, encoding="utf-8")
    assert speeds.read(told) is not None
    assert corrections(tmp_path) == {"T4": 0.5}
    assert corrections(tmp_path / "nothing") == {}
