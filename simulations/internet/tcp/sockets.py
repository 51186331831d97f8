"""Connects and listens: what the loop's calls for TCP end at."""

import asyncio
import contextvars
import errno
import os
from collections.abc import Callable
from typing import Final

from simulations.errors import NoCurrentHost
from simulations.internet.addresses import EPHEMERAL_PORT_MIN, WILDCARDS, HostPort, is_v6
from simulations.internet.carrier import Carrier
from simulations.internet.host import Host
from simulations.internet.names import Names
from simulations.internet.tcp.flow import Flow
from simulations.internet.tcp.route import Route, find_route
from simulations.internet.tcp.transport import TcpTransport
from simulations.runtime.loop import VirtualLoop
from simulations.runtime.sleeping import current_host

MakeProtocol = Callable[[], asyncio.BaseProtocol]
_SYN_AGAIN_S: Final = 1.0
"""RFC 6298 2.1."""


class Listener:
    """A listening socket."""

    def __init__(self, tcp: "Tcp", host: Host, at: HostPort, make: MakeProtocol) -> None:
        self._tcp = tcp
        self.host = host
        self.at = at
        self.make = make
        self.context = contextvars.copy_context()

    def close(self) -> None:
        """Take no connections any more; those that stand go on."""
        self._tcp.forget(self)


class Tcp:
    """The systems' side of TCP on all hosts of an internet."""

    def __init__(self, loop: VirtualLoop, carrier: Carrier, names: Names) -> None:
        self._loop = loop
        self._carrier = carrier
        self._names = names
        self._listening: dict[tuple[int, HostPort], Listener] = {}
        self._connected = 0

    async def create_server(self, make: MakeProtocol, host: str, port: int) -> Listener:
        """Take connections at an address of the current host; OSError if it is taken."""
        here, at = _current(), (host, port)
        mine = host in WILDCARDS or host in here.addresses
        if not mine or (here.index, at) in self._listening:
            refused = errno.EADDRINUSE if mine else errno.EADDRNOTAVAIL
            raise OSError(refused, os.strerror(refused))
        listener = Listener(self, here, at, make)
        self._listening[here.index, at] = listener
        return listener

    def forget(self, listener: Listener) -> None:
        """A listening socket is closed."""
        self._listening.pop((listener.host.index, listener.at), None)

    async def create_connection(
        self, make: MakeProtocol, host: str, port: int
    ) -> tuple[TcpTransport, asyncio.BaseProtocol]:
        """Connect from the current host; OSError where it is refused. It may take forever."""
        here = _current()
        to = self._names.resolve(host, 0)[0][1], port
        source = here.address(v6=is_v6(to[0]))
        if source is None:
            raise OSError(errno.ENETUNREACH, os.strerror(errno.ENETUNREACH))
        while True:
            route = find_route(self._carrier, here, source, to)
            if route is not None and self._is_there(here, source, route.server):
                break
            await asyncio.sleep(_SYN_AGAIN_S)
        await asyncio.sleep(self._round_trip_s(route))
        listener = self._listener(route.server, route.at)
        if listener is None:
            raise ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
        self._connected += 1
        port = EPHEMERAL_PORT_MIN + self._connected % (2**16 - EPHEMERAL_PORT_MIN)
        protocol = make()
        ours = self._join(here, (source, port), route, to, protocol, listener)
        return ours, protocol

    def _is_there(self, client: Host, source: str, server: Host) -> bool:
        """Whether packets pass between the two hosts now."""
        return (
            client.awake
            and client.plugged
            and source in client.addresses
            and server.awake
            and server.plugged
            and not self._carrier.separates(client, server)
        )

    def _round_trip_s(self, route: Route) -> float:
        total_s = 0.0
        for hop in (*route.there, *route.back):
            pipe = hop.pipe()
            total_s += hop.then_s + (0.0 if pipe is None else pipe.waiting_s(self._loop.now))
        return total_s

    def _listener(self, host: Host, to: HostPort) -> Listener | None:
        wildcard = "::" if is_v6(to[0]) else "0.0.0.0"  # noqa: S104
        for at in (to, (wildcard, to[1])):
            found = self._listening.get((host.index, at))
            if found is not None and found.host is host:
                return found
        return None

    def _join(
        self,
        client: Host,
        source: HostPort,
        route: Route,
        to: HostPort,
        protocol: asyncio.BaseProtocol,
        listener: Listener,
    ) -> TcpTransport:
        """Two transports and the flows between them."""
        loop, server = self._loop, route.server
        shown = route.shown, source[1]
        context = contextvars.copy_context()

        def arrives() -> bool:
            return self._is_there(client, source[0], server)

        def reset_after(hops_s: float, other: Callable[[], TcpTransport]) -> Callable[[], None]:
            def reset() -> None:
                if arrives():
                    loop.post_at(loop.now + hops_s, lambda _: other().lose(_reset()), None)

            return reset

        there_s, back_s = (sum(hop.then_s for hop in way) for way in (route.there, route.back))
        ours = TcpTransport(loop, context, source, to, reset_after(there_s, lambda: theirs))
        theirs = TcpTransport(
            loop, listener.context, route.at, shown, reset_after(back_s, lambda: ours)
        )
        ways = ((route.there, route.back, ours, theirs), (route.back, route.there, theirs, ours))
        up, down = (
            Flow(
                loop,
                hops,
                back=back,
                is_v6=is_v6(to[0]),
                arrives=arrives,
                deliver=other.deliver,
                left=one.left,
                gave_up=_giving_up(one),
            )
            for hops, back, one, other in ways
        )
        theirs.begin(listener.context.run(listener.make), down, up)
        ours.begin(protocol, up, down)
        return ours


def _giving_up(transport: TcpTransport) -> Callable[[], None]:
    return lambda: transport.lose(TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT)))


def _reset() -> ConnectionResetError:
    return ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))


def _current() -> Host:
    here = current_host.get()
    if not isinstance(here, Host):
        raise NoCurrentHost("TCP needs a host: run this code in host.running()")
    return here
