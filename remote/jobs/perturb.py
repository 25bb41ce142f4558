"""Ways to change a text, or to make one, that a model meets in real life. Pure functions; chance comes in.

In the terms of CheckList (M. Ribeiro et al., Beyond Accuracy, ACL 2020): an invariance (INV) changes the
text and not its meaning, so the label must stay; a directional change (DIR) is expected to change the
answer; a minimum functionality test (MFT) has texts of its own.

Languages: negation and paraphrase are word lists for English and German; a text in another language is not
put to these two tests rather than being mixed with foreign words.
"""

from __future__ import annotations

import re
import string
from collections.abc import Sequence
from random import Random

LONG_CHARS = 10_000
WORDS_A_TYPO = 5  # one typing error for so many words, at least one a text
MIN_TYPO_LETTERS = 4

_NEIGHBOURS = {
    "q": "wa", "w": "qes", "e": "wrd", "r": "etf", "t": "ryg", "y": "tuh", "u": "yij", "i": "uok", "o": "ipl",
    "p": "ol", "a": "qsz", "s": "adwx", "d": "sfec", "f": "dgrv", "g": "fhtb", "h": "gjyn", "j": "hkum",
    "k": "jli", "l": "kop", "z": "asx", "x": "zsdc", "c": "xdfv", "v": "cfgb", "b": "vghn", "n": "bhjm",
    "m": "njk",
}  # fmt: skip
_WORD = re.compile(r"[^\W\d_]+")

_NEGATIONS = {
    "en": (
        (
            "is",
            "are",
            "was",
            "were",
            "do",
            "does",
            "did",
            "can",
            "could",
            "will",
            "would",
            "should",
            "has",
            "have",
        ),
        "not",
    ),
    "de": (("ist", "sind", "war", "waren", "kann", "konnte", "habe", "hat", "wird", "werde", "bin"), "nicht"),
}
_UNNEGATE = {
    "en": re.compile(r"\bnot\b|n't\b|\bnever\b", re.I),
    "de": re.compile(r"\bnicht\b|\bkein\w*\b", re.I),
}
_PREFIX_NEGATION = {"en": "It is not true that {}", "de": "Es stimmt nicht, dass {}"}
_FRAMES = {
    "en": ("Well, {}", "To be clear: {}", "{} That is all I wanted to say.", "Just so you know, {}"),
    "de": (
        "Also, {}",
        "Um es klar zu sagen: {}",
        "{} Das wollte ich nur sagen.",
        "Nur damit ihr es wisst: {}",
    ),
}
_CONTRACTIONS = {
    "can't": "cannot", "won't": "will not", "n't": " not", "i'm": "i am", "it's": "it is", "i've": "i have",
    "i'd": "i would", "that's": "that is", "what's": "what is", "'re": " are", "'ll": " will",
}  # fmt: skip

OUT_OF_SCOPE = (
    "What is the capital of Mongolia?",
    "The eclipse will be visible from the southern hemisphere in March.",
    "Whisk three eggs with a pinch of salt and fold in the flour.",
    "Our goalkeeper saved two penalties in the second half.",
    "Photosynthesis turns carbon dioxide and water into sugar.",
    "She planted tulips along the garden path last autumn.",
    "How many moons does Jupiter have?",
    "The violin concerto was written in 1878.",
    "Turn left after the bridge and follow the river for two miles.",
    "My grandmother knitted a blue scarf for the dog.",
    "Volcanoes form where tectonic plates meet.",
    "Please remind me to water the cactus on Sunday.",
    "The senate debated the fishing treaty until midnight.",
    "A prime number has exactly two divisors.",
    "Who painted the ceiling of the Sistine Chapel?",
    "The ferry to the island leaves every forty minutes in summer.",
    "He tuned the piano before the children arrived.",
    "Glaciers carved this valley ten thousand years ago.",
    "Sing me a lullaby about the moon.",
    "The novel's second chapter is set in a lighthouse.",
    "Bees communicate the direction of flowers by dancing.",
    "What time does the museum of natural history open?",
    "The archaeologists found a bronze mirror under the temple.",
    "Sprinkle some cinnamon over the baked apples.",
    "Which chess opening begins with the queen's pawn?",
    "The comet returns every seventy-six years.",
    "My cousin is learning to juggle with four oranges.",
    "Migrating storks rest on the chimneys of the village.",
    "The bridge was closed because of high winds.",
    "Tell me a joke about penguins.",
    "The recipe needs two cups of lentils and one onion.",
    "Antarctica has no permanent residents.",
)
FOREIGN = (
    ("de", "Der Zug nach Hamburg hat heute leider zwanzig Minuten Verspätung."),
    ("de", "Wir haben gestern im Garten Kartoffeln geerntet."),
    ("de", "Können Sie mir bitte sagen, wo der Bahnhof ist?"),
    ("fr", "Le marché ouvre à huit heures et ferme à midi."),
    ("fr", "Nous avons marché longtemps sous la pluie."),
    ("fr", "Pourriez-vous m'indiquer la bibliothèque la plus proche ?"),
    ("es", "La biblioteca cierra los domingos por la tarde."),
    ("es", "Ayer compramos pan fresco en la plaza."),
    ("es", "¿Dónde puedo comprar un billete de autobús?"),
    ("it", "Il treno per Roma parte dal terzo binario."),
    ("nl", "De fietsen staan achter het huis bij de schuur."),
    ("pt", "O farol fica no fim da praia, depois das dunas."),
    ("pl", "Pociąg do Krakowa odjeżdża z peronu drugiego."),
    ("tr", "Kütüphane pazar günleri kapalıdır."),
    ("ru", "Библиотека закрыта по воскресеньям."),
    ("zh", "图书馆星期天不开门。"),
    ("ja", "図書館は日曜日に閉まっています。"),
    ("en", "The library is closed on Sunday afternoons."),
    ("en", "We walked along the beach until it started to rain."),
    ("en", "Could you tell me where the railway station is?"),
)
EMPTY = ("", " ", "\n\n", "...", "?", "🙂", "\u200b")


def typos(text: str, rng: Random) -> str:
    """A slip of the keyboard in about every fifth word: two swapped, one lost, doubled or missed."""
    spans = [m.span() for m in _WORD.finditer(text) if m.end() - m.start() >= MIN_TYPO_LETTERS]
    spans = spans or [m.span() for m in _WORD.finditer(text) if m.end() - m.start() >= 2]
    count = min(len(spans), max(1, len(text.split()) // WORDS_A_TYPO))
    for start, end in sorted(rng.sample(spans, count), reverse=True):
        text = text[:start] + _slip(text[start:end], rng) + text[end:]
    return text


def _slip(word: str, rng: Random) -> str:
    i = rng.randrange(len(word) - 1)
    a, b = word[i], word[i + 1]
    kind = rng.randrange(4)
    if kind == 0 and a != b:
        return word[:i] + b + a + word[i + 2 :]
    if kind == 1:
        return word[: i + 1] + word[i + 2 :]
    if kind == 2:
        return word[:i] + a + word[i:]
    near = _NEIGHBOURS.get(a.lower(), string.ascii_lowercase)
    return word[:i] + rng.choice(near) + word[i + 1 :]


def casing(text: str, rng: Random) -> str:
    """All capitals or none, as people write on a phone."""
    return text.upper() if rng.random() < 0.5 else text.lower()


def punctuation(text: str, rng: Random) -> str:
    """Without punctuation, or with too much of it."""
    bare = "".join(" " if c in string.punctuation and c != "'" else c for c in text)
    bare = " ".join(bare.split()) or text
    return bare if rng.random() < 0.5 else f"{bare} {rng.choice(('!!!', '???', '...', '!?'))}"


def paraphrase(text: str, rng: Random, language: str | None) -> str | None:
    """The text in a frame that adds nothing, contractions written out; ``None`` in an unknown language."""
    frames = _FRAMES.get(language or "en")
    if frames is None:
        return None
    if language in (None, "en"):
        for short, full in _CONTRACTIONS.items():
            text = re.sub(re.escape(short) + r"\b", full, text, flags=re.IGNORECASE)
    frame = rng.choice(frames)
    return frame.replace("{}", text)


def negation(text: str, language: str | None) -> str | None:
    """The contrary: "not" after the first auxiliary, or taken away; ``None`` in an unknown language."""
    language = language or "en"
    if language not in _NEGATIONS:
        return None
    if _UNNEGATE[language].search(text):
        return " ".join(_UNNEGATE[language].sub("", text, count=1).split())
    verbs, word = _NEGATIONS[language]
    found = re.search(rf"\b({'|'.join(verbs)})\b", text, re.IGNORECASE)
    if found is None:
        return _PREFIX_NEGATION[language].replace("{}", text)
    return f"{text[: found.end()]} {word}{text[found.end() :]}"


def gibberish(rng: Random) -> str:
    """Three to eight made-up words."""
    return " ".join(
        "".join(rng.choice(string.ascii_lowercase) for _ in range(rng.randint(3, 9)))
        for _ in range(rng.randint(3, 8))
    )


def joined(first: str, second: str) -> str:
    """Two concerns in one message."""
    return f"{first.rstrip()} Also, {second.lstrip()}"


def long(text: str) -> str:
    """The text over and over, up to ``LONG_CHARS`` characters."""
    unit = f"{text} "
    return (unit * (LONG_CHARS // max(len(unit), 1) + 1))[:LONG_CHARS]


def foreign(language: str | None) -> Sequence[str]:
    """Sentences in other languages than that of the data."""
    return [text for code, text in FOREIGN if code != (language or "en")]
