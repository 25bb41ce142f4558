"""Which base model, and why not the others. Pure: from what is known of each to an order with a sentence for each one.

- Refused: weights only as a pickle, code of its own, a body that the recipe cannot train, another language, more
  megabytes, memory or milliseconds than there are, a licence that forbids publishing.
- Of the rest the listed ones come first (``encoders.toml``: tried with the recipe), small first; one from the search
  goes before them where it is made for the very language, as small or smaller, and freely licensed.
- Speed and memory are estimates for texts of ``SHORT_TOKENS`` tokens; the smoke test measures both before the plan.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

from graph.errors import SourceError
from graph.files import read_json
from graph.names import FailureKind
from graph.research.basemodel import check_model_files, folder_model
from graph.research.licences import licence_of
from graph.state import Considered, ModelChoice, TaskSpec

# What remote/recipes/finetune/inference.py runs: encoders with one last hidden state for a text's own tokens.
SUPPORTED = frozenset(
    {
        "albert", "bert", "camembert", "deberta", "deberta-v2", "distilbert", "electra", "modernbert", "mpnet",
        "roberta", "xlm-roberta",
    }
)  # fmt: skip
OFFSET_BY_PADDING = frozenset({"roberta", "xlm-roberta", "camembert"})  # two of their positions are no text's
SHORT_TOKENS = 20
GFLOPS_A_CORE = (
    25.0  # of a CPU core in fp32 on matrices of this size; 50 at best on the machine of docs/performance.md
)
RUNTIME_MB = 650.0  # libraries, and activations of a batch
WELL_USED = 10_000  # downloads a month from which on one from the search may go before the listed ones
READ_TOKENS = 256.0  # what the recipe reads of a text at most
TOKENS_A_WORD, EXTRA_TOKENS = 1.5, 8  # as the recipe's planner has it


@dataclass(frozen=True, slots=True)
class Encoder:
    id: str
    licence: str | None
    parameters_m: float | None
    size_mb: float | None
    languages: tuple[str, ...]
    body_m: float | None = None  # parameters without the embedding table
    model_type: str = ""
    max_length: int | None = None  # tokens
    listed: bool = True
    downloads: int = 0
    refused: str = ""  # why it cannot serve, whatever the task

    @property
    def train_mb(self) -> float | None:
        """Memory of a training in MB: weights, and gradients and AdamW's two moments of what is trained."""
        if self.parameters_m is None:
            return None
        body = self.parameters_m if self.body_m is None else self.body_m
        return RUNTIME_MB + 4 * self.parameters_m + 12 * body

    def rows_per_s(self, cores: int) -> float | None:
        """Short texts embedded a second on ``cores`` CPU cores; two floating-point operations a parameter and token."""
        if not self.body_m:
            return None
        return cores * GFLOPS_A_CORE * 1e3 / (2 * self.body_m * SHORT_TOKENS)


@dataclass(frozen=True, slots=True)
class Wish:
    """What the task and the machine ask of a base model. ``None``: no limit."""

    language: str = "en"
    max_mb: float | None = None
    max_latency_ms: float | None = None
    memory_mb: float | None = None
    cores: int = 2
    publishes: bool = False  # somewhere that others can see


def wish_of(task: TaskSpec, cores: int, memory_mb: float | None) -> Wish:
    limits = task.constraints
    return Wish(
        limits.language or "en",
        limits.max_model_mb,
        limits.max_latency_ms,
        memory_mb,
        cores,
        publishes=bool(task.publish_to),
    )


def listed() -> tuple[Encoder, ...]:
    text = resources.files("graph.research").joinpath("encoders.toml").read_text(encoding="utf-8")
    return tuple(
        Encoder(**{**entry, "languages": tuple(entry["languages"])})
        for entry in tomllib.loads(text)["encoder"]
    )


# Where well-known models live whose names people write as they were before the Hub had namespaces for them.
_OWNERS = (
    ("distilbert-", "distilbert"),
    ("distilroberta-", "distilbert"),
    ("bert-", "google-bert"),
    ("roberta-", "FacebookAI"),
    ("xlm-roberta-", "FacebookAI"),
    ("albert-", "albert"),
    ("all-", "sentence-transformers"),
    ("paraphrase-", "sentence-transformers"),
)


def with_owner(wanted: str) -> str:
    """``distilbert-base-uncased`` with its namespace; what has one, or is not known, as it is."""
    if "/" in wanted:
        return wanted
    owner = next((owner for start, owner in _OWNERS if wanted.casefold().startswith(start)), None)
    return f"{owner}/{wanted}" if owner else wanted


def speaks(encoder: Encoder, language: str) -> bool:
    return language in encoder.languages or "multilingual" in encoder.languages or len(encoder.languages) > 20


def refusal(encoder: Encoder, wish: Wish) -> str:
    """Why it cannot serve, in half a sentence after its name; "" where it can."""
    licence = licence_of(encoder.licence)
    rate = encoder.rows_per_s(wish.cores)
    if encoder.refused:
        return encoder.refused
    if encoder.model_type and encoder.model_type not in SUPPORTED:
        return f"is of the kind {encoder.model_type}, which the recipe cannot train"
    if not speaks(encoder, wish.language):
        made_for = ", ".join(encoder.languages[:3]) or "no stated language"
        return f"is made for {made_for}, not for {wish.language}"
    if wish.max_mb is not None and encoder.size_mb is not None and encoder.size_mb > wish.max_mb:
        return f"has {encoder.size_mb:.0f} MB, more than {wish.max_mb:g}"
    if wish.memory_mb is not None and encoder.train_mb is not None and encoder.train_mb > wish.memory_mb:
        return f"needs about {encoder.train_mb:,.0f} MB to train, and there are {wish.memory_mb:,.0f}"
    if wish.max_latency_ms is not None and rate and 1000 / rate > wish.max_latency_ms:
        return f"takes about {1000 / rate:.0f} ms a short text here, more than {wish.max_latency_ms:g}"
    if wish.publishes and licence.publish == "blocked":
        return f"may not be published by its licence ({licence.id})"
    return ""


def order(encoders: Iterable[Encoder], wish: Wish) -> list[tuple[Encoder, str]]:
    """Each with its refusal or "", the best first. An encoder that stands twice counts as its first mention."""
    distinct = list({encoder.id: encoder for encoder in reversed(list(encoders))}.values())[::-1]
    judged = [(encoder, refusal(encoder, wish)) for encoder in distinct]
    bar = min(
        (e.size_mb or 0 for e, why in judged if e.listed and not why and not _exact(e, wish)), default=0.0
    )

    def rank(place: int, encoder: Encoder, why: str) -> tuple[Any, ...]:
        free = licence_of(encoder.licence).publish == "allowed"
        small = encoder.size_mb is not None and encoder.size_mb <= bar
        better = (
            not encoder.listed and _exact(encoder, wish) and free and small and encoder.downloads >= WELL_USED
        )
        tier = 0 if encoder.listed and _exact(encoder, wish) else 1 if better else 2 if encoder.listed else 3
        return (bool(why), tier, not free, place if encoder.listed else encoder.size_mb or 1e9)

    return sorted(judged, key=lambda item: rank(distinct.index(item[0]), *item))


def _exact(encoder: Encoder, wish: Wish) -> bool:
    return encoder.languages == (wish.language,)


def considered(encoder: Encoder, why_not: str, taken: str, wish: Wish) -> Considered:
    """A row of the table that people see. ``taken``: the id that was taken."""
    rate = encoder.rows_per_s(wish.cores)
    if encoder.id == taken:
        why = "; ".join(reasons(encoder, wish))
    elif why_not:
        why = f"it {why_not}"
    else:
        why = (
            "would do; not the first choice" if encoder.listed else "from a search; not tried with the recipe"
        )
    return Considered(
        encoder.id,
        encoder.id == taken,
        why,
        encoder.licence,
        encoder.parameters_m,
        encoder.size_mb,
        encoder.max_length,
        None if encoder.train_mb is None else round(encoder.train_mb, -1),
        None if rate is None else round(rate, 1),
    )


def reasons(encoder: Encoder, wish: Wish) -> tuple[str, ...]:
    """Why it was taken."""
    told = []
    if encoder.parameters_m is not None:
        quick = " and quick on a CPU" if (encoder.body_m or encoder.parameters_m) <= 40 else ""
        told.append(f"small ({encoder.parameters_m:g} M parameters){quick}")
    if _exact(encoder, wish) and not encoder.listed:
        told.append(f"made for {wish.language} and smaller than those for many languages")
    elif "multilingual" in encoder.languages:
        told.append(f"made for many languages, {wish.language} among them")
    elif not speaks(encoder, wish.language):
        made_for = encoder.languages[0] if encoder.languages else "another language"
        told.append(f"made for {made_for}, so expect less on {wish.language}: nothing else fits the limits")
    rate = encoder.rows_per_s(wish.cores)
    if rate and encoder.train_mb:
        told.append(
            f"about {rate:.0f} short texts a second and {encoder.train_mb / 1000:.1f} GB to train here"
        )
    return tuple(told)


def nearest(judged: Sequence[tuple[Encoder, str]], wish: Wish) -> Encoder | None:
    """Where nothing fits every limit: the smallest that could be trained at all, whatever its language."""
    relaxed = replace(wish, language="", max_mb=None, max_latency_ms=None)
    usable = [e for e, _ in judged if e.listed and not refusal(replace(e, languages=("",)), relaxed)]
    return min(usable, key=lambda e: e.size_mb or 1e9, default=None)


def from_listing(item: Mapping[str, Any]) -> Encoder:
    """An encoder from a search, as :mod:`graph.research.hubmodels` keeps it."""
    files, tags = [str(f) for f in item.get("files") or ()], [str(t) for t in item.get("tags") or ()]
    count = item.get("parameters")
    languages = item.get("languages") or ()
    return Encoder(
        id=str(item["id"]),
        licence=item.get("licence"),
        parameters_m=round(count / 1e6, 1) if isinstance(count, int) and count > 0 else None,
        size_mb=round(item["bytes"] / 1e6, 1) if item.get("bytes") else None,
        languages=tuple(str(name) for name in languages),
        model_type=str(item.get("model_type") or ""),
        listed=False,
        downloads=int(item.get("downloads") or 0),
        refused=_unusable(str(item["id"]), files, tags, item),
    )


def _unusable(model: str, files: Sequence[str], tags: Sequence[str], item: Mapping[str, Any]) -> str:
    if item.get("gated"):
        return "is gated: ask for access on its page, then name it"
    if "custom_code" in tags:
        return "comes with code of its own, and foreign code is never run"
    try:
        check_model_files(model, [f for f in files if "/" not in f])
    except SourceError as error:
        return error.detail.removeprefix(f"The base model {model} ").rstrip(".")
    return "" if item.get("model_type") else "does not say what kind of model it is"


def config_facts(folder: Path) -> tuple[str, int | None]:
    """Model type and length in tokens from a fetched ``config.json``; "" and ``None`` where it does not say."""
    config = read_json(folder / "config.json")
    if not isinstance(config, dict):
        return "", None
    kind, positions = config.get("model_type"), config.get("max_position_embeddings")
    kind = kind if isinstance(kind, str) else ""
    length = positions if isinstance(positions, int) and positions > 0 else None
    return kind, length - 2 if length and kind in OFFSET_BY_PADDING else length


def check_kind(what: str, kind: str) -> None:
    """Raises SourceError for a kind of model that the recipe cannot train; "": its files do not say."""
    if kind and kind not in SUPPORTED:
        raise SourceError(
            f"{what} is of the kind {kind[:40]}, which the recipe cannot train.",
            "Name another one.",
            FailureKind.DATA_ERROR,
        )


def named_folder(wanted: str) -> ModelChoice | None:
    """The base model in a folder that a person named, or ``None`` where ``wanted`` is no folder. Raises SourceError."""
    choice = folder_model(wanted)
    if choice is None:
        return None
    kind, length = config_facts(Path(choice.path))
    check_kind(f"The model in {choice.id}", kind)
    return replace(choice, max_length=length)


def too_short(model: ModelChoice, words_p95: float) -> str:
    """What to say where the model reads less than 95 % of the texts are long, and the recipe would read more."""
    tokens = words_p95 * TOKENS_A_WORD + EXTRA_TOKENS
    if model.max_length is None or min(tokens, READ_TOKENS) <= model.max_length:
        return ""
    return (
        f"{model.id} reads {model.max_length} tokens of a text, and one text in twenty here has more than about "
        f"{tokens:.0f}: what stands behind is cut. Name a base model with a longer reach if the end matters."
    )
