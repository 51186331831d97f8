"""The simulated internet, complete: a topology, and sockets and names for the code on it.

    loop = VirtualLoop()
    internet = Internet(loop, seed=1, latency=SyntheticLatency(1))
    home = internet.add_nat(NatBehaviour(upnp=True))
    alice = internet.add_host("alice", behind=home)
    bob = internet.add_host("bob", addresses=["198.51.100.7"])
    alice.create_task(main())

Everything random here comes from sources derived from `seed`, one for each purpose.
"""

import asyncio
import contextvars
import errno
import os
import socket
from collections.abc import Callable
from typing import NoReturn

from simulations.errors import NoCurrentHost
from simulations.internet.addresses import (
    EPHEMERAL_PORT_MIN,
    PORT_MAX,
    WILDCARDS,
    Endpoint,
    is_loopback,
    is_v6,
)
from simulations.internet.host import Host
from simulations.internet.latency import Latency, UniformLatency
from simulations.internet.log import Fate
from simulations.internet.names import Names
from simulations.internet.topology import Topology
from simulations.internet.transport import Transport
from simulations.runtime.loop import VirtualLoop, current_host
from simulations.seeds import derive_rng

DEFAULT_RTT_S = 0.050


class Internet(Topology):
    """A topology with sockets and names: what the loop's network calls end at."""

    def __init__(self, loop: VirtualLoop, seed: int | str, latency: Latency | None = None) -> None:
        super().__init__(loop, seed, latency or UniformLatency(DEFAULT_RTT_S))
        self.names = Names()
        self._port_rng = derive_rng(seed, "ports")
        self._sockets_opened = 0
        loop.network = self

    def resolve(self, name: str, family: int) -> list[tuple[int, str]]:
        """See `Names.resolve`."""
        return self.names.resolve(name, family)

    def name_of(self, address: str) -> str | None:
        """See `Names.name_of`."""
        return self.names.name_of(address)

    async def create_datagram_endpoint(
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        local_addr: tuple[str, int] | None,
        remote_addr: tuple[str, int] | None,
        family: int,
    ) -> tuple[asyncio.DatagramTransport, asyncio.BaseProtocol]:
        """As asyncio's; OSError if the address is taken or not this host's."""
        transport = self._open(local_addr, remote_addr, family)
        try:
            protocol = protocol_factory()
            if not isinstance(protocol, asyncio.DatagramProtocol):
                raise TypeError("a datagram endpoint needs a DatagramProtocol")
        except BaseException:
            self.close(transport)
            raise
        transport.start(protocol)
        try:
            await asyncio.sleep(0)  # until `connection_made` has run
        except BaseException:
            transport.close()
            raise
        return transport, protocol

    def close(self, transport: Transport) -> None:
        """Take a closing transport off the internet."""
        self._unlisten(transport)
        transport.host.transports.remove(transport)
        self.log.add(self.loop.now, transport.number, 0, 0, Fate.CLOSED)

    def _open(
        self, local: tuple[str, int] | None, remote: tuple[str, int] | None, family: int
    ) -> Transport:
        peer = None if remote is None else self._look_up(remote, family)
        if local is not None:
            bound = self._look_up(local, family or _family_of(peer))
        else:
            bound = "::" if _family_of(peer, family) == socket.AF_INET6 else "0.0.0.0", 0  # noqa: S104
        host = self._host_for(bound[0])
        port = self._free_port(host, bound)
        self._sockets_opened += 1
        context = contextvars.copy_context()
        context.run(current_host.set, host)
        transport = Transport(self, host, (bound[0], port), peer, self._sockets_opened, context)
        host.transports.append(transport)
        self._listen(transport)
        self.log.add_text(
            self.loop.now, Fate.OPENED, f"{transport.number} {host.name} {bound[0]} {port} {peer}"
        )
        return transport

    def _look_up(self, address: tuple[str, int], family: int) -> Endpoint:
        name, port = address[0], address[1]
        if not 0 <= port <= PORT_MAX:
            raise OverflowError("port must be 0-65535.")
        return self.names.resolve(name or "0.0.0.0", family)[0][1], port  # noqa: S104

    def _host_for(self, address: str) -> Host:
        here = current_host.get()
        if isinstance(here, Host):
            if address in WILDCARDS or is_loopback(address) or address in here.addresses:
                return here
            _refuse(errno.EADDRNOTAVAIL)
        if address in WILDCARDS or is_loopback(address):
            raise NoCurrentHost(f"binding {address} needs a host: run this code in host.running()")
        holders = self._holders.get(address, [])
        if not holders:
            _refuse(errno.EADDRNOTAVAIL)
        if len(holders) > 1:
            raise NoCurrentHost(f"{len(holders)} hosts have {address}: run this in one of them")
        return holders[0]

    def _free_port(self, host: Host, bound: Endpoint) -> int:
        address, port = bound
        taken = {
            other.bound[1]
            for other in host.transports
            if is_v6(other.bound[0]) == is_v6(address)
            and (address in WILDCARDS or other.is_wildcard or other.bound[0] == address)
        }
        if port == 0:
            while port == 0 or port in taken:
                port = self._port_rng.randrange(EPHEMERAL_PORT_MIN, PORT_MAX + 1)
        elif port in taken:
            _refuse(errno.EADDRINUSE)
        return port


def _family_of(peer: Endpoint | None, family: int = 0) -> int:
    if peer is not None:
        return socket.AF_INET6 if is_v6(peer[0]) else socket.AF_INET
    return family


def _refuse(number: int) -> NoReturn:
    raise OSError(number, os.strerror(number))
