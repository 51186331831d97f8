"""One end of a connection, as asyncio shows it: a transport for streams."""

import asyncio
import contextvars
from asyncio import transports
from collections.abc import Callable
from typing import Any, Final, cast

from simulations.internet.addresses import HostPort
from simulations.internet.tcp.flow import Flow
from simulations.runtime.loop import VirtualLoop

SYSTEM_BYTES: Final = 2**17
"""What the system takes in beyond what is on its way, as with TCP_NOTSENT_LOWAT; the rest waits in
the transport."""
_HIGH_BYTES: Final = 2**16


class TcpTransport(transports.Transport):
    """`reset` tells the other side that this one is gone."""

    _start_tls_compatible = True

    def __init__(
        self,
        loop: VirtualLoop,
        context: contextvars.Context,
        local: HostPort,
        remote: HostPort,
        reset: Callable[[], None],
    ) -> None:
        super().__init__()
        self._loop = loop
        self._context = context
        self._names = {"sockname": local, "peername": remote}
        self._reset = reset
        self._protocol: asyncio.BaseProtocol | None = None
        self._outgoing: Flow | None = None
        self._incoming: Flow | None = None
        self._unread = bytearray()
        self._is_paused = False
        self._has_ended = False
        self._is_closing = False
        self._is_lost = False
        self._high, self._low = _HIGH_BYTES, _HIGH_BYTES // 4
        self._is_full = False

    def begin(self, protocol: asyncio.BaseProtocol, outgoing: Flow, incoming: Flow) -> None:
        """Carry what this protocol says from now on."""
        self._protocol, self._outgoing, self._incoming = protocol, outgoing, incoming
        self._context.run(protocol.connection_made, self)

    @property
    def _out(self) -> Flow:
        assert self._outgoing is not None
        return self._outgoing

    # what asyncio promises

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """`sockname` and `peername`; there is no `socket`."""
        return self._names.get(name, default)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Let the bytes go to another protocol."""
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        """The protocol that the bytes go to."""
        assert self._protocol is not None
        return self._protocol

    def is_closing(self) -> bool:
        """Whether the transport is closing or closed."""
        return self._is_closing

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """As asyncio's."""
        self._high = _HIGH_BYTES if high is None else high
        self._low = self._high // 4 if low is None else low

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """As asyncio's."""
        return self._low, self._high

    def get_write_buffer_size(self) -> int:
        """What waits beyond what the system has taken in."""
        return max(0, len(self._out.unsent) - SYSTEM_BYTES)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send bytes; what is written after the end is thrown away."""
        if self._is_closing or not data:
            return
        self._out.write(bytes(data))
        if not self._is_full and self.get_write_buffer_size() > self._high:
            self._is_full = True
            self.get_protocol().pause_writing()

    def can_write_eof(self) -> bool:
        """False: nothing here closes one direction alone."""
        return False

    def pause_reading(self) -> None:
        """Keep what arrives, up to the receive window."""
        self._is_paused = True

    def resume_reading(self) -> None:
        """Hand on what was kept, in the loop's next round."""
        if self._is_paused:
            self._is_paused = False
            self._loop.call_soon(self._read, context=self._context)

    def is_reading(self) -> bool:
        """Whether what arrives is handed on."""
        return not self._is_paused and not self._is_closing

    def close(self) -> None:
        """Close once all is sent."""
        if not self._is_closing:
            self._is_closing = True
            self._out.end()
            self._look_for_end()

    def abort(self) -> None:
        """Close at once."""
        self._force_close(None)

    def _force_close(self, failure: BaseException | None) -> None:
        """What asyncio's TLS calls where it fails."""
        if not self._is_lost:
            self._reset()
            self.lose(failure)

    # the network's side

    def left(self) -> None:
        """Less waits than before."""
        if self._is_full and self.get_write_buffer_size() <= self._low:
            self._is_full = False
            self._loop.call_soon(self.get_protocol().resume_writing, context=self._context)
        self._look_for_end()

    def _look_for_end(self) -> None:
        if self._is_closing and self._out.is_idle:
            self.lose(None)

    def deliver(self, data: bytes) -> None:
        """Take what arrives; b"" for the end."""
        if self._is_lost:
            self._reset()
            return
        self._unread += data
        self._has_ended = self._has_ended or not data
        if self._is_paused:
            self._count_unread()
        else:
            self._context.run(self._read)

    def _read(self) -> None:
        while self._unread and not self._is_paused and not self._is_lost:
            data = bytes(self._unread)
            self._unread.clear()
            self._hand_on(data)
        self._count_unread()
        if self._has_ended and not self._unread and not self._is_closing:
            self._hand_on_end()

    def _hand_on_end(self) -> None:
        if not cast("asyncio.Protocol", self.get_protocol()).eof_received():
            self.close()

    def _hand_on(self, data: bytes) -> None:
        protocol = self.get_protocol()
        if isinstance(protocol, asyncio.BufferedProtocol):
            _fill(protocol, data)
        else:
            cast("asyncio.Protocol", protocol).data_received(data)

    def _count_unread(self) -> None:
        incoming = self._incoming
        if incoming is not None:
            incoming.unread = len(self._unread)
            incoming.push()

    def lose(self, failure: BaseException | None) -> None:
        """The connection is over."""
        if self._is_lost:
            return
        self._is_lost = self._is_closing = True
        self._out.stop()
        lost = self.get_protocol().connection_lost
        reason = failure if isinstance(failure, Exception) else None
        self._loop.call_soon(lost, reason, context=self._context)


def _fill(protocol: asyncio.BufferedProtocol, data: bytes) -> None:
    """Copy bytes to where a protocol wants them, as TLS does."""
    while data:
        room = memoryview(protocol.get_buffer(len(data)))
        part = data[: len(room)]
        room[: len(part)] = part
        protocol.buffer_updated(len(part))
        data = data[len(part) :]
