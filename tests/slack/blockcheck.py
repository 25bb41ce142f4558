"""Says everything that Slack would refuse in a message or a view.

Structure comes from ``blocks.schema.json``: @slack/types 3.2.0 turned into JSON Schema, unknown fields refused. It
was made once, in an empty folder, with ``npm install --ignore-scripts @slack/types@3.2.0
ts-json-schema-generator@2.4.0`` and

    echo "import type {AnyChunk, HomeView, KnownBlock, MessageMetadata, ModalView} from '@slack/types';
    export interface Roots { block: KnownBlock; home: HomeView; modal: ModalView; chunk: AnyChunk;
    metadata: MessageMetadata }" > roots.ts
    npx ts-json-schema-generator --path roots.ts --type Roots --no-type-check

after which descriptions were dropped, and the two escape hatches closed through which any object is a block
(``AnyBlock``) and any object is a task (``PlanBlock.tasks``).

Lengths are Slack's documented ones (https://docs.slack.dev/reference/block-kit, and the comments of @slack/types).
``slack_sdk``'s own validation is asked as a second opinion. Where Slack documents no limit, or a looser one than a
reader wants, the house rule is stricter and its constant is marked so.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from jsonschema import Draft7Validator
from jsonschema.exceptions import ValidationError, best_match
from slack_sdk.errors import SlackObjectFormationError
from slack_sdk.models.blocks import Block

Json = dict[str, Any]

MESSAGE_BLOCKS_MAX = 50
VIEW_BLOCKS_MAX = 100
TEXT_MAX = 4_000  # house rule: Slack cuts at 40,000 and advises 4,000
ALL_BLOCKS_TEXT_MAX = 13_000  # Slack's undocumented msg_blocks_too_long (slackapi/bolt-js#2509)
TABLE_CELLS_TEXT_MAX = 10_000
TABLES_MAX = 1
METADATA_JSON_MAX = 8_000  # house rule: Slack says only metadata_too_large
TASKS_MAX = 50  # house rule
CHUNK_TEXT_MAX = 12_000

# type of block, element or composition object -> field -> longest text, or most items.
LIMITS: dict[str, dict[str, int]] = {
    "actions": {"elements": 25},
    "alert": {"text": 200},
    "button": {"text": 75, "value": 2000, "url": 3000, "accessibility_label": 75},
    "card": {"title": 150, "subtitle": 150, "body": 200, "actions": 3},
    "carousel": {"elements": 10},
    "checkboxes": {"options": 10},
    "confirm": {"title": 100, "text": 300, "confirm": 30, "deny": 30},
    "container": {"title": 150, "subtitle": 150, "child_blocks": 10},
    "context": {"elements": 10},
    "context_actions": {"elements": 5},
    "data_table": {"rows": 201},
    "header": {"text": 150},
    "image": {"alt_text": 2000, "title": 2000, "image_url": 3000},
    "input": {"label": 2000, "hint": 2000},
    "markdown": {"text": 12_000},
    "option": {"text": 75, "value": 150, "description": 75, "url": 3000},
    "option_group": {"label": 75, "options": 100},
    "overflow": {"options": 5},
    "plan": {"title": 150, "tasks": TASKS_MAX},  # house rules
    "radio_buttons": {"options": 10},
    "section": {"text": 3000, "fields": 10},
    "static_select": {"options": 100, "option_groups": 100, "placeholder": 150},
    "multi_static_select": {"options": 100, "option_groups": 100, "placeholder": 150},
    "table": {"rows": 100, "column_settings": 20},
    "task_card": {"title": 150, "task_id": 255},  # house rules
    "video": {"alt_text": 2000, "title": 200, "author_name": 50},
    "plain_text_input": {"placeholder": 150},
    "email_text_input": {"placeholder": 150},
    "number_input": {"placeholder": 150},
    "url_text_input": {"placeholder": 150},
    "modal": {"title": 24, "submit": 24, "close": 24, "private_metadata": 3000, "callback_id": 255},
    "home": {"private_metadata": 3000, "callback_id": 255},
}
EVERYWHERE = {"block_id": 255, "action_id": 255, "external_id": 255}
# Composition objects have no type of their own: the field that holds them says what they are.
UNTYPED = {
    "confirm": "confirm",
    "options": "option",
    "initial_option": "option",
    "initial_options": "option",
    "option_groups": "option_group",
}
READ = ("alt_text", "text", "title")  # fields whose strings a person reads
URL_FIELDS = ("url", "image_url", "thumbnail_url", "video_url", "title_url")


def check_message(payload: Json) -> list[str]:
    """What Slack would refuse in ``payload``, one sentence each; empty when it would take it.

    ``payload``: the arguments of chat.postMessage, chat.update, chat.postEphemeral, chat.stopStream or a
    response_url post; or of a views.* call, recognised by its ``view``; or a view itself (``type`` modal or home).
    """
    if payload.get("type") in ("modal", "home"):
        return _check_view(payload)
    if "view" in payload:
        return _check_view(payload["view"])
    blocks = payload.get("blocks") or []
    problems = list(_check_text(payload.get("text")))
    problems += _check_blocks(blocks, MESSAGE_BLOCKS_MAX)
    total = sum(len(text) for text in texts(blocks))
    if total > ALL_BLOCKS_TEXT_MAX:
        problems.append(f"blocks: {total} characters of text in all; at most {ALL_BLOCKS_TEXT_MAX}")
    for i, attachment in enumerate(payload.get("attachments") or []):
        problems += _check_blocks(
            attachment.get("blocks") or [], MESSAGE_BLOCKS_MAX, f"attachments[{i}].blocks"
        )
    if payload.get("metadata"):
        problems += _check_metadata(payload["metadata"])
    return problems


def check_chunks(chunks: Any) -> list[str]:
    """What Slack would refuse in the ``chunks`` of chat.startStream, appendStream or stopStream."""
    if not isinstance(chunks, list):
        return ["chunks: must be a list"]
    problems = []
    for i, chunk in enumerate(chunks):
        where = f"chunks[{i}]"
        problems += _structure("AnyChunk", chunk, where)
        if isinstance(chunk, dict):
            if chunk.get("type") == "blocks":
                problems += _check_blocks(chunk.get("blocks"), MESSAGE_BLOCKS_MAX, f"{where}.blocks")
            if len(str(chunk.get("text", ""))) > CHUNK_TEXT_MAX:
                problems.append(f"{where}.text: more than {CHUNK_TEXT_MAX} characters")
    return problems


def _check_text(text: Any) -> Iterator[str]:
    if not isinstance(text, str) or not text.strip():
        yield "text: a message needs a top-level text (notifications and screen readers read it)"
    elif len(text) > TEXT_MAX:
        yield f"text: {len(text)} characters; at most {TEXT_MAX}"


def _check_view(view: Any) -> list[str]:
    kind = view.get("type") if isinstance(view, dict) else None
    if kind not in ("modal", "home"):
        return ["view: type must be modal or home"]
    # Blocks are checked one by one below, with better words.
    problems = _structure("ModalView" if kind == "modal" else "HomeView", view | {"blocks": []}, "view")
    problems += _fields(kind, view, "view")
    blocks = view.get("blocks")
    problems += _check_blocks(blocks, VIEW_BLOCKS_MAX, "view.blocks")
    inputs = isinstance(blocks, list) and any(
        isinstance(b, dict) and b.get("type") == "input" for b in blocks
    )
    if kind == "modal" and inputs and not view.get("submit"):
        problems.append("view.submit: needed in a modal with input blocks")
    return problems


def _check_metadata(metadata: Any) -> list[str]:
    problems = _structure("MessageMetadata", metadata, "metadata")
    if len(json.dumps(metadata)) > METADATA_JSON_MAX:
        problems.append(f"metadata: more than {METADATA_JSON_MAX} characters of JSON")
    return problems


def _check_blocks(blocks: Any, most: int, where: str = "blocks") -> list[str]:
    if not isinstance(blocks, list):
        return [f"{where}: must be a list"]
    problems = [f"{where}: {len(blocks)} blocks; at most {most}"] if len(blocks) > most else []
    for i, block in enumerate(blocks):
        problems += _check_block(block, f"{where}[{i}]")
    known = [block for block in blocks if isinstance(block, dict)]
    problems += _repeated((b.get("block_id") for b in known), "block_id", where)
    tables = [block for block in known if block.get("type") == "table"]
    if len(tables) > TABLES_MAX:
        problems.append(f"{where}: {len(tables)} tables; Slack takes one a message")
    return problems


def _check_block(block: Any, where: str) -> list[str]:
    if not isinstance(block, dict) or not isinstance(block.get("type"), str):
        return [f"{where}: a block is an object with a type"]
    definition = _block_definitions().get(block["type"])
    if definition is None:
        return [f"{where}: Slack knows no block of type {block['type']!r}"]
    problems = _structure(definition, block, where)
    if problems:  # the rules below may rely on the structure
        return problems
    problems += _walk(block, block["type"], where)
    problems += _repeated(_action_ids(block), "action_id", where)
    problems += _second_opinion(block, where)
    if block["type"] == "section" and not (block.get("text") or block.get("fields")):
        problems.append(f"{where}: a section needs text or fields")
    if block["type"] in ("table", "data_table"):
        problems += _check_table(block, where)
    return problems


def _check_table(block: Json, where: str) -> Iterator[str]:
    if not block["rows"]:
        yield f"{where}.rows: a table needs a row"
    for i, row in enumerate(block["rows"]):
        if not 1 <= len(row) <= 20:
            yield f"{where}.rows[{i}]: {len(row)} columns; 1 to 20"
    if sum(len(text) for text in texts(block["rows"])) > TABLE_CELLS_TEXT_MAX:
        yield f"{where}: more than {TABLE_CELLS_TEXT_MAX} characters in the cells"


def _walk(value: Json, kind: str, where: str) -> list[str]:
    """Lengths of ``value`` (an object of type ``kind``) and of all that it holds."""
    problems = _fields(kind, value, where)
    for name, held in value.items():
        for at, item in _objects(held, f"{where}.{name}"):
            problems += _walk(item, UNTYPED.get(name) or str(item.get("type", "")), at)
    return problems


def _objects(value: Any, where: str) -> Iterator[tuple[str, Json]]:
    if isinstance(value, dict):
        yield where, value
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from _objects(item, f"{where}[{i}]")


def _fields(kind: str, value: Json, where: str) -> list[str]:
    problems = []
    for name, most in (LIMITS.get(kind, {}) | EVERYWHERE).items():
        if name in value and not 1 <= (size := _size(value[name])) <= most:
            problems.append(f"{where}.{name}: {size} {_unit(value[name])}; 1 to {most}")
    if kind == "section":
        problems += [
            f"{where}.fields[{i}]: {len(f['text'])} characters; at most 2000"
            for i, f in enumerate(value.get("fields", []))
            if len(f["text"]) > 2000
        ]
    if kind in ("plain_text", "mrkdwn") and not 1 <= len(value.get("text", "")) <= 3000:
        problems.append(f"{where}.text: {len(value.get('text', ''))} characters; 1 to 3000")
    if kind in ("static_select", "multi_static_select", "radio_buttons", "checkboxes", "overflow"):
        problems += _check_options(kind, value, where)
    for name in URL_FIELDS:
        url = value.get(name)
        if isinstance(url, str) and urlsplit(url).scheme not in ("http", "https", "mailto"):
            problems.append(f"{where}.{name}: not an http(s) address")
    return problems


def _check_options(kind: str, value: Json, where: str) -> Iterator[str]:
    groups = value.get("option_groups", [])
    options = value.get("options", []) + [option for group in groups for option in group["options"]]
    if bool(value.get("options")) == bool(groups):
        yield f"{where}: a {kind} needs either options or option_groups"
    initial = value.get("initial_options") or ([value["initial_option"]] if "initial_option" in value else [])
    if any(option not in options for option in initial):
        yield f"{where}: what is chosen at first must be one of the options, word for word"


def _size(value: Any) -> int:
    if isinstance(value, dict):
        value = value.get("text", "")
    return len(value)


def _unit(value: Any) -> str:
    return "items" if isinstance(value, list) else "characters"


def texts(value: Any) -> Iterator[str]:
    """Every text that a person would read in ``value``."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from texts(item)
    elif isinstance(value, dict):
        for name, held in value.items():
            if name in READ or isinstance(held, dict | list):
                yield from texts(held)


def _action_ids(block: Json) -> Iterator[Any]:
    for _, item in _objects([block.get("elements"), block.get("accessory"), block.get("element")], ""):
        yield item.get("action_id")


def _repeated(names: Iterator[Any], what: str, where: str) -> list[str]:
    seen: set[str] = set()
    problems = []
    for name in names:
        if name is not None and name in seen:
            problems.append(f"{where}: {what} {name!r} is used twice")
        seen.add(name)
    return problems


def _second_opinion(block: Json, where: str) -> list[str]:
    parsed = Block.parse(block)  # None: a type that this slack_sdk does not know, but the schema does
    try:
        if parsed is not None:
            parsed.to_dict()
    except SlackObjectFormationError as refused:
        return [f"{where}: slack_sdk says: {refused}"]
    return []


def _structure(definition: str, value: Any, where: str) -> list[str]:
    worst = best_match(_validator(definition).iter_errors(value))
    if worst is None:
        return []
    while (closer := _closest(worst)) is not None:
        worst = closer
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in worst.absolute_path)
    return [f"{where}{path}: {worst.message[:300]}"]


def _closest(error: ValidationError) -> ValidationError | None:
    """Of the alternatives that all failed, the complaint of the one whose ``type`` fits the value."""
    alternatives: dict[int, list[ValidationError]] = {}
    for inner in error.context or ():
        alternatives.setdefault(int(inner.relative_schema_path[0]), []).append(inner)
    for complaints in alternatives.values():
        if not any(list(inner.relative_path) == ["type"] for inner in complaints):
            return best_match(complaints)
    return None


@cache
def _schema() -> Json:
    loaded: Json = json.loads((Path(__file__).parent / "blocks.schema.json").read_text())
    return loaded


@cache
def _validator(definition: str) -> Draft7Validator:
    schema = {"$ref": f"#/definitions/{definition}", "definitions": _schema()["definitions"]}
    return Draft7Validator(schema)


@cache
def _block_definitions() -> dict[str, str]:
    """Type of block -> name of its definition in the schema."""
    names = [item["$ref"].rsplit("/", 1)[1] for item in _schema()["definitions"]["KnownBlock"]["anyOf"]]
    found = {}
    for name in names:
        definition = _schema()["definitions"][name]
        shape = definition.get("anyOf", [definition])[0]
        found[shape["properties"]["type"]["const"]] = name
    return found
