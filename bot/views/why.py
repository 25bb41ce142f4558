"""Why things are as they are: the reasons that the run gave so far, in one card. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from bot.cards import Bullets, Card, Style, Text
from bot.views.payload import Payload
from graph.deps import Event
from graph.names import EventType


def why(run_id: str, events: Iterable[Event]) -> Card:
    """The latest decisions of the run with their reasons, the newest first."""
    found: dict[str, tuple[str, ...]] = {}
    for event in events:
        heading, reasons = _reasons(event.type, Payload(event.payload))
        if reasons:
            found.pop(heading, None)
            found[heading] = reasons
    blocks: list[Text | Bullets] = []
    for heading, reasons in reversed(found.items()):
        blocks += [Text(heading, Style.STRONG), Bullets(reasons)]
    said = tuple(blocks) or (Text("I have decided nothing yet."),)
    return Card(f"why:{run_id}", run_id, "Why", said, fallback="Why: the reasons so far.")


def _reasons(type_: EventType, payload: Payload) -> tuple[str, tuple[str, ...]]:
    match type_:
        case EventType.TASK_UNDERSTOOD:
            read = payload.part("task").parts("assumed")
            return "What I assumed", tuple(
                f"{r.text('field').replace('_', ' ')}: {r.text('value')}, since {r.text('why')}"
                for r in read
                if r.text("why")
            )
        case EventType.CANDIDATES_FOUND:
            return "The data", tuple(
                f"{c.text('title')}: {'; '.join(c.texts('reasons'))}" for c in payload.parts("candidates")
            )
        case EventType.DATA_CHOSEN:
            model = payload.part("model")
            return "The base model", tuple(
                f"{model.text('id')}: {reason}" for reason in model.texts("reasons")
            )
        case EventType.BASELINES_MEASURED:
            return "The baselines", payload.texts("advice")
        case EventType.PLANNED:
            plan = payload.part("plan")
            settings = tuple(f"{h.text('name')}: {h.text('reason')}" for h in plan.parts("hyperparameters"))
            return "The plan", (*settings, *plan.texts("advice"), *payload.texts("refusals"))
        case EventType.RECOVERED:
            said = f"{payload.text('remedy')}, after {payload.text('kind').replace('_', ' ')}"
            return "The recovery", (said,) if payload.has("remedy") else ()
        case EventType.EVALUATED:
            return "The verdict", (payload.text("verdict"),) if payload.has("verdict") else ()
        case EventType.STRESSED:
            return "The suggestions", tuple(
                f"{s.text('title')}: {s.text('reason')}" for s in payload.parts("suggestions")
            )
        case _:
            return "", ()
