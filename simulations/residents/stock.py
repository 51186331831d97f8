"""The unmodified kademlia library on the simulated internet, to be compared with.

Nothing of it is changed but what makes it random: node ids come from the seed, and the global
random source is seeded. Its message ids are drawn from the operating system, and no event of the
history depends on them.
"""

import asyncio
import logging
import random
from collections.abc import Iterable
from typing import Any

import umsgpack
from kademlia.crawling import NodeSpiderCrawl
from kademlia.network import Server
from kademlia.node import Node
from kademlia.utils import digest

from simulations.internet.host import Host
from simulations.internet.internet import Internet
from simulations.internet.latency import Latency
from simulations.residents.world import INTRODUCERS, JOIN_SPACING_S, PORT
from simulations.runtime.collector import freeze_survivors
from simulations.runtime.loop import VirtualLoop
from simulations.seeds import derive_rng

_ID_BYTES = 20


class StockWorld:
    """Nodes of the stock library, joined like ours."""

    def __init__(self, seed: int, latency: Latency) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        self.loop = loop
        self.internet = Internet(loop, seed, latency)
        self.servers: list[tuple[Host, Server]] = []
        self._rng = derive_rng(seed, "stock")
        random.seed(seed)
        for name in ("kademlia", "rpcudp"):
            logging.getLogger(name).setLevel(logging.CRITICAL)

    async def populate(self, count: int) -> None:
        """Start `count` nodes, each of which knows a few earlier ones."""
        joining = []
        for _ in range(count):
            host = self.internet.add_host()
            with host.running():
                server = Server(node_id=self._rng.randbytes(_ID_BYTES))
                await server.listen(PORT, interface=_address(host))
                known = self._rng.sample(self.servers, min(INTRODUCERS, len(self.servers)))
                addresses = [(_address(other), PORT) for other, _ in known]
                joining.append(asyncio.ensure_future(server.bootstrap(addresses)))
            self.servers.append((host, server))
            await asyncio.sleep(JOIN_SPACING_S)
        await asyncio.gather(*joining)
        freeze_survivors()

    async def closest(self, server: Server, target: bytes) -> list[bytes]:
        """The ids that a stock lookup of `target` ends with."""
        node = Node(target)
        nearest = server.protocol.router.find_neighbors(node)
        crawl = NodeSpiderCrawl(server.protocol, node, nearest, server.ksize, server.alpha)
        return [found.id for found in await crawl.find()]

    @staticmethod
    def holds(server: Server, key: str) -> bool:
        """Whether this node itself stores something under a key, so that `get` asks no other."""
        return server.storage.get(digest(key)) is not None


def _address(host: Host) -> str:
    address = host.address()
    assert address is not None
    return address


class StockAnswerer:
    """One stock node without a network: datagrams go into `receive`, answers into a transport."""

    def __init__(
        self, node_id: bytes, contacts: Iterable[tuple[bytes, str, int]], transport: Any
    ) -> None:
        self._server = Server(node_id=node_id)
        self._protocol = self._server._create_protocol()
        self._protocol.connection_made(transport)
        for contact in contacts:
            self._protocol.router.add_contact(Node(*contact))
        self.receive = self._protocol.datagram_received

    def known(self) -> list[tuple[bytes, tuple[str, int]]]:
        """Ids and addresses of the contacts in its table."""
        buckets = self._protocol.router.buckets
        return [(node.id, (node.ip, node.port)) for one in buckets for node in one.get_nodes()]


def stock_request(message_id: bytes, name: str, arguments: list[bytes]) -> bytes:
    """A request as the stock library spells it; `message_id` has 20 bytes."""
    packed: bytes = umsgpack.packb([name, arguments])
    return b"\0" + message_id + packed
