"""Where on the Hub: ``hub:OWNER/NAME``, or ``hub:NAME`` in the token's namespace, and what beside the model.

``+space``: the demo. ``+data``: a data-set card with the split's description and hashes. ``+rows``: that card
with the rows themselves. All bear the same name; several are grouped in a collection.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from graph.errors import PublishError
from graph.names import FailureKind

_TARGET = re.compile(
    r"(?:hub:)?(?:(?P<owner>[\w.-]+)/)?(?P<name>[\w.-]+)(?P<parts>(?:\+(?:space|data|rows))*)", re.ASCII
)


@dataclass(frozen=True, slots=True)
class Target:
    owner: str | None
    name: str
    parts: frozenset[str] = frozenset()

    @property
    def rows(self) -> bool:
        return "rows" in self.parts

    @property
    def kinds(self) -> tuple[str, ...]:
        """Repository types, in the order in which they become visible: none refers to one after it."""
        data = ("dataset",) if self.parts & {"data", "rows"} else ()
        return (*data, "model", *(("space",) if "space" in self.parts else ()))


def parse_target(text: str) -> Target:
    """Raises PublishError for what is no place on the Hub."""
    match = _TARGET.fullmatch(text)
    if match is None:
        raise PublishError(
            f"{text[:80]!r} is no place on the Hub.",
            "Write it as hub:OWNER/NAME, with +space, +data or +rows behind it for more than the model.",
            FailureKind.DATA_ERROR,
        )
    return Target(match["owner"], match["name"], frozenset(filter(None, match["parts"].split("+"))))


def shows_rows(target: str) -> bool:
    """Whether publishing to ``target`` would show rows of the data. Never raises."""
    return target.startswith("hub:") and "rows" in target.split("+")[1:]
