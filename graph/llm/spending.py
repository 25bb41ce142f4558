"""No token unasked: what stands between a question to a language model and its sending.

A question costs at most what its upper bound in tokens costs. That much has to be allowed: by the one who set the model
up (an allowance for each run), or by a person's recorded decision in this run. Then it is committed in the ledger, in
one transaction with the budgets that could stop it, and replaced by what the answer really used. An unknown price is a
question. A model that costs nothing needs no permission. ``--yes`` never spends.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from graph.context import Context, plain
from graph.deps import Decision, Spend
from graph.llm.model import LanguageModel, LlmError, Prompt, T, Tokens
from graph.names import DecisionKind, EventType, FailureKind, Stage
from graph.state import Answer, Choice, Question, Request, RunState, answered, slug_in

BACKEND = "llm"  # in the ledger
SLUG = "llm"
USE, WITHOUT = "use", "without_llm"
_MAX_CUT_OFF = 2  # a process that dies while it waits leaves a commitment that nobody settles


@dataclass(frozen=True, slots=True)
class Permission:
    """Whether a question may be sent. Where not: ``ask`` a person, or a reason why not, or neither (declined)."""

    granted: bool = False
    ask: bool = False
    why_not: str = ""


def answer_about_llm(state: RunState) -> Answer | None:
    """The answer to this module's question, if it is the one just given."""
    answer = answered(state)
    return answer if answer and slug_in(answer.question_id).partition("-")[0] == SLUG else None


def slug_of(model: LanguageModel) -> str:
    """In the question's id: what was allowed to one model is not allowed to another."""
    return f"{SLUG}-{hashlib.sha256(model.name.encode()).hexdigest()[:8]}"


def permission(
    model: LanguageModel,
    most: Tokens,
    spent: Sequence[Spend],
    decisions: Sequence[Decision],
    budget_usd: float | None,
) -> Permission:
    """Pure. ``spent``: the run's lines of the ledger; ``budget_usd``: what the request allows in all."""
    cost = model.price.usd(most) if model.price else None
    if cost == 0:
        return Permission(granted=True)
    in_all = sum(line.usd for line in spent)
    if budget_usd is not None and (
        budget_usd <= 0 or (cost is not None and not _within(in_all + cost, budget_usd))
    ):
        return Permission(why_not=f"The run's budget of ${budget_usd:.2f} does not allow it.")
    on_models = sum(line.usd for line in spent if line.backend == BACKEND)
    if cost is not None and _within(on_models + cost, model.allowance_usd):
        return Permission(granted=True)
    decided = [
        d for d in decisions if d.kind == DecisionKind.LLM and slug_in(d.interrupt_id) == slug_of(model)
    ]
    if not decided:
        return Permission(ask=True)
    last = decided[-1]
    if last.value != USE:
        return Permission()
    if last.price_usd is None:
        return Permission(granted=cost is None, ask=cost is not None)
    return (
        Permission(granted=True)
        if cost is not None and _within(on_models + cost, last.price_usd)
        else Permission(ask=True)
    )


def _within(usd: float, most_usd: float) -> bool:
    """Sums of dollars are off by less than a billionth."""
    return usd <= most_usd + 1e-9


async def permitted(state: RunState, context: Context, prompt: Prompt[T]) -> Question | bool:
    """Whether ``prompt`` may be sent, or the question that decides it. The reason why not is noted. What the run has
    the answer to is not sent again."""
    model, store = context.deps.llm, context.deps.store
    if model is None:
        return False
    key = _key(context, model, prompt)
    if any(e.key == key and e.result is not None for e in await store.effects(context.run_id)):
        return True
    lines = await store.ledger(run_id=context.run_id)
    found = permission(
        model, prompt.most(), lines, await store.decisions(context.run_id), _budget(state["request"], state)
    )
    if found.ask:
        return _question(context, model, prompt, sum(line.usd for line in lines if line.backend == BACKEND))
    if found.why_not:
        await context.note(f"I did not ask {model.name} to {prompt.purpose}. {found.why_not}")
    return found.granted


def _budget(request: Request, state: RunState) -> float | None:
    """The tightest of what the flag and the sentence allow."""
    task = state.get("task")
    given = (request.budget_usd, task.constraints.budget_usd if task else None)
    return min((usd for usd in given if usd is not None), default=None)


def _question(context: Context, model: LanguageModel, prompt: Prompt[T], before_usd: float) -> Question:
    provider = model.name.partition(":")[0]
    if model.price is None:
        costs = "Its price is not known to me; INTERN_LLM_PRICE can say it."
        total = None
    else:
        usd = model.price.usd(prompt.most())
        costs = f"That costs at most ${math.ceil(usd * 100) / 100:.2f} ({_dated(model)})."
        total = round(before_usd + usd, 4)
    return context.question(
        DecisionKind.LLM,
        Stage.NEEDS_HUMAN,
        f"May I ask the language model {model.name} to {prompt.purpose}? {costs} The text goes to {provider}.",
        (
            Choice(USE, "Ask it", "what it says is checked against the text", "primary"),
            Choice(WITHOUT, "Go on without it", "rules alone decide"),
        ),
        slug=slug_of(model),
        default=WITHOUT,
        price_usd=total,
        back_to=context.stage,
    )


def _dated(model: LanguageModel) -> str:
    assert model.price is not None
    return ", ".join(part for part in (model.price.source, model.price.as_of) if part)


async def ask(state: RunState, context: Context, prompt: Prompt[T]) -> T:
    """The model's answer; the recorded one after a crash, and in later visits of the stage. Ask :func:`permitted`
    first. Raises LlmError."""
    model, store = context.deps.llm, context.deps.store
    assert model is not None
    key = _key(context, model, prompt)
    effect = await store.claim(key, context.run_id, fence=context.deps.fence)
    if effect.result is not None:
        await _settle(context, effect.result)
        try:
            return prompt.answer.model_validate(effect.result["answer"])
        except ValidationError:
            raise LlmError(
                "What the language model answered was not kept well.", "", FailureKind.DATA_ERROR
            ) from None
    line = await _commit(state, context, model, prompt, key)
    try:
        reply = await model.ask(prompt)
    except LlmError as error:
        if error.tokens or not error.maybe_billed:
            await store.settle(line, _cost(model, error.tokens), error.tokens)
        raise
    usd = _cost(model, reply.tokens)
    result = {
        "answer": reply.value.model_dump(mode="json"),
        "usd": usd,
        "line": line,
        "tokens": plain(reply.tokens),
    }
    await store.record(key, result, fence=context.deps.fence)
    await _settle(context, result)
    await context.say(EventType.NOTE, key, text=_paid(model, prompt, reply.tokens, usd), level="info")
    return reply.value


async def _settle(context: Context, result: Mapping[str, Any]) -> None:
    """The ledger's line of an answer that was recorded. One whose tokens nobody told counts as it was committed."""
    if result.get("tokens"):
        await context.deps.store.settle(result["line"], result["usd"], Tokens(**result["tokens"]))


def _paid(model: LanguageModel, prompt: Prompt[T], tokens: Tokens | None, usd: float) -> str:
    asked = f"{model.name} was asked to {prompt.purpose}"
    if tokens is None:
        return f"{asked}: it did not say how many tokens that took, so all that were allowed count."
    price = f"${usd:.4f}" if model.price else "at a price that is not known to me"
    return f"{asked}: {tokens.input:,} tokens in, {tokens.output:,} out, {price}."


def _key(context: Context, model: LanguageModel, prompt: Prompt[T]) -> str:
    """One for each question of the run, whichever visit of a stage asks it."""
    asked = (
        model.name,
        prompt.instructions,
        *((m.name, m.text) for m in prompt.material),
        prompt.answer.__name__,
    )
    return f"{context.run_id}-{SLUG}-{hashlib.sha256(repr(asked).encode()).hexdigest()[:16]}"


async def note_failure(context: Context, error: LlmError, instead: str) -> None:
    """A model that could not be asked never ends a run."""
    text = " ".join(filter(None, (error.detail, error.hint, instead)))
    await context.say(EventType.NOTE, f"{SLUG}-{error.kind}", text=text, level="warning", kind=error.kind)


def _cost(model: LanguageModel, tokens: Tokens | None) -> float:
    return model.price.usd(tokens) if model.price and tokens else 0.0


async def _commit(
    state: RunState, context: Context, model: LanguageModel, prompt: Prompt[T], key: str
) -> str:
    """The ledger's line for the question. Raises LlmError where a budget stands against it, or where two of them
    were never settled: processes died while they waited for the answer, or it did not come in time."""
    store, request = context.deps.store, state["request"]
    before = [line for line in await store.ledger(run_id=context.run_id) if line.key.startswith(key)]
    if sum(spent.actual_usd is None for spent in before) >= _MAX_CUT_OFF:
        raise LlmError(
            f"Two questions to {model.name} were cut off, so I do not ask a third time.",
            "",
            FailureKind.PREEMPTED,
        )
    line, usd = f"{key}-{len(before) + 1}", _cost(model, prompt.most())
    spend = Spend(
        line,
        context.run_id,
        "",
        BACKEND,
        model.name,
        f"{request.surface}:{request.requester}",
        request.channel or "",
        usd if model.price else None,
        usd,
        context.deps.at(),
    )
    against = await store.commit_spend(spend, context.deps.budgets, fence=context.deps.fence)
    if against:
        raise LlmError(
            f"The budget for this {against} does not allow ${usd:.2f} more for {model.name}.",
            "The one who runs me can raise INTERN_BUDGETS.",
            FailureKind.NO_CREDIT,
        )
    return line
