"""A UDP port on a datagram transport that the running loop makes, one datagram at a time."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final, cast

from node.counters import Counters
from node.net.udp import offload
from node.net.udp.beat import Beat
from node.net.udp.port import Arrival, PortUser, split

_HELD_BYTES_MAX: Final = 2**19
"""With more than this kept the beat is not waited for."""


class LoopPort(asyncio.DatagramProtocol):
    """A `Port` on a transport, whose protocol it is."""

    def __init__(self, user: PortUser, counters: Counters, beat: Beat) -> None:
        self._user = user
        self._counters = counters
        self._beat = beat
        self._held = False
        self._arrived: list[Arrival] = []
        self._arrived_bytes = 0
        self.transport: asyncio.DatagramTransport  # once the loop has made it
        self._paused = False

    # What the loop calls --------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport, and tell the user."""
        # asyncio's own datagram transports are no DatagramTransport to `isinstance`.
        self.transport = cast("asyncio.DatagramTransport", transport)
        self._user.connection_made(self)  # type: ignore[arg-type]  # it is used as a Port

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        """Hand over a burst of one datagram, or keep it for the beat."""
        if self._held:
            self._arrived.append((data, len(data), addr))
            self._arrived_bytes += len(data)
            if self._arrived_bytes > _HELD_BYTES_MAX:
                self.poll()
        else:
            self._beat.hand_over(self, self._user, [(data, len(data), addr)])

    def error_received(self, exc: Exception) -> None:
        """Tell the user."""
        self._user.error_received(exc)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the user."""
        self._user.connection_lost(exc)

    def pause_writing(self) -> None:
        """The transport has begun to queue."""
        self._paused = True
        self._user.pause_writing()

    def resume_writing(self) -> None:
        """What was queued is gone."""
        self._paused = False
        self._user.resume_writing()

    # What the beat calls --------------------------------------------------------------------

    def hold(self) -> None:
        """Keep what arrives."""
        self._held = True

    def poll(self) -> None:
        """Hand over what was kept."""
        arrived, self._arrived, self._arrived_bytes = self._arrived, [], 0
        if arrived:
            self._beat.hand_over(self, self._user, arrived)

    def release(self) -> None:
        """Keep nothing any more."""
        if self._arrived:  # before what arrives from now on
            asyncio.get_running_loop().call_soon(self._let_go)
        else:
            self._held = False

    def _let_go(self) -> None:
        self._held = False
        self.poll()

    # What the user calls --------------------------------------------------------------------

    @property
    def full(self) -> bool:
        """Whether datagrams wait for the kernel."""
        return self._paused

    def sendto(self, data: bytes, addr: Any = None) -> None:
        """Send one datagram."""
        self._counters.sent(len(data), len(data))
        self.transport.sendto(data, addr)

    def send_segments(self, buffer: bytes, size: int, addr: Any) -> None:
        """Send a buffer as datagrams of `size` bytes each, the last of what is left."""
        self._counters.sent(len(buffer), size)
        send = self.transport.sendto
        for datagram in split(buffer, size):
            send(datagram, addr)

    def send_whole(self, data: bytes, addr: Any) -> bool:
        """Send one datagram that no router may fragment; a simulated internet fragments none."""
        own_socket = self.transport.get_extra_info("socket")
        if own_socket is not None and not offload.let_be_cut(own_socket, allowed=False):
            return False
        self._counters.sent(len(data), len(data))
        self.transport.sendto(data, addr)
        if own_socket is not None:
            offload.let_be_cut(own_socket, allowed=True)
        return True

    def send_gathered(self, parts: Sequence[bytes | memoryview], size: int, addr: Any) -> None:
        """The same for a buffer that stands in parts."""
        self.send_segments(b"".join(parts), size, addr)

    def send_with_ttl(self, data: bytes, addr: Any, ttl: int) -> None:
        """Send one datagram with this time to live; a simulated transport takes it as it is."""
        own_socket = self.transport.get_extra_info("socket")
        if own_socket is None:
            self._counters.sent(len(data), len(data))
            self.transport.sendto(data, addr, ttl)  # type: ignore[call-arg]
            return
        usual = offload.set_ttl(own_socket, ttl)
        if usual is not None:
            self._counters.sent(len(data), len(data))
            self.transport.sendto(data, addr)
            offload.set_ttl(own_socket, usual)

    def close(self) -> None:
        """Close; the user's `connection_lost` follows."""
        self._beat.forget(self)
        self._arrived.clear()
        self.transport.close()

    def is_closing(self) -> bool:
        """Whether it is closing or closed."""
        return self.transport.is_closing()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """What the transport says."""
        return self.transport.get_extra_info(name, default)
