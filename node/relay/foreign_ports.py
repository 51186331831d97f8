"""Relayed ports for foreign clients: bound at start, so that an allocation never waits for one."""

import asyncio
from collections.abc import Callable
from typing import cast

from node.counters import Counters
from node.environment import Environment
from node.net.endpoint import Endpoint
from node.net.udp.opening import open_port
from node.net.udp.port import Arrival, Port, PortUser, source_address
from protocol.addresses import Address
from protocol.errors import RemoteError

RelayedReader = Callable[[bytes, int, Address, Address], None]
"""Takes a buffer of datagrams, the size of each, their source and the relayed address."""

_WILDCARDS = ("0.0.0.0", "::")  # noqa: S104 (compared, not bound)


class ForeignPorts:
    """The relayed ports; a RemoteError that the reader raises is counted, and no more."""

    def __init__(
        self,
        environment: Environment,
        endpoint: Endpoint,
        counters: Counters,
        reader: RelayedReader,
    ) -> None:
        self._environment = environment
        self._endpoint = endpoint
        self._counters = counters
        self._reader = reader
        self._users: dict[Address, _RelayedUser] = {}
        self._own: frozenset[Address] = frozenset()

    async def open(self, addresses: list[Address]) -> None:
        """Bind them; raises OSError."""
        if addresses:
            self._own = frozenset(self._own_addresses())
        for address in addresses:
            user = _RelayedUser(address, self._reader, self._counters)
            await open_port(
                user,
                *address,
                self._environment.udp_socket,
                self._counters,
                self._endpoint.beat,
            )
            self._users[address] = user

    def own_addresses(self) -> frozenset[Address]:
        """What the node's own ports are bound to, on each of this machine's hosts."""
        return self._own

    def _own_addresses(self) -> list[Address]:
        found: list[Address] = []
        for bound in self._endpoint.addresses.values():
            hosts = [bound.host]
            if bound.host in _WILDCARDS:
                hosts = [host for host in self._environment.host_addresses() if "%" not in host]
            found += [Address(host, bound.port) for host in hosts]
        return found

    def port_at(self, relayed: Address) -> Port | None:
        """The port that is bound to a relayed address."""
        user = self._users.get(relayed)
        return None if user is None else user.port

    async def close(self) -> None:
        """Close them, and wait until the loop has let go of each."""
        users = list(self._users.values())
        self._users.clear()
        for user in users:
            user.port.close()
        await asyncio.gather(*(user.closed for user in users))


class _RelayedUser(PortUser):
    port: Port

    def __init__(self, relayed: Address, reader: RelayedReader, counters: Counters) -> None:
        self._relayed = relayed
        self._reader = reader
        self._counters = counters
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.port = cast("Port", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.closed.done():
            self.closed.set_result(None)

    def burst_received(self, burst: list[Arrival]) -> None:
        for buffer, size, source in burst:
            self._counters.received(-(-len(buffer) // (size or 1)) or 1, len(buffer))
            try:
                self._reader(buffer, size or 1, source_address(source), self._relayed)
            except RemoteError as error:
                self._counters.refuse(error)

    def error_received(self, exc: Exception) -> None:
        self._counters.refused["socket_error"] += 1
