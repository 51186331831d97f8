"""A node that answers from memory, and a real control server for it, for tests of the faces."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, cast

from node.content.progress import Progress, ReportProgress
from node.environment import Environment
from node.faces.api.server import ControlServer
from node.home import Home
from node.runtime import Node
from protocol.content.link import ModLink
from protocol.identity import Identity, PeerId, base32_text, peer_id_text
from tests.identities import SEEDS

MOD_ID = bytes(range(32))
LINK = ModLink(MOD_ID, bytes(32))
PEER = Identity(SEEDS[1]).peer_id


class FakeDiagnosis:
    """What `modswarm dht` shows of a network of one."""

    def __init__(self, answer: Callable[..., None]) -> None:
        self._answer = answer

    async def lookup(self, target: str, paths: int = 1) -> dict[str, Any]:
        self._answer("lookup", target, paths)
        named = {"peer_id": peer_id_text(PEER), "address": "127.0.0.1:5000", "rtt_ms": 1.5}
        known = {**named, "rtt_ms": None, "path": []}
        closest = [{**named, "path": [peer_id_text(PEER)] * 2}, known]
        return {"target": "00" * 20, "seconds": 0.5, "requests": 12, "closest": closest}

    async def records(self, target: str, kind: str | None = None) -> dict[str, Any]:
        self._answer("records", target, kind)
        record = {
            "publisher": peer_id_text(PEER),
            "sequence": 7,
            "issued": 0,
            "expires": 86400,
            "bytes": 159,
            "body": {"addresses": ["127.0.0.1:5000"], "shard_bits": 2},
        }
        return {
            "key": "00" * 20,
            "kind": "peer",
            "seconds": 0.5,
            "requests": 12,
            "hops": 1,
            "holders": [peer_id_text(PEER)],
            "registrars": [],
            "records": [record],
        }

    async def crawl(self, contacts: int) -> dict[str, Any]:
        self._answer("crawl", contacts)
        return {
            "seconds": 2.5,
            "named": 9,
            "asked": 9,
            "answered": 7,
            "silent": 2,
            "whole": True,
            "size_estimate": 8,
            "versions": {"1": 7},
            "families": {"4": 6, "6": 1},
            "rtt_p50_ms": 12.5,
        }


class FakeNode:
    """What it answers are attributes; `failure` is raised instead, `hold` keeps downloads alive."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.identity = Identity(SEEDS[0])
        self.environment = Environment()
        self.asked: list[tuple[Any, ...]] = []
        self.failure: Exception | None = None
        self.hold = False
        self.downloading = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.peer_id = peer_id_text(self.identity.peer_id)
        self.link = LINK
        self.signaled_via = [peer_id_text(PEER)]
        self.diagnosis = FakeDiagnosis(self._answer)
        self.mod_list = [stored_mod(MOD_ID, "hats")]

    def _answer(self, *asked: Any) -> None:
        self.asked.append(asked)
        if self.failure is not None:
            raise self.failure

    def status(self) -> dict[str, Any]:
        self._answer("status")
        return {
            "peer_id": self.peer_id,
            "addresses": ["127.0.0.1:4001"],
            "friend_addresses": self.friend_addresses(),
            "uptime_s": 1.5,
            "reachable": True,
            "joined": True,
            "join_ms": 12.5,
            "contacts": 3,
            "registrars": [],
            "registered_peers": 0,
            "forwarded_calls": 0,
            "records": 4,
            "links": 1,
            "datagrams_received": 10,
            "datagrams_sent": 11,
            "bytes_received": 1000,
            "bytes_sent": 1100,
            "refused": {"bad_signature": 2},
        }

    def friend_addresses(self) -> list[str]:
        return [f"127.0.0.1:4001/{peer_id_text(self.identity.peer_id)}"]

    async def mods(self) -> list[dict[str, Any]]:
        self._answer("mods")
        return self.mod_list

    async def share(self, path: Path, name: str | None, progress: ReportProgress) -> dict[str, Any]:
        self._answer("share", path, name)
        progress(Progress("reading", bytes_total=10, bytes_done=5))
        await asyncio.sleep(0)
        return {
            "mod_id": base32_text(MOD_ID),
            "link": str(self.link),
            "name": name or path.name,
            "files": 2,
            "bytes": 10,
            "new_bytes": 10,
            "published": {"confirmed": 3, "asked": 4},
        }

    async def remove(self, mod_id: bytes) -> bool:
        self._answer("remove", mod_id)
        return mod_id == MOD_ID

    async def get(
        self,
        link: ModLink,
        target: Path | None = None,
        *,
        into: Path | None = None,
        progress: ReportProgress,
    ) -> dict[str, Any]:
        self._answer("get", link, target, into)
        progress(Progress("chunks", 4, 1, 10, 5, 5, 1))
        self.downloading.set()
        if self.hold:
            try:
                await asyncio.Event().wait()
            finally:
                self.cancelled.set()
        return {
            "mod_id": base32_text(link.mod_id),
            "path": str(target or cast("Path", into) / "hats"),
            "files": 2,
            "bytes": 10,
            "bytes_fetched": 5,
            "seconds": 0.25,
            "lookup_ms": 10.0,
            "connect_ms": 90.5,
            "transfer_MBps": 1.5,
            "record_hops": 2,
            "signaled_via": self.signaled_via,
            "sources": [peer_id_text(PEER)],
        }

    async def peers(self, has: ModLink | None = None) -> list[dict[str, Any]]:
        self._answer("peers", has)
        return [
            {
                "peer_id": peer_id_text(PEER),
                "address": "127.0.0.1:5000",
                "last_seen_s": 3.0,
                "rtt_ms": 1.5,
                "kind": "contact",
                "has": True if has else None,
            }
        ]

    def links(self) -> list[dict[str, Any]]:
        self._answer("links")
        return [_link(PEER)]

    async def connect(self, peer_id: PeerId) -> dict[str, Any]:
        self._answer("connect", peer_id)
        return _link(peer_id)


def stored_mod(mod_id: bytes, name: str) -> dict[str, Any]:
    return {
        "mod_id": base32_text(mod_id),
        "name": name,
        "files": 2,
        "bytes": 10,
        "link": str(ModLink(mod_id, bytes(32))),
        "shared": True,
        "complete": True,
    }


def _link(peer_id: PeerId) -> dict[str, Any]:
    return {
        "peer_id": peer_id_text(peer_id),
        "direction": "outgoing",
        "path": "direct",
        "remote_address": "127.0.0.1:5000",
        "age_s": 3.0,
        "bytes_sent": 100,
        "bytes_received": 2000,
    }


@asynccontextmanager
async def served(
    folder: Path, on_stop: Callable[[], None] = lambda: None
) -> AsyncIterator[tuple[FakeNode, ControlServer]]:
    """A fake node behind a real control server, in the running loop."""
    home = Home.open(folder)
    node = FakeNode(home)
    server = ControlServer(cast("Node", node), version="1.2.3", on_stop=on_stop)
    await server.start()
    try:
        yield node, server
    finally:
        await server.close()
        home.close()


@contextmanager
def served_in_thread(folder: Path) -> Iterator[FakeNode]:
    """The same in a thread of its own, for blocking clients; POST /v1/stop ends it too."""
    ready: list[FakeNode] = []
    started = threading.Event()
    loop = asyncio.new_event_loop()
    ended = asyncio.Event()

    async def serve() -> None:
        async with served(folder, ended.set) as (node, _):
            ready.append(node)
            started.set()
            await ended.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        assert started.wait(10)
        yield ready[0]
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join()
        loop.close()
