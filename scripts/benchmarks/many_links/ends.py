"""A node that calls many others, and the others; each message goes there and back."""

import asyncio
import time
from collections.abc import Sequence

from node.links.link import Link
from protocol.errors import LinkClosed
from scripts.benchmarks.many_links.local_node import FRAME, Carry, LocalNode, carry_nowhere

_MOST_AT_ONCE = 20


class Caller:
    """A node that opens links to many, and sends a message over each, which comes back."""

    def __init__(self) -> None:
        self._awaited: dict[Link, asyncio.Future[None]] = {}
        self._node: LocalNode | None = None

    async def open(self, carry: Carry) -> None:
        """Bind the node's one socket."""
        self._node = await LocalNode.open(carry, self._came_back)

    def _came_back(self, link: Link) -> None:
        self._awaited.pop(link).set_result(None)

    async def link_at_once(self, keys: Sequence[bytes]) -> float:
        """Seconds until a message has come back over the links to all of these nodes."""
        began = time.perf_counter()
        await asyncio.gather(*(self._link(key) for key in keys))
        return time.perf_counter() - began

    async def link_all(self, keys: Sequence[bytes]) -> None:
        """The same without haste."""
        for start in range(0, len(keys), _MOST_AT_ONCE):
            await self.link_at_once(keys[start : start + _MOST_AT_ONCE])

    async def _link(self, key: bytes) -> None:
        assert self._node is not None
        link = await self._node.connect(key)
        self._awaited[link] = back = asyncio.get_running_loop().create_future()
        link.send(FRAME)
        await back

    def check_open(self, links: int) -> None:
        """Raise LinkClosed unless so many links are open."""
        assert self._node is not None
        still = len(self._node.pool.links())
        if still != links:
            raise LinkClosed(f"{still} of {links} links are open")

    async def close_links(self) -> None:
        """Close every link; the node stays."""
        assert self._node is not None
        await asyncio.gather(*(link.close() for link in self._node.pool.links()))

    async def close(self) -> None:
        """Close the node."""
        if self._node is not None:
            await self._node.close()


class Callees:
    """Nodes that answer, each with a socket of its own, and send every message back."""

    def __init__(self) -> None:
        self._nodes: dict[bytes, LocalNode] = {}

    async def open(self, nodes: int) -> list[bytes]:
        """The public keys of so many nodes."""
        for _ in range(nodes):
            node = await LocalNode.open(carry_nowhere, lambda link: link.send(FRAME))
            self._nodes[node.identity.public_key] = node
        return list(self._nodes)

    async def answer(self, key: bytes, sealed: bytes) -> bytes:
        """The sealed answer of the node with this key."""
        return await self._nodes[key].answer(sealed)

    async def close(self) -> None:
        """Close all of them."""
        for node in self._nodes.values():
            await node.close()
