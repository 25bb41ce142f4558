"""What a benchmark prints: a figure beside its limit."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """``most``: the limit; ``None`` for what is only told."""

    name: str
    measured: float
    unit: str
    most: float | None = None

    @property
    def kept(self) -> bool:
        return self.most is None or self.measured <= self.most

    def __str__(self) -> str:
        limit = "" if self.most is None else f"at most {self.most:g} {self.unit}"
        verdict = "" if self.most is None else "ok" if self.kept else "MISSED"
        return f"{self.name:<44} {self.measured:10.3f} {self.unit:<4} {limit:<18} {verdict}"
