"""The words of a task and of a data set, made comparable. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType

from graph.state import TaskSpec

_COMMON_WORDS = frozenset(
    re.findall(
        r"\w+",
        """
        a about an and any are as at be best build by care class classes classification
        classifier classify cpu data dataset detect don fast fine for from give good gpu
        have i in into is it its label labels language machine make me model money my of
        on one or our out please predict small sort sorts spend tell tells text texts that
        the their them this to train training tune under use using want we what when which
        with without you your english score scores regression binary multiclass macro
        micro accuracy minutes hours usd cheap tiny
        """,
    )
)
LANGUAGES = {
    "de": "german", "fr": "french", "es": "spanish", "it": "italian", "pt": "portuguese", "nl": "dutch",
    "pl": "polish", "ru": "russian", "tr": "turkish", "ar": "arabic", "zh": "chinese", "ja": "japanese",
    "ko": "korean", "hi": "hindi", "sv": "swedish", "da": "danish", "fi": "finnish", "cs": "czech",
    "uk": "ukrainian", "en": "english",
}  # fmt: skip
# Other words for one class, in the languages that tasks come in.
_ALIKE = (
    "positive pos positiv positif positivo good favorable favourable",
    "negative neg negativ negatif negativo bad unfavorable unfavourable",
    "neutral neu neutre neutro mixed",
    "toxic toxicity abusive hateful hate offensive",
    "ham legitimate legit nonspam",
    "sarcastic sarcasm",
)


@lru_cache(maxsize=8192)
def stem(word: str) -> str:
    """Enough of a stemmer for search words: plurals and the commonest endings."""
    if word == "news" or word.endswith(("ss", "us", "is")):
        return word
    for ending, instead, least in (
        ("ies", "y", 3),
        ("ings", "", 4),
        ("ing", "", 4),
        ("es", "e", 3),
        ("s", "", 3),
    ):
        if word.endswith(ending) and len(word) - len(ending) >= least:
            return word.removesuffix(ending) + instead
    return word


_COMMON_STEMS = frozenset(map(stem, _COMMON_WORDS))
_SAME = {stem(word): group.split()[0] for group in _ALIKE for word in group.split()}


def words_of(text: str) -> frozenset[str]:
    """Stemmed words without those that any request has."""
    found = re.findall(r"[^\W\d_]{2,}", text.casefold())
    return frozenset(stem(word) for word in found) - _COMMON_STEMS


def topic_words(task: TaskSpec) -> Mapping[str, float]:
    """Stems of the words that say what the task is about, with their weights. The texts' language is no topic."""
    language = stem(LANGUAGES.get(task.constraints.language or "", ""))
    return _weights(tuple(task.keywords or task.labels), f"{task.title} {task.goal}", language)


@lru_cache(maxsize=32)  # asked for each of hundreds of candidates
def _weights(keywords: tuple[str, ...], told: str, language: str) -> Mapping[str, float]:
    weights: dict[str, float] = {}
    for place, keyword in enumerate(keywords, start=1):
        for word in words_of(keyword) - {language}:
            weights.setdefault(word, 1 / place)
    return MappingProxyType(weights or dict.fromkeys(words_of(told) - {language}, 1.0))


def label_words(label: str) -> frozenset[str]:
    """``not_sarcastic`` and ``Not sarcastic`` are one class, ``pos`` and ``positive`` too."""
    found = re.findall(r"[^\W_]+", label.casefold()[:200])
    return frozenset(_SAME.get(stem(word), stem(word)) for word in found)


def labels_alike(asked: Iterable[str], offered: Sequence[str]) -> float:
    """0..1: F1 of the classes asked for and those that there are. A class is met by one that says the same, or the
    same with a word or two more; a sentence is no class name.
    """
    named, there = [label_words(label) for label in asked], [label_words(label) for label in offered]
    if not named or not there:
        return 0.0
    left, met = list(there), 0
    for words in named:
        match = next((o for o in left if o and (o == words)), None) or next(
            (o for o in left if words and o and _nearly(words, o)), None
        )
        if match is not None:
            left.remove(match)
            met += 1
    return 2 * met / (len(named) + len(there))


def _nearly(one: frozenset[str], other: frozenset[str]) -> bool:
    apart = one ^ other
    return (one <= other or other <= one) and len(apart) <= 2 and not apart & {"not", "non", "no"}


def meaningful(labels: Iterable[str]) -> bool:
    """Whether classes have names, and not only numbers."""
    return any(re.search(r"[^\W\d_]{2,}", label) for label in labels)
