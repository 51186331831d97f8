"""The emulation of an unreachable node: a NAT in front of a port, as seen from inside.

What arrives from an address is dropped unless something was sent there lately: a NAT that maps
without end and filters by address and port (RFC 4787, 5). It stands between a port and its user
and takes the place of the other for each, so it binds everything that shares the port.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, cast

from node.counters import Counters
from node.net.udp.port import Arrival, Port, PortUser, source_address, split
from protocol import limits
from protocol.addresses import Address


class NatFilter(PortUser):
    """The `Port` of its user, and the user of the port that it is given to.

    `clock` gives monotonic seconds. Dropped datagrams are counted as `filtered_by_nat`.
    """

    def __init__(self, user: PortUser, clock: Callable[[], float], counters: Counters) -> None:
        self._user = user
        self._clock = clock
        self._counters = counters
        self._port: Port  # once it is open
        self._sent_at: dict[Address, float] = {}

    # What the port calls --------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the port, and stand in its place for the user."""
        self._port = cast("Port", transport)
        self._user.connection_made(cast("asyncio.DatagramTransport", self))

    def burst_received(self, burst: list[Arrival]) -> None:
        """Hand over what comes from an address with a mapping."""
        let_in = [arrival for arrival in burst if self._lets_in(arrival)]
        if let_in:
            self._user.burst_received(let_in)

    def error_received(self, exc: Exception) -> None:
        """Tell the user."""
        self._user.error_received(exc)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the user."""
        self._user.connection_lost(exc)

    def pause_writing(self) -> None:
        """Tell the user."""
        self._user.pause_writing()

    def resume_writing(self) -> None:
        """Tell the user."""
        self._user.resume_writing()

    # What the user calls --------------------------------------------------------------------

    @property
    def full(self) -> bool:
        """Whether datagrams wait for the kernel."""
        return self._port.full

    def sendto(self, data: bytes, addr: Any = None) -> None:
        """Send one datagram."""
        self._note_sent(addr)
        self._port.sendto(data, addr)

    def send_segments(self, buffer: bytes, size: int, addr: Any) -> None:
        """Send a buffer as datagrams of `size` bytes each, the last of what is left."""
        self._note_sent(addr)
        self._port.send_segments(buffer, size, addr)

    def send_gathered(self, parts: Sequence[bytes | memoryview], size: int, addr: Any) -> None:
        """The same for a buffer that stands in parts."""
        self._note_sent(addr)
        self._port.send_gathered(parts, size, addr)

    def send_whole(self, data: bytes, addr: Any) -> bool:
        """Send one datagram that no router may fragment; False: that cannot be asked for."""
        self._note_sent(addr)
        return self._port.send_whole(data, addr)

    def send_with_ttl(self, data: bytes, addr: Any, ttl: int) -> None:
        """Send one datagram that ends at the router where its time to live does."""
        self._note_sent(addr)
        self._port.send_with_ttl(data, addr, ttl)

    def close(self) -> None:
        """Close the port."""
        self._port.close()

    def is_closing(self) -> bool:
        """Whether the port is closing or closed."""
        return self._port.is_closing()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """What the port says."""
        return self._port.get_extra_info(name, default)

    # The mappings ---------------------------------------------------------------------------

    def _note_sent(self, addr: tuple[Any, ...]) -> None:
        """A datagram leaves for this address; the mapping that was longest unused may give way."""
        address = source_address(addr)
        self._sent_at.pop(address, None)
        self._sent_at[address] = self._clock()
        if len(self._sent_at) > limits.NAT_MAPPINGS:
            del self._sent_at[next(iter(self._sent_at))]

    def _lets_in(self, arrival: Arrival) -> bool:
        buffer, size, source = arrival
        sent_at = self._sent_at.get(source_address(source))
        if sent_at is not None and self._clock() - sent_at <= limits.NAT_MAPPING_S:
            return True
        self._counters.refused["filtered_by_nat"] += sum(1 for _ in split(buffer, size))
        return False
