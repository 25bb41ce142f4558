"""Slack as people use it: each method is something that a person does, or looks at.

``World`` holds the local Slack (``slack``), the proxy in front of it (``proxy``) and gives hands to the people of the
workspace. What a person does returns once the bot has acknowledged it (or 3 s have passed): a ``Delivery`` with the
acknowledgement and the seconds it took. What the bot does afterwards is waited for with ``until``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Any

from tests.slack.blockcheck import texts
from tests.slack.gateway import MINT, Delivery, Gateway
from tests.slack.proxy import Call, SlackProxy
from tests.slack.server import APP, BOT, ML, TEAM, Json, LocalSlack, Upload, workspace

SELECTED = {
    "users_select": "selected_user",
    "conversations_select": "selected_conversation",
    "channels_select": "selected_channel",
    "datepicker": "selected_date",
}
NAMES = {user["id"]: user["name"] for user in workspace()["users"]}


class World:
    """``async with World(slack) as world`` over a started ``LocalSlack``, which is emptied first."""

    def __init__(self, slack: LocalSlack) -> None:
        self.slack = slack
        self.proxy = SlackProxy(slack)

    async def __aenter__(self) -> World:
        await self.slack.open()
        await self.slack.control("reset")
        await self.proxy.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.proxy.__aexit__(kind, error, trace)
        await self.slack.close()
        unfit = self.proxy.unfit + [(d.kind, d.problems) for d in self.gateway.deliveries if d.problems]
        assert error or not unfit, f"Slack would have refused: {unfit}"

    @property
    def api_url(self) -> str:
        """For SLACK_API_URL."""
        return self.proxy.api_url

    @property
    def gateway(self) -> Gateway:
        return self.proxy.gateway

    def calls(self, method: str, **args: Any) -> list[Call]:
        """The bot's calls of ``method`` so far."""
        return self.proxy.calls(method, **args)

    async def until(self, found: Callable[[], Any], timeout_s: float = 10.0) -> Any:
        """See ``SlackProxy.until``."""
        return await self.proxy.until(found, timeout_s)

    async def connected(self, sockets: int = 1, timeout_s: float = 30.0) -> None:
        """Waits until the bot has ``sockets`` sockets open. slack_sdk tries anew every ``ping_interval``, 10 s."""
        await self.until(lambda: sum(not s.closed for s in self.gateway.sockets) >= sockets, timeout_s)

    def deliveries(self, kind: str, event: str = "") -> list[Delivery]:
        """What was brought to the bot so far: of ``kind``, and of an inner ``event`` type."""
        return [d for d in self.gateway.deliveries if d.kind == kind and event in ("", d.event.get("type"))]

    # --- what a person types ---

    async def command(self, user: str, channel: str, text: str, command: str = "/intern") -> Delivery:
        """``/intern text``."""

        def fits(d: Delivery) -> bool:
            p = d.payload
            return (p.get("command"), p.get("text"), p.get("user_id")) == (command, text, user)

        done = self.gateway.expect(fits)
        await self.slack.control("command", user=user, channel=channel, command=command, text=text)
        return await _soon(done)

    async def message(
        self,
        user: str,
        channel: str,
        text: str,
        thread_ts: str | None = None,
        files: dict[str, bytes] | None = None,
    ) -> str:
        """A message, with ``files`` (name -> bytes) attached; its ts. Returns when its events are acknowledged."""
        if files:
            return str((await self.slack.upload(user, channel, files, text, thread_ts))["ts"])
        body = {"user": user, "channel": channel, "text": text, "thread_ts": thread_ts}
        return str((await self.slack.control("message", **body))["message"]["ts"])

    async def mention(
        self,
        user: str,
        channel: str,
        text: str,
        thread_ts: str | None = None,
        files: dict[str, bytes] | None = None,
    ) -> str:
        """``@intern text``; the message's ts."""
        return await self.message(user, channel, f"<@{BOT}> {text}", thread_ts, files)

    async def direct(self, user: str, text: str) -> tuple[str, str]:
        """A direct message to the bot; (channel, ts)."""
        channel = (await self.slack.api("conversations.open", {"users": user}))["channel"]["id"]
        return channel, await self.message(user, channel, text)

    async def edit(self, user: str, channel: str, ts: str, text: str) -> None:
        await self.slack.control("edit-message", user=user, channel=channel, ts=ts, text=text)

    async def delete(self, user: str, channel: str, ts: str) -> None:
        await self.slack.control("delete-message", user=user, channel=channel, ts=ts)

    # --- what a person clicks ---

    async def click(
        self, user: str, message: Json, action_id: str, value: str | None = None, option: str | None = None
    ) -> Delivery:
        """Clicks the element ``action_id`` of ``message``, or chooses the ``option`` with that value.

        An element that the message has lost since is taken from an earlier version: a stale click. ``value``: for
        that of the element (a made-up one, or which of several elements with one action_id).
        """
        channel, ts = message["channel"], message["ts"]
        element, block_id = self._element(message, action_id, value)
        action: Json = {"type": element["type"], "action_id": action_id, "block_id": block_id}
        action |= {k: element[k] for k in ("text", "value") if k in element} | _chosen(element, option)
        if value is not None:
            action["value"] = value

        def fits(d: Delivery) -> bool:
            where = d.payload.get("container", {})
            return (
                d.payload.get("type") == "block_actions"
                and (where.get("message_ts"), d.payload["user"]["id"]) == (ts, user)
                and d.payload["actions"][0]["action_id"] == action_id
            )

        done = self.gateway.expect(fits)
        await self.slack.control("interact", user=user, channel=channel, messageTs=ts, action=action)
        return await _soon(done)

    def _element(self, message: Json, action_id: str, value: str | None) -> tuple[Json, str]:
        """The element and its block's id: in the message as given, or as it was shown before."""
        versions = [
            message,
            *reversed(self.proxy.methods.posted.get((message["channel"], message["ts"]), [])),
        ]
        fallback: tuple[Json, str] | None = None
        for version in versions:
            for element, block_id in elements(version.get("blocks", [])):
                if element.get("action_id") == action_id:
                    if value is None or element.get("value") == value:
                        return element, block_id
                    fallback = fallback or (element, block_id)
        assert fallback is not None, f"the message never had an element {action_id!r}"
        return fallback

    async def click_view(self, user: str, view: Json, action_id: str, option: str | None = None) -> Delivery:
        """Clicks an element of App Home or of a modal that is open."""
        found = [(e, b) for e, b in elements(view["blocks"]) if e["action_id"] == action_id]
        assert found, f"the view has no element {action_id!r}"
        element, block_id = found[0]
        trigger, _ = await self.mint(user, ML)
        action: Json = {
            "type": element["type"],
            "action_id": action_id,
            "block_id": block_id,
            "action_ts": "1.0",
        }
        action |= {k: element[k] for k in ("text", "value") if k in element} | _chosen(element, option)
        payload = {
            "type": "block_actions",
            **_base(user),
            "trigger_id": trigger,
            "container": {"type": "view", "view_id": view["id"]},
            "view": view,
            "actions": [action],
        }
        return await self.gateway.inject("interactive", payload)

    async def shortcut(self, user: str, callback_id: str, message: Json) -> Delivery:
        """A message shortcut ("Train on this file") on ``message`` (which needs its channel)."""
        trigger, response_url = await self.mint(user, message["channel"])
        payload = {
            "type": "message_action",
            **_base(user),
            "callback_id": callback_id,
            "trigger_id": trigger,
            "response_url": response_url,
            "action_ts": "1.0",
            "message_ts": message["ts"],
            "channel": {"id": message["channel"], "name": "channel"},
            "message": message,
        }
        return await self.gateway.inject("interactive", payload)

    async def global_shortcut(self, user: str, callback_id: str) -> Delivery:
        trigger, _ = await self.mint(user, ML)
        payload = {
            "type": "shortcut",
            **_base(user),
            "callback_id": callback_id,
            "trigger_id": trigger,
            "action_ts": "1.0",
        }
        return await self.gateway.inject("interactive", payload)

    async def mint(self, user: str, channel: str) -> tuple[str, str]:
        """A trigger_id and a response_url that the local Slack honours."""
        done = self.gateway.expect(lambda d: d.payload.get("command") == MINT)
        await self.slack.control("command", user=user, channel=channel, command=MINT, text="")
        payload = (await _soon(done)).payload
        return payload["trigger_id"], payload["response_url"]

    # --- modals and App Home ---

    async def modal(self) -> Json | None:
        """The modal on top, or None."""
        screen = await self.slack.screen()
        await screen.close()
        stack = screen.state["modalStack"]
        return stack[-1] if stack else None

    async def submit_modal(self, user: str, values: Json | None = None) -> Delivery:
        """Fills in the open modal and submits it; ``response["errors"]`` says what the bot did not like.

        ``values``: by action_id or block_id: text, an option's value, or a list of options' values; the rest keeps
        its initial value. Raises AssertionError when a needed field stays empty: Slack would not submit.
        """
        screen = await self.slack.screen()
        try:
            stack = screen.state["modalStack"]
            assert stack, "no modal is open"
            filled = filled_in(stack[-1], dict(values or {}))
            done = self.gateway.expect(lambda d: d.payload.get("type") == "view_submission")
            await screen.do("view_submit", "view", "view_errors", user=user, values=filled)
            return await _soon(done)
        finally:
            await screen.close()

    async def close_modal(self, user: str) -> None:
        screen = await self.slack.screen()
        await screen.do("view_close", "view", user=user)
        await screen.close()

    async def open_home(self, user: str) -> None:
        """Opens App Home: the bot gets ``app_home_opened``."""
        await self.slack.control("open-home", user=user)

    async def home(self, user: str) -> Json | None:
        """What App Home shows to ``user``, or None."""
        screen = await self.slack.screen()
        await screen.close()
        views: list[Json] = list(screen.state["homeViews"].get(user, {}).values())
        return views[0] if views else None

    # --- what a person sees ---

    async def messages(self, channel: str, thread_ts: str | None = None) -> list[Json]:
        """What all can see in a channel, oldest first; with ``thread_ts``, that thread with its parent."""
        return [
            m
            for m in await self.slack.messages(channel)
            if m.get("subtype") != "ephemeral" and thread_ts in (None, m["ts"], m.get("thread_ts"))
        ]

    async def ephemerals(self, user: str, channel: str | None = None) -> list[Json]:
        """What only ``user`` can see, oldest first."""
        channels = [channel] if channel else [c["id"] for c in workspace()["channels"]]
        found = [m for c in channels for m in await self.slack.messages(c)]
        return [m for m in found if m.get("ephemeral_to") == user]

    async def appears(
        self, channel: str, text: str, thread_ts: str | None = None, timeout_s: float = 10.0
    ) -> Json:
        """Waits for a message that shows ``text`` (anywhere: text, blocks, buttons); the newest such message."""

        async def found() -> Json | None:
            messages = await self.messages(channel, thread_ts)
            return next((m for m in reversed(messages) if text in shown(m)), None)

        message: Json = await self.until(found, timeout_s)
        return message

    async def uploads(self) -> list[Upload]:
        """Every file, with its bytes."""
        return await self.slack.uploads()

    async def log(self) -> list[Json]:
        return await self.slack.log()


async def _soon(done: asyncio.Future[Delivery]) -> Delivery:
    """The control API answers when the delivery is over, so this waits only when the test is wrong."""
    return await asyncio.wait_for(done, timeout=10)


def shown(message: Json) -> str:
    """Everything that a person reads in a message or view, a line each."""
    return "\n".join(texts([message.get("text", ""), message.get("title"), message.get("blocks", [])]))


def elements(blocks: list[Json]) -> list[tuple[Json, str]]:
    """Every interactive element in ``blocks`` with the id of its block."""
    return [
        (held, block.get("block_id", ""))
        for block in blocks
        for held in (*block.get("elements", []), block.get("accessory"), block.get("element"))
        if isinstance(held, dict) and "action_id" in held
    ]


def filled_in(view: Json, values: Json) -> dict[str, Json]:
    """The state of the view's inputs: block_id -> action_id -> what Slack sends for it."""
    state: dict[str, Json] = {}
    for block in view["blocks"]:
        if block["type"] != "input":
            continue
        element = block["element"]
        names = [name for name in (element["action_id"], block.get("block_id")) if name in values]
        filled = _filled(element, values.pop(names[0]) if names else None)
        empty = not any(v for k, v in filled.items() if k != "type")
        assert not empty or block.get("optional"), f"Slack would ask for {element['action_id']!r}"
        state[block["block_id"]] = {element["action_id"]: filled}
    assert not values, f"the modal has no input {sorted(values)}"
    return state


def _filled(element: Json, value: Any) -> Json:
    kind = element["type"]
    if kind in ("static_select", "radio_buttons"):
        return {"type": kind, "selected_option": _option(element, value) or element.get("initial_option")}
    if kind in ("checkboxes", "multi_static_select"):
        chosen = (
            [_option(element, v) for v in value] if value is not None else element.get("initial_options", [])
        )
        return {"type": kind, "selected_options": chosen}
    name = SELECTED.get(kind, "value")
    initial = element.get("initial_" + name.removeprefix("selected_"))
    return {"type": kind, name: initial if value is None else value}


def _option(element: Json, value: str | None) -> Json | None:
    if value is None:
        return None
    groups = element.get("option_groups", [])
    options = element.get("options", []) + [option for group in groups for option in group["options"]]
    found: Json | None = next((o for o in options if o.get("value") == value), None)
    assert found is not None, f"{element['action_id']!r} offers no {value!r}"
    return found


def _chosen(element: Json, option: str | None) -> Json:
    return {} if option is None else {"selected_option": _option(element, option)}


def _base(user: str) -> Json:
    return {
        "api_app_id": APP,
        "token": "verification-token",
        "team": {"id": TEAM, "domain": "local"},
        "user": {"id": user, "username": NAMES[user], "name": NAMES[user], "team_id": TEAM},
        "is_enterprise_install": False,
        "enterprise": None,
    }
