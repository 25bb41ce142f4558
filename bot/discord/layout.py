"""From what ``bot.discord.render`` decided to discord.py's components and files.

Design decisions
- The frame carries an ``id`` drawn from the run and the card: Discord keeps it with the message, so a bot that died
  between posting and remembering finds its post again in the conversation.
- A view is stopped before it is sent. discord.py would keep it in memory otherwise, to wait for clicks on it;
  ours come in by their ``custom_id`` (see ``bot.discord.app``), of whatever message and after whatever restart.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import discord
from discord import ui

from bot.chat.calling import NOBODY, Called
from bot.chat.text import blank, short_line
from bot.discord.buttons import Button, Menu, Option, Row
from bot.discord.render import ALT_UNITS, Rendered

MOST_BYTES = 8_000_000  # of all files of a message; Discord takes 10 MB
_STYLES = {"primary": discord.ButtonStyle.primary, "danger": discord.ButtonStyle.danger}


@dataclass(frozen=True, slots=True)
class File:
    name: str
    content: bytes
    alt_text: str = ""

    def open(self) -> discord.File:
        """Anew for each try, as sending reads it to its end."""
        return discord.File(io.BytesIO(self.content), self.name, description=self.alt_text or None)


@dataclass(frozen=True, slots=True)
class Layout:
    """What is sent: components and the files that they show."""

    view: ui.LayoutView
    files: Sequence[File] = field(default_factory=tuple)

    def opened(self) -> list[discord.File]:
        return [file.open() for file in self.files]


def layout(shown: Rendered, *, mark: str = "", called: Called = NOBODY, folder: Path | None = None) -> Layout:
    """``mark``: what the message can be found by. ``folder``: the run's, where the pictures lie."""
    files = list(_pictures(shown, folder)) if folder else []
    frame: ui.Container[Any] = ui.Container(accent_colour=shown.colour, id=mark_id(mark) if mark else None)
    frame.add_item(ui.TextDisplay(shown.text))
    if files:
        items = [
            discord.MediaGalleryItem(f"attachment://{f.name}", description=f.alt_text or None) for f in files
        ]
        frame.add_item(ui.MediaGallery(*items))
    for row in shown.rows:
        frame.add_item(_row(row))
    view = ui.LayoutView(timeout=None)
    if called:
        view.add_item(ui.TextDisplay(f"{mentions(called)} {called.why}"))
    view.add_item(frame)
    view.stop()
    return Layout(view, files)


def file_layout(file: File, title: str, mark: str) -> Layout:
    """A message that is a file."""
    view = ui.LayoutView(timeout=None)
    frame: ui.Container[Any] = ui.Container(id=mark_id(mark))
    if title:
        frame.add_item(ui.TextDisplay(title))
    frame.add_item(ui.File(f"attachment://{file.name}"))
    view.add_item(frame)
    view.stop()
    return Layout(view, (file,))


def mentions(called: Called) -> str:
    names = [*(f"<@{person}>" for person in called.people), *(f"<@&{role}>" for role in called.groups)]
    return " ".join(names)


def allowed(called: Called) -> discord.AllowedMentions:
    """Those who are called, and nobody else."""
    return discord.AllowedMentions(
        everyone=False,
        users=[discord.Object(int(person)) for person in called.people],
        roles=[discord.Object(int(role)) for role in called.groups],
        replied_user=False,
    )


def mark_id(mark: str) -> int:
    """1..2^31-1, as Discord takes it."""
    return (
        int.from_bytes(hashlib.sha256(mark.encode("utf-8", "replace")).digest()[:4], "big") % (2**31 - 1) + 1
    )


def is_marked(message: discord.Message, mark: str) -> bool:
    return any(getattr(component, "id", None) == mark_id(mark) for component in message.components)


def nonce(mark: str) -> str:
    """At most 25 characters: Discord posts a message of the same nonce once, for some minutes."""
    return hashlib.sha256(mark.encode("utf-8", "replace")).hexdigest()[:25]


def safe_name(name: str) -> str:
    """A file name that an ``attachment://`` address can hold."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "-" for c in name)[-80:]


def _pictures(shown: Rendered, folder: Path) -> Iterable[File]:
    """Those that there are, as far as Discord's limit of bytes goes; each once."""
    room, seen = MOST_BYTES, set[str]()
    for picture in shown.pictures:
        content = read_file(folder, picture.path, room)
        name = safe_name(picture.path)
        if content and name not in seen:
            room -= len(content)
            seen.add(name)
            alt = short_line(picture.alt_text, ALT_UNITS)
            yield File(name, content, "A plot" if blank(alt) else alt)


def read_file(folder: Path, path: str, most_bytes: int) -> bytes | None:
    """``None`` for what is not there, too large, or not in the folder."""
    try:
        file = (folder / path).resolve()
        if not file.is_relative_to(folder.resolve()) or not file.is_file():
            return None
        return file.read_bytes() if file.stat().st_size <= most_bytes else None
    except (OSError, ValueError):  # a path that no file can have
        return None


def _row(row: Row) -> ui.ActionRow[Any]:
    if isinstance(row, Menu):
        options = [_option(option) for option in row.options]
        return ui.ActionRow(ui.Select(custom_id=row.custom_id, placeholder=row.placeholder, options=options))
    return ui.ActionRow(*map(_button, row))


def _option(option: Option) -> discord.SelectOption:
    return discord.SelectOption(
        label=option.label, value=option.value, description=option.description or None
    )


def _button(button: Button) -> ui.Button[Any]:
    style = _STYLES.get(button.style, discord.ButtonStyle.secondary)
    return ui.Button(label=button.label, custom_id=button.custom_id, style=style)
