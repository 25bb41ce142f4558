"""A Slack on this machine: the npm package ``local-slack-linux-x64`` 0.1.8 (MIT), a prebuilt binary, as a process.

What it does itself: messages, threads, ephemeral messages, reactions, files (getUploadURLExternal and
completeUploadExternal with alt_txt, bytes kept), modals (open, push, update, submit, errors), App Home,
direct messages, users, channels, permalinks, response_url, Socket Mode, ``app_home_opened``, uploads by a user.

What it does not do, and ``proxy.py`` and ``gateway.py`` add: tokens and scopes, rate limits, message metadata,
pages, triggers that expire, streams, user groups, shortcuts, clicks in App Home, retries, and any fault.
What it gets wrong and the proxy mends: it sends each envelope to every socket, shows ``ack("text")`` to the whole
channel, lists ephemeral messages among the replies, and says that the bot is a member everywhere.
What stays: one stack of modals for all people, and no check of what a person may see.

It listens on every interface. A line of JavaScript, preloaded through ``BUN_OPTIONS``, binds it to 127.0.0.1 and
``start`` refuses to go on when that did not work. It is asked for a free port (0) and says which it got on stdout,
which is also how ``start`` knows that it is ready.
"""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import aiohttp

Json = dict[str, Any]

ROOT = Path(__file__).resolve().parents[2]
BINARY = ROOT / ".tools" / "slack" / "node_modules" / "local-slack-linux-x64" / "bin" / "local-slack"
MISSING = "the local Slack is not installed: run `make peers` (Linux x64 with npm)"

TEAM = "T0LOCAL"
APP = "A0INTERN"
BOT = "U0BOT"
ALICE, BOB, CAROL, MALLORY = "U0ALICE", "U0BOB", "U0CAROL", "U0MALLORY"  # asks, approves, approves, stranger
ML, RANDOM, PRIVATE, ELSEWHERE = "C0ML", "C0RANDOM", "C0PRIVATE", "C0ELSEWHERE"  # the bot is not in ELSEWHERE
BOT_TOKEN = "xoxb-local-intern"
APP_TOKEN = "xapp-local-intern"
SIGNING_SECRET = "local-signing-secret"

PRELOAD = 'const serve = Bun.serve;\nBun.serve = (options) => serve({ ...options, hostname: "127.0.0.1" });\n'
READY = re.compile(r"Web API base:\s+http://[^:]+:(\d+)/api/")


def workspace() -> Json:
    """The workspace that the binary is started with."""
    people = {ALICE: "alice", BOB: "bob", CAROL: "carol", MALLORY: "mallory"}
    everyone = list(people)
    return {
        "workspace": {"name": "Local", "domain": "local", "teamId": TEAM},
        "apps": [
            {
                "appId": APP,
                "botUserId": BOT,
                "botName": "intern",
                "botToken": BOT_TOKEN,
                "appToken": APP_TOKEN,
                "signingSecret": SIGNING_SECRET,
                "mode": "socket",  # in HTTP mode the gateway takes the envelope from the socket and posts it, signed
            }
        ],
        "users": [
            {
                "id": id_,
                "name": name,
                "real_name": name.title(),
                "email": f"{name}@example.org",
                "tz": "Etc/UTC",
            }
            for id_, name in people.items()
        ],
        "channels": [
            {"id": ML, "name": "ml", "members": [BOT, *everyone]},
            {"id": RANDOM, "name": "random", "members": [BOT, *everyone]},
            {"id": PRIVATE, "name": "private", "members": [BOT, ALICE, BOB], "is_private": True},
            {"id": ELSEWHERE, "name": "elsewhere", "members": everyone},
        ],
    }


def why_not() -> str:
    """Why the local Slack cannot run here, or an empty text."""
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        return "the local Slack is a binary for Linux x64 only"
    return "" if os.access(BINARY, os.X_OK) else MISSING


class LocalSlack:
    """The process, and its control API. ``with LocalSlack() as slack`` or ``async with``.

    Starting is blocking (about 0.3 s), so that one process may serve a whole test session; the methods that talk to
    it are asynchronous and use the session of the running loop that ``open`` made.
    """

    def __init__(self, binary: Path = BINARY) -> None:
        self.binary = binary
        self.url = ""
        self._process: subprocess.Popen[str] | None = None
        self._drain: threading.Thread | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._http: aiohttp.ClientSession | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None, "the local Slack is not running"
        return self._process.pid

    def start(self) -> None:
        """Starts the process and returns when it listens. Raises RuntimeError when it does not, or not on loopback."""
        self._folder = tempfile.TemporaryDirectory(prefix="local-slack-")
        folder = Path(self._folder.name)
        (folder / "preload.js").write_text(PRELOAD)
        (folder / "workspace.json").write_text(json.dumps(workspace()))
        command = [str(self.binary), "--config", str(folder / "workspace.json"), "--port", "0"]
        command += ["--base-host", "127.0.0.1", "--files-dir", str(folder / "files")]
        env = {
            "HOME": str(folder),
            "PATH": os.environ.get("PATH", ""),
            "BUN_OPTIONS": f"--preload {folder / 'preload.js'}",
        }
        self._process = subprocess.Popen(
            command, env=env, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        try:
            port = self._wait_for_port()
            self.url = f"http://127.0.0.1:{port}"
            if (addresses := listening(self.pid)) != {"127.0.0.1"}:
                raise RuntimeError(f"the local Slack listens on {sorted(addresses)}, not on 127.0.0.1 alone")
        except BaseException:
            self.stop()
            raise

    def _wait_for_port(self) -> int:
        assert self._process is not None
        assert self._process.stdout is not None
        said = []
        for line in self._process.stdout:  # ends when the process does
            said.append(line)
            if match := READY.search(line):
                # What it says later is read and dropped, so that a full pipe never stops it.
                self._drain = threading.Thread(target=self._process.stdout.read, daemon=True)
                self._drain.start()
                return int(match[1])
        raise RuntimeError(f"the local Slack did not start: {''.join(said)[-500:]}")

    def stop(self) -> None:
        """Ends the process (by its id) and removes its folder."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            if self._drain is not None:
                self._drain.join()
            if self._process.stdout is not None:
                self._process.stdout.close()
            self._process = None
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    async def open(self) -> None:
        """Makes the HTTP session of this event loop."""
        self._http = aiohttp.ClientSession()

    async def close(self) -> None:
        if self._http is not None:
            await self._http.close()
            self._http = None

    def __enter__(self) -> LocalSlack:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    async def __aenter__(self) -> LocalSlack:
        self.start()
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
        self.stop()

    @property
    def http(self) -> aiohttp.ClientSession:
        assert self._http is not None, "call open() in this event loop first"
        return self._http

    async def api(self, method: str, args: Json, token: str = BOT_TOKEN) -> Json:
        """A Web API call straight to the binary, past the proxy."""
        headers = {"Authorization": f"Bearer {token}"}
        async with self.http.post(f"{self.url}/api/{method}", json=args, headers=headers) as answer:
            result: Json = await answer.json()
            return result

    async def control(self, what: str, **body: Any) -> Json:
        """``POST /_control/<what>``. Raises AssertionError when the binary refuses: then the test is wrong."""
        async with self.http.post(f"{self.url}/_control/{what}", json=body) as answer:
            result: Json = await answer.json()
        assert result.get("ok"), f"local Slack refused {what} {body}: {result}"
        return result

    async def upload(
        self, user: str, channel: str, files: dict[str, bytes], text: str, thread_ts: str | None
    ) -> Json:
        """A message with files by a person; the message."""
        form = aiohttp.FormData(
            {"user": user, "channel": channel, "text": text, "thread_ts": thread_ts or ""}
        )
        for name, content in files.items():
            form.add_field("file", content, filename=name, content_type="application/octet-stream")
        async with self.http.post(f"{self.url}/_control/upload", data=form) as answer:
            result: Json = await answer.json()
        assert result.get("ok"), f"local Slack refused the upload: {result}"
        message: Json = result["message"]
        return message

    async def messages(self, channel: str) -> list[Json]:
        """Everything in a channel, oldest first, replies and ephemeral messages among it."""
        async with self.http.get(f"{self.url}/_control/messages/{channel}") as answer:
            found: list[Json] = (await answer.json())["messages"]
            return found

    async def log(self) -> list[Json]:
        """The binary's own record: direction, kind, summary, detail."""
        async with self.http.get(f"{self.url}/_control/log") as answer:
            found: list[Json] = (await answer.json())["log"]
            return found

    async def uploads(self) -> list[Upload]:
        """Every file that is there, with its bytes."""
        listed = (await self.api("files.list", {"count": 1000}))["files"]
        found = []
        for file in listed:
            headers = {"Authorization": f"Bearer {BOT_TOKEN}"}
            async with self.http.get(file["url_private_download"], headers=headers) as answer:
                found.append(Upload.of(file, await answer.read()))
        return found

    async def screen(self) -> Screen:
        """What the web page shows now: connects as one more page, reads the first frame, and stays connected."""
        socket = await self.http.ws_connect(f"{self.url.replace('http', 'ws', 1)}/ui", max_msg_size=0)
        first = json.loads((await socket.receive(timeout=10)).data)
        assert first["t"] == "init", first["t"]
        return Screen(socket, first["state"])


@dataclass
class Screen:
    """One open web page. ``state``: workspace, channels, messages, modalStack, homeViews, as of its opening."""

    socket: aiohttp.ClientWebSocketResponse
    state: Json

    async def do(self, what: str, *until: str, **body: Any) -> Json:
        """Sends a person's action and waits for the first frame of a kind in ``until``; that frame."""
        await self.socket.send_json({"t": what, **body})
        while True:
            frame: Json = json.loads((await self.socket.receive(timeout=10)).data)
            if frame["t"] in until:
                return frame

    async def close(self) -> None:
        await self.socket.close()


@dataclass(frozen=True)
class Upload:
    """A file in the workspace. ``channels``: where it was shared; ``thread_ts``: in which thread, or empty."""

    id: str
    name: str
    title: str
    alt_txt: str
    user: str
    channels: tuple[str, ...]
    thread_ts: str
    content: bytes

    @classmethod
    def of(cls, file: Json, content: bytes) -> Upload:
        shares = [
            (channel, share)
            for kind in file["shares"].values()
            for channel, all_ in kind.items()
            for share in all_
        ]
        return cls(
            id=file["id"],
            name=file["name"],
            title=file["title"],
            alt_txt=file.get("alt_txt", ""),
            user=file["user"],
            channels=tuple(channel for channel, _ in shares),
            thread_ts=next((share.get("thread_ts", "") for _, share in shares), ""),
            content=content,
        )


def listening(pid: int) -> set[str]:
    """The addresses on which the process ``pid`` listens (TCP), from /proc."""
    mine = set()
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        try:
            mine.add(str(fd.readlink()))
        except FileNotFoundError:  # closed meanwhile
            continue
    found = set()
    for table, width in (("tcp", 8), ("tcp6", 32)):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            local, state, inode = (line.split()[i] for i in (1, 3, 9))
            if state == "0A" and f"socket:[{inode}]" in mine:
                address = local[:width]
                # Little-endian words; an IPv6 listener is never what we asked for.
                dotted = ".".join(str(int(address[i : i + 2], 16)) for i in (6, 4, 2, 0))
                found.add(dotted if width == 8 else f"[{address}]")
    return found
