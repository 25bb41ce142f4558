"""PDF files for the tests, written by hand: text at given places in Helvetica, images, encryption, broken files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

WIDTH, HEIGHT = 612.0, 792.0
SIZE = 10.0
LEADING = 12.0


@dataclass
class Sheet:
    """A page: what to write where (points from the lower left corner), images, and links."""

    texts: list[tuple[float, float, float, str]] = field(default_factory=list)
    image: tuple[int, int, bytes] | None = None  # width, height, grey bytes; fills the page
    links: list[str] = field(default_factory=list)

    def write(self, x: float, y: float, text: str, size: float = SIZE) -> Sheet:
        self.texts.append((x, y, size, text))
        return self

    def column(self, x: float, top: float, lines: Sequence[str], size: float = SIZE) -> Sheet:
        for number, line in enumerate(lines):
            self.write(x, top - number * LEADING, line, size)
        return self

    def table(self, xs: Sequence[float], top: float, rows: Sequence[Sequence[str]]) -> Sheet:
        for number, row in enumerate(rows):
            for x, cell in zip(xs, row, strict=True):
                if cell:
                    self.write(x, top - number * LEADING, cell)
        return self


def pdf(sheets: Sequence[Sheet], *, title: str = "", encrypted: bool = False) -> bytes:
    """The file. ``encrypted``: it cannot be opened without a password that nobody knows."""
    objects: list[bytes] = [
        b"",
        b"",
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
    ]
    kids = [_sheet(objects, sheet) for sheet in sheets]
    objects[0] = b"<< /Type /Catalog /Pages 2 0 R >>"
    objects[1] = b"<< /Type /Pages /Count %d /Kids [%s] >>" % (
        len(kids),
        b" ".join(b"%d 0 R" % kid for kid in kids),
    )
    extra = b""
    if title:
        objects.append(b"<< /Title (%s) >>" % _escaped(title))
        extra += b" /Info %d 0 R" % len(objects)
    if encrypted:
        garbage = b"<%s>" % (b"5a" * 32)
        objects.append(b"<< /Filter /Standard /V 1 /R 2 /O %s /U %s /P -4 >>" % (garbage, garbage))
        extra += b" /Encrypt %d 0 R /ID [<aa> <aa>]" % len(objects)
    out, offsets = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n%s" % (len(objects) + 1, table)
    return out + b"trailer << /Size %d /Root 1 0 R%s >>\nstartxref\n%d\n%%%%EOF\n" % (
        len(objects) + 1,
        extra,
        start,
    )


def _sheet(objects: list[bytes], sheet: Sheet) -> int:
    """Adds a page's objects; the page's number."""
    resources = b"/Font << /F1 3 0 R >>"
    body = b"".join(
        b"BT /F1 %g Tf %g %g Td (%s) Tj ET\n" % (size, x, y, _escaped(text))
        for x, y, size, text in sheet.texts
    )
    if sheet.image:
        width, height, grey = sheet.image
        objects.append(
            b"<< /Type /XObject /Subtype /Image /Width %d /Height %d /ColorSpace /DeviceGray /BitsPerComponent 8"
            b" /Length %d >>\nstream\n%s\nendstream" % (width, height, len(grey), grey)
        )
        resources += b" /XObject << /I1 %d 0 R >>" % len(objects)
        body = b"q %g 0 0 %g 0 0 cm /I1 Do Q\n" % (WIDTH, HEIGHT) + body
    objects.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(body), body))
    content, notes = len(objects), b""
    if sheet.links:
        links = b" ".join(
            b"<< /Type /Annot /Subtype /Link /Rect [10 10 90 20] /A << /S /URI /URI (%s) >> >>"
            % _escaped(url)
            for url in sheet.links
        )
        notes = b" /Annots [%s]" % links
    objects.append(
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 %g %g] /Resources << %s >> /Contents %d 0 R%s >>"
        % (WIDTH, HEIGHT, resources, content, notes)
    )
    return len(objects)


def _escaped(text: str) -> bytes:
    return text.encode("cp1252").replace(b"\\", b"\\\\").replace(b"(", b"\\(").replace(b")", b"\\)")


PROSE = (
    "We study how short messages can be sorted by",
    "what their writers want. Earlier work trains a",
    "large encoder on many domains, which is slow and",
    "needs more labelled rows than most teams have at",
    "hand. Our method keeps the encoder small and adds",
    "a second stage that needs a handful of examples.",
)


def paper_sheets() -> list[Sheet]:
    """Three pages like a conference paper's: title over two columns, settings in prose, tables of results."""
    first = Sheet()
    first.write(110, 740, "Small Encoders Suffice for Intent Detection", 16)
    first.write(240, 715, "A. Writer and B. Author", 11)
    first.column(
        54, 680, ["Abstract", *PROSE, "On BANKING77 we reach an accuracy of 93.4%", "on the test set."]
    )
    first.column(
        330,
        680,
        [
            "1 Introduction",
            *PROSE,
            "Intent detection is a kind of text classification;",
            "intent detection data is scarce. Code is at",
            "https://github.com/ada/small-intents and data",
            "at huggingface.co/datasets/ada/intents.",
        ],
    )
    second = Sheet()
    second.column(
        54,
        740,
        [
            "2 Training",
            *PROSE,
            "We fine-tune BERT-base with AdamW, a learn-",
            "ing rate of 2 × 10",
        ],
    )
    second.write(54 + 84, 740 - 8 * LEADING + 4, "-5", 7)  # an exponent
    second.write(54 + 95, 740 - 8 * LEADING, "and a batch size of 32 for")
    second.column(
        54,
        740 - 9 * LEADING,
        [
            "ten epochs. The loss is cross-entropy with label",
            "smoothing of 0.1; weight decay is 0.01, and the",
            "maximum sequence length is 64. We report means",
            "over 5 random seeds.",
        ],
    )
    second.column(330, 740, ["3 Results", *PROSE, *PROSE])
    second.write(
        54,
        420,
        "Table 1: Accuracy and macro-F1 on the test sets of two data sets. Ours is best on both of them.",
    )
    second.table(
        [60, 200, 290, 390, 490],
        400,
        [
            ["", "BANKING77", "", "CLINC150", ""],
            ["Model", "Acc", "Macro-F1", "Acc", "Macro-F1"],
            ["TF-IDF + SVM", "84.2", "83.9", "89.0", "88.1"],
            ["BERT-base", "92.1", "92.0", "96.4", "96.3"],
            ["Ours", "93.4 ± 0.2", "93.3", "97.1", "97.0"],
        ],
    )
    third = Sheet()
    third.column(54, 740, ["References", "A. Other. 2019. A learning rate of 0.5 for ever. In Proc."])
    third.column(54, 690, ["Appendix A", "All runs share these settings."])
    third.write(54, 650, "Table 2: Hyperparameters.")
    third.table(
        [60, 220],
        630,
        [["Setting", "Value"], ["Dropout", "0.1"], ["Warmup ratio", "0.06"], ["Batch size", "32"]],
    )
    return [first, second, third]


def paper(**more: Any) -> bytes:
    return pdf(paper_sheets(), **more)


def single(lines: Sequence[str]) -> bytes:
    """One page with one column."""
    return pdf([Sheet().column(72, 740, lines)])


def scanned(lines: Sequence[str]) -> bytes:
    """A page that is a picture of text."""
    import io

    import pypdfium2

    source = pypdfium2.PdfDocument(io.BytesIO(pdf([Sheet().column(72, 700, lines, 14)])))
    image = source[0].render(scale=2.0, grayscale=True).to_numpy()
    grey = image[..., 0] if image.ndim == 3 else image
    return pdf([Sheet(image=(grey.shape[1], grey.shape[0], grey.tobytes()))])
