"""The Web API methods that the local Slack lacks or answers differently from Slack; the rest is handed on to it.

Each function takes the decoded arguments of a call and gives Slack's answer, ``{"ok": false, "error": …}`` included.
Sources: https://docs.slack.dev/reference/methods, by method name.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from tests.slack.blockcheck import check_chunks, check_message
from tests.slack.gateway import Gateway, with_ids
from tests.slack.server import APP, BOT, Json, LocalSlack, workspace

TRIGGER_LIFE_S = 3.0
PAGE_MAX = 1000

# The scope that each method needs. A private channel would need groups:* instead of channels:*: not told apart.
METHOD_SCOPES = {
    "chat.postMessage": "chat:write",
    "chat.update": "chat:write",
    "chat.delete": "chat:write",
    "chat.postEphemeral": "chat:write",
    "chat.startStream": "chat:write",
    "chat.appendStream": "chat:write",
    "chat.stopStream": "chat:write",
    "assistant.threads.setStatus": "chat:write",
    "conversations.info": "channels:read",
    "conversations.join": "channels:join",
    "conversations.list": "channels:read",
    "conversations.members": "channels:read",
    "conversations.history": "channels:history",
    "conversations.replies": "channels:history",
    "conversations.open": "im:write",
    "files.getUploadURLExternal": "files:write",
    "files.completeUploadExternal": "files:write",
    "files.info": "files:read",
    "reactions.add": "reactions:write",
    "usergroups.list": "usergroups:read",
    "usergroups.users.list": "usergroups:read",
    "users.conversations": "channels:read",
    "users.info": "users:read",
    "users.list": "users:read",
}
ALL_SCOPES = frozenset(METHOD_SCOPES.values()) | {
    "commands",
    "app_mentions:read",
    "groups:read",
    "groups:history",
    "im:history",
}


def no(error: str, *messages: str, **more: Any) -> Json:
    """Slack's refusal."""
    details: Json = (
        {"response_metadata": {"messages": [f"[ERROR] {m}" for m in messages]}} if messages else {}
    )
    return {"ok": False, "error": error} | details | more


@dataclass
class Stream:
    """A message that is being streamed."""

    text: str = ""
    title: str = ""
    tasks: dict[str, Json] = field(default_factory=dict)
    open: bool = True

    def take(self, args: Json) -> None:
        self.text += str(args.get("markdown_text") or "")
        for chunk in args.get("chunks") or []:
            if chunk["type"] == "markdown_text":
                self.text += chunk["text"]
            elif chunk["type"] == "plan_update":
                self.title = chunk["title"]
            elif chunk["type"] == "task_update":
                self.tasks[chunk["id"]] = chunk

    def blocks(self) -> list[Json]:
        cards = [
            {"type": "task_card", "task_id": t["id"], "title": t["title"], "status": t["status"]}
            for t in self.tasks.values()
        ]
        shown: list[Json] = [{"type": "markdown", "text": self.text}] if self.text else []
        return shown + ([{"type": "plan", "title": self.title or "Tasks", "tasks": cards}] if cards else [])


class Methods:
    """``streaming``, ``assistant``: whether this workspace has chat.startStream & co. and assistant threads.

    ``posted``: (channel, ts) -> every version of the bot's message that was shown, oldest first.
    ``usergroups``: id -> users. ``oauth_codes``: code -> what oauth.v2.access answers beside ``ok``.
    """

    def __init__(self, slack: LocalSlack, gateway: Gateway) -> None:
        self.slack = slack
        self.gateway = gateway
        self.streaming = False
        self.assistant = False
        self.echo = True  # Slack sends a bot its own messages too, as events
        self.usergroups: dict[str, list[str]] = {}
        self.oauth_codes: dict[str, Json] = {}
        self.metadata: dict[tuple[str, str], Json] = {}
        self.posted: dict[tuple[str, str], list[Json]] = {}
        self.streams: dict[tuple[str, str], Stream] = {}
        self._ephemeral: set[str] = set()
        self._reactions: set[tuple[str, str, str]] = set()
        self._used_triggers: set[str] = set()
        self._home_hash: dict[str, str] = {}
        self._members = {c["id"]: c["members"] for c in workspace()["channels"]}
        self._own: dict[str, Callable[[Json], Awaitable[Json]]] = {
            "apps.connections.open": self._connect,
            "assistant.threads.setStatus": self._status,
            "chat.appendStream": self._append_stream,
            "chat.delete": self._delete,
            "chat.postEphemeral": self._post_ephemeral,
            "chat.postMessage": self._post,
            "chat.startStream": self._start_stream,
            "chat.stopStream": self._stop_stream,
            "chat.update": self._update,
            "conversations.history": self._history,
            "conversations.info": self._info,
            "conversations.list": self._list,
            "conversations.replies": self._replies,
            "oauth.v2.access": self._oauth,
            "reactions.add": self._react,
            "usergroups.list": self._usergroups,
            "usergroups.users.list": self._usergroup_users,
            "users.conversations": self._conversations,
            "views.open": self._open_view,
            "views.publish": self._publish,
            "views.push": self._push_view,
        }
        self.socket_url: Callable[[], str] = lambda: ""

    async def call(self, method: str, args: Json) -> Json:
        """Slack's answer to ``method``."""
        args = with_ids(args)
        own = self._own.get(method)
        return await (own(args) if own else self.slack.api(method, args))

    async def _connect(self, args: Json) -> Json:
        return {"ok": True, "url": self.socket_url()}

    # --- messages ---

    def _absent(self, channel: str) -> bool:
        return channel in self._members and BOT not in self._members[channel]

    async def _post(self, args: Json) -> Json:
        if self._absent(args.get("channel", "")):
            return no("not_in_channel")
        answer = await self.slack.api("chat.postMessage", args)
        if answer["ok"]:
            key = answer["channel"], answer["ts"]
            self.posted[key] = [answer["message"]]
            if args.get("metadata"):
                self.metadata[key] = args["metadata"]
            self._echo({**answer["message"], "event_ts": answer["ts"]})
        return answer

    async def _update(self, args: Json) -> Json:
        key = args.get("channel", ""), args.get("ts", "")
        if key[1] in self._ephemeral:
            return no("message_not_found")
        if key in self.streams and self.streams[key].open:
            return no("streaming_state_conflict")
        if key not in self.posted:
            theirs = [
                m for m in await self.slack.messages(key[0]) if m["ts"] == key[1] and m.get("user") != BOT
            ]
            if theirs:
                return no("cant_update_message")
        answer = await self.slack.api("chat.update", args)
        if answer["ok"]:
            self.posted.setdefault(key, []).append(answer["message"])
            if "metadata" in args:  # left out: kept; {}: removed
                self.metadata[key] = args["metadata"]
            self._echo(
                {
                    "type": "message",
                    "subtype": "message_changed",
                    "hidden": True,
                    "channel": key[0],
                    "ts": key[1],
                    "event_ts": key[1],
                    "message": answer["message"],
                }
            )
        return answer

    def _echo(self, event: Json) -> None:
        if self.echo and "message" in self.gateway.subscribed:
            kind = "im" if event["channel"].startswith("D") else "channel"
            self.gateway.spawn(self.gateway.event({**event, "channel_type": kind}))

    async def _delete(self, args: Json) -> Json:
        key = args.get("channel", ""), args.get("ts", "")
        if key[1] in self._ephemeral:
            return no("message_not_found")
        if key not in self.posted and any(
            m["ts"] == key[1] and m.get("user") != BOT for m in await self.slack.messages(key[0])
        ):
            return no("cant_delete_message")
        return await self.slack.api("chat.delete", args)

    async def _post_ephemeral(self, args: Json) -> Json:
        channel, user = args.get("channel", ""), args.get("user", "")
        if self._absent(channel):
            return no("not_in_channel")
        if channel in self._members and user not in self._members[channel]:
            return no("user_not_in_channel")
        answer = await self.slack.api("chat.postEphemeral", args)
        if answer["ok"]:
            self._ephemeral.add(answer["message_ts"])
        return answer

    async def _replies(self, args: Json) -> Json:
        answer = await self.slack.api("conversations.replies", args)
        if answer["ok"] and not answer["messages"]:
            return no("thread_not_found")
        parent = [m for m in answer.get("messages", []) if m["ts"] == args["ts"]]
        rest = [m for m in answer.get("messages", []) if m["ts"] != args["ts"]]
        return self._page(answer, parent, rest, args)

    async def _history(self, args: Json) -> Json:
        answer = await self.slack.api("conversations.history", args)
        return self._page(answer, [], answer.get("messages", []), args)

    def _page(self, answer: Json, always: list[Json], messages: list[Json], args: Json) -> Json:
        """One page, without ephemeral messages; metadata only when asked for."""
        if not answer["ok"]:
            return answer
        oldest, latest = str(args.get("oldest") or "0"), str(args.get("latest") or "9" * 10)
        both = truth(args.get("inclusive"))
        kept = [
            m
            for m in messages
            if m.get("subtype") != "ephemeral"
            and (oldest < m["ts"] < latest or (both and m["ts"] in (oldest, latest)))
        ]
        start, size = int(args.get("cursor") or 0), min(int(args.get("limit") or PAGE_MAX), PAGE_MAX)
        page = [dict(m) for m in (always if start == 0 else []) + kept[start : start + size]]
        if truth(args.get("include_all_metadata")):
            for message in page:
                known = self.metadata.get((args["channel"], message["ts"]))
                if known:
                    message["metadata"] = known
        more = start + size < len(kept)
        cursor = str(start + size) if more else ""
        return {"ok": True, "messages": page, "has_more": more, "response_metadata": {"next_cursor": cursor}}

    async def _info(self, args: Json) -> Json:
        answer = await self.slack.api("conversations.info", args)
        if answer["ok"]:
            answer["channel"]["is_member"] = not self._absent(answer["channel"]["id"])
        return answer

    async def _list(self, args: Json) -> Json:
        answer = await self.slack.api("conversations.list", args)
        for channel in answer.get("channels", []):
            channel["is_member"] = not self._absent(channel["id"])
        return answer

    async def _conversations(self, args: Json) -> Json:
        """The channels that the bot is in, of the types that are asked for."""
        answer = await self._list(args)
        kinds = str(args.get("types") or "public_channel").split(",")
        private = {kind == "private_channel" for kind in kinds}
        found = answer.get("channels", [])
        answer["channels"] = [c for c in found if c["is_member"] and c["is_private"] in private]
        return answer

    async def _react(self, args: Json) -> Json:
        key = args.get("channel", ""), args.get("timestamp", ""), args.get("name", "")
        if key in self._reactions:
            return no("already_reacted")
        answer = await self.slack.api("reactions.add", args)
        if answer["ok"]:
            self._reactions.add(key)
        return answer

    # --- views ---

    def _trigger(self, args: Json) -> Json | None:
        """Why ``trigger_id`` may not open anything, or None. It lives 3 s and works once."""
        trigger = args.get("trigger_id", "")
        if trigger in self._used_triggers:
            return no("exchanged_trigger_id")
        if time.monotonic() - self.gateway.triggers.get(trigger, time.monotonic()) > TRIGGER_LIFE_S:
            return no("expired_trigger_id")
        self._used_triggers.add(trigger)
        return None

    async def _open_view(self, args: Json) -> Json:
        return self._trigger(args) or await self.slack.api("views.open", args)

    async def _push_view(self, args: Json) -> Json:
        return self._trigger(args) or await self.slack.api("views.push", args)

    async def _publish(self, args: Json) -> Json:
        user = args.get("user_id", "")
        if args.get("hash") and args["hash"] != self._home_hash.get(user):
            return no("hash_conflict")
        answer = await self.slack.api("views.publish", args)
        if answer["ok"]:
            self._home_hash[user] = answer["view"]["hash"]
        return answer

    # --- people and installation ---

    async def _usergroups(self, args: Json) -> Json:
        return {"ok": True, "usergroups": [{"id": g, "handle": g.lower()} for g in self.usergroups]}

    async def _usergroup_users(self, args: Json) -> Json:
        users = self.usergroups.get(args.get("usergroup", ""))
        return no("no_such_subteam") if users is None else {"ok": True, "users": users}

    async def _oauth(self, args: Json) -> Json:
        granted = self.oauth_codes.pop(args.get("code", ""), None)  # a code works once
        return no("invalid_code") if granted is None else {"ok": True, **granted}

    # --- streams ---

    async def _status(self, args: Json) -> Json:
        return {"ok": True} if self.assistant else no("unknown_method")

    async def _start_stream(self, args: Json) -> Json:
        if not self.streaming:
            return no("unknown_method")
        channel = args.get("channel", "")
        for name in () if channel.startswith("D") else ("recipient_user_id", "recipient_team_id"):
            if not args.get(name):
                return no(f"missing_{name}")
        if problems := check_chunks(args.get("chunks") or []):
            return no("invalid_chunks", *problems)
        if self._absent(channel):
            return no("not_in_channel")
        stream = Stream()
        stream.take(args)
        post = {
            "channel": channel,
            "thread_ts": args.get("thread_ts"),
            "text": stream.text,
            "blocks": stream.blocks(),
        }
        answer = await self.slack.api("chat.postMessage", post)
        if answer["ok"]:
            key = answer["channel"], answer["ts"]
            self.streams[key] = stream
            self.posted[key] = [answer["message"]]
        return {k: v for k, v in answer.items() if k != "message"}

    async def _append_stream(self, args: Json) -> Json:
        return await self._go_on(args, [])

    async def _stop_stream(self, args: Json) -> Json:
        blocks = args.get("blocks") or []
        if blocks and (problems := check_message({"text": "-", "blocks": blocks})):
            return no("invalid_blocks", *problems)
        answer = await self._go_on(args, blocks)
        key = args.get("channel", ""), args.get("ts", "")
        if answer["ok"]:
            self.streams[key].open = False
            if args.get("metadata"):
                self.metadata[key] = args["metadata"]
        return answer

    async def _go_on(self, args: Json, last: list[Json]) -> Json:
        if not self.streaming:
            return no("unknown_method")
        key = args.get("channel", ""), args.get("ts", "")
        stream = self.streams.get(key)
        if stream is None:
            return no("message_not_found")
        if not stream.open:
            return no("message_not_in_streaming_state")
        if problems := check_chunks(args.get("chunks") or []):
            return no("invalid_chunks", *problems)
        stream.take(args)
        update = {"channel": key[0], "ts": key[1], "text": stream.text, "blocks": stream.blocks() + last}
        answer = await self.slack.api("chat.update", update)
        if answer["ok"]:
            self.posted[key].append(answer["message"])
        return answer


def truth(value: Any) -> bool:
    """A boolean as a form or JSON carries it."""
    return str(value).lower() in ("true", "1")


def installation(token: str, team: str = "T0OTHER", user: str = "U0ELSEWHO") -> Json:
    """What oauth.v2.access answers for a second workspace."""
    return {
        "access_token": token,
        "token_type": "bot",
        "scope": ",".join(sorted(ALL_SCOPES)),
        "bot_user_id": BOT,
        "app_id": APP,
        "team": {"id": team, "name": team.title()},
        "enterprise": None,
        "is_enterprise_install": False,
        "authed_user": {"id": user},
    }
