"""The UDP sockets that the node's parts share; the demultiplexer finds the owner of each datagram.

Everything on one port means one mapping in a NAT and one rule in a firewall. There is one socket
for each address family, and there may be more: the first of a family is the one to send from
unless another is named. An allocation at a relay is a port as well, added by what made it. A socket
that is deaf is for what must not leave from the port of everything else.
"""

import asyncio
import errno
import logging
from collections.abc import Callable, Mapping
from typing import cast

from node.counters import Counters
from node.environment import Environment
from node.net.demux import Demux
from node.net.nat64 import Nat64Port
from node.net.nat_filter import NatFilter
from node.net.recent_hosts import RecentHosts
from node.net.udp.beat import Beat
from node.net.udp.opening import open_port
from node.net.udp.port import Arrival, Port, PortUser
from protocol.addresses import Address
from protocol.errors import AlreadyOwned
from protocol.reachability.nat64 import Nat64Prefix

_log = logging.getLogger(__name__)

_ALL_V4 = "0.0.0.0"  # noqa: S104 (a name of the port, not bound)
_NOWHERE = Address("", 0)


class Endpoint:
    """Sockets bound by `open`; `demux` takes registrations, before or after that.

    `addresses`: of each family (4 or 6), the address that its first socket is bound to.
    `sent_hosts` and `heard_hosts` hold where datagrams were sent to lately, and where some came
    from that are no dial-backs. `beat` is when the sockets are read while data flow, and the timer
    of all links. `unreachable`: hear only addresses that were sent to, as behind a
    NAT.
    """

    def __init__(
        self, counters: Counters, environment: Environment, *, unreachable: bool = False
    ) -> None:
        self.sent_hosts = RecentHosts()
        self.heard_hosts = RecentHosts()
        self.beat = Beat(counters)
        self.demux = Demux(counters, self.heard_hosts)
        self.addresses: dict[int, Address] = {}
        self._counters = counters
        self._udp_socket = environment.udp_socket
        self._unreachable = unreachable
        self._nat64: Nat64Prefix | None = None
        self._first_of: dict[int, Port] = {}
        self._users: dict[Address, _User] = {}
        self._ports: dict[Address, Port] = {}
        self._closing: dict[_User, None] = {}
        self._routes: dict[Address, Port] = {}
        self._claimed: dict[tuple[str, int], Callable[[], None]] = {}
        self._detour: Port | None = None
        self._detour_takes: Callable[[Address], bool] = bool
        self._when_writable: dict[Callable[[], None], None] = {}

    async def open(self, address: Address, *, deaf: bool = False) -> Address:
        """Bind a socket of this address's family; port 0 picks one. Raises OSError.

        What arrives on one that is `deaf` is counted as refused.
        """
        made = _DeafUser if deaf else _User
        user = made(self.demux, self._counters, self.writable, self._claimed)
        loop = asyncio.get_running_loop()
        outer = NatFilter(user, loop.time, self._counters) if self._unreachable else user
        await open_port(outer, *address, self._udp_socket, self._counters, self.beat)
        self._users[user.local] = user
        self._ports[user.local] = user.port
        self._first_of.setdefault(user.local.family, user.port)
        self.addresses.setdefault(user.local.family, user.local)
        return user.local

    async def open_another(self, family: int, *, deaf: bool = False) -> Address:
        """Bind one more socket, on a free port of the host that the family's first is bound to.

        Raises OSError, also where no socket of the family is in use, as behind a NAT64.
        """
        first = self._users.get(self.addresses.get(family, _NOWHERE))
        if first is None or first.port is not self._first_of[family]:
            raise OSError(errno.EAFNOSUPPORT, f"there is no socket of IPv{family}")
        return await self.open(Address(first.local.host, 0), deaf=deaf)

    @property
    def is_translated(self) -> bool:
        """Whether IPv4 addresses are reached by a NAT64."""
        return self._nat64 is not None

    def translate(self, prefix: Nat64Prefix) -> None:
        """Reach IPv4 addresses by this NAT64 from the socket of IPv6, which is open.

        A socket of IPv4 is set aside; the address that it is bound to is then this way's.
        """
        base = self.addresses[6]
        local = self.addresses.setdefault(4, Address(_ALL_V4, base.port))
        port = Nat64Port(self._first_of[6], prefix, local)
        self._ports[local] = self._first_of[4] = port
        self._users[base].translate(port, local)
        self._nat64 = prefix

    async def translate_no_more(self) -> None:
        """Reach IPv4 addresses by a socket, which is opened if there was none. Raises OSError."""
        local = self.addresses[4]
        if local not in self._users:
            await self.open(local)
        self._ports[local] = self._first_of[4] = self._users[local].port
        self._users[self.addresses[6]].translate_no_more()
        self._nat64 = None

    def untranslated(self, address: Address) -> Address:
        """The IPv4 address that stands for one which a NAT64 translates; any other as it is."""
        embedded = self._nat64.embedded(address) if self._nat64 is not None else None
        return embedded or address

    # Ports by the address that they are bound to ----------------------------------------------

    def port_at(self, local: Address) -> Port | None:
        """The port that is bound to this address."""
        return self._ports.get(local)

    def add_port(self, local: Address, port: Port) -> None:
        """Send from `local` by this port, which is its maker's to close. Raises AlreadyOwned."""
        if local in self._ports:
            raise AlreadyOwned(f"there is a port at {local}")
        self._ports[local] = port

    def remove_port(self, local: Address) -> None:
        """Send nothing from `local` any more; a socket that `open` has bound there is closed."""
        self._ports.pop(local, None)
        user = self._users.pop(local, None)
        if user is None:
            return
        if self._first_of.get(local.family) is user.port:
            del self._first_of[local.family], self.addresses[local.family]
        self._close(user)

    def route(
        self, remote: Address, port: Port, heard_by_udp: Callable[[], None] | None = None
    ) -> None:
        """Send to `remote` by this port, which is its maker's to close, unless another is named.

        `heard_by_udp` is called for each burst in which a socket hears that address as well.
        """
        self._routes[remote] = port
        self._claimed.pop(remote, None)
        if heard_by_udp is not None:
            self._claimed[remote] = heard_by_udp

    def route_no_more(self, remote: Address, port: Port) -> None:
        """The end of `route`, unless another port has taken its place."""
        if self._routes.get(remote) is port:
            del self._routes[remote]
            self._claimed.pop(remote, None)

    def detour(self, port: Port | None, takes: Callable[[Address], bool] = bool) -> None:
        """Send to all addresses that it `takes` by this port, without a route or a named port."""
        self._detour, self._detour_takes = port, takes

    def port_to(self, remote: Address) -> Port | None:
        """The port by which datagrams to `remote` leave, unless one is named."""
        routed = self._routes.get(remote)
        if routed is not None:
            return routed
        if self._detour is not None and self._detour_takes(remote):
            return self._detour
        return self._first_of.get(remote.family)

    # Sending ----------------------------------------------------------------------------------

    def sendto(
        self,
        datagram: bytes,
        address: Address,
        local: Address | None = None,
        ttl: int | None = None,
    ) -> None:
        """Send, from the port that is bound to `local` if that is given.

        Counts why a datagram cannot be sent; never raises for what the network does.
        """
        port = self.port_to(address) if local is None else self._ports.get(local)
        if port is None or port.is_closing():
            self._counters.refused["no_socket_of_this_family"] += 1
            return
        self.sent_hosts.note(address.host)
        if ttl is None:
            port.sendto(datagram, address)
        else:
            port.send_with_ttl(datagram, address, ttl)

    def call_when_writable(self, writable: Callable[[], None]) -> None:
        """Call this each time that a port takes datagrams again after it was full."""
        self._when_writable[writable] = None

    def call_no_more(self, writable: Callable[[], None]) -> None:
        """The end of `call_when_writable`."""
        self._when_writable.pop(writable, None)

    def writable(self) -> None:
        """Tell all that wait for it: a port takes datagrams again."""
        for tell in tuple(self._when_writable):
            tell()

    # The end ----------------------------------------------------------------------------------

    async def close(self) -> None:
        """Close every socket, and wait until the loop has let go of each."""
        for user in self._users.values():
            self._close(user)
        self._users.clear()
        self._ports.clear()
        self._first_of.clear()
        await asyncio.gather(*(user.closed for user in self._closing))

    def _close(self, user: "_User") -> None:
        self._closing[user] = None
        user.closed.add_done_callback(lambda _: self._closing.pop(user, None))
        user.port.close()


class _User(PortUser):
    """Passes the bursts of one port on, with the address that it is bound to."""

    port: Port
    local: Address

    def __init__(
        self,
        demux: Demux,
        counters: Counters,
        writable: Callable[[], None],
        claimed: Mapping[tuple[str, int], Callable[[], None]],
    ) -> None:
        self._demux = demux
        self._counters = counters
        self._writable = writable
        self._claimed = claimed
        self._translating: tuple[Nat64Port, Address] | None = None
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def translate(self, port: Nat64Port, local: Address) -> None:
        """From now on what comes from a NAT64 is this port's, which is bound to `local`."""
        self._translating = port, local

    def translate_no_more(self) -> None:
        """The end of `translate`."""
        self._translating = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.port = cast("Port", transport)
        host, number = transport.get_extra_info("sockname")[:2]
        self.local = Address(host, number)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.closed.done():
            self.closed.set_result(None)

    def burst_received(self, burst: list[Arrival]) -> None:
        if self._claimed:
            for _, _, source in burst:
                heard = self._claimed.get(source[:2])
                if heard is not None:
                    heard()
        if self._translating is not None:
            port, local = self._translating
            burst, from_v4 = port.apart(burst)
            self._demux.burst_received(from_v4, local)
        self._demux.burst_received(burst, self.local)

    def resume_writing(self) -> None:
        self._writable()

    def error_received(self, exc: Exception) -> None:
        """Count what the kernel would not send, or reported for an earlier datagram."""
        self._counters.refused["socket_error"] += 1
        _log.debug("socket error: %s", exc)


class _DeafUser(_User):
    """Passes nothing on: its port is there to send."""

    def burst_received(self, burst: list[Arrival]) -> None:
        for buffer, size, _ in burst:
            self._counters.refused["deaf_port"] += -(-len(buffer) // (size or 1)) or 1
