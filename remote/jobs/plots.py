"""Plots of an evaluation, drawn to be read on a phone: 960 pixels wide, large type, colour-blind-safe
colours.

Up to ``ALL_NAMED`` classes the confusion matrix shows each count. Beyond that no cell could hold a number:
the matrix is coloured by the share of each true class, and a second panel names the pairs most often
confused. Figures are made without pyplot, so that nothing global is changed and no display is needed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from remote.jobs.audit_page import drawable
from remote.jobs.leaderboard import metric_name
from remote.jobs.scores import ECE_BINS, LOWER_IS_BETTER

ALL_NAMED = 12
PAIRS = 10
WIDTH_IN = 6.4
DPI = 150
BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#666666"  # Okabe-Ito
TYPE = 12
MARKERS = 40  # more points than this are drawn as a line only


@dataclass(frozen=True, slots=True)
class Confused:
    """Rows of class ``truth`` that were taken for ``prediction``; ``share`` of that class's rows."""

    truth: str
    prediction: str
    count: int
    share: float


def most_confused(matrix: NDArray[np.int64], labels: Sequence[str], most: int = PAIRS) -> list[Confused]:
    """The off-diagonal cells with the most rows, largest first; [truth, prediction] counts."""
    wrong = matrix.copy()
    np.fill_diagonal(wrong, 0)
    support = matrix.sum(axis=1)
    order = np.argsort(-wrong, axis=None, kind="stable")[:most]
    found = []
    for flat in order:
        i, j = divmod(int(flat), len(labels))
        if wrong[i, j]:
            found.append(Confused(labels[i], labels[j], int(wrong[i, j]), float(wrong[i, j] / support[i])))
    return found


def confusion_matrix(path: Path, matrix: NDArray[np.int64], labels: Sequence[str]) -> Path:
    draw = _every_cell if len(labels) <= ALL_NAMED else _many_classes
    return _save(draw(matrix, labels), path)


def _shares(matrix: NDArray[np.int64]) -> NDArray[np.float64]:
    return matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)


def _every_cell(matrix: NDArray[np.int64], labels: Sequence[str]) -> Figure:
    n = len(labels)
    figure = Figure(figsize=(WIDTH_IN, 5.6 if n <= 4 else 4.9), layout="constrained")
    axes = figure.subplots()
    shares = _shares(matrix)
    image = axes.imshow(shares, cmap="cividis", vmin=0, vmax=1, aspect="auto" if n > 4 else "equal")
    size = 20 if n <= 3 else 14 if n <= 6 else 12
    for i, j in zip(*np.nonzero(matrix), strict=True):
        share = f"\n{shares[i, j]:.0%}" if n <= 6 else ""
        colour = "black" if shares[i, j] > 0.55 else "white"
        axes.text(j, i, f"{matrix[i, j]}{share}", ha="center", va="center", color=colour, fontsize=size)
    names = [_name(label, 20) for label in labels]
    numbered = [f"{name}  {i}" for i, name in enumerate(names, start=1)]
    axes.set_xticks(range(n), names if n <= 3 else [str(i) for i in range(1, n + 1)], fontsize=TYPE)
    axes.set_yticks(range(n), names if n <= 3 else numbered, fontsize=TYPE if n <= 6 else 10)
    if n <= 3:
        axes.tick_params(axis="y", rotation=90)
        for tick in axes.get_yticklabels():
            tick.set_verticalalignment("center")
    axes.set_xlabel("prediction" if n <= 3 else "prediction (the numbers at the left)", fontsize=TYPE)
    axes.set_ylabel("truth", fontsize=TYPE)
    axes.set_title("Confusion matrix, rows of the test split", fontsize=13)
    figure.colorbar(image, ax=axes, shrink=0.7, label="share of the true class")
    return figure


def _many_classes(matrix: NDArray[np.int64], labels: Sequence[str]) -> Figure:
    pairs = most_confused(matrix, labels)
    height = 0.55 * max(len(pairs), 1) + 0.5
    figure = Figure(figsize=(WIDTH_IN, 6.2 + height), layout="constrained")
    top, bottom = figure.subplots(2, 1, height_ratios=[6.2, height])
    # Square root: a class that takes one row in twenty of another must be seen beside a full diagonal.
    image = top.imshow(_shares(matrix), cmap="cividis", norm=PowerNorm(0.5, 0, 1), interpolation="nearest")
    bar = figure.colorbar(
        image, ax=top, label="share of the true class", shrink=0.78, ticks=[0, 0.05, 0.2, 0.5, 1]
    )
    bar.ax.set_yticklabels(["0", "5 %", "20 %", "50 %", "100 %"])
    top.set_title(f"Confusion matrix of {len(labels)} classes", fontsize=13)
    top.set_xlabel("prediction (place in the list of labels)", fontsize=TYPE)
    top.set_ylabel("truth", fontsize=TYPE)
    bottom.set_axis_off()
    if not pairs:
        bottom.text(0.5, 0.5, "No class was taken for another.", ha="center", fontsize=TYPE)
        return figure
    bottom.set_title("Most often confused: truth → prediction, rows", fontsize=13)
    most = max(pair.count for pair in pairs)
    for place, pair in zip(range(len(pairs), 0, -1), pairs, strict=True):
        bottom.barh(place, pair.count, color=BLUE, height=0.34, align="center")
        words = f"{_name(pair.truth, 34)}  →  {_name(pair.prediction, 34)}"
        bottom.text(0, place + 0.22, words, va="bottom", fontsize=10, in_layout=False)
        bottom.text(pair.count, place, f" {pair.count} ({pair.share:.0%})", va="center", fontsize=11)
    bottom.set_xlim(0, most * 1.25)
    bottom.set_ylim(0.6, len(pairs) + 0.9)
    return figure


def _name(label: str, chars: int) -> str:
    """On one line, cut in its middle: long names often differ at their ends only."""
    line = " ".join(label.split())
    if len(line) > chars:
        line = f"{line[: (chars - 1) // 2 + 1]}…{line[-((chars - 1) // 2) :]}"
    return drawable(line).replace("$", r"\$")  # else matplotlib reads mathematics


def reliability(path: Path, correct: NDArray[Any], confidence: NDArray[np.float64], ece: float) -> Path:
    """How often the model is right, by how sure it says it is; below it, how many rows each bar has."""
    place = np.minimum((confidence * ECE_BINS).astype(int), ECE_BINS - 1)
    count = np.bincount(place, minlength=ECE_BINS)
    right = np.bincount(place, weights=correct.astype(float), minlength=ECE_BINS)
    said = np.bincount(place, weights=confidence, minlength=ECE_BINS)
    filled = count > 0
    figure = Figure(figsize=(WIDTH_IN, 6.2), layout="constrained")
    top, bottom = figure.subplots(2, 1, height_ratios=[4, 1], sharex=True)
    middle, width = (np.arange(ECE_BINS) + 0.5) / ECE_BINS, 0.94 / ECE_BINS
    share = np.divide(right, count, out=np.zeros(ECE_BINS), where=filled)
    mean = np.divide(said, count, out=np.zeros(ECE_BINS), where=filled)
    top.bar(middle[filled], share[filled], width=width, color=BLUE, label="share that is right")
    top.plot(mean[filled], mean[filled], "o", color=ORANGE, markersize=7, label="what it should be")
    top.plot([0, 1], [0, 1], "--", color=GREY, linewidth=1)
    top.set(xlim=(0, 1), ylim=(0, 1.02))
    top.set_ylabel("share that is right", fontsize=TYPE)
    top.set_title(f"Reliability: expected calibration error {ece:.3f}", fontsize=13)
    top.legend(loc="upper left", frameon=False, fontsize=11)
    bottom.bar(middle, count, width=width, color=GREY)
    bottom.set_ylabel("rows", fontsize=TYPE)
    bottom.set_xlabel("confidence of the model", fontsize=TYPE)
    return _save(_plain(figure), path)


def learning_curve(path: Path, history: Sequence[Mapping[str, float]], metric: str) -> Path:
    """Losses and the deciding metric by epoch; ``history`` as in ``training.json``."""
    epochs = [float(entry["epoch"]) for entry in history]
    if len(epochs) < 2:
        words = "No fine-tuning: a linear model on frozen\nembeddings was fitted in one step."
        return message(path, "Learning curve", words)
    figure = Figure(figsize=(WIDTH_IN, 6.2), layout="constrained")
    top, bottom = figure.subplots(2, 1, sharex=True)
    for key, colour, words in (
        ("train_loss", GREY, "training"),
        ("val_loss", BLUE, "validation"),
    ):
        points = [(e, float(h[key])) for e, h in zip(epochs, history, strict=True) if h.get(key) is not None]
        if points:
            style = "o-" if len(points) <= MARKERS else "-"
            top.plot(*zip(*points, strict=True), style, color=colour, label=words, linewidth=2)
    top.set_ylabel("loss", fontsize=TYPE)
    top.legend(frameon=False, fontsize=11)
    top.set_title("Learning curve", fontsize=13)
    scores = [float(entry.get(metric, float("nan"))) for entry in history]
    bottom.plot(epochs, scores, "o-" if len(epochs) <= MARKERS else "-", color=ORANGE, linewidth=2)
    if np.isfinite(scores).any():
        pick = np.nanargmin if metric in LOWER_IS_BETTER else np.nanargmax
        best = int(pick(scores))
        bottom.axvline(epochs[best], color=GREY, linestyle="--", linewidth=1)
        bottom.set_title(f"best {scores[best]:.3f} after epoch {epochs[best]:g}", fontsize=TYPE)
    bottom.set_ylabel(f"{metric_name(metric)}, validation", fontsize=TYPE)
    bottom.set_xlabel("epoch", fontsize=TYPE)
    bottom.xaxis.set_major_locator(MaxNLocator(integer=True))
    return _save(_plain(figure), path)


def predicted_vs_true(path: Path, truth: NDArray[Any], said: NDArray[Any]) -> Path:
    figure = Figure(figsize=(WIDTH_IN, 5.8), layout="constrained")
    axes = figure.subplots()
    ends = [float(min(truth.min(), said.min())), float(max(truth.max(), said.max()))]
    axes.plot(truth, said, "o", color=BLUE, alpha=0.35, markersize=5, markeredgewidth=0)
    axes.plot(ends, ends, "--", color=GREY)
    axes.set_xlabel("truth", fontsize=TYPE)
    axes.set_ylabel("prediction", fontsize=TYPE)
    axes.set_title("Predicted against true, test split", fontsize=13)
    return _save(_plain(figure), path)


def class_scores(path: Path, per_class: Mapping[str, Mapping[str, float]]) -> Path:
    """F1 by class, worst first; of many classes the worst only."""
    worst = sorted(per_class, key=lambda name: per_class[name]["f1"])[:20]
    figure = Figure(figsize=(WIDTH_IN, 1.6 + 0.36 * len(worst)), layout="constrained")
    axes = figure.subplots()
    axes.barh(range(len(worst)), [per_class[name]["f1"] for name in worst], color=BLUE)
    axes.set_yticks(range(len(worst)), [_name(name, 24) for name in worst])
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.set_xlabel("F1", fontsize=TYPE)
    axes.set_title("F1 by class" + (", the worst 20" if len(per_class) > 20 else ""), fontsize=13)
    return _save(_plain(figure), path)


def message(path: Path, title: str, words: str) -> Path:
    figure = Figure(figsize=(WIDTH_IN, 2.4), layout="constrained")
    axes = figure.subplots()
    axes.set_axis_off()
    axes.set_title(title, fontsize=13)
    axes.text(0.5, 0.5, words, ha="center", va="center", fontsize=TYPE)
    return _save(figure, path)


def _plain(figure: Figure) -> Figure:
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=11)
    return figure


def _save(figure: Figure, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".part")
    figure.savefig(beside, dpi=DPI, format="png")
    return beside.replace(path)
