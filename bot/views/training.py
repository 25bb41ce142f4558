"""Cards from the first try of the script to the trained model. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from bot.cards import Bullets, Code, Column, Fields, Progress, Style, Table, Text, Tone
from bot.views import words
from bot.views.payload import Payload
from bot.views.story import Epoch, Story, TrainingSoFar

MAX_METRIC_COLUMNS = 3  # with the epoch, as many as a phone shows
MAX_OTHERS = 6
_FIRST_METRICS = ("train_loss", "val_loss")
UNSAFE = "none"  # what Plan.isolation says where there is no sandbox


def script_written(story: Story, payload: Payload) -> Story:
    sha, path = payload.text("sha256")[:12], payload.text("path")
    return story.card(
        "script",
        "The training script",
        Fields((("Recipe", payload.text("recipe")), ("File", f"{path} (sha256 {sha})" if sha else path))),
        fallback=f"Wrote {path} from the recipe {payload.text('recipe')}.",
    )


def smoke_tested(story: Story, payload: Payload) -> Story:
    attempt = words.number(payload.number("attempt") or 1)
    if not payload.flag("ok"):
        line = f"Try {attempt} failed ({_kind(payload)}): {payload.text('detail')}"
        return _smoke(story.but(smoke=(*story.smoke, line)), tone=Tone.WARN, live=True, news=line)
    checks = payload.parts("checks")
    rows = tuple(
        (f"{_mark(c.flag('ok', True))} {c.text('name').replace('_', ' ')}", c.text("detail")) for c in checks
    )
    speed = max(payload.part("rows_per_s").numbers().values(), default=None)
    return _smoke(
        story,
        Table((Column("Check"), Column("What was seen")), rows) if rows else None,
        Text(f"Up to {words.number(speed, 0)} rows a second on this machine.", Style.MUTED)
        if speed
        else None,
        tone=Tone.GOOD,
        fallback=f"The script works on a few rows ({words.plural(len(checks), 'check')}, try {attempt}).",
    )


def repaired(story: Story, payload: Payload) -> Story:
    line = f"Mended: {payload.text('remedy')}"
    diff = payload.text("diff")
    told = story.but(smoke=(*story.smoke, line))
    return _smoke(told, Code(diff, "diff") if diff else None, tone=Tone.WORKING, live=True, news=line)


def _smoke(story: Story, *blocks: Any, tone: Tone, fallback: str = "", **more: Any) -> Story:
    trail = Bullets(story.smoke) if story.smoke else None
    fallback = fallback or (story.smoke[-1] if story.smoke else "")
    return story.card("smoke", "Tried on a few rows", trail, *blocks, tone=tone, fallback=fallback, **more)


def baselines_measured(story: Story, payload: Payload) -> Story:
    metric, rows, advice = payload.text("metric"), payload.parts("rows"), payload.texts("advice")
    best = _best(rows, metric)
    headline = (
        f"{words.model_name(rows[best].text('name'))}: {words.score(rows[best].part('score'))}"
        if rows
        else ""
    )
    return story.but(metric=metric).card(
        "baselines",
        "Cheap baselines, on validation rows",
        leaderboard(rows, metric, strong=best) if rows else Text("No baseline could be measured."),
        Bullets(advice, Style.WARN) if advice else None,
        tone=Tone.WARN if advice else Tone.NEUTRAL,
        fallback=f"Best baseline: {headline} {words.metric_name(metric)}." if rows else "",
    )


def leaderboard(rows: list[Payload], metric: str, *, strong: int | None = None) -> Table:
    """Name, score, 95 % interval; and fit time, ms a row and MB where any row has them."""
    extras: list[tuple[str, str, int]] = [
        ("Fit s", "fit_s", 1),
        ("ms/row", "ms_per_row", 2),
        ("MB", "size_mb", 1),
    ]
    kept = [extra for extra in extras if any(row.has(extra[1]) for row in rows)]
    columns = (
        Column("Model"),
        Column(words.metric_name(metric), right=True),
        Column("95 % interval", right=True),
        *(Column(title, right=True) for title, _, _ in kept),
    )
    lines = tuple(
        (
            words.model_name(row.text("name")),
            words.score(row.part("score")),
            words.interval(row.part("score")) or "–",
            *(words.number(row.number(key), digits) for _, key, digits in kept),
        )
        for row in rows
    )
    return Table(columns, lines, strong)


def _best(rows: list[Payload], metric: str) -> int:
    scores = [row.part("score").number("value") for row in rows]
    errors = metric in ("rmse", "mae", "ece")  # smaller is better
    known = [
        (value if not errors else -value, -number) for number, value in enumerate(scores) if value is not None
    ]
    return -max(known)[1] if known else 0


def planned(story: Story, payload: Payload) -> Story:
    plan = payload.part("plan")
    settings = tuple(
        (h.text("name"), _value(h.data.get("value")), h.text("reason")) for h in plan.parts("hyperparameters")
    )
    seconds, price = plan.number("estimated_s"), plan.number("estimated_usd")
    unsafe = plan.text("isolation") == UNSAFE
    advice = (*plan.texts("advice"), *(f"Not available: {refusal}" for refusal in payload.texts("refusals")))
    return story.card(
        f"plan:{payload.text('hash')}",
        "The plan",
        Fields(_plan_fields(plan)),
        Table((Column("Setting"), Column("Value", right=True), Column("Why")), settings)
        if settings
        else None,
        *_others(plan),
        Text("The script would run WITHOUT a sandbox: it could read and change your files.", Style.WARN)
        if unsafe
        else None,
        Bullets(advice, Style.WARN) if advice else None,
        tone=Tone.WARN if advice or unsafe else Tone.NEUTRAL,
        fallback=f"Plan: {plan.text('hardware')}, about {words.duration(seconds)}, {words.usd(price)}.",
    )


def _plan_fields(plan: Payload) -> tuple[tuple[str, str], ...]:
    price, ceiling = plan.number("estimated_usd"), plan.number("ceiling_usd")
    source = ", ".join(part for part in (plan.text("price_source"), plan.text("price_as_of")) if part)
    low, high = plan.number("low_usd"), plan.number("high_usd")
    between = (
        f" ({words.usd(low)} to {words.usd(high)})" if price and low is not None and high is not None else ""
    )
    cost = f"{words.usd(price)}{between}"
    cost += f", at most {words.usd(ceiling)}" if price and ceiling is not None else ""
    limit = plan.number("ceiling_s")
    stops = f", stopped after {words.duration(limit)}" if limit else ""
    return (
        ("Machine", plan.text("hardware") or plan.text("backend")),
        ("Time", f"about {words.duration(plan.number('estimated_s'))}{stops}"),
        ("Price", f"{cost} ({source})" if source and price else cost),
        ("Isolation", plan.text("isolation")),
    )


def _others(plan: Payload) -> tuple[Any, ...]:
    """The other machines, side by side; each can be chosen at the question."""
    others = plan.parts("others")
    if not others:
        return ()
    rows = tuple(
        (o.text("hardware"), words.duration(o.number("estimated_s")), words.usd(o.number("estimated_usd")))
        for o in others[:MAX_OTHERS]
    )
    columns = (Column("Other machines"), Column("Time", right=True), Column("Price", right=True))
    return (Table(columns, rows),)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return words.number(value, 4)
    return "–" if value is None else words.cut(str(value), 60)


# -- while it trains -----------------------------------------------------------------------------------------


def submitted(story: Story, payload: Payload) -> Story:
    attempt = story.training.attempt + 1 if story.training else 1
    where = payload.text("hardware") or payload.text("backend")
    return training_card(story.but(training=TrainingSoFar(attempt, where)), news=f"Training on {where}")


def progressed(story: Story, payload: Payload) -> Story:
    now = story.training or TrainingSoFar(1)
    step, total = payload.number("step") or 0.0, payload.number("total") or 0.0
    eta_s, metrics = payload.number("eta_s"), payload.part("metrics").numbers()
    return training_card(
        story.but(training=replace(now, step=step, total=total, eta_s=eta_s, metrics=metrics))
    )


def epoch_done(story: Story, payload: Payload) -> Story:
    now = story.training or TrainingSoFar(1)
    epoch = Epoch(payload.number("epoch") or 0.0, payload.part("metrics").numbers())
    shown = [m for m in _metric_columns((epoch,), story.metric) if m in epoch.metrics]
    said = ", ".join(f"{words.metric_name(m)} {words.number(epoch.metrics[m])}" for m in shown)
    told = story.but(training=replace(now, epochs=(*now.epochs, epoch)))
    return training_card(told, news=f"Epoch {words.number(epoch.number, 1)}: {said}")


def warned(story: Story, payload: Payload) -> Story:
    now = story.training or TrainingSoFar(1)
    line = payload.text("detail") or _kind(payload)
    return training_card(
        story.but(training=replace(now, warnings=(*now.warnings, line))), news=f"Warning: {line}"
    )


def training_failed(story: Story, payload: Payload) -> Story:
    line = f"Failed ({_kind(payload)}): {payload.text('detail')}"
    return training_card(story, Text(line, Style.WARN), tone=Tone.BAD, live=False, fallback=line)


def trained(story: Story, payload: Payload) -> Story:
    training = payload.part("training")
    seconds, epochs = training.number("seconds"), training.number("epochs")
    paid = words.usd(training.number("usd"))
    said = f"Trained {words.plural(epochs or 0, 'epoch')} in {words.duration(seconds)}, {paid}."
    if training.has("best_epoch") and epochs:
        said += f" Epoch {words.number(training.number('best_epoch'), 1)} was the best and is kept."
    stopped = training.part("summary").text("stopped")
    if stopped in ("budget", "early"):
        said += (
            " Stopped by the time budget."
            if stopped == "budget"
            else " Stopped early: it no longer got better."
        )
    return training_card(story, Text(said), tone=Tone.GOOD, live=False, fallback=said)


def training_card(
    story: Story, *last: Text, tone: Tone = Tone.WORKING, live: bool = True, **more: Any
) -> Story:
    now = story.training or TrainingSoFar(1)
    title = "Training" if now.attempt == 1 else f"Training, attempt {now.attempt}"
    running = Progress(now.step, now.total, _pace(now)) if live else None
    more.setdefault("fallback", f"{title}: {round(100 * running.share) if running else 100} %")
    return story.card(
        f"training:{now.attempt}",
        title,
        running,
        _epochs(now.epochs, story.metric) if now.epochs else None,
        Bullets(now.warnings, Style.WARN) if now.warnings else None,
        *last,
        tone=tone,
        live=live,
        **more,
    )


def _pace(now: TrainingSoFar) -> str:
    loss, rows_per_s = now.metrics.get("loss"), now.metrics.get("rows_per_s")
    parts = [
        f"loss {words.number(loss)}" if loss is not None else "",
        f"{words.number(rows_per_s, 0)} rows/s" if rows_per_s is not None else "",
        f"{words.duration(now.eta_s)} to go" if now.eta_s is not None else "",
    ]
    return ", ".join(part for part in parts if part) or (f"on {now.where}" if now.where else "")


def _epochs(epochs: tuple[Epoch, ...], deciding: str) -> Table:
    metrics = _metric_columns(epochs, deciding)
    columns = (Column("Epoch", right=True), *(Column(words.column_name(m), right=True) for m in metrics))
    rows = tuple(
        (words.number(e.number, 1), *(words.number(e.metrics.get(m)) for m in metrics)) for e in epochs
    )
    return Table(columns, rows)


def _metric_columns(epochs: tuple[Epoch, ...], deciding: str) -> list[str]:
    """Losses first, then the deciding metric, then the others by their first appearance."""
    first = (*_FIRST_METRICS, deciding)
    seen = list(dict.fromkeys(name for epoch in epochs for name in epoch.metrics))
    return sorted(seen, key=lambda m: first.index(m) if m in first else len(first))[:MAX_METRIC_COLUMNS]


def recovered(story: Story, payload: Payload) -> Story:
    attempt = words.number(payload.number("attempt") or 1)
    said = f"{payload.text('remedy')} (after {_kind(payload)}, remedy {attempt})"
    return story.card(
        f"recovered:{attempt}", "Recovering", Text(said), tone=Tone.WARN, fallback=f"Recovering: {said}"
    )


def _kind(payload: Payload) -> str:
    return payload.text("kind", "unknown").replace("_", " ")


def _mark(ok: bool) -> str:
    return "✓" if ok else "✗"
