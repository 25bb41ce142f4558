"""Text of scanned pages, where the extra ``ocr`` is installed. Its models lie in the package: nothing is fetched."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

from remote.jobs.paper_pages import Page, Word, lines_of

MAX_PAGES = 12  # some seconds each on a CPU
SCALE = 2.0  # 144 dots an inch
MISSING = "No OCR is installed here: pip install 'ml-intern-for-teams[ocr]' adds it."

Reader = Callable[[Any], list[tuple[Any, str]]]  # an image [height, width, 3] -> (corners [4, 2], text)


def with_text(
    document: Any, pages: Sequence[Page], reader: Reader | None = None
) -> tuple[list[Page], list[str]]:
    """The pages, with text where they were scanned and OCR can read them; and what a person should know of that."""
    scanned = [page for page in pages if page.scanned]
    if not scanned:
        return list(pages), []
    reader = reader or installed()
    if reader is None:
        return list(pages), [f"{_named(scanned)} scanned, so not read. {MISSING}"]
    read = {page.number: _read(document, page, reader) for page in scanned[:MAX_PAGES]}
    notes = [f"{_named(scanned[:MAX_PAGES])} scanned; OCR read it, so check the numbers."]
    if len(scanned) > MAX_PAGES:
        notes.append(
            f"{_named(scanned[MAX_PAGES:])} scanned and not read: I read at most {MAX_PAGES} by OCR."
        )
    return [read.get(page.number, page) for page in pages], notes


def is_installed() -> bool:
    return find_spec("rapidocr") is not None and find_spec("onnxruntime") is not None


def installed() -> Reader | None:
    if not is_installed():
        return None
    from rapidocr import RapidOCR

    engine = RapidOCR(params={"Global.log_level": "error"})

    def read(image: Any) -> list[tuple[Any, str]]:
        found = engine(image)
        if found.boxes is None or found.txts is None:
            return []
        return list(zip(found.boxes, found.txts, strict=True))

    return read


def _read(document: Any, page: Page, reader: Reader) -> Page:
    pdf_page = document[page.number - 1]
    width, height = pdf_page.get_size()
    image = pdf_page.render(scale=SCALE).to_numpy()
    words = []
    for corners, text in reader(image):
        xs, ys = [float(c[0]) / SCALE for c in corners], [float(c[1]) / SCALE for c in corners]
        if text.strip():
            words.append(Word(text.strip(), min(xs), height - max(ys), max(xs), height - min(ys)))
    return replace(page, lines=lines_of(words, width), by_ocr=True)


def _named(pages: Sequence[Page]) -> str:
    numbers = [str(page.number) for page in pages]
    if len(numbers) == 1:
        return f"Page {numbers[0]} is"
    return f"Pages {', '.join(numbers[:-1][:11])} and {numbers[-1]} are"
