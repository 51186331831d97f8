"""The operating systems' sockets and names: what the loop's network calls end at."""

import asyncio
import contextvars
import errno
import os
import random
import socket as real_socket
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from protocol import limits
from simulations.errors import NoCurrentHost
from simulations.internet.addresses import (
    EPHEMERAL_PORT_MIN,
    WILDCARDS,
    HostPort,
    is_loopback,
    is_v6,
)
from simulations.internet.host import Host, Socket
from simulations.internet.log import EventLog, Fate
from simulations.internet.names import Names
from simulations.internet.transport import Transport
from simulations.runtime.loop import VirtualLoop
from simulations.runtime.sleeping import current_host


class Sockets:
    """Opens and closes UDP sockets on hosts. `holders` has the hosts that have an address.

    What programs send goes to `send`.
    """

    def __init__(
        self,
        loop: VirtualLoop,
        log: EventLog,
        names: Names,
        holders: Mapping[str, list[Host]],
        *,
        port_rng: random.Random,
        send: Callable[[Socket, bytes, HostPort, int | None], None],
    ) -> None:
        self._names = names
        self._loop = loop
        self._log = log
        self._holders = holders
        self._port_rng = port_rng
        self._send = send
        self._opened = 0
        self._checked: dict[bool, dict[Any, HostPort]] = {False: {}, True: {}}

    async def create_datagram_endpoint(
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        local_addr: tuple[str, int] | None,
        remote_addr: tuple[str, int] | None,
        family: int,
    ) -> tuple[asyncio.DatagramTransport, asyncio.BaseProtocol]:
        """As asyncio's; OSError if the address is taken or not this host's."""
        socket = self._open(local_addr, remote_addr, family)
        try:
            protocol = protocol_factory()
            if not isinstance(protocol, asyncio.DatagramProtocol):
                raise TypeError("a datagram endpoint needs a DatagramProtocol")
        except BaseException:
            self._close(socket)
            raise
        transport = Transport(
            socket,
            protocol,
            loop=self._loop,
            names=self._names,
            checked=self._checked[socket.is_v6],
            send=self._send,
            close=self._close,
        )
        try:
            await asyncio.sleep(0)  # until `connection_made` has run
        except BaseException:
            transport.close()
            raise
        return transport, protocol

    def forget_destinations(self) -> None:
        """Forget which destinations passed before: a measure of memory is of the nodes alone."""
        for checked in self._checked.values():
            checked.clear()

    def _close(self, socket: Socket) -> None:
        socket.host.close(socket)
        self._log.add(self._loop.now, socket.number, 0, 0, Fate.CLOSED)

    def _open(
        self, local: tuple[str, int] | None, remote: tuple[str, int] | None, family: int
    ) -> Socket:
        peer = None if remote is None else self._look_up(remote, family)
        if local is not None:
            bound = self._look_up(local, family or _family_of(peer))
        else:
            v6 = _family_of(peer, family) == real_socket.AF_INET6
            bound = "::" if v6 else "0.0.0.0", 0  # noqa: S104
        host = self._host_for(bound[0])
        port = self._free_port(host, bound)
        self._opened += 1
        context = contextvars.copy_context()
        context.run(current_host.set, host)
        socket = Socket(host, (bound[0], port), peer, self._opened, context)
        host.open(socket)
        self._log.add_text(
            self._loop.now, Fate.OPENED, f"{socket.number} {host.name} {bound[0]} {port} {peer}"
        )
        return socket

    def _look_up(self, address: tuple[str, int], family: int) -> HostPort:
        name, port = address[0], address[1]
        if not 0 <= port <= limits.PORT_MAX:
            raise OverflowError("port must be 0-65535.")
        return self._names.resolve(name or "0.0.0.0", family)[0][1], port  # noqa: S104

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

    def _free_port(self, host: Host, bound: HostPort) -> int:
        address, port = bound
        taken = {
            other.bound[1]
            for other in host.sockets
            if other.is_v6 == is_v6(address)
            and (address in WILDCARDS or other.is_wildcard or other.bound[0] == address)
        }
        if port == 0:
            while port == 0 or port in taken:
                port = self._port_rng.randrange(EPHEMERAL_PORT_MIN, limits.PORT_MAX + 1)
        elif port in taken:
            _refuse(errno.EADDRINUSE)
        return port


def _family_of(peer: HostPort | None, family: int = 0) -> int:
    if peer is not None:
        return real_socket.AF_INET6 if is_v6(peer[0]) else real_socket.AF_INET
    return family


def _refuse(number: int) -> NoReturn:
    raise OSError(number, os.strerror(number))
