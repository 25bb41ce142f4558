"""Cards about what came out: evaluation, stress test, files, publication, the end. Pure."""

from __future__ import annotations

from typing import Any

from bot.cards import Action, Bullets, Column, Fields, FileLink, Picture, Place, Style, Table, Text, Tone
from bot.views import words
from bot.views.payload import Payload, as_number
from bot.views.story import Story
from bot.views.training import leaderboard

_HEADLINE = 4  # metrics beside the deciding one
_FILES = (
    ("report.md", "What to read first"),
    ("model/README.md", "Model card"),
    ("model/model.safetensors", "The model"),
    ("metrics.json", "All metrics"),
    ("predictions.csv", "The predictions they are computed from"),
    ("train.py", "The script that ran"),
    ("config.json", "Its settings"),
    ("space/app.py", "A demo"),
    ("run.json", "Everything about this run"),
)
_PLANNED_FILES = 12  # shown of what would be published; `intern publish RUN --dry-run` lists all
_REPOS = {"model": "Model", "space": "Demo", "dataset": "Split"}
_TONES = {"done": Tone.GOOD, "failed": Tone.BAD, "cancelled": Tone.WARN}
_TITLES = {"done": "Done", "failed": "It did not work", "cancelled": "Cancelled"}


def evaluated(story: Story, payload: Payload) -> Story:
    headline = _headline(payload)
    plots = tuple(
        Picture(plot.text("path"), plot.text("alt", "A plot of the evaluation"))
        for plot in payload.parts("plots")
    )
    notes = payload.texts("notes")
    return story.but(plots=plots).card(  # shown with the files: until then they lie in the job's folder
        "evaluation",
        "On rows never trained on",
        *_numbers(payload),
        Bullets(notes, Style.WARN) if notes else None,
        tone=Tone.GOOD,
        fallback=f"Evaluated: {headline}. {payload.text('verdict')}".strip(),
    )


def _verdict(payload: Payload) -> list[Any]:
    """The deciding metric and what it means."""
    return [
        Text(_headline(payload), Style.STRONG) if _headline(payload) else None,
        Text(payload.text("verdict")) if payload.text("verdict") else None,
    ]


def _numbers(payload: Payload) -> list[Any]:
    """Headline, verdict, the other metrics and the leaderboard."""
    primary, metrics = payload.text("primary"), payload.part("metrics")
    others = [name for name in metrics.data if name != primary and metrics.part(name).has("value")][
        :_HEADLINE
    ]
    rows = payload.parts("leaderboard")
    model = next((number for number, row in enumerate(rows) if row.text("name") == "model"), None)
    return [
        *_verdict(payload),
        Text("Also: " + "; ".join(_other(name, metrics.part(name)) for name in others), Style.MUTED)
        if others
        else None,
        leaderboard(rows, primary, strong=model) if rows else None,
        *_reported(payload),
    ]


def _reported(payload: Payload) -> list[Any]:
    """Scores of others for the same data, metric and split; never rows of the leaderboard."""
    lines = tuple(
        f"{words.cut(row.text('model'), 80)}: {words.metric_name(row.text('metric'))} "
        f"{words.number(row.number('value'))} ({words.cut(row.text('url'), 120)})"
        for row in payload.parts("reported")
    )
    if not lines:
        return []
    return [Text("Reported by others, not measured here:", Style.MUTED), Bullets(lines, Style.MUTED)]


def _headline(payload: Payload) -> str:
    primary = payload.text("primary")
    value = payload.part("metrics").part(primary)
    return words.scored(primary, value) if value.has("value") else ""


def _other(name: str, value: Payload) -> str:
    between = words.interval(value)
    return f"{words.metric_name(name)} {words.score(value)}" + (f" ({between})" if between else "")


def stressed(story: Story, payload: Payload) -> Story:
    findings, suggestions = payload.parts("findings"), payload.parts("suggestions")
    rows = tuple(
        (
            f.text("name") or f.text("kind"),
            _measured(f.data.get("before")),
            _measured(f.data.get("after")),
            f.text("detail"),
        )
        for f in findings
    )
    columns = (
        Column("Attack"),
        Column("Before", right=True),
        Column("After", right=True),
        Column("What happened"),
    )
    ideas = tuple(f"{s.text('title')}: {s.text('reason')}" for s in suggestions)
    return story.card(
        "stress",
        "Under attack",
        Table(columns, rows) if rows else Text("No attack could be measured."),
        Text("What would help, the largest gain first:", Style.MUTED) if ideas else None,
        Bullets(ideas) if ideas else None,
        tone=Tone.WARN if ideas else Tone.GOOD,
        fallback=f"Stress test: {words.plural(len(ideas), 'suggestion')}.",
        actions=tuple(
            Action(s.text("title"), f"suggestion:{s.text('id')}", s.text("reason")) for s in suggestions
        ),
    )


def _measured(value: Any) -> str:
    if isinstance(value, str):
        return value
    number = as_number(value)
    return words.score(Payload(value)) if number is None else f"{number:.3f}"


def packaged(story: Story, payload: Payload) -> Story:
    files = {f.text("path"): f.number("bytes") for f in payload.parts("files")}
    links = tuple(
        FileLink(path, title, None if (count := files[path]) is None else int(count))
        for path, title in _FILES
        if path in files
    )
    rest = len(files) - len(links)
    size = payload.number("size_mb")
    return story.card(
        "package",
        "The files",
        Place("Folder", payload.text("folder")),
        Fields((("Model", f"{words.number(size, 1)} MB" if size is not None else "–"),)),
        *links,
        *story.plots,
        Text(f"and {words.plural(rest, 'more file')}", Style.MUTED) if rest > 0 else None,
        *_planned(payload.part("would_publish")),
        fallback=f"Packaged {words.plural(len(files), 'file')}.",
    )


def _planned(planned: Payload) -> list[Any]:
    """What a yes would publish: each file with its size."""
    files = planned.parts("files")
    if not files:
        return []
    total = sum(file.number("bytes") or 0 for file in files)
    rows = tuple((_named(file), words.size(file.number("bytes") or 0)) for file in files[:_PLANNED_FILES])
    rest = len(files) - len(rows)
    return [
        Text(
            f"A yes would send {words.plural(len(files), 'file')}, {words.size(total)}, "
            f"to {planned.text('target')}:"
        ),
        Table((Column("File"), Column("Size", right=True)), rows),
        Text(f"and {words.plural(rest, 'more file')}", Style.MUTED) if rest > 0 else None,
    ]


def _named(file: Payload) -> str:
    repo = file.text("repo")
    return f"{repo}: {file.text('path')}" if repo and repo != "model" else file.text("path")


def published(story: Story, payload: Payload) -> Story:
    url = payload.text("url") or payload.text("target")
    who = "only you and those you invite" if payload.flag("private", True) else "everyone"
    repos = payload.parts("repos")
    others = tuple(
        (_REPOS.get(repo.text("type"), "Also"), repo.text("url")) for repo in repos if repo.text("url") != url
    )
    pulls = tuple(("Pull request", repo.text("pull_request")) for repo in repos if repo.text("pull_request"))
    checkup = payload.part("checkup")
    differs = bool(checkup.number("differing"))
    revision = payload.text("revision")[:12]
    fields = (
        ("Where", url),
        ("For", who),
        *others,
        *pulls,
        ("Revision", revision),
        ("Files", words.number(len(payload.texts("files")))),
    )
    return story.card(
        "published",
        "Published" if not pulls else "Published, where others have to merge it",
        Fields(tuple((name, value) for name, value in fields if value)),
        Text(checkup.text("detail"), Style.WARN if differs else Style.MUTED)
        if checkup.text("detail")
        else None,
        tone=Tone.WARN if differs else Tone.GOOD,
        fallback=f"Published to {url}.",
    )


def unpublished(story: Story, payload: Payload) -> Story:
    who = payload.text("by", "Somebody")
    return story.card(
        "unpublished",
        "Taken back",
        Bullets(payload.texts("said")),
        tone=Tone.WARN,
        fallback=f"{who} took back what was published.",
    )


def ended(story: Story, payload: Payload) -> Story:
    status, summary = payload.text("status", "failed"), payload.part("summary")
    story = story.but(endings=story.endings + 1)
    done, title = status == "done", _TITLES.get(status, status)
    fields = (
        ("Published", summary.text("published")),
        (
            "Took",
            f"{words.duration(payload.number('seconds'))}, {words.usd(payload.number('usd'))}"
            if done
            else "",
        ),
    )
    shown, folder = tuple((name, value) for name, value in fields if value), payload.text("folder")
    detail = f"{payload.text('detail')} {payload.text('hint')}".strip()
    numbers = _verdict if "evaluation" in story.cards else _numbers  # the table stands a little above
    return story.card(
        f"ended:{story.endings}",
        f"{title}: {summary.text('title') or story.title}" if done else title,
        Text(detail) if detail and not done else None,
        *(numbers(summary) if done else ()),
        Place("Files", folder) if folder else None,
        Fields(shown) if shown else None,
        tone=_TONES.get(status, Tone.NEUTRAL),
        fallback=f"{title}: {_headline(summary) if done else detail}",
    )
