"""A node with its control API, a web server with a page that uses it, and what the page does."""

import asyncio
import contextlib
import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from aiohttp import web

import node.faces.pages
from node.config import Config
from node.environment import Environment
from node.faces.api.server import ControlServer
from node.links.link import Link
from node.machine.control_file import read_control
from node.runtime import Node
from protocol.codec import decode
from protocol.identity import peer_id_text
from tests.browser.foreign import SHOW_ADDRESSES, Page, page_at
from tests.identities import SEEDS, give_identities

MODULE = Path(node.faces.pages.__file__).parent / "web"
PAGE = Path(__file__).parent / "peers" / "page.js"

BYTES = range(64, 68)
"""Frames of tests: bytes to the node, their end, a wish for bytes, and bytes to the page."""
DATA, END, WISH, BACK = BYTES
PIECE_BYTES = 60_000


def pattern(size: int) -> bytes:
    """What both ways carry."""
    return part_of_pattern(0, size)


def part_of_pattern(start: int, end: int) -> bytes:
    """A part of it, from a multiple of 32 on."""
    numbers = range(start // 32, -(-end // 32))
    return b"".join(hashlib.sha256(b"%d" % at).digest() for at in numbers)[: end - start]


class Mover:
    """Takes and gives bytes on the links of a node; `links` has each that was ever open.

    `gave` is set once all bytes that a page wished for have been queued.
    """

    def __init__(self) -> None:
        self.links: list[Link] = []
        self.taken: list[bytes] = []
        self.digest = ""
        self.gave = asyncio.Event()
        self.most_buffered_bytes = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._has_link = asyncio.Event()

    async def the_link(self) -> Link:
        """The only link so far: a page has its end a little before the node has its own."""
        await self._has_link.wait()
        (link,) = self.links
        return link

    def on_link(self, link: Link) -> None:
        self.links.append(link)
        self._has_link.set()
        link.register(BYTES, lambda frame: self._take(link, frame))

    def _take(self, link: Link, frame: bytes) -> None:
        kind, value = decode(frame, max_bytes=65536, max_items=2)
        if kind == DATA:
            self.taken.append(value)
        elif kind == END:
            self.digest = hashlib.sha256(b"".join(self.taken)).hexdigest()
            link.send(b"\x92\x41\xd9\x40" + self.digest.encode())
        else:
            task = asyncio.ensure_future(self._give(link, value))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _give(self, link: Link, size: int) -> None:
        for at in range(0, size, PIECE_BYTES):
            piece = part_of_pattern(at, min(at + PIECE_BYTES, size))
            link.send(b"\x92\x43\xc5" + len(piece).to_bytes(2) + piece)
            self.most_buffered_bytes = max(self.most_buffered_bytes, link.buffered_bytes)
            await link.drained()
        self.gave.set()

    async def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


class Scene:
    """A node, and a page of a permitted origin that knows its address and token."""

    def __init__(self, running: Node, mover: Mover, page: Page) -> None:
        self.node = running
        self.mover = mover
        self.page = page

    async def do(self, action: str, **details: Any) -> Any:
        """What a function of page.js gave; raises RuntimeError when it threw."""
        control = read_control(self.node.home.path)
        assert control is not None
        told = {
            "api": f"http://{control[0]}",
            "token": control[1],
            "peer": peer_id_text(self.node.identity.peer_id),
            "seed": SEEDS[9].hex(),
            **details,
        }
        return await self.page.evaluate(f"ready.then(() => {action}({json.dumps(told)}))")


@contextlib.asynccontextmanager
async def scene(folder: Path, *, hidden: bool = False, **settings: Any) -> AsyncIterator[Scene]:
    """`hidden`: the browser names mDNS names in place of its addresses."""
    async with _site() as origin, _node(folder, origin, **settings) as (running, mover):
        flags = () if hidden else (SHOW_ADDRESSES,)
        async with page_at(f"{origin}/", *flags) as page:
            # Until the page is there, its place has another one without `ready`.
            while not await page.evaluate("typeof ready === 'object'"):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
            yield Scene(running, mover, page)


@contextlib.asynccontextmanager
async def _site() -> AsyncIterator[str]:
    async def front(_: web.Request) -> web.Response:
        text = f"<script>{PAGE.read_text()}</script>"
        return web.Response(text=text, content_type="text/html")

    application = web.Application()
    application.router.add_get("/", front)
    application.router.add_static("/web", MODULE)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def _node(folder: Path, origin: str, **settings: Any) -> AsyncIterator[tuple[Node, Mover]]:
    home = folder / "home"
    give_identities([home])
    config = Config(listen=("127.0.0.1:0",), page_origins=(origin,), **settings)
    running = Node.open(home, config, Environment(), lambda _: None)
    await running.start()
    mover = Mover()
    running.pool.subscribe(mover.on_link)
    server = ControlServer(running, version="1", on_stop=lambda: None)
    await server.start()
    try:
        yield running, mover
    finally:
        await server.close()
        await mover.close()
        await running.stop()
    assert running.defects == []
