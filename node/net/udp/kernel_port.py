"""A UDP port on a socket of our own, which it reads and writes without asyncio's transports.

asyncio's transports hand over one datagram at a wake-up and allocate 256 KiB for it. This port
reads many at a wake-up, up to a bound, so that a flood cannot keep the loop from its other work.
"""

import asyncio
import logging
import socket
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

from node.counters import Counters
from node.net.udp import offload
from node.net.udp.beat import Beat
from node.net.udp.port import Arrival, PortUser

_log = logging.getLogger(__name__)

BURST_BYTES_MAX: Final = 2**19
_READ_COST_BYTES: Final = 2**11
"""One wake-up reads about BURST_BYTES_MAX at most; each system call counts for _READ_COST_BYTES."""

QUEUE_BYTES_MAX: Final = 2**20
"""The queue's bound while the kernel's buffer is full; further datagrams are dropped, as a router
drops them."""

SOCKET_BUFFER_BYTES: Final = 4 * 2**20
"""Asked of the kernel for each direction; the kernel grants what its administrator allows."""

_DATAGRAM_BYTES_MAX: Final = 65_536

_Waiting = tuple[bytes, int, Any]

_Received = tuple[int, list[tuple[int, int, bytes]], int, Any]
"""What `recvmsg_into` gives: bytes, control messages, flags and source."""


class KernelPort(asyncio.DatagramTransport):
    """A `Port` on a bound, non-blocking socket, which it owns and closes."""

    def __init__(
        self, own_socket: socket.socket, user: PortUser, counters: Counters, beat: Beat
    ) -> None:
        super().__init__({"socket": own_socket, "sockname": own_socket.getsockname()})
        self._loop = asyncio.get_running_loop()
        self._socket = own_socket
        self._user = user
        self._counters = counters
        self._beat = beat
        self._closing = False
        self._queue: deque[_Waiting] = deque()
        self._queued_bytes = 0
        self._view = memoryview(bytearray(2 * _DATAGRAM_BYTES_MAX))
        self._cuts = offload.can_cut(own_socket)
        offload.ask_to_join(own_socket)
        self._receive: Callable[..., _Received] = getattr(
            own_socket, "recvmsg_into", self._receive_one
        )
        offload.let_be_cut(own_socket, allowed=True)
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            own_socket.setsockopt(socket.SOL_SOCKET, option, SOCKET_BUFFER_BYTES)
        self._loop.add_reader(own_socket, self.poll)
        user.connection_made(self)

    # Receiving ------------------------------------------------------------------------------

    def hold(self) -> None:
        """Do not wake the loop when something arrives."""
        self._loop.remove_reader(self._socket)

    def release(self) -> None:
        """Wake the loop when something arrives, or has arrived."""
        if not self._closing:
            self._loop.add_reader(self._socket, self.poll)

    def poll(self) -> None:
        """Read what has arrived, up to a bound, and hand it over in one burst."""
        burst: list[Arrival] = []
        try:
            self._read_and_join(burst)
        except (BlockingIOError, InterruptedError):
            pass
        except OSError as error:  # an earlier datagram's, told by ICMP
            self._user.error_received(error)
        if burst:
            self._beat.hand_over(self, self._user, burst)

    def _read_and_join(self, burst: list[Arrival]) -> None:
        """Read until the socket is empty, which raises OSError, or the bound is reached.

        What came from one source in one size is one buffer, as far as the kernel has not joined it
        already; the last datagram of a buffer may be shorter.
        """
        receive, view, cost = self._receive, self._view, _READ_COST_BYTES
        origin: tuple[Any, ...] = ()
        start = end = size = 0
        whole = False
        budget = BURST_BYTES_MAX
        try:
            while budget > 0:
                count, control, _, source = receive([view[end:]], offload.GRO_CONTROL_BYTES)
                each = offload.joined_size(control, count) if control else count
                # An empty datagram would vanish behind others in one buffer.
                fits = whole and source == origin and (each == size or 0 < count == each < size)
                if not fits:
                    if origin:
                        burst.append((bytes(view[start:end]), size, origin))
                    start, size, origin = end, each, source
                end += count
                whole = each == size and count > 0 and not count % each
                budget -= count + cost
                if end >= _DATAGRAM_BYTES_MAX:
                    burst.append((bytes(view[start:end]), size, origin))
                    start = end = 0
                    whole, origin = False, ()
        finally:
            if origin:
                burst.append((bytes(view[start:end]), size, origin))

    def _receive_one(self, buffers: list[memoryview], _room: int) -> _Received:
        """Receive as `recvmsg_into` does, where the system has no such call."""
        count, source = self._socket.recvfrom_into(buffers[0])
        return count, [], 0, source

    # Sending --------------------------------------------------------------------------------

    @property
    def full(self) -> bool:
        """Whether datagrams wait for the kernel."""
        return bool(self._queue)

    def sendto(self, data: Any, addr: Any = None) -> None:
        """Send one datagram, or keep it while the kernel takes none."""
        self.send_segments(data, len(data), addr)

    def send_segments(self, buffer: bytes, size: int, addr: Any) -> None:
        """Send a buffer as datagrams of `size` bytes each, the last of what is left."""
        if self._closing:
            return
        self._counters.sent(len(buffer), size)
        if self._queue or not self._send(buffer, size, addr):
            self._keep(buffer, size, addr)

    def send_whole(self, data: bytes, addr: Any) -> bool:
        """Send one datagram that no router may fragment; False: that cannot be asked for."""
        if self._closing or not offload.let_be_cut(self._socket, allowed=False):
            return False
        try:
            if not self._queue:
                self._counters.sent(len(data), len(data))
                self._send_one(data, addr)
        finally:
            offload.let_be_cut(self._socket, allowed=True)
        return True

    def send_gathered(self, parts: Sequence[bytes | memoryview], size: int, addr: Any) -> None:
        """The same for a buffer that stands in parts, which the kernel gathers."""
        if self._closing:
            return
        if self._queue or not self._cuts or not self._gather(parts, size, addr):
            self.send_segments(b"".join(parts), size, addr)

    def send_with_ttl(self, data: bytes, addr: Any, ttl: int) -> None:
        """Send one datagram with this time to live, unless others wait for the kernel."""
        if self._closing or self._queue:
            return
        control = offload.ttl_of_one(self._socket, ttl)
        if control is not None:
            self._counters.sent(len(data), len(data))
            try:
                self._socket.sendmsg([data], control, 0, addr)
            except (BlockingIOError, InterruptedError):
                pass
            except (OSError, OverflowError) as error:
                self._user.error_received(error)
        elif (usual := offload.set_ttl(self._socket, ttl)) is not None:
            self._counters.sent(len(data), len(data))
            self._send_one(data, addr)
            offload.set_ttl(self._socket, usual)

    def _gather(self, parts: Sequence[bytes | memoryview], size: int, addr: Any) -> bool:
        """Send; False if the kernel may take it later, or only when it is cut here."""
        try:
            self._socket.sendmsg(parts, offload.cut_at(size), 0, addr)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError as error:
            if error.errno in offload.UNUSABLE or error.errno == offload.TOO_LARGE:
                return False
            self._user.error_received(error)
        self._counters.sent(sum(map(len, parts)), size)
        return True

    def _send(self, buffer: bytes, size: int, addr: Any) -> bool:
        """Send; False if the kernel may take it later, True if it took it or never will."""
        if len(buffer) <= size:
            return self._send_one(buffer, addr)
        if self._cuts:
            try:
                self._socket.sendmsg([buffer], offload.cut_at(size), 0, addr)
            except (BlockingIOError, InterruptedError):
                return False
            except OSError as error:
                if error.errno in offload.UNUSABLE:
                    _log.info("the kernel does not cut datagrams here: %s", error)
                    self._cuts = False
                elif error.errno != offload.TOO_LARGE:
                    self._user.error_received(error)
                    return True
            else:
                return True
        for start in range(0, len(buffer), size):
            if not self._send_one(buffer[start : start + size], addr):
                self._keep(buffer[start:], size, addr)
                break
        return True

    def _send_one(self, data: bytes, addr: Any) -> bool:
        try:
            self._socket.sendto(data, addr)
        except (BlockingIOError, InterruptedError):
            return False
        except (OSError, OverflowError) as error:
            self._user.error_received(error)
        return True

    def _keep(self, buffer: bytes, size: int, addr: Any) -> None:
        if self._queued_bytes + len(buffer) > QUEUE_BYTES_MAX:
            self._user.error_received(BufferError("more to send than the kernel takes"))
            return
        if not self._queue:
            self._loop.add_writer(self._socket, self._write)
            self._user.pause_writing()
        self._queue.append((buffer, size, addr))
        self._queued_bytes += len(buffer)

    def _write(self) -> None:
        waiting, self._queue = self._queue, deque()
        self._queued_bytes = 0
        self._loop.remove_writer(self._socket)
        while waiting and not self._queue:
            arrival = waiting.popleft()
            if not self._send(*arrival):
                self._keep(*arrival)
        for arrival in waiting:
            self._keep(*arrival)
        if not self._queue:
            self._user.resume_writing()

    # The end --------------------------------------------------------------------------------

    def close(self) -> None:
        """Close; the user's `connection_lost` follows in the loop's next round."""
        if self._closing:
            return
        self._closing = True
        self._beat.forget(self)
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        self._queue.clear()
        self._loop.call_soon(self._closed)

    def abort(self) -> None:
        """The same: closing drops what is queued as well."""
        self.close()

    def _closed(self) -> None:
        self._socket.close()
        self._user.connection_lost(None)

    def is_closing(self) -> bool:
        """Whether it is closing or closed."""
        return self._closing
