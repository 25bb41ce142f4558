"""Draws Slack messages: blocks -> HTML that looks like a Slack thread -> PNG, to look at cards and for docs/slack.md.

``gallery.py`` says which. The frame is drawn after Slack's own look on a phone (390 px wide) and on a desk. A block or
element that is not known raises, so that a new one is not left out unseen. Needs Chromium (Debian: ``apt-get install
chromium fonts-lato fonts-noto-color-emoji``) and Pillow, which comes with matplotlib.
"""

from __future__ import annotations

import base64
import html
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PHONE, DESK = 390, 760  # px
SCALE = 2  # device pixels per px
TALLEST = 4000  # px
COLOURS = 128  # keeps a picture under 150 kB
TIMEOUT_S = 120

Json = Mapping[str, Any]
NAMES = {"U0ALICE": "Anna", "U0BOB": "Bob", "U0BOT": "intern", "S0LEADS": "ml-leads"}
STYLE = Path(__file__).with_suffix(".css").read_text(encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Post:
    """One message. ``pictures``: files below it, with their titles. ``only_you``: an ephemeral one."""

    blocks: Sequence[Json]
    who: str = "intern"
    at: str = "12:00"
    bot: bool = True
    only_you: bool = False
    replies: int = 0
    pictures: Sequence[tuple[Path, str]] = field(default_factory=tuple)


def said(text: str, who: str = "Anna", at: str = "12:00") -> Post:
    """What a person wrote to the intern."""
    elements = [{"type": "user", "user_id": "U0BOT"}, {"type": "text", "text": f" {text}"}]
    block = {"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": elements}]}
    return Post([block], who, at, bot=False)


# -- blocks -> HTML --------------------------------------------------------------------------------------------


def page(body: str, width: int, bar: str = "", small: str = "") -> str:
    """A whole page: ``body`` is HTML, ``bar`` the channel's name above it."""
    top = f'<div class="bar">{_e(bar)}<small>{_e(small)}</small></div>' if bar else ""
    look = "phone" if width <= PHONE else "desk"
    return (
        f'<!doctype html><meta charset="utf-8"><style>{STYLE}</style>'
        f'<body class="{look}" style="width:{width}px">{top}{body}</body>'
    )


def thread(posts: Iterable[Post]) -> str:
    return f'<div class="page">{"".join(map(_post, posts))}</div>'


def modal(view: Json) -> str:
    ends = _button({"text": view["close"]}) + _button({"text": view["submit"], "style": "primary"})
    return (
        f'<div class="modal"><div class="bar">{_text(view["title"])}</div>'
        f'<div class="page">{blocks(view["blocks"])}</div><div class="ends">{ends}</div></div>'
    )


def blocks(given: Iterable[Json]) -> str:
    """HTML of blocks. Raises KeyError for a type that is not known."""
    return "".join(_BLOCKS[block["type"]](block) for block in given)


def _post(post: Post) -> str:
    app = '<span class="app">APP</span>' if post.bot else ""
    only = '<div class="only">Only visible to you</div>' if post.only_you else ""
    replies = f'<div class="replies">{post.replies} replies</div>' if post.replies else ""
    return (
        f'{only}<div class="post"><div class="face {"bot" if post.bot else ""}">{_e(post.who[:1].upper())}</div>'
        f'<div class="said"><div class="who">{_e(post.who)}{app}<time>{_e(post.at)}</time></div>'
        f"{blocks(post.blocks)}{''.join(_picture(*shown) for shown in post.pictures)}{replies}</div></div>"
    )


def _picture(path: Path, title: str) -> str:
    data = base64.b64encode(path.read_bytes()).decode()
    return f'<div class="file">{_e(title)}<img alt="{_e(title)}" src="data:image/png;base64,{data}"></div>'


def _e(text: str) -> str:
    return html.escape(text, quote=True)


def _text(given: Json) -> str:
    return _e(given["text"])


def _rich(block: Json) -> str:
    return f'<div class="rich">{"".join(_PARTS[part["type"]](part) for part in block["elements"])}</div>'


def _section(part: Json) -> str:
    return "".join(_INLINE[element["type"]](element) for element in part["elements"])


def _list(part: Json) -> str:
    return f"<ul>{''.join(f'<li>{_section(item)}</li>' for item in part['elements'])}</ul>"


def _styled(element: Json) -> str:
    shown, style = _e(element["text"]), element.get("style", {})
    for name, tag in (("bold", "b"), ("italic", "i"), ("strike", "s"), ("code", "code")):
        if style.get(name):
            shown = f"<{tag}>{shown}</{tag}>"
    return shown


def _link(element: Json) -> str:
    return f"<a>{_e(element.get('text') or element['url'])}</a>"


def _person(element: Json) -> str:
    id_: str = element["user_id" if element["type"] == "user" else "usergroup_id"]
    return f'<span class="mention me">@{_e(NAMES.get(id_, id_))}</span>'


def _table(block: Json) -> str:
    settings = [*block.get("column_settings", [])]
    rows = []
    for row in block["rows"]:
        cells = zip(row, [*settings, *[{}] * (len(row) - len(settings))], strict=True)
        rows.append(f"<tr>{''.join(_cell(cell, setting) for cell, setting in cells)}</tr>")
    return f'<div class="wide"><table>{"".join(rows)}</table></div>'


def _cell(cell: Json, setting: Json | None) -> str:
    setting = setting or {}
    look = " ".join(
        [
            *(["right"] if setting.get("align") == "right" else []),
            *(["wrapped"] if setting.get("is_wrapped") else []),
        ]
    )
    parts = cell["elements"] if cell["type"] == "rich_text" else []
    shown = "".join(_PARTS[part["type"]](part) for part in parts) if parts else _e(cell["text"])
    return f'<td class="{look}">{shown}</td>'


def _button(element: Json) -> str:
    return f'<span class="button {_e(element.get("style", ""))}">{_text(element["text"])}</span>'


def _menu(element: Json) -> str:
    chosen = element.get("initial_option", {}).get("text") or element.get("placeholder") or {"text": "Choose"}
    return f'<span class="button menu">{_text(chosen)}</span>'


def _actions(block: Json) -> str:
    return f'<div class="buttons">{"".join(_ELEMENTS[e["type"]](e) for e in block["elements"])}</div>'


def _mrkdwn_section(block: Json) -> str:
    texts = [block["text"]] if "text" in block else list(block["fields"])
    beside = block.get("accessory")
    shown = "".join(f'<div class="rich">{_text(text)}</div>' for text in texts)
    return shown + (_ELEMENTS[beside["type"]](beside) if beside else "")


def _plan(block: Json) -> str:
    marks = {"complete": "✓", "in_progress": "◐", "pending": "○", "error": "✕"}
    tasks = [
        f"{marks[task['status']]} {_e(task['title'])}{blocks([task['details']]) if 'details' in task else ''}"
        for task in block["tasks"]
    ]
    return f'<div class="plan"><b>{_e(block["title"])}</b>{"<br>".join(tasks)}</div>'


def _input(block: Json) -> str:
    element, hint = block["element"], block.get("hint")
    inside = element.get("initial_value") or element.get("placeholder", {}).get("text", "")
    inside = {"static_select": "Select an option ⌄", "file_input": "Add a file"}.get(element["type"], inside)
    long = " long" if element.get("multiline") else ""
    optional = " <small style='display:inline'>(optional)</small>" if block.get("optional") else ""
    small = f"<small>{_text(hint)}</small>" if hint else ""
    field_ = f'<div class="field{long}">{_e(inside)}</div>'
    return f'<div class="input">{_text(block["label"])}{optional}{field_}{small}</div>'


_INLINE = {"text": _styled, "link": _link, "user": _person, "usergroup": _person}
_PARTS = {
    "rich_text_section": _section,
    "rich_text_list": _list,
    "rich_text_quote": lambda part: f"<blockquote>{_section(part)}</blockquote>",
    "rich_text_preformatted": lambda part: f"<pre>{_section(part)}</pre>",
}
_ELEMENTS = {"button": _button, "static_select": _menu}
_BLOCKS = {
    "header": lambda block: f"<h3>{_text(block['text'])}</h3>",
    "rich_text": _rich,
    "context": lambda block: f'<div class="context">{" ".join(map(_text, block["elements"]))}</div>',
    "divider": lambda block: "<hr>",
    "table": _table,
    "plan": _plan,
    "actions": _actions,
    "section": _mrkdwn_section,
    "input": _input,
}


# -- HTML -> PNG -----------------------------------------------------------------------------------------------


def shoot(shown: str, width: int, into: Path) -> None:
    """A picture of the page, as wide as given and as high as it has to be. Raises RuntimeError without Chromium."""
    from PIL import Image, ImageChops

    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        raise RuntimeError("Chromium is needed: apt-get install chromium.")
    with tempfile.TemporaryDirectory() as folder:
        at, raw = Path(folder) / "page.html", Path(folder) / "page.png"
        at.write_text(shown, encoding="utf-8")
        command = [
            browser,
            "--headless",
            "--no-sandbox",
            "--hide-scrollbars",
            f"--user-data-dir={folder}/profile",
        ]
        command += [f"--force-device-scale-factor={SCALE}", f"--window-size={max(width, 500)},{TALLEST}"]
        subprocess.run(
            [*command, f"--screenshot={raw}", at.as_uri()], check=True, capture_output=True, timeout=TIMEOUT_S
        )
        whole = Image.open(raw).convert("RGB").crop((0, 0, width * SCALE, TALLEST * SCALE))
    box = ImageChops.difference(whole, Image.new("RGB", whole.size, "white")).getbbox()
    assert box is not None, "the page is empty"
    small = whole.crop((0, 0, width * SCALE, min(box[3] + 12 * SCALE, whole.height)))
    small.quantize(COLOURS, dither=Image.Dither.NONE).save(into, optimize=True)
