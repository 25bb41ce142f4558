"""Discord as a :class:`tests.contract.surface.Surface`: the real discord.py in front of a simulated Discord."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import discord
import simcord
from simcord.actors import MemberActor
from simcord.backend.models import Message
from simcord.builders import ChannelHandle, GuildHandle
from simcord.components import walk_components
from simcord.enums import InteractionType
from simcord.results import InteractionResult

from bot.chat.incoming import Incoming, Kind, Person
from bot.discord.app import InternBot, create_bot
from bot.discord.claims import Claim, resolved
from bot.discord.sync import sync
from bot.settings import load_settings
from bot.wiring import App, Parts, open_app
from bot.worker import work
from tests.contract.surface import APPROVER, ASKER, OTHER_APPROVER, STRANGER, Jobs

_ESCAPES = re.compile(r"\\(?=[\\`*_~|<>\[\]#+.)-])|\u2060")


def shown(content: str, components: Iterable[Mapping[str, Any]]) -> str:
    """What a person reads: all texts, labels and options, without escapes."""
    parts = [content]
    for component in walk_components(list(components)):
        texts = (component.get(key) for key in ("content", "label", "placeholder"))
        options = (
            text for o in component.get("options") or () for text in (o["label"], o.get("description"))
        )
        parts += [text for text in (*texts, *options) if text]
    return _ESCAPES.sub("", "\n".join(parts))


def claims_of(components: Iterable[Mapping[str, Any]]) -> Iterator[tuple[Claim, Mapping[str, Any]]]:
    for component in walk_components(list(components)):
        if str(component.get("custom_id", "")).startswith("intern:"):
            yield Claim.load(component["custom_id"]), component


@dataclass
class World:
    """A server with a channel and four people; it outlives the bot's processes."""

    env: simcord.Env
    guild: GuildHandle
    channel: ChannelHandle
    people: dict[str, MemberActor]
    versions: dict[int, list[Mapping[str, Any]]] = field(default_factory=dict)  # of each message of the bot

    @classmethod
    def make(cls) -> World:
        env = simcord.Env(discord.Client(intents=discord.Intents(guilds=True)), settle_timeout=15.0)
        guild = env.create_guild("Team")
        names = {ASKER: "Alice", APPROVER: "Bob", OTHER_APPROVER: "Carol", STRANGER: "Mallory"}
        people = {who: guild.add_member(env.create_user(name)) for who, name in names.items()}
        world = cls(env, guild, guild.create_text_channel("ml"), people)
        world._watch()
        return world

    @asynccontextmanager
    async def online(self, bot: discord.Client) -> AsyncIterator[None]:
        """What the bot raised is raised here."""
        self.env.bot = bot
        await self.env.start()
        try:
            with self.env.time_context():
                yield
        finally:
            await self.env.shutdown()
        self.env.raise_errors()

    def _watch(self) -> None:
        """Keep every version of what the bot posts: a client may still show an older one."""

        def see(event: str, payload: Any) -> None:
            if event in ("MESSAGE_CREATE", "MESSAGE_UPDATE") and payload.get("components"):
                self.versions.setdefault(int(payload["id"]), []).append(payload)

        self.env.backend.subscribers.append(see)

    def last_event(self, name: str) -> Any:
        return next(payload for _, event, payload in reversed(self.env.backend.transcript) if event == name)

    def requests(self, method: str, ending: str) -> list[Any]:
        """Bodies of the bot's calls."""
        return [r.json for r in self.env.http_requests if r.method == method and r.path.endswith(ending)]

    def direct_messages(self, who: str) -> list[str]:
        backend = self.env.backend
        channel = backend.dm_channels.get(self.people[who].id)
        found = backend.messages.get(channel, {}).values() if channel else ()
        return [shown(m.content or "", m.components or ()) for m in found]

    def all_messages(self) -> list[Message]:
        """Of the bot, everywhere, the oldest first; those that one person alone sees left out."""
        backend = self.env.backend
        found = [m for channel in backend.messages.values() for m in channel.values()]
        mine = [m for m in found if m.author_id == backend.bot_user.id and not m.is_ephemeral and not m.type]
        return sorted(mine, key=lambda m: m.id)

    def threads(self) -> list[ChannelHandle]:
        backend = self.env.backend
        channels = (backend.channels[i] for i in backend.get_guild(self.guild.id).thread_ids)
        return [ChannelHandle(self.env, self.guild, channel) for channel in channels]


@dataclass
class DiscordSurface:
    """The bot in this process."""

    jobs: Jobs
    world: World
    name: str = "discord"
    many_people: bool = True
    edits: bool = True
    env: dict[str, str] = field(default_factory=dict)
    real: bool = False  # real jobs, data and publishing
    wait_s: float = 20.0
    app: App = field(init=False)
    bot: InternBot = field(init=False)
    results: dict[str, list[InteractionResult]] = field(default_factory=dict)

    @asynccontextmanager
    async def process(self, **env: str) -> AsyncIterator[App]:
        approvers = ",".join(f"discord:{self.world.people[who].id}" for who in (APPROVER, OTHER_APPROVER))
        defaults = {
            "INTERN_HOME": str(self.jobs.home),
            "DISCORD_TOKEN": "a.b.c",
            "INTERN_APPROVERS": approvers,
        }
        async with open_app(
            load_settings(defaults | self.env | env), Parts() if self.real else self.jobs.parts()
        ) as self.app:
            self.bot = create_bot(self.app, chunks=self._chunks)
            async with self.world.online(self.bot), self._attended():
                await sync(self.bot.tree, self.jobs.home, self.bot.application_id or 0, None)
                yield self.app

    @asynccontextmanager
    async def _attended(self) -> AsyncIterator[None]:
        stop = asyncio.Event()
        serving = [
            asyncio.create_task(self.bot.attend(stop)),
            asyncio.create_task(work(self.app.dispatch, lambda _: None, stop)),
        ]
        try:
            yield
        finally:
            stop.set()
            await asyncio.gather(*serving)

    async def _chunks(self, url: str) -> AsyncIterator[bytes]:
        yield await self.bot.http.get_from_cdn(url)

    async def until(self, found: Callable[[], Any | Awaitable[Any]], what: str = "") -> Any:
        ends = time.monotonic() + self.wait_s
        while True:
            value = found()
            value = await value if asyncio.iscoroutine(value) else value
            if value:
                return value
            if time.monotonic() > ends:
                seen = "\n---\n".join([*await self.messages(), *self._private(None)])
                raise AssertionError(f"{what or 'it'} did not come; to be seen is:\n{seen}")
            await asyncio.sleep(0.02)

    # -- what people do --------------------------------------------------------------------------------------------

    async def start(self, sentence: str, who: str = ASKER, **options: Any) -> None:
        actor = self.world.people[who]
        self._keep(who, await actor.slash(self.world.channel, "intern run", goal=sentence, **options))

    async def press(self, value: str, who: str = ASKER, *, question: int = -1) -> None:
        message, claim, option = await self.until(lambda: self._offer(value, question), f"a button {value}")
        result = await self.click(message, claim.dump(), who, option)
        response = result.response
        for sure, _ in claims_of(response.components if claim.verb == "sure" and response else ()):
            assert response is not None
            self._keep(who, await self.world.people[who].click(response, custom_id=sure.dump()))

    async def click(
        self, message: Mapping[str, Any], custom_id: str, who: str = ASKER, option: str = ""
    ) -> InteractionResult:
        """As a client does it, whose view may be older than what stands there now."""
        data: dict[str, Any] = {"custom_id": custom_id, "component_type": 3 if option else 2}
        if option:
            data["values"] = [option]
        backend, actor = self.world.env.backend, self.world.people[who]
        channel = ChannelHandle(
            self.world.env, self.world.guild, backend.get_channel(int(message["channel_id"]))
        )
        result = await actor._dispatch_interaction(
            InteractionType.MESSAGE_COMPONENT,
            channel,
            data,
            extra={"message": dict(message)},
            source_message_id=int(message["id"]),
        )
        self._keep(who, result)
        return result

    async def _offer(self, value: str, question: int) -> tuple[Mapping[str, Any], Claim, str] | None:
        """The message, in the version that offers ``value``, with the claim and the menu's option for it."""
        ending = value.removeprefix("suggestion:")
        offers = []
        for versions in list(self.world.versions.values()):
            asks = [
                (version, claim, component)
                for version in versions
                for claim, component in claims_of(version["components"])
                if claim.verb in (("suggest",) if ending != value else ("decide", "sure", "choose"))
            ]
            if asks:
                offers.append([o for ask in asks for o in [await self._fits(*ask, ending)] if o])
        if question >= 0:
            return offers[question][-1] if len(offers) > question and offers[question] else None
        return next((offer[-1] for offer in reversed(offers) if offer), None)

    async def _fits(
        self, message: Mapping[str, Any], claim: Claim, component: Mapping[str, Any], value: str
    ) -> tuple[Mapping[str, Any], Claim, str] | None:
        if claim.verb == "suggest":
            return (message, claim, "") if claim.choice == value else None
        events = await self.app.dispatch.events(claim.run)
        for choice in [o["value"] for o in component.get("options") or ()] or [claim.choice]:
            asked = Incoming("", Kind.ANSWER, Person("1"), "1/2", value=choice, question_id=claim.question)
            if resolved(asked, events).value == value:
                return message, claim, choice if claim.verb == "choose" else ""
        return None

    async def say(self, text: str, who: str = ASKER, **kwargs: Any) -> None:
        await self.world.people[who].send(self.world.threads()[-1], text, **kwargs)

    # -- what people see -------------------------------------------------------------------------------------------

    async def sees(self, text: str, times: int = 1) -> None:
        async def found() -> bool:
            return sum(text in seen for seen in await self.messages()) >= times

        await self.until(found, repr(text))

    async def is_told(self, text: str, who: str = ASKER) -> None:
        async def found() -> bool:
            return any(text in seen for seen in [*self._private(who), *await self.messages()])

        await self.until(found, repr(text))

    def _private(self, who: str | None) -> list[str]:
        results = [r for name, rs in self.results.items() if who in (None, name) for r in rs]
        seen = [m for r in results for m in (r.response, *r.followups) if m is not None]
        return [shown(m.content or "", m.components) for m in seen]

    def _keep(self, who: str, result: InteractionResult) -> None:
        self.results.setdefault(who, []).append(result)

    def claims(self, components: Iterable[Mapping[str, Any]]) -> list[tuple[Claim, Mapping[str, Any]]]:
        return list(claims_of(components))

    def read(self, message: Message) -> str:
        return shown(message.content or "", message.components or ())

    async def messages(self) -> list[str]:
        return [self.read(m) for m in self.world.all_messages()]
