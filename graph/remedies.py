"""What to try after a failure: pure functions from a failure's kind, settings and past to the next remedy.

Decisions:

- A ladder a kind (``_LADDERS``), each rung a small pure function that answers ``None`` where it would change
  nothing, so no remedy is tried twice for nothing. How many rungs were used stands in the trail of attempts,
  which is persisted with the run: a new process continues on the same rung.
- The *effective* batch (batch size times accumulation) is never touched, so a run that was short of memory
  trains the same model as one that was not, and goes on from its checkpoint where it left one.
- Rates far outside of what fine-tuning uses go straight to the recipe's default: thirds of an absurd value
  are absurd too.
- ``raises_cost`` is a claim about money and time: unless :class:`Limits` shows that the remedy stays within
  what a person approved, a slower remedy or another machine needs a new approval. Unknown is never "cheap".
- At most ``MAX_ATTEMPTS`` remedies in all; then ``None``, and a person is asked with the trail.
"""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypedDict

from graph.names import FailureKind
from graph.routes import MAX_ATTEMPTS
from graph.state import Attempt

Action = Literal["retry", "resume", "next_offer", "ask"]

# What another machine may mend.
ELSEWHERE = (
    FailureKind.NO_CREDIT,
    FailureKind.NO_CAPACITY,
    FailureKind.NO_TOKEN,
    FailureKind.UNREACHABLE,
    FailureKind.DENIED,
)

DEFAULT_RATE, DEFAULT_HEAD_RATE = 2e-4, 2e-3  # the recipe's (facts: .928 on BANKING77)
SANE_RATE, SANE_HEAD_RATE = 1e-3, 2e-2  # above these a rate is a mistake, not a choice
LOWEST_RATE = 1e-6
RATE_FACTOR = 0.3
CLIP_NORM = 0.5
SHORTEST_LENGTH = 32  # tokens
SHORTEST_RESUME_S = 30.0  # what a resumed training needs for imports and saving
CHECKPOINTING_SLOWDOWN = 1.35  # the forward pass runs twice: a third more work
FP32_SLOWDOWN = 1.8  # the largest gain of bf16 that was measured


class Limits(TypedDict, total=False):
    """What the run knows about itself. Any key may be missing, which means "not known"."""

    approved_s: float  # the plan's ceiling
    estimated_s: float  # of one whole training with the present settings
    spent_s: float  # by all attempts so far
    approved_usd: float
    next_offer_usd: float  # of the next offer's whole training
    offers_left: int
    hidden_layers: int
    precision: str  # what the smoke test resolved "auto" to
    checkpoint: bool  # whether the failed training left one
    mended_script: bool  # whether the smoke test left a copy with renamed arguments
    own_script: bool  # whether the script is not the tested recipe


@dataclass(frozen=True, slots=True)
class Remedy:
    kind: FailureKind
    action: Action
    changes: Mapping[str, Any] = field(default_factory=dict)  # to the training's config
    text: str = ""  # one sentence for people
    raises_cost: bool = False  # needs a new approval
    script: Literal["keep", "mended", "recipe"] = "keep"  # which script the next try runs


@dataclass(frozen=True, slots=True)
class _Rung:
    """A remedy before its price is known. ``slowdown``: seconds after / seconds before."""

    action: Action
    text: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    slowdown: float = 1.0
    script: Literal["keep", "mended", "recipe"] = "keep"


_Step = Callable[[Mapping[str, Any], Limits], _Rung | None]


def remedy(
    kind: FailureKind, config: Mapping[str, Any], attempts: Sequence[Attempt], limits: Limits
) -> Remedy | None:
    """The next thing to try, or ``None`` when the remedies are used up.

    ``config``: the settings of the try that failed. ``attempts``: the earlier tries of the same stage,
    without the one that has just failed. Values of ``config`` that make no sense count as missing.
    """
    if len(attempts) >= MAX_ATTEMPTS:
        return None
    used = sum(attempt.kind == kind for attempt in attempts)
    for step in _LADDERS[kind][used:]:
        rung = step(config, limits)
        if rung is not None:
            return Remedy(
                kind, rung.action, rung.changes, rung.text, _raises_cost(kind, rung, limits), rung.script
            )
    return None


def config_diff(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """The settings that differ as ``-name: old`` and ``+name: new`` lines, sorted by name; "" if none."""
    old, new = _lines(before), _lines(after)
    diff = difflib.unified_diff(old, new, n=0, lineterm="")
    return "\n".join(line for line in diff if not line.startswith(("---", "+++", "@@")))


def _lines(config: Mapping[str, Any]) -> list[str]:
    return [f"{k}: {json.dumps(config[k], ensure_ascii=False, default=str)[:200]}" for k in sorted(config)]


def _raises_cost(kind: FailureKind, rung: _Rung, limits: Limits) -> bool:
    if rung.action == "ask":
        return False  # nothing runs until a person has answered
    if rung.action == "next_offer":
        price, approved_usd = limits.get("next_offer_usd"), limits.get("approved_usd")
        return price is None or approved_usd is None or price > approved_usd
    approved_s, estimated_s = limits.get("approved_s"), limits.get("estimated_s")
    if approved_s is None or estimated_s is None:
        # A deadline that was hit is the approved time, spent.
        return rung.slowdown > 1.0 or kind is FailureKind.TIMEOUT
    spent_s = limits.get("spent_s", 0.0)
    budget_s = rung.changes.get("time_budget_s")
    if budget_s is not None:
        return spent_s + float(budget_s) > approved_s
    if rung.action == "resume":
        return max(spent_s, estimated_s * rung.slowdown) > approved_s
    return spent_s + estimated_s * rung.slowdown > approved_s


def _number(config: Mapping[str, Any], key: str, default: float) -> float:
    value: Any = config.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return default
    return float(value)


# Memory


def _halve_batch(config: Mapping[str, Any], limits: Limits) -> _Rung | None:
    batch = int(_number(config, "batch_size", 32))
    accumulation = int(_number(config, "gradient_accumulation", 1))
    if batch < 2 or batch % 2:
        return None
    text = (
        f"I halve the batch to {batch // 2} rows and accumulate twice the steps, which trains the same model."
    )
    return _Rung(_again(limits), text, {"batch_size": batch // 2, "gradient_accumulation": accumulation * 2})


def _checkpoint_gradients(config: Mapping[str, Any], limits: Limits) -> _Rung | None:
    if config.get("gradient_checkpointing"):
        return None
    text = "I recompute activations instead of keeping them: less memory for a third more time."
    return _Rung(_again(limits), text, {"gradient_checkpointing": True}, CHECKPOINTING_SLOWDOWN)


def _again(limits: Limits) -> Action:
    """How to go on after a change that leaves the model's mathematics alone: its checkpoint still fits."""
    return "resume" if limits.get("checkpoint", False) else "retry"


def _shorten(config: Mapping[str, Any], limits: Limits) -> _Rung | None:
    length = int(_number(config, "max_length", 128))
    shorter = max(length // 2, SHORTEST_LENGTH)
    if shorter >= length:
        return None
    text = f"I cut texts at {shorter} tokens instead of {length}, so very long texts lose their end."
    return _Rung("retry", text, {"max_length": shorter})


def _freeze_more(config: Mapping[str, Any], limits: Limits) -> _Rung | None:
    layers = limits.get("hidden_layers", 6)
    frozen = int(_number(config, "frozen_layers", 0))
    more = max(frozen + 1, (frozen + layers + 1) // 2)
    if more >= layers:
        return None
    text = f"I train only the upper {layers - more} of {layers} layers, which needs less memory and time."
    return _Rung("retry", text, {"frozen_layers": more})


# Loss


def _calm(config: Mapping[str, Any], limits: Limits) -> _Rung | None:
    """Full precision, a lower rate, gradients clipped harder."""
    changes, slowdown = _lower_rates(config), 1.0
    if not changes:
        return None
    changes["max_grad_norm"] = _clip(config)
    precision = config.get("precision", "fp32")
    if precision == "auto":
        precision = limits.get("precision", "auto")
    words = ""
    if precision != "fp32":
        changes["precision"], slowdown, words = "fp32", FP32_SLOWDOWN, "calculate in full precision, "
    text = (
        f"I {words}lower the learning rate to {changes['learning_rate']:g} and clip gradients at 0.5 or less."
    )
    return _Rung("retry", text, changes, slowdown)


def _warm_up(config: Mapping[str, Any], limits: Limits) -> _Rung | None:
    """A lower rate after a longer warm-up, with clipping."""
    changes = _lower_rates(config)
    if not changes:
        return None
    changes["warmup_fraction"] = min(max(2 * _number(config, "warmup_fraction", 0.05), 0.1), 0.3)
    changes["max_grad_norm"] = _clip(config)
    text = (
        f"I lower the learning rate to {changes['learning_rate']:g} and warm up for longer, "
        "because the loss ran away."
    )
    return _Rung("retry", text, changes)


def _lower_rates(config: Mapping[str, Any]) -> dict[str, Any]:
    if 0 < _number(config, "learning_rate", DEFAULT_RATE) <= LOWEST_RATE:
        return {}
    return {
        "learning_rate": _lower(config.get("learning_rate", DEFAULT_RATE), SANE_RATE, DEFAULT_RATE),
        "head_learning_rate": _lower(
            config.get("head_learning_rate", DEFAULT_HEAD_RATE), SANE_HEAD_RATE, DEFAULT_HEAD_RATE
        ),
    }


def _lower(rate: Any, sane: float, default: float) -> float:
    if not isinstance(rate, int | float) or not 0 < rate <= sane:  # the latter is also true of not-a-number
        return default
    return float(f"{rate * RATE_FACTOR:.3g}")


def _clip(config: Mapping[str, Any]) -> float:
    norm = _number(config, "max_grad_norm", CLIP_NORM)
    return norm if 0 < norm < CLIP_NORM else CLIP_NORM  # 0 means "not clipped"


def _stop_sooner(config: Mapping[str, Any], limits: Limits) -> _Rung | None:
    epochs = _number(config, "epochs", 3)
    if epochs <= 1:
        return None
    shorter = max(int(epochs) // 2, 1)
    smoothing = max(_number(config, "label_smoothing", 0.0), 0.1)
    text = f"I train for {shorter} instead of {epochs:g} epochs with smoothed labels and keep the best epoch."
    return _Rung("retry", text, {"epochs": shorter, "label_smoothing": smoothing, "patience": 1})


# Time and place


def _resume_with_rest(config: Mapping[str, Any], limits: Limits) -> _Rung | None:
    approved_s, spent_s = limits.get("approved_s"), limits.get("spent_s")
    if approved_s is None or spent_s is None or not limits.get("checkpoint", True):
        return None
    left_s = approved_s - spent_s
    if left_s < SHORTEST_RESUME_S:
        return None
    text = f"I go on from the last checkpoint and end within the {left_s:.0f} s that are left."
    return _Rung("resume", text, {"time_budget_s": float(int(left_s))})


def _train_less(config: Mapping[str, Any], limits: Limits) -> _Rung | None:
    frozen = _freeze_more(config, limits)
    epochs = _number(config, "epochs", 3)
    changes = dict(frozen.changes) if frozen else {}
    if epochs > 1:
        changes["epochs"] = max(int(epochs) // 2, 1)
    if not changes:
        return None
    # Which of the two was too slow is not known: half of the work is what both together promise.
    text = "I start again with fewer layers to train and fewer epochs, because the time ran out."
    return _Rung("retry", text, changes, 0.5)


def _resume(config: Mapping[str, Any], limits: Limits) -> _Rung | None:
    if limits.get("checkpoint", True):
        return _Rung("resume", "I go on from the last checkpoint with the same settings.")
    return _Rung("retry", "I start again with the same settings, as there was no checkpoint yet.")


def _retry(config: Mapping[str, Any], limits: Limits) -> _Rung | None:
    return _Rung("retry", "I try once more with the same settings, in case it was chance.")


def _next_offer(config: Mapping[str, Any], limits: Limits) -> _Rung | None:
    if limits.get("offers_left", 1) < 1:
        return None
    return _Rung("next_offer", "I look for the next machine that can take the training.")


def _mended_script(config: Mapping[str, Any], limits: Limits) -> _Rung | None:
    if not limits.get("mended_script"):
        return None
    text = "I rename the arguments that the installed libraries no longer know and try the script again."
    return _Rung("retry", text, script="mended")


def _restore_recipe(config: Mapping[str, Any], limits: Limits) -> _Rung | None:
    if not limits.get("own_script"):
        return None
    return _Rung("retry", "I go back to the tested recipe instead of the changed script.", script="recipe")


def _ask(text: str) -> _Step:
    return lambda config, limits: _Rung("ask", text)


_OTHER_MACHINES: tuple[_Step, ...] = (_next_offer, _next_offer, _next_offer)
_LADDERS: Mapping[FailureKind, tuple[_Step, ...]] = {
    FailureKind.OUT_OF_MEMORY: (
        _halve_batch,
        _halve_batch,
        _checkpoint_gradients,
        _shorten,
        _freeze_more,
        _next_offer,
        _ask("Give the job more memory, or choose a smaller base model."),
    ),
    FailureKind.NAN_LOSS: (
        _calm,
        _calm,
        _warm_up,
        _ask("Look for broken rows or labels, or take the linear model, which cannot lose its numbers."),
    ),
    FailureKind.DIVERGED: (
        _warm_up,
        _warm_up,
        _warm_up,
        _ask("Look for contradicting labels, or take the linear model, which cannot diverge."),
    ),
    FailureKind.OVERFIT: (
        _stop_sooner,
        _freeze_more,
        _ask("Add training rows, or keep the best epoch as it is."),
    ),
    FailureKind.TIMEOUT: (
        _resume_with_rest,
        _train_less,
        _train_less,
        _ask("Allow more minutes, or fewer training rows."),
    ),
    FailureKind.PREEMPTED: (_resume,) * MAX_ATTEMPTS,
    FailureKind.NO_CREDIT: (*_OTHER_MACHINES, _ask("Add credit to the account, or train on this machine.")),
    FailureKind.NO_CAPACITY: (*_OTHER_MACHINES, _ask("Try again later, or train on this machine.")),
    FailureKind.NO_TOKEN: (
        *_OTHER_MACHINES,
        _ask("Set the token that `intern doctor` names, then try again."),
    ),
    FailureKind.UNREACHABLE: (*_OTHER_MACHINES, _ask("Check the network, then try again.")),
    FailureKind.DENIED: (
        *_OTHER_MACHINES,
        _ask("Use a token that may start jobs, or train on this machine."),
    ),
    FailureKind.SCRIPT_ERROR: (
        _mended_script,
        _restore_recipe,
        _ask("Correct the setting or the line that the message names, then try again."),
    ),
    FailureKind.DATA_ERROR: (_ask("Correct the data that the message names, or choose other data."),),
    FailureKind.NO_DISK: (_ask("Free some disk space, then try again."),),
    FailureKind.NOT_ISOLATED: (
        _ask("Install bubblewrap or Docker, or allow running without isolation with --allow-unisolated."),
    ),
    FailureKind.UNKNOWN: (_retry, _ask("Read the job's log.txt, then try again or give up.")),
}
