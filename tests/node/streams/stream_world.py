"""A gateway at a public host of the simulated internet, and clients of it, each at its own."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from node.counters import Counters
from node.environment import Environment
from node.links.secure.certificate import load_or_create
from node.net.endpoint import Endpoint
from node.net.names import NameLookups
from node.streams.client import OwnStreams
from node.streams.dialing import StreamDialer
from node.streams.gateway import StreamGateway
from node.tasks import TaskOwner
from protocol.addresses import Address
from protocol.identity import Identity, PeerId
from simulations.internet import Host, Internet, UniformLatency
from simulations.runtime.loop import VirtualLoop
from simulations.seeds import derive_rng

GATEWAY = Identity(bytes(32))
BY_STREAM = b"\xd0 by stream"
USEFUL = 10.0
SECOND_PORT = 4002


@dataclass
class Scene:
    """A gateway at a public host, and what its overlay has read."""

    internet: Internet
    folder: Path
    worth: dict[PeerId, float] = field(default_factory=dict)
    read: list[bytes] = field(default_factory=list)
    contacts: frozenset[Address] = frozenset()
    clients: int = 0

    def environment(self, variables: dict[str, str]) -> Environment:
        loop = self.internet.loop
        rng = derive_rng(1, "stream", self.clients)
        return Environment(
            loop.wall_time, rng, list, udp_socket=None, find_router=None, variables=variables
        )

    async def open(self) -> None:
        self.host = self.internet.add_host("gateway", ["77.0.0.1"])
        with self.host.running():
            environment, counters = self.environment({}), Counters()
            self.endpoint = Endpoint(counters, environment)
            await self.endpoint.open(Address("77.0.0.1", 4001))
            self.endpoint.demux.register_reader(0xD0, lambda data, _: self.read.append(data))
            path = self.folder / "certificate.pem"
            self.gateway = StreamGateway(
                *(GATEWAY, environment, self.endpoint, counters),
                puzzle_bits=0,
                fingerprint=load_or_create(path, environment).fingerprint,
                contacts=lambda: self.contacts,
                worth=lambda peer_id, _: self.worth.get(peer_id, 0.0),
                gone=lambda *_: None,
            )
            await self.gateway.start(path)
        self.counters = counters

    async def close(self) -> None:
        with self.host.running():
            await self.gateway.close()
            await self.endpoint.close()
        assert self.gateway.defects == []

    @property
    def address(self) -> Address:
        return self.endpoint.addresses[4]

    def client(self, host: Host | None = None, proxy: str = "") -> "Client":
        self.clients += 1
        return Client(self, host or self.internet.add_host(), proxy)


class Client:
    """A client on a host of its own."""

    def __init__(self, one: Scene, host: Host, proxy: str) -> None:
        self.host = host
        self.identity = Identity(one.clients.to_bytes(32))
        self.address = one.address
        environment = one.environment({"HTTPS_PROXY": proxy})
        counters = Counters()
        self.ended = 0
        with host.running():
            self.endpoint = Endpoint(counters, environment)
            names = NameLookups(TaskOwner("client"))
            dialer = StreamDialer(self.identity, environment, names, puzzle_bits=0)
            self.streams = OwnStreams(dialer, self.endpoint, counters, self._ended)

    def _ended(self, _stream: object) -> None:
        self.ended += 1

    async def dial(self) -> None:
        with self.host.running():
            await self.streams.open(self.address, GATEWAY.peer_id)

    def close(self) -> None:
        with self.host.running():
            self.streams.close()


@contextlib.asynccontextmanager
async def scene(folder: Path) -> AsyncIterator[Scene]:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    one = Scene(Internet(loop, 1, UniformLatency(0.05)), folder)
    await one.open()
    try:
        yield one
    finally:
        await one.close()
