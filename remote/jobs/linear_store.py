"""The baselines as data: a linear model over majority, TF-IDF or embedding features, kept without pickle.

A folder holds ``baseline.json`` (family, labels, features, vocabulary in the order of the columns) and
``weights.npz`` (float32 arrays, read with ``allow_pickle=False``). Every baseline is the same thing,
features times a matrix plus an intercept, then a link: the majority class has no features, and the
standardisation of embeddings is folded into the matrix. What is loaded is what was measured; nothing in
the folder is executed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.special import expit, softmax
from sklearn.feature_extraction.text import TfidfVectorizer

from remote.jobs.rows import write_text
from remote.protocol import FailureKind, JobError

Floats = NDArray[np.float64]
KINDS = ("majority", "tfidf_lr", "embedding_lr")
LINKS = ("softmax", "ovr", "sigmoid", "identity")


class TextFeatures:
    """TF-IDF of words (1-2-grams) beside characters within words (2-5-grams); [n, terms] sparse float32."""

    def __init__(self, max_terms: int) -> None:
        half = max_terms // 2
        self.words = _vectorizer("word", half)
        self.characters = _vectorizer("char_wb", max_terms - half)

    def fit(self, texts: Sequence[str]) -> Any:
        """Raises ValueError when no term occurs twice."""
        return self._join([self.words.fit_transform(texts), self.characters.fit_transform(texts)])

    def transform(self, texts: Sequence[str]) -> Any:
        return self._join([self.words.transform(texts), self.characters.transform(texts)])

    def _join(self, parts: list[Any]) -> Any:
        return sp.hstack(parts, format="csr", dtype=np.float32)

    def as_arrays(self) -> tuple[dict[str, list[str]], dict[str, NDArray[Any]]]:
        terms = {name: list(v.get_feature_names_out()) for name, v in self._named()}
        return terms, {f"idf_{name}": v.idf_.astype(np.float32) for name, v in self._named()}

    def _named(self) -> list[tuple[str, Any]]:
        return [("words", self.words), ("characters", self.characters)]

    @classmethod
    def restored(cls, terms: dict[str, list[str]], idf: dict[str, NDArray[Any]]) -> TextFeatures:
        made = cls(2)
        for name, analyzer in (("words", "word"), ("characters", "char_wb")):
            vectorizer = _vectorizer(analyzer, None, {term: i for i, term in enumerate(terms[name])})
            vectorizer.idf_ = idf[f"idf_{name}"]
            setattr(made, name, vectorizer)
        return made


def _vectorizer(analyzer: str, max_features: int | None, vocabulary: dict[str, int] | None = None) -> Any:
    return TfidfVectorizer(
        analyzer=analyzer,
        ngram_range=(1, 2) if analyzer == "word" else (2, 5),
        token_pattern=r"(?u)\b\w+\b" if analyzer == "word" else None,
        min_df=1 if analyzer == "word" else 2,
        max_features=max_features,
        sublinear_tf=True,
        dtype=np.float32,
        vocabulary=vocabulary,
    )


@dataclass(frozen=True, slots=True)
class Baseline:
    """``weights`` [features, outputs] and ``intercept`` [outputs]; outputs are the classes, or the number.

    ``link``: "softmax", "ovr" (one against the rest, then normalised), "sigmoid" (multi-label), "identity".
    """

    kind: str
    family: str
    labels: tuple[str, ...]
    link: str
    weights: NDArray[np.float32]
    intercept: NDArray[np.float32]
    text: TextFeatures | None = None
    max_length: int = 128  # tokens, for embeddings

    def probabilities(self, features: Any) -> Floats:
        """[n, classes], or [n, 1] numbers for regression. ``features`` [n, features] dense or sparse."""
        logits = np.asarray(features @ self.weights, dtype=np.float64) + self.intercept
        if self.link == "softmax":
            return np.asarray(softmax(logits, axis=1))
        if self.link == "identity":
            return logits
        chances = np.asarray(expit(logits))
        return chances / chances.sum(axis=1, keepdims=True) if self.link == "ovr" else chances

    def features(self, texts: Sequence[str], embeddings: NDArray[np.float32] | None = None) -> Any:
        """What ``probabilities`` takes: nothing, TF-IDF of ``texts``, or the ``embeddings`` given."""
        if self.kind == "majority":
            return np.zeros((len(texts), 0), dtype=np.float32)
        if self.text is not None:
            return self.text.transform(texts)
        assert embeddings is not None
        return embeddings

    def save(self, folder: Path) -> Path:
        """Write the two files beside and rename them into place. Returns ``folder``."""
        folder.mkdir(parents=True, exist_ok=True)
        arrays: dict[str, NDArray[Any]] = {"weights": self.weights, "intercept": self.intercept}
        terms: dict[str, list[str]] | None = None
        if self.text is not None:
            terms, idf = self.text.as_arrays()
            arrays |= idf
        beside = folder / "weights.npz.part"
        with beside.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
        beside.replace(folder / "weights.npz")
        body = {
            "kind": self.kind,
            "family": self.family,
            "labels": list(self.labels),
            "link": self.link,
            "max_length": self.max_length,
            "terms": terms,
        }
        write_text(folder / "baseline.json", json.dumps(body) + "\n")
        return folder

    @classmethod
    def load(cls, folder: Path) -> Baseline:
        """Raises JobError (``data_error``) when the folder does not hold a baseline."""
        try:
            body = json.loads((folder / "baseline.json").read_text(encoding="utf-8"))
            with np.load(folder / "weights.npz", allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            if body["kind"] not in KINDS or body["link"] not in LINKS:
                raise ValueError("unknown kind or link")
            text = TextFeatures.restored(body["terms"], arrays) if body["terms"] else None
            return cls(
                body["kind"],
                body["family"],
                tuple(body["labels"]),
                body["link"],
                arrays["weights"],
                arrays["intercept"],
                text,
                int(body["max_length"]),
            )
        except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
            raise JobError(
                FailureKind.DATA_ERROR,
                f"The stored baseline {folder.name!r} cannot be read: run the baselines again.",
            ) from error


def size_mb(folder: Path) -> float:
    """Megabytes (10^6 bytes) of the plain files below ``folder``."""
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file() and not p.is_symlink()) / 1e6
