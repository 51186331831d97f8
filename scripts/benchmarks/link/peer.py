"""One end of a data channel in a process of its own: `python peer.py OPTIONS`, with JSON.

It prints its description, reads the peer's, connects, and then sends or receives as fast as it can.
Each line `mark` on its input is answered by what it has received and what CPU it has used so far;
the end of its input ends it. The delay and the losses of a long path are made here, where datagrams
come in, since not every machine may shape its network.
"""

import asyncio
import json
import os
import random
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest import mock

from node.counters import Counters
from node.environment import Environment
from node.links.channel import native_channel
from node.links.channel.channel import Channel
from node.links.path.ice import IcePath
from node.links.path.paths import LinkPaths
from node.links.secure.capture import CapturingDtlsPath
from node.links.secure.certificate import Certificate, create
from node.links.secure.dtls import DtlsPath
from node.links.settings import DATA_PATHS, FEATURES, LinkSettings
from node.net import endpoint
from node.net.udp import offload, opening
from node.net.udp.port import Arrival, Port, PortUser, split
from protocol.addresses import Address
from protocol.description import Description, DtlsRole
from protocol.sctp.send.packetsize import PACKET_SIZES


@dataclass(frozen=True, slots=True)
class Options:
    """What the process is told: `sends` decides the role, `address` the socket's."""

    data_path: str
    sends: bool
    address: str = "127.0.0.1"
    message_bytes: int = 65536
    offload: bool = True
    delay_s: float = 0.0
    loss: float = 0.0
    seed: int = 1
    pcap: str = ""
    """A file for the SCTP packets, with the native data path."""


class LongPath(PortUser):
    """Stands between a port and its user: loses datagrams, and brings the others later."""

    def __init__(self, user: PortUser, options: Options) -> None:
        self._user = user
        self._options = options
        self._random = random.Random(options.seed)
        self._loop = asyncio.get_running_loop()
        for name in ("connection_made", "connection_lost", "error_received"):
            setattr(self, name, getattr(user, name))
        self.resume_writing = user.resume_writing  # type: ignore[method-assign]

    def burst_received(self, burst: list[Arrival]) -> None:
        """Hand over what is left of a burst, later."""
        if self._options.loss:
            burst = [arrival for one in burst for arrival in self._survivors(one)]
        if burst:
            self._loop.call_later(self._options.delay_s, self._user.burst_received, burst)

    def _survivors(self, arrival: Arrival) -> list[Arrival]:
        """An arrival without the datagrams that are lost; only its last one may be short."""
        buffer, size, source = arrival
        draw, loss = self._random.random, self._options.loss
        kept = [datagram for datagram in split(buffer, size) if draw() >= loss]
        return [(b"".join(kept), size, source)] if kept else []


def prepare(options: Options) -> None:
    """Make the network of this process what the options say."""
    if not options.offload:
        for able in ("can_cut", "ask_to_join"):
            mock.patch.object(offload, able, return_value=False).start()
    if options.delay_s or options.loss:

        async def open_long_port(user: PortUser, *where: Any) -> Port:
            return await opening.open_port(LongPath(user, options), *where)

        mock.patch.object(endpoint, "open_port", open_long_port).start()
        # What is long is not loopback: its packets are those of other paths.
        mock.patch.object(native_channel, "LOOPBACK_SIZES", PACKET_SIZES).start()


async def open_paths(environment: Environment, address: str, data_path: str) -> LinkPaths:
    """Paths on a port of their own."""
    opened = endpoint.Endpoint(Counters(), environment)
    await opened.open(Address(address, 0))
    return LinkPaths(opened, environment, LinkSettings(data_path=data_path))


Ask = Callable[[Any], Awaitable[Any]]
"""Says something to the parent, and gives what the parent says next."""

Connecting = Callable[[Options, Ask], Awaitable[Channel]]


async def connect(options: Options, ask: Ask) -> Channel:
    """A channel, yet to be opened; `ask` exchanges descriptions."""
    environment = Environment()
    paths = await open_paths(environment, options.address, options.data_path)
    return await connect_by(paths, options, ask)


async def connect_by(paths: LinkPaths, options: Options, ask: Ask) -> Channel:
    """A channel of the port that these paths share."""
    environment = Environment()
    certificate = create(environment)
    ice = IcePath(paths, bytes(20), controlling=options.sends)
    role = DtlsRole.PASSIVE if options.sends else DtlsRole.ACTIVE
    own = ice.describe(certificate.fingerprint, role)
    own = replace(own, features=FEATURES[options.data_path])
    peer = Description.decode(bytes.fromhex(await ask(own.encode().hex())))
    dtls = make_dtls(options, ice, certificate, environment)
    return await finish(ice, dtls, role, peer, options.data_path)


async def finish(
    ice: IcePath, dtls: DtlsPath, role: DtlsRole, peer: Description, data_path: str
) -> Channel:
    """The channel to a peer whose description is known."""
    await ice.connect(peer)
    await dtls.secure(peer.fingerprint, role)
    module = import_module(DATA_PATHS[data_path])
    channel: Channel = module.create_channel(dtls, Environment().rng, own_peer=peer.asks_for_sacks)
    return channel


def make_dtls(
    options: Options, ice: IcePath, certificate: Certificate, environment: Environment
) -> DtlsPath:
    """The DTLS of this process, which keeps a record of SCTP if the options say so."""
    if not options.pcap:
        return DtlsPath(ice, certificate)
    file = Path(options.pcap).open("wb")  # noqa: SIM115 - as long as the process
    return CapturingDtlsPath(ice, certificate, file, environment.wall)


class Counted:
    """Counts what a channel receives."""

    def __init__(self) -> None:
        self.received_bytes = 0
        self.messages = 0

    def take(self, message: bytes) -> None:
        """One more message."""
        self.received_bytes += len(message)
        self.messages += 1


async def feed(channel: Channel, message_bytes: int) -> None:
    """Send for ever, as fast as the channel takes it."""
    message = os.urandom(message_bytes)
    while True:
        for _ in range(4):
            channel.send(message)
        await channel.drained()


def say(line: Any) -> None:
    """Print one line for the parent."""
    print(json.dumps(line), flush=True)


async def read_lines() -> asyncio.StreamReader:
    """Our input, without blocking."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


async def main(options: Options, connecting: Connecting = connect) -> None:
    """Connect, then send or receive until the input ends."""
    prepare(options)
    lines = await read_lines()

    async def ask(own: Any) -> Any:
        say(own)
        return json.loads(await lines.readline())

    channel = await connecting(options, ask)
    counted = Counted()
    channel.receiver = counted.take
    await channel.open()
    say("open")
    sending = asyncio.ensure_future(feed(channel, options.message_bytes)) if options.sends else None
    await tell_marks(lines, counted)
    if sending is not None:
        sending.cancel()
    await channel.close()


async def tell_marks(lines: asyncio.StreamReader, counted: Counted) -> None:
    """Answer each line by seconds, seconds of CPU, and bytes received, until the input ends."""
    while await lines.readline():
        say([time.perf_counter(), time.process_time(), counted.received_bytes])


if __name__ == "__main__":
    asyncio.run(main(Options(**json.loads(sys.argv[1]))))
