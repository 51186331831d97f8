"""The bytes of one connection: read one after another at first, then as they come."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from typing import Final, cast

from protocol import limits
from protocol.addresses import Address, canonical
from protocol.errors import LinkClosed, Oversized

_NOTSENT_LOWAT: Final = getattr(socket, "TCP_NOTSENT_LOWAT", 25)


class StreamConnection(asyncio.Protocol):
    """A TCP connection, and TLS within it once `start_tls` was called.

    Before `stream_to` at most STREAM_UNREAD_BYTES are kept; a peer that sends more is cut off.
    `made` is called once the connection stands.
    """

    def __init__(self, made: Callable[["StreamConnection"], None] | None = None) -> None:
        self._made = made
        self._transport: asyncio.Transport | None = None
        self._unread = bytearray()
        self._news: asyncio.Future[None] | None = None
        self._receive: Callable[[bytes], None] | None = None
        self._lost: Callable[[], None] | None = None
        self._resumed: Callable[[], None] | None = None
        self.is_lost = False
        self.full = False
        """Whether as much waits to be sent as may."""

    # asyncio's side ---------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Read nothing before a part waits for it, as TLS may begin first."""
        self._use(cast("asyncio.Transport", transport))
        made = transport.get_extra_info("socket")
        if made is not None:
            with contextlib.suppress(OSError):
                made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                made.setsockopt(socket.IPPROTO_TCP, _NOTSENT_LOWAT, limits.STREAM_UNSENT_BYTES)
        if self._made is not None:
            self.transport.pause_reading()
            self._made(self)

    def data_received(self, data: bytes) -> None:
        """Keep what arrives, or pass it on."""
        if self._receive is not None:
            self._receive(data)
            return
        self._unread += data
        if len(self._unread) > limits.STREAM_UNREAD_BYTES:
            self.abort()
        self._tell()

    def pause_writing(self) -> None:
        """As much waits as may."""
        self.full = True

    def resume_writing(self) -> None:
        """There is room again."""
        self.full = False
        if self._resumed is not None:
            self._resumed()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell all that wait."""
        self.is_lost = True
        self._tell()
        lost, self._lost = self._lost, None
        if lost is not None:
            lost()

    # Our side -----------------------------------------------------------------------------------

    @property
    def transport(self) -> asyncio.Transport:
        """The connection's transport, which stands."""
        assert self._transport is not None
        return self._transport

    @property
    def remote(self) -> Address:
        """The other end; raises BadAddress where the system no longer knows it."""
        name = self.transport.get_extra_info("peername") or ("", 0)
        return canonical(str(name[0]).partition("%")[0], int(name[1]))

    @property
    def waiting_bytes(self) -> int:
        """What waits to be sent, as far as this program keeps it."""
        return self.transport.get_write_buffer_size()

    async def start_tls(self, context: ssl.SSLContext, *, server_side: bool) -> None:
        """Go on within TLS. Raises OSError (ssl.SSLError among them), LinkClosed."""
        if self.is_ending or self._unread:
            # On a transport that is ending TLS would wait for its time limit, with 256 KiB.
            raise LinkClosed("the connection has ended, or bytes came before TLS")
        made = await asyncio.get_running_loop().start_tls(
            self.transport,
            self,
            context,
            server_side=server_side,
            ssl_handshake_timeout=limits.STREAM_HANDSHAKE_S,
            ssl_shutdown_timeout=1.0,
        )
        if made is None:
            raise LinkClosed("the connection ended within TLS's handshake")
        self._use(made)

    def _use(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        transport.set_write_buffer_limits(high=limits.STREAM_QUEUE_BYTES)

    async def take(self, size: int) -> bytes:
        """The next `size` bytes; raises LinkClosed."""
        while len(self._unread) < size:
            await self._more()
        return self._cut(size)

    async def take_until(self, end: bytes) -> bytes:
        """All up to `end`, with it; raises LinkClosed, Oversized."""
        while (at := self._unread.find(end)) < 0:
            if len(self._unread) > limits.STREAM_UNREAD_BYTES - len(end):
                raise Oversized("an answer without an end")
            await self._more()
        return self._cut(at + len(end))

    def _cut(self, size: int) -> bytes:
        taken = bytes(self._unread[:size])
        del self._unread[:size]
        return taken

    async def _more(self) -> None:
        if self.is_lost:
            raise LinkClosed("the other side ended the connection")
        self._news = asyncio.get_running_loop().create_future()
        await self._news

    def _tell(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    def stream_to(
        self,
        receive: Callable[[bytes], None],
        *,
        lost: Callable[[], None],
        resumed: Callable[[], None],
    ) -> None:
        """From now on `receive` gets all bytes. `lost` is called at the end, once."""
        self._receive, self._lost, self._resumed = receive, lost, resumed
        if self._unread:
            receive(self._cut(len(self._unread)))
        if self.is_lost:
            self.connection_lost(None)

    def pause_reading(self) -> None:
        """Let what follows wait at the other end."""
        if not self.is_ending:
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        """The end of `pause_reading`."""
        if not self.is_ending:
            self.transport.resume_reading()

    def send(self, data: bytes) -> None:
        """Send, however much waits already; nothing, once the connection is ending."""
        if not self.is_ending:
            self.transport.write(data)

    @property
    def is_ending(self) -> bool:
        """Whether the connection has ended, or either side has begun to end it."""
        return self.is_lost or self.transport.is_closing()

    def abort(self) -> None:
        """End at once; nothing is waited for."""
        if self._transport is not None:
            self._transport.abort()
