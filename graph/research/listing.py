"""A data set as the Hub lists it, with what a search uses and no more. Pure.

It is plain JSON data, so that an answer can be kept. Everything in it was written by strangers: texts are bounded, and
a field of another shape than the documented one counts as not there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from graph.files import listed
from graph.names import TaskFamily
from graph.research.evidence import Evidence
from graph.research.hubfiles import choose_files
from graph.research.hubinfo import card_of, languages_of, paths_of
from graph.research.licences import licence_from_tags
from graph.research.ranking import Found
from graph.research.words import words_of
from graph.state import Candidate

if TYPE_CHECKING:
    from huggingface_hub.hf_api import DatasetInfo

SOURCE = "hub"
MAX_PATHS = 2000
MAX_TAGS = 300
MAX_TITLE_CHARS = 80
MAX_DESCRIPTION_CHARS = 600
# Tags of the form "kind:value" that say nothing about the topic.
_NO_TOPIC = (
    "size_categories",
    "region",
    "license",
    "language",
    "format",
    "modality",
    "library",
    "arxiv",
    "doi",
)
_INSTRUCTS = re.compile(
    r"\b(?:ignore|disregard|forget)\s+(?:all\s+|any\s+|the\s+|your\s+){0,2}(?:previous|prior|above|earlier|system)\b"
    r"|@everyone\b|@here\b|<!(?:channel|here|everyone)\b|<@[&!]?\w+>",
    re.IGNORECASE,
)
_CLOSED = "access has to be asked for on the Hub: do so, then name it"


@dataclass(frozen=True, slots=True)
class Listing:
    id: str
    revision: str | None = None
    tags: tuple[str, ...] = ()
    title: str = ""
    description: str = ""
    languages: tuple[str, ...] = ()
    configs: tuple[Any, ...] = ()  # the card's, for the choice of files
    rows: int | None = None
    classes: int | None = None
    downloads: int | None = None
    modified: str = ""  # ISO 8601
    gated: bool = False
    disabled: bool = False
    paths: tuple[str, ...] = field(default=())
    licence: str | None = None  # of tags and card; all of them where they differ

    def plain(self) -> dict[str, Any]:
        return asdict(self)


def listing_of(info: DatasetInfo) -> Listing:
    card = card_of(info)
    rows, classes = counts_of(card)
    configs = card.get("configs")
    return Listing(
        id=str(info.id)[:200],
        revision=str(info.sha) if info.sha else None,
        tags=tuple(str(tag)[:100] for tag in (info.tags or ())[:MAX_TAGS]),
        title=" ".join(str(card.get("pretty_name") or info.id)[: 4 * MAX_TITLE_CHARS].split())[
            :MAX_TITLE_CHARS
        ],
        description=str(info.description or "")[:MAX_DESCRIPTION_CHARS],
        languages=languages_of(card)[:50],
        configs=tuple(configs[:50]) if isinstance(configs, list) else (),
        rows=rows,
        classes=classes,
        downloads=info.downloads if isinstance(info.downloads, int) else None,
        modified=info.last_modified.isoformat() if info.last_modified else "",
        gated=bool(info.gated),
        disabled=bool(info.disabled),
        paths=tuple(paths_of(info)[:MAX_PATHS]),
        licence=licence_from_tags(map(str, info.tags or ()), card),
    )


def from_plain(kept: Mapping[str, Any]) -> Listing:
    """What :meth:`Listing.plain` gave, back from JSON. Raises TypeError for anything else."""
    tuples = {name: tuple(kept[name]) for name in ("tags", "languages", "configs", "paths")}
    return Listing(**{**kept, **tuples})


def candidate_of(listing: Listing, dataset_id: str = "", named_file: str = "") -> Candidate:
    """``dataset_id``: as the person wrote it."""
    chosen = choose_files(listing.paths, {"configs": list(listing.configs)}, named_file)
    size = next(
        (t.removeprefix("size_categories:") for t in listing.tags if t.startswith("size_categories:")), ""
    )
    why_not = "the Hub has switched it off" if listing.disabled else chosen.why_not
    return Candidate(
        id=dataset_id or listing.id,
        source=SOURCE,
        title=listing.title,
        licence=listing.licence or licence_from_tags(listing.tags),
        rows=listing.rows,
        classes=listing.classes,
        downloads=listing.downloads,
        revision=listing.revision,
        reasons=tuple(r for r in (f"{size} rows" if size and listing.rows is None else "", chosen.note) if r),
        usable=not why_not,
        why_not=why_not,
        attribution=f"{listing.id} on the Hugging Face Hub",
    )


def found_of(listing: Listing, now: datetime, *, opened: bool = False) -> Found:
    """What the ranking may know from the listing alone. ``opened``: gated, but open to our account."""
    candidate = candidate_of(listing)
    if listing.gated and not opened and candidate.usable:
        candidate = replace(candidate, usable=False, why_not=_CLOSED)
    spoken = tuple(code for code in listing.languages if code not in ("multilingual", "mul"))
    topics = [tag.rpartition(":")[2] for tag in listing.tags if not tag.startswith(_NO_TOPIC)]
    name = listing.id.rpartition("/")[2].replace("_", " ")
    return Found(
        candidate,
        words=words_of(" ".join((name, listing.title, *topics))[:4000].replace("_", " ")),
        described=words_of(listing.description),
        language=spoken[0] if len(spoken) == 1 == len(listing.languages) else None,
        languages=spoken if len(spoken) > 1 else (),
        families=families_of(listing.tags),
        age_days=_age_days(listing.modified, now),
        gated=listing.gated,
        instructs=_instructs(listing.title, listing.description, *listing.tags),
    )


def _instructs(*texts: str) -> bool:
    return any(_INSTRUCTS.search(text) for text in texts)


def with_evidence(item: Found, seen: Evidence | None) -> Found:
    """What its rows tell goes before what its card says of itself."""
    if seen is None:
        return item
    counts = dict(seen.class_counts)
    labels = tuple(counts) or seen.classes
    candidate = replace(
        item.candidate,
        rows=item.candidate.rows if seen.rows is None else seen.rows,
        classes=len(labels) or item.candidate.classes,
        class_counts=dict(sorted(counts.items(), key=lambda pair: -pair[1])[:50]),
        text_column=seen.text_column if seen.certain else None,
        target=seen.target if seen.certain else None,
        learns=f"{seen.text_column} → {seen.target}" if seen.text_column and seen.target else "",
        reasons=(*item.candidate.reasons, *((seen.note,) if seen.note else ())),
    )
    if candidate.usable and (why_not := _why_not(seen)):
        candidate = replace(candidate, usable=False, why_not=why_not)
    named = " ".join((*seen.columns, *labels))[:4000].replace("_", " ")
    return replace(
        item,
        candidate=candidate,
        words=item.words | words_of(named),
        families=seen.families or item.families,
        labels=frozenset(label.casefold() for label in labels),
        missing=seen.missing,
        duplicates=seen.duplicates,
        data_bytes=seen.data_bytes,
        looked_at=True,
        instructs=item.instructs or _instructs(*labels, *seen.columns),
    )


def _why_not(seen: Evidence) -> str:
    if seen.sampled:
        return ""
    shown = ", ".join(seen.columns[:6])
    if seen.columns and seen.text_column is None:
        return f"none of its columns holds texts ({shown})"
    if seen.columns and seen.target is None:
        return f"none of its columns could be learnt ({shown})"
    return ""


def families_of(tags: Sequence[str]) -> frozenset[TaskFamily]:
    families = set()
    if any(tag in ("task_ids:text-scoring", "task_ids:semantic-similarity-scoring") for tag in tags):
        families.add(TaskFamily.REGRESSION)
    if "task_ids:multi-label-classification" in tags:
        families.add(TaskFamily.MULTILABEL)
    if "task_categories:text-classification" in tags and not families:
        families |= {TaskFamily.BINARY, TaskFamily.MULTICLASS}
    return frozenset(families)


def counts_of(card: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """Rows over all splits and number of classes, where the card's metadata says so."""
    described = card.get("dataset_info")
    first = described[0] if isinstance(described, list) and described else described
    if not isinstance(first, dict):
        return None, None
    splits, features = first.get("splits"), first.get("features")
    rows: list[Any] = [s.get("num_examples") for s in listed(splits) if isinstance(s, dict)]
    classes = [
        len(f["dtype"]["class_label"].get("names") or ())
        for f in listed(features)
        if isinstance(f, dict)
        and isinstance(f.get("dtype"), dict)
        and isinstance(f["dtype"].get("class_label"), dict)
    ]
    whole = bool(rows) and all(isinstance(n, int) and not isinstance(n, bool) for n in rows)
    return (sum(rows) if whole else None), (classes[0] if len(classes) == 1 else None)


def class_names_of(card: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Column to the names of its classes, as the card's one configuration declares them; nothing for several."""
    described = card.get("dataset_info")
    if isinstance(described, list):
        described = described[0] if len(described) == 1 else None
    features = listed(described.get("features")) if isinstance(described, dict) else []
    found = {}
    for feature in features:
        dtype = feature.get("dtype") if isinstance(feature, dict) else None
        declared = dtype.get("class_label") if isinstance(dtype, dict) else None
        names = declared.get("names") if isinstance(declared, dict) else None
        if isinstance(names, dict) and all(str(number).isdecimal() for number in names):
            names = [names[number] for number in sorted(names, key=int)]
        if isinstance(names, list):
            found[str(feature.get("name"))] = tuple(str(name)[:80] for name in names[:1000])
    return found


def _age_days(modified: str, now: datetime) -> float | None:
    try:
        return max(0.0, (now - datetime.fromisoformat(modified)).total_seconds() / 86400)
    except (ValueError, TypeError):
        return None
