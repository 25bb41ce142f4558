"""How numbers and names are written for people. Pure."""

from __future__ import annotations

from bot.views.payload import Payload
from graph.names import Stage

METRICS = {
    "macro_f1": "macro-F1",
    "micro_f1": "micro-F1",
    "weighted_f1": "weighted F1",
    "balanced_accuracy": "balanced accuracy",
    "subset_accuracy": "exact-match accuracy",
    "rmse": "RMSE",
    "mae": "MAE",
    "r2": "R²",
    "ece": "calibration error (ECE)",
    "mcc": "MCC",
    "val_loss": "validation loss",
    "train_loss": "training loss",
    "learning_rate": "learning rate",
    "rows_per_s": "rows/s",
}
COLUMNS = {"val_loss": "val loss", "train_loss": "train loss"}  # a table's head is narrow
MODELS = {
    "majority": "The largest class",
    "mean": "The mean",
    "tfidf_lr": "TF-IDF + logistic regression",
    "tfidf_ridge": "TF-IDF + ridge",
    "embedding_lr": "Embedding + logistic regression",
    "embedding_ridge": "Embedding + ridge",
    "model": "The model",
    "human": "Human ceiling",
    "human_ceiling": "Human ceiling",
}
STAGES = {
    Stage.INTAKE: "Reading the request",
    Stage.RESEARCH: "Looking for data and a base model",
    Stage.CHOOSE_DATASET: "Choosing the data",
    Stage.AUDIT: "Checking and splitting the data",
    Stage.WRITE_SCRIPT: "Writing the training script",
    Stage.SMOKE_TEST: "Trying the script on a few rows",
    Stage.REPAIR: "Mending the script",
    Stage.BASELINES: "Measuring cheap baselines",
    Stage.PLAN: "Planning the training",
    Stage.APPROVE_COMPUTE: "Approving the plan",
    Stage.LAUNCH: "Starting the training",
    Stage.WATCH: "Training",
    Stage.RECOVER: "Recovering",
    Stage.EVALUATE: "Evaluating on held-out rows",
    Stage.STRESS: "Attacking the model",
    Stage.PACKAGE: "Packaging",
    Stage.APPROVE_PUBLISH: "Deciding where it goes",
    Stage.PUBLISH: "Publishing",
    Stage.DONE: "Done",
    Stage.NEEDS_HUMAN: "Needs an answer",
    Stage.CANCELLED: "Cancelled",
    Stage.FAILED: "Failed",
}


def metric_name(name: str) -> str:
    return METRICS.get(name, name.replace("_", " "))


def column_name(metric: str) -> str:
    return COLUMNS.get(metric, metric_name(metric))


def model_name(name: str) -> str:
    return MODELS.get(name, name.replace("_", " "))


def number(value: float | None, digits: int = 3) -> str:
    """``0.912``, ``13,083``, ``5e-05``: at most ``digits`` decimals, an en dash for none."""
    if value is None:
        return "–"
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    if abs(value) < 10**-digits or abs(value) >= 1e6:
        return f"{value:.2g}"
    return f"{value:,.{digits}f}"


def score(value: Payload) -> str:
    """``0.912`` of ``{"value", "low", "high"}``; always three decimals, so that columns line up."""
    point = value.number("value")
    return "–" if point is None else f"{point:.3f}"


def interval(value: Payload) -> str:
    """``0.880–0.941``, or nothing."""
    low, high = value.number("low"), value.number("high")
    return "" if low is None or high is None else f"{low:.3f}–{high:.3f}"


def scored(name: str, value: Payload) -> str:
    """``macro-F1 0.912 (95 % interval 0.880–0.941)``."""
    between = interval(value)
    return f"{metric_name(name)} {score(value)}" + (f" (95 % interval {between})" if between else "")


def usd(value: float | None) -> str:
    if value is None:
        return "unknown price"
    if value == 0:
        return "free"
    return "under $0.01" if 0 < value < 0.01 else f"${value:,.2f}"


def duration(seconds: float | None) -> str:
    """``8 s``, ``1 min 20 s``, ``2 h 5 min``."""
    if seconds is None:
        return "unknown"
    if seconds < 1:
        return "under 1 s"
    if round(seconds) < 60:
        return f"{round(seconds)} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def size(count: float | None) -> str:
    """Bytes as ``312 B``, ``4.2 kB``, ``91 MB``."""
    if count is None:
        return ""
    value, unit = count, "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 999.5:
            break
        value, unit = value / 1000, larger
    return f"{value:.0f} {unit}" if unit == "B" or value >= 10 else f"{value:.1f} {unit}"


def plural(count: float, one: str, many: str = "") -> str:
    return f"{number(count)} {one if count == 1 else many or one + 's'}"


def cut(text: str, chars: int) -> str:
    """The first line's worth of ``text``: at most ``chars`` characters, white space in one piece."""
    line = " ".join(text[: chars * 4 + 100].split())
    return line if len(line) <= chars else line[: chars - 1].rstrip() + "…"


def file_name(value: str) -> str:
    """A file's name stands for its path, which only the one at that machine could use."""
    return value.rpartition("/")[2] or value if value.startswith("/") else value


def named(items: tuple[str, ...], most: int = 8) -> str:
    """``a, b, c and 69 more``."""
    shown = ", ".join(cut(item, 40) for item in items[:most])
    return f"{shown} and {len(items) - most} more" if len(items) > most else shown
