"""Attacks the packaged model and measures what happens; suggests what would mend most.

All texts of all tests are asked in one call, so that batches hold texts of like length. Tests are bounded
by the words they make the model read (``WORDS``), not by a clock: the same seed gives the same numbers on
any machine.

What is measured: the deciding scores before and after with intervals, how often the answer changes (flip
rate), and the mean confidence. For texts that no class fits: how well maximum softmax and vocabulary
coverage tell them from test rows (AUROC), and how often the model is sure of itself without its warning.

Suggestions are ranked by the loss measured here, in shares of rows; the settings that they would change in
a next run are in ``overrides`` (empty where only other data would help).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray

from remote.jobs import perturb
from remote.jobs.columns import cut
from remote.jobs.evaluate import dumps, label_at, read_json
from remote.jobs.leaderboard import Contest
from remote.jobs.linear_store import Baseline
from remote.jobs.predict import Answers, ask, load
from remote.jobs.rows import Row, read_rows, write_text
from remote.jobs.scores import Predicted, auroc, decide, encode, scored_mean
from remote.jobs.splits import sample_rows
from remote.jobs.suggestions import suggest
from remote.protocol import Emitter

WORDS = 15_000  # that the model reads in all tests together, about
ROW_TESTS = 7  # the rows as they are, and six ways to change them
MIN_ROWS, MAX_ROWS = 40, 300
MADE_TEXTS = 40  # gibberish
LONG_TEXTS = 4
SURE = 0.5  # an answer with more confidence than this counts as sure of itself
SENTIMENT = ({"positive", "negative"}, {"pos", "neg"}, {"good", "bad"}, {"positiv", "negativ"})
IN, OUT = Path("in"), Path("out")

Change = Callable[[str, Random], str | None]


@dataclass(slots=True)
class Ward:
    """Everything asked of the model, in one list; tests remember their places in it."""

    rows: Sequence[Row]
    contest: Contest
    texts: list[str] = field(default_factory=list)
    spans: dict[str, slice] = field(default_factory=dict)

    def add(self, name: str, texts: Sequence[str]) -> None:
        self.spans[name] = slice(len(self.texts), len(self.texts) + len(texts))
        self.texts.extend(texts)


@dataclass(frozen=True, slots=True)
class Asked:
    """The ward with the model's answers to all of its texts."""

    ward: Ward
    answers: Answers

    def said(self, name: str) -> Predicted:
        return self.answers.predicted.take(np.arange(len(self.ward.texts))[self.ward.spans[name]])

    def coverage(self, name: str) -> NDArray[np.float64]:
        return self.answers.coverage[self.ward.spans[name]]

    def unlike(self, name: str) -> NDArray[np.bool_]:
        return self.answers.unlike[self.ward.spans[name]]

    def texts(self, name: str) -> list[str]:
        return self.ward.texts[self.ward.spans[name]]


def run(config: Mapping[str, Any], emit: Emitter) -> Mapping[str, Any]:
    """See ``docs/jobs.md``. Result: findings and suggestions; all else is in ``stress.json``."""
    started = time.perf_counter()
    facts, metrics = read_json(IN / "facts.json"), read_json(OUT / "metrics.json")
    language = facts.get("audit", {}).get("language")
    ward, places = prepare(config, language)
    emit.progress(0, len(ward.texts))
    model = load(IN / "trained/model")
    asked = Asked(ward, ask(model, ward.texts, ward.contest.labels, ward.contest.family))
    emit.progress(len(ward.texts), len(ward.texts))
    tests = [_changed(asked, name, kind, places[name]) for name, kind in ROW_KINDS.items() if name in places]
    tests = [*tests, *_made(asked)]
    outside = _out_of_distribution(asked)
    characters = _characters_under_typos(asked, places["typos"])
    suggestions = suggest(
        tests, outside, metrics, ward.contest, read_json(IN / "audit/audit.json"), characters
    )
    body = {
        "seed": ward.contest.seed,
        "language": language,
        "rows_a_test": len(ward.rows),
        "metric": ward.contest.metric,
        "tests": tests,
        "out_of_distribution": outside,
        "characters_under_typos": characters,
        "suggestions": suggestions,
        "seconds": round(time.perf_counter() - started, 2),
    }
    emit.artifact(write_text(OUT / "stress.json", dumps(body)), OUT)
    keys = ("name", "kind", "before", "after", "detail")
    return {
        "findings": [{key: test[key] for key in keys} for test in tests],
        "suggestions": suggestions,
        "seconds": body["seconds"],
    }


ROW_KINDS = {"typos": "INV", "casing": "INV", "punctuation": "INV", "paraphrase": "INV", "negation": "DIR"}


def prepare(config: Mapping[str, Any], language: str | None) -> tuple[Ward, dict[str, list[int]]]:
    """All texts to ask about; for each row test, which rows it changed."""
    family, labels = str(config["family"]), list(config["labels"])
    seed = int(config.get("seed", 0))
    rows = sampled(read_rows(IN / "test.jsonl"), seed)
    truth = encode([row.label for row in rows], labels, family)
    ward = Ward(rows, Contest(truth, family, labels, str(config["metric"]), seed))
    ward.add("rows", [row.text for row in rows])
    changes: dict[str, Change] = {
        "typos": perturb.typos,
        "casing": perturb.casing,
        "punctuation": perturb.punctuation,
        "paraphrase": lambda text, rng: perturb.paraphrase(text, rng, language),
        "negation": lambda text, rng: perturb.negation(text, language),
    }
    places: dict[str, list[int]] = {}
    for name, change in changes.items():
        rng = Random(f"{seed}-{name}")  # noqa: S311 - chance, not a secret
        changed = [(i, change(row.text, rng)) for i, row in enumerate(rows) if row.text.strip()]
        kept = [(i, text) for i, text in changed if text is not None]
        if kept:
            places[name] = [i for i, _ in kept]
            ward.add(name, [text for _, text in kept])
    rng = Random(f"{seed}-made")  # noqa: S311 - chance, not a secret
    ward.add("gibberish", [perturb.gibberish(rng) for _ in range(MADE_TEXTS)])
    ward.add("out-of-scope", perturb.OUT_OF_SCOPE)
    ward.add("other language", perturb.foreign(language))
    ward.add("empty", perturb.EMPTY)
    ward.add("very long", [perturb.long(row.text) for row in rows[:LONG_TEXTS]])
    if family in ("binary", "multiclass"):
        ward.add("multi-intent", [perturb.joined(rows[a].text, rows[b].text) for a, b in pairs(truth)])
    return ward, places


def sampled(rows: Sequence[Row], seed: int) -> list[Row]:
    """So many rows, drawn by class, that all tests together read about ``WORDS`` words."""
    words = float(np.mean([min(len(row.text.split()), 128) for row in rows])) + 2
    count = int(np.clip(WORDS / (ROW_TESTS * words), MIN_ROWS, MAX_ROWS))
    if len(rows) <= count:
        return list(rows)
    return [rows[i] for i in sample_rows([row.label for row in rows], count, seed)]


def pairs(truth: NDArray[Any]) -> list[tuple[int, int]]:
    """Rows of different classes, each row with a later one, at most half as many as there are rows."""
    half = len(truth) // 2
    found = []
    for a in range(half):
        b = next((b for b in range(half + a, len(truth)) if truth[b] != truth[a]), None)
        if b is not None:
            found.append((a, b))
    return found


def _changed(asked: Asked, name: str, kind: str, places: list[int]) -> dict[str, Any]:
    """A test on changed rows: scores before and after, flip rate, confidence."""
    rows, contest = np.array(places), asked.ward.contest
    before, after = asked.said("rows").take(rows), asked.said(name)
    part = Contest(contest.truth[rows], contest.family, contest.labels, contest.metric, contest.seed)
    was, now = part.scores(before), part.scores(after)
    flipped = _differs(before.classes, after.classes, contest.family)
    body: dict[str, Any] = {
        "name": name,
        "kind": kind,
        "n": len(rows),
        "metric": contest.metric,
        "before": was[contest.metric],
        "after": now[contest.metric],
        "scores": {m: {"before": was[m], "after": now[m]} for m in was},
        "flip_rate": scored_mean(flipped, contest.seed),
        "mean_confidence": {"before": _mean(before.confidence), "after": _mean(after.confidence)},
        "loss": _loss(was, now, contest.family),
        "examples": _flips(asked, name, rows, flipped, before, after),
    }
    rate = body["flip_rate"]["value"]
    body["detail"] = f"{rate:.1%} of {len(rows)} answers change."
    if name == "negation":
        body |= _negated(contest, before, after, body)
    return body


def _negated(contest: Contest, before: Predicted, after: Predicted, body: dict[str, Any]) -> dict[str, Any]:
    """Negation should swap two opposite feelings; of other labels no direction can be expected."""
    rate = body["flip_rate"]
    if {label.casefold() for label in contest.labels} not in SENTIMENT:
        return {
            "before": None,
            "after": rate,
            "loss": None,
            "detail": f"Label change rate under negation {rate['value']:.1%}; no direction is expected here.",
        }
    sure = before.classes == contest.truth
    swapped = scored_mean((after.classes != before.classes)[sure], contest.seed) if sure.any() else rate
    return {
        "before": None,
        "after": swapped,
        "loss": 1.0 - swapped["value"],
        "detail": f"The answer turns in {swapped['value']:.1%} of {int(sure.sum())} negated texts.",
    }


def _differs(a: NDArray[Any], b: NDArray[Any], family: str) -> NDArray[np.bool_]:
    """[n]: whether the answer changed; of numbers, by more than a tenth of their spread."""
    if family == "regression":
        return np.asarray(np.abs(a - b) > 0.1 * max(float(a.std()), 1e-9))
    return np.asarray((a != b).any(axis=1) if family == "multilabel" else a != b)


def _loss(was: Mapping[str, Any], now: Mapping[str, Any], family: str) -> float:
    """Share of rows lost (for numbers: growth of the RMSE relative to before)."""
    if family == "regression":
        return float(now["rmse"]["value"] / max(was["rmse"]["value"], 1e-9) - 1)
    name = "subset_accuracy" if family == "multilabel" else "accuracy"
    return float(was[name]["value"] - now[name]["value"])


def _mean(values: NDArray[np.float64]) -> float | None:
    return None if not len(values) or np.isnan(values).any() else float(values.mean())


def _flips(
    asked: Asked,
    name: str,
    rows: NDArray[np.int64],
    flipped: NDArray[np.bool_],
    before: Predicted,
    after: Predicted,
) -> list[dict[str, Any]]:
    contest, texts = asked.ward.contest, asked.texts(name)
    return [
        {
            "text": cut(asked.ward.rows[rows[i]].text, 120),
            "changed": cut(texts[i], 120),
            "before": label_at(contest, before.classes[i]),
            "after": label_at(contest, after.classes[i]),
        }
        for i in np.flatnonzero(flipped)[:3]
    ]


def _made(asked: Asked) -> list[dict[str, Any]]:
    """Minimum functionality: texts of their own, which the model must survive and should doubt."""
    tests = []
    for name in ("gibberish", "out-of-scope", "other language", "empty"):
        said, unlike = asked.said(name), asked.unlike(name)
        sure = said.confidence > SURE
        tests.append(
            _mft(asked, name, scored_mean(unlike, asked.ward.contest.seed))
            | {
                "sure_without_warning": float((sure & ~unlike).mean()),
                "detail": f"{unlike.mean():.0%} of {len(unlike)} get the warning; "
                f"{(sure & ~unlike).mean():.0%} are answered with confidence above {SURE} and without it.",
            }
        )
    first, long = asked.said("rows").classes[:LONG_TEXTS], asked.said("very long").classes
    same = ~_differs(first[: len(long)], long, asked.ward.contest.family)
    kept = f"{int(same.sum())} of {len(same)} texts repeated to {perturb.LONG_CHARS:,} characters keep their "
    kept += "answer."
    tests.append(_mft(asked, "very long", scored_mean(same, asked.ward.contest.seed)) | {"detail": kept})
    if "multi-intent" in asked.ward.spans and asked.texts("multi-intent"):
        tests.append(_multi_intent(asked))
    return tests


def _mft(asked: Asked, name: str, after: Mapping[str, float]) -> dict[str, Any]:
    said = asked.said(name)
    return {
        "name": name,
        "kind": "MFT",
        "n": len(said.classes),
        "before": None,
        "after": after,
        "loss": None,
        "mean_confidence": {"before": _mean(asked.said("rows").confidence), "after": _mean(said.confidence)},
        "examples": [
            {"text": cut(text, 120), "after": label_at(asked.ward.contest, value), "confidence": float(sure)}
            for text, value, sure in list(zip(asked.texts(name), said.classes, said.confidence, strict=True))[
                :3
            ]
        ],
    }


def _multi_intent(asked: Asked) -> dict[str, Any]:
    truth, said = asked.ward.contest.truth, asked.said("multi-intent")
    two = np.array(pairs(truth))
    either = (said.classes == truth[two[:, 0]]) | (said.classes == truth[two[:, 1]])
    score = scored_mean(either, asked.ward.contest.seed)
    return _mft(asked, "multi-intent", score) | {
        "detail": f"Of {len(two)} texts with two concerns {score['value']:.0%} get the label of one of them."
    }


def _out_of_distribution(asked: Asked) -> dict[str, Any]:
    """How well test rows are told from texts that no class fits; 0.5 is chance, 1 is perfect."""
    known, inside = asked.said("rows").confidence, asked.coverage("rows")
    body = {}
    for name in ("gibberish", "out-of-scope"):
        strange = asked.said(name).confidence
        body[name] = {
            "auroc_max_softmax": None if np.isnan(known).any() else auroc(known, strange),
            "auroc_vocabulary_coverage": auroc(inside, asked.coverage(name)),
        }
    return body


def _characters_under_typos(asked: Asked, places: list[int]) -> dict[str, float] | None:
    """What TF-IDF, which has character n-grams, loses under the same typos; ``None`` without the baseline."""
    folder, contest = IN / "baselines/tfidf_lr", asked.ward.contest
    if not folder.is_dir():
        return None
    baseline, rows = Baseline.load(folder), np.array(places)
    part = Contest(contest.truth[rows], contest.family, contest.labels, contest.metric, contest.seed)
    clean = [asked.ward.rows[i].text for i in rows]
    was, now = (
        part.scores(decide(baseline.probabilities(baseline.features(texts)), contest.family))
        for texts in (clean, asked.texts("typos"))
    )
    return {
        "before": was[contest.metric]["value"],
        "after": now[contest.metric]["value"],
        "loss": _loss(was, now, contest.family),
    }
