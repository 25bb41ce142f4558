"""Whether a table's first row is a header, and column names that are usable and unique."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

_TEXT = """
    text texts sentence review reviews comment comments message content body utterance query question tweet
    post description headline document instruction input prompt email abstract snippet title subject summary
    kommentar nachricht beschreibung satz frage anfrage texte phrase commentaire avis texto mensaje comentario
    frase testo messaggio tekst bericht vraag
"""
_TARGET = """
    label labels target class category categories intent sentiment rating ratings stars score topic topics tag
    tags emotion y output toxic spam polarity genre department priority kategorie klasse stimmung bewertung
    etiquette categorie catégorie categoría categoria etiqueta clase classe onderwerp
"""
TEXT_NAMES = frozenset(_TEXT.split())
TARGET_NAMES = frozenset(_TARGET.split())
ID_NAMES = frozenset(
    ("id", "ids", "uuid", "guid", "index", "idx", "key", "nr", "no", "number", "row", "unnamed")
)

_NUMBER = re.compile(r"[-+]?[\d.,]+%?")


def words_of(name: str) -> list[str]:
    """``"reviewText_id"`` -> ``["review", "text", "id"]``."""
    return [word.casefold() for word in re.findall(r"[A-ZÀ-Ý]?[^\W\dA-ZÀ-Ý_]+|[A-ZÀ-Ý]+(?![^\W\d_])", name)]


def is_known_name(name: str) -> bool:
    return bool({name.strip().casefold(), *words_of(name)} & (TEXT_NAMES | TARGET_NAMES | ID_NAMES))


def has_header(first: Sequence[str], body: Sequence[Sequence[str]]) -> bool:
    """Votes of the columns: known names, numbers below a word, a cell that comes back as a value."""
    cells = [cell.strip() for cell in first]
    if not body:
        return all(map(_looks_like_name, cells)) and any(map(is_known_name, cells))
    if any(_NUMBER.fullmatch(cell) for cell in cells if cell) or not any(cells):
        return False
    votes = 0.0
    for position, cell in enumerate(cells):
        below = [row[position].strip() for row in body if position < len(row)]
        if not cell or not below:
            continue
        if len(words_of(cell)) <= 3 and _looks_like_name(cell) and is_known_name(cell):
            votes += 3
        if cell in below:
            votes -= 3  # names do not recur among values; class names do
        if sum(bool(_NUMBER.fullmatch(value)) for value in below) > 0.8 * len(below):
            votes += 2
        mean_chars = sum(map(len, below)) / len(below)
        votes += 0.5 if _looks_like_name(cell) and mean_chars > 2 * len(cell) else 0.0
        votes -= 0.0 if _looks_like_name(cell) else 2.0
    return votes > 0


def _looks_like_name(cell: str) -> bool:
    return 0 < len(cell) <= 60 and len(cell.split()) <= 5 and not re.search(r"[.!?,;]\s|[.!?]$|[\n\r]", cell)


def clean_names(names: Iterable[object]) -> list[str]:
    """Non-empty, one-line, unique names: ``"" -> "column_1"``, a second ``text`` -> ``text (2)``."""
    seen: Counter[str] = Counter()
    result: list[str] = []
    for position, raw in enumerate(names, 1):
        name = " ".join(re.sub(r"[\x00-\x1f\x7f\ufeff]", " ", str(raw)).split())[:80] or f"column_{position}"
        unique = name
        while unique in seen:
            seen[name] += 1
            unique = f"{name} ({seen[name]})"
        seen[unique] += 1
        result.append(unique)
    return result
