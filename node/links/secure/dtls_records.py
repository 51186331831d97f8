"""Application data of an established DTLS connection, sealed and opened by OpenSSL without detours.

OpenSSL's memory BIOs are streams. Several records written to one come out of it as one buffer,
which is what a kernel wants that cuts it into datagrams. The other way round OpenSSL reads at most
16 KiB at once and throws away a record that it has only in part, and a false length would take
the records behind it along: so buffers are checked and handed over in pieces of whole records.
"""

from collections.abc import Iterable
from typing import Any, Final

from OpenSSL import SSL

from node.net.demux import APPLICATION_DATA
from node.net.udp.port import split

# pyOpenSSL's own bindings: its methods cost more than what they do for records this small.
_lib: Any = SSL._lib  # type: ignore[attr-defined]
_ffi: Any = SSL._ffi  # type: ignore[attr-defined]
_ssl_read = _lib.SSL_read
_ssl_write = _lib.SSL_write
_bio_read = _lib.BIO_read
_bio_write = _lib.BIO_write
_ssl_pending = _lib.SSL_pending
_unpack = _ffi.unpack

_HEADER_BYTES: Final = 13
_LENGTH_AT: Final = 11
_PIECE_BYTES: Final = 16_384
"""OpenSSL's read buffer holds this and a header."""

CUT_BYTES: Final = 1500
"""aiortc reads no more of a record, which for packets of a loopback interface is its beginning."""

_PLAINTEXT_BYTES: Final = 16_384
_SEALED_BYTES: Final = 2**17
"""A call seals packets of at most half a buffer that a kernel cuts."""

_UNFINISHED: Final = (_lib.SSL_ERROR_WANT_READ, _lib.SSL_ERROR_WANT_WRITE)

_plaintext = _ffi.new("char[]", _PLAINTEXT_BYTES)
_sealed = _ffi.new("char[]", _SEALED_BYTES)


class Records:
    """Seals and opens; raises SSL.Error when DTLS broke, SSL.ZeroReturnError when it was closed."""

    def __init__(self, connection: SSL.Connection) -> None:
        raw: Any = connection
        self._connection = raw  # keeps what the pointers below point to
        self._ssl = raw._ssl
        self._into = raw._into_ssl
        self._out = raw._from_ssl
        self._is_drained = False
        """Whether all was read of what came before; aiortc may have left something."""

    def seal(self, packets: Iterable[bytes]) -> bytes:
        """The records of these packets, one after another."""
        ssl = self._ssl
        _lib.ERR_clear_error()  # an older error there would be taken for ours
        for packet in packets:
            if _ssl_write(ssl, packet, len(packet)) <= 0:
                self._raise(-1)
        return self.left_over()

    @staticmethod
    def size_of_first(sealed: bytes) -> int:
        """Bytes of the first record in a buffer."""
        return _HEADER_BYTES + int.from_bytes(sealed[_LENGTH_AT:_HEADER_BYTES])

    def left_over(self) -> bytes:
        """The bytes that OpenSSL has to send: at times an alert, or an answer to the peer."""
        count = _bio_read(self._out, _sealed, _SEALED_BYTES)
        return bytes(_unpack(_sealed, count)) if count > 0 else b""

    def open(self, buffer: bytes, size: int, packets: list[bytes]) -> None:
        """Append the packets in a buffer of datagrams of `size` bytes each, the last of the rest.

        Records that are not authentic are dropped.
        """
        _lib.ERR_clear_error()
        whole = len(buffer) - len(buffer) % size
        if _are_records(buffer, size, whole):
            step = max(_PIECE_BYTES // size, 1) * size
            for start in range(0, whole, step):
                end = min(start + step, whole)
                self._take(buffer[start:end], (end - start) // size, packets)
            if whole < len(buffer):
                self._take(buffer[whole:], 0, packets)
        else:
            for datagram in split(buffer, size):
                self._take(datagram, 0, packets)

    def open_rest(self, begun: bytes, packets: list[bytes]) -> None:
        """Append the packet of which aiortc has read what has `begun`, and all that is left.

        What stayed in OpenSSL would come out in place of the next packets, and all after it late.
        """
        _lib.ERR_clear_error()
        rest = _ssl_pending(self._ssl) if len(begun) == CUT_BYTES else 0
        if rest and (count := _ssl_read(self._ssl, _plaintext, _PLAINTEXT_BYTES)) > 0:
            begun += _unpack(_plaintext, count)
        packets.append(begun)
        self._take(b"", 0, packets)

    def _take(self, data: bytes, expected: int, packets: list[bytes]) -> None:
        """Open records; reads until nothing is left, or as many as are `expected` came."""
        _bio_write(self._into, data, len(data))
        ssl, append = self._ssl, packets.append
        while (count := _ssl_read(ssl, _plaintext, _PLAINTEXT_BYTES)) > 0:
            append(_unpack(_plaintext, count))
            expected -= 1
            if not expected and self._is_drained:
                return
        self._is_drained = True
        self._raise(count)

    def _raise(self, result: int) -> None:
        """Raise what OpenSSL means by a result that is no success, if it is an end."""
        error = _lib.SSL_get_error(self._ssl, result)
        if error in _UNFINISHED:
            return
        _lib.ERR_clear_error()
        if error == _lib.SSL_ERROR_ZERO_RETURN:
            raise SSL.ZeroReturnError
        raise SSL.Error(f"DTLS broke: {error}")


def _are_records(buffer: bytes, size: int, whole: int) -> bool:
    """Whether each datagram up to `whole` is exactly one record of application data."""
    if size < _HEADER_BYTES:
        return False
    high, low = divmod(size - _HEADER_BYTES, 256)
    count = whole // size
    return (
        buffer[0:whole:size].count(APPLICATION_DATA) == count
        and buffer[_LENGTH_AT:whole:size].count(high) == count
        and buffer[_LENGTH_AT + 1 : whole : size].count(low) == count
    )
