"""What others report for a data set: the metrics in the cards of Hub models that were trained on it.

Two requests. A number from somebody's card is a claim: it is shown with its source, marked as not measured here, and
compared only where metric and split are the same as ours.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from graph.errors import SourceError
from graph.literature import Reported
from graph.research.hubclient import HubClient

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import ExpandModelProperty_T, ModelInfo

MODELS = 50
_EXPAND: Final[list[ExpandModelProperty_T]] = ["cardData", "downloads", "model-index", "tags"]
_METRICS = {
    "accuracy": "accuracy", "acc": "accuracy", "f1": "f1", "f1_macro": "macro_f1", "macro_f1": "macro_f1",
    "f1-macro": "macro_f1", "macro f1": "macro_f1", "f1 macro": "macro_f1", "macro-f1": "macro_f1",
    "f1_micro": "micro_f1", "micro_f1": "micro_f1", "f1 micro": "micro_f1",
    "f1_weighted": "weighted_f1", "weighted_f1": "weighted_f1", "f1 weighted": "weighted_f1",
    "matthews_correlation": "mcc", "mcc": "mcc", "rmse": "rmse", "mae": "mae", "r2": "r2", "spearmanr": "spearman",
    "roc_auc": "auc", "auc": "auc", "precision": "precision", "recall": "recall",
}  # fmt: skip
_UNBOUNDED = ("rmse", "mae")


async def reported_by_models(hub: HubClient, dataset_id: str) -> tuple[Reported, ...]:
    """The best by metric first; empty where the Hub does not answer, as this is a courtesy."""
    repo = dataset_id.partition("@")[0].partition("#")[0]
    # cards from before namespaces name the last part only
    names = dict.fromkeys((repo, repo.rpartition("/")[2]))
    found: dict[str, ModelInfo] = {}
    for name in names:
        try:
            infos = await hub.call("the models trained on this data", partial(_models, name))
        except SourceError:
            break
        found |= {info.id: info for info in infos if f"dataset:{name}" in (info.tags or ())}
    rows = [row for info in found.values() for row in reported_of(info, names, hub.page(info.id))]
    rows.sort(key=lambda row: (row.metric, row.value if row.metric in _UNBOUNDED else -row.value))
    return tuple(rows[:MODELS])


def _models(dataset: str, api: HfApi) -> list[ModelInfo]:
    found = api.list_models(filter=f"dataset:{dataset}", sort="downloads", limit=MODELS, expand=_EXPAND)
    return list(found)


def reported_of(info: ModelInfo, names: Iterable[str], url: str) -> list[Reported]:
    """The results of a model's ``model-index`` that are about one of the data sets ``names``."""
    known, rows = {name.casefold() for name in names}, []
    for entry in _dicts(
        info.model_index or (vars(info.card_data).get("model-index") if info.card_data else None)
    ):
        for result in _dicts(entry.get("results")):
            dataset = result.get("dataset")
            if not isinstance(dataset, dict) or str(dataset.get("type", "")).casefold() not in known:
                continue
            for metric in _dicts(result.get("metrics")):
                row = _row(metric, dataset, result.get("task"), info.id, url)
                rows += [row] if row else []
    return rows


def _row(
    metric: Mapping[str, Any], dataset: Mapping[str, Any], task: Any, model: str, url: str
) -> Reported | None:
    names = (str(metric.get(key, "")).casefold().strip() for key in ("name", "type"))
    name = next((_METRICS[n] for n in names if n in _METRICS), None)
    value = metric.get("value")
    if (
        name is None
        or isinstance(value, bool)
        or not isinstance(value, int | float)
        or not math.isfinite(value)
    ):
        return None
    share = float(value) / 100 if name not in _UNBOUNDED and abs(value) > 1 else float(value)
    if name not in _UNBOUNDED and not -1 <= share <= 1:
        return None
    return Reported(
        name,
        round(share, 6),
        model[:120],
        "model card",
        url,
        _short(dataset.get("split")),
        _short(dataset.get("config")),
        verified=metric.get("verified") is True,
        task=_short(task.get("type")) if isinstance(task, dict) else None,
    )


def _short(value: Any) -> str | None:
    return value[:40] if isinstance(value, str) and value else None


def _dicts(value: Any) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
