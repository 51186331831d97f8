"""Foreign WebRTC peers to talk to, each in a process of its own, and whether they are installed."""

import asyncio
import contextlib
import importlib.util
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Protocol

import aiohttp

_HERE = Path(__file__).parent
_PEERS = _HERE / "peers"
_CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome")
_CHROMIUM_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--allow-loopback-in-peer-connection",
    "--remote-debugging-port=0",
    "about:blank",
)
SHOW_ADDRESSES = "--disable-features=WebRtcHideLocalIpsWithMdns"
_DEVTOOLS = re.compile(rb"DevTools listening on (ws://\S+)")
_LINE_BYTES_MAX = 1 << 20


class Foreign(Protocol):
    """A peer that does what it is told: see the methods of the peers beside this file."""

    async def do(self, action: str, **details: Any) -> Any:
        """Return what the action gave; raises RuntimeError when it failed."""
        ...


def chromium() -> str | None:
    """The path of a Chromium, if there is one."""
    return next(filter(None, map(shutil.which, _CHROMIUM_NAMES)), None)


MISSING = {
    "aiortc": None,
    "libwebrtc": None if importlib.util.find_spec("wrtc") else "pip install wrtc",
    "werift": None
    if shutil.which("node") and (_HERE / "node_modules" / "werift").is_dir()
    else "npm install --prefix tests/browser",
    "chromium": None if chromium() else "apt-get install chromium",
    "hiding": None if chromium() else "apt-get install chromium",
}
"""What to do to have each peer here; None if it is here. "hiding": a Chromium that names mDNS names
in place of its addresses, as it does for each page that may not use the camera."""


@contextlib.asynccontextmanager
async def start(name: str) -> AsyncIterator[Foreign]:
    """A peer of this kind, ended afterwards."""
    python = (sys.executable, str(_PEERS / "python_peer.py"))
    starters: dict[str, Callable[[], AbstractAsyncContextManager[Foreign]]] = {
        "aiortc": lambda: _on_lines(*python, "aiortc"),
        "libwebrtc": lambda: _on_lines(*python, "webrtc.aiortc"),
        "werift": lambda: _on_lines("node", str(_PEERS / "werift_peer.mjs")),
        "chromium": lambda: _in_chromium(SHOW_ADDRESSES),
        "hiding": _in_chromium,
    }
    async with starters[name]() as peer:
        yield peer


class _LinePeer:
    """A process that takes requests and gives answers as lines of JSON."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._requests, self._answers = process.stdin, process.stdout

    async def do(self, action: str, **details: Any) -> Any:
        self._requests.write(json.dumps({"action": action, **details}).encode() + b"\n")
        answer = await self._answers.readline()
        if not answer:
            raise RuntimeError(f"The peer ended over {action!r}; it says why on stderr.")
        return json.loads(answer)["value"]


@contextlib.asynccontextmanager
async def _on_lines(*command: str) -> AsyncIterator[Foreign]:
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=_LINE_BYTES_MAX,
        env={
            "WRTC_ALLOW_LOOPBACK": "1",
            "PATH": "/usr/bin:/bin:/usr/local/bin",
            "PYTHONPATH": os.pathsep.join(sys.path),  # what MISSING found here is found there
        },
    )
    try:
        yield _LinePeer(process)
    finally:
        await _end(process)


async def _end(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.communicate()


class Page:
    """A page of Chromium, steered by the DevTools protocol."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._session = ""
        self._asked = 0

    async def attach(self, url: str = "about:blank") -> None:
        """Open a page."""
        target = await self._command("Target.createTarget", url=url)
        attached = await self._command(
            "Target.attachToTarget", targetId=target["targetId"], flatten=True
        )
        self._session = attached["sessionId"]

    async def make_peer(self) -> None:
        """Put a peer into the page."""
        await self.evaluate((_PEERS / "peer.js").read_text())
        await self.evaluate(
            "globalThis.peer = new Peer(new RTCPeerConnection({ iceServers: [] })); 0"
        )

    async def do(self, action: str, **details: Any) -> Any:
        return await self.evaluate(f"peer.{action}({json.dumps(details)})")

    async def evaluate(self, expression: str) -> Any:
        answer = await self._command(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"])
        return answer["result"].get("value")

    async def _command(self, method: str, **parameters: Any) -> Any:
        self._asked += 1
        request: dict[str, Any] = {"id": self._asked, "method": method, "params": parameters}
        if self._session:
            request["sessionId"] = self._session
        await self._socket.send_json(request)
        while True:
            answer = await self._socket.receive_json()
            if answer.get("id") == self._asked:
                return answer["result"]


@contextlib.asynccontextmanager
async def _in_chromium(*flags: str) -> AsyncIterator[Foreign]:
    async with page_at("about:blank", *flags) as page:
        await page.make_peer()
        yield page


@contextlib.asynccontextmanager
async def page_at(url: str, *flags: str) -> AsyncIterator[Page]:
    """A page of a Chromium of its own, ended afterwards."""
    path = chromium()
    assert path is not None
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = await asyncio.create_subprocess_exec(
            path,
            *_CHROMIUM_FLAGS,
            *flags,
            f"--user-data-dir={profile}",
            stderr=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            env={"PATH": "/usr/bin:/bin", "HOME": profile},
        )
        try:
            address = await _devtools_address(process)
            async with (
                _passed_over(process),
                aiohttp.ClientSession() as session,
                session.ws_connect(address, max_msg_size=0) as socket,
            ):
                page = Page(socket)
                await page.attach(url)
                yield page
        finally:
            await _end(process)


async def _devtools_address(process: asyncio.subprocess.Process) -> str:
    assert process.stderr is not None
    async for line in process.stderr:
        if found := _DEVTOOLS.search(line):
            return found[1].decode()
    raise RuntimeError("Chromium ended before it listened.")


@contextlib.asynccontextmanager
async def _passed_over(process: asyncio.subprocess.Process) -> AsyncIterator[None]:
    """Read what Chromium logs, or the page stops at the next line once the pipe is full.

    It logs a line for each data channel that the peer does not take: 900 of them filled the pipe.
    """
    reading = asyncio.ensure_future(_read_on(process))
    try:
        yield
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


async def _read_on(process: asyncio.subprocess.Process) -> None:
    assert process.stderr is not None
    while await process.stderr.read(1 << 16):
        pass
