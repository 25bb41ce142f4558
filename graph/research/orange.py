"""Orange's ``.tab`` files (three header lines: names, types, flags) as CSV with columns text and label."""

from __future__ import annotations

import csv
import io

from graph.errors import SourceError
from graph.names import FailureKind
from graph.research.ratings import Table


def table_of_tab(content: bytes, name: str, text: str = "Text", label: str = "Category") -> Table:
    """Rows without a text or a label (the files hold empty ones) are left out."""
    lines = content.decode("utf-8-sig").replace("\r\n", "\n").split("\n")
    header = lines[0].split("\t")
    if text not in header or label not in header:
        raise SourceError(
            f"{name} does not have the columns {text} and {label}.",
            "Report this, and name data of your own meanwhile.",
            FailureKind.DATA_ERROR,
        )
    at_text, at_label = header.index(text), header.index(label)
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["text", "label"])
    labels: set[str] = set()
    rows = 0
    for row in (line.split("\t") for line in lines[3:]):
        if len(row) > max(at_text, at_label) and row[at_text].strip() and row[at_label].strip():
            writer.writerow([row[at_text].strip(), row[at_label].strip()])
            labels.add(row[at_label].strip())
            rows += 1
    return Table(out.getvalue().encode(), rows, len(labels))
