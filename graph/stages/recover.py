"""After a failed training: the next remedy of the ladder. What costs more than was approved asks again."""

from __future__ import annotations

from graph.context import Context
from graph.names import DecisionKind, EventType, Stage
from graph.remedies import config_diff, remedy
from graph.routes import MAX_ATTEMPTS
from graph.state import Attempt, Choice, Question, RunState


async def run(state: RunState, context: Context) -> RunState:
    attempts = tuple(state.get("attempts", ()))
    question, answer = state.get("question"), state.get("answer")
    if question and answer and question.back_to is Stage.LAUNCH:
        return RunState(question=None, answer=None)
    last = attempts[-1]
    tried = [a for a in attempts if a.stage in (Stage.LAUNCH, Stage.WATCH)]
    script, plan = state["script"], state["plan"]
    config = {**script.config, **{h.name: h.value for h in plan.hyperparameters}, **state.get("mended", {})}
    mend = remedy(last.kind, config, tried[:-1], {}) if len(tried) <= MAX_ATTEMPTS else None
    if mend is None or mend.action in ("ask", "next_offer"):
        # Other offers come with the other backends; on one machine the person decides.
        return RunState(question=_ask(context, tried), answer=None)
    diff = config_diff(config, {**config, **mend.changes})
    await context.say(EventType.RECOVERED, kind=last.kind, remedy=mend.text, attempt=len(tried))
    return RunState(
        attempts=(*attempts[:-1], Attempt(last.stage, last.kind, last.detail, mend.text, diff)),
        mended={**state.get("mended", {}), **mend.changes},
        checkpoint=state.get("checkpoint") if mend.action == "resume" else None,
        replan=mend.raises_cost,
        question=None,
        answer=None,
    )


def _ask(context: Context, tried: list[Attempt]) -> Question:
    trail = "\n\n".join(f"{a.kind}: {a.detail}\n{a.remedy}\n{a.diff}".strip() for a in tried)
    return context.question(
        DecisionKind.HELP,
        Stage.NEEDS_HUMAN,
        f"Training failed and I am out of remedies: {tried[-1].detail} What now?",
        (
            Choice("retry", "Try again", "from the last checkpoint, if there is one", "primary"),
            Choice("give_up", "Give up", "keeps what was saved"),
        ),
        detail=trail,
        back_to=Stage.LAUNCH,
    )
